"""Tables folded from the log, and nothing else. Delete them and they come back, byte for byte.

Each module here has ``apply``: a pure fold into rows. Some are given whole batches at once; the others each record that
holds an event of a kind they name as ``CONCERNED``. Those of which one may ask how they were earlier write to a
Chronicle, which keeps what changes. ``SCHEMA`` names what the rows mean; a store whose tables carry another number is
folded anew.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import msgspec

from runicorn_es import codec
from runicorn_es.log import Position, Record
from runicorn_es.log.record import COMPRESSED, FIRST, PAGE, is_blank
from runicorn_es.projections import (
    batches,
    blanks,
    catalog,
    lineage,
    mentions,
    pages,
    places,
    purges,
    rules,
    search,
    tree,
)
from runicorn_es.projections.chronicle import Chronicle
from runicorn_es.projections.fact import Fact
from runicorn_es.projections.rows import Contradiction
from runicorn_es.tables import Reader, Writer

SCHEMA = 9
_CURSOR = b"c"
_KINDS = {
    b"B": "blocks of cards",
    b"C": "cards to search by",
    b"D": "block of the newest cards",
    b"H": "mentions in records",
    b"M": "marks of changed cards",
    b"N": "actors of blankable records",
    b"a": "artifacts",
    b"b": "rows as they were earlier",
    b"c": "cursor",
    b"d": "digests of versions",
    b"f": "unfinished purges",
    b"g": "pages",
    b"h": "heads",
    b"i": "pages by record",
    b"j": "keys of rows that were removed",
    b"k": "idempotency keys",
    b"l": "aliases",
    b"m": "Merkle tree",
    b"n": "rules of retention",
    b"o": "outputs of runs",
    b"p": "places of records",
    b"r": "runs",
    b"t": "runs by start",
    b"u": "inputs of runs",
    b"v": "versions",
    b"w": "uses of versions",
    b"x": "protected aliases",
    b"z": "blanks",
}
_Note = Callable[[Fact, Writer], None]
_Remember = Callable[[Fact, Chronicle], None]
_NO_KINDS: frozenset[type] = frozenset()
_decode_position = msgspec.msgpack.Decoder(Position).decode


def identity(store_id: str) -> str:
    """Return what the rows depend on besides the log: tables with another identity are folded anew."""
    return f"{store_id} {SCHEMA}"


def kind_of(key: bytes) -> str:
    """Return in words what kind of row a key is of."""
    return _KINDS.get(key[:1], "unknown rows")


def cursor(view: Reader) -> Position | None:
    """Return the position up to which the log is folded into these tables, or None for new ones."""
    found = view.get(_CURSOR)
    try:
        return None if found is None else _decode_position(found)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Contradiction(f"the cursor of the projections cannot be read ({error}); open the store again") from error


def fold(records: Sequence[Record], behind: Position, out: Writer) -> None:
    """Fold one or more whole batches into the tables and move their cursor behind, all in the same transaction."""
    facts = list(_facts(records))
    for apply in (places.apply, tree.apply, mentions.apply):
        apply(facts, out)
    chronicle = Chronicle(out)
    for fact in facts:
        # Of pages nothing is remembered but where they are.
        if fact.record.flags & PAGE:
            pages.apply(fact, out)
            continue
        chronicle.turn_to(fact.record.index, fact.batch)
        noting, remembering = _concerned(fact.kinds, is_blank=fact.is_blank)
        for note in noting:
            note(fact, out)
        for remember in remembering:
            remember(fact, chronicle)
    search.apply(facts, chronicle)
    out.put(_CURSOR, msgspec.msgpack.encode(behind))


@lru_cache
def _concerned(kinds: frozenset[type], *, is_blank: bool) -> tuple[tuple[_Note, ...], tuple[_Remember, ...]]:
    """Return the folds that a record with events of these kinds is told to: most records concern few."""
    noting = tuple(fold.apply for fold in (pages, batches, blanks) if not kinds.isdisjoint(fold.CONCERNED))
    remembering = tuple(
        fold.apply for fold in (catalog, lineage, purges, rules) if not kinds.isdisjoint(fold.CONCERNED)
    )
    return ((*noting, blanks.apply), (*remembering, lineage.apply)) if is_blank else (noting, remembering)


def _facts(records: Sequence[Record]) -> Iterator[Fact]:
    batch = records[0].index
    for record in records:
        if record.flags & FIRST:
            batch = record.index
        # A page is never decoded here; a blanked payload has nothing to say.
        is_gone = is_blank(record)
        if record.flags & PAGE or is_gone:
            yield Fact(record, (), batch, _NO_KINDS, is_gone)
        else:
            events = codec.decode(record.payload, compressed=bool(record.flags & COMPRESSED))
            yield Fact(record, events, batch, frozenset(map(type, events)), is_gone)
