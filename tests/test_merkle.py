"""Merkle trees and their proofs, against RFC 6962's definition and against every change of a proof."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st
import pytest

from runicorn_es import merkle


def leaves_of(size: int) -> list[bytes]:
    return [merkle.leaf_hash(b"event-%d" % number) for number in range(size)]


def root_by_definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = root_by_definition(leaves[:split]), root_by_definition(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


@pytest.mark.parametrize("size", [*range(20), 255, 256, 257])
def test_the_root_is_the_one_the_rfc_defines(size):
    assert merkle.root(leaves_of(size)) == root_by_definition(leaves_of(size))


@given(st.integers(1, 200), st.data())
def test_every_leaf_can_be_proven_and_no_other(size, data):
    leaves = leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(leaves, index)
    root = merkle.root(leaves)

    assert merkle.is_included(leaves[index], index, size, proof, root)
    assert not merkle.is_included(merkle.leaf_hash(b"another"), index, size, proof, root)
    assert not merkle.is_included(leaves[index], index, size, [*proof, bytes(32)], root)
    for other in range(size):
        assert merkle.is_included(leaves[index], other, size, proof, root) == (other == index)
    for at in range(len(proof)):
        changed = [*proof[:at], bytes(32), *proof[at + 1 :]]
        assert not merkle.is_included(leaves[index], index, size, changed, root)


@given(st.integers(1, 200), st.data())
def test_a_tree_that_grew_can_be_proven_and_one_that_changed_cannot(size, data):
    leaves = leaves_of(size)
    old_size = data.draw(st.integers(1, size))
    old, new = merkle.root(leaves[:old_size]), merkle.root(leaves)
    proof = merkle.consistency_proof(leaves, old_size)

    assert merkle.is_consistent(old_size, old, size, new, proof)
    assert not merkle.is_consistent(old_size, bytes(32), size, new, proof)
    assert not merkle.is_consistent(old_size, old, size, bytes(32), proof)
    if old_size < size:
        rewritten = [merkle.leaf_hash(b"rewritten"), *leaves[1:]]
        forged = merkle.consistency_proof(rewritten, old_size)
        assert not merkle.is_consistent(old_size, old, size, merkle.root(rewritten), forged)


def test_proofs_outside_the_tree_are_refused():
    with pytest.raises(IndexError):
        merkle.inclusion_proof(leaves_of(3), 3)
    with pytest.raises(IndexError):
        merkle.consistency_proof(leaves_of(3), 0)
    assert not merkle.is_included(leaves_of(1)[0], 1, 1, [], leaves_of(1)[0])
    assert not merkle.is_consistent(4, bytes(32), 3, bytes(32), [])
