"""Tables folded from the log, and nothing else. Delete them and they come back, byte for byte.

Each module here has ``apply(facts, out)``: a pure fold of one or more batches into rows. ``SCHEMA`` names what the rows
mean; a store whose tables carry another number is folded anew.
"""

from collections.abc import Sequence

import msgspec

from runicorn_es import codec
from runicorn_es.log import Position, Record
from runicorn_es.log.record import COMPRESSED, PAGE, is_blank
from runicorn_es.projections import (
    batches,
    blanks,
    catalog,
    counts,
    lineage,
    pages,
    places,
    purges,
    rules,
    search,
    tree,
)
from runicorn_es.projections.fact import Fact
from runicorn_es.projections.rows import Contradiction
from runicorn_es.tables import Reader, Writer

SCHEMA = 5
_CURSOR = b"c"
_FOLDS = (
    places.apply,
    tree.apply,
    pages.apply,
    batches.apply,
    blanks.apply,
    catalog.apply,
    lineage.apply,
    counts.apply,
    purges.apply,
    rules.apply,
    search.apply,
)
_KINDS = {
    b"B": "blocks of cards",
    b"C": "cards to search by",
    b"M": "marks of changed cards",
    b"a": "artifacts",
    b"c": "cursor",
    b"d": "digests of versions",
    b"e": "details of versions",
    b"f": "unfinished purges",
    b"g": "pages",
    b"h": "heads",
    b"i": "pages by record",
    b"k": "idempotency keys",
    b"l": "aliases",
    b"m": "Merkle tree",
    b"n": "rules of retention",
    b"o": "outputs of runs",
    b"p": "places of records",
    b"r": "runs",
    b"s": "sums",
    b"t": "runs by start",
    b"u": "inputs of runs",
    b"v": "versions",
    b"w": "uses of versions",
    b"x": "protected aliases",
    b"z": "blanks",
}
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
    facts = [_fact(record) for record in records]
    for apply in _FOLDS:
        apply(facts, out)
    out.put(_CURSOR, msgspec.msgpack.encode(behind))


def _fact(record: Record) -> Fact:
    # A page is never decoded here; a blanked payload has nothing to say.
    if record.flags & PAGE or is_blank(record):
        return Fact(record, ())
    return Fact(record, codec.decode(record.payload, compressed=bool(record.flags & COMPRESSED)))
