"""A zip that is made as it is read: no file on the disk, and twelve bytes of memory for each file in it.

The directory at its end needs the paths once more; they are asked for a second time, not kept. Sizes are known before,
checksums after the bytes (a data descriptor follows them). PKWARE's APPNOTE.TXT 6.3.10; always with its 64-bit fields.
"""

from array import array
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
import struct
from typing import NamedTuple
import zlib

_LOCAL = struct.Struct("<4s5H3I2H")
_LOCAL_64 = struct.Struct("<2H2Q")
_DESCRIPTOR = struct.Struct("<4sI2Q")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_CENTRAL_64 = struct.Struct("<2H3Q")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_END = struct.Struct("<4s4H2IH")

_VERSION = 45
_MADE_ON_UNIX = 3 << 8 | _VERSION
_FLAGS = 1 << 3 | 1 << 11  # checksums follow the bytes; names are UTF-8
_FULL_32 = 0xFFFFFFFF
_FULL_16 = 0xFFFF


class Member(NamedTuple):
    """A file of the zip."""

    path: str
    size_bytes: int
    executable: bool
    digest: bytes


def zip_of(
    members: Callable[[], Iterator[Member]], bytes_of: Callable[[Member], Iterator[bytes]], when: datetime
) -> Iterator[bytes]:
    """Yield the bytes of a zip of these members, stored as they are; ``members`` is called twice."""
    stamp = _stamp(when)
    checksums, offsets = array("I"), array("Q")
    offset = 0
    for member in members():
        offsets.append(offset)
        name = member.path.encode()
        yield (
            _LOCAL.pack(b"PK\x03\x04", _VERSION, _FLAGS, 0, *stamp, 0, _FULL_32, _FULL_32, len(name), _LOCAL_64.size)
            + name
            + _LOCAL_64.pack(1, 16, member.size_bytes, member.size_bytes)
        )
        checksum = size_bytes = 0
        for piece in bytes_of(member):
            checksum = zlib.crc32(piece, checksum)
            size_bytes += len(piece)
            yield piece
        if size_bytes != member.size_bytes:
            # Too late to say so but by ending here, without the directory: then nobody takes it for whole.
            raise OSError(f"{member.path}: {size_bytes} bytes were read, {member.size_bytes} were logged")
        checksums.append(checksum)
        yield _DESCRIPTOR.pack(b"PK\x07\x08", checksum, size_bytes, size_bytes)
        offset += _LOCAL.size + len(name) + _LOCAL_64.size + size_bytes + _DESCRIPTOR.size
    size_bytes = 0
    for number, member in enumerate(members()):
        name = member.path.encode()
        mode = (0o100755 if member.executable else 0o100644) << 16
        yield (
            _CENTRAL.pack(
                b"PK\x01\x02", _MADE_ON_UNIX, _VERSION, _FLAGS, 0, *stamp, checksums[number], _FULL_32, _FULL_32,
                len(name), _CENTRAL_64.size, 0, 0, 0, mode, _FULL_32,
            )
            + name
            + _CENTRAL_64.pack(1, 24, member.size_bytes, member.size_bytes, offsets[number])
        )  # fmt: skip
        size_bytes += _CENTRAL.size + len(name) + _CENTRAL_64.size
    count = len(offsets)
    yield (
        _END_64.pack(b"PK\x06\x06", 44, _MADE_ON_UNIX, _VERSION, 0, 0, count, count, size_bytes, offset)
        + _LOCATOR.pack(b"PK\x06\x07", 0, offset + size_bytes, 1)
        + _END.pack(b"PK\x05\x06", 0, 0, _FULL_16, _FULL_16, _FULL_32, _FULL_32, 0)
    )


def _stamp(when: datetime) -> tuple[int, int]:
    """Return a time and a date as MS-DOS has them."""
    utc = when.astimezone(UTC)
    return utc.hour << 11 | utc.minute << 5 | utc.second // 2, max(0, utc.year - 1980) << 9 | utc.month << 5 | utc.day
