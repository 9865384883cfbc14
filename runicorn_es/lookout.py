"""Tell when a small file has another content, without looking at it all the time.

The kernel tells (inotify) of what programs on this machine write. On file systems where others write as well, and where
the kernel cannot tell anything, the file is looked at in pauses that grow. Either way the content decides, so nothing
is missed that is there at the next look, and what was told in vain costs one look.
"""

from collections.abc import Sequence
import ctypes
import math
import os
from pathlib import Path
import select
import struct
from threading import RLock
import time

from runicorn_es import durable, settings

_EVENT = struct.Struct("iIII")
_NONBLOCKING = os.O_NONBLOCK | os.O_CLOEXEC
_MODIFIED = 0x00000002
# Removed, moved away, or another link to it: the name may mean another file from now on.
_REPLACED = 0x00000400 | 0x00000800 | 0x00000004
# File systems that other machines, or programs behind the kernel, may write to: NFS, SMB, FUSE, 9p, Ceph, Lustre, …
_SHARED_FILESYSTEMS = frozenset(
    {
        0x6969, 0x517B, 0xFF534D42, 0xFE534D42, 0x65735546, 0x01021997, 0x00C36400, 0x0BD00BD0, 0x47504653,
        0x19830326, 0x7461636F, 0x01161970, 0xAAD7AAEA, 0x786F4256, 0x5346414F, 0x73757245,
    }
)  # fmt: skip
_STATFS_BYTES = 512
_GROWTH = 1.5

_libc = ctypes.CDLL(None, use_errno=True)


class Lookout:
    """Waits for one file. One thread waits; any other, or a signal handler, may stop it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_stopped = False
        self._closing = RLock()
        # The reading and the writing end of what stops a wait, then perhaps what the kernel tells.
        self._descriptors: list[int] = []
        self._open()

    def next(self, known: bytes, wait_s: float) -> bytes | None:
        """Return the content once it is another than is known, and not empty; None after the wait or a stop."""
        if self._pid != os.getpid():
            # What was opened before a fork is shared with the parent, which would miss what the child reads of it.
            self.close()
            self._open()
        deadline = time.monotonic() + wait_s
        while not self._is_stopped:
            # Before the look: what is written after it is told.
            self._watch_file()
            content = durable.read_small_file(self._path)
            if content and content != known:
                self._pause_s = settings.FOLLOW_POLL_FIRST_MS / 1000
                return content
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            self._wait(left_s)
        return None

    def stop(self) -> None:
        """Have whoever waits stop at once, and for good."""
        self._is_stopped = True
        with self._closing:
            if self._descriptors:
                os.write(self._descriptors[1], b"x")

    def has_stopped(self) -> bool:
        """Return whether somebody has stopped it."""
        return self._is_stopped

    def close(self) -> None:
        """Release what is held."""
        with self._closing:
            for descriptor in self._descriptors:
                os.close(descriptor)
            self._descriptors = []

    def __del__(self) -> None:
        if hasattr(self, "_descriptors"):
            self.close()

    def _open(self) -> None:
        self._pid = os.getpid()
        self._descriptors = list(os.pipe())
        self._watch = -1
        self._pause_s = settings.FOLLOW_POLL_FIRST_MS / 1000
        inotify = _inotify()
        if inotify is not None:
            self._descriptors.append(inotify)
        self._is_shared = _is_shared(self._path.parent)

    def _watch_file(self) -> None:
        if self._watch < 0 and len(self._descriptors) > 2:
            mask = ctypes.c_uint32(_MODIFIED | _REPLACED)
            self._watch = _libc.inotify_add_watch(self._descriptors[2], os.fsencode(self._path), mask)

    def _wait(self, left_s: float) -> None:
        if self._watch >= 0 and not self._is_shared:
            pause_s = left_s
        else:
            pause_s = self._pause_s
            self._pause_s = min(self._pause_s * _GROWTH, settings.FOLLOW_POLL_MOST_MS / 1000)
        stopping, _, *telling = self._descriptors
        if set(telling) & set(_ready([stopping, *telling], min(pause_s, left_s))):
            self._hear(telling[0])

    def _hear(self, inotify: int) -> None:
        """Read what the kernel tells, and watch the file anew where its name may mean another one."""
        told = os.read(inotify, 4096)
        at = 0
        while at < len(told):
            watch, mask, _, name_bytes = _EVENT.unpack_from(told, at)
            at += _EVENT.size + name_bytes
            if watch == self._watch and mask & _REPLACED:
                # Fails where the file is gone, and with it the watch.
                _libc.inotify_rm_watch(inotify, self._watch)
                self._watch = -1


def _ready(descriptors: Sequence[int], wait_s: float) -> list[int]:
    """Return which descriptors have something to read, waiting so long for the first."""
    waiting = select.poll()
    for descriptor in descriptors:
        waiting.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in waiting.poll(math.ceil(wait_s * 1000))]


def _inotify() -> int | None:
    """Return what the kernel tells through; None where there is no such thing, or this user has too many of them."""
    make = getattr(_libc, "inotify_init1", None)
    descriptor = -1 if make is None else make(_NONBLOCKING)
    return None if descriptor < 0 else int(descriptor)


def _is_shared(folder: Path) -> bool:
    """Return whether the kernel may not know of all that is written to this file system."""
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    if not hasattr(_libc, "statfs") or _libc.statfs(os.fsencode(folder), found) != 0:
        return True
    kind = ctypes.c_long.from_buffer(found).value & 0xFFFFFFFF
    return kind in _SHARED_FILESYSTEMS
