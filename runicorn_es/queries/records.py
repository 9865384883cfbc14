"""The log as it was written, and what the tables know of it."""

from collections.abc import Iterator

from runicorn_es import codec
from runicorn_es.events import Event
from runicorn_es.log import Position, Record
from runicorn_es.log.record import COMPRESSED, FIRST, PAGE, is_blank
from runicorn_es.projections import batches, pages, tree
from runicorn_es.projections.tree import Tip
from runicorn_es.queries.view import View


def head(view: View) -> tuple[int, bytes]:
    """Return how many records the tables know, and the Merkle root over their headers."""
    return tree.head(view.rows)


def tip(view: View) -> Tip:
    """Return where the log ends, as far as the tables know it."""
    return tree.tip(view.rows)


def history(view: View, after: int, before: int | None = None) -> Iterator[tuple[Record, tuple[Event, ...]]]:
    """Yield the records beyond index ``after`` with their events, in order; ``after=-1`` begins with the first."""
    end = head(view)[0] if before is None else before
    for index in range(after + 1, end):
        found = view.record(index)
        yield found, () if is_blank(found) else codec.decode(found.payload, compressed=bool(found.flags & COMPRESSED))


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
