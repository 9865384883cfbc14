"""All versions of a view in blocks of columns, whether they stand so in the tables or are put together here."""

from bisect import bisect_left
from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Any

import msgspec
from msgspec.structs import replace

from runicorn_es import dotted, settings
from runicorn_es.projections.rows import PURGED, VERSIONS, Contradiction
from runicorn_es.projections.search import (
    BLOCKS,
    CARDS,
    MARKS,
    Card,
    Columns,
    PackedColumns,
    Values,
    block_of,
    in_columns,
)
from runicorn_es.queries import content
from runicorn_es.queries.view import View

_NO_VALUES = Values()
_DECODERS = {field.name: msgspec.msgpack.Decoder(field.type).decode for field in msgspec.structs.fields(Columns)} | {
    "metadata": msgspec.msgpack.Decoder(dict[str, memoryview]).decode
}
_decode_values = msgspec.msgpack.Decoder(Values).decode


class Block:
    """Some versions, each in a slot. ``hidden``: the slots of those that are known better elsewhere."""

    def __init__(self, columns: Columns | PackedColumns) -> None:
        self._columns = columns
        self._decoded: dict[str, Any] = {}
        self._values: dict[str, Values] = {}
        self.positions: list[int] = self.column("positions")
        self.hidden: set[int] = set()

    def slots(self, status: str | None = None) -> set[int]:
        """Return the slots of all versions that count here, or of those with a status."""
        if status is None:
            return set(range(len(self.positions))) - self.hidden
        return set(self.column("statuses").get(status, ())) - self.hidden

    def hide(self, positions: Collection[int]) -> None:
        """Let versions, by the records that created them, not count here."""
        self.hidden.update(bisect_left(self.positions, position) for position in positions)

    def column(self, name: str) -> Any:
        """Return a column by its name. Raises Contradiction."""
        found = self._decoded.get(name)
        if found is None:
            found = getattr(self._columns, name)
            if isinstance(found, memoryview):
                found = _decoded(_DECODERS[name], found)
            self._decoded[name] = found
        return found

    def values(self, key: str) -> Values:
        """Return the values under a key of metadata."""
        found = self._values.get(key)
        if found is None:
            found = self.column("metadata").get(key, _NO_VALUES)
            if isinstance(found, memoryview):
                found = _decoded(_decode_values, found)
            self._values[key] = found
        return found

    def spec(self, slot: int) -> tuple[str, int]:
        """Return the name and the number of the version in a slot."""
        return self._names[slot], self.column("versions")[slot]

    @cached_property
    def _names(self) -> dict[int, str]:
        return {slot: name for name, slots in self.column("names").items() for slot in slots}


def blocks(view: View, *, metadata: bool, descriptions: bool) -> Iterator[Block]:
    """Yield all versions, each in one block.

    metadata, descriptions: whether they are asked for; then what is too large for a card is read from the log.
    """
    loose: list[Card] = []
    behind = 0
    for packed in BLOCKS.scan(view.rows):
        block = Block(packed)
        number = block_of(block.positions[0])
        behind = (number + 1) * settings.SEARCH_BLOCK_RECORDS
        changed = {mark.position for mark in MARKS.scan(view.rows, number)}
        if metadata:
            changed |= {block.positions[slot] for slot in block.column("metadata_elsewhere")}
        if descriptions:
            changed |= {block.positions[slot] for slot in block.column("description_elsewhere")}
        loose += (CARDS.expect(view.rows, position) for position in changed)
        block.hide(changed)
        yield block
    loose += CARDS.scan(view.rows, after=behind - 1 if behind else None)
    yield Block(in_columns(_whole(view, card, metadata=metadata, descriptions=descriptions) for card in loose))


def _whole(view: View, card: Card, *, metadata: bool, descriptions: bool) -> Card:
    """Return a card with what was too large for it, where that is asked for."""
    is_wanted = (card.has_metadata_elsewhere and metadata) or (card.has_description_elsewhere and descriptions)
    if not is_wanted or card.status == PURGED:
        return card
    row = VERSIONS.expect(view.rows, card.name, card.version)
    if card.has_metadata_elsewhere and metadata:
        card = replace(card, leaves=tuple(dotted.leaves(content.metadata(view, row))))
    if card.has_description_elsewhere and descriptions:
        card = replace(card, description=content.description(view, row) or "")
    return card


def _decoded(decode: Any, raw: memoryview) -> Any:
    try:
        return decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Contradiction(
            f"a block of the projections cannot be read ({error}); open the store again, or run `runicorn-es rebuild`"
        ) from error
