"""The signed head of the log: how many records were acknowledged, and the Merkle root over their headers.

The file is a C2SP tlog-checkpoint in a C2SP signed-note with an Ed25519 signature (RFC 8032). It is the witness of how
far acknowledgement went: a log that ends before it has lost records, and is not cut but reported.
"""

import base64
import binascii
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runicorn_es import durable
from runicorn_es.log.record import HASH_BYTES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_SEPARATOR = "\n\n\N{EM DASH} "
_CHECKPOINT_BYTES_MAX = 16 * 1024
_SEED_FILE = "ed25519.seed"
_PUBLIC_FILE = "ed25519.vkey"


class Head(msgspec.Struct, frozen=True):
    """The size of the log in records, and its root hash."""

    size: int
    root: bytes


class Signer:
    """The signing key of one store. Made on first use; the seed's file can be read by its owner only."""

    def __init__(self, origin: str, seed: bytes) -> None:
        self._origin = origin
        self._key = _private_key(seed)
        self.public = self._key.public_key().public_bytes_raw()
        self._key_id = key_id(origin, self.public)

    @classmethod
    def load(cls, keys: Path, origin: str, fresh_seed: bytes) -> "Signer":
        """Return the signer with the key in this folder, or with ``fresh_seed`` (32 bytes), then kept there."""
        path = keys / _SEED_FILE
        try:
            seed = path.read_bytes()
        except FileNotFoundError:
            durable.write_file(path, fresh_seed, private=True)
            seed = fresh_seed
        signer = cls(origin, seed)
        public = keys / _PUBLIC_FILE
        if not public.exists():
            durable.write_file(public, f"{verifier_key(origin, signer.public)}\n".encode())
        return signer

    def sign(self, head: Head) -> str:
        """Return the text of the checkpoint of this head."""
        body = f"{self._origin}\n{head.size}\n{base64.b64encode(head.root).decode()}\n"
        signature = base64.b64encode(self._key_id + self._key.sign(body.encode())).decode()
        return f"{body}\n\N{EM DASH} {self._origin} {signature}\n"

    def read(self, path: Path) -> Head | None:
        """Return the head that a file of ours says, or None when there is none or it is not signed with this key."""
        try:
            text = path.read_bytes()[:_CHECKPOINT_BYTES_MAX].decode()
            head = self._parse(text)
        except (FileNotFoundError, ValueError, binascii.Error):
            return None
        return head if self.sign(head) == text else None

    def _parse(self, text: str) -> Head:
        body, separator, _ = text.partition(_SEPARATOR)
        origin, size, root = body.split("\n")
        if not separator or origin != self._origin or not size.isdecimal():
            raise ValueError("not a checkpoint of this log")
        head = Head(int(size), base64.b64decode(root, validate=True))
        if len(head.root) != HASH_BYTES:
            raise ValueError("the root hash has not 32 bytes")
        return head


def key_id(origin: str, public: bytes) -> bytes:
    """Return the four bytes that tell keys of one name apart: of SHA-256(name | newline | 0x01 | key)."""
    return hashlib.sha256(origin.encode() + b"\n" + _ED25519 + public).digest()[:_KEY_ID_BYTES]


def verifier_key(origin: str, public: bytes) -> str:
    """Return the public key as signed-note writes it: ``name+id+base64(0x01 | key)``."""
    return f"{origin}+{key_id(origin, public).hex()}+{base64.b64encode(_ED25519 + public).decode()}"


def _private_key(seed: bytes) -> "Ed25519PrivateKey":
    # Fifteen milliseconds to import, and whoever only reads never signs.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    return Ed25519PrivateKey.from_private_bytes(seed)
