"""Find versions by what is known of them: a query in the grammar of docs/reference/search.md, answered from blocks."""

from collections.abc import Iterator
from heapq import nlargest, nsmallest
from typing import Any

import msgspec

from runicorn_es.projections.rows import VERSIONS, VersionRow
from runicorn_es.queries.search.blocks import Block, blocks
from runicorn_es.queries.search.grammar import parse
from runicorn_es.queries.search.meaning import Meaning, near_field
from runicorn_es.queries.search.order import Key, Mark, Order, mark_text, parse_mark, parse_order
from runicorn_es.queries.view import View

__all__ = ["Found", "search"]


class Found(msgspec.Struct, frozen=True):
    """What a search found: a page of ``rows``, and how many there are in all.

    next: pass it as ``after`` for the next page; None on the last. hints: what may have been meant otherwise.
    """

    rows: list[VersionRow]
    total: int
    next: str | None
    hints: tuple[str, ...] = ()


class _Hit(msgspec.Struct, frozen=True):
    block: Block
    slot: int
    key: Key
    position: int


# In the order of sorting: type and value, the record (negative where the largest comes last), then block and slot.
_Sorted = tuple[int, Any, int, int, int]


class _Hits:
    """What was found: in two lists, for what has no value to be ordered by comes last either way."""

    def __init__(self, order: Order, after: Mark | None) -> None:
        self._order = order
        self._after = after
        self._sign = 1 if order.is_descending else -1
        self._blocks: list[Block] = []
        self._with_key: list[_Sorted] = []
        self._without: list[_Sorted] = []
        self.total = 0

    def add(self, block: Block, slots: set[int]) -> None:
        """Add versions of a block."""
        self.total += len(slots)
        place = len(self._blocks)
        self._blocks.append(block)
        keys = self._order.keys(block)
        positions = block.positions
        sign = self._sign
        for slot in slots:
            key = keys.get(slot)
            if key is None:
                self._without.append((0, 0, positions[slot], place, slot))
            else:
                self._with_key.append((*key, sign * positions[slot], place, slot))

    @property
    def has_keys(self) -> bool:
        """Return whether any has a value to be ordered by."""
        return bool(self._with_key)

    def in_order(self, limit: int | None) -> list[_Hit]:
        """Return so many of them behind the mark, in order."""
        with_key, without = self._beyond()
        if limit is None:
            with_key.sort(reverse=self._order.is_descending)
        else:
            with_key = (nlargest if self._order.is_descending else nsmallest)(limit, with_key)
        without.sort(reverse=True)
        hits = [_Hit(self._blocks[place], slot, key, position) for key, position, place, slot in self._spread(with_key)]
        hits += [_Hit(self._blocks[place], slot, None, position) for _, _, position, place, slot in without]
        return hits[:limit]

    def _spread(self, some: list[_Sorted]) -> Iterator[tuple[Key, int, int, int]]:
        for rank, value, position, place, slot in some:
            yield (rank, value), abs(position), place, slot

    def _beyond(self) -> tuple[list[_Sorted], list[_Sorted]]:
        if self._after is None:
            return self._with_key, self._without
        position = self._after.position
        if self._after.key is None:
            return [], [hit for hit in self._without if hit[2] < position]
        mark = (*self._after.key, self._sign * position)
        if self._order.is_descending:
            return [hit for hit in self._with_key if hit[:3] < mark], self._without
        return [hit for hit in self._with_key if hit[:3] > mark], self._without


def search(
    view: View,
    query: str,
    *,
    now_ns: int,
    sort: str | None = None,
    after: str | None = None,
    limit: int | None = None,
    newest_of_each: bool = False,
) -> Found:
    """Return the versions that a query means; live ones only, unless it says something of the status.

    sort: a field or a key of metadata, with ``-`` the largest first; without it the newest first. after: ``next`` of
    the page before. limit: so many rows. newest_of_each: of each artifact only the newest of what is meant.

    Raises BadQuery, Rejected.
    """
    meaning = Meaning(view, parse(query), query, now_ns)
    order = parse_order(sort)
    hits = _Hits(order, None if after is None else parse_mark(order, after))
    for block, slots in _meant(view, meaning, order, newest_of_each=newest_of_each):
        hits.add(block, slots)
    page = hits.in_order(None if limit is None else limit + 1)
    has_more = limit is not None and len(page) > limit
    page = page[:limit]
    rows = [VERSIONS.expect(view.rows, *hit.block.spec(hit.slot)) for hit in page]
    following = mark_text(order, Mark(page[-1].key, page[-1].position)) if has_more and page else None
    return Found(rows, hits.total, following, tuple(_hints(view, meaning, order, hits)))


def _meant(view: View, meaning: Meaning, order: Order, *, newest_of_each: bool) -> Iterator[tuple[Block, set[int]]]:
    """Yield blocks with the slots of what is meant, if there is any."""
    has_metadata = bool(meaning.keys) or order.is_by_metadata
    found: list[tuple[Block, set[int]]] = []
    for block in blocks(view, metadata=has_metadata, descriptions=meaning.has_descriptions):
        slots = meaning.term.among(block, block.slots)
        if slots:
            found.append((block, slots))
    return iter(_newest_of_each(found) if newest_of_each else found)


def _newest_of_each(found: list[tuple[Block, set[int]]]) -> list[tuple[Block, set[int]]]:
    newest: dict[str, tuple[int, int, int]] = {}
    for place, (block, slots) in enumerate(found):
        for slot in slots:
            name, number = block.spec(slot)
            newest[name] = max(newest.get(name, (0, 0, 0)), (number, place, slot))
    kept: list[set[int]] = [set() for _ in found]
    for _, place, slot in newest.values():
        kept[place].add(slot)
    return [(block, slots) for (block, _), slots in zip(found, kept, strict=True) if slots]


def _hints(view: View, meaning: Meaning, order: Order, hits: _Hits) -> Iterator[str]:
    """Yield what may have gone wrong where a query is sound and finds nothing."""
    asked = list(meaning.keys) if not hits.total else []
    if hits.total and order.is_by_metadata and not hits.has_keys:
        asked.append(order.metadata_key)
    if not asked:
        return
    known: set[str] = set()
    for block in blocks(view, metadata=True, descriptions=False):
        known.update(block.column("metadata"))
    for key in asked:
        if key not in known:
            field = near_field(key)
            meant = f"; did you mean {field}?" if field else ""
            yield f"no version has {key!r} in its metadata{meant}"
