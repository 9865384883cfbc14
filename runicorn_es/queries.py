"""Answers from the tables and the records they point to. Reads only; every answer of CLI, viewer and API is here."""

from bisect import bisect_right
from collections.abc import Iterator
import difflib
from typing import Any, Literal, TypeVar

import msgspec

from runicorn_es import codec, names
from runicorn_es.errors import Damaged, Unknown
from runicorn_es.events import (
    DescriptionChanged,
    Event,
    FileAdded,
    MetadataChanged,
    ReferenceAdded,
    RunStarted,
    TagsChanged,
    VersionCreated,
)
from runicorn_es.log import Log, Record
from runicorn_es.log.record import COMPRESSED, PAGE
from runicorn_es.names import Reference
from runicorn_es.projections import batches, pages, places, tree
from runicorn_es.projections.rows import (
    ALIASES,
    ARTIFACTS,
    COUNTS,
    DELETED,
    INPUTS,
    OUTPUTS,
    PURGED,
    READY,
    RUNS,
    USES,
    VERSIONS,
    AliasRow,
    ArtifactRow,
    CountRow,
    EdgeRow,
    RunRow,
    VersionRow,
)
from runicorn_es.tables import Reader

EventType = TypeVar("EventType")
Direction = Literal["upstream", "downstream", "both"]
_SUGGESTIONS = 3
_NAMES_COMPARED_MAX = 10_000


class View:
    """One consistent state of a store: its rows, and the records they point to."""

    def __init__(self, rows: Reader, log: Log) -> None:
        self.rows = rows
        self._log = log

    def record(self, index: int) -> Record:
        """Return a record by its index. Raises Damaged when it is not what was written, IndexError beyond the end."""
        place = places.place_of(self.rows, index)
        if place is None:
            raise IndexError(f"the log has no record {index}")
        found = self._log.read(*place)
        if found.index != index:
            raise Damaged(f"record {index} was looked for where record {found.index} stands; run `runicorn-es rebuild`")
        return found

    def events(self, index: int) -> tuple[Event, ...]:
        """Return the events of a record; none for a blanked one."""
        found = self.record(index)
        if codec.is_blank(found.payload):
            return ()
        return codec.decode(found.payload, compressed=bool(found.flags & COMPRESSED))

    def page(self, index: int) -> tuple[FileAdded, ...]:
        """Return the files of the page that a record holds."""
        found = self.record(index)
        if codec.is_blank(found.payload):
            return ()
        return codec.decode_files(found.payload, compressed=bool(found.flags & COMPRESSED))


class Stats(msgspec.Struct, frozen=True):
    """What ``stats`` shows. Sizes in bytes; ``pool_bytes`` is what the blobs take on disk, each counted once."""

    total: CountRow
    by_type: dict[str, CountRow]
    pool_bytes: int

    @property
    def saved_bytes(self) -> int:
        """Return how much less the pool takes than a copy for each version would, deleted ones included."""
        return max(0, self.total.size_bytes + self.total.deleted_bytes - self.pool_bytes)

    @property
    def saved_share(self) -> float:
        """Return the saved part of all that a copy for each version would take, from 0 to 1."""
        stored_bytes = self.total.size_bytes + self.total.deleted_bytes
        return self.saved_bytes / stored_bytes if stored_bytes else 0.0


class Node(msgspec.Struct, frozen=True):
    """A version or a run in a lineage. ``id``: ``name:v3`` or the run's id. ``distance``: edges to the focus."""

    id: str
    kind: Literal["artifact", "run"]
    label: str
    type: str
    status: str
    distance: int


class Edge(msgspec.Struct, frozen=True):
    """An arrow in the direction of the data: from a version to the run that used it, or from a run to what it made."""

    source: str
    target: str
    kind: Literal["used", "produced"]


class Lineage(msgspec.Struct, frozen=True):
    """What a version was made from and what was made with it."""

    focus: str
    nodes: list[Node]
    edges: list[Edge]


