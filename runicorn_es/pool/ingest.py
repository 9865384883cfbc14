"""Files into the pool: staged, hashed as stored, made durable together, then renamed into place.

The steps, for a whole batch of files at once:
1. each file is copied into ``pool/incoming/<token>/`` and hashed; one that the pool has is skipped;
2. one sync of the file system: the bytes are durable;
3. rename to their names in the pool;
4. one more sync: the names are durable. It also covers blobs that were "already there": whoever put them there may
   have died before its own step 4.
Only then may an event name them. A shared lease on ``incoming`` is held until that event is in the log.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
import errno
from functools import partial
from itertools import groupby, islice
import os
from pathlib import Path
from queue import SimpleQueue
import shutil
import stat
from threading import Thread
import time
from typing import Protocol

from blake3 import blake3
import msgspec

from runicorn_es import durable, settings
from runicorn_es.aside import Behind
from runicorn_es.errors import Rejected, WriteFailed
from runicorn_es.hashing import hasher
from runicorn_es.pool import Pool, hash_file, hash_range, leases, seal
from runicorn_es.pool.folders import Folders
from runicorn_es.pool.sources import Source, kind_of, open_source, require_unchanged, stat_source
from runicorn_es.tables import TablesFailed

Progress = Callable[[int], None]
_NO_COPY_FILE_RANGE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF}
_LOOKED_UP_AT_ONCE = 4096
_READ_AT_ONCE = 128
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}


class Stored(msgspec.Struct, frozen=True, gc=False):
    """What a source turned out to be. ``added_bytes`` is 0 when the pool had the blob already."""

    digest: bytes
    size_bytes: int
    executable: bool
    added_bytes: int


class _Read(msgspec.Struct, frozen=True, gc=False):
    """A small file that was read and hashed, and is not in the pool yet; ``place``: which of the sources it is."""

    place: int
    digest: bytes
    content: bytes


class StatCache(Protocol):
    """Remembers the digest of files by what stat says of them."""

    def find(self, found: Sequence[os.stat_result]) -> list[bytes | None]:
        """Return for each file its digest if it is unchanged, else None."""

    def remember(self, found: os.stat_result, digest: bytes, seen_ns: int) -> None:
        """Note the digest of a file that was read from ``seen_ns`` (of the file system's clock) on."""

    def flush(self) -> None:
        """Keep what was noted; called now and then, so that it need not be held in memory."""


@contextmanager
def taking_in(
    pool: Pool, sources: Iterable[Source], *, token: str, cache: StatCache, progress: Progress
) -> Iterator[list[Stored]]:
    """Take files into the pool; yields what was stored, in order, once it is durable; the list is the caller's.

    In the block the caller appends the events that name the blobs. When it ends well, the sources of mode ``move`` are
    removed. When anything fails, staging is removed and every source is where it was; only one of mode ``link`` or
    ``move`` that was already published as a blob stays read-only. ``progress`` is told bytes as they come.
    Raises Rejected for what is not a regular file, or changed while it was read; OSError as it comes.
    """
    layout = pool.layout
    if not layout.incoming.is_dir():
        durable.make_folder(layout.incoming)
    with leases.taking_in(layout, wait_s=settings.LOCK_WAIT_S), durable.filesystem_of(layout.pool) as sync_all:
        staging = layout.incoming / token
        staging.mkdir()
        intake = _Intake(pool, staging, cache, progress)
        try:
            stored = intake.take(sources)
            if stored:
                intake.publish(sync_all)
            yield stored
        except BaseException:
            intake.tell_usage(are_named=False)
            intake.restore_sources()
            raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        intake.tell_usage(are_named=True)
        intake.remove_moved()


class _Intake:
    """One batch on its way in."""

    def __init__(self, pool: Pool, staging: Path, cache: StatCache, progress: Progress) -> None:
        self._layout = pool.layout
        self._pool = pool
        self._staging = staging
        self._cache = cache
        self._progress = progress
        # By digest, with their sizes; and the names of those not called by their digest. There may be millions.
        self._staged: dict[bytes, int] = {}
        self._names: dict[bytes, str] = {}
        # Sources to remove in the end, with what stat said of them: only that very file is removed.
        self._moved: list[tuple[Source, os.stat_result]] = []
        # Sources that share their inode with a blob to be, with the mode and times to restore if all comes to nothing.
        self._adopted: list[tuple[Path, os.stat_result]] = []
        self._is_published = False
        self._executables: dict[tuple[int, int], bool] = {}
        # For the sums of the pool: what was there already, and what came.
        self._found: list[bytes] = []
        self._count = self._size_bytes = 0
        self._changes: int | None = None
        with suppress(TablesFailed, OSError):
            self._changes = pool.usage.expect()

    def take(self, sources: Iterable[Source]) -> list[Stored]:
        stored: list[Stored] = []
        for folder, group in groupby(sources, key=lambda source: source.folder):
            with Folders(folder) as folders:
                while some := list(islice(group, _LOOKED_UP_AT_ONCE)):
                    stored += self._take_some(some, folders)
                    self._cache.flush()
        self._found = [one.digest for one in stored if one.digest not in self._staged]
        return stored

    def publish(self, sync_all: Callable[[], None]) -> None:
        """Steps 2 to 4: nothing is named before its bytes are durable, nor handed on before its name is."""
        try:
            if self._staged:
                sync_all()
            is_crowded = self._begin_usage()
            self._is_published = True
            with self._pool.hashed.touching():
                for digest, size_bytes in self._staged.items():
                    blob = self._layout.blob(digest)
                    if not (is_crowded and os.path.exists(blob)):  # noqa: PTH110
                        self._count += 1
                        self._size_bytes += size_bytes
                    name = self._names.get(digest) or digest.hex()
                    self._name(f"{self._staging}/{name}", blob)
                    self._pool.hashed.learn(digest)
            sync_all()
            # There may be millions, and the log is to be written yet.
            self._staged.clear()
        except OSError as error:
            raise WriteFailed(error.errno, f"the files could not be made durable ({error.strerror})") from error

    def _name(self, staged: str, blob: str) -> None:
        try:
            durable.rename(staged, blob)
        except FileNotFoundError:
            # A copy of the store may have lost its empty folders.
            durable.make_folder(Path(blob).parent)
            durable.rename(staged, blob)

    def _begin_usage(self) -> bool:
        """Return whether others may have given the staged blobs their names meanwhile."""
        if self._staged and self._changes is not None:
            with suppress(TablesFailed, OSError):
                return self._pool.usage.begin(self._staging.name, self._staged, self._changes)
        return True

    def tell_usage(self, *, are_named: bool) -> None:
        """Have the sums of the pool say what came, and what the log names of what was there. It is only remembered."""
        with suppress(TablesFailed, OSError):
            if not are_named:
                if self._is_published:
                    self._pool.usage.fail(self._staging.name)
                return
            if self._count:
                self._pool.usage.end(self._staging.name, self._count, self._size_bytes)
            self._pool.usage.name(self._found)

    def restore_sources(self) -> None:
        if self._is_published:
            # The inode is a blob now, and another writer may have named it already: it stays as a blob must be.
            return
        for path, before in self._adopted:
            with suppress(OSError):
                path.chmod(stat.S_IMODE(before.st_mode))
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def remove_moved(self) -> None:
        for source, before in self._moved:
            path = Path(str(source))
            with suppress(FileNotFoundError):
                if os.path.samestat(path.lstat(), before):
                    path.unlink()

    def _take_some(self, sources: Sequence[Source], folders: Folders) -> list[Stored]:
        """Ask the cache for all at once, and read only those that it does not know."""
        stats = [stat_source(source, folders) for source in sources]
        digests = self._cache.find(stats)
        held = self._have(digests, stats)
        stored: list[Stored] = []
        with Behind() as behind:
            self._take_each(zip(sources, stats, digests, strict=True), held, folders, stored, behind)
        return stored

    def _take_each(
        self,
        looked_up: Iterable[tuple[Source, os.stat_result, bytes | None]],
        held: Collection[bytes],
        folders: Folders,
        stored: list[Stored],
        behind: Behind,
    ) -> None:
        """Small files are read some at a time; while those are staged, another thread reads the next."""
        read: list[_Read] = []
        read_bytes = 0
        for source, found, known in looked_up:
            if known is not None and stat.S_ISREG(found.st_mode) and known in held:
                self._progress(found.st_size)
                if source.mode == "move":
                    self._moved.append((source, found))
                stored.append(Stored(known, found.st_size, bool(found.st_mode & 0o111), 0))
            elif source.mode == "copy" and stat.S_ISREG(found.st_mode) and found.st_size <= settings.SMALL_FILE_BYTES:
                one, before = self._read_small(source, folders, len(stored))
                stored.append(Stored(one.digest, before.st_size, bool(before.st_mode & 0o111), before.st_size))
                read.append(one)
                read_bytes += before.st_size
                if len(read) >= _READ_AT_ONCE or read_bytes >= settings.SMALL_FILE_BYTES:
                    behind.do(partial(self._store_read, read, stored))
                    read, read_bytes = [], 0
            else:
                behind.wait()
                stored.append(self._take_one(source, folders))
        behind.wait()
        self._store_read(read, stored)

    def _read_small(self, source: Source, folders: Folders, place: int) -> tuple[_Read, os.stat_result]:
        descriptor = open_source(source, folders)
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise Rejected(f"{source} is not a regular file but {kind_of(before)}; only files can be stored")
            seen_ns = time.time_ns()
            content = os.read(descriptor, settings.SMALL_FILE_BYTES + 1)
            require_unchanged(source, descriptor, before, len(content))
        finally:
            os.close(descriptor)
        digest = blake3(content).digest()
        self._cache.remember(before, digest, seen_ns)
        self._progress(len(content))
        return _Read(place, digest, content), before

    def _store_read(self, read: Sequence[_Read], stored: list[Stored]) -> None:
        """Stage what the pool has not, asking it once for all; correct what was stored where nothing came."""
        held = self._pool.holds([(one.digest, len(one.content)) for one in read])
        for one, is_held in zip(read, held, strict=True):
            if is_held or one.digest in self._staged:
                stored[one.place] = msgspec.structs.replace(stored[one.place], added_bytes=0)
            else:
                self._write_small(one.digest, one.content)
                # One and the same number in both, of which there may be millions.
                self._staged[one.digest] = stored[one.place].size_bytes

    def _take_one(self, source: Source, folders: Folders) -> Stored:
        descriptor = open_source(source, folders)
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise Rejected(f"{source} is not a regular file but {kind_of(before)}; only files can be stored")
            if source.mode == "move":
                self._moved.append((source, before))
            executable = bool(before.st_mode & 0o111)
            if source.mode != "copy":
                # A file that was adopted already, under another name, has lost its executable bit meanwhile.
                executable = self._executables.setdefault((before.st_dev, before.st_ino), executable)
            seen_ns = time.time_ns()
            digest, added_bytes = self._store(source, descriptor, before)
            self._cache.remember(before, digest, seen_ns)
            # One and the same number as among the staged, where there may be millions.
            size_bytes = self._staged.get(digest, before.st_size)
            return Stored(digest, size_bytes, executable, added_bytes)
        finally:
            os.close(descriptor)

    def _store(self, source: Source, descriptor: int, before: os.stat_result) -> tuple[bytes, int]:
        if source.mode != "copy" and (digest := self._adopt(source, descriptor, before)) is not None:
            return digest
        if before.st_size <= settings.SMALL_FILE_BYTES:
            return self._store_small(source, descriptor, before)
        return self._store_large(source, descriptor, before)

    def _store_small(self, source: Source, descriptor: int, before: os.stat_result) -> tuple[bytes, int]:
        content = os.read(descriptor, settings.SMALL_FILE_BYTES + 1)
        require_unchanged(source, descriptor, before, len(content))
        digest = blake3(content).digest()
        self._progress(len(content))
        if self._has(digest, len(content)):
            return digest, 0
        self._write_small(digest, content)
        self._staged[digest] = len(content)
        return digest, len(content)

    def _write_small(self, digest: bytes, content: bytes) -> None:
        path = f"{self._staging}/{digest.hex()}"
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
        try:
            durable.write_all(target, content)
            seal(target)
        finally:
            os.close(target)

    def _store_large(self, source: Source, descriptor: int, before: os.stat_result) -> tuple[bytes, int]:
        path = self._staging / f"large-{len(self._staged)}"
        target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
        try:
            digest, size_bytes = _copy_and_hash(descriptor, target, before.st_size, self._progress)
            require_unchanged(source, descriptor, before, size_bytes)
            seal(target)
        finally:
            os.close(target)
        if self._has(digest, size_bytes):
            path.unlink()
            return digest, 0
        self._staged[digest] = size_bytes
        self._names[digest] = path.name
        return digest, size_bytes

    def _adopt(self, source: Source, descriptor: int, before: os.stat_result) -> tuple[bytes, int] | None:
        """Take the source's own inode into the pool; None where the file system cannot."""
        path = self._staging / f"adopted-{len(self._adopted)}"
        try:
            os.link(str(source), path, follow_symlinks=source.follow)
        except OSError as error:
            if error.errno in _NO_LINK:
                return None
            raise
        if not os.path.samestat(path.stat(), before):
            raise Rejected(f"{source} was replaced while it was read; nothing was logged; try again")
        digest = hash_file(descriptor, before.st_size)
        require_unchanged(source, descriptor, before, before.st_size)
        self._progress(before.st_size)
        if self._has(digest, before.st_size):
            path.unlink()
            return digest, 0
        self._adopted.append((Path(str(source)), before))
        seal(descriptor)
        self._staged[digest] = before.st_size
        self._names[digest] = path.name
        return digest, before.st_size

    def _has(self, digest: bytes, size_bytes: int) -> bool:
        return digest in self._staged or self._pool.holds([(digest, size_bytes)])[0]

    def _have(self, digests: Sequence[bytes | None], stats: Sequence[os.stat_result]) -> set[bytes]:
        """Return which of these digests, of files of these sizes, the pool has intact."""
        asked = {digest: found.st_size for digest, found in zip(digests, stats, strict=True) if digest is not None}
        held = self._pool.holds(list(asked.items()))
        return {digest for digest, is_held in zip(asked, held, strict=True) if is_held}


def _copy_and_hash(source: int, target: int, size_bytes: int, progress: Progress) -> tuple[bytes, int]:
    """Copy so much of a file and hash what was stored, the two overlapped with each other and with the disk.

    Each step's write-back is started at once, while another thread hashes the stored pages behind it.
    """
    hashed = hasher()
    copied: SimpleQueue[tuple[int, int] | None] = SimpleQueue()
    failures: list[BaseException] = []

    def hash_behind() -> None:
        try:
            while step := copied.get():
                hash_range(hashed, target, *step)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    thread = Thread(target=hash_behind, daemon=True)
    thread.start()
    offset = 0
    try:
        # Not to the end of the file: one that grows as fast as we copy has none.
        while count := _copy_step(source, target, offset, min(settings.COPY_STEP_BYTES, size_bytes - offset)):
            durable.start_writing_back(target, offset, count)
            copied.put((offset, count))
            offset += count
            progress(count)
    finally:
        copied.put(None)
        thread.join()
    if failures:
        raise failures[0]
    return hashed.digest(), offset


def _copy_step(source: int, target: int, offset: int, step_bytes: int) -> int:
    """Copy a step at this offset and return its bytes: the whole step, unless the file ends before."""
    done = 0
    while done < step_bytes:
        at = offset + done
        try:
            count = os.copy_file_range(source, target, step_bytes - done, at, at)
        except OSError as error:
            if error.errno not in _NO_COPY_FILE_RANGE:
                raise
            content = os.pread(source, min(step_bytes - done, settings.MIB), at)
            os.lseek(target, at, os.SEEK_SET)
            durable.write_all(target, content)
            count = len(content)
        if count == 0:
            break
        done += count
    return done
