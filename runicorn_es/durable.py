"""Files that survive a power cut, and locks that die with their holder. The only home of fsync, rename and flock.

Invariants:
- A rename or a new name is not durable until its folder is synced (Pillai et al., OSDI 2014, "All File Systems Are Not
  Created Equal").
- A failed fsync is final: the kernel may have dropped the pages and will report success the next time (Rebello et al.,
  ATC 2020, "Can Applications Recover from fsync Failures?"). Nothing here retries one.
- A lock is an flock on an open descriptor: it is released when the process ends, however it ends.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
import ctypes
import errno
import fcntl
import os
from pathlib import Path
import random
import time
from typing import BinaryIO

from runicorn_es import bell
from runicorn_es.errors import Busy

_PUBLIC_MODE = 0o666
_WAIT_FIRST_S = 0.0002
_WAIT_MOST_S = 0.005
_LOOK_AGAIN_S = 0.02
_HOLDER_BYTES = 200
_SYNC_FILE_RANGE_WRITE = 2
_FALLOC_FL_KEEP_SIZE = 1
_SMALL_FILE_BYTES = 64 * 1024
_PARTS_MAX = 512

_libc = ctypes.CDLL(None, use_errno=True)
_libc.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)

# The descriptors of locks held by this process. A forked child shares them, and would keep its parent's locks.
_held: set[int] = set()


def _let_go_in_child() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)


def write_all(descriptor: int, content: bytes | memoryview) -> None:
    """Write all of it, however often the kernel writes less than asked. Raises OSError, with some of it written."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def write_all_at(descriptor: int, content: bytes | bytearray, offset: int) -> None:
    """Write all of it from an offset on. Raises OSError, with some of it written."""
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def write_parts_at(descriptor: int, parts: Sequence[bytes | bytearray | memoryview], offset: int) -> None:
    """Write parts one behind the other from an offset on, a few calls for many of them."""
    for begin in range(0, len(parts), _PARTS_MAX):
        some = [memoryview(part) for part in parts[begin : begin + _PARTS_MAX]]
        while some:
            written = os.pwritev(descriptor, some, offset)
            offset += written
            while some and written >= len(some[0]):
                written -= len(some.pop(0))
            if some:
                some[0] = some[0][written:]


def has_room(descriptor: int, size_bytes: int) -> bool:
    """Return whether the file has blocks for this many bytes already, as ``make_room`` gives it."""
    return os.fstat(descriptor).st_blocks * 512 >= size_bytes


def make_room(descriptor: int, size_bytes: int) -> None:
    """Give a file blocks up to this size, which stays what it is. Raises OSError when the disk is full.

    Does nothing on a file system that cannot promise blocks.
    """
    if _libc.fallocate(descriptor, _FALLOC_FL_KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(size_bytes)) != 0:
        number = ctypes.get_errno()
        if number in {errno.ENOSPC, errno.EDQUOT, errno.EIO}:
            raise OSError(number, os.strerror(number))


def sync(descriptor: int) -> None:
    """Return once the file's bytes and size are on the disk. Raises OSError; then the file must not be trusted."""
    os.fdatasync(descriptor)


def sync_folder(folder: Path) -> None:
    """Return once the names in this folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def filesystem_of(folder: Path) -> Iterator[Callable[[], None]]:
    """Yield a function that returns once all that was written to this folder's file system is on the disk.

    One call instead of one a file. The system tells each open file once that a write failed: enter the block before the
    first write, so that a failure is told to you also when somebody else's sync met it first.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def sync_all() -> None:
        sync_filesystem(folder, descriptor)

    try:
        yield sync_all
    finally:
        os.close(descriptor)


def sync_filesystem(folder: Path, descriptor: int | None = None) -> None:
    """Return once everything written to this folder's file system is on the disk.

    descriptor: of the folder, opened before what is to be synced was written (``filesystem_of``). Raises OSError.
    """
    if descriptor is None:
        with filesystem_of(folder) as sync_all:
            return sync_all()
    if _libc.syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(folder))
    return None