def artifacts(view: View, kind: str | None = None) -> list[ArtifactRow]:
    """Return the artifacts that have a live version, by name; of one type if given."""
    found = ARTIFACTS.scan(view.rows)
    return [row for row in found if row.live and (kind is None or row.type == kind)]


def artifact(view: View, name: str) -> ArtifactRow:
    """Return an artifact. Raises Unknown, naming similar ones."""
    row = ARTIFACTS.get(view.rows, name)
    if row is None:
        raise Unknown(_not_found(f"no artifact named {name!r}", name, [row.name for row in _some_artifacts(view)]))
    return row


def versions(view: View, name: str, *, deleted: bool = False) -> list[VersionRow]:
    """Return the live versions of an artifact, oldest first; with ``deleted`` also the deleted and purged ones."""
    artifact(view, name)
    return [row for row in VERSIONS.scan(view.rows, name) if deleted or row.status == READY]


def resolve(view: View, reference: Reference, *, deleted: bool = False) -> VersionRow:
    """Return the version that is meant.

    Raises Unknown when there is none, or when it is deleted (unless ``deleted``) or purged.
    """
    if reference.digest_prefix is not None:
        row = _by_digest(view, reference)
    else:
        row = _by_number_or_alias(view, reference, deleted=deleted)
    spec = names.spec(row.name, row.version)
    if row.status == PURGED:
        raise Unknown(f"{spec} was purged and cannot come back; `runicorn-es events` says when and why")
    if row.status == DELETED and not deleted:
        raise Unknown(f"{spec} is deleted; `runicorn-es restore {spec}` brings it back")
    return row


def version(view: View, name: str, number: int) -> VersionRow:
    """Return one version by its number, whatever its status. Raises Unknown."""
    row = VERSIONS.get(view.rows, name, number)
    if row is None:
        allotted = artifact(view, name).allotted
        if 1 <= number <= allotted:
            VERSIONS.expect(view.rows, name, number)
        raise Unknown(f"{name!r} has no version v{number}; its versions are v1 to v{allotted}")
    return row


def aliases(view: View, name: str) -> list[AliasRow]:
    """Return the aliases of an artifact, by alias. ``latest``, which is computed, is not among them."""
    return list(ALIASES.scan(view.rows, name))


def aliases_by_version(view: View, name: str) -> dict[int, list[str]]:
    """Return the aliases of each version that has one, ``latest`` first."""
    found: dict[int, list[str]] = {}
    row = ARTIFACTS.get(view.rows, name)
    if row is not None and row.latest:
        found[row.latest] = [names.LATEST]
    for alias in ALIASES.scan(view.rows, name):
        found.setdefault(alias.version, []).append(alias.alias)
    return found


def aliases_of(view: View, row: VersionRow) -> list[str]:
    """Return the aliases of one version, ``latest`` first."""
    return aliases_by_version(view, row.name).get(row.version, [])


def created(view: View, row: VersionRow) -> VersionCreated:
    """Return the event that created a version."""
    return _event(view, row.position, VersionCreated)


def metadata(view: View, row: VersionRow) -> dict[str, Any]:
    """Return the metadata of a version."""
    if row.metadata_position < 0 or row.status == PURGED:
        return {}
    return json_object(_event(view, row.metadata_position, MetadataChanged).metadata)


def tags(view: View, row: VersionRow) -> list[str]:
    """Return the tags of a version, sorted."""
    if row.tags_position < 0 or row.status == PURGED:
        return []
    return list(_event(view, row.tags_position, TagsChanged).tags)


def description(view: View, row: VersionRow) -> str | None:
    """Return the description of a version."""
    if row.description_position < 0 or row.status == PURGED:
        return None
    return _event(view, row.description_position, DescriptionChanged).description


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
    raise Unknown(_not_found(f"{names.spec(row.name, row.version)} has no file {path!r}", path, near))


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


