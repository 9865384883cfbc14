"""Folders opened one below the other without ever following a symbolic link, so that no path leads out of its top."""

from contextlib import suppress
import errno
import os
from types import TracebackType
from typing import Self

from runicorn_es.errors import Rejected

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Folders:
    """The chain of open folders from a top folder to wherever the last path led; sorted paths reopen little.

    Owns one descriptor a level. Use as a context manager.
    """

    def __init__(self, top: str | os.PathLike[str]) -> None:
        self._top = os.fspath(top)
        # The top itself is the caller's choice, and may be a link.
        self._parts: list[str] = []
        self._descriptors = [os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        self._folder = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)

    def enter(self, path: str, *, make: bool = False) -> tuple[int, str]:
        """Return the descriptor of the folder that holds this path, and the path's last part.

        ``make``: make folders that are missing. Raises Rejected where a part of the path is not a folder.
        """
        folder, _, name = path.rpartition("/")
        if folder != self._folder:
            self._go(folder.split("/") if folder else [], make=make)
            self._folder = folder
        return self._descriptors[-1], name

    def _go(self, parts: list[str], *, make: bool) -> None:
        common = 0
        for mine, wanted in zip(self._parts, parts, strict=False):
            if mine != wanted:
                break
            common += 1
        while len(self._parts) > common:
            self._parts.pop()
            os.close(self._descriptors.pop())
        self._folder = "/".join(self._parts)
        for part in parts[common:]:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=self._descriptors[-1])
            try:
                descriptor = os.open(part, _FLAGS, dir_fd=self._descriptors[-1])
            except OSError as error:
                if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                    where = "/".join([self._top, *self._parts, part])
                    raise Rejected(
                        f"{where} is not a folder but a link or a file; remove it or choose another folder"
                    ) from error
                raise
            self._descriptors.append(descriptor)
            self._parts.append(part)
            self._folder = "/".join(self._parts)
