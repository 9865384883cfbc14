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
from runicorn_es.events import Event, KeyRotated
from runicorn_es.log import Record, record
from runicorn_es.signing import Head, Trust
from runicorn_es.signing.note import parse_key

BUNDLE_BYTES_MAX = 4 * 1024 * 1024
_PROOF_HASHES_MAX = 64
_ENDORSEMENTS_MAX = 64


class Inclusion(
    msgspec.Struct, frozen=True, tag_field="schema", tag="runicorn.inclusion/1", forbid_unknown_fields=True
):
    """That a record is in the log. header, payload and the hashes of the path are in hexadecimal.

    payload: None when it was blanked; then only that there was a record, when, and of what, is proven. endorsements:
    proofs, the oldest first, that a key which signed earlier named the one that followed it.
    """

    index: int
    header: str
    payload: str | None
    path: tuple[str, ...]
    checkpoint: str
    endorsements: "tuple[Inclusion, ...]" = ()


class Consistency(
    msgspec.Struct, frozen=True, tag_field="schema", tag="runicorn.consistency/1", forbid_unknown_fields=True
):
    """That the log of the newer checkpoint begins with that of the older one."""

    old: str
    new: str
    path: tuple[str, ...]
    endorsements: tuple[Inclusion, ...] = ()


class Fork(msgspec.Struct, frozen=True, tag_field="schema", tag="runicorn.fork/1", forbid_unknown_fields=True):
    """That the holder of one key signed two histories: at one index, each of two signed logs has another record."""

    ours: Inclusion
    theirs: Inclusion


Bundle = Inclusion | Consistency | Fork


class Proven(msgspec.Struct, frozen=True):
    """What a bundle proved. ``size`` and ``root`` (hexadecimal) are the head that was signed.

    For an inclusion: index, time_ns, subject and events of the record. For a consistency: old_size. For a fork: index,
    where the histories part, and the other signed head; time_ns, subject and events are of the first.
    """

    kind: Literal["inclusion", "consistency", "fork"]
    size: int
    root: str
    index: int | None = None
    time_ns: int | None = None
    subject: str | None = None
    events: tuple[Event, ...] = ()
    old_size: int | None = None
    other_size: int | None = None
    other_root: str | None = None


_decoder = msgspec.json.Decoder(Bundle)
_endorsement_decoder = msgspec.json.Decoder(Inclusion)


def prove_inclusion(
    found: Record, leaves: Sequence[bytes], checkpoint: str, endorsements: tuple[Inclusion, ...] = ()
) -> Inclusion:
    """Return the proof that a record is among these leaves, whose root the checkpoint says."""
    path = merkle.inclusion_proof(leaves, found.index)
    payload = found.payload.hex() if record.is_sound(found) else None
    header = record.encode_header(found).hex()
    return Inclusion(found.index, header, payload, tuple(step.hex() for step in path), checkpoint, endorsements)


def prove_consistency(
    old: str, old_size: int, leaves: Sequence[bytes], new: str, endorsements: tuple[Inclusion, ...] = ()
) -> Consistency:
    """Return the proof that these leaves, whose root the new checkpoint says, begin with those of the old one."""
    path = merkle.consistency_proof(leaves, old_size)
    return Consistency(old, new, tuple(step.hex() for step in path), endorsements)


def read_endorsement(content: bytes) -> Inclusion:
    """Return the proof by which a retired key named its successor. Raises MsgspecError."""
    try:
        return _endorsement_decoder.decode(content)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def encode(bundle: Bundle) -> bytes:
    """Return a bundle as a JSON document."""
    return msgspec.json.format(msgspec.json.encode(bundle), indent=2) + b"\n"


def verify(content: bytes, verifier_key: str) -> Proven:
    """Return what a bundle proves to whoever trusts this key (``name+id+base64``).

    Raises Rejected if it proves nothing, TooNew when what it proves was written by a newer release.
    A bundle that was made after the key was retired carries the proofs that lead from it to the key in use.
    """
    if len(content) > BUNDLE_BYTES_MAX:
        raise Rejected(f"a proof of {len(content)} bytes is longer than any; this is not one")
    try:
        trust = Trust(((parse_key(verifier_key), None),))
    except ValueError as error:
        raise Rejected(f"the key cannot be read: {error}") from error
    try:
        bundle = _decoder.decode(content)
        match bundle:
            case Inclusion():
                return _verify_inclusion(bundle, _extended(trust, bundle.endorsements))
            case Consistency():
                return _verify_consistency(bundle, _extended(trust, bundle.endorsements))
            case _:
                return _verify_fork(bundle, trust)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        if isinstance(error, Rejected):
            raise
        raise Rejected(f"this is not a proof bundle: {error}") from error


