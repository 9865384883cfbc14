"""An unchanged file is not read again, and a changed one always is."""

import os
from pathlib import Path

import pytest

from given import SECOND_NS, file
from runicorn_es.pool.stat_cache import PREFIX, TableStatCache
from runicorn_es.tables import MemoryTables

from .conftest import digest_of

LONG_AGO_NS = 1_000_000_001  # not a whole second, as a clock of seconds would have it


@pytest.fixture
def rows():
    return MemoryTables()


@pytest.fixture
def cache(rows):
    return TableStatCache(rows.reading, rows.writing)


def stat_of(path: Path) -> os.stat_result:
    return path.stat()


def later(path: Path, after_ns: int) -> int:
    """Return a time so long after the file was last changed."""
    return max(path.stat().st_mtime_ns, path.stat().st_ctime_ns) + after_ns


def learn(cache: TableStatCache, path: Path, after_ns: int = 10 * SECOND_NS) -> None:
    cache.remember(stat_of(path), digest_of(path.read_bytes()), later(path, after_ns))
    cache.flush()


def test_an_unchanged_file_is_known(cache, tmp_path):
    path = file(tmp_path / "f")
    learn(cache, path)

    assert cache.find([stat_of(path)]) == [digest_of(b"content")]


def test_a_file_never_seen_is_not_known(cache, tmp_path):
    one, other = file(tmp_path / "one"), file(tmp_path / "other")
    learn(cache, one)

    assert cache.find([stat_of(other), stat_of(one)]) == [None, digest_of(b"content")]


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"other"),
        lambda path: path.write_bytes(b"contend"),
        lambda path: os.utime(path, ns=(1, 1)),
        lambda path: path.chmod(0o600),
    ],
    ids=["size", "bytes", "times", "mode"],
)
def test_a_changed_file_is_not_known(cache, tmp_path, change):
    path = file(tmp_path / "f")
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    learn(cache, path)

    change(path)

    assert cache.find([stat_of(path)]) == [None]


def test_a_file_whose_bytes_changed_and_whose_time_was_set_back_is_not_known(cache, tmp_path):
    path = file(tmp_path / "f")
    before = stat_of(path)
    learn(cache, path)

    path.write_bytes(b"contend")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert (stat_of(path).st_size, stat_of(path).st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert cache.find([stat_of(path)]) == [None]


def test_a_file_replaced_by_another_is_not_known(cache, tmp_path):
    path = file(tmp_path / "f")
    learn(cache, path)
    file(tmp_path / "g", b"contend").replace(path)

    assert cache.find([stat_of(path)]) == [None]


@pytest.mark.parametrize(("after_ns", "is_trusted"), [(-1, False), (0, False), (49_999_999, False), (50_000_000, True)])
def test_a_file_changed_just_before_it_was_read_is_not_trusted(cache, tmp_path, after_ns, is_trusted):
    """It could have changed once more within the granularity of the clock, unseen."""
    path = file(tmp_path / "f")
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))

    learn(cache, path, after_ns)

    assert (cache.find([stat_of(path)]) != [None]) is is_trusted


def test_on_a_clock_of_whole_seconds_just_before_is_two_seconds(cache, tmp_path):
    path = file(tmp_path / "f")
    os.utime(path, ns=(SECOND_NS, SECOND_NS))

    learn(cache, path, 2 * SECOND_NS - 1)
    assert cache.find([stat_of(path)]) == [None]

    learn(cache, path, 2 * SECOND_NS)
    assert cache.find([stat_of(path)]) == [digest_of(b"content")]


def test_what_was_learned_is_kept_only_when_it_is_flushed(cache, rows, tmp_path):
    path = file(tmp_path / "f")
    cache.remember(stat_of(path), digest_of(b"content"), later(path, SECOND_NS * 10))

    assert cache.find([stat_of(path)]) == [None]

    cache.flush()
    assert TableStatCache(rows.reading, rows.writing).find([stat_of(path)]) == [digest_of(b"content")]


