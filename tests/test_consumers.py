"""Consumers: each event at least once, whatever dies, and a cursor that is never ahead."""

import json
import os
import signal
import subprocess
import sys

import pytest

from given import version
import runicorn_es as rn
from runicorn_es import consumers, durable

CONSUME = """
import sys
import runicorn_es as rn
with rn.open_store(sys.argv[1]) as store, store.consumer("c", after=-1, on=["event:alias"]) as told:
    for happened in told:
        print(happened.event.alias, flush=True)
        sys.stdin.readline()
        told.ack(happened)
"""


def aliases(store: rn.Store, name: str = "c", **options) -> list[str]:
    with store.consumer(name, on=["event:alias"], timeout=0, **options) as told:
        return [one.event.alias for one in told]


@pytest.fixture
def filled(store):
    version(store, aliases=["one", "two"])
    store.alias("m:v1", "three")
    return store


def test_a_consumer_goes_on_where_it_last_acknowledged_also_in_the_middle_of_a_record(filled):
    with filled.consumer("c", after=-1, on=["event:alias"], timeout=0) as told:
        first = next(told)
        told.ack(first)
        assert next(told).index == first.index
    assert aliases(filled) == ["two", "three"]


def test_what_was_not_acknowledged_is_told_again(filled):
    assert aliases(filled, after=-1) == aliases(filled) == ["one", "two", "three"]


def test_to_acknowledge_one_acknowledges_all_before_it(filled):
    with filled.consumer("c", after=-1, timeout=0) as told:
        *_, last = told
        told.ack()
        assert told.index == last.index
    assert aliases(filled) == []


def test_the_cursor_never_goes_back(filled):
    with filled.consumer("c", after=-1, timeout=0) as told:
        first, *_ = told
        told.ack()
        told.ack(first)
    assert aliases(filled) == []


def test_the_cursor_is_never_ahead_of_what_was_handed_out(filled):
    later = [*filled.follow(-1, timeout=0)][-1]
    with filled.consumer("c", after=-1, timeout=0) as told:
        for happened in (None, later):
            with pytest.raises(rn.Rejected, match="was not handed out that event yet"):
                told.ack(happened)
        next(told)
        with pytest.raises(rn.Rejected, match="was not handed out that event yet"):
            told.ack(later)
    assert aliases(filled) == ["one", "two", "three"]


def test_a_new_consumer_begins_with_what_comes_and_that_is_kept(filled):
    with filled.consumer("c", timeout=0) as told:
        assert list(told) == []
    filled.alias("m:v1", "four")
    assert aliases(filled, after=-1) == ["four"]


def test_a_consumer_that_is_killed_before_it_acknowledges_is_told_again(filled):
    command = [sys.executable, "-c", CONSUME, filled.layout.root]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as consuming:
        assert consuming.stdout.readline() == "one\n"
        consuming.stdin.write("\n")
        consuming.stdin.flush()
        assert consuming.stdout.readline() == "two\n"
        consuming.send_signal(signal.SIGKILL)
    assert aliases(filled) == ["two", "three"]


def test_an_acknowledgement_is_durable_before_it_returns(filled, monkeypatch):
    synced = []
    sync = durable.sync_folder
    monkeypatch.setattr(durable, "sync_folder", lambda folder: (synced.append(folder), sync(folder))[1])
    with filled.consumer("c", after=-1, timeout=0) as told:
        next(told)
        synced.clear()
        told.ack()
        assert synced == [filled.layout.consumers]


def test_one_at_a_time_works_under_a_name_and_the_other_is_told_who(filled, monkeypatch):
    monkeypatch.setattr(consumers, "_LOCK_WAIT_S", 0)
    with filled.consumer("c"):
        with pytest.raises(rn.Busy, match=rf"consumer 'c' is at work in process {os.getpid()} of \S+ on \S+ since"):
            filled.consumer("c")
        with pytest.raises(rn.Busy, match="'c' is at work"):
            filled.remove_consumer("c")
        assert [row.name for row in filled.consumers() if row.holder] == ["c"]
        filled.consumer("d").close()
    filled.consumer("c").close()
    assert [(row.name, row.holder) for row in filled.consumers()] == [("c", None), ("d", None)]


def test_a_forked_child_cannot_acknowledge_for_its_parent(filled):
    with filled.consumer("c", after=-1, timeout=0) as told:
        next(told)
        child = os.fork()
        if child == 0:
            try:
                told.ack()
            except rn.Rejected:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


def test_consumers_are_listed_moved_and_forgotten(filled):
    aliases(filled, after=0)
    [row] = filled.consumers()
    assert (row.name, row.index, row.behind) == ("c", 0, 3)

    assert filled.reset_consumer("c", after=2) == 2
    assert aliases(filled) == ["three"]
    assert filled.reset_consumer("c") == 3
    assert aliases(filled) == []
    assert filled.reset_consumer("c", after=-1) == -1

    filled.remove_consumer("c")
    assert filled.consumers() == []
    assert list(filled.layout.consumers.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "x" * 101, "a\n"])
def test_a_name_that_could_not_be_a_files_is_refused(filled, name):
    with pytest.raises(rn.Rejected, match="consumer name"):
        filled.consumer(name)


def test_what_is_not_there_is_neither_moved_nor_forgotten(filled):
    aliases(filled)
    for change in (filled.remove_consumer, filled.reset_consumer):
        with pytest.raises(rn.Unknown, match="there is no consumer 'd'; there are c"):
            change("d")
    with pytest.raises(rn.Rejected, match="there is no record 9 to begin after; the log ends with record 3"):
        filled.reset_consumer("c", after=9)
    assert len(filled.consumers()) == 1


def test_a_read_only_store_keeps_no_cursor(filled):
    with rn.open_store(filled.layout.root, read_only=True) as reader:
        assert reader.consumers() == []
        with pytest.raises(rn.Rejected, match="opened read-only, and a consumer keeps its cursor there"):
            reader.consumer("c")


@pytest.mark.parametrize("change", [{"leaf": "00" * 32}, {"index": 99}], ids=["rewritten", "cut off"])
def test_a_cursor_of_another_history_is_refused(filled, change):
    aliases(filled, after=1)
    path = filled.layout.consumers / "c.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(rn.Rejected, match=r"another history .* `runicorn consumers reset c`"):
        filled.consumer("c")
    filled.reset_consumer("c")
    filled.consumer("c").close()


def test_a_cursor_that_cannot_be_read_is_damage_that_is_named(filled):
    aliases(filled)
    (filled.layout.consumers / "c.json").write_text("{")
    with pytest.raises(rn.Damaged, match=r"consumers/c\.json cannot be read"):
        filled.consumer("c")
