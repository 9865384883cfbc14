"""Events to bytes and back: strict on the way in."""

import hashlib
from typing import get_args, get_origin

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as some
import msgspec
import pytest
import zstandard

from runicorn_es import codec, settings
from runicorn_es.errors import Damaged, Rejected, TooNew
from runicorn_es.events import (
    AliasSet,
    Event,
    FileAdded,
    MetadataChanged,
    ReferenceAdded,
    RunFinished,
)

SALT = bytes(range(16))
DIGEST = bytes(range(32))
BY_TYPE = {str: some.text(), bytes: some.binary(), int: some.integers(0, 2**63 - 1), bool: some.booleans()}


def values(kind):
    if get_origin(kind) is tuple:
        return some.lists(values(get_args(kind)[0]), max_size=3).map(tuple)
    if members := get_args(kind):
        return some.one_of([some.none() if member is type(None) else values(member) for member in members])
    return BY_TYPE[kind]


def events_of(kind):
    return some.builds(kind, *[values(field.type) for field in msgspec.structs.fields(kind)])


every_event = some.one_of([events_of(kind) for kind in get_args(Event)])


def payload(*raw, salt=SALT):
    """Return the payload of events written as plain arrays, as another release or a vandal would."""
    return salt + msgspec.msgpack.encode(raw)


# There and back.


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_every_event_comes_back_as_it_was(kind):
    @examples(max_examples=20)
    @given(events_of(kind))
    def comes_back(event):
        encoded, is_compressed = codec.encode((event,), SALT)
        assert codec.decode(encoded, compressed=is_compressed) == (event,)

    comes_back()


@examples(max_examples=50)
@given(some.lists(every_event, max_size=8), some.binary(min_size=16, max_size=16))
def test_events_come_back_in_order_whatever_the_salt(events, salt):
    encoded, is_compressed = codec.encode(events, salt)

    assert encoded.startswith(salt)
    assert codec.decode(encoded, compressed=is_compressed) == tuple(events)


def test_what_pays_is_compressed_and_the_flag_says_so():
    wordy = [MetadataChanged("m", 1, "word " * 2000)]

    encoded, is_compressed = codec.encode(wordy, SALT)

    assert is_compressed
    assert len(encoded) < 500
    assert codec.decode(encoded, compressed=True) == tuple(wordy)


def test_what_does_not_pay_is_left_as_it_is():
    small = [MetadataChanged("m", 1, "a" * (settings.COMPRESS_FROM_BYTES - 100))]
    noise = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(200))

    assert codec.encode(small, SALT)[1] is False
    assert codec.encode([FileAdded("a", noise, 1)], SALT)[1] is False


def test_a_payload_has_at_most_one_mebibyte():
    room = settings.PAYLOAD_BYTES_MAX - len(SALT) - len(msgspec.msgpack.encode([MetadataChanged("m", 1, "a" * 70_000)]))

    codec.encode([MetadataChanged("m", 1, "a" * (70_000 + room))], SALT)

    with pytest.raises(Rejected, match="into a file of the artifact"):
        codec.encode([MetadataChanged("m", 1, "a" * (70_000 + room + 1))], SALT)


# Newer, and damaged.


@pytest.mark.parametrize("event", [["merge", "m", 1], ["merge"], ["merge", {"any": "thing"}], ["", 1]])
def test_an_event_of_an_unknown_kind_is_of_a_newer_release(event):
    with pytest.raises(TooNew, match=f"{event[0]!r}.*upgrade"):
        codec.decode(payload(event), compressed=False)


def test_one_unknown_event_among_known_ones_is_of_a_newer_release():
    with pytest.raises(TooNew):
        codec.decode(payload(["run-end", "r", "failed"], ["merge", 1], ["alias", "m", "p", 1]), compressed=False)
    with pytest.raises(TooNew):
        codec.decode_files(payload(["file", "a", DIGEST, 1], ["chunk", "a"]), compressed=False)


def test_fields_that_a_newer_release_added_at_the_end_are_passed_over():
    assert codec.decode(payload(["run-end", "r", "failed", "because"]), compressed=False) == (
        RunFinished("r", "failed"),
    )


