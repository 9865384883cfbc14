"""C2SP signed notes: a text, and under it one line for each signature of a key that has a name.

The keys are written as C2SP ``vkey``: ``name+id+base64(algorithm | public key)``. Parsing is strict: there is one text
for one note, so that no changed byte leaves it valid.
"""

import base64
import binascii
from functools import lru_cache
import hashlib

import msgspec

ED25519 = 0x01
ML_DSA_44 = 0x06
KEY_ID_BYTES = 4
_PUBLIC_BYTES = {ED25519: 32, ML_DSA_44: 1312}
_SIGNATURES_MAX = 16
_NAME_BYTES_MAX = 255
_DASH = "\N{EM DASH} "


class VerifierKey(msgspec.Struct, frozen=True):
    """A public key and the name that it signs for."""

    name: str
    algorithm: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Return the four bytes that tell keys of one name apart."""
        return _key_id(self.name, self.algorithm, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([self.algorithm]) + self.public).decode()}"


class Signature(msgspec.Struct, frozen=True):
    """One signature line: whose, and its bytes."""

    name: str
    key_id: bytes
    content: bytes


class Note(msgspec.Struct, frozen=True):
    """A text, which ends with a newline, and the signatures under it, none of them verified."""

    body: str
    signatures: tuple[Signature, ...]

    def signature_of(self, key: VerifierKey) -> bytes | None:
        """Return the bytes that this key is said to have signed with, if any."""
        for one in self.signatures:
            if one.name == key.name and one.key_id == key.key_id:
                return one.content
        return None


def parse(text: str) -> Note:
    """Return the note that this text is. Raises ValueError."""
    body, separator, lines = text.rpartition("\n\n")
    if not separator or not lines.endswith("\n") or lines.count("\n") > _SIGNATURES_MAX:
        raise ValueError("not a signed note")
    return Note(f"{body}\n", tuple(map(_parse_signature, lines[:-1].split("\n"))))


def signature_line(key: VerifierKey, content: bytes) -> str:
    """Return the line that says what a key signed with."""
    return f"{_DASH}{key.name} {base64.b64encode(key.key_id + content).decode()}\n"


def parse_key(text: str) -> VerifierKey:
    """Return the public key that this text is. Raises ValueError."""
    # Base64 may hold plus signs as well: what stands behind the second one belongs to the key.
    name, _, rest = text.strip().partition("+")
    identifier, _, encoded = rest.partition("+")
    content = decoded(encoded)
    key = VerifierKey(name, content[0] if content else 0, content[1:])
    is_key = len(key.public) == _PUBLIC_BYTES.get(key.algorithm) and identifier == key.key_id.hex()
    if not is_key or not 0 < len(name.encode()) <= _NAME_BYTES_MAX or any(one.isspace() for one in name):
        raise ValueError("not an Ed25519 or ML-DSA-44 key as a signed note writes it: name+id+base64")
    return key


def decoded(text: str) -> bytes:
    """Return the bytes of a base64 text, of which there is only this one text. Raises ValueError."""
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    if base64.b64encode(content).decode() != text:
        raise ValueError("base64 with spare bits that are not zero: another text for the same bytes")
    return content


@lru_cache(maxsize=64)
def _key_id(name: str, algorithm: int, public: bytes) -> bytes:
    material = name.encode() + b"\n" + bytes([algorithm]) + public
    return hashlib.sha256(material).digest()[:KEY_ID_BYTES]


def _parse_signature(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    content = decoded(encoded)
    if not line.startswith(_DASH) or not name or len(content) <= KEY_ID_BYTES:
        raise ValueError("not a signature line of a note")
    return Signature(name, content[:KEY_ID_BYTES], content[KEY_ID_BYTES:])