def runs(view: View) -> list[RunRow]:
    """Return all runs, oldest first."""
    return list(RUNS.scan(view.rows))


def run(view: View, run_id: str) -> RunRow:
    """Return a run. Raises Unknown."""
    row = RUNS.get(view.rows, run_id)
    if row is None:
        raise Unknown(f"no run {run_id!r} in this store; `runicorn-es runs` lists them")
    return row


def run_started(view: View, row: RunRow) -> RunStarted:
    """Return the event that started a run, with what it recorded of its surroundings."""
    return _event(view, row.position, RunStarted)


def used_by(view: View, name: str, number: int) -> list[EdgeRow]:
    """Return which runs used a version, by run."""
    return list(USES.scan(view.rows, name, number))


def inputs(view: View, run_id: str) -> list[EdgeRow]:
    """Return what a run used, by artifact and version."""
    return list(INPUTS.scan(view.rows, run_id))


def outputs(view: View, run_id: str) -> list[EdgeRow]:
    """Return what a run made, by artifact and version."""
    return list(OUTPUTS.scan(view.rows, run_id))


def has_used(view: View, run_id: str, row: VersionRow) -> bool:
    """Return whether a run has used a version already."""
    return INPUTS.get(view.rows, run_id, row.name, row.version) is not None


def stats(view: View, pool_bytes: int) -> Stats:
    """Return the sums over the store; ``pool_bytes`` is what the blobs take."""
    by_type = {
        key[1:-1].decode(): msgspec.msgpack.decode(value, type=CountRow)
        for key, value in view.rows.scan(COUNTS.key())
        if key != COUNTS.key("")
    }
    return Stats(COUNTS.get(view.rows, "") or CountRow(), by_type, pool_bytes)


def lineage(view: View, row: VersionRow, *, direction: Direction = "both", depth: int | None = None) -> Lineage:
    """Return the versions and runs that lead to a version and that come from it.

    ``depth`` counts steps from version to version; None means all. A version that was deleted is there and marked.
    """
    focus = names.spec(row.name, row.version)
    nodes = {focus: _version_node(row, 0)}
    edges: dict[Edge, None] = {}
    if direction != "downstream":
        _walk(view, row, nodes, edges, depth, upstream=True)
    if direction != "upstream":
        _walk(view, row, nodes, edges, depth, upstream=False)
    return Lineage(focus, list(nodes.values()), list(edges))


def page_position(view: View, digest: bytes) -> int | None:
    """Return the index of the record that holds a page of this digest, or None."""
    return pages.position_of(view.rows, digest)


def batch_of_key(view: View, key: str) -> int | None:
    """Return the index of the record of the batch that was appended under this key, or None."""
    return batches.position_of(view.rows, key)


def head(view: View) -> tuple[int, bytes]:
    """Return how many records the tables know, and the Merkle root over their headers."""
    return tree.head(view.rows)


def history(view: View, after: int, before: int | None = None) -> Iterator[tuple[Record, tuple[Event, ...]]]:
    """Yield the records beyond index ``after`` with their events, in order; ``after=-1`` begins with the first."""
    end = head(view)[0] if before is None else before
    for index in range(after + 1, end):
        found = view.record(index)
        blank = codec.is_blank(found.payload)
        yield found, () if blank else codec.decode(found.payload, compressed=bool(found.flags & COMPRESSED))


