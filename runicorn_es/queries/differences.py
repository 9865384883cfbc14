"""What is different between two versions, by pages: what both refer to is never read."""

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import Literal

import msgspec

from runicorn_es import names
from runicorn_es.events import FileAdded
from runicorn_es.interop import notebook
from runicorn_es.projections.rows import READY, VERSIONS, VersionRow
from runicorn_es.queries.catalog import aliases_of
from runicorn_es.queries.content import (
    ExternalReference,
    File,
    created,
    description,
    metadata,
    references,
    tags,
    to_file,
    to_reference,
)
from runicorn_es.queries.graph import inputs
from runicorn_es.queries.renames import FolderRename, folder_renames, paired
from runicorn_es.queries.values import ValueChange, value_changes
from runicorn_es.queries.view import View

Change = Literal["added", "removed", "changed"]


class FileChange(msgspec.Struct, frozen=True):
    """A file that is not the same in both versions. Sizes in bytes.

    kind: ``added``, ``removed``, ``changed`` (its bytes, or only whether it is executable), ``renamed`` (the same bytes
    under another path), or ``copied`` (the same bytes as a file that was renamed). old, new: the file in each version,
    None where it is not; of a renamed one, ``old`` has the path that it had.
    """

    kind: Literal["added", "removed", "changed", "renamed", "copied"]
    old: File | None
    new: File | None

    @property
    def path(self) -> str:
        """Return its path in the new version; of a removed file, the path that it had."""
        file = self.new or self.old
        assert file is not None
        return file.path

    @property
    def size_delta(self) -> int:
        """Return by how many bytes the new version is larger for it."""
        before = 0 if self.old is None or self.kind == "copied" else self.old.size
        return (0 if self.new is None else self.new.size) - before

    @property
    def has_other_mode(self) -> bool:
        """Return whether it is executable in one version and not in the other."""
        return self.old is not None and self.new is not None and self.old.executable != self.new.executable


class FileCounts(msgspec.Struct, frozen=True):
    """How many files, whatever the limit of those that are listed. Sizes in bytes, over all files of each version."""

    added: int
    removed: int
    changed: int
    renamed: int
    copied: int
    unchanged: int
    old_size: int
    new_size: int

    @property
    def different(self) -> int:
        """Return how many files are not the same in both."""
        return self.added + self.removed + self.changed + self.renamed + self.copied


class ReferenceChange(msgspec.Struct, frozen=True):
    """A reference that is not the same in both versions, by its URI; ``old`` or ``new`` is None where it is not."""

    kind: Change
    uri: str
    old: ExternalReference | None
    new: ExternalReference | None


class TextChange(msgspec.Struct, frozen=True):
    """A text that is not the same in both versions; None where there is none."""

    old: str | None
    new: str | None


class InputChange(msgspec.Struct, frozen=True):
    """An artifact of which the runs that made both versions used other versions; their specs."""

    name: str
    old: list[str]
    new: list[str]


class Diff(msgspec.Struct, frozen=True):
    """What is different between two versions.

    old, new: their specs. counts: of files. files: those that differ, in order of their paths; ``is_cut`` says whether
    there are more than were asked for. folders: what was renamed with all below it. metadata: by dotted keys.
    aliases_old, aliases_new: those that only one of both has. inputs: what their runs had used; old_run, new_run:
    those runs.
    """

    old: str
    new: str
    counts: FileCounts
    files: list[FileChange]
    is_cut: bool
    folders: list[FolderRename]
    metadata: list[ValueChange]
    tags_added: list[str]
    tags_removed: list[str]
    description: TextChange | None
    references: list[ReferenceChange]
    aliases_old: list[str]
    aliases_new: list[str]
    inputs: list[InputChange]
    old_run: str | None
    new_run: str | None

    @property
    def is_empty(self) -> bool:
        """Return whether both have the same files, references, metadata, tags and description."""
        return not (
            self.counts.different
            or self.metadata
            or self.tags_added
            or self.tags_removed
            or self.description
            or self.references
        )

    @property
    def size_delta(self) -> int:
        """Return by how many bytes the files of the new version are larger."""
        return self.counts.new_size - self.counts.old_size

    def _repr_html_(self) -> str:
        counts = self.counts
        kinds = ("added", "removed", "changed", "renamed", "copied", "unchanged")
        pairs = {
            "files": ", ".join(f"{count:,} {kind}" for kind in kinds if (count := getattr(counts, kind))) or "none",
            "bytes": f"{counts.new_size:,} ({self.size_delta:+,})",
        }
        rows: list[tuple[str, str, str]] = [
            (one.kind, one.old.path if one.old else "", one.new.path if one.new else "") for one in self.files
        ]
        rows += [(f"metadata {one.kind}", f"{one.key}: {one.old}", f"{one.key}: {one.new}") for one in self.metadata]
        rows += [("tag added", "", tag) for tag in self.tags_added]
        rows += [("tag removed", tag, "") for tag in self.tags_removed]
        if self.description is not None:
            rows.append(("description", self.description.old or "", self.description.new or ""))
        rows += [(f"reference {one.kind}", one.uri if one.old else "", one.uri if one.new else "")
                 for one in self.references]  # fmt: skip
        shown = notebook.table(("what", self.old, self.new), rows) if rows else ""
        return notebook.card(f"{self.old} → {self.new}", pairs, shown)


