"""The digests of files by what stat says of them, so that an unchanged tree costs only its stats.

A row is trusted only if the file was last changed well before it was read: a change within the clock's granularity
could not be told from none ("racily clean", as git calls it). A wrong row could only come from a file whose content was
changed and whose change time was kept, which no system call does.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
import os
import struct
import zlib

from runicorn_es.tables import Reader, TablesFailed, Writer

PREFIX = b"~"
_KEY = struct.Struct(">QQ")
_ROW = struct.Struct("<Qqq32s")
_CHECKED = struct.Struct("<Qqq32sI")
_ROW_BYTES = _ROW.size
_CHECKED_BYTES = _CHECKED.size
_DIGEST = slice(_ROW.size - 32, _ROW.size)
_CHECKSUM = struct.Struct("<I")
_GRANULARITY_NS = 50_000_000
_COARSE_GRANULARITY_NS = 2_000_000_000


class TableStatCache:
    """A stat cache in the tables. Rows learned are kept in memory until ``flush``."""

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[Reader]],
        writing: Callable[[], AbstractContextManager[Writer]],
    ) -> None:
        self._reading = reading
        self._writing = writing
        self._learned: dict[bytes, bytes] = {}

    def find(self, found: Sequence[os.stat_result]) -> list[bytes | None]:
        """Return for each file its digest if it is unchanged, else None."""
        with self._reading() as rows:
            get, key_of = rows.get, _KEY.pack
            return [_digest_in(get(PREFIX + key_of(one.st_dev, one.st_ino)), one) for one in found]

    def remember(self, found: os.stat_result, digest: bytes, seen_ns: int) -> None:
        """Note the digest of a file that was read from ``seen_ns`` on, unless it was changed just before."""
        changed_ns = max(found.st_mtime_ns, found.st_ctime_ns)
        is_coarse = found.st_mtime_ns % 1_000_000_000 == 0
        if changed_ns + (_COARSE_GRANULARITY_NS if is_coarse else _GRANULARITY_NS) > seen_ns:
            return
        row = _ROW.pack(found.st_size, found.st_mtime_ns, found.st_ctime_ns, digest)
        self._learned[_key(found)] = row + _CHECKSUM.pack(zlib.crc32(row))

    def flush(self) -> None:
        """Write the rows learned, in the order of their keys. What cannot be remembered is forgotten."""
        if self._learned:
            with suppress(TablesFailed, OSError), self._writing() as out:
                out.put_all(sorted(self._learned.items()))
            self._learned.clear()


def digest_of(key: bytes, row: bytes) -> bytes | None:
    """Return the digest that a remembered row is about: of this cache, or of blobs that were hashed. None: of none."""
    if len(row) == _CHECKED_BYTES:
        return row[_DIGEST]
    return key[len(PREFIX) :] if len(key) == len(PREFIX) + 32 else None


def _digest_in(row: bytes | None, found: os.stat_result) -> bytes | None:
    if row is None or len(row) != _CHECKED_BYTES:
        return None
    size_bytes, mtime_ns, ctime_ns, digest, checksum = _CHECKED.unpack(row)
    if (size_bytes, mtime_ns, ctime_ns) != (found.st_size, found.st_mtime_ns, found.st_ctime_ns):
        return None
    return digest if zlib.crc32(row[:_ROW_BYTES]) == checksum else None


def _key(found: os.stat_result) -> bytes:
    return PREFIX + _KEY.pack(found.st_dev, found.st_ino)
