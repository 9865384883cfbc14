"""Where each record stands: index to segment and offset, in blocks of consecutive records."""

from collections.abc import Sequence
import struct

from runicorn_es.projections.fact import Fact
from runicorn_es.tables import Reader, Writer

_LETTER = b"p"
_BLOCK_RECORDS = 64
_PLACE = struct.Struct("<QQ")


def apply(facts: Sequence[Fact], out: Writer) -> None:
    """Note the place of each record."""
    block: int | None = None
    places = b""
    for fact in facts:
        number = fact.record.index // _BLOCK_RECORDS
        if number != block:
            if block is not None:
                out.put(_key(block), places)
            block = number
            places = out.get(_key(number)) or b""
        at = fact.record.index % _BLOCK_RECORDS * _PLACE.size
        places = places[:at] + _PLACE.pack(fact.record.segment, fact.record.offset)
    assert block is not None
    out.put(_key(block), places)


def place_of(view: Reader, index: int) -> tuple[int, int] | None:
    """Return the segment (by first index) and offset of a record, or None beyond the last."""
    if index < 0:
        return None
    places = view.get(_key(index // _BLOCK_RECORDS)) or b""
    at = index % _BLOCK_RECORDS * _PLACE.size
    if at >= len(places):
        return None
    segment, offset = _PLACE.unpack_from(places, at)
    return int(segment), int(offset)


def _key(block: int) -> bytes:
    return _LETTER + block.to_bytes(8, "big")
