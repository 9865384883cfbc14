"""What one searches versions by: a row for each version, and blocks of many, in columns.

A *card* holds what is known of one version, in order of the records that created them. The cards of so many records
make a *block*, in columns: to compare one value of a hundred thousand versions then takes a few hundred rows, of which
only the columns asked for are decoded. A block is made when the first version behind it is created. A card that changes
afterwards is *marked*, so that it is read instead of the block; with enough marks, the block is made anew.

Invariants:
- Every version has a card. A block holds the cards as they are, except for those marked.
- The cards behind the last block are in none.
- Metadata or a description too large for a card are not in it; the card says so, and the log has the last word.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from runicorn_es import dotted, settings
from runicorn_es.events import (
    BatchAppended,
    DescriptionChanged,
    MetadataChanged,
    TagsChanged,
    VersionCreated,
    VersionDeleted,
    VersionPurged,
    VersionRestored,
)
from runicorn_es.log import Record
from runicorn_es.projections.chronicle import Chronicle
from runicorn_es.projections.fact import OF_A_VERSION, Fact
from runicorn_es.projections.rows import DELETED, PURGED, READY, VERSIONS, Contradiction, Family
from runicorn_es.tables import Reader

LeafValue = str | int | float | bool | None
Leaf = tuple[str, LeafValue]
_INTEGERS = range(-(1 << 63), 1 << 63)
_FORGOTTEN = {
    "tags": (),
    "description": "",
    "leaves": (),
    "has_metadata_elsewhere": False,
    "has_description_elsewhere": False,
}
_encode = msgspec.msgpack.Encoder().encode
_decode_metadata = msgspec.json.Decoder(dict[str, Any]).decode


class Card(msgspec.Struct, frozen=True, array_like=True):
    """What one searches a version by. ``position``: of the record that created it.

    leaves: the metadata by dotted keys. has_metadata_elsewhere, has_description_elsewhere: too large to be here.
    """

    position: int
    name: str
    type: str
    version: int
    status: str
    created_ns: int
    run: str | None
    digest: bytes
    file_count: int
    size_bytes: int
    tags: tuple[str, ...] = ()
    description: str = ""
    leaves: tuple[Leaf, ...] = ()
    has_metadata_elsewhere: bool = False
    has_description_elsewhere: bool = False


class Values(msgspec.Struct, array_like=True):
    """The values under one key of metadata in a block: by their types, and for each the slots of the cards."""

    number_slots: list[int] = []
    numbers: list[int | float] = []
    texts: dict[str, list[int]] = {}
    true: list[int] = []
    false: list[int] = []
    null: list[int] = []


class Columns(msgspec.Struct, array_like=True):
    """A block of cards. A *slot* is the place of a card in it; what many have in common stands once, with its slots."""

    positions: list[int] = []
    names: dict[str, list[int]] = {}
    types: dict[str, list[int]] = {}
    versions: list[int] = []
    statuses: dict[str, list[int]] = {}
    created_ns: list[int] = []
    runs: dict[str, list[int]] = {}
    digests: list[bytes] = []
    file_counts: list[int] = []
    sizes_bytes: list[int] = []
    tags: dict[str, list[int]] = {}
    described: list[int] = []
    descriptions: list[str] = []
    metadata_elsewhere: list[int] = []
    description_elsewhere: list[int] = []
    metadata: dict[str, Values] = {}


class PackedColumns(msgspec.Struct, array_like=True):
    """A block as it is written: each column, and the values under each key, in bytes of their own.

    So what nobody asks for is passed over, and not decoded.
    """

    positions: memoryview
    names: memoryview
    types: memoryview
    versions: memoryview
    statuses: memoryview
    created_ns: memoryview
    runs: memoryview
    digests: memoryview
    file_counts: memoryview
    sizes_bytes: memoryview
    tags: memoryview
    described: memoryview
    descriptions: memoryview
    metadata_elsewhere: memoryview
    description_elsewhere: memoryview
    metadata: memoryview


class MarkRow(msgspec.Struct, frozen=True, array_like=True):
    """A card that changed after its block was made."""

    position: int


class NewestRow(msgspec.Struct, frozen=True, array_like=True):
    """The block of the newest card: not sought among the cards, for it is asked with every version."""

    block: int


CARDS = Family(b"C", Card)  # by the record that created the version
BLOCKS = Family(b"B", PackedColumns)  # by number: that of a record, divided by how many make a block
MARKS = Family(b"M", MarkRow)  # by block and record
NEWEST = Family(b"D", NewestRow)
FAMILIES = (CARDS, BLOCKS, MARKS, NEWEST)


def apply(facts: Sequence[Fact], out: Chronicle) -> None:
    """Fold what these facts say of that by which versions are searched. Stands behind the catalog."""
    concerned = [fact for fact in facts if not fact.kinds.isdisjoint(OF_A_VERSION)]
    if not concerned:
        return
    cards = _Cards(out)
    for fact in concerned:
        cards.turn_to(fact)
        for event in fact.events:
            match event:
                case VersionCreated():
                    cards.add(_card_of(event, fact.record))
                case BatchAppended():
                    # Stands beside most of them: not to be compared with all that follow.
                    pass
                case MetadataChanged():
                    leaves = _leaves(event.metadata)
                    changed = {"leaves": leaves or (), "has_metadata_elsewhere": leaves is None}
                    cards.change(event.name, event.version, **changed)
                case TagsChanged():
                    cards.change(event.name, event.version, tags=event.tags)
                case DescriptionChanged():
                    is_elsewhere = len(event.description.encode()) > settings.SEARCH_DESCRIPTION_BYTES_MAX
                    text = "" if is_elsewhere else event.description
                    cards.change(event.name, event.version, description=text, has_description_elsewhere=is_elsewhere)
                case VersionDeleted():
                    cards.change(event.name, event.version, status=DELETED)
                case VersionRestored():
                    cards.change(event.name, event.version, status=READY)
                case VersionPurged():
                    cards.change(event.name, event.version, status=PURGED, **_FORGOTTEN)
                case _:
                    pass
    cards.write()


def block_of(position: int) -> int:
    """Return the block of a version that a record created."""
    return position // settings.SEARCH_BLOCK_RECORDS


def cards_of(view: Reader, block: int) -> Iterator[Card]:
    """Yield the cards of a block, oldest first."""
    end = (block + 1) * settings.SEARCH_BLOCK_RECORDS
    for card in CARDS.scan(view, after=block * settings.SEARCH_BLOCK_RECORDS - 1 if block else None):
        if card.position >= end:
            return
        yield card


def in_columns(cards: Iterable[Card]) -> Columns:
    """Return a block of these cards, each in the next slot."""
    block = Columns()
    for slot, card in enumerate(cards):
        block.positions.append(card.position)
        block.names.setdefault(card.name, []).append(slot)
        block.types.setdefault(card.type, []).append(slot)
        block.versions.append(card.version)
        block.statuses.setdefault(card.status, []).append(slot)
        block.created_ns.append(card.created_ns)
        if card.run is not None:
            block.runs.setdefault(card.run, []).append(slot)
        block.digests.append(card.digest)
        block.file_counts.append(card.file_count)
        block.sizes_bytes.append(card.size_bytes)
        for tag in card.tags:
            block.tags.setdefault(tag, []).append(slot)
        if card.description:
            block.described.append(slot)
            block.descriptions.append(card.description)
        if card.has_metadata_elsewhere:
            block.metadata_elsewhere.append(slot)
        if card.has_description_elsewhere:
            block.description_elsewhere.append(slot)
        for key, value in card.leaves:
            values = block.metadata.get(key)
            if values is None:
                values = block.metadata[key] = Values()
            _add(values, slot, value)
    return block


def _add(values: Values, slot: int, value: LeafValue) -> None:
    # True is an int to Python.
    if value is True:
        values.true.append(slot)
    elif value is False:
        values.false.append(slot)
    elif value is None:
        values.null.append(slot)
    elif isinstance(value, str):
        values.texts.setdefault(value, []).append(slot)
    else:
        values.number_slots.append(slot)
        values.numbers.append(value)


class _Cards:
    """The cards that a batch makes and changes, each written once, at its end, under the date of its last change."""

    def __init__(self, out: Chronicle) -> None:
        self._out = out
        self._now = self._batch = -1
        # The record that changed it last, the card, and whether it is in no table yet.
        self._waiting: dict[tuple[str, int], tuple[int, Card, bool]] = {}
        newest = NEWEST.get(out)
        self._last_block = -1 if newest is None else newest.block

    def turn_to(self, fact: Fact) -> None:
        """Let what follows be said by this record."""
        if fact.batch != self._batch:
            self.write()
        self._now, self._batch = fact.record.index, fact.batch

    def add(self, card: Card) -> None:
        """Add a version, behind all others."""
        block = block_of(card.position)
        if block > self._last_block:
            self.write()
            self._out.turn_to(self._now, self._batch)
            if self._last_block >= 0:
                _make_block(self._last_block, self._out)
            self._last_block = block
            NEWEST.put(self._out, NewestRow(block))
        self._waiting[card.name, card.version] = self._now, card, True

    def change(self, name: str, number: int, **changed: Any) -> None:
        """Change what is known of a version."""
        _, card, is_new = self._waiting.get((name, number)) or (0, self._written(name, number), False)
        self._waiting[name, number] = self._now, replace(card, **changed), is_new

    def _written(self, name: str, number: int) -> Card:
        card = CARDS.expect(self._out, VERSIONS.expect(self._out, name, number).position)
        if (card.name, card.version) != (name, number):
            raise Contradiction(f"the projections have {card.name}:v{card.version} in the place of {name}:v{number}")
        return card

    def write(self) -> None:
        """Write what waits."""
        for index, card, is_new in self._waiting.values():
            self._out.turn_to(index, self._batch)
            if is_new:
                CARDS.add(self._out, card, card.position)
                continue
            if card.status == PURGED:
                # At no moment of the past is there more of it.
                CARDS.bury(self._out, card, card.position, index=card.position)
            else:
                CARDS.put(self._out, card, card.position)
            if block_of(card.position) < self._last_block:
                _mark(card, self._out)
        self._waiting.clear()


def _card_of(event: VersionCreated, record: Record) -> Card:
    return Card(
        record.index,
        event.name,
        event.type,
        event.version,
        READY,
        record.time_ns,
        event.run,
        event.digest,
        event.file_count,
        event.size_bytes,
    )


def _mark(card: Card, out: Chronicle) -> None:
    position, block = card.position, block_of(card.position)
    if card.status == PURGED:
        # So that no earlier state of the block is asked for it.
        MARKS.bury(out, MarkRow(position), block, position, index=position)
    else:
        MARKS.put(out, MarkRow(position), block, position)
    marks = list(MARKS.scan(out, block))
    if len(marks) >= settings.SEARCH_CHANGES_PER_BLOCK:
        for mark in marks:
            MARKS.delete(out, block, mark.position)
        _make_block(block, out)


def _make_block(block: int, out: Chronicle) -> None:
    BLOCKS.put(out, _packed(in_columns(cards_of(out, block))), block)


def _packed(columns: Columns) -> PackedColumns:
    *others, _ = columns.__struct_fields__
    packed = [_encode(getattr(columns, name)) for name in others]
    packed.append(_encode({key: _encode(values) for key, values in columns.metadata.items()}))
    return PackedColumns(*(memoryview(column) for column in packed))


def _leaves(metadata: str) -> tuple[Leaf, ...] | None:
    """Return metadata as it stands on a card, or None where it is too large for one."""
    if len(metadata) > settings.SEARCH_METADATA_BYTES_MAX:
        return None
    leaves = tuple(dotted.leaves(_decode_metadata(metadata)))
    if len(leaves) > settings.SEARCH_LEAVES_MAX:
        return None
    # What is larger than a number of MessagePack stays in the log.
    is_writable = all(not isinstance(value, int) or value in _INTEGERS for _, value in leaves)
    return leaves if is_writable else None