def start_writing_back(descriptor: int, offset: int, size_bytes: int) -> None:
    """Ask the kernel to begin writing this range to the disk, without waiting. Only a hint: it may do nothing."""
    _libc.sync_file_range(descriptor, offset, size_bytes, _SYNC_FILE_RANGE_WRITE)


def write_file(path: Path, content: bytes, *, mode: int = _PUBLIC_MODE) -> None:
    """Make or replace a file so that after a power cut it is the old or the new one, and when we return the new one."""
    _replace(path, content, mode, is_synced=True)
    sync_folder(path.parent)


def put_file(path: Path, content: bytes) -> None:
    """Make or replace a file in one step, for every process; the caller syncs the whole file system afterwards."""
    _replace(path, content, _PUBLIC_MODE, is_synced=False)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write to, which takes the place of another, or of none, when the block ends; then it is durable.

    A block that ends with an exception leaves the old file as it is, and no trace.
    """
    with (
        _in_place_of(path, _PUBLIC_MODE, is_synced=True) as descriptor,
        os.fdopen(descriptor, "wb", closefd=False) as file,
    ):
        yield file
    sync_folder(path.parent)


def _replace(path: Path, content: bytes, mode: int, *, is_synced: bool) -> None:
    with _in_place_of(path, mode, is_synced=is_synced) as descriptor:
        write_all(descriptor, content)


@contextmanager
def _in_place_of(path: Path, mode: int, *, is_synced: bool) -> Iterator[int]:
    scratch = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            yield descriptor
            if is_synced:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        scratch.rename(path)
    except BaseException:
        with suppress(OSError):
            scratch.unlink()
        raise


def read_small_file(path: Path) -> bytes:
    """Return the content of a small file; of a longer one its beginning, and nothing where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(descriptor, _SMALL_FILE_BYTES, 0)
    finally:
        os.close(descriptor)


def update_file(
    path: Path,
    change: Callable[[bytes], bytes | None],
    *,
    wait_s: float,
    is_enough: Callable[[bytes], bool] = lambda _: False,
) -> None:
    """Write a small file in place, at once for every process, without waiting for the disk.

    ``change`` is given its content, while nobody else updates it, and returns the new one, or None to leave it. Up to
    512 bytes it is one sector, and after a power cut the old or the new one. Replacing the file by a rename would make
    ext4 write it back on the spot, which costs as much as a sync. While another updates it, ``is_enough`` is asked
    whether what it has become will do. Raises Busy after the wait.
    """
    descriptor = _open_lock(path, os.O_RDWR | os.O_CREAT)
    try:
        deadline = time.monotonic() + wait_s
        pause_s = _WAIT_FIRST_S
        while not _try_lock(descriptor, fcntl.LOCK_EX, path):
            if is_enough(os.pread(descriptor, _SMALL_FILE_BYTES, 0)):
                return
            if time.monotonic() >= deadline:
                raise _busy(descriptor, path, wait_s)
            # Waiters who all sleep the same time would all wake at the same time.
            time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
            pause_s = min(pause_s * 1.5, _WAIT_MOST_S)
        present = os.pread(descriptor, _SMALL_FILE_BYTES, 0)
        content = change(present)
        if content is not None:
            write_all_at(descriptor, content, 0)
            if len(content) < len(present):
                os.ftruncate(descriptor, len(content))
    finally:
        _release(descriptor)
        _close_lock(descriptor)


def remove_file(path: Path) -> None:
    """Remove a file, if it is there, so that it does not come back after a power cut."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder, and its parents, each durable in its own parent.

    A folder that exists is synced all the same: whoever made it may have died before syncing it.
    """
    if not folder.parent.exists():
        make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir(mode=mode)
    sync_folder(folder.parent)


def rename(source: str | Path, target: str | Path) -> None:
    """Move a file into place in one step, replacing what is there. The caller syncs the folder, or all at once."""
    os.rename(source, target)  # noqa: PTH104


