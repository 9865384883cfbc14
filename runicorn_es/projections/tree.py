"""The Merkle tree over all headers, as its frontier: what a new leaf is added to, and the root is made of."""

from collections.abc import Sequence

from runicorn_es import merkle
from runicorn_es.projections.fact import Fact
from runicorn_es.tables import Reader, Writer

_KEY = b"m"


def apply(facts: Sequence[Fact], out: Writer) -> None:
    """Add the leaves of these records."""
    size, frontier = _state(out)
    for fact in facts:
        merkle.add(frontier, size, fact.record.leaf)
        size += 1
    out.put(_KEY, size.to_bytes(8, "big") + b"".join(frontier))


def head(view: Reader) -> tuple[int, bytes]:
    """Return the number of records and the root hash of the tree over their headers."""
    size, frontier = _state(view)
    return size, merkle.root_of_frontier(frontier)


def _state(view: Reader) -> tuple[int, list[bytes]]:
    found = view.get(_KEY)
    if found is None:
        return 0, []
    nodes = found[8:]
    return int.from_bytes(found[:8], "big"), [
        nodes[at : at + merkle.HASH_BYTES] for at in range(0, len(nodes), merkle.HASH_BYTES)
    ]