def test_a_row_that_was_harmed_is_not_trusted(cache, rows, tmp_path):
    path = file(tmp_path / "f")
    learn(cache, path)
    with rows.reading() as view:
        [(key, row)] = view.scan(PREFIX)

    for at in range(len(row)):
        harmed = bytearray(row)
        harmed[at] ^= 1
        with rows.writing() as out:
            out.put(key, bytes(harmed))
        assert cache.find([stat_of(path)]) == [None]
    with rows.writing() as out:
        out.put(key, row[:-1])
    assert cache.find([stat_of(path)]) == [None]


# With the pool.


@pytest.fixture
def counted(monkeypatch):
    """How often files were opened by name in a folder, as sources are."""
    opened = []
    real = os.open

    def count(path, flags, *given, **options):
        if options.get("dir_fd") is not None and not flags & os.O_DIRECTORY:
            opened.append(path)
        return real(path, flags, *given, **options)

    monkeypatch.setattr(os, "open", count)
    return opened


def old(path: Path) -> Path:
    """Return the file, whose change lies long enough behind to be trusted."""
    while True:
        now_ns = file(path.parent / "clock").stat().st_mtime_ns
        if now_ns - path.stat().st_ctime_ns > 60_000_000:
            return path


def test_an_unchanged_file_is_not_opened_a_second_time(pool, cache, tmp_path, counted):
    source = old(file(tmp_path / "f"))
    [first] = pool.take(source, cache=cache)
    cache.flush()
    counted.clear()

    [second] = pool.take(source, cache=cache)

    assert counted == []
    assert (second.digest, second.size_bytes, second.executable, second.added_bytes) == (first.digest, 7, False, 0)


@pytest.mark.parametrize("mode", ["copy", "link", "move"])
def test_a_known_file_is_removed_only_if_it_is_to_be_moved(pool, cache, tmp_path, mode):
    source = old(file(tmp_path / "f"))
    pool.take(source, cache=cache)
    cache.flush()

    pool.take(source, cache=cache, mode=mode)

    assert source.exists() is (mode != "move")


def test_a_known_file_that_is_executable_still_is(pool, cache, tmp_path):
    source = file(tmp_path / "f")
    source.chmod(0o755)
    pool.take(old(source), cache=cache)
    cache.flush()

    assert [stored.executable for stored in pool.take(source, cache=cache)] == [True]


def test_of_many_files_only_the_changed_ones_are_opened(pool, cache, tmp_path, counted):
    sources = [file(tmp_path / str(number), b"%d" % number) for number in range(20)]
    old(sources[-1])
    pool.take(*sources, cache=cache)
    cache.flush()
    file(sources[7], b"seven")
    counted.clear()

    stored = pool.take(*sources, cache=cache)

    assert counted == ["7"]
    assert [one.digest for one in stored] == [digest_of(source.read_bytes()) for source in sources]


def test_a_known_file_whose_blob_is_gone_is_read_again(pool, cache, tmp_path):
    source = old(file(tmp_path / "f"))
    [first] = pool.take(source, cache=cache)
    cache.flush()
    pool.blob(first.digest).unlink()

    pool.take(source, cache=cache)

    assert pool.blobs() == {first.digest.hex(): b"content"}


def test_a_known_file_whose_blob_was_edited_heals_it(pool, cache, tmp_path):
    source = old(file(tmp_path / "f"))
    [first] = pool.take(source, cache=cache)
    cache.flush()
    pool.blob(first.digest).chmod(0o644)
    pool.blob(first.digest).write_bytes(b"edited!")

    pool.take(source, cache=cache)

    assert pool.blobs() == {first.digest.hex(): b"content"}


def test_a_changed_file_is_read_again(pool, cache, tmp_path):
    source = old(file(tmp_path / "f"))
    pool.take(source, cache=cache)
    cache.flush()
    source.write_bytes(b"contend")

    [second] = pool.take(source, cache=cache)

    assert second.digest == digest_of(b"contend")
