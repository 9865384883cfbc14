"""What is appended is read back, by whoever reads, across segments."""

import errno
import os
from pathlib import Path
import subprocess
import sys

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as some
import pytest

from runicorn_es import durable, settings
from runicorn_es.errors import Damaged, TooNew
from runicorn_es.layout import Layout
from runicorn_es.log import START, Entry, Log, Position, record

from .conftest import STORE_ID, Journal

NOISE = os.urandom(900_000)


@pytest.fixture
def small_segments(monkeypatch):
    monkeypatch.setattr(settings, "SEGMENT_BYTES", 300)


def test_a_new_log_is_empty(journal):
    assert journal.batches() == []
    assert not journal.log.has_more(START)


def test_what_was_appended_is_read_back_batch_by_batch(journal):
    journal.append(b"one")
    journal.append(b"two", b"three", b"four")
    journal.append(b"")

    assert journal.batches() == [[b"one"], [b"two", b"three", b"four"], [b""]]


def test_append_returns_what_a_reader_finds(journal):
    appended = [journal.append(b"one"), journal.append(b"two", b"three", subject="größe:v2")]

    found = list(Log(journal.layout, STORE_ID).batches())

    assert [batch for batch, _ in found] == appended
    assert found[-1][1] == journal.end


def test_records_are_numbered_timed_and_chained(journal):
    journal.log.append([Entry("a", b"1"), Entry("b", b"2")], journal.end, time_ns=1_700_000_000_000_000_000)

    [(batch, end)] = journal.log.batches()

    assert [(one.index, one.subject, one.time_ns) for one in batch] == [
        (0, "a", 1_700_000_000_000_000_000),
        (1, "b", 1_700_000_000_000_000_000),
    ]
    assert batch[0].previous_leaf == record.NO_LEAF
    assert batch[1].previous_leaf == batch[0].leaf
    assert end.leaf == batch[1].leaf


def test_the_flags_of_entries_are_kept_and_a_batch_is_marked_at_both_ends(journal):
    records, _ = journal.log.append(
        [Entry("", b"1", record.PAGE), Entry("", b"2", record.COMPRESSED), Entry("", b"3")], journal.end, 1
    )

    assert [one.flags for one in records] == [record.FIRST | record.PAGE, record.COMPRESSED, record.COMMIT]


def test_reading_goes_on_from_any_batch(journal):
    journal.append(b"one")
    middle = journal.end
    journal.append(b"two", b"three")

    assert journal.batches(middle) == [[b"two", b"three"]]
    assert journal.batches(journal.end) == []


def test_a_record_is_found_by_its_place(journal):
    journal.append(b"one")
    appended = journal.append(b"two", NOISE, subject="m:v3")

    assert [journal.log.read(one.segment, one.offset) for one in appended] == appended


def test_a_reader_sees_each_batch_as_soon_as_it_is_appended(journal, small_segments):
    position = START
    for number in range(12):
        assert not journal.log.has_more(position)
        journal.append(b"%d" % number, b"and more")

        assert journal.log.has_more(position)
        [(batch, position)] = journal.log.batches(position)
        assert [one.payload for one in batch] == [b"%d" % number, b"and more"]
    assert len(journal.segments()) > 3


def test_batches_larger_than_what_is_read_at_once_are_read_whole(journal):
    journal.append(*[NOISE] * 12)
    journal.append(b"small")

    assert journal.batches() == [[NOISE] * 12, [b"small"]]


@examples(max_examples=20)
@given(some.lists(some.lists(some.binary(max_size=200), min_size=1, max_size=4), max_size=8), some.integers(0, 500))
def test_any_batches_come_back_whatever_the_size_of_a_segment(tmp_path_factory, batches, segment_bytes):
    layout = Layout(tmp_path_factory.mktemp("log"))
    layout.log.mkdir()
    journal = Journal(layout)
    journal.log.create()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "SEGMENT_BYTES", segment_bytes)
        for batch in batches:
            journal.append(*batch)

    assert journal.batches() == batches
    assert journal.log.leaves(10**6) == [one.leaf for batch, _ in journal.log.batches() for one in batch]


# Segments.


