"""Ordered keys and values, many readers, one writer. LMDB on disk, a dictionary in tests and on read-only stores.

LMDB runs without sync: safe against kill -9, not against a power cut, after which it may open fine and answer wrongly.
So the id of the machine's boot is written durably beside it before it is made; under another boot, or after any error
on opening, it is wiped and folded anew from the log.
"""

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
import ctypes
import os
from pathlib import Path
import shutil
import struct
from threading import Lock, RLock
from typing import Protocol, cast
import weakref

import lmdb
import msgspec

from runicorn_es import durable, settings
from runicorn_es.errors import Damaged

# The classic engine by number: lmdb 3 carries two with files that the other cannot read.
_ENGINE = 0
_META = struct.Struct("<IIQQ")
_MAGIC = 0xBEEFC0DE
_PAGE_HEADER_BYTES = 16
_DB_BYTES = 48
_READER_BYTES = 64
_SCANNED_AT_ONCE = 256


class TablesFailed(Damaged):
    """LMDB failed. Nothing is lost: the next open folds the tables anew from the log."""


class Reader(Protocol):
    """One consistent state of the tables."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""

    def scan(self, prefix: bytes, *, after: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys that begin with the prefix and their values, in order; ``after``: only keys beyond this one.

        In reverse, ``after`` means keys before this one.
        """


class Writer(Reader, Protocol):
    """A state in the making; all of it becomes visible at once, or none."""

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of a key."""

    def replace(self, key: bytes, value: bytes) -> bytes | None:
        """Set the value of a key and return the one it had, or None."""

    def delete(self, key: bytes) -> None:
        """Remove a key, if it is there."""

    def put_all(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Set the values of many keys; in the order of the keys it is the quickest."""


class Tables(Protocol):
    """Where states are kept."""

    def reading(self) -> AbstractContextManager[Reader]:
        """Open the newest state for the length of the block."""

    def writing(self) -> AbstractContextManager[Writer]:
        """Open a state in the making; it is kept when the block ends without an exception."""

    def close(self) -> None:
        """Release what is held."""


class MemoryTables:
    """Tables in memory; one thread at a time."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        # What the keys changed in the block had before: the value, or None.
        self._undo: dict[bytes, bytes | None] = {}

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Open the state. Nobody writes meanwhile."""
        with self._lock:
            yield self

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Open the state for changes; an exception in the block takes them back."""
        with self._lock:
            self._undo = {}
            try:
                yield self
            except BaseException:
                for key, value in self._undo.items():
                    if value is None:
                        self._remove(key)
                    else:
                        self._set(key, value)
                raise

    def close(self) -> None:
        """Do nothing: memory goes by itself."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        return self._values.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of a key."""
        self._undo.setdefault(key, self._values.get(key))
        self._set(key, value)

    def replace(self, key: bytes, value: bytes) -> bytes | None:
        """Set the value of a key and return the one it had, or None."""
        old = self._values.get(key)
        self.put(key, value)
        return old

    def delete(self, key: bytes) -> None:
        """Remove a key, if it is there."""
        self._undo.setdefault(key, self._values.get(key))
        self._remove(key)

    def put_all(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Set the values of many keys."""
        for key, value in rows:
            self.put(key, value)

    def scan(self, prefix: bytes, *, after: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys with this prefix and their values, in order; what is put meanwhile may be among them."""
        end = _end_of(prefix)
        while True:
            first = bisect_left(self._keys, prefix)
            last = len(self._keys) if end is None else bisect_left(self._keys, end)
            if after and reverse:
                last = min(last, bisect_left(self._keys, after))
            elif after:
                first = max(first, bisect_right(self._keys, after))
            # So many at once: who wants the first of a million should not wait for all.
            if reverse:
                keys = self._keys[max(first, last - _SCANNED_AT_ONCE) : last][::-1]
            else:
                keys = self._keys[first : min(last, first + _SCANNED_AT_ONCE)]
            for key in keys:
                value = self._values.get(key)
                if value is not None:
                    yield key, value
            if last - first <= _SCANNED_AT_ONCE:
                return
            after = keys[-1]

    def _set(self, key: bytes, value: bytes) -> None:
        if key not in self._values:
            insort(self._keys, key)
        self._values[key] = value

    def _remove(self, key: bytes) -> None:
        if self._values.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]


