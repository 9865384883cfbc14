"""One record as bytes: lengths, checksum, header, payload. Knows positions and hashes, not what a payload means.

Layout: docs/reference/format.md#record. Leaf and node hashes: RFC 6962, section 2.1.
"""

from collections.abc import Iterator
import hashlib
import struct
import zlib

import msgspec

from runicorn_es import merkle, settings

FIRST = 1  # the first record of a batch
COMMIT = 2  # the last record of a batch; without it the batch does not count
COMPRESSED = 4  # the payload, behind its random bytes, is Zstandard
PAGE = 8  # the payload is a page of files
BLANKABLE = 16  # a purge may blank the payload
OVERLAPPING = 32  # the first record of a batch that was written while the one before it was perhaps not durable yet
_KNOWN_FLAGS = FIRST | COMMIT | COMPRESSED | PAGE | BLANKABLE | OVERLAPPING

_BLANK = b"BLANKED "

NO_LEAF = bytes(merkle.HASH_BYTES)
FRAME = struct.Struct("<III")
_LENGTHS = struct.Struct("<II")


class Header(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What is said of a record in the clear and for ever; the leaf of the Merkle tree is its hash."""

    index: int
    time_ns: int
    flags: int
    subject: str
    previous_leaf: bytes
    commitment: bytes


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A record on its way into the log: everything but its place, its time and its chain."""

    subject: str
    payload: bytes
    flags: int = 0


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record of the log. ``segment`` is the first index of its segment, ``offset`` counts bytes in that file."""

    index: int
    time_ns: int
    flags: int
    subject: str
    previous_leaf: bytes
    commitment: bytes
    leaf: bytes
    payload: bytes
    segment: int
    offset: int
    size_bytes: int


_header_encoder = msgspec.msgpack.Encoder()
_header_decoder = msgspec.msgpack.Decoder(Header)


def encode(header: Header, payload: bytes) -> tuple[bytes, bytes]:
    """Return the bytes of a record and its leaf hash."""
    encoded = _header_encoder.encode(header)
    assert len(encoded) <= settings.HEADER_BYTES_MAX
    assert len(payload) <= settings.PAYLOAD_BYTES_MAX
    lengths = _LENGTHS.pack(len(encoded), len(payload))
    checksum = zlib.crc32(encoded, zlib.crc32(lengths))
    return b"".join((FRAME.pack(len(encoded), len(payload), checksum), encoded, payload)), merkle.leaf_hash(encoded)


def decode(buffer: bytes, at: int, *, segment: int, base: int) -> Record | None:
    """Return the record at ``buffer[at:]``, or None where no whole and sound header and a whole payload stand.

    ``base``: the offset of the buffer in its segment's file. The payload is not compared with its commitment.
    """
    if at + FRAME.size > len(buffer):
        return None
    header_bytes, payload_bytes, checksum = FRAME.unpack_from(buffer, at)
    if header_bytes > settings.HEADER_BYTES_MAX or payload_bytes > settings.PAYLOAD_BYTES_MAX:
        return None
    header_at = at + FRAME.size
    payload_at = header_at + header_bytes
    end = payload_at + payload_bytes
    if end > len(buffer):
        return None
    encoded = buffer[header_at:payload_at]
    if zlib.crc32(encoded, zlib.crc32(buffer[at : at + _LENGTHS.size])) != checksum:
        return None
    header = decode_header(encoded)
    if header is None:
        return None
    return Record(
        header.index,
        header.time_ns,
        header.flags,
        header.subject,
        header.previous_leaf,
        header.commitment,
        merkle.leaf_hash(encoded),
        buffer[payload_at:end],
        segment,
        base + at,
        end - at,
    )


def decode_header(encoded: bytes) -> Header | None:
    """Return the header that these bytes are, or None."""
    try:
        return _header_decoder.decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def encode_header(record: Record) -> bytes:
    """Return the header of a record of the log as it stands there."""
    return _header_encoder.encode(
        Header(record.index, record.time_ns, record.flags, record.subject, record.previous_leaf, record.commitment)
    )


def places_like_a_record(buffer: bytes, at: int) -> Iterator[int]:
    """Yield the offsets from ``at`` on where a record could begin: its header, an array of six, starts with 0x96."""
    found = buffer.find(b"\x96", at + FRAME.size)
    while found >= 0:
        yield found - FRAME.size
        found = buffer.find(b"\x96", found + 1)


def bytes_needed(buffer: bytes, at: int) -> int:
    """Return how many bytes the record at ``buffer[at:]`` claims to have; a frame's, if not even that is there."""
    if at + FRAME.size > len(buffer):
        return FRAME.size
    header_bytes, payload_bytes, _ = FRAME.unpack_from(buffer, at)
    return FRAME.size + int(header_bytes) + int(payload_bytes)


def proves_what_is_before_it(flags: int) -> bool:
    """Return whether a record with these flags was written when everything before it was known to be durable."""
    return flags & (FIRST | OVERLAPPING) == FIRST


def has_unknown_flags(record: Record) -> bool:
    """Return whether a record has a flag of a later release."""
    return bool(record.flags & ~_KNOWN_FLAGS)


def blank_payload(size_bytes: int) -> bytes:
    """Return what a payload of this length is blanked with. Not zeros: a lost block of a disk reads as those."""
    return (_BLANK * (size_bytes // len(_BLANK) + 1))[:size_bytes]


def is_blank(record: Record) -> bool:
    """Return whether the payload was blanked, and is one that may be."""
    if not record.flags & BLANKABLE or not record.payload.startswith(_BLANK):
        return False
    return record.payload == blank_payload(len(record.payload))


def is_sound(record: Record) -> bool:
    """Return whether the payload is the one that the header commits to."""
    return hashlib.sha256(record.payload).digest() == record.commitment
