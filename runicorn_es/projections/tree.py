"""The Merkle tree over all headers, as its frontier: the roots of the perfect subtrees from left to right.

RFC 6962, section 2.1: node = SHA-256(0x01 | left | right); the root of an empty tree is SHA-256 of nothing.
"""

from collections.abc import Sequence
import hashlib

from runicorn_es.log.record import HASH_BYTES
from runicorn_es.projections.fact import Fact
from runicorn_es.tables import Reader, Writer

_KEY = b"m"


def apply(facts: Sequence[Fact], out: Writer) -> None:
    """Add the leaves of these records."""
    size, frontier = _state(out)
    for fact in facts:
        add(frontier, size, fact.record.leaf)
        size += 1
    out.put(_KEY, size.to_bytes(8, "big") + b"".join(frontier))


def head(view: Reader) -> tuple[int, bytes]:
    """Return the number of records and the root hash of the tree over their headers."""
    size, frontier = _state(view)
    return size, root(frontier)


def add(frontier: list[bytes], size: int, leaf: bytes) -> None:
    """Add a leaf to the frontier of a tree of this size, in place."""
    node = leaf
    while size & 1:
        node = hashlib.sha256(b"\x01" + frontier.pop() + node).digest()
        size >>= 1
    frontier.append(node)


def root(frontier: Sequence[bytes]) -> bytes:
    """Return the root hash of the tree with this frontier."""
    if not frontier:
        return hashlib.sha256().digest()
    node = frontier[-1]
    for left in reversed(frontier[:-1]):
        node = hashlib.sha256(b"\x01" + left + node).digest()
    return node


def _state(view: Reader) -> tuple[int, list[bytes]]:
    found = view.get(_KEY)
    if found is None:
        return 0, []
    nodes = found[8:]
    return int.from_bytes(found[:8], "big"), [nodes[at : at + HASH_BYTES] for at in range(0, len(nodes), HASH_BYTES)]
