"""Blobs by the hash of their bytes: one read-only file each, or cold, in packs. Knows no artifact.

Invariants:
- A blob appears under its name only after its bytes are durable, and its name is durable before it is handed on.
- A blob has mode 0444 and the modification time 1 s after the epoch; one that has not is in doubt, and is hashed.
- A blob is hashed when it is first asked for after a start of the machine (``hashed``): disks rot.
- Wrong bytes are never handed out; they are moved to ``pool/quarantine``, never deleted.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
import errno
from functools import partial
import mmap
import os
from pathlib import Path
import stat
from typing import BinaryIO

from blake3 import blake3

from runicorn_es import durable, settings
from runicorn_es.aside import aside
from runicorn_es.cold import Packs
from runicorn_es.errors import BlobDamaged
from runicorn_es.hashing import hasher
from runicorn_es.layout import Layout
from runicorn_es.names import DIGEST_BYTES, Digest
from runicorn_es.pool.hashed import HashedBlobs
from runicorn_es.pool.usage import Usage
from runicorn_es.tables import TablesFailed

BLOB_MODE = 0o444
BLOB_MTIME_NS = 1_000_000_000
_WRITE_BITS = 0o222
_KIND_BITS = 0o170000


class Pool:
    """The pool of one store."""

    def __init__(
        self, layout: Layout, hashed: HashedBlobs, usage: Usage, packs: Packs, *, read_only: bool = False
    ) -> None:
        self.layout = layout
        self.hashed = hashed
        self.usage = usage
        self.packs = packs
        self._is_read_only = read_only

    def paths(self, wanted: Sequence[tuple[bytes, int]]) -> list[str | None]:
        """Return the paths of blobs by digest and size, hashed unless they are known to be as they should.

        None for a cold one, which lies in ``packs``. Raises BlobDamaged when one is missing or has other bytes; those
        are then in quarantine.
        """
        seen_paths, seen, known = self._look_at(wanted)
        paths: list[str | None] = [*seen_paths]
        if all(known):
            return paths
        cold = self._cold([one for one, found in zip(wanted, seen, strict=True) if found is None])
        for number, (digest, _) in enumerate(wanted):
            path = seen_paths[number]
            if seen[number] is not None:
                if not known[number]:
                    self._verify_doubtful(path, digest)
            elif digest in cold:
                paths[number] = None
            else:
                raise BlobDamaged(
                    f"blob {Digest(digest)} is missing from the pool ({path}); log the same file again, or copy the "
                    "blob from another copy of this store",
                    digest,
                )
        return paths

    def open(self, digest: bytes, size_bytes: int) -> BinaryIO:
        """Return a blob opened for reading. Raises BlobDamaged as ``paths`` does."""
        [path] = self.paths([(digest, size_bytes)])
        if path is not None:
            # It may have become cold since.
            with suppress(FileNotFoundError):
                return open(path, "rb")  # noqa: PTH123
        return self.packs.open(digest)

    def _cold(self, wanted: Sequence[tuple[bytes, int]]) -> set[bytes]:
        """Return which blobs, by digest and size, lie in packs."""
        if not wanted:
            return set()
        sizes = self.packs.sizes([digest for digest, _ in wanted])
        return {digest for (digest, size_bytes), found in zip(wanted, sizes, strict=True) if found == size_bytes}

    def holds(self, wanted: Sequence[tuple[bytes, int]]) -> list[bool]:
        """Return for each digest and size whether the pool has that blob intact.

        One with other bytes is moved away, so that it can heal.
        """
        paths, seen, held = self._look_at(wanted)
        if not all(held):
            for number, (digest, _) in enumerate(wanted):
                if seen[number] is not None and not held[number]:
                    with suppress(BlobDamaged):
                        self._verify_doubtful(paths[number], digest)
                        held[number] = True
            cold = self._cold([one for one, is_held in zip(wanted, held, strict=True) if not is_held])
            # Asked for every new file, and most have never been in a pack.
            if cold:
                asked = list(cold)
                cold = {digest for digest, is_sound in zip(asked, self.packs.are_sound(asked), strict=True) if is_sound}
                held = [is_held or digest in cold for is_held, (digest, _) in zip(held, wanted, strict=True)]
        return held

    def _look_at(
        self, wanted: Sequence[tuple[bytes, int]]
    ) -> tuple[list[str], list[os.stat_result | None], list[bool]]:
        """Return of all blobs the paths, what stat says, and whether that and what we know make hashing needless."""
        paths = [self.layout.blob(digest) for digest, _ in wanted]
        seen: list[os.stat_result | None] = []
        # Asked for every file of a version, and most of what that costs.
        lstat = os.lstat
        for path in paths:
            try:
                seen.append(lstat(path))
            except FileNotFoundError:
                seen.append(None)
        if not any(seen):
            return paths, seen, [False] * len(paths)
        known = self.hashed.find(
            [(digest, found.st_ctime_ns if found else -1) for (digest, _), found in zip(wanted, seen, strict=True)]
        )
        return (
            paths,
            seen,
            [
                is_known and found is not None and looks_untouched(found, size_bytes)
                for found, is_known, (_, size_bytes) in zip(seen, known, wanted, strict=True)
            ],
        )

    def quarantine(self, digest: bytes) -> Path:
        """Move a blob with wrong bytes out of the pool and return where it is now."""
        if not self.layout.pool_quarantine.is_dir():
            durable.make_folder(self.layout.pool_quarantine)
        kept = self.layout.pool_quarantine / f"{digest.hex()}-{os.urandom(4).hex()}"
        durable.rename(self.layout.blob(digest), kept)
        with suppress(TablesFailed, OSError):
            self.usage.forget()
        return kept

    def put_aside(self, digest: bytes) -> str:
        """Move a blob with wrong bytes out of the pool, where we may write; returns in words where they are."""
        with suppress(OSError):
            if not self._is_read_only:
                return f"its bytes are now in {self.quarantine(digest)}"
        return f"its bytes are still in {self.layout.blob(digest)}"

    def _verify_doubtful(self, path: str, digest: bytes) -> None:
        """Seal a blob again if its bytes are right; else move it away and raise BlobDamaged."""
        if self._has_right_bytes(path, digest):
            return
        raise BlobDamaged(
            f"blob {Digest(digest)} was changed, probably through a hard link to it; {self.put_aside(digest)}; "
            "log the original file again to heal it, and use download(mode='copy') for files you want to edit",
            digest,
        )

    def _has_right_bytes(self, path: str, digest: bytes) -> bool:
        try:
            # Neither through a link nor waiting on a FIFO: who knows what took the blob's place.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENXIO}:
                return False
            raise
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or hash_file(descriptor, found.st_size) != digest:
                return False
            # Where it cannot be sealed again, it is hashed each time.
            with suppress(OSError):
                if not self._is_read_only and not looks_untouched(found, found.st_size):
                    seal(descriptor)
            self.hashed.learn(digest, os.fstat(descriptor).st_ctime_ns)
        finally:
            os.close(descriptor)
        return True


def looks_untouched(found: os.stat_result, size_bytes: int) -> bool:
    """Return whether a stat shows a blob as it was sealed: a regular file, read-only, fixed mtime, its size."""
    return (
        found.st_mode & (_KIND_BITS | _WRITE_BITS) == stat.S_IFREG
        and found.st_mtime_ns == BLOB_MTIME_NS
        and found.st_size == size_bytes
    )


def digest_of_name(name: str) -> bytes | None:
    """Return the digest that a blob's file name says, or None for a name that is not a blob's."""
    try:
        digest = bytes.fromhex(name)
    except ValueError:
        return None
    return digest if len(digest) == DIGEST_BYTES and digest.hex() == name else None


def seal(descriptor: int) -> None:
    """Make an open file read-only with the fixed modification time, as every blob is."""
    os.fchmod(descriptor, BLOB_MODE)
    os.utime(descriptor, ns=(BLOB_MTIME_NS, BLOB_MTIME_NS))


def hash_file(descriptor: int, size_bytes: int) -> bytes:
    """Return the BLAKE3-256 digest of an open file, with all cores and bounded memory.

    Reads and does not map: a file that somebody else cuts meanwhile would kill the process. The next step is read
    while one is hashed.
    """
    hashed = hasher()
    step_bytes = min(size_bytes, settings.HASH_STEP_BYTES)
    buffer, other = memoryview(bytearray(step_bytes)), None
    read = partial(os.preadv, descriptor)
    count = offset = read([buffer], 0)
    while count and offset < size_bytes:
        # Copying out of the page cache keeps one core busy for a third as long as hashing keeps them all.
        other = other or memoryview(bytearray(step_bytes))
        reading = aside(partial(read, [other], offset))
        try:
            hashed.update(buffer[:count])
        finally:
            count = reading()
        buffer, other, offset = other, buffer, offset + count
    return hashed.update(buffer[:count]).digest()


def hash_range(hashed: blake3, descriptor: int, offset: int, size_bytes: int) -> None:
    """Add a range of an open file of our own to a hash. ``offset`` must be a multiple of the page size."""
    with mmap.mmap(descriptor, size_bytes, prot=mmap.PROT_READ, offset=offset) as mapped:
        hashed.update(mapped)


def create_pool(layout: Layout) -> None:
    """Make all folders of a pool, durably; a folder made later might not be in its parent after a power cut."""
    for folder in (layout.incoming, layout.pool_quarantine):
        durable.make_folder(folder)
    for folder in layout.fan_out():
        folder.mkdir(exist_ok=True)
    durable.sync_folder(layout.pool)


def blobs_of(layout: Layout) -> Iterator[tuple[bytes, os.DirEntry[str]]]:
    """Yield all blobs of a pool, by digest and entry of its folder."""
    for folder in layout.fan_out():
        if folder.is_dir():
            with os.scandir(folder) as found:
                for entry in found:
                    if (digest := digest_of_name(entry.name)) is not None:
                        yield digest, entry


def size_bytes_of(layout: Layout) -> int:
    """Return the bytes of all blobs of a pool, by looking at each."""
    return sum(entry.stat(follow_symlinks=False).st_size for _, entry in blobs_of(layout))
