"""What a version consists of: files, references, metadata, tags, description."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from runicorn_es import names
from runicorn_es.errors import Unknown
from runicorn_es.events import (
    DescriptionChanged,
    FileAdded,
    MetadataChanged,
    ReferenceAdded,
    TagsChanged,
    VersionCreated,
)
from runicorn_es.names import Digest
from runicorn_es.projections.rows import PURGED, VERSIONS, Contradiction, VersionRow
from runicorn_es.queries.catalog import not_found
from runicorn_es.queries.view import View

EventType = TypeVar("EventType")


class File(msgspec.Struct, frozen=True):
    """A file of a version. ``size`` in bytes; ``digest`` spelled ``blake3:…``."""

    path: str
    size: int
    digest: str
    executable: bool = False


class ExternalReference(msgspec.Struct, frozen=True):
    """Something outside the store that belongs to a version. ``size`` in bytes, if known."""

    uri: str
    checksum: str | None
    size: int | None
    attributes: dict[str, Any]


class Details(msgspec.Struct, frozen=True):
    """What people said of a version. Tags are sorted."""

    metadata: dict[str, Any]
    tags: list[str]
    description: str | None


def created(view: View, row: VersionRow) -> VersionCreated:
    """Return the event that created a version."""
    event = event_at(view, row.position, VersionCreated)
    if (event.name, event.version, event.digest) != (row.name, row.version, row.digest):
        raise Contradiction(
            f"the projections say that record {row.position} created {row.name}:v{row.version}, and it created "
            f"{event.name}:v{event.version}"
        )
    return event


def metadata(view: View, row: VersionRow) -> dict[str, Any]:
    """Return the metadata of a version."""
    if row.metadata_position < 0 or row.status == PURGED:
        return {}
    return json_object(event_at(view, row.metadata_position, MetadataChanged).metadata)


def tags(view: View, row: VersionRow) -> list[str]:
    """Return the tags of a version, sorted."""
    if row.tags_position < 0 or row.status == PURGED:
        return []
    return list(event_at(view, row.tags_position, TagsChanged).tags)


def description(view: View, row: VersionRow) -> str | None:
    """Return the description of a version, or None. An event that says nothing took it away."""
    if row.description_position < 0 or row.status == PURGED:
        return None
    return event_at(view, row.description_position, DescriptionChanged).description or None


def details_of(view: View, row: VersionRow) -> Details:
    """Return metadata, tags and description of a version, reading each record once; nothing of a purged one."""
    found = Details({}, [], None)
    if row.status == PURGED:
        return found
    for position in sorted({row.metadata_position, row.tags_position, row.description_position} - {-1}):
        for event in view.events(position):
            match event:
                case MetadataChanged() if position == row.metadata_position:
                    found = replace(found, metadata=json_object(event.metadata))
                case TagsChanged() if position == row.tags_position:
                    found = replace(found, tags=list(event.tags))
                case DescriptionChanged() if position == row.description_position:
                    found = replace(found, description=event.description)
                case _:
                    pass
    return found


def files(view: View, row: VersionRow, *, prefix: str = "") -> Iterator[FileAdded]:
    """Yield the files of a version in order of their paths; only those whose path begins with the prefix.

    Pages are read one by one as they are needed, and those before the prefix not at all.
    """
    wanted = prefix.encode()
    for position in pages_with(view, row, prefix):
        for file in view.page(position):
            path = file.path.encode()
            if path.startswith(wanted):
                yield file
            elif path > wanted:
                return


def pages_with(view: View, row: VersionRow, prefix: str) -> tuple[int, ...]:
    """Return the records of the pages from the first that can hold a path with this prefix on."""
    positions = created(view, row).pages
    return positions[_page_before(view, positions, prefix) :] if prefix else positions


def file(view: View, row: VersionRow, path: str) -> FileAdded:
    """Return one file of a version. Raises Unknown, naming similar paths."""
    positions = created(view, row).pages
    if positions:
        page = view.page(positions[_page_before(view, positions, path)])
        for found in page:
            if found.path == path:
                return found
        near = [found.path for found in page]
    else:
        near = []
    raise Unknown(not_found(f"{names.spec(row.name, row.version)} has no file {path!r}", path, near))


def references(view: View, row: VersionRow) -> list[ReferenceAdded]:
    """Return the references of a version, in the order they were added."""
    found: list[ReferenceAdded] = []
    for position in created(view, row).references:
        found += [event for event in view.events(position) if isinstance(event, ReferenceAdded)]
    return found


def versions_naming(view: View, digest: bytes) -> list[str]:
    """Return the specs of all versions that have a file with this digest. Reads every page once."""
    naming: set[int] = set()
    seen: set[int] = set()
    found: list[str] = []
    for row in VERSIONS.scan(view.rows):
        if row.status == PURGED:
            continue
        positions = created(view, row).pages
        for position in positions:
            if position not in seen:
                seen.add(position)
                if any(file.digest == digest for file in view.page(position)):
                    naming.add(position)
        if not naming.isdisjoint(positions):
            found.append(names.spec(row.name, row.version))
    return found


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object that an event holds as text."""
    return msgspec.json.decode(text, type=dict[str, Any])


def _page_before(view: View, positions: tuple[int, ...], path: str) -> int:
    """Return which page holds this path if any does: the last one whose first path is not beyond it."""
    firsts = _FirstPaths(view, positions)
    return max(0, bisect_right(firsts, path.encode()) - 1)


class _FirstPaths:
    """The first path of each page, read when asked, for a binary search."""

    def __init__(self, view: View, positions: tuple[int, ...]) -> None:
        self._view = view
        self._positions = positions

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, number: int) -> bytes:
        page = self._view.page(self._positions[number])
        return page[0].path.encode() if page else b""


def event_at(view: View, position: int, kind: type[EventType]) -> EventType:
    """Return the event of a kind that a record holds. Raises Damaged when it holds none."""
    for event in view.events(position):
        if isinstance(event, kind):
            return event
    raise Contradiction(f"the projections say that record {position} holds a {kind.__name__}, and it holds none")


def to_file(file: FileAdded) -> File:
    """Return a file of a page as users see it."""
    return File(file.path, file.size_bytes, str(Digest(file.digest)), file.executable)


def to_reference(reference: ReferenceAdded) -> ExternalReference:
    """Return a reference as users see it."""
    attributes = json_object(reference.attributes)
    return ExternalReference(reference.uri, reference.checksum, reference.size_bytes, attributes)
