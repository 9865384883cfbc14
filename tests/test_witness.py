"""The checkpoint as witness: who is told that others have synced, and by whom nobody is kept waiting."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
import errno
import os
from threading import Event, Thread
import time

import pytest

from given import version
import runicorn_es as rn
from runicorn_es import durable, settings
from runicorn_es.commands import SetAlias
from runicorn_es.names import parse_reference
from runicorn_es.signing import claimed_head


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


class Disk:
    """A disk whose first sync waits until it may go on; how long the log was when each of them began."""

    def __init__(self, store: rn.Store) -> None:
        self.is_syncing, self.may_sync = Event(), Event()
        self.begun: list[int] = []
        self.fails = False
        self._segment = store.layout.segment(0)

    def sync(self, _: int) -> None:
        is_first = not self.begun
        self.begun.append(self._segment.stat().st_size)
        if is_first:
            self.is_syncing.set()
            self.may_sync.wait(30)
            if self.fails:
                raise OSError(errno.EIO, os.strerror(errno.EIO))


class Writer:
    """Another opener of the store, as another process would be, who sets an alias in a thread of its own."""

    def __init__(self, store: rn.Store, alias: str) -> None:
        self.end: int | None = None
        self.failure: OSError | None = None
        self._store = store
        self._alias = alias
        self._thread = Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        try:
            self._store.alias("m", self._alias)
        except OSError as error:
            self.failure = error
        else:
            self.end = claimed_size(self._store)

    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def join(self) -> None:
        self._thread.join(30)


def claimed_size(store: rn.Store) -> int:
    head = claimed_head(store.layout.checkpoint.read_bytes(), store.identity.origin)
    return head.size if head else 0


@pytest.fixture
def stores(store) -> Iterator[list[rn.Store]]:
    """Four who have the same store open, and have written to it."""
    version(store)
    with ExitStack() as opened:
        others = [opened.enter_context(rn.open_store(store.layout.root)) for _ in range(3)]
        for number, one in enumerate(others):
            one.alias("m", f"warm-{number}")
        yield [store, *others]


@pytest.fixture
def disk(stores, monkeypatch) -> Iterator[Disk]:
    found = Disk(stores[0])
    monkeypatch.setattr(durable, "sync", found.sync)
    yield found
    found.may_sync.set()


def begin(stores: list[rn.Store], disk: Disk) -> list[Writer]:
    """Have one sync, and others write meanwhile."""
    before = len(stores[0].aliases("m"))
    writers = [Writer(stores[0], "alias-0")]
    assert disk.is_syncing.wait(30)
    writers += [Writer(one, f"alias-{number}") for number, one in enumerate(stores[1:], 1)]
    wait_until(lambda: len(stores[0].aliases("m")) == before + len(stores))
    return writers


def test_what_several_wrote_during_a_sync_is_synced_and_signed_once_for_all(stores, disk):
    writers = begin(stores, disk)
    end = stores[0].layout.segment(0).stat().st_size
    disk.may_sync.set()
    for writer in writers:
        writer.join()

    assert [writer.failure for writer in writers] == [None] * 4
    assert disk.begun[1:] == [end]


def test_a_sync_that_began_before_a_batch_was_written_covers_it_not(stores, disk):
    size = claimed_size(stores[0])
    writers = begin(stores, disk)

    assert not any(writer.is_done() for writer in writers)
    assert claimed_size(stores[0]) == size
    disk.may_sync.set()
    for writer in writers:
        writer.join()
    # The first one's, then all others'.
    assert len(disk.begun) == 2
    assert [writer.end for writer in writers[1:]] == [size + 4] * 3


def test_a_sync_that_failed_for_one_is_done_for_no_other(stores, disk):
    size = claimed_size(stores[0])
    writers = begin(stores[:2], disk)
    disk.fails = True
    disk.may_sync.set()
    for writer in writers:
        writer.join()

    assert [type(writer.failure) for writer in writers] == [OSError, type(None)]
    assert len(disk.begun) == 2
    assert claimed_size(stores[0]) == size + 2


def test_a_thread_that_waited_while_another_ones_sync_failed_syncs_no_more(stores, disk):
    store = stores[0]
    writer = Writer(store, "alias-0")
    assert disk.is_syncing.wait(30)
    failures: list[BaseException] = []

    def write_all() -> None:
        try:
            # Not in the turn that threads share: it has one of its own.
            store.execute_all([SetAlias(parse_reference("m"), "alias-1")])
        except OSError as error:
            failures.append(error)

    thread = Thread(target=write_all)
    thread.start()
    wait_until(lambda: "alias-1" in [row.alias for row in stores[1].aliases("m")])
    disk.fails = True
    disk.may_sync.set()
    writer.join()
    thread.join(30)

    assert [type(writer.failure), *map(type, failures)] == [OSError, rn.WriteFailed]
    assert len(disk.begun) == 1


def test_who_is_stopped_in_the_middle_of_a_sync_keeps_nobody_waiting(stores, disk, monkeypatch):
    monkeypatch.setattr(settings, "TURN_WAIT_S", 0.01)
    first, *others = begin(stores, disk)
    for writer in others:
        writer.join()

    assert [writer.failure for writer in others] == [None] * 3
    assert len(disk.begun) == 4
    assert not first.is_done()
    disk.may_sync.set()
    first.join()
    stores[1].alias("m", "after")
    assert stores[0].audit(tables=True).is_clean


def test_half_of_a_checkpoint_that_is_just_being_written_is_no_other_history(store, monkeypatch):
    version(store)
    older = store.layout.checkpoint.read_bytes()
    with rn.open_store(store.layout.root) as other:
        other.alias("m", "production")
        newer = store.layout.checkpoint.read_bytes()
        at = len(store.identity.origin) + 1
        torn = newer[: at + 2] + older[at + 2 :]
        assert claimed_size(store) == claimed_head(torn, store.identity.origin).size
        read, contents = durable.read_small_file, [torn]
        monkeypatch.setattr(durable, "read_small_file", lambda path: contents.pop() if contents else read(path))

        store.alias("m", "best")

    assert contents == []
    assert [row.alias for row in store.aliases("m")] == ["best", "production"]