class LmdbTables:
    """Tables in an LMDB environment; several threads and processes at once."""

    def __init__(self, user: "_User", key: str, boot_file: Path) -> None:
        self._user = user
        self._environment = user.shared.environment
        self._key = key
        self._boot_file = boot_file

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Open the newest state. Keep the block short: while it lasts, no page that it sees is used again."""
        with self._transaction(write=False) as transaction:
            yield _LmdbState(transaction)

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Open a state in the making; waits for another process's."""
        with self._transaction(write=True) as transaction:
            yield _LmdbState(transaction)

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[lmdb.Transaction]:
        try:
            with self._environment.begin(write=write, buffers=False) as transaction:
                yield transaction
        except lmdb.Error as error:
            # Whoever opens them next makes them anew.
            distrust(self._boot_file)
            raise TablesFailed(
                f"the projections in {self._key} failed ({error}); nothing is lost, open the store again"
            ) from error

    def close(self) -> None:
        """Close the environment when nobody else in this process uses it."""
        with _sharing:
            self._user.leave()

    def is_current(self) -> bool:
        """Return whether the folder has this environment, or none."""
        return _file_of(Path(self._key)) in {None, self._user.shared.file}

    def close_when(self, forgotten: object) -> None:
        """Close when nothing refers to an object any more, this one perhaps, as if its owner had done it."""
        weakref.finalize(forgotten, self._user.leave_soon).atexit = False