def _verify_inclusion(bundle: Inclusion, trust: Trust) -> Proven:
    head = _signed_head(bundle.checkpoint, trust)
    encoded = bytes.fromhex(bundle.header)
    payload = None if bundle.payload is None else bytes.fromhex(bundle.payload)
    header = record.decode_header(encoded)
    if header is None or header.index != bundle.index:
        raise Rejected("the proof's header is not that of the record it names")
    if not merkle.is_included(merkle.leaf_hash(encoded), bundle.index, head.size, _hashes(bundle.path), head.root):
        raise Rejected(f"record {bundle.index} is not in the log that the checkpoint was signed for")
    if payload is not None and hashlib.sha256(payload).digest() != header.commitment:
        raise Rejected(f"the payload is not the one that record {bundle.index} commits to")
    events: tuple[Event, ...] = ()
    if payload is not None:
        events = codec.decode(payload, compressed=bool(header.flags & record.COMPRESSED))
    return Proven("inclusion", head.size, head.root.hex(), bundle.index, header.time_ns, header.subject, events)


def _verify_consistency(bundle: Consistency, trust: Trust) -> Proven:
    old, new = _signed_head(bundle.old, trust), _signed_head(bundle.new, trust)
    if not merkle.is_consistent(old.size, old.root, new.size, new.root, _hashes(bundle.path)):
        raise Rejected(
            f"the log of {new.size} records does not begin with the one of {old.size} records: history was rewritten, "
            "or the store was forked; the two checkpoints are the evidence"
        )
    return Proven("consistency", new.size, new.root.hex(), old_size=old.size)


def _verify_fork(bundle: Fork, trust: Trust) -> Proven:
    ours = _verify_inclusion(bundle.ours, _extended(trust, bundle.ours.endorsements))
    theirs = _verify_inclusion(bundle.theirs, _extended(trust, bundle.theirs.endorsements))
    if ours.index != theirs.index or bundle.ours.header == bundle.theirs.header:
        raise Rejected("the two logs have the same record there: this proves no fork")
    return Proven(
        "fork",
        ours.size,
        ours.root,
        ours.index,
        ours.time_ns,
        ours.subject,
        ours.events,
        other_size=theirs.size,
        other_root=theirs.root,
    )


def _extended(trust: Trust, endorsements: tuple[Inclusion, ...]) -> Trust:
    """Return the trust in a key together with that in those which followed it, by its own word."""
    if len(endorsements) > _ENDORSEMENTS_MAX:
        raise Rejected(f"a proof with {len(endorsements)} endorsements is not one of ours")
    for one in endorsements:
        try:
            proven = _verify_inclusion(one, trust)
        except Rejected:
            # By a key before the one that is trusted, or by none: it proves nothing here, and nothing else needs it.
            continue
        for event in proven.events:
            if isinstance(event, KeyRotated):
                trust = _succeeded(trust, event, proven.size)
    return trust


def _succeeded(trust: Trust, event: KeyRotated, size: int) -> Trust:
    for key in (parse_key(event.ed25519), parse_key(event.ml_dsa_44)):
        # A key speaks for one of its own kind: who trusts ML-DSA alone is not made to trust Ed25519.
        if any(known.algorithm == key.algorithm and known.name == key.name for known, _ in trust.keys):
            trust = trust.and_then(key, size)
    return trust


def _hashes(path: tuple[str, ...]) -> tuple[bytes, ...]:
    hashes = tuple(bytes.fromhex(step) for step in path)
    if len(hashes) > _PROOF_HASHES_MAX or any(len(step) != merkle.HASH_BYTES for step in hashes):
        raise Rejected("this is not a proof bundle: its path is not one of hashes")
    return hashes


def _signed_head(checkpoint: str, trust: Trust) -> Head:
    head = trust.head(checkpoint)
    if head is None:
        raise Rejected("the checkpoint is not signed with this key")
    return head
