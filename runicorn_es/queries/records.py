"""The log as it was written, and what the tables know of it."""

from collections.abc import Iterator

from runicorn_es import codec, merkle
from runicorn_es.events import BatchAppended, Event
from runicorn_es.log import Position, Record
from runicorn_es.log.record import COMMIT, COMPRESSED, FIRST, PAGE, is_blank
from runicorn_es.projections import batches, pages, tree
from runicorn_es.projections.tree import Tip
from runicorn_es.queries.view import View


def head(view: View) -> tuple[int, bytes]:
    """Return how many records there are, and the Merkle root over their headers. In the past it reads them all."""
    if view.is_past:
        return view.size, merkle.root([view.record(index).leaf for index in range(view.size)])
    return tree.head(view.rows)


def tip(view: View) -> Tip:
    """Return where the log ends, as far as the tables know it."""
    return tree.tip(view.rows)


def history(view: View, after: int, before: int | None = None) -> Iterator[tuple[Record, tuple[Event, ...]]]:
    """Yield the records beyond index ``after`` with their events, in order; ``after=-1`` begins with the first."""
    end = view.size if before is None else min(before, view.size)
    return (record_at(view, index) for index in range(after + 1, end))


def record_at(view: View, index: int) -> tuple[Record, tuple[Event, ...]]:
    """Return a record with its events; none of a blanked one."""
    found = view.record(index)
    return found, () if is_blank(found) else codec.decode(found.payload, compressed=bool(found.flags & COMPRESSED))


def batch_of(view: View, index: int) -> BatchAppended | None:
    """Return who appended the batch that holds a record; None where that was purged.

    It is said in one record of the batch, never in a page; mostly in this one, or in one before it.
    """
    if view.record(index).flags & PAGE:
        # Pages come before what names them, and there may be thousands.
        return _batch_behind(view, index) or _batch_before(view, index)
    return _batch_before(view, index) or _batch_behind(view, index)


def _batch_before(view: View, index: int) -> BatchAppended | None:
    place = index
    while (found := _batch_in(view, place)) is None:
        if view.record(place).flags & FIRST:
            break
        place -= 1
    return found


def _batch_behind(view: View, index: int) -> BatchAppended | None:
    found = None
    while found is None and not view.record(index).flags & COMMIT:
        index += 1
        found = _batch_in(view, index)
    return found


def _batch_in(view: View, index: int) -> BatchAppended | None:
    record = view.record(index)
    if record.flags & PAGE or is_blank(record):
        return None
    return next((event for event in view.events(index) if isinstance(event, BatchAppended)), None)


def begin_of_batch(view: View, index: int) -> Position:
    """Return where the batch begins that this record is of. Raises IndexError beyond the end."""
    found = view.record(index)
    while not found.flags & FIRST:
        index -= 1
        found = view.record(index)
    return Position(found.index, found.segment, found.offset, found.previous_leaf)


def is_page(record: Record) -> bool:
    """Return whether a record holds the files of a page."""
    return bool(record.flags & PAGE)


def page_position(view: View, digest: bytes) -> int | None:
    """Return the index of the record that holds a page of this digest, or None."""
    return pages.position_of(view.rows, digest)


def batch_of_key(view: View, key: str) -> int | None:
    """Return the index of the record of the batch that was appended under this key, or None."""
    return batches.position_of(view.rows, key)