class _LmdbState:
    """One LMDB transaction as a Reader or Writer."""

    def __init__(self, transaction: lmdb.Transaction) -> None:
        self._transaction = transaction
        # Without a function of ours around them: they are called for every file and row. No value is a buffer.
        self.get = cast("Callable[[bytes], bytes | None]", transaction.get)
        self.put = cast("Callable[[bytes, bytes], None]", transaction.put)

    def replace(self, key: bytes, value: bytes) -> bytes | None:
        old = self._transaction.replace(key, value)
        assert old is None or isinstance(old, bytes)
        return old

    def delete(self, key: bytes) -> None:
        self._transaction.delete(key)

    def put_all(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        with self._transaction.cursor() as cursor:
            cursor.putmulti(rows)

    def scan(self, prefix: bytes, *, after: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        with self._transaction.cursor() as cursor:
            if reverse:
                # To the first key at or beyond the end, then one back; or to the last key of all.
                end = _end_of(prefix)
                if after and (end is None or after < end):
                    end = after
                found = cursor.prev() if end is not None and cursor.set_range(end) else cursor.last()
            else:
                found = cursor.set_range(max(prefix, after + b"\x00") if after else prefix)
            while found:
                key, value = cursor.item()
                assert isinstance(key, bytes)
                assert isinstance(value, bytes)
                if not key.startswith(prefix):
                    return
                yield key, value
                found = cursor.prev() if reverse else cursor.next()


@contextmanager
def gathered(out: Writer) -> Iterator[Writer]:
    """Lend a Writer before another: what is put is kept, and written in the order of the keys, each once.

    That is when the block ends well; and before each scan, for a scan asks the one behind.
    """
    rows = _Gathered(out)
    yield rows
    rows.flush()


class _Gathered:
    """What ``gathered`` lends."""

    def __init__(self, out: Writer) -> None:
        self._out = out
        # The values to be, or None for keys to remove.
        self._waiting: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None."""
        if key in self._waiting:
            return self._waiting[key]
        return self._out.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of a key."""
        self._waiting[key] = value

    def replace(self, key: bytes, value: bytes) -> bytes | None:
        """Set the value of a key and return the one it had, or None."""
        old = self._waiting[key] if key in self._waiting else self._out.get(key)
        self._waiting[key] = value
        return old

    def delete(self, key: bytes) -> None:
        """Remove a key, if it is there."""
        self._waiting[key] = None

    def put_all(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Set the values of many keys."""
        self._waiting.update(rows)

    def scan(self, prefix: bytes, *, after: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys that begin with the prefix and their values, in order, as for a Reader."""
        self.flush()
        return self._out.scan(prefix, after=after, reverse=reverse)

    def flush(self) -> None:
        """Write what is kept."""
        rows: list[tuple[bytes, bytes]] = []
        for key in sorted(self._waiting):
            value = self._waiting[key]
            if value is None:
                self._out.delete(key)
            else:
                rows.append((key, value))
        self._out.put_all(rows)
        self._waiting.clear()


class _Shared(msgspec.Struct, eq=False):
    """An open environment of this process, and how many tables use it."""

    environment: lmdb.Environment
    users: int
    pid: int
    # Device and inode of the data, which tell a store made anew from the one before.
    file: tuple[int, int] | None


class _User:
    """One of those who use an open environment; the last who leaves closes it."""

    def __init__(self, key: str, shared: _Shared) -> None:
        self.shared = shared
        self._key = key
        self._has_left = False

    def leave(self) -> None:
        """Use it no more. The lock of this module must be held."""
        if self._has_left or self.shared.pid != os.getpid():
            return
        self._has_left = True
        self.shared.users -= 1
        if self.shared.users == 0:
            if _shared.get(self._key) is self.shared:
                del _shared[self._key]
            if self.shared in _left_open:
                _left_open.remove(self.shared)
            self.shared.environment.close()

    def leave_soon(self) -> None:
        """As ``leave``, but never waiting: for the garbage collector, which may run in the middle of anything."""
        if _sharing.acquire(blocking=False):
            try:
                self.leave()
            finally:
                _sharing.release()
        else:
            _forgotten.append(self)


# By folder. Guarded by _sharing. LMDB allows one environment a file and process.
_shared: dict[str, _Shared] = {}
_left_open: list[_Shared] = []
# What was forgotten while somebody held _sharing; released by whoever opens tables next.
_forgotten: deque[_User] = deque()
_sharing = Lock()


def open_tables(folder: Path, boot_file: Path, identity: str) -> Tables:
    """Return the tables in this folder if they were written under this boot and identity, else new, empty ones.

    ``identity`` is whatever the rows depend on: the store's id and the number of the rows' schema. In a process that
    was forked while the tables were open, tables in memory are returned: an inherited environment could commit the
    parent's transactions, and closing it would free the parent's reader slots.
    """
    key = str(folder.resolve())
    with _sharing:
        while _forgotten:
            _forgotten.popleft().leave()
        shared = _shared.get(key)
        if shared is not None and shared.file != _file_of(folder):
            # The store was removed under us, and perhaps made anew. Whoever still uses its tables may keep them.
            _left_open.append(_shared.pop(key))
            shared = None
        if shared is not None and shared.pid != os.getpid():
            return MemoryTables()
        if shared is None:
            if not folder.parent.is_dir():
                durable.make_folder(folder.parent)
            with durable.leased(folder.parent, exclusive=True, wait_s=settings.LOCK_WAIT_S):
                environment = _open_or_wipe(folder, boot_file, identity)
                shared = _Shared(environment, 0, os.getpid(), _file_of(folder))
            _shared[key] = shared
        shared.users += 1
        return LmdbTables(_User(key, shared), key, boot_file)


@contextmanager
def peeked(folder: Path, boot_file: Path, identity: str) -> Iterator[Reader | None]:
    """Yield the tables in this folder as they are, or None where there are none of this boot and identity.

    Makes and wipes nothing. Raises TablesFailed when LMDB cannot read them.
    """
    is_ours = _text_of(boot_file) == f"{durable.boot_id()} {identity}\n"
    if not is_ours or not _is_whole(folder / "data.mdb"):
        yield None
        return
    key = str(folder.resolve())
    with _sharing:
        shared = _shared.get(key)
    if shared is not None and shared.pid == os.getpid():
        with LmdbTables(_User(key, shared), key, boot_file).reading() as rows:
            yield rows
        return
    try:
        # Where the folder cannot be written there is no other process that writes either, and no lock is needed.
        environment = lmdb.open(
            str(folder), readonly=True, lock=os.access(folder, os.W_OK), create=False, lib_version=_ENGINE
        )
        with environment, environment.begin(buffers=False) as transaction:
            yield _LmdbState(transaction)
    except lmdb.Error as error:
        raise TablesFailed(f"the projections in {folder} cannot be read ({error})") from error


def distrust(boot_file: Path) -> None:
    """Have the tables made anew by whoever opens them next."""
    with suppress(FileNotFoundError):
        boot_file.unlink()


def are_current(opened: Tables) -> bool:
    """Return whether tables are those that lie in their folder, or none lie there: others may have made them anew."""
    return not isinstance(opened, LmdbTables) or opened.is_current()


def close_when_forgotten(owner: object, opened: Tables) -> None:
    """Have tables closed when their owner is no more, as if the owner had done it; their owner may be they."""
    if isinstance(opened, LmdbTables):
        opened.close_when(owner)


def _file_of(folder: Path) -> tuple[int, int] | None:
    try:
        found = (folder / "data.mdb").stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def wipe(folder: Path, boot_file: Path) -> None:
    """Remove the tables. First what vouches for them, then they themselves."""
    distrust(boot_file)
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


def _forget_in_child() -> None:
    global _sharing  # noqa: PLW0603
    _sharing = Lock()
    for shared in [*_shared.values(), *_left_open]:
        # Never to be closed here, not even when the interpreter ends.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(shared.environment))


os.register_at_fork(after_in_child=_forget_in_child)


def _open_or_wipe(folder: Path, boot_file: Path, identity: str) -> lmdb.Environment:
    boot = durable.boot_id()
    wanted = f"{boot} {identity}\n"
    if boot is not None and _text_of(boot_file) == wanted and _is_whole(folder / "data.mdb"):
        with suppress(lmdb.Error):
            return _open(folder)
    wipe(folder, boot_file)
    durable.make_folder(folder)
    durable.write_file(boot_file, wanted.encode())
    try:
        return _open(folder)
    except lmdb.Error as error:
        raise TablesFailed(
            f"the projections in {folder} cannot be made: {error}; see whether the disk is full"
        ) from error


def _open(folder: Path) -> lmdb.Environment:
    for map_bytes in settings.LMDB_MAP_BYTES:
        # A limit of address space (ulimit -v) refuses a large map.
        with suppress(lmdb.MemoryError):
            return _open_with(folder, map_bytes)
    raise lmdb.MemoryError(f"no room to map {settings.LMDB_MAP_BYTES[-1]} bytes")


def _open_with(folder: Path, map_bytes: int) -> lmdb.Environment:
    _give_readers_room(folder / "lock.mdb")
    environment = lmdb.open(
        str(folder),
        map_size=map_bytes,
        max_readers=settings.LMDB_READERS_MAX,
        sync=False,
        metasync=False,
        mode=0o666,
        lib_version=_ENGINE,
    )
    # Slots of readers that were killed would keep old pages alive for ever.
    environment.reader_check()
    return environment


def _give_readers_room(lock_file: Path) -> None:
    """Give LMDB's table of readers its blocks. It is mapped, and on a full disk a missing block kills the process."""
    descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        os.posix_fallocate(descriptor, 0, (settings.LMDB_READERS_MAX + 2) * _READER_BYTES)
    finally:
        os.close(descriptor)


def _end_of(prefix: bytes) -> bytes | None:
    """Return the first key behind all keys with this prefix, or None where there is no such key."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return None


def _is_whole(path: Path) -> bool:
    """Return whether the file is as long as its states say: LMDB maps it, and a missing page kills the process."""
    try:
        with path.open("rb") as file:
            head = file.read(2 * 65536)
            size_bytes = file.seek(0, 2)
    except OSError:
        return False
    page_bytes = _page_bytes(head)
    if page_bytes is None:
        return False
    needed = 0
    for at in (0, page_bytes):
        meta = head[at + _PAGE_HEADER_BYTES : at + _PAGE_HEADER_BYTES + _META.size + 2 * _DB_BYTES + 16]
        if len(meta) < _META.size + 2 * _DB_BYTES + 16 or _META.unpack_from(meta)[0] != _MAGIC:
            return False
        last_page = int(struct.unpack_from("<Q", meta, _META.size + 2 * _DB_BYTES)[0])
        needed = max(needed, (last_page + 1) * page_bytes)
    return size_bytes >= needed


def _page_bytes(head: bytes) -> int | None:
    at = _PAGE_HEADER_BYTES + _META.size
    if len(head) < at + 4:
        return None
    page_bytes = int(struct.unpack_from("<I", head, at)[0])
    return page_bytes if page_bytes in {4096, 8192, 16384, 32768, 65536} else None
