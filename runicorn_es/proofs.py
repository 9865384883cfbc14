"""Proofs that can be checked with the public key alone: that a record is in the log, that the log only ever grew.

A bundle is a small JSON document. Its checkpoint is a C2SP signed note, its hashes are those of RFC 6962; nothing of
the store is needed to verify one.
"""

from collections.abc import Sequence
import hashlib
from typing import Literal

import msgspec

from runicorn_es import codec, merkle
from runicorn_es.errors import Rejected
from runicorn_es.events import Event
from runicorn_es.log import Record, record
from runicorn_es.log.checkpoint import Head, read_note

_BUNDLE_BYTES_MAX = 4 * 1024 * 1024
_PROOF_HASHES_MAX = 64


class Inclusion(
    msgspec.Struct, frozen=True, tag_field="schema", tag="runicorn.inclusion/1", forbid_unknown_fields=True
):
    """That a record is in the log. header, payload and the hashes of the path are in hexadecimal.

    payload: None when it was blanked; then only that there was a record, when, and of what, is proven.
    """

    index: int
    header: str
    payload: str | None
    path: tuple[str, ...]
    checkpoint: str


class Consistency(
    msgspec.Struct, frozen=True, tag_field="schema", tag="runicorn.consistency/1", forbid_unknown_fields=True
):
    """That the log of the newer checkpoint begins with that of the older one."""

    old: str
    new: str
    path: tuple[str, ...]


class Proven(msgspec.Struct, frozen=True):
    """What a bundle proved. ``size`` and ``root`` (hexadecimal) are the head that was signed.

    For an inclusion: index, time_ns, subject and events of the record. For a consistency: old_size.
    """

    kind: Literal["inclusion", "consistency"]
    size: int
    root: str
    index: int | None = None
    time_ns: int | None = None
    subject: str | None = None
    events: tuple[Event, ...] = ()
    old_size: int | None = None


_decoder = msgspec.json.Decoder(Inclusion | Consistency)


def prove_inclusion(found: Record, header: bytes, leaves: Sequence[bytes], checkpoint: str) -> Inclusion:
    """Return the proof that a record is among these leaves, whose root the checkpoint says."""
    path = merkle.inclusion_proof(leaves, found.index)
    payload = found.payload.hex() if record.is_sound(found) else None
    return Inclusion(found.index, header.hex(), payload, tuple(step.hex() for step in path), checkpoint)


def prove_consistency(old: str, old_size: int, leaves: Sequence[bytes], new: str) -> Consistency:
    """Return the proof that these leaves, whose root the new checkpoint says, begin with those of the old one."""
    path = merkle.consistency_proof(leaves, old_size)
    return Consistency(old, new, tuple(step.hex() for step in path))


def encode(bundle: Inclusion | Consistency) -> bytes:
    """Return a bundle as a JSON document."""
    return msgspec.json.format(msgspec.json.encode(bundle), indent=2) + b"\n"


def verify(content: bytes, verifier_key: str) -> Proven:
    """Return what a bundle proves to whoever trusts this key (``name+id+base64``). Raises Rejected if it does not."""
    if len(content) > _BUNDLE_BYTES_MAX:
        raise Rejected(f"a proof of {len(content)} bytes is longer than any; this is not one")
    try:
        bundle = _decoder.decode(content)
        path = tuple(bytes.fromhex(step) for step in bundle.path)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Rejected(f"this is not a proof bundle: {error}") from error
    if len(path) > _PROOF_HASHES_MAX or any(len(step) != merkle.HASH_BYTES for step in path):
        raise Rejected("this is not a proof bundle: its path is not one of hashes")
    if isinstance(bundle, Inclusion):
        return _verify_inclusion(bundle, path, verifier_key)
    return _verify_consistency(bundle, path, verifier_key)


def _verify_inclusion(bundle: Inclusion, path: tuple[bytes, ...], verifier_key: str) -> Proven:
    head = _signed_head(bundle.checkpoint, verifier_key)
    try:
        encoded = bytes.fromhex(bundle.header)
        payload = None if bundle.payload is None else bytes.fromhex(bundle.payload)
    except ValueError as error:
        raise Rejected(f"this is not a proof bundle: {error}") from error
    header = record.decode_header(encoded)
    if header is None or header.index != bundle.index:
        raise Rejected("the proof's header is not that of the record it names")
    if not merkle.is_included(merkle.leaf_hash(encoded), bundle.index, head.size, path, head.root):
        raise Rejected(f"record {bundle.index} is not in the log that the checkpoint was signed for")
    if payload is not None and hashlib.sha256(payload).digest() != header.commitment:
        raise Rejected(f"the payload is not the one that record {bundle.index} commits to")
    events: tuple[Event, ...] = ()
    if payload is not None:
        events = codec.decode(payload, compressed=bool(header.flags & record.COMPRESSED))
    return Proven("inclusion", head.size, head.root.hex(), bundle.index, header.time_ns, header.subject, events)


def _verify_consistency(bundle: Consistency, path: tuple[bytes, ...], verifier_key: str) -> Proven:
    old, new = _signed_head(bundle.old, verifier_key), _signed_head(bundle.new, verifier_key)
    if not merkle.is_consistent(old.size, old.root, new.size, new.root, path):
        raise Rejected(
            f"the log of {new.size} records does not begin with the one of {old.size} records: history was rewritten, "
            "or the store was forked; the two checkpoints are the evidence"
        )
    return Proven("consistency", new.size, new.root.hex(), old_size=old.size)


def _signed_head(checkpoint: str, verifier_key: str) -> Head:
    head = read_note(checkpoint, verifier_key)
    if head is None:
        raise Rejected("the checkpoint is not signed with this key")
    return head
