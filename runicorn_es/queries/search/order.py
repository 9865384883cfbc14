"""In which order versions are found, and where a page of them ends."""

import base64
from collections.abc import Iterable
import json
from typing import Any

import msgspec

from runicorn_es.errors import Rejected
from runicorn_es.queries.search.blocks import Block
from runicorn_es.queries.search.meaning import METADATA_PREFIX
from runicorn_es.queries.search.terms import slots_with

_CREATED = "created"
NEWEST = f"-{_CREATED}"
_TEXTS = {"name": "names", "type": "types", "run": "runs", "status": "statuses"}
_NUMBERS = {"version": "versions", "size": "sizes_bytes", "files": "file_counts"}
# Values of different types stand one type behind the other.
_NUMBER, _TEXT, _CONSTANT = 0, 1, 2

# What versions are ordered by: type and value, or None for those without one, which come last; then by record.
Key = tuple[int, Any] | None


class Order(msgspec.Struct, frozen=True):
    """By which field or key of metadata versions are ordered, and whether the largest comes first.

    Of equal ones the newest comes first, and of those without a value, which come last either way.
    """

    text: str
    key: str
    is_descending: bool

    @property
    def is_by_metadata(self) -> bool:
        """Return whether it is a key of metadata."""
        return self.key not in {*_TEXTS, *_NUMBERS, _CREATED}

    @property
    def is_by_age(self) -> bool:
        """Return whether it is the order in which versions were created."""
        return self.key == _CREATED

    @property
    def metadata_key(self) -> str:
        """Return the key of metadata."""
        return self.key.removeprefix(METADATA_PREFIX)

    def keys(self, block: Block) -> Iterable[tuple[int, int, Any]]:
        """Yield slots of a block with the type and the value that they are ordered by, each slot once."""
        if column := _TEXTS.get(self.key):
            return [(slot, _TEXT, text) for text, slots in block.column(column).items() for slot in slots]
        if column := _NUMBERS.get(self.key):
            return [(slot, _NUMBER, number) for slot, number in enumerate(block.column(column))]
        return self._of_metadata(block)

    def _of_metadata(self, block: Block) -> Iterable[tuple[int, int, Any]]:
        values = block.values(self.metadata_key)
        numbers = zip(values.number_slots, values.numbers, strict=True)
        found: list[tuple[int, int, Any]] = [(slot, _NUMBER, number) for slot, number in numbers]
        found += [(slot, _TEXT, text) for text, slots in values.texts.items() for slot in slots]
        found += [(slot, _CONSTANT, False) for slot in values.false]
        found += [(slot, _CONSTANT, True) for slot in values.true]
        if len(slots_with(values)) == len(found) + len(values.null):
            return found
        # Of a list, the element counts that comes first in this order: it is set last.
        found.sort(key=lambda one: one[1:], reverse=not self.is_descending)
        return {one[0]: one for one in found}.values()


def parse_order(text: str | None) -> Order:
    """Return the order that ``val_acc``, ``-created`` or another key says; ``-``: the largest first."""
    wanted = text or NEWEST
    key = wanted.removeprefix("-")
    if not key:
        raise Rejected(f"{text!r} is nothing to sort by; write a field or a key of metadata, such as -val_acc")
    return Order(wanted, key, wanted.startswith("-"))


class Mark(msgspec.Struct, frozen=True):
    """Behind which version a page begins: its key, and the record that created it."""

    key: Key
    position: int


def mark_text(order: Order, mark: Mark) -> str:
    """Return a mark as users hand it back."""
    return base64.urlsafe_b64encode(json.dumps([order.text, mark.key, mark.position]).encode()).decode().rstrip("=")


def parse_mark(order: Order, text: str) -> Mark:
    """Return the mark that a text is. Raises Rejected for another text, or one of another order."""
    try:
        sort, mark = _read_mark(json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
    except (ValueError, TypeError, RecursionError):
        raise Rejected(f"{text[:40]!r} is no place to go on from; pass what an earlier page gave as 'next'") from None
    if sort != order.text:
        raise Rejected(f"this place to go on from belongs to a search sorted by {sort!r}, not by {order.text!r}")
    return mark


def _read_mark(found: Any) -> tuple[str, Mark]:
    sort, key, position = found
    if not isinstance(position, int) or not isinstance(sort, str):
        raise TypeError(found)
    if key is None:
        return sort, Mark(None, position)
    rank, value = key
    if not isinstance(value, str | int | float) or rank != _rank(value) or value != value:  # noqa: PLR0124 - NaN
        raise TypeError(found)
    return sort, Mark((rank, value), position)


def _rank(value: str | float) -> int:
    if isinstance(value, str):
        return _TEXT
    return _CONSTANT if isinstance(value, bool) else _NUMBER
