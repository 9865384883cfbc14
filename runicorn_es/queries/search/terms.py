"""The parts of a query as tests of whole blocks: given one and some of its slots, which of them are meant."""

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
import operator
from typing import Any, Protocol

from runicorn_es.projections.search import LeafValue, Values
from runicorn_es.queries.search.blocks import Block

Number = int | float
Compare = Callable[[Any, Any], bool]
COMPARE: dict[str, Compare] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Term(Protocol):
    """A test of the versions in a block. ``cost``: of several that must all hold, the cheapest comes first."""

    cost: int

    def among(self, block: Block, slots: set[int], /) -> set[int]:
        """Return those of these slots whose versions are meant."""


class Everything:
    """All versions."""

    cost = 0

    def among(self, _: Block, slots: set[int]) -> set[int]:
        """Return all."""
        return slots


class AllOf:
    """What passes all of some tests. The expensive ones see only what the cheap ones have left."""

    def __init__(self, parts: Collection[Term]) -> None:
        self._parts = sorted(parts, key=lambda part: part.cost)
        self.cost = max(part.cost for part in parts)

    def among(self, block: Block, slots: set[int]) -> set[int]:
        """Return what is left."""
        for part in self._parts:
            if not slots:
                break
            slots = part.among(block, slots)
        return slots


class AnyOf:
    """What passes any of some tests."""

    def __init__(self, parts: Collection[Term]) -> None:
        self._parts = parts
        self.cost = max(part.cost for part in parts)

    def among(self, block: Block, slots: set[int]) -> set[int]:
        """Return what any of them finds."""
        found: set[int] = set()
        for part in self._parts:
            found |= part.among(block, slots - found)
        return found


class NoneOf:
    """What does not pass a test."""

    def __init__(self, part: Term) -> None:
        self._part = part
        self.cost = part.cost

    def among(self, block: Block, slots: set[int]) -> set[int]:
        """Return what is left over."""
        return slots - self._part.among(block, slots)


class AtPositions:
    """Versions known by the records that created them."""

    cost = 1

    def __init__(self, positions: set[int]) -> None:
        self._positions = positions

    def among(self, block: Block, slots: set[int]) -> set[int]:
        """Return the slots of those in this block."""
        if not self._positions or self._positions.isdisjoint(block.positions):
            return set()
        return slots.intersection(
            [slot for slot, position in enumerate(block.positions) if position in self._positions]
        )


class TextIs:
    """A text that many have, such as a name or a tag, is one text."""

    cost = 2

    def __init__(self, column: str, text: str) -> None:
        self._column = column
        self._text = text

    def among(self, block: Block, slots: set[int]) -> set[int]:
        """Return the slots with this text."""
        return slots.intersection(block.column(self._column).get(self._text, ()))


class TextPasses:
    """A text that many have passes a test."""

    cost = 3

    def __init__(self, column: str, test: Callable[[str], bool]) -> None:
        self._column = column
        # The same texts stand in many blocks.
        self._test = lru_cache(maxsize=10_000)(test)

    def among(self, block: Block, slots: set[int]) -> set[int]:
        """Return the slots with such a text."""
        return _with_text(block.column(self._column), self._test, slots)


class NumberIn:
    """A number that every version has, such as its size, is in a range: from ``low`` on, and below ``high``."""

    cost = 4

    def __init__(self, column: str, low: float, high: float) -> None:
        self._column = column
        self._low = low
        self._high = high

    def among(self, block: Block, slots: set[int]) -> set[int]:
        """Return the slots with such a number."""
        low, high = self._low, self._high
        return slots.intersection(
            [slot for slot, value in enumerate(block.column(self._column)) if low <= value < high]
        )


class DigestBegins:
    """The content digest begins so, in hexadecimal digits."""

    cost = 5

    def __init__(self, prefix: str) -> None:
        # The half of a byte that an odd number of digits ends with is compared with the digits.
        self._begin = bytes.fromhex(prefix[: len(prefix) // 2 * 2])
        self._prefix = prefix

    def among(self, block: Block, slots: set[int]) -> set[int]:
        """Return the slots of versions with such a digest."""
        digests = block.column("digests")
        begun = [slot for slot, digest in enumerate(digests) if digest.startswith(self._begin)]
        return slots.intersection([slot for slot in begun if digests[slot].hex().startswith(self._prefix)])


class DescriptionPasses:
    """There is a description, and it passes a test."""

    cost = 8

    def __init__(self, test: Callable[[str], bool]) -> None:
        self._test = test

    def among(self, block: Block, slots: set[int]) -> set[int]:
        """Return the slots of versions with such a description."""
        described, texts = block.column("described"), block.column("descriptions")
        return {slot for slot, text in zip(described, texts, strict=True) if slot in slots and self._test(text)}


class HasValue:
    """There is a value under a key of metadata, whichever."""

    cost = 6

    def __init__(self, key: str) -> None:
        self._key = key

    def among(self, block: Block, slots: set[int]) -> set[int]:
        """Return the slots of versions that have the key."""
        return slots & slots_with(block.values(self._key))


class ValueIs:
    """A value under a key of metadata is one: a text, a number, true, false or null, and no other type of it."""

    cost = 6

    def __init__(self, key: str, value: LeafValue) -> None:
        self._key = key
        self._value = value

    def among(self, block: Block, slots: set[int]) -> set[int]:
        """Return the slots of versions with this value."""
        values, wanted = block.values(self._key), self._value
        if wanted is True:
            return slots.intersection(values.true)
        if wanted is False:
            return slots.intersection(values.false)
        if wanted is None:
            return slots.intersection(values.null)
        if isinstance(wanted, str):
            return slots.intersection(values.texts.get(wanted, ()))
        pairs = zip(values.number_slots, values.numbers, strict=True)
        return slots.intersection([slot for slot, number in pairs if number == wanted])


class NumberPasses:
    """A number under a key of metadata compares so with another."""

    cost = 6

    def __init__(self, key: str, compare: str, wanted: Number) -> None:
        self._key = key
        self._compare = compare
        self._wanted = wanted

    def among(self, block: Block, slots: set[int]) -> set[int]:
        """Return the slots of versions with such a number."""
        values, wanted = block.values(self._key), self._wanted
        pairs = zip(values.number_slots, values.numbers, strict=True)
        # Each spelled out: a call for each of a hundred thousand numbers would take as long as all the rest.
        match self._compare:
            case "<":
                found = [slot for slot, number in pairs if number < wanted]
            case "<=":
                found = [slot for slot, number in pairs if number <= wanted]
            case ">":
                found = [slot for slot, number in pairs if number > wanted]
            case _:
                found = [slot for slot, number in pairs if number >= wanted]
        return slots.intersection(found)


class ValueTextPasses:
    """A text under a key of metadata passes a test."""

    cost = 7

    def __init__(self, key: str, test: Callable[[str], bool]) -> None:
        self._key = key
        self._test = lru_cache(maxsize=10_000)(test)

    def among(self, block: Block, slots: set[int]) -> set[int]:
        """Return the slots of versions with such a text."""
        return _with_text(block.values(self._key).texts, self._test, slots)


def slots_with(values: Values) -> set[int]:
    """Return the slots that have any value."""
    found = set(values.number_slots).union(values.true, values.false, values.null)
    return found.union(*values.texts.values())


def _with_text(texts: Mapping[str, list[int]], test: Callable[[str], bool], slots: set[int]) -> set[int]:
    found: set[int] = set()
    for text, those in texts.items():
        if test(text):
            found.update(slots.intersection(those))
    return found
