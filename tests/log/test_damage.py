"""A torn tail is not damage, and damage is not a torn tail."""

import hashlib
import os

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as some
import pytest

from runicorn_es import settings
from runicorn_es.errors import Damaged
from runicorn_es.log import START, Entry, Log, record
from runicorn_es.log.record import Header

from .conftest import STORE_ID

BATCHES = [[b"one"], [b"two", b"a payload of some length", b"three"], [b"four"]]


@pytest.fixture
def whole(journal):
    """A log of three batches, and the positions behind each."""
    ends = []
    for batch in BATCHES:
        journal.append(*batch)
        ends.append(journal.end)
    journal.ends = ends
    journal.path = journal.layout.segment(0)
    journal.content = journal.path.read_bytes()
    return journal


def harmed(journal, at: int, change: int) -> bytes:
    content = bytearray(journal.content)
    content[at] ^= change
    journal.path.write_bytes(content)
    return bytes(content)


# What is torn.


def test_a_batch_cut_at_any_byte_is_not_seen_and_the_ones_before_it_are(whole):
    for number, (begin, end) in enumerate(zip([START, *whole.ends], whole.ends, strict=False)):
        for length in range(begin.offset, end.offset):
            whole.path.write_bytes(whole.content[:length])

            assert whole.batches() == BATCHES[:number]


def test_a_torn_batch_is_more_than_nothing(whole):
    last = whole.ends[-2]
    for length in range(last.offset + 1, whole.ends[-1].offset):
        whole.path.write_bytes(whole.content[:length])

        assert whole.log.has_more(last)


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_of_a_batch_that_a_power_cut_tore_no_part_is_seen(whole, kept):
    """The pages of one write may reach the disk in any order; what did not reach it reads as zeros."""
    begin, end = whole.ends[0], whole.ends[1]
    batch = next(whole.log.batches(begin))[0]
    content = bytearray(whole.content[: end.offset])
    for one in batch[:kept] + batch[kept + 1 :]:
        content[one.offset : one.offset + one.size_bytes] = bytes(one.size_bytes)
    whole.path.write_bytes(content)

    assert whole.batches() == BATCHES[:1]
    assert whole.log.cut_tail(begin, acknowledged=1, now_ns=0).size_bytes == end.offset - begin.offset


def test_zeros_behind_the_end_are_a_torn_tail(whole):
    whole.path.write_bytes(whole.content + bytes(5000))

    assert whole.batches() == BATCHES


def test_noise_behind_the_end_is_a_torn_tail(whole):
    whole.path.write_bytes(whole.content + b"\x96" * 3000 + os.urandom(3000))

    assert whole.batches() == BATCHES


def test_a_batch_that_was_not_finished_is_not_seen_though_its_records_are_sound(whole):
    unfinished = Header(5, 1, record.FIRST, "", whole.end.leaf, hashlib.sha256(b"five").digest())
    whole.path.write_bytes(whole.content + record.encode(unfinished, b"five")[0])

    assert whole.batches() == BATCHES


# What is damaged.


def test_any_flipped_byte_of_a_batch_with_another_behind_it_is_damage(whole):
    for at in range(START.offset, whole.ends[1].offset):
        for change in (0x01, 0x80, 0xFF):
            content = harmed(whole, at, change)

            with pytest.raises(Damaged, match=r"0\.seg, record \d+, offset \d+: .*restore"):
                whole.batches()
            assert whole.path.read_bytes() == content


def test_damage_is_located_at_the_batch_it_is_in(whole):
    harmed(whole, whole.ends[0].offset + 40, 1)

    with pytest.raises(Damaged, match=f"record 1, offset {whole.ends[0].offset}"):
        whole.batches()


def test_what_stands_before_the_damage_is_still_yielded(whole):
    harmed(whole, whole.ends[0].offset + 40, 1)
    found = []

    def read_all():
        for batch, _ in Log(whole.layout, STORE_ID).batches():
            found.append([one.payload for one in batch])

    with pytest.raises(Damaged):
        read_all()
    assert found == BATCHES[:1]


def test_a_flipped_byte_of_the_last_batch_is_not_seen_and_not_cut_if_it_was_acknowledged(whole):
    for at in range(whole.ends[1].offset, whole.ends[2].offset):
        content = harmed(whole, at, 0x10)

        assert whole.batches() == BATCHES[:2]
        with pytest.raises(Damaged, match="5 records were acknowledged; nothing was cut"):
            whole.log.cut_tail(whole.ends[1], acknowledged=5, now_ns=0)
        assert whole.path.read_bytes() == content


