"""The signed head of the log: how many records were acknowledged, and the Merkle root over their headers.

It is a C2SP tlog-checkpoint in a signed note: signed with Ed25519 (RFC 8032) after every batch, and cosigned with
ML-DSA-44 (FIPS 204; C2SP tlog-cosignature) when it is handed out. The file in the store is the witness of how far
acknowledgement went: a log that ends before it has lost records, and is not cut but reported.
"""

import base64
from pathlib import Path

import msgspec

from runicorn_es import durable
from runicorn_es.merkle import HASH_BYTES
from runicorn_es.signing.note import ED25519, Note, VerifierKey, decoded, parse

TIME_BYTES = 8
_COSIGNED_LABEL = b"subtree/v1\n\x00"


class Head(msgspec.Struct, frozen=True):
    """The size of the log in records, and its root hash."""

    size: int
    root: bytes


class Trust(msgspec.Struct, frozen=True):
    """Whose signatures are believed: each key, and the size of the log up to which it was in use (None: it still is).

    A retired key proves what it signed while it was in use, and nothing beyond.
    """

    keys: tuple[tuple[VerifierKey, int | None], ...] = ()

    def head(self, text: str) -> Head | None:
        """Return the head that a checkpoint says; None unless a trusted key signed it, or if one of them did not."""
        try:
            origin, head, note = read_checkpoint(text)
        except ValueError:
            return None
        signatures = [
            (key, content)
            for key, last_size in self.keys
            if (last_size is None or head.size <= last_size) and (content := note.signature_of(key)) is not None
        ]
        is_signed = all(_has_signed(key, content, origin, head, note) for key, content in signatures)
        return head if signatures and is_signed else None

    def head_of(self, content: bytes) -> Head | None:
        """Return the head that the content of a checkpoint file says, as ``head`` does."""
        try:
            return self.head(content.decode())
        except UnicodeDecodeError:
            return None

    def head_in(self, path: Path) -> Head | None:
        """Return the head that the checkpoint in a file says, as ``head`` does."""
        return self.head_of(durable.read_small_file(path))

    def and_then(self, successor: VerifierKey, size: int) -> "Trust":
        """Return this trust when the key of the same algorithm is retired at a size, and its successor is in use."""
        if any(key == successor for key, _ in self.keys):
            return self
        kept = [
            (key, size if key.algorithm == successor.algorithm and last_size is None else last_size)
            for key, last_size in self.keys
        ]
        return Trust((*kept, (successor, None)))


def body_of(origin: str, head: Head) -> str:
    """Return the text of a head that is signed."""
    return f"{origin}\n{head.size}\n{base64.b64encode(head.root).decode()}\n"


def cosigned_message(name: str, time_s: int, origin: str, head: Head) -> bytes:
    """Return what an ML-DSA-44 cosignature signs: that at this time a log had this head (C2SP tlog-cosignature)."""
    numbers = time_s.to_bytes(TIME_BYTES), (0).to_bytes(8), head.size.to_bytes(8)
    names = [bytes([len(one)]) + one for one in (name.encode(), origin.encode())]
    return _COSIGNED_LABEL + names[0] + numbers[0] + names[1] + numbers[1] + numbers[2] + head.root


def read_checkpoint(text: str) -> tuple[str, Head, Note]:
    """Return the origin and the head that a checkpoint claims, and its signatures, unverified. Raises ValueError."""
    note = parse(text)
    origin, size, root, rest = note.body.split("\n")
    if not origin or rest or not (size.isascii() and size.isdecimal()) or (size != "0" and size.startswith("0")):
        raise ValueError("not a checkpoint: it has not an origin, a size and a root")
    head = Head(int(size), decoded(root))
    if len(head.root) != HASH_BYTES or head.size >= 1 << 63:
        raise ValueError("not a checkpoint: its root has not 32 bytes, or its size is beyond any log's")
    return origin, head, note


def claimed_head(content: bytes, origin: str) -> Head | None:
    """Return the head that the content of a checkpoint file claims, unverified; None when it is not readable."""
    try:
        found_origin, head, _ = read_checkpoint(content.decode())
    except ValueError:
        return None
    return head if found_origin == origin else None


def _has_signed(key: VerifierKey, content: bytes, origin: str, head: Head, note: Note) -> bool:
    if origin != key.name:
        return False
    if key.algorithm == ED25519:
        return _is_ed25519(key.public, content, note.body.encode())
    time_s = int.from_bytes(content[:TIME_BYTES])
    return _is_ml_dsa(key.public, content[TIME_BYTES:], cosigned_message(key.name, time_s, origin, head))


# Fifteen milliseconds to import, and whoever finds what they signed themselves never verifies.


def _is_ed25519(public: bytes, signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _is_ml_dsa(public: bytes, signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey  # noqa: PLC0415

    try:
        MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True