def diff(
    view: View, old: VersionRow, new: VersionRow, *, limit: int | None = None, new_view: View | None = None
) -> Diff:
    """Return what is different between two versions; ``limit``: so many files at most, and all counted.

    new_view: as of when the new one is meant, if not as of the same moment. Takes memory for the files that differ, and
    time for the pages that they are in; none for what both share.
    """
    later = view if new_view is None else new_view
    counts, files, folders = _file_changes(later, old, new, limit)
    tags_old, tags_new = tags(view, old), tags(later, new)
    aliases_old, aliases_new = aliases_of(view, old), aliases_of(later, new)
    text_old, text_new = description(view, old), description(later, new)
    return Diff(
        names.spec(old.name, old.version),
        names.spec(new.name, new.version),
        counts,
        files,
        len(files) < counts.different,
        folders,
        value_changes(metadata(view, old), metadata(later, new)),
        [tag for tag in tags_new if tag not in tags_old],
        [tag for tag in tags_old if tag not in tags_new],
        None if (text_old or "") == (text_new or "") else TextChange(text_old, text_new),
        _reference_changes(later, old, new),
        [alias for alias in aliases_old if (old.name, alias) not in {(new.name, other) for other in aliases_new}],
        [alias for alias in aliases_new if (new.name, alias) not in {(old.name, other) for other in aliases_old}],
        _input_changes(later, old, new),
        old.run,
        new.run,
    )


def version_before(view: View, row: VersionRow) -> VersionRow | None:
    """Return the newest live version of the same artifact with a lower number, or None."""
    earlier = VERSIONS.scan(view.rows, row.name, after=row.version, reverse=True)
    return next((found for found in earlier if found.status == READY), None)


def _file_changes(
    view: View, old: VersionRow, new: VersionRow, limit: int | None
) -> tuple[FileCounts, list[FileChange], list[FolderRename]]:
    pages_old, pages_new = created(view, old).pages, created(view, new).pages
    shared = set(pages_old).intersection(pages_new)
    removed: list[FileAdded] = []
    added: list[FileAdded] = []
    changed: list[tuple[FileAdded, FileAdded]] = []
    changed_count = 0
    for before, after in _side_by_side(_files(view, pages_old, shared), _files(view, pages_new, shared)):
        if before is None:
            assert after is not None
            added.append(after)
        elif after is None:
            removed.append(before)
        elif before != after:
            changed_count += 1
            if limit is None or len(changed) < limit:
                changed.append((before, after))
    pairs = paired(removed, added)
    sources = {file.path for file in pairs.renamed.values()}
    files = _listed(pairs.renamed, pairs.copied, added, changed, (file for file in removed if file.path not in sources))
    counts = FileCounts(
        len(added) - len(pairs.renamed) - len(pairs.copied),
        len(removed) - len(pairs.renamed),
        changed_count,
        len(pairs.renamed),
        len(pairs.copied),
        old.file_count - len(removed) - changed_count,
        old.size_bytes,
        new.size_bytes,
    )
    folders = folder_renames((file.path, path) for path, file in pairs.renamed.items())
    return counts, list(islice(files, limit)), folders


def _listed(
    renamed: dict[str, FileAdded],
    copied: dict[str, FileAdded],
    added: Iterable[FileAdded],
    changed: Iterable[tuple[FileAdded, FileAdded]],
    removed: Iterable[FileAdded],
) -> Iterator[FileChange]:
    """Yield all changes in order of their paths; each kind is in that order already."""

    def came(file: FileAdded) -> FileChange:
        if (source := renamed.get(file.path)) is not None:
            return FileChange("renamed", to_file(source), to_file(file))
        if (source := copied.get(file.path)) is not None:
            return FileChange("copied", to_file(source), to_file(file))
        return FileChange("added", None, to_file(file))

    return merge(
        map(came, added),
        (FileChange("changed", to_file(before), to_file(after)) for before, after in changed),
        (FileChange("removed", to_file(file), None) for file in removed),
        key=lambda change: change.path,
    )


def _files(view: View, positions: Sequence[int], without: set[int]) -> Iterator[FileAdded]:
    for position in positions:
        if position not in without:
            yield from view.page(position)


def _side_by_side(
    old: Iterator[FileAdded], new: Iterator[FileAdded]
) -> Iterator[tuple[FileAdded | None, FileAdded | None]]:
    """Yield files with the same path together, and others alone; both must be in order of their paths."""
    before, after = next(old, None), next(new, None)
    while before is not None or after is not None:
        if after is None or (before is not None and before.path < after.path):
            yield before, None
            before = next(old, None)
        elif before is None or after.path < before.path:
            yield None, after
            after = next(new, None)
        else:
            yield before, after
            before, after = next(old, None), next(new, None)


def _reference_changes(view: View, old: VersionRow, new: VersionRow) -> list[ReferenceChange]:
    before = {reference.uri: to_reference(reference) for reference in references(view, old)}
    after = {reference.uri: to_reference(reference) for reference in references(view, new)}
    found: list[ReferenceChange] = []
    for uri in sorted(before.keys() | after.keys()):
        one, other = before.get(uri), after.get(uri)
        if one != other:
            kind: Change = "added" if one is None else "removed" if other is None else "changed"
            found.append(ReferenceChange(kind, uri, one, other))
    return found


def _input_changes(view: View, old: VersionRow, new: VersionRow) -> list[InputChange]:
    before, after = _inputs(view, old), _inputs(view, new)
    return [
        InputChange(name, before.get(name, []), after.get(name, []))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _inputs(view: View, row: VersionRow) -> dict[str, list[str]]:
    """Return what the run that made a version had used before, by artifact."""
    found: dict[str, list[str]] = {}
    for edge in inputs(view, row.run) if row.run is not None else ():
        if edge.position < row.position:
            found.setdefault(edge.name, []).append(names.spec(edge.name, edge.version))
    return found
