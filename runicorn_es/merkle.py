"""The Merkle tree of RFC 6962: roots, proofs that a leaf is in a tree, proofs that one tree continues another.

Pure arithmetic on hashes. leaf = SHA-256(0x00 | entry), node = SHA-256(0x01 | left | right); the root of no leaves is
SHA-256 of nothing. Section numbers below are of RFC 6962; the verifying algorithms are those of RFC 9162, section 2.1.
"""

from collections.abc import Sequence
import hashlib

HASH_BYTES = 32


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a leaf (section 2.1)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node (section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def add(frontier: list[bytes], size: int, leaf: bytes) -> None:
    """Add a leaf to the frontier of a tree of this size, in place.

    The frontier is the roots of the perfect subtrees, from left to right: one for each set bit of the size.
    """
    node = leaf
    while size & 1:
        node = node_hash(frontier.pop(), node)
        size >>= 1
    frontier.append(node)


def root_of_frontier(frontier: Sequence[bytes]) -> bytes:
    """Return the root of the tree with this frontier."""
    if not frontier:
        return hashlib.sha256().digest()
    node = frontier[-1]
    for left in reversed(frontier[:-1]):
        node = node_hash(left, node)
    return node


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the root of the tree over these leaf hashes (section 2.1)."""
    frontier: list[bytes] = []
    for size, leaf in enumerate(leaves):
        add(frontier, size, leaf)
    return root_of_frontier(frontier)


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the hashes that lead from a leaf to the root (section 2.1.1), the lowest first."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of a tree of {len(leaves)}")
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), root(leaves[:split])]


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """Return the hashes that show that the tree over the first ``old_size`` leaves is a beginning (section 2.1.2)."""
    if not 0 < old_size <= len(leaves):
        raise IndexError(f"an older tree of {old_size} leaves in one of {len(leaves)}")
    return _subproof(leaves, old_size, is_whole=True)


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> bool:
    """Return whether the proof leads from the leaf at this index to the root of a tree of this size."""
    if not 0 <= index < size:
        return False
    node, first, last = leaf, index, size - 1
    for sibling in proof:
        if last == 0:
            return False
        if first & 1 or first == last:
            node = node_hash(sibling, node)
            while first and not first & 1:
                first, last = first >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        first, last = first >> 1, last >> 1
    return last == 0 and node == expected_root


def is_consistent(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Return whether the proof shows that the older tree is the beginning of the newer one."""
    if old_size == new_size:
        return not proof and old_root == new_root
    if not 0 < old_size < new_size or not proof:
        return False
    first, last = old_size - 1, new_size - 1
    hashes = list(proof)
    if old_size & (old_size - 1) == 0:
        hashes.insert(0, old_root)
    while first & 1:
        first, last = first >> 1, last >> 1
    old_node = new_node = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if first & 1 or first == last:
            old_node, new_node = node_hash(sibling, old_node), node_hash(sibling, new_node)
            while first and not first & 1:
                first, last = first >> 1, last >> 1
        else:
            new_node = node_hash(new_node, sibling)
        first, last = first >> 1, last >> 1
    return last == 0 and old_node == old_root and new_node == new_root


def _subproof(leaves: Sequence[bytes], old_size: int, *, is_whole: bool) -> list[bytes]:
    if old_size == len(leaves):
        return [] if is_whole else [root(leaves)]
    split = _split(len(leaves))
    if old_size <= split:
        return [*_subproof(leaves[:split], old_size, is_whole=is_whole), root(leaves[split:])]
    return [*_subproof(leaves[split:], old_size - split, is_whole=False), root(leaves[:split])]


def _split(size: int) -> int:
    """Return the largest power of two below a size."""
    return 1 << (size - 1).bit_length() - 1
