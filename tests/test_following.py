"""Following the log: everything, in order, once, and nothing that is not acknowledged."""

import os
from pathlib import Path
import subprocess
import sys
from threading import Thread

import pytest

from given import version
import runicorn_es as rn
from runicorn_es import codec, durable, lookout, settings
from runicorn_es.events import AliasSet, BatchAppended, VersionCreated
from runicorn_es.log import Log
from runicorn_es.log.record import blank_payload

WRITE = """
import sys
import runicorn_es as rn
with rn.open_store(sys.argv[1]) as store:
    for number in range(int(sys.argv[3])):
        store.alias("m:v1", f"{sys.argv[2]}-{number}")
"""


class Died(BaseException):
    """The process ends here."""


def kinds(told) -> list[tuple[int, str]]:
    return [(one.index, one.kind) for one in told]


def written(store: rn.Store) -> list[tuple[int, str]]:
    """Return what stands in the log, as a question to the tables finds it."""
    return [
        (record.index, event.__struct_config__.tag)
        for record, events in store.events()
        for event in events
        if not isinstance(event, BatchAppended)
    ]


def test_all_that_happened_is_told_in_order(store):
    version(store, aliases=["production"])
    version(store, b"other")

    assert kinds(store.follow(-1, timeout=0)) == written(store)
    assert kinds(store.follow(2, timeout=0)) == [one for one in written(store) if one[0] > 2]


def test_an_event_unpacks_as_index_and_event_and_says_who_when_and_of_what(store):
    version(store, key="job-1")

    [told] = store.follow(-1, on=["event:version"], timeout=0)
    index, event = told

    assert (index, type(event)) == (2, VersionCreated)
    assert (told.by.pid, told.by.key, told.subject, told.kind) == (os.getpid(), "job-1", "m:v1", "version")
    assert told.time == store.get("m").created_at


def test_without_a_place_to_begin_only_what_comes_is_told(store):
    version(store)
    following = store.follow(timeout=0)
    store.alias("m:v1", "best")

    [told] = following

    assert told.event == AliasSet("m", "best", 1)


def test_a_page_in_the_middle_of_a_batch_is_told_with_who_appended_it(store):
    version(store, key="job-1")
    assert [(one.kind, one.by.key) for one in store.follow(0, timeout=0)] == [("file", "job-1"), ("version", "job-1")]


def test_behind_the_last_record_there_is_nothing_to_begin_after(store):
    with pytest.raises(rn.Rejected, match="there is no record 1; the log ends with record 0"):
        store.follow(1)
    assert list(store.follow(0, timeout=0)) == []


@pytest.mark.parametrize("read_only", [False, True], ids=["", "read only"])
def test_what_several_processes_write_over_several_segments_is_told_without_a_gap(store, root, read_only, monkeypatch):
    version(store)
    # Small segments: those who write in this process begin a new one with almost every batch.
    monkeypatch.setattr(settings, "SEGMENT_BYTES", 400)
    reader = rn.open_store(root, read_only=read_only)
    following, told = reader.follow(-1, on=["event:alias"]), []
    thread = Thread(target=lambda: told.extend(following))
    thread.start()
    others = [subprocess.Popen([sys.executable, "-c", WRITE, root, name, "15"]) for name in ("a", "b")]
    for number in range(15):
        store.alias("m:v1", f"c-{number}")
    assert [other.wait() for other in others] == [0, 0]
    end = written(store)[-1][0]
    while not told or told[-1].index < end:
        assert thread.is_alive()
    following.stop()
    thread.join()
    reader.close()

    assert len(list((root / "log").glob("*.seg"))) > 5
    assert kinds(told) == [one for one in written(store) if one[1] == "alias"]
    for name in "abc":
        mine = [one.event.alias for one in told if one.event.alias.startswith(name)]
        assert mine == [f"{name}-{number}" for number in range(15)]


@pytest.fixture
def root(store) -> Path:
    return store.layout.root


def test_what_is_written_but_not_durable_is_not_told(store, root, monkeypatch):
    version(store)
    seen: list[list[int]] = []
    monkeypatch.setattr(durable, "sync", lambda _: seen.append([one.index for one in follower.follow(1, timeout=0)]))

    with rn.open_store(root, read_only=True) as follower:
        store.alias("m:v1", "best")

        # While the disk was at work, the tables knew of it already.
        assert seen == [[2]]
        assert [one.index for one in follower.follow(1, timeout=0)] == [2, 3]


