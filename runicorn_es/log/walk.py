"""The log as it lies on the disk, damage included: what an audit reads, where everybody else would stop.

Nothing is trusted and nothing is raised: every byte of every segment is in a record or in a gap.
"""

from collections.abc import Generator, Iterator
import os
from pathlib import Path

import msgspec

from runicorn_es.layout import Layout, first_index_of
from runicorn_es.log import record, segment
from runicorn_es.log.record import Record
from runicorn_es.log.segment import START, Position


class Gap(msgspec.Struct, frozen=True):
    """Bytes of a segment that are not what was written, or a whole segment that is missing (``size_bytes`` 0).

    first_index: of the first record that is lost here. next_index: of the first one behind it, None at the end.
    """

    segment: str
    offset: int
    size_bytes: int
    first_index: int
    next_index: int | None
    reason: str


def walk(layout: Layout, store_id: bytes) -> Iterator[Record | Gap]:
    """Yield every record whose header is sound, in order, and a Gap for whatever is not one.

    A record is yielded also when its payload differs from its commitment; ask ``record.is_sound``. Reads one segment at
    a time into memory. What writers append meanwhile may or may not be seen.
    """
    position = START
    firsts = sorted(index for name in os.listdir(layout.log) if (index := first_index_of(name)) is not None)  # noqa: PTH208
    if not firsts:
        yield Gap(layout.segment(0).name, 0, 0, 0, None, "the first segment is missing")
    for first in firsts:
        path = layout.segment(first)
        if first != position.index:
            yield Gap(path.name, 0, 0, position.index, first, "the segment before this one is missing or ends early")
            position = Position(first, first, segment.HEADER_BYTES, b"")
        begin = Position(first, first, segment.HEADER_BYTES, position.leaf)
        position = yield from _walk_segment(path, store_id, begin)


def _walk_segment(path: Path, store_id: bytes, position: Position) -> Generator[Record | Gap, None, Position]:
    """Yield what one segment holds; returns the position behind it."""
    buffer = path.read_bytes()
    header = buffer[: segment.HEADER_BYTES]
    leaf = position.leaf or header[32:64]
    if header != segment.encode_header(store_id, Position(position.index, position.segment, 0, leaf)):
        yield Gap(
            path.name, 0, len(header), position.index, position.index, "the segment's header is not what was written"
        )
    index, at = position.index, segment.HEADER_BYTES
    while at < len(buffer):
        found = record.decode(buffer, at, segment=position.segment, base=0)
        if found is not None and found.index == index and (not leaf or found.previous_leaf == leaf):
            yield found
            index, at, leaf = index + 1, at + found.size_bytes, found.leaf
            continue
        following = _next_record(buffer, at + 1, index, position.segment)
        end = following.offset if following else len(buffer)
        reason = _reason(found, index)
        yield Gap(path.name, at, end - at, index, following.index if following else None, reason)
        if following is None:
            break
        # What stood before it is not known; its own word for it must do.
        index, at, leaf = following.index, following.offset, b""
    return Position(index, position.segment, at, leaf)


def _next_record(buffer: bytes, at: int, index: int, first_index: int) -> Record | None:
    for place in record.places_like_a_record(buffer, at):
        found = record.decode(buffer, place, segment=first_index, base=0)
        if found is not None and found.index >= index:
            return found
    return None


def _reason(found: Record | None, index: int) -> str:
    if found is None:
        return "the bytes are not those of a record"
    if found.index != index:
        return f"record {found.index} stands where record {index} should"
    return "the record does not continue the one before it"