def test_a_segment_that_is_full_is_followed_by_one_named_by_its_first_record(journal, small_segments):
    for number in range(6):
        journal.append(b"%d" % number, b"twice")

    assert journal.segments() == [f"{index:020}.seg" for index in (0, 4, 8)]
    assert journal.batches() == [[b"%d" % number, b"twice"] for number in range(6)]


def test_a_batch_is_never_split_between_segments(journal, small_segments):
    journal.append(b"one")
    journal.append(*[b"part"] * 50)
    journal.append(b"last")

    assert journal.segments() == [f"{index:020}.seg" for index in (0, 51)]


def test_a_segment_that_is_left_is_synced_before_the_next_is_begun(journal, monkeypatch, synced):
    monkeypatch.setattr(settings, "SEGMENT_BYTES", 0)
    journal.append(b"one")
    synced.clear()

    journal.append(b"two")

    left, scratch, folder, begun = synced
    assert (left, folder, begun) == (f"{0:020}.seg", "log", f"{1:020}.seg")
    assert scratch.endswith(".tmp")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_segment_that_cannot_be_synced_is_not_gone_on_with(journal, monkeypatch, number):
    sync, failures = durable.sync, [OSError(number, os.strerror(number))]

    def fail_once(descriptor):
        if failures:
            raise failures.pop()
        sync(descriptor)

    journal.append(b"one")
    monkeypatch.setattr(settings, "SEGMENT_BYTES", 0)
    monkeypatch.setattr(durable, "sync", fail_once)

    with pytest.raises(OSError, match=os.strerror(number)):
        journal.append(b"two")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_segment_whose_name_may_not_be_durable_is_not_passed_over(journal, monkeypatch, number):
    def fail(_):
        raise OSError(number, os.strerror(number))

    journal.append(b"one")
    monkeypatch.setattr(settings, "SEGMENT_BYTES", 0)
    monkeypatch.setattr(durable, "sync_folder", fail)

    with pytest.raises(OSError, match=os.strerror(number)):
        journal.append(b"two")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_where_there_is_no_room_for_another_segment_the_full_one_goes_on(journal, monkeypatch, number):
    def fail(*given, **options):
        raise OSError(number, os.strerror(number))

    journal.append(b"one")
    monkeypatch.setattr(settings, "SEGMENT_BYTES", 0)
    monkeypatch.setattr(durable, "write_file", fail)
    journal.append(b"two")

    assert journal.segments() == [f"{0:020}.seg"]
    assert journal.batches() == [[b"one"], [b"two"]]


def test_an_empty_segment_is_not_left_for_another(journal, monkeypatch):
    monkeypatch.setattr(settings, "SEGMENT_BYTES", 0)
    journal.append(b"one")
    journal.append(b"two")

    assert journal.segments() == [f"{index:020}.seg" for index in (0, 1)]


def test_a_segment_begun_by_a_writer_that_died_is_gone_on_with(journal, monkeypatch):
    monkeypatch.setattr(settings, "SEGMENT_BYTES", 0)
    journal.append(b"one")
    journal.append(b"torn away")
    os.truncate(journal.layout.segment(1), START.offset)

    *_, (_, position) = journal.log.batches()
    journal.log.append([Entry("", b"two")], position, 1)

    assert journal.batches() == [[b"one"], [b"two"]]
    assert journal.segments() == [f"{index:020}.seg" for index in (0, 1)]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_missing_segment_is_damage_though_the_others_are_there(journal, small_segments, which):
    for number in range(10):
        journal.append(b"%d" % number, b"twice")
    name = journal.segments()[which]
    (journal.layout.log / name).unlink()

    with pytest.raises(Damaged, match=name):
        journal.batches()


def test_a_segment_of_another_store_is_damage(journal):
    journal.append(b"one")
    other = Log(journal.layout, bytes(16))

    with pytest.raises(Damaged, match="belongs to another store"):
        list(other.batches())


def test_a_segment_of_another_place_is_damage(journal, small_segments):
    for number in range(10):
        journal.append(b"%d" % number, b"twice")
    first, second, third, *_ = [journal.layout.log / name for name in journal.segments()]
    third.write_bytes(second.read_bytes())

    with pytest.raises(Damaged, match=third.name):
        journal.batches()
    assert first.exists()