@contextmanager
def locked(path: Path, *, wait_s: float, holder: str) -> Iterator[int]:
    """Hold the exclusive lock of this file for the length of the block; yields its descriptor.

    ``holder`` is written into the file for others to read. Raises Busy, naming the present holder, after ``wait_s``
    seconds. The descriptor is of its own for each call, so threads of one process exclude each other as well. Who
    waits sleeps, and is woken when the lock is released.
    """
    descriptor = _open_lock(path, os.O_RDWR | os.O_CREAT)
    try:
        if not _try_lock(descriptor, fcntl.LOCK_EX, path):
            _wait_for(descriptor, path, wait_s=wait_s)
        # Only for messages: a torn or stale holder misleads nobody, for the lock itself is the kernel's.
        with suppress(OSError):
            os.pwrite(descriptor, holder.encode().ljust(_HOLDER_BYTES)[:_HOLDER_BYTES], 0)
        try:
            yield descriptor
        finally:
            if _release(descriptor):
                bell.ring(descriptor)
    finally:
        _close_lock(descriptor)


def holder_of(path: Path) -> str | None:
    """Return who holds the exclusive lock of this file, in words; None when nobody does, or there is no such file."""
    try:
        descriptor = _open_lock(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return None if _try_lock(descriptor, fcntl.LOCK_SH, path) else _holder_in(descriptor)
    finally:
        _release(descriptor)
        _close_lock(descriptor)


@contextmanager
def leased(folder: Path, *, exclusive: bool = False, wait_s: float = 0.0) -> Iterator[None]:
    """Hold a shared (or exclusive) flock on a folder itself for the length of the block. Raises Busy after the wait."""
    lease = Lease(folder)
    try:
        lease.take(exclusive=exclusive, wait_s=wait_s)
        yield
    finally:
        lease.give_up()


class Lease:
    """A shared (or exclusive) flock on a folder itself, for what is not the length of a block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def take(self, *, exclusive: bool = False, wait_s: float = 0.0) -> None:
        """Get it. Raises Busy after the wait; also then ``give_up`` must be called."""
        self._descriptor = _open_lock(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        deadline = time.monotonic() + wait_s
        while not _try_lock(self._descriptor, kind, self._folder):
            if time.monotonic() >= deadline:
                raise Busy(f"{self._folder} is in use by another process; try again when it has finished")
            time.sleep(_WAIT_MOST_S)

    def give_up(self) -> None:
        """Give it up; nothing happens where it was never asked for."""
        if self._descriptor is not None:
            _release(self._descriptor)
            _close_lock(self._descriptor)
            self._descriptor = None


def _release(descriptor: int) -> bool:
    """Give up a lock; False in a child that was forked meanwhile, which has neither the lock nor the descriptor.

    Closing the descriptor would not do: a program that another thread is just starting has a copy of it until it runs.
    """
    is_ours = descriptor in _held
    if is_ours:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    return is_ours


def _open_lock(path: Path, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_CLOEXEC, _PUBLIC_MODE)
    _held.add(descriptor)
    return descriptor


def _close_lock(descriptor: int) -> None:
    # In a child that was forked meanwhile, it is closed already, and its number may be another file's.
    if descriptor in _held:
        _held.discard(descriptor)
        os.close(descriptor)


def boot_id() -> str | None:
    """Return what names this boot of the machine, or None where the system does not say (then nothing is trusted)."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None


def _wait_for(descriptor: int, path: Path, *, wait_s: float) -> None:
    """Sleep until the lock is ours; whoever releases it rings for one of those who wait."""
    deadline = time.monotonic() + wait_s
    with bell.listening(descriptor) as listener:
        while True:
            listener.listen()
            if _try_lock(descriptor, fcntl.LOCK_EX, path):
                return
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise _busy(descriptor, path, wait_s)
            # One who dies with the lock rings for nobody.
            listener.wait(min(left_s, _LOOK_AGAIN_S))


def _busy(descriptor: int, path: Path, wait_s: float) -> Busy:
    return Busy(f"{path} is held by {_holder_in(descriptor)}; waited {wait_s:g} s, nothing was changed; try again")


def _holder_in(descriptor: int) -> str:
    return os.pread(descriptor, _HOLDER_BYTES, 0).decode(errors="replace").strip() or "an unknown process"


def _try_lock(descriptor: int, kind: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise OSError(
                error.errno, f"the file system of {path} has no flock; put the store on a local disk", str(path)
            ) from error
        raise
    return True
