"""Each blob is hashed once after a start of the machine, and again when somebody else touched it."""

import os
from pathlib import Path
import shutil

import pytest

from given import content, file, version
import runicorn_es as rn
from runicorn_es import durable, pool
from runicorn_es.pool.hashed import HashedBlobs
from runicorn_es.tables import MemoryTables

from .conftest import digest_of

ONE, OTHER = digest_of(b"one"), digest_of(b"other")


@pytest.fixture
def rows():
    return MemoryTables()


@pytest.fixture
def hashed(rows):
    return HashedBlobs(rows.reading, rows.writing)


def test_what_was_learned_is_known_with_the_same_change_time(hashed):
    hashed.learn(ONE, 5)

    assert hashed.find([(ONE, 5), (ONE, 6), (OTHER, 5)]) == [True, False, False]


def test_what_was_flushed_is_known_to_others(hashed, rows):
    hashed.learn(ONE, 5)
    hashed.flush()
    hashed.flush()

    assert HashedBlobs(rows.reading, rows.writing).find([(ONE, 5)]) == [True]


def test_what_we_touch_ourselves_stays_known(pool, tmp_path, hashed, rows):
    path = file(tmp_path / "f")
    before = path.stat().st_ctime_ns
    hashed.learn(ONE, before)
    with hashed.touching():
        (tmp_path / "link").hardlink_to(path)
    after = path.stat().st_ctime_ns
    hashed.flush()

    assert after != before
    assert HashedBlobs(rows.reading, rows.writing).find([(ONE, before), (ONE, after)]) == [True, True]


def test_spans_are_not_kept_for_ever(hashed, rows):
    for _ in range(100):
        with hashed.touching():
            pass
    hashed.flush()

    assert sum(len(row) for _, row in rows.scan(b"~spans")) == 64 * 16


# In a store.


@pytest.fixture
def hashes(monkeypatch):
    """The blobs that were hashed because they were in doubt."""
    names: list[str] = []
    verify = pool.Pool._verify_doubtful
    monkeypatch.setattr(
        pool.Pool,
        "_verify_doubtful",
        lambda self, path, digest: (names.append(Path(path).name), verify(self, path, digest)),
    )
    return names


def test_what_was_just_logged_is_not_hashed_again(store, tmp_path, hashes):
    version(store)
    for number in range(3):
        store.get("m").download(tmp_path / str(number))
        assert content(store, "m") == b"content"
    version(store)

    assert hashes == []


def test_after_another_start_of_the_machine_each_blob_is_hashed_once(store, tmp_path, hashes, monkeypatch):
    version(store)
    store.close()
    monkeypatch.setattr(durable, "boot_id", lambda: "another boot")
    for number in range(3):
        with rn.open_store(store.layout.root) as again:
            again.get("m").download(tmp_path / str(number))
            assert content(again, "m") == b"content"

    assert hashes == [digest_of(b"content").hex()]


def test_after_a_link_was_removed_by_others_a_blob_is_hashed_once(store, tmp_path, hashes):
    version(store)
    store.get("m").download(tmp_path / "one")
    blob = next(store.layout.pool.glob("??/*"))
    until_the_clock_of_files_has_moved(blob)
    shutil.rmtree(tmp_path / "one")
    until_the_clock_of_files_has_moved(blob)
    for _ in range(3):
        assert content(store, "m") == b"content"

    assert hashes == [digest_of(b"content").hex()]


def until_the_clock_of_files_has_moved(blob: Path) -> None:
    scratch = blob.parent.parent / "incoming" / "clock"
    while True:
        scratch.touch()
        if scratch.stat().st_ctime_ns > blob.stat().st_ctime_ns:
            scratch.unlink()
            return
        scratch.unlink()


def test_a_rotten_blob_heals_when_the_same_bytes_are_logged_again(store, monkeypatch):
    version(store)
    blob = next(store.layout.pool.glob("??/*"))
    found = blob.stat()
    blob.chmod(0o644)
    blob.write_bytes(b"CONTENT")
    blob.chmod(0o444)
    os.utime(blob, ns=(found.st_mtime_ns, found.st_mtime_ns))
    monkeypatch.setattr(durable, "boot_id", lambda: "another boot")
    store.close()

    with rn.open_store(store.layout.root) as again:
        version(again)
        assert content(again, "m:v1") == b"content"
        assert again.audit(deep=True).is_clean
