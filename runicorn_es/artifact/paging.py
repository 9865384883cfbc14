"""The files of a version cut into pages, at places that the paths themselves determine.

A page ends behind a path whose BLAKE3 digest begins with a zero byte (one in 256), or when it is full. So a change to
one file changes one page, and two versions have all their other pages in common. The idea is content-defined chunking
(Muthitacharoen et al., SOSP 2001, "A Low-bandwidth Network File System"), applied to a list of names.
"""

from collections.abc import Iterable, Iterator, Sequence

from blake3 import blake3

from runicorn_es import codec, settings
from runicorn_es.commands import Page
from runicorn_es.errors import Rejected
from runicorn_es.events import FileAdded

_FIXED_BYTES = 48  # what a file takes in a page besides its path


def pages_of(files: Iterable[FileAdded]) -> Iterator[Page]:
    """Yield the pages of files that are sorted by the bytes of their paths."""
    page: list[FileAdded] = []
    size_bytes = 0
    for file in files:
        path = file.path.encode()
        page.append(file)
        size_bytes += len(path) + _FIXED_BYTES
        is_full = len(page) == settings.PAGE_FILES_MAX or size_bytes >= settings.PAGE_BYTES_MAX
        if is_full or blake3(path).digest(1) == b"\x00":
            yield _page(page)
            page, size_bytes = [], 0
    if page:
        yield _page(page)


def require_tree(paths: Sequence[str]) -> None:
    """Raise Rejected when one path is a file and also the folder of another."""
    files = set(paths)
    checked: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in checked:
            checked.add(folder)
            if folder in files:
                raise Rejected(f"{folder!r} would be a file and, for {path!r}, a folder; add one under another name")
            folder = folder.rpartition("/")[0]


def _page(files: list[FileAdded]) -> Page:
    return Page(codec.page_digest(files), tuple(files))