def test_fields_that_an_older_release_did_not_write_have_their_defaults():
    assert codec.decode(payload(["alias", "m", "p", 2]), compressed=False) == (AliasSet("m", "p", 2, None, None),)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\xc0",
        b"\x80",
        b"\x91\xc0",
        b"\x91\x90",
        b"\x91\x91\x01",
        msgspec.msgpack.encode([["alias", "m", "p"]]),
        msgspec.msgpack.encode([["alias", "m", "p", "one"]]),
        msgspec.msgpack.encode([["file", "a", "text", 1]]),
        msgspec.msgpack.encode([{"t": "alias"}]),
        msgspec.msgpack.encode([["alias", "m", "p", 1]]) + b"\x00",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x91" * 2000,
    ],
    ids=range(15),
)
def test_anything_else_is_damage(body):
    with pytest.raises(Damaged):
        codec.decode(SALT + body, compressed=False)


@given(some.binary(max_size=64))
def test_no_bytes_at_all_raise_anything_but_damaged_or_too_new(body):
    for decode in (codec.decode, codec.decode_files):
        for is_compressed in (False, True):
            try:
                decode(SALT + body, compressed=is_compressed)
            except (Damaged, TooNew):
                continue


@given(some.data())
def test_a_payload_cut_anywhere_is_damage(data):
    encoded, is_compressed = codec.encode([FileAdded(f"file {n:05}", DIGEST, n) for n in range(200)], SALT)
    length = data.draw(some.integers(0, len(encoded) - 1))

    with pytest.raises(Damaged):
        codec.decode(encoded[:length], compressed=is_compressed)


def test_a_page_holds_only_files():
    with pytest.raises(Damaged):
        codec.decode_files(payload(["file", "a", DIGEST, 1], ["run-end", "r", "failed"]), compressed=False)


@pytest.mark.parametrize("claim", [settings.PAYLOAD_BYTES_MAX + 1, 2**40, 2**63])
def test_a_claimed_size_beyond_the_limit_is_refused_before_anything_is_allocated(claim):
    # RFC 8878: magic, a frame header with the content size in eight bytes, one empty last block.
    frame = b"\x28\xb5\x2f\xfd" + b"\xe0" + claim.to_bytes(8, "little") + b"\x01\x00\x00"
    assert zstandard.frame_content_size(frame) == claim

    with pytest.raises(Damaged, match=f"claims {claim} bytes"):
        codec.decode(SALT + frame, compressed=True)


def test_a_frame_that_does_not_say_its_size_is_damage():
    streaming = zstandard.ZstdCompressor(write_content_size=False).compress(b"\x90")

    with pytest.raises(Damaged):
        codec.decode(SALT + streaming, compressed=True)


def test_a_frame_of_more_bytes_than_it_claims_is_damage():
    frame = zstandard.ZstdCompressor().compress(b"\x90" + bytes(20_000_000))
    claim = (20_000_001).to_bytes(4, "little")
    assert frame.count(claim) == 1

    with pytest.raises(Damaged):
        codec.decode(SALT + frame.replace(claim, (1).to_bytes(4, "little")), compressed=True)


# Digests.


def page(count=300):
    return [FileAdded(f"file {number:05}", DIGEST, number) for number in range(count)]


def test_the_digest_of_a_page_depends_neither_on_salt_nor_on_compression():
    encoded, is_compressed = codec.encode(page(), SALT)
    other, _ = codec.encode(page(), bytes(16))
    plain = bytes(16) + msgspec.msgpack.encode(page())
    assert is_compressed

    expected = codec.page_digest(page())

    assert codec.page_digest_of(encoded, compressed=True) == expected
    assert codec.page_digest_of(other, compressed=True) == expected
    assert codec.page_digest_of(plain, compressed=False) == expected


@pytest.mark.parametrize(
    "changed",
    [
        FileAdded("b", DIGEST, 1),
        FileAdded("a", bytes(32), 1),
        FileAdded("a", DIGEST, 2),
        FileAdded("a", DIGEST, 1, executable=True),
    ],
)
def test_the_digest_of_a_page_depends_on_all_that_is_said_of_a_file(changed):
    assert codec.page_digest([changed]) != codec.page_digest([FileAdded("a", DIGEST, 1)])


def test_the_content_digest_depends_on_pages_their_order_and_references():
    one, two = bytes([1]) * 32, bytes([2]) * 32
    reference = ReferenceAdded("s3://b/k", None, None)
    digests = [
        codec.content_digest(pages, references)
        for pages, references in [
            ([], []),
            ([one], []),
            ([one, two], []),
            ([two, one], []),
            ([one], [reference]),
            ([], [reference]),
            ([], [reference, reference]),
            ([], [ReferenceAdded("s3://b/k", None, 0)]),
        ]
    ]

    assert len(set(digests)) == len(digests)
