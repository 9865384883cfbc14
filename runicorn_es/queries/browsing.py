"""What somebody who browses asks: one folder at a time, and the newest first."""

from collections.abc import Iterator
from itertools import islice

import msgspec

from runicorn_es.events import FileAdded
from runicorn_es.projections.rows import READY, RUNS_BY_START, VERSIONS, RunRow, VersionRow
from runicorn_es.queries.catalog import artifact
from runicorn_es.queries.content import created
from runicorn_es.queries.graph import run
from runicorn_es.queries.view import View

# Behind "/" in the order of bytes: no path in a folder is as large.
_BEHIND_SLASH = b"0"


class Folder(msgspec.Struct, frozen=True):
    """What lies directly in a folder of a version, in the order of paths: names of folders end with ``/``.

    files: the file of each name that is one. next: after which name there is more, or None.
    """

    names: list[str]
    files: dict[str, FileAdded]
    next: str | None


def folder(view: View, row: VersionRow, path: str = "", *, after: str | None = None, limit: int) -> Folder:
    """Return what lies directly in a folder (``""``: the topmost), so many at most, beyond a name if given.

    Reads only the pages that this takes: what is in folders below is leapt over.
    """
    prefix = f"{path}/".encode() if path else b""
    pages = _Pages(view, created(view, row).pages)
    position = prefix if after is None else _beyond(prefix + after.encode())
    found: dict[str, FileAdded | None] = {}
    while (file := pages.first_from(position)) is not None and file.path.encode().startswith(prefix):
        if len(found) == limit:
            return _folder(found, is_cut=True)
        name, slash, _ = file.path[len(prefix.decode()) :].partition("/")
        found[name + slash] = None if slash else file
        position = _beyond(prefix + (name + slash).encode())
    return _folder(found, is_cut=False)


def recent_runs(view: View, *, before: str | None = None, limit: int, project: str | None = None) -> list[RunRow]:
    """Return runs, the newest first: those begun before a run, of a project, if given. Raises Unknown."""
    beyond = None if before is None else run(view, before).position
    found = (run(view, row.run) for row in RUNS_BY_START.scan(view.rows, after=beyond, reverse=True))
    return list(islice((row for row in found if project is None or row.project == project), limit))


def recent_versions(
    view: View, name: str, *, before: int | None = None, limit: int, deleted: bool = True
) -> list[VersionRow]:
    """Return versions of an artifact, the newest first: those before a number if given. Raises Unknown."""
    artifact(view, name)
    found = VERSIONS.scan(view.rows, name, after=before, reverse=True)
    return list(islice((row for row in found if deleted or row.status == READY), limit))


def hidden_versions(view: View, limit: int) -> list[VersionRow]:
    """Return so many of the versions that are deleted and can be restored. Looks at one row after another for them."""
    return list(islice((row for row in VERSIONS.scan(view.rows) if row.status == "deleted"), limit))


def _beyond(name: bytes) -> bytes:
    """Return what every path is at least as large as that comes behind a file, or behind a folder with all in it."""
    return name[:-1] + _BEHIND_SLASH if name.endswith(b"/") else name + b"\x00"


def _folder(found: dict[str, FileAdded | None], *, is_cut: bool) -> Folder:
    files = {name: file for name, file in found.items() if file is not None}
    return Folder(list(found), files, list(found)[-1] if is_cut else None)


class _Pages:
    """The files of a version by path; pages are read when they are asked for, and each once."""

    def __init__(self, view: View, positions: tuple[int, ...]) -> None:
        self._view = view
        self._positions = positions
        self._read: dict[int, tuple[FileAdded, ...]] = {}
        # In which page the last answer was, and by how many pages beyond the one before: the next is often as far.
        self._here = 0
        self._stride = 1

    def first_from(self, path: bytes) -> FileAdded | None:
        """Return the first file whose path is not before this one. To be asked with growing paths."""
        if not self._positions:
            return None
        before, self._here = self._here, self._page_with(path)
        self._stride = max(1, self._here - before)
        for number in range(self._here, len(self._positions)):
            for file in self._page(number):
                if file.path.encode() >= path:
                    self._here = number
                    return file
        return None

    def _page_with(self, path: bytes) -> int:
        """Return the last page whose first path is not beyond this one, looking ever farther from where we are."""
        low, step = self._here, self._stride
        if low + step < len(self._positions) and self._first(low + step) <= path:
            low, step = low + step, 1
            while low + step < len(self._positions) and self._first(low + step) <= path:
                low, step = low + step, step * 2
        high = min(low + step, len(self._positions))
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._first(middle) <= path else (low, middle)
        return low

    def _first(self, number: int) -> bytes:
        page = self._page(number)
        return page[0].path.encode() if page else b""

    def _page(self, number: int) -> tuple[FileAdded, ...]:
        if number not in self._read:
            self._read[number] = self._view.page(self._positions[number])
        return self._read[number]


def numbers_in(values: dict[str, object], prefix: str = "", depth: int = 3) -> Iterator[tuple[str, float]]:
    """Yield the numbers in metadata by dotted name, such as ``eval.accuracy``; those nested deeper than that not."""
    for key, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{key}", value
        elif isinstance(value, dict) and depth > 1:
            yield from numbers_in(value, f"{prefix}{key}.", depth - 1)
