"""Blobs by the hash of their bytes: one read-only file each. Knows no artifact.

Invariants:
- A blob appears under its name only after its bytes are durable, and its name is durable before it is handed on.
- A blob has mode 0444 and the modification time 1 s after the epoch; one that has not is in doubt, and is hashed.
- Wrong bytes are never handed out; they are moved to ``pool/quarantine``, never deleted.
"""

from contextlib import suppress
import errno
import mmap
import os
from pathlib import Path
import stat
from typing import BinaryIO

from blake3 import blake3

from runicorn_es import durable, settings
from runicorn_es.errors import BlobDamaged
from runicorn_es.layout import Layout
from runicorn_es.names import Digest

BLOB_MODE = 0o444
BLOB_MTIME_NS = 1_000_000_000
_WRITE_BITS = 0o222


class Pool:
    """The pool of one store."""

    def __init__(self, layout: Layout, *, read_only: bool = False) -> None:
        self._layout = layout
        self._is_read_only = read_only

    def create(self) -> None:
        """Make all folders of the pool, durably; a folder made later might not be in its parent after a power cut."""
        for folder in (self._layout.incoming, self._layout.pool_quarantine):
            durable.make_folder(folder)
        for folder in self._layout.fan_out():
            folder.mkdir(exist_ok=True)
        durable.sync_folder(self._layout.pool)

    def path(self, digest: bytes, size_bytes: int) -> str:
        """Return the path of a blob whose file looks untouched, or was hashed because it did not.

        Raises BlobDamaged when it is missing or has other bytes; those are then in quarantine.
        """
        path = self._layout.blob(digest)
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            raise BlobDamaged(
                f"blob {Digest(digest)} is missing from the pool ({path}); log the same file again, or copy the blob "
                "from another copy of this store",
                digest,
            ) from None
        if not looks_untouched(found, size_bytes):
            self._verify_doubtful(path, digest)
        return path

    def open(self, digest: bytes, size_bytes: int) -> BinaryIO:
        """Return a blob opened for reading. Raises BlobDamaged as ``path`` does."""
        return open(self.path(digest, size_bytes), "rb")  # noqa: PTH123

    def holds(self, digest: bytes, size_bytes: int) -> bool:
        """Return whether the pool has this blob intact. One with other bytes is moved away, so that it can heal."""
        path = self._layout.blob(digest)
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return False
        if looks_untouched(found, size_bytes):
            return True
        try:
            self._verify_doubtful(path, digest)
        except BlobDamaged:
            return False
        return True

    def quarantine(self, digest: bytes) -> Path:
        """Move a blob with wrong bytes out of the pool and return where it is now."""
        if not self._layout.pool_quarantine.is_dir():
            durable.make_folder(self._layout.pool_quarantine)
        kept = self._layout.pool_quarantine / f"{digest.hex()}-{os.urandom(4).hex()}"
        durable.rename(self._layout.blob(digest), kept)
        return kept

    def size_bytes(self) -> int:
        """Return the bytes of all blobs, by looking at each."""
        total = 0
        for folder in self._layout.fan_out():
            if not folder.is_dir():
                continue
            with os.scandir(folder) as found:
                total += sum(entry.stat(follow_symlinks=False).st_size for entry in found)
        return total

    def _verify_doubtful(self, path: str, digest: bytes) -> None:
        """Seal a blob again if its bytes are right; else move it away and raise BlobDamaged."""
        if self._has_right_bytes(path, digest):
            return
        where = f"its bytes are still in {path}"
        with suppress(OSError):
            if not self._is_read_only:
                where = f"its bytes are now in {self.quarantine(digest)}"
        raise BlobDamaged(
            f"blob {Digest(digest)} was changed, probably through a hard link to it; {where}; "
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
                if not self._is_read_only:
                    seal(descriptor)
        finally:
            os.close(descriptor)
        return True


def looks_untouched(found: os.stat_result, size_bytes: int) -> bool:
    """Return whether a stat shows a blob as it was sealed: a regular file, read-only, fixed mtime, its size."""
    return (
        stat.S_ISREG(found.st_mode)
        and not found.st_mode & _WRITE_BITS
        and found.st_mtime_ns == BLOB_MTIME_NS
        and found.st_size == size_bytes
    )


def seal(descriptor: int) -> None:
    """Make an open file read-only with the fixed modification time, as every blob is."""
    os.fchmod(descriptor, BLOB_MODE)
    os.utime(descriptor, ns=(BLOB_MTIME_NS, BLOB_MTIME_NS))


def hash_file(descriptor: int, size_bytes: int) -> bytes:
    """Return the BLAKE3-256 digest of an open file, with all cores and bounded memory.

    Reads and does not map: a file that somebody else cuts meanwhile would kill the process.
    """
    hasher = blake3(max_threads=blake3.AUTO)
    buffer = memoryview(bytearray(min(size_bytes, settings.HASH_STEP_BYTES)))
    offset = 0
    while offset < size_bytes and (count := os.preadv(descriptor, [buffer], offset)):
        hasher.update(buffer[:count])
        offset += count
    return hasher.digest()


def hash_range(hasher: blake3, descriptor: int, offset: int, size_bytes: int) -> None:
    """Add a range of an open file of our own to a hash. ``offset`` must be a multiple of the page size."""
    with mmap.mmap(descriptor, size_bytes, prot=mmap.PROT_READ, offset=offset) as mapped:
        hasher.update(mapped)
