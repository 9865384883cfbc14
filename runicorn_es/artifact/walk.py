"""The files below a folder, without following a link out of it and without opening what is not a file."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
import os
import stat
from typing import Literal

from runicorn_es.errors import Rejected

Symlinks = Literal["error", "follow"]


def files_below(folder: str, exclude: Sequence[str], symlinks: Symlinks) -> Iterator[str]:
    """Yield the paths of all files below a folder, relative to it, in order.

    ``exclude``: shell patterns; one with a slash is compared with the whole relative path, one without also with each
    name, and a folder that matches is not entered. Raises Rejected for a link (unless ``symlinks="follow"``), a FIFO, a
    socket or a device, and for links that go in circles.
    """
    yield from _below(folder, "", tuple(pattern.rstrip("/") for pattern in exclude), symlinks, ())


def _below(
    top: str, prefix: str, exclude: tuple[str, ...], symlinks: Symlinks, above: tuple[tuple[int, int], ...]
) -> Iterator[str]:
    here = f"{top}/{prefix}" if prefix else top
    if symlinks == "follow":
        found = os.stat(here)  # noqa: PTH116
        if (found.st_dev, found.st_ino) in above:
            raise Rejected(f"{here} leads back to a folder above it; exclude it with exclude_patterns")
        above = (*above, (found.st_dev, found.st_ino))
    with os.scandir(here) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        path = prefix + entry.name
        if exclude and _is_excluded(path, entry.name, exclude):
            continue
        if entry.is_symlink() and symlinks == "error":
            raise Rejected(
                f"{entry.path} is a symbolic link; pass symlinks='follow' to store what it points to, or exclude it "
                "with exclude_patterns"
            )
        if entry.is_dir():
            yield from _below(top, f"{path}/", exclude, symlinks, above)
        elif entry.is_file():
            yield path
        else:
            raise Rejected(
                f"{entry.path} is {_kind(entry)}; only files can be stored; exclude it with exclude_patterns"
            )


def _is_excluded(path: str, name: str, exclude: tuple[str, ...]) -> bool:
    return any(fnmatchcase(path, pattern) or ("/" not in pattern and fnmatchcase(name, pattern)) for pattern in exclude)


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110
        return "a symbolic link to nothing"
    mode = entry.stat().st_mode
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
