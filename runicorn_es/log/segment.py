"""One segment file: its header, and reading records from it in order.

Layout: docs/reference/format.md#segment.
"""

from collections.abc import Iterator
import os
from pathlib import Path
import struct
import zlib

import msgspec

from runicorn_es import settings
from runicorn_es.errors import Damaged, TooNew
from runicorn_es.log import record
from runicorn_es.log.record import Record

MAGIC = b"RNCNLOG1"
STORE_ID_BYTES = 16
_HEADER = struct.Struct("<8s16sQ32s")
_CHECKSUM = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CHECKSUM.size
_READ_BYTES = 4 * settings.MIB


class Position(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where the next record goes: its index, the segment (by first index), the offset there, the leaf before it."""

    index: int
    segment: int
    offset: int
    leaf: bytes


START = Position(0, 0, HEADER_BYTES, record.NO_LEAF)


def encode_header(store_id: bytes, position: Position) -> bytes:
    """Return the header of the segment that begins at this position."""
    header = _HEADER.pack(MAGIC, store_id, position.index, position.leaf)
    return header + _CHECKSUM.pack(zlib.crc32(header))


def check_header(descriptor: int, path: Path, store_id: bytes, position: Position) -> None:
    """Raise Damaged unless the file begins with the header that belongs at this position of this store."""
    found = os.pread(descriptor, HEADER_BYTES, 0)
    if len(found) == HEADER_BYTES and found[:8] == MAGIC and found[8:24] != store_id:
        raise Damaged(f"{path} belongs to another store ({found[8:24].hex()}); restore the file from a backup")
    if found != encode_header(store_id, position):
        raise Damaged(f"the header of {path} is not what was written; restore the file from a backup of this store")


def records(descriptor: int, position: Position) -> Iterator[Record]:
    """Yield the sound records of one segment from a position on, each chained to the one before it.

    Ends where no such record stands: at the end of the file, at a torn tail, or at damage.
    """
    offset, index, leaf = position.offset, position.index, position.leaf
    while True:
        buffer = os.pread(descriptor, _READ_BYTES, offset)
        at = 0
        while found := record.decode(buffer, at, segment=position.segment, base=offset):
            if found.index != index or found.previous_leaf != leaf:
                return
            if not (record.is_sound(found) or record.is_blank(found)):
                return
            if record.has_unknown_flags(found):
                raise TooNew(f"record {found.index} of the log was written by a newer release; upgrade runicorn-es")
            yield found
            at += found.size_bytes
            index += 1
            leaf = found.leaf
        offset += at
        if at == 0 or len(buffer) < _READ_BYTES:
            return


def was_synced(descriptor: int, position: Position) -> bool:
    """Return whether this position, where no sound record stands, was synced once: then that is damage, no torn tail.

    What proves it is a batch behind it whose writer knew that all before it was durable.
    """
    offset = position.offset
    while True:
        buffer = os.pread(descriptor, _READ_BYTES, offset)
        for at in record.places_like_a_record(buffer, 0):
            found = record.decode(buffer, at, segment=position.segment, base=offset)
            if found and found.index > position.index and record.proves_what_is_before_it(found.flags):
                return True
        if len(buffer) < _READ_BYTES:
            return False
        # Overlap by the longest record, so that one across the border is seen whole.
        offset += _READ_BYTES - settings.PAYLOAD_BYTES_MAX - settings.HEADER_BYTES_MAX - record.FRAME.size
