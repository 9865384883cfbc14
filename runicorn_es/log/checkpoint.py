"""The signed head of the log: how many records were acknowledged, and the Merkle root over their headers.

The file is a C2SP tlog-checkpoint in a C2SP signed-note with an Ed25519 signature (RFC 8032). It is the witness of how
far acknowledgement went: a log that ends before it has lost records, and is not cut but reported.
"""

import base64
import binascii
from collections.abc import Callable
import hashlib
from pathlib import Path

import msgspec

from runicorn_es import durable
from runicorn_es.merkle import HASH_BYTES

_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_PUBLIC_BYTES = 32
_SEPARATOR = "\n\n\N{EM DASH} "
_CHECKPOINT_BYTES_MAX = 16 * 1024
_SEED_FILE = "ed25519.seed"
_PUBLIC_FILE = "ed25519.vkey"


class Head(msgspec.Struct, frozen=True):
    """The size of the log in records, and its root hash."""

    size: int
    root: bytes


class Signer:
    """The signing key of one store. Made on first use; only its owner can read its file, or the store's group."""

    def __init__(self, origin: str, seed: bytes) -> None:
        self._origin = origin
        self.public, self._sign = _key_pair(seed)
        self._key_id = key_id(origin, self.public)

    @classmethod
    def load(cls, keys: Path, origin: str, fresh_seed: bytes) -> "Signer":
        """Return the signer with the key in this folder, or with ``fresh_seed`` (32 bytes), then kept there."""
        path = keys / _SEED_FILE
        try:
            seed = path.read_bytes()
        except FileNotFoundError:
            is_shared = bool(keys.stat().st_mode & 0o020)
            durable.write_file(path, fresh_seed, mode=0o660 if is_shared else 0o600)
            seed = fresh_seed
        signer = cls(origin, seed)
        public = keys / _PUBLIC_FILE
        if not public.exists():
            durable.write_file(public, f"{verifier_key(origin, signer.public)}\n".encode())
        return signer

    def sign(self, head: Head) -> str:
        """Return the text of the checkpoint of this head."""
        body = f"{self._origin}\n{head.size}\n{base64.b64encode(head.root).decode()}\n"
        signature = base64.b64encode(self._key_id + self._sign(body.encode())).decode()
        return f"{body}\n\N{EM DASH} {self._origin} {signature}\n"


def claimed_head(path: Path, origin: str) -> Head | None:
    """Return the head that the checkpoint in this file claims, unverified; None when there is no readable one."""
    try:
        return _parse(_text_of(path), origin)[0]
    except (FileNotFoundError, ValueError):
        return None


def verified_size(path: Path, keys: Path, origin: str) -> int:
    """Return how many records the checkpoint in this file proves to have been acknowledged.

    0 when there is none, or one that the store's key did not sign: after a power cut it may be half written.
    """
    head = verified_head(path, keys, origin)
    return head.size if head else 0


def verified_head(path: Path, keys: Path, origin: str) -> Head | None:
    """Return the head that the checkpoint in this file says, or None unless the store's key signed it."""
    try:
        text, key = _text_of(path), public_key(keys)
    except (FileNotFoundError, ValueError):
        return None
    head = read_note(text, key)
    return head if key.startswith(f"{origin}+") else None


def read_note(text: str, verifier: str) -> Head | None:
    """Return the head that a checkpoint says, or None unless this key (``name+id+base64``) signed it."""
    try:
        origin, public = _parse_verifier_key(verifier)
        head, body, signature = _parse(text, origin)
    except ValueError:
        return None
    if signature[:_KEY_ID_BYTES] != key_id(origin, public):
        return None
    return head if _is_signed(public, signature[_KEY_ID_BYTES:], body) else None


def public_key(keys: Path) -> str:
    """Return the public key of a store as signed-note writes it. Raises FileNotFoundError before the first batch."""
    return (keys / _PUBLIC_FILE).read_text().strip()


def key_id(origin: str, public: bytes) -> bytes:
    """Return the four bytes that tell keys of one name apart: of SHA-256(name | newline | 0x01 | key)."""
    return hashlib.sha256(origin.encode() + b"\n" + _ED25519 + public).digest()[:_KEY_ID_BYTES]


def verifier_key(origin: str, public: bytes) -> str:
    """Return the public key as signed-note writes it: ``name+id+base64(0x01 | key)``."""
    return f"{origin}+{key_id(origin, public).hex()}+{base64.b64encode(_ED25519 + public).decode()}"


def _text_of(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_CHECKPOINT_BYTES_MAX).decode()


def _parse(text: str, origin: str) -> tuple[Head, bytes, bytes]:
    """Return the head, the signed bytes, and key id and signature. Raises ValueError."""
    body, separator, rest = text.partition(_SEPARATOR)
    found_origin, size, root = body.split("\n")
    name, _, signature = rest.rstrip("\n").partition(" ")
    if not separator or found_origin != origin or name != origin or not (size.isascii() and size.isdecimal()):
        raise ValueError("not a checkpoint of this log")
    head = Head(int(size), _decoded(root))
    if len(head.root) != HASH_BYTES:
        raise ValueError("the root hash has not 32 bytes")
    return head, f"{body}\n".encode(), _decoded(signature)


def _parse_verifier_key(text: str) -> tuple[str, bytes]:
    """Return the name and the 32 bytes of the key. Raises ValueError."""
    # Base64 may hold plus signs as well: what stands behind the second one belongs to the key.
    name, _, rest = text.strip().partition("+")
    identifier, _, key = rest.partition("+")
    decoded = _decoded(key)
    if decoded[:1] != _ED25519 or len(decoded) != 1 + _PUBLIC_BYTES or identifier != key_id(name, decoded[1:]).hex():
        raise ValueError("not an Ed25519 key as signed-note writes it")
    return name, decoded[1:]


def _decoded(text: str) -> bytes:
    try:
        decoded = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    if base64.b64encode(decoded).decode() != text:
        raise ValueError("base64 with spare bits that are not zero: another text for the same bytes")
    return decoded


def _key_pair(seed: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    # Fifteen milliseconds to import, and whoever only reads never signs.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    key = Ed25519PrivateKey.from_private_bytes(seed)
    return key.public_key().public_bytes_raw(), key.sign


def _is_signed(public: bytes, signature: bytes, body: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, body)
    except InvalidSignature:
        return False
    return True
