"""Find versions by what is known of them: a query in the grammar of docs/reference/search.md, answered from blocks."""

from collections.abc import Iterator
from heapq import nlargest, nsmallest
from typing import Any

import msgspec

from runicorn_es.projections.rows import READY, VERSIONS, VersionRow
from runicorn_es.queries.search.blocks import Block, blocks
from runicorn_es.queries.search.grammar import parse
from runicorn_es.queries.search.meaning import Meaning, near_field
from runicorn_es.queries.search.order import Mark, Order, mark_text, parse_mark, parse_order
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


# Whether it has a value to be ordered by (or 0), the value's type, the value, and the record, negative where the
# largest comes last: so they compare as they are sorted. Then the place of its block, and its slot.
_Hit = tuple[int, int, Any, int, int, int]


class _Hits:
    """What was found, block by block, and its order."""

    def __init__(self, order: Order, after: Mark | None) -> None:
        self._order = order
        self._after = after
        self._found: list[tuple[Block, set[int]]] = []
        self.total = 0

    def add(self, block: Block, slots: set[int]) -> None:
        """Add versions of a block. The blocks come in the order of time, but for the last."""
        self.total += len(slots)
        self._found.append((block, slots))

    def page(self, limit: int | None) -> list[tuple[Block, int, Mark]]:
        """Return so many of them behind the mark, in order: block, slot, and the mark behind each."""
        hits = self._by_age(limit) if self._order.is_by_age else self._by_key(limit)
        page: list[tuple[Block, int, Mark]] = []
        for has_key, rank, value, _, place, slot in hits[:limit]:
            block = self._found[place][0]
            page.append((block, slot, Mark((rank, value) if has_key else None, block.positions[slot])))
        return page

    def _by_age(self, limit: int | None) -> list[_Hit]:
        """Return the hits in the order of time; no more blocks are looked into than the page needs."""
        is_descending = self._order.is_descending
        after = self._after
        hits: list[_Hit] = []
        wanted = limit
        places = range(len(self._found))
        # The last block has versions of all times.
        for place in (*places[-1:], *(reversed(places[:-1]) if is_descending else places[:-1])):
            block, slots = self._found[place]
            some = [(block.positions[slot], slot) for slot in slots]
            if after is not None:
                some = [one for one in some if (one[0] < after.position) is is_descending and one[0] != after.position]
            hits += ((1, 0, position, position, place, slot) for position, slot in some)
            if wanted is not None and place == places[-1]:
                wanted += len(hits)
            if wanted is not None and len(hits) >= wanted:
                break
        hits.sort(reverse=is_descending)
        return hits

    def _by_key(self, limit: int | None) -> list[_Hit]:
        is_descending = self._order.is_descending
        sign = 1 if is_descending else -1
        with_key: list[_Hit] = []
        without: list[_Hit] = []
        for place, (block, slots) in enumerate(self._found):
            positions = block.positions
            keys = [one for one in self._order.keys(block) if one[0] in slots]
            with_key += [(1, rank, value, sign * positions[slot], place, slot) for slot, rank, value in keys]
            others = slots.difference([slot for slot, _, _ in keys])
            without += [(0, 0, 0, positions[slot], place, slot) for slot in others]
        if self._after is not None:
            with_key, without = self._beyond(self._after, with_key, without)
        if limit is None:
            with_key.sort(reverse=is_descending)
        else:
            with_key = (nlargest if is_descending else nsmallest)(limit, with_key)
        without.sort(reverse=True)
        return with_key + without

    def _beyond(self, after: Mark, with_key: list[_Hit], without: list[_Hit]) -> tuple[list[_Hit], list[_Hit]]:
        if after.key is None:
            return [], [hit for hit in without if hit[3] < after.position]
        is_descending = self._order.is_descending
        mark = (1, *after.key, after.position if is_descending else -after.position)
        return [hit for hit in with_key if (hit[:4] < mark if is_descending else hit[:4] > mark)], without


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
    has_metadata = bool(meaning.keys) or order.is_by_metadata
    status = None if meaning.has_status else READY
    meant = (
        (block, slots)
        for block in blocks(view, metadata=has_metadata, descriptions=meaning.has_descriptions)
        if (slots := meaning.term.among(block, block.slots(status)))
    )
    for block, slots in _newest_of_each(list(meant)) if newest_of_each else meant:
        hits.add(block, slots)
    page = hits.page(None if limit is None else limit + 1)
    has_more = limit is not None and len(page) > limit
    page = page[:limit]
    rows = [VERSIONS.expect(view.rows, *block.spec(slot)) for block, slot, _ in page]
    following = mark_text(order, page[-1][2]) if has_more else None
    return Found(rows, hits.total, following, tuple(_hints(view, meaning, order, page)))


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


def _hints(view: View, meaning: Meaning, order: Order, page: list[tuple[Block, int, Mark]]) -> Iterator[str]:
    """Yield what may have gone wrong where a query is sound and finds nothing."""
    asked = list(meaning.keys) if not page else []
    if page and order.is_by_metadata and page[0][2].key is None:
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
