"""One record as bytes."""

import hashlib
import struct
import zlib

from hypothesis import given
from hypothesis import strategies as some
import msgspec
import pytest

from runicorn_es import merkle, settings
from runicorn_es.log import record
from runicorn_es.log.record import Header

HEADER = Header(7, 1_700_000_000_000_000_000, record.FIRST | record.COMMIT, "m:v1", bytes(32), bytes(range(32)))


def decoded(content, at=0):
    return record.decode(content, at, segment=3, base=1000)


def framed(header: bytes, payload: bytes = b"") -> bytes:
    lengths = struct.pack("<II", len(header), len(payload))
    return lengths + struct.pack("<I", zlib.crc32(lengths + header)) + header + payload


headers = some.builds(
    Header,
    some.integers(0, 2**63 - 1),
    some.integers(0, 2**63 - 1),
    some.integers(0, 15),
    some.text(max_size=300),
    some.binary(min_size=32, max_size=32),
    some.binary(min_size=32, max_size=32),
)


@given(headers, some.binary(max_size=300), some.binary(max_size=20))
def test_a_record_comes_back_wherever_it_stands(header, payload, before):
    encoded, leaf = record.encode(header, payload)

    found = decoded(before + encoded + b"what follows", len(before))

    assert Header(*[getattr(found, name) for name in header.__struct_fields__]) == header
    assert (found.payload, found.leaf) == (payload, leaf)
    assert (found.segment, found.offset, found.size_bytes) == (3, 1000 + len(before), len(encoded))


@given(headers, some.binary(max_size=100), some.data())
def test_a_record_that_is_cut_is_none(header, payload, data):
    encoded, _ = record.encode(header, payload)

    assert decoded(encoded[: data.draw(some.integers(0, len(encoded) - 1))]) is None


@given(some.binary(max_size=100))
def test_noise_is_no_record(content):
    assert decoded(content) is None


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode([1, 2, 3]),
        msgspec.msgpack.encode([7, 1, 3, "m:v1", bytes(32), bytes(32), "one more"]),
        msgspec.msgpack.encode(["7", 1, 3, "m:v1", bytes(32), bytes(32)]),
        msgspec.msgpack.encode({"index": 7}),
    ],
    ids=range(6),
)
def test_a_header_of_another_shape_is_none_though_its_checksum_is_right(header):
    assert decoded(framed(header)) is None


@pytest.mark.parametrize(
    ("header_bytes", "payload_bytes"),
    [(settings.HEADER_BYTES_MAX + 1, 0), (10, settings.PAYLOAD_BYTES_MAX + 1), (2**32 - 1, 2**32 - 1)],
)
def test_lengths_beyond_the_format_are_no_record(header_bytes, payload_bytes):
    frame = struct.pack("<III", header_bytes, payload_bytes, 0)

    assert decoded(frame + bytes(2_000_000)) is None
    assert record.bytes_needed(frame, 0) == 12 + header_bytes + payload_bytes


def test_a_header_at_the_limit_is_a_record():
    room = settings.HEADER_BYTES_MAX - len(
        msgspec.msgpack.encode(msgspec.structs.replace(HEADER, subject="x" * 30_000))
    )
    longest = msgspec.structs.replace(HEADER, subject="x" * (30_000 + room))
    encoded, _ = record.encode(longest, b"")

    assert decoded(encoded).subject == longest.subject
    assert len(encoded) == 12 + settings.HEADER_BYTES_MAX


def test_a_payload_at_the_limit_is_a_record():
    encoded, _ = record.encode(HEADER, bytes(settings.PAYLOAD_BYTES_MAX))

    assert len(decoded(encoded).payload) == settings.PAYLOAD_BYTES_MAX


def test_a_record_is_sound_when_its_payload_is_what_its_header_commits_to():
    payload = b"the payload"
    header = msgspec.structs.replace(HEADER, commitment=hashlib.sha256(payload).digest())
    encoded, _ = record.encode(header, payload)

    assert record.is_sound(decoded(encoded))
    assert not record.is_sound(decoded(encoded[:-1] + b"D"))


def test_the_leaf_is_the_hash_of_the_header_and_not_of_the_payload():
    encoded, leaf = record.encode(HEADER, b"one")
    _, other_leaf = record.encode(HEADER, b"two")

    assert leaf == other_leaf == merkle.leaf_hash(encoded[12:-3])


@given(headers, some.binary(max_size=40), some.binary(max_size=40))
def test_wherever_a_record_begins_is_a_place_like_one(header, before, payload):
    encoded, _ = record.encode(header, payload)

    assert len(before) in record.places_like_a_record(before + encoded, 0)


@given(headers, some.binary(max_size=40))
def test_the_header_of_a_record_is_encoded_as_it_stands_in_the_log(header, payload):
    encoded, _ = record.encode(header, payload)

    assert record.encode_header(decoded(encoded)) == encoded[12 : len(encoded) - len(payload)]


# Blank payloads.


def blanked(flags: int, payload: bytes) -> record.Record:
    commitment = hashlib.sha256(b"what it was").digest()
    encoded, _ = record.encode(msgspec.structs.replace(HEADER, flags=flags, commitment=commitment), payload)
    return decoded(encoded)


@pytest.mark.parametrize("size", [17, 40, 1000])
def test_a_payload_that_may_be_blanked_and_was_is_blank(size):
    found = blanked(record.BLANKABLE, record.blank_payload(size))

    assert len(found.payload) == size
    assert record.is_blank(found)
    assert not record.is_sound(found)


@pytest.mark.parametrize("size", [17, 40, 1000])
def test_nothing_else_is_blank(size):
    blank = record.blank_payload(size)

    assert not record.is_blank(blanked(0, blank))
    assert not record.is_blank(blanked(record.PAGE, blank))
    for payload in (bytes(size), b"\xff" * size, blank[:-1] + b"?", b"?" + blank[1:]):
        assert not record.is_blank(blanked(record.BLANKABLE, payload))