@pytest.mark.parametrize("at", [0, 7, 8, 23, 24, 31, 32, 63, 64, 67])
def test_a_segments_header_is_checked_to_the_byte(journal, at):
    path = journal.layout.segment(0)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)

    with pytest.raises(Damaged, match=r"0\.seg"):
        journal.batches()


def test_a_segment_cut_in_its_header_is_damage(journal):
    os.truncate(journal.layout.segment(0), 40)

    with pytest.raises(Damaged):
        journal.batches()


def test_files_that_are_no_segments_do_not_matter(journal):
    journal.append(b"one")
    (journal.layout.log / ".00000000000000000001.seg.123-abc.tmp").write_bytes(b"half a header")
    (journal.layout.log / "notes.txt").write_bytes(b"mine")

    assert journal.batches() == [[b"one"]]


def test_a_record_with_a_flag_of_a_later_release_is_too_new(journal):
    journal.append(b"one")
    journal.log.append([Entry("", b"two", 1 << 9)], journal.end, 1)

    with pytest.raises(TooNew, match=r"record 1 .*upgrade"):
        journal.batches()


def test_a_segment_of_exactly_the_limit_is_full(journal, monkeypatch):
    journal.append(b"one")
    monkeypatch.setattr(settings, "SEGMENT_BYTES", journal.end.offset + 1)
    journal.append(b"two")
    assert len(journal.segments()) == 1

    monkeypatch.setattr(settings, "SEGMENT_BYTES", journal.end.offset)
    journal.append(b"three")
    assert len(journal.segments()) == 2


def test_the_tip_is_the_end_or_the_segment_that_was_begun_there(journal, monkeypatch):
    monkeypatch.setattr(settings, "SEGMENT_BYTES", 0)
    journal.append(b"one")
    end = journal.end
    assert journal.log.tip(end) == end

    journal.append(b"two")
    assert journal.log.tip(end) == Position(1, 1, START.offset, end.leaf)
    assert journal.log.tip(START) == START


def test_leaves_are_those_of_the_first_records(journal):
    journal.append(b"one", b"two")
    journal.append(b"three")
    leaves = [found.leaf for batch, _ in journal.log.batches() for found in batch]

    assert [journal.log.leaves(size) for size in (0, 1, 2, 3, 4)] == [[], leaves[:1], leaves[:2], leaves, leaves]


# Durability.


def test_a_batch_is_synced_once(journal, synced):
    journal.append(b"one", b"two", b"three")

    assert synced == [journal.segments()[0]]


def test_a_batch_is_written_at_once(journal, monkeypatch):
    written = []
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda *given: written.append(1) or write(*given))

    journal.append(b"one", NOISE, b"three")

    assert written == [1]


def test_the_first_segment_and_its_name_are_durable(tmp_path, synced):
    layout = Layout(tmp_path)
    layout.log.mkdir()

    Log(layout, STORE_ID).create()

    assert [Path(name).suffix for name in synced] == [".tmp", ""]
    assert synced[1] == "log"


# Many readers of one writer.

READ_ON = """
import sys
from pathlib import Path
from runicorn_es.layout import Layout
from runicorn_es.log import START, Log
log, position, number = Log(Layout(Path(sys.argv[1])), bytes(range(16))), START, 0
print("ready", flush=True)
while number < 300:
    for batch, position in log.batches(position):
        assert [one.payload for one in batch] == [b"%d" % number, b"x" * (number % 50), b"%d" % number], number
        number += 1
print("done")
"""


def test_readers_see_whole_batches_in_order_while_a_writer_appends(journal, monkeypatch):
    monkeypatch.setattr(settings, "SEGMENT_BYTES", 10_000)
    command = [sys.executable, "-c", READ_ON, journal.layout.root]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for reader in readers:
        assert reader.stdout.readline() == "ready\n"

    for number in range(300):
        journal.append(b"%d" % number, b"x" * (number % 50), b"%d" % number)

    assert [reader.communicate(timeout=60)[0] for reader in readers] == ["done\n", "done\n"]
