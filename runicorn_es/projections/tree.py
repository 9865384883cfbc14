"""The Merkle tree over all headers, as its frontier: what a new leaf is added to, and the root is made of."""

from collections.abc import Sequence

import msgspec

from runicorn_es import merkle
from runicorn_es.log.record import COMMIT
from runicorn_es.projections.fact import Fact
from runicorn_es.tables import Reader, Writer

# A checkpoint lags behind the log by the batches that are being synced: rarely more than there are writers.
RECENT_HEADS = 32
_KEY = b"m"
_RECENT = b"h"
_SIZE_BYTES = 8
_HEAD_BYTES = _SIZE_BYTES + merkle.HASH_BYTES


class Tip(msgspec.Struct, frozen=True):
    """Where the log ends: records, root, the time of the last one; and the heads behind the last batches, encoded."""

    size: int
    root: bytes
    time_ns: int
    recent: bytes

    def root_at(self, size: int) -> bytes | None:
        """Return the root at a size behind one of the last batches, or None."""
        wanted = size.to_bytes(_SIZE_BYTES)
        for at in range(len(self.recent) - _HEAD_BYTES, -1, -_HEAD_BYTES):
            if self.recent.startswith(wanted, at):
                return self.recent[at + _SIZE_BYTES : at + _HEAD_BYTES]
        return None


def apply(facts: Sequence[Fact], out: Writer) -> None:
    """Add the leaves of these records, and keep the heads behind the last batches."""
    size, frontier = _state(out)
    ends = [number for number, fact in enumerate(facts) if fact.record.flags & COMMIT]
    kept_from = ends[-RECENT_HEADS] if len(ends) > RECENT_HEADS else 0
    heads = [(out.get(_RECENT) or bytes(_SIZE_BYTES))[_SIZE_BYTES:]]
    for number, fact in enumerate(facts):
        merkle.add(frontier, size, fact.record.leaf)
        size += 1
        if number >= kept_from and fact.record.flags & COMMIT:
            heads += (size.to_bytes(_SIZE_BYTES), merkle.root_of_frontier(frontier))
    out.put(_KEY, size.to_bytes(_SIZE_BYTES) + b"".join(frontier))
    recent = b"".join(heads)[-RECENT_HEADS * _HEAD_BYTES :]
    out.put(_RECENT, facts[-1].record.time_ns.to_bytes(_SIZE_BYTES) + recent)


def head(view: Reader) -> tuple[int, bytes]:
    """Return the number of records and the root hash of the tree over their headers."""
    found = view.get(_RECENT)
    if found is None:
        return 0, merkle.root([])
    return int.from_bytes(found[-_HEAD_BYTES : -merkle.HASH_BYTES]), found[-merkle.HASH_BYTES :]


def tip(view: Reader) -> Tip:
    """Return where the log ends."""
    found = view.get(_RECENT)
    if found is None:
        return Tip(*head(view), 0, b"")
    recent = found[_SIZE_BYTES:]
    size = int.from_bytes(recent[-_HEAD_BYTES : -merkle.HASH_BYTES])
    return Tip(size, recent[-merkle.HASH_BYTES :], int.from_bytes(found[:_SIZE_BYTES]), recent)


def _state(view: Reader) -> tuple[int, list[bytes]]:
    found = view.get(_KEY)
    if found is None:
        return 0, []
    nodes = found[_SIZE_BYTES:]
    return int.from_bytes(found[:_SIZE_BYTES]), [
        nodes[at : at + merkle.HASH_BYTES] for at in range(0, len(nodes), merkle.HASH_BYTES)
    ]