def test_bytes_taken_out_of_or_put_into_an_earlier_batch_are_damage(whole):
    at = whole.ends[0].offset + 30
    for content in (whole.content[:at] + whole.content[at + 1 :], whole.content[:at] + b"\x00" + whole.content[at:]):
        whole.path.write_bytes(content)

        with pytest.raises(Damaged):
            whole.batches()


def test_a_batch_taken_out_of_the_middle_is_damage(whole):
    one, two = whole.ends[0].offset, whole.ends[1].offset
    whole.path.write_bytes(whole.content[:one] + whole.content[two:])

    with pytest.raises(Damaged, match="record 1"):
        whole.batches()


def test_two_batches_that_changed_places_are_damage(whole):
    one, two = whole.ends[0].offset, whole.ends[1].offset
    whole.path.write_bytes(whole.content[:one] + whole.content[two:] + whole.content[one:two])

    with pytest.raises(Damaged):
        whole.batches()


def test_a_batch_behind_a_torn_one_is_damage(whole):
    whole.path.write_bytes(whole.content[:-20] + bytes(20))
    whole.append(b"five")

    with pytest.raises(Damaged, match="record 4"):
        whole.batches()


@pytest.mark.parametrize("gap_bytes", [10, 4 << 20, (4 << 20) - 50, (8 << 20) + 7])
def test_a_batch_is_found_however_far_behind_the_damage(whole, gap_bytes):
    last = whole.content[whole.ends[1].offset :]
    gap = b"\x96" * 100 + bytes(gap_bytes - 100) if gap_bytes > 100 else b"\x96" * gap_bytes
    whole.path.write_bytes(whole.content[: whole.ends[0].offset] + gap + last)

    with pytest.raises(Damaged, match="record 1"):
        whole.batches()


@pytest.mark.parametrize("gap_bytes", [(3 << 20) - 40_000, 3 << 20, (3 << 20) + 1, (3 << 20) + 20_000])
def test_the_largest_record_is_found_across_what_is_read_at_once(journal, gap_bytes):
    journal.append(b"to be damaged")
    damaged = journal.end.offset
    journal.append(os.urandom(settings.PAYLOAD_BYTES_MAX))
    path = journal.layout.segment(0)
    content = path.read_bytes()
    path.write_bytes(content[: START.offset] + bytes(gap_bytes) + content[damaged:])

    with pytest.raises(Damaged, match="record 0"):
        journal.batches()


