"""docs/reference/format.md and the committed bytes, against the code. These bytes are for ever."""

import hashlib
import json
from pathlib import Path
import re
import struct
import zlib

import msgspec
import pytest

from golden.samples import SAMPLES
from runicorn_es import codec
from runicorn_es.events import BatchAppended, Event, FileAdded, StoreCreated
from runicorn_es.log import START, Entry, Log, record, segment

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "format.md"
GOLDEN = Path(__file__).parent / "events-1.json"
# What was written once an event had gained a field; the first bytes are read for ever all the same.
LATER = Path(__file__).parent / "events-2.json"
# The fields that events gained, and what they are in a log from before.
GAINED = {"BatchAppended": {"undoes": None}}
STORE_ID = bytes(range(16))


@pytest.fixture(scope="module")
def examples() -> dict[str, bytes]:
    found = re.findall(r"```hex ([a-z-]+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return {name: bytes.fromhex(text) for name, text in found}


def test_the_segment_header_is_the_documented_one(examples):
    assert segment.encode_header(STORE_ID, START) == examples["segment"]


def test_the_first_record_is_the_documented_one(examples):
    events = (BatchAppended("ada", "lab", 4711), StoreCreated(STORE_ID, 1))
    payload, is_compressed = codec.encode(events, bytes(range(16)))
    header = record.Header(
        0,
        1_700_000_000_000_000_000,
        record.FIRST | record.COMMIT,
        "",
        record.NO_LEAF,
        hashlib.sha256(payload).digest(),
    )
    assert not is_compressed
    assert record.encode(header, payload) == (examples["record"], examples["leaf"])


def test_a_reader_written_from_the_page_alone_reads_the_example(examples):
    """Only struct, zlib, hashlib and MessagePack: nothing of the package."""
    head, body = examples["segment"], examples["record"]
    assert struct.unpack("<I", head[64:])[0] == zlib.crc32(head[:64])
    header_bytes, payload_bytes, checksum = struct.unpack_from("<III", body)
    header, payload = body[12 : 12 + header_bytes], body[12 + header_bytes :]
    assert zlib.crc32(body[:8] + header) == checksum
    assert len(payload) == payload_bytes
    index, time_ns, flags, subject, previous, commitment = msgspec.msgpack.decode(header)
    assert (index, time_ns, flags, subject, previous) == (0, 1_700_000_000_000_000_000, 3, "", bytes(32))
    assert hashlib.sha256(payload).digest() == commitment
    assert msgspec.msgpack.decode(payload[16:]) == [
        ["batch", "ada", "lab", 4711, None, None, None],
        ["store", bytes(range(16)), 1],
    ]
    assert hashlib.sha256(b"\x00" + header).digest() == examples["leaf"]


def test_the_page_and_content_digests_are_the_documented_ones(examples):
    page = codec.page_digest((FileAdded("a.txt", bytes(32), 3),))
    assert page == examples["page-digest"]
    assert codec.content_digest([page], ()) == examples["content-digest"]


def test_a_store_of_today_begins_with_the_documented_bytes(tmp_path, examples):
    from runicorn_es.store import Store

    with Store(tmp_path) as store:
        found = store.layout.segment(0).read_bytes()
        expected = bytearray(examples["segment"])
        expected[8:24] = store.identity.raw_id
        expected[64:] = struct.pack("<I", zlib.crc32(expected[:64]))
    assert found[:68] == expected
    assert found[80] == examples["record"][12] == 0x96


def test_every_event_has_a_committed_sample():
    kinds = {kind.__name__ for kind in Event.__args__}
    assert {type(sample).__name__ for sample in SAMPLES} == kinds
    assert set(json.loads(GOLDEN.read_text())) == kinds


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_an_event_is_written_as_it_was_since_it_gained_its_last_field(sample):
    golden = {**json.loads(GOLDEN.read_text()), **json.loads(LATER.read_text())}
    assert msgspec.msgpack.encode(sample).hex() == golden[type(sample).__name__]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_an_event_of_the_first_release_is_read_for_ever(sample):
    golden = bytes.fromhex(json.loads(GOLDEN.read_text())[type(sample).__name__])
    without = msgspec.structs.replace(sample, **GAINED.get(type(sample).__name__, {}))
    assert codec.decode(bytes(16) + b"\x91" + golden, compressed=False) == (without,)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_a_field_that_a_later_release_adds_is_ignored(sample):
    values = [*msgspec.msgpack.decode(msgspec.msgpack.encode(sample)), "added later"]
    assert codec.decode(bytes(16) + msgspec.msgpack.encode([values]), compressed=False) == (sample,)


def test_a_reader_refuses_a_flag_it_does_not_know_as_too_new(tmp_path):
    from runicorn_es.errors import TooNew
    from runicorn_es.layout import Layout

    layout = Layout(tmp_path)
    layout.log.mkdir()
    log = Log(layout, STORE_ID)
    log.create()
    log.append([Entry("", bytes(17), 1 << 9)], START, 1)
    with pytest.raises(TooNew, match="upgrade"):
        list(log.batches())
