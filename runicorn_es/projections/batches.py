"""Which batch was appended under an idempotency key: what makes the same key twice one batch."""

import hashlib

from runicorn_es.events import BatchAppended
from runicorn_es.projections.fact import Fact
from runicorn_es.tables import Reader, Writer

LETTER = b"k"


CONCERNED = frozenset({BatchAppended})


def apply(fact: Fact, out: Writer) -> None:
    """Note the key of this batch, if it has one."""
    for event in fact.events:
        if isinstance(event, BatchAppended) and event.key is not None:
            out.put(_key(event.key), fact.record.index.to_bytes(8, "big"))


def position_of(view: Reader, key: str) -> int | None:
    """Return the index of the record that names this key, or None when no batch was appended under it."""
    found = view.get(_key(key))
    return None if found is None else int.from_bytes(found, "big")


def _key(key: str) -> bytes:
    return LETTER + hashlib.sha256(key.encode()).digest()
