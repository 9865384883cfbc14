"""Waiting for a file to change: what is told, what is looked at, and how seldom."""

from concurrent.futures import ThreadPoolExecutor
import os
from pathlib import Path
from threading import Event, Thread

import pytest

from runicorn_es import durable, lookout, settings
from runicorn_es.lookout import Lookout


@pytest.fixture
def path(tmp_path):
    (tmp_path / "f").write_bytes(b"one")
    return tmp_path / "f"


def descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


@pytest.fixture
def waits(monkeypatch):
    """The waits that were asked for. Nothing is waited for; the tenth stops whoever waits."""
    asked: list[float] = []
    looking: list[Lookout] = []

    def ready(descriptors, wait_s):
        asked.append(wait_s)
        if len(asked) == 10:
            looking[0].stop()
        return []

    monkeypatch.setattr(lookout, "_ready", ready)
    return asked, looking


def test_what_is_there_already_is_told_at_once(path):
    assert Lookout(path).next(b"", 0) == b"one"


def test_without_a_change_nothing_is_told_after_the_wait(path):
    assert Lookout(path).next(b"one", 0) is None


@pytest.mark.parametrize("replace", [False, True], ids=["written in place", "replaced by another file"])
def test_a_change_wakes_whoever_waits(path, replace, monkeypatch):
    looking, waiting = Lookout(path), Event()
    ready = lookout._ready
    monkeypatch.setattr(lookout, "_ready", lambda *asked: (waiting.set(), ready(*asked))[1])
    known = b"one"
    # The second time tells whether the file that took the place of the first is watched.
    for content in (b"two", b"three"):
        waiting.clear()
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(looking.next, known, 60)
            waiting.wait()
            if replace:
                durable.write_file(path, content)
            else:
                durable.update_file(path, lambda _, content=content: content, wait_s=1)
            assert told.result() == content
        known = content


def test_an_idle_wait_is_one_wait_where_the_kernel_tells(path, waits, monkeypatch):
    monkeypatch.setattr(lookout, "_is_shared", lambda _: False)
    asked, looking = waits
    looking.append(Lookout(path))

    looking[0].next(b"one", 3600)

    assert min(asked) > 3500


@pytest.mark.parametrize("lack", ["inotify", "a file system that tells", "the file"])
def test_where_nothing_tells_the_looks_grow_rare(path, waits, monkeypatch, lack):
    monkeypatch.setattr(lookout, "_is_shared", lambda _: lack == "a file system that tells")
    if lack == "inotify":
        monkeypatch.setattr(lookout, "_inotify", lambda: None)
    if lack == "the file":
        path.unlink()
    asked, looking = waits
    looking.append(Lookout(path))
    monkeypatch.setattr(settings, "FOLLOW_POLL_MOST_MS", 100)

    looking[0].next(b"one", 3600)

    assert asked[:3] == pytest.approx([0.01, 0.015, 0.0225])
    assert asked == sorted(asked)
    assert asked[-1] == 0.1


def test_a_stop_ends_the_wait_for_good(path):
    looking = Lookout(path)
    thread = Thread(target=lambda: looking.next(b"one", 60))
    thread.start()
    looking.stop()
    thread.join()
    assert looking.next(b"", 60) is None


def test_a_forked_child_waits_with_what_is_its_own(path):
    looking = Lookout(path)
    shared = set(looking._descriptors)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = looking.next(b"", 60)
            looking.stop()
            os.write(writing, told if looking._pid == os.getpid() else b"what is the parent's")
        finally:
            os._exit(0)
    os.close(writing)
    assert os.read(reading, 100) == b"one"
    os.waitpid(child, 0)
    os.close(reading)
    assert set(looking._descriptors) == shared
    assert not looking.has_stopped()


def test_what_is_closed_holds_nothing(path):
    before = descriptors()
    for _ in range(3):
        Lookout(path).close()
    assert descriptors() == before