def is_page(record: Record) -> bool:
    """Return whether a record holds the files of a page."""
    return bool(record.flags & PAGE)


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object that an event holds as text."""
    return msgspec.json.decode(text, type=dict[str, Any])


def _walk(
    view: View,
    start: VersionRow,
    nodes: dict[str, Node],
    edges: dict[Edge, None],
    depth: int | None,
    *,
    upstream: bool,
) -> None:
    level = [start]
    distance = 0
    seen_runs: set[str] = set()
    while level and (depth is None or distance < 2 * depth):
        following: list[VersionRow] = []
        for row in level:
            spec = names.spec(row.name, row.version)
            run_ids = _makers(row) if upstream else [edge.run for edge in used_by(view, row.name, row.version)]
            for run_id in run_ids:
                _add_run(view, run_id, nodes, distance + 1)
                edges[Edge(run_id, spec, "produced") if upstream else Edge(spec, run_id, "used")] = None
                if run_id in seen_runs:
                    continue
                seen_runs.add(run_id)
                for edge in inputs(view, run_id) if upstream else outputs(view, run_id):
                    other = names.spec(edge.name, edge.version)
                    edges[Edge(other, run_id, "used") if upstream else Edge(run_id, other, "produced")] = None
                    if other not in nodes:
                        found = version(view, edge.name, edge.version)
                        nodes[other] = _version_node(found, distance + 2)
                        following.append(found)
        level, distance = following, distance + 2


def _makers(row: VersionRow) -> list[str]:
    return [row.run] if row.run is not None else []


def _add_run(view: View, run_id: str, nodes: dict[str, Node], distance: int) -> None:
    if run_id not in nodes:
        row = run(view, run_id)
        nodes[run_id] = Node(run_id, "run", row.name or row.project, row.project, row.status, distance)


def _version_node(row: VersionRow, distance: int) -> Node:
    spec = names.spec(row.name, row.version)
    return Node(spec, "artifact", spec, row.type, row.status, distance)


def _by_number_or_alias(view: View, reference: Reference, *, deleted: bool) -> VersionRow:
    row = artifact(view, reference.name)
    if reference.version is not None:
        return version(view, row.name, reference.version)
    if reference.alias is not None:
        alias = ALIASES.get(view.rows, row.name, reference.alias)
        if alias is None:
            known = [names.LATEST, *(found.alias for found in ALIASES.scan(view.rows, row.name))]
            raise Unknown(_not_found(f"{row.name!r} has no alias {reference.alias!r}", reference.alias, known))
        return version(view, row.name, alias.version)
    if row.latest:
        return version(view, row.name, row.latest)
    newest = version(view, row.name, row.allotted)
    if deleted:
        return newest
    raise Unknown(
        f"all versions of {row.name!r} are deleted; `runicorn-es versions {row.name} --deleted` lists them, "
        "`runicorn-es restore` brings one back"
    )


def _by_digest(view: View, reference: Reference) -> VersionRow:
    prefix = reference.digest_prefix or ""
    found = [row for row in versions(view, reference.name) if row.digest.hex().startswith(prefix)]
    digests = {row.digest for row in found}
    if len(digests) > 1:
        some = ", ".join(names.spec(row.name, row.version) for row in found[:_SUGGESTIONS])
        raise Unknown(f"{reference.text!r} means several versions ({some}…); write more digits of the digest")
    if not found:
        raise Unknown(f"no live version of {reference.name!r} has a digest that begins with {prefix!r}")
    # Several versions with one content: the newest speaks for all.
    return found[-1]


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


def _event(view: View, position: int, kind: type[EventType]) -> EventType:
    for event in view.events(position):
        if isinstance(event, kind):
            return event
    raise Damaged(f"record {position} holds no {kind.__name__}; run `runicorn-es rebuild`")


def _some_artifacts(view: View) -> Iterator[ArtifactRow]:
    for count, row in enumerate(ARTIFACTS.scan(view.rows)):
        if count == _NAMES_COMPARED_MAX:
            return
        yield row


def _not_found(message: str, wanted: str, known: list[str]) -> str:
    near = difflib.get_close_matches(wanted, known, n=_SUGGESTIONS, cutoff=0.5)
    if near:
        return f"{message}; did you mean {' or '.join(repr(name) for name in near)}?"
    if not known:
        return f"{message}; there is none yet"
    some = ", ".join(repr(name) for name in known[:_SUGGESTIONS])
    return f"{message}; there is {some}" + (", …" if len(known) > _SUGGESTIONS else "")
