"""The user's files on their way in: looked at and opened without being led elsewhere, and left alone while read."""

import errno
import os
import stat
from typing import Literal

import msgspec

from runicorn_es.errors import Rejected
from runicorn_es.pool.folders import Folders

Mode = Literal["copy", "link", "move"]


class Source(msgspec.Struct, frozen=True, gc=False):
    """A file to take in: ``path`` is below ``folder``, and no link is followed between the two unless ``follow``."""

    folder: str
    path: str
    mode: Mode = "copy"
    follow: bool = False

    def __str__(self) -> str:
        return f"{self.folder}/{self.path}"


def stat_source(source: Source, folders: Folders) -> os.stat_result:
    """Return what stat says of a source: of itself, not of what it points to unless that is followed."""
    if source.follow:
        return os.stat(str(source))  # noqa: PTH116
    folder, name = folders.enter(source.path)
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        error.filename = str(source)
        raise


def open_source(source: Source, folders: Folders) -> int:
    """Open a source for reading without waiting on a FIFO and, unless asked, without following a link."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        if source.follow:
            return os.open(str(source), flags)
        folder, name = folders.enter(source.path)
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Rejected(
                f"{source} is a symbolic link; pass symlinks='follow' to store the file it points to, or exclude it"
            ) from error
        if error.errno == errno.ENXIO:
            raise Rejected(f"{source} is a socket or a device; only files can be stored") from error
        if error.filename is not None:
            error.filename = str(source)
        raise


def require_unchanged(source: Source, descriptor: int, before: os.stat_result, read_bytes: int) -> None:
    """Raise Rejected unless an open source is as it was before so much of it was read, and that was all of it."""
    after = os.fstat(descriptor)
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns) or read_bytes != before.st_size:
        raise Rejected(f"{source} changed while it was read; nothing was logged; log it when its writer has finished")


def kind_of(found: os.stat_result) -> str:
    """Return in words what something is that is no regular file."""
    kinds = {
        stat.S_IFDIR: "a folder (use add_dir)",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
        stat.S_IFLNK: "a symbolic link",
    }
    return kinds.get(stat.S_IFMT(found.st_mode), "something else")