def test_what_a_writer_that_died_left_unsigned_is_signed_by_a_follower_and_told(store, root, monkeypatch):
    version(store)
    dead = rn.open_store(root)

    def die(_):
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(durable, "sync", die)
        with pytest.raises(Died):
            dead.alias("m:v1", "best")
    assert kinds(store.follow(2, timeout=0)) == []

    monkeypatch.setattr(settings, "FOLLOW_LOOK_S", 0)
    following = store.follow(2)
    told = next(following)
    following.close()
    dead.close()

    assert (told.index, told.kind) == (3, "alias")


def test_a_checkpoint_that_the_store_did_not_sign_says_nothing(store, root):
    version(store)
    claimed = (root / "checkpoint").read_text().replace("\n3\n", "\n2\n")
    (root / "checkpoint").write_text(claimed)

    assert list(store.follow(-1, timeout=0)) == []


def test_followers_go_on_when_the_key_is_replaced(store):
    following = store.follow(-1, timeout=0)
    assert next(following).kind == "store"
    store.rotate_key()
    version(store)
    assert [one.kind for one in following] == ["key", "file", "version"]


def test_it_is_stopped_from_another_thread_also_while_it_waits(store, monkeypatch):
    following, waits = store.follow(), []
    ready = lookout._ready
    monkeypatch.setattr(lookout, "_ready", lambda *asked: (waits.append(asked), ready(*asked))[1])
    thread = Thread(target=lambda: list(following))
    thread.start()
    while not waits:
        pass
    following.stop()
    thread.join()
    assert len(waits) == 1


def test_a_stop_ends_it_before_the_next_event(store):
    version(store)
    following = store.follow(-1)
    next(following)
    following.stop()
    assert list(following) == []


def test_a_forked_child_goes_on_by_itself(store):
    version(store)
    following = store.follow(-1, timeout=0)
    next(following)
    child = os.fork()
    if child == 0:
        os._exit(0 if kinds(following) == [(1, "file"), (2, "version")] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert kinds(following) == [(1, "file"), (2, "version")]


def test_a_type_is_that_of_the_artifact_also_for_an_alias(store):
    version(store)
    store.alias("m:v1", "best")
    assert kinds(store.follow(2, on=["type:model"], timeout=0)) == [(3, "alias")]
    assert kinds(store.follow(-1, on=["type:dataset"], timeout=0)) == []


def test_pages_are_not_decoded_for_those_who_do_not_ask_for_files(store, monkeypatch):
    version(store)
    decoded = []
    decode = codec.decode
    monkeypatch.setattr(codec, "decode", lambda *some, **how: (decoded.append(1), decode(*some, **how))[1])
    list(store.follow(-1, on=["event:version"], timeout=0))
    assert len(decoded) == 2
    list(store.follow(-1, on=["event:file"], timeout=0))
    assert len(decoded) == 2 + 3


def test_what_a_purge_has_blanked_is_not_told_and_what_remains_is(store):
    version(store)
    store.purge("m:v1")
    assert [one.kind for one in store.follow(0, timeout=0)] == ["version", "delete", "purge", "purged"]


def test_a_purge_in_the_middle_of_blanking_is_waited_for_and_no_damage(store, monkeypatch):
    version(store)
    found = store._log.record(1)
    segment = store.layout.segment(0)
    whole = segment.read_bytes()
    begin = found.offset + found.size_bytes - len(found.payload)
    torn = bytearray(whole)
    torn[begin : begin + 4] = bytes(4)
    segment.write_bytes(torn)
    store.layout.blanking.write_bytes(b"[]")
    batches, calls = Log.batches, []

    def finished_meanwhile(log, *position):
        calls.append(1)
        if len(calls) == 3:
            torn[begin : begin + len(found.payload)] = blank_payload(len(found.payload))
            segment.write_bytes(torn)
            store.layout.blanking.unlink()
        return batches(log, *position)

    following = store.follow(-1, timeout=0)
    monkeypatch.setattr(Log, "batches", finished_meanwhile)

    assert kinds(following) == [(0, "store"), (2, "version")]


def test_damage_is_told_as_such(store):
    for number in range(3):
        version(store, bytes([number]))
    content = bytearray(store.layout.segment(0).read_bytes())
    content[store._log.record(2).offset + 20] ^= 1
    store.layout.segment(0).write_bytes(content)
    with pytest.raises(rn.Damaged, match="record 1, offset"):
        list(store.follow(-1, timeout=0))


def test_a_store_that_is_gone_is_said_to_be(store, root, monkeypatch):
    monkeypatch.setattr(settings, "FOLLOW_LOOK_S", 0)
    following = store.follow()
    for name in ("checkpoint", "store.json"):
        (root / name).unlink()
    with pytest.raises(rn.Unknown, match="there is no store at"):
        next(following)