def test_damage_at_the_end_of_a_segment_that_others_follow_is_damage(journal, monkeypatch):
    monkeypatch.setattr(settings, "SEGMENT_BYTES", 200)
    for number in range(4):
        journal.append(b"%d" % number)
    assert len(journal.segments()) > 1
    path = journal.layout.segment(0)
    content = path.read_bytes()

    for length in range(START.offset, len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(Damaged):
            journal.batches()
    path.write_bytes(content + b"\x00")
    with pytest.raises(Damaged):
        journal.batches()


def test_a_log_that_ends_before_where_a_reader_was_is_damage(whole):
    os.truncate(whole.path, whole.ends[1].offset)

    with pytest.raises(Damaged, match="acknowledged"):
        whole.batches(whole.end)


def test_a_claimed_length_beyond_the_limit_is_not_allocated(whole):
    content = bytearray(whole.content)
    at = whole.ends[0].offset
    content[at : at + 8] = b"\xff" * 8
    whole.path.write_bytes(content)

    with pytest.raises(Damaged):
        whole.batches()
    with pytest.raises(Damaged):
        whole.log.read(0, at)


# Payloads that are gone.


def overwrite_payload(journal, found: record.Record, payload: bytes) -> None:
    at = found.offset + found.size_bytes - len(found.payload)
    content = bytearray(journal.path.read_bytes())
    content[at : at + len(payload)] = payload
    journal.path.write_bytes(content)


@pytest.fixture
def two_batches(journal):
    """A batch whose second record may be blanked, and another batch."""
    entries = [Entry("m:v1", b"a payload that is kept"), Entry("m:v1", b"a payload that may go", record.BLANKABLE)]
    records, journal.end = journal.log.append(entries, journal.end, 1)
    journal.append(b"another")
    journal.path, journal.records = journal.layout.segment(0), records
    return journal


def test_a_payload_that_was_blanked_and_may_be_is_read_as_it_is(two_batches):
    kept, gone = two_batches.records
    blank = record.blank_payload(len(gone.payload))
    overwrite_payload(two_batches, gone, blank)

    assert two_batches.batches() == [[kept.payload, blank], [b"another"]]
    assert two_batches.log.read(gone.segment, gone.offset).payload == blank


@pytest.mark.parametrize("fill", [bytes, record.blank_payload], ids=["zeros", "blank"])
def test_a_payload_that_may_not_be_blanked_and_is_gone_is_damage(two_batches, fill):
    kept, _ = two_batches.records
    overwrite_payload(two_batches, kept, fill(len(kept.payload)))

    with pytest.raises(Damaged, match="record 0"):
        two_batches.batches()
    with pytest.raises(Damaged):
        two_batches.log.read(kept.segment, kept.offset)


def test_a_payload_of_zeros_is_damage_also_where_it_may_be_blanked(two_batches):
    _, gone = two_batches.records
    overwrite_payload(two_batches, gone, bytes(len(gone.payload)))

    with pytest.raises(Damaged, match="record 0"):
        two_batches.batches()
    with pytest.raises(Damaged):
        two_batches.log.read(gone.segment, gone.offset)


def test_a_batch_whose_payload_did_not_reach_the_disk_is_torn_and_not_blank(two_batches):
    batch, _ = two_batches.log.append([Entry("m:v2", b"a payload", record.BLANKABLE)], two_batches.end, 1)
    overwrite_payload(two_batches, batch[0], bytes(9))

    assert len(two_batches.batches()) == 2


# One record by its place.


def test_a_record_that_is_not_what_was_written_is_not_handed_out(whole):
    begin, end = whole.ends[0].offset, whole.ends[1].offset
    first = whole.log.read(0, begin)
    for at in range(begin, begin + first.size_bytes):
        harmed(whole, at, 0x20)

        with pytest.raises(Damaged, match=f"offset {begin}"):
            whole.log.read(0, begin)
    assert end > begin


def test_a_place_where_no_record_begins_is_damage(whole):
    for offset in (START.offset + 1, len(whole.content), len(whole.content) + 1000):
        with pytest.raises(Damaged):
            whole.log.read(0, offset)
    with pytest.raises(Damaged, match="is missing"):
        whole.log.read(7, START.offset)


# Cutting.


def test_a_torn_tail_is_kept_byte_for_byte_and_the_log_ends_where_it_did(whole):
    tail = b"\x51\x00\x00\x00half a record" * 300
    whole.path.write_bytes(whole.content + tail)

    cut = whole.log.cut_tail(whole.end, acknowledged=5, now_ns=1234)

    assert (cut.segment, cut.offset, cut.size_bytes) == (whole.path.name, len(whole.content), len(tail))
    assert (whole.layout.log_quarantine / cut.quarantine).read_bytes() == tail
    assert whole.path.read_bytes() == whole.content


def test_what_is_cut_is_durable_in_quarantine_before_it_is_cut(whole, synced, monkeypatch):
    whole.path.write_bytes(whole.content + b"tail")
    truncate = os.ftruncate
    monkeypatch.setattr(os, "ftruncate", lambda *given: (synced.append("cut"), truncate(*given)))

    whole.log.cut_tail(whole.end, 5, 0)

    scratch, folder, cut, segment = synced
    assert scratch.endswith(".tmp")
    assert (folder, cut, segment) == ("quarantine", "cut", whole.path.name)


def test_where_nothing_stands_behind_the_end_nothing_is_cut(whole):
    assert whole.log.cut_tail(whole.end, 5, 0) is None
    assert list(whole.layout.log_quarantine.iterdir()) == []
    assert whole.path.read_bytes() == whole.content


def test_a_log_goes_on_after_a_cut(whole):
    whole.path.write_bytes(whole.content + b"tail")
    whole.log.cut_tail(whole.end, 5, 0)
    whole.append(b"five")

    assert whole.batches() == [*BATCHES, [b"five"]]


@pytest.mark.parametrize("acknowledged", [0, 4, 5])
def test_a_log_that_ends_behind_what_was_acknowledged_is_in_order(whole, acknowledged):
    whole.log.require_acknowledged(whole.end, acknowledged)


def test_a_log_that_ends_before_what_was_acknowledged_is_damage(whole):
    with pytest.raises(Damaged, match="up to record 5, but 6 records were acknowledged"):
        whole.log.require_acknowledged(whole.end, 6)


# Any harm at all.


@examples(max_examples=150)
@given(some.data())
def test_no_harm_makes_a_log_say_something_else(whole, data):
    """Whatever happens to the file, what is read is a beginning of what was written, or it is damage."""
    content = bytearray(whole.content)
    for _ in range(data.draw(some.integers(1, 3))):
        at = data.draw(some.integers(START.offset, len(content)))
        length = data.draw(some.integers(0, 60))
        content[at : at + length] = data.draw(some.binary(max_size=60))
    whole.path.write_bytes(content)

    try:
        found = whole.batches()
    except Damaged:
        return
    assert found == BATCHES[: len(found)]
