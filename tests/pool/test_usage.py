"""The sums of the pool: kept as blobs come and go, and unknown rather than wrong."""

import pytest

from runicorn_es.pool.usage import Usage, Used
from runicorn_es.tables import MemoryTables, open_tables

ONE, TWO, THREE = (bytes([number]) * 32 for number in (1, 2, 3))


@pytest.fixture
def usage(tmp_path) -> Usage:
    tables = open_tables(tmp_path / "tables", tmp_path / "boot", "a store")
    yield Usage(tables.reading, tables.writing, tmp_path / "recount")
    tables.close()


@pytest.fixture
def forked(tmp_path) -> Usage:
    """The sums as somebody sees them who has tables in memory only."""
    tables = MemoryTables()
    return Usage(tables.reading, tables.writing, tmp_path / "recount")


@pytest.fixture
def counted(usage) -> Usage:
    """Two blobs of 30 bytes in all, one of 10 named by no version."""
    usage.set(Used(2, 30, 1, 10), {ONE: 10}, usage.expect())
    return usage


def take_in(usage: Usage, digest: bytes, size_bytes: int) -> None:
    usage.begin("w", [digest], usage.expect())
    usage.end("w", 1, size_bytes)


def test_nobody_knows_before_somebody_counted(usage):
    assert usage.known() is None
    take_in(usage, ONE, 5)
    assert usage.known() is None


def test_what_comes_is_added(counted):
    take_in(counted, THREE, 7)

    assert counted.known() == Used(3, 37, 1, 10)


def test_what_goes_is_taken_away_and_what_was_named_by_nobody_twice(counted):
    counted.remove("t", {ONE: 10})
    assert counted.known() == Used(1, 20, 0, 0)
    counted.remove("t", {TWO: 20})
    assert counted.known() == Used(0, 0, 0, 0)


def test_what_was_named_by_nobody_and_is_now_is_no_orphan_any_more(counted):
    counted.name([TWO, ONE])

    assert counted.known() == Used(2, 30, 0, 0)


def test_while_somebody_is_at_work_nobody_knows(counted):
    counted.begin("w", [THREE], counted.expect())

    assert counted.known() is None
    counted.end("w", 1, 7)
    assert counted.known() == Used(3, 37, 1, 10)


def test_after_a_failure_nobody_knows(counted):
    counted.begin("w", [THREE], counted.expect())
    counted.fail("w")

    assert counted.known() is None


def test_two_at_work_on_different_blobs_are_both_added(counted):
    for token, digest in (("a", TWO), ("b", THREE)):
        counted.begin(token, [digest], counted.expect())
    counted.end("a", 1, 1)
    counted.end("b", 1, 2)

    assert counted.known() == Used(4, 33, 1, 10)


@pytest.mark.parametrize("digests", [[THREE], [bytes([number % 256, number // 256]) * 16 for number in range(2000)]])
def test_two_at_work_on_the_same_blob_leave_nobody_knowing(counted, digests):
    counted.begin("a", [THREE, TWO], counted.expect())
    counted.begin("b", digests, counted.expect())
    counted.end("a", 1, 1)
    counted.end("b", 1, 1)

    assert counted.known() is None


def test_whoever_was_overtaken_is_told(counted):
    expected = counted.expect()
    take_in(counted, TWO, 1)

    assert counted.begin("w", [THREE], expected)
    assert not counted.begin("x", [THREE], counted.expect())


def test_what_changed_during_the_counting_makes_it_void(usage):
    expected = usage.expect()
    take_in(usage, ONE, 1)
    usage.set(Used(1, 1), {}, expected)
    assert usage.known() is None

    expected = usage.expect()
    usage.begin("w", [TWO], expected)
    usage.set(Used(1, 1), {}, expected)
    usage.end("w", 1, 1)
    assert usage.known() is None


def test_counting_while_somebody_is_at_work_does_not_count_its_blobs_twice(counted):
    counted.begin("w", [THREE], counted.expect())
    counted.forget()
    counted.end("w", 1, 7)

    assert counted.known() is None


def test_the_dead_are_forgotten_and_what_they_left_is_counted_anew(counted):
    counted.begin("dead", [THREE], counted.expect())
    counted.forget_the_dead()
    assert counted.known() is None

    counted.set(Used(3, 37), {}, counted.expect())
    assert counted.known() == Used(3, 37, 0, 0)
    counted.forget_the_dead()
    assert counted.known() == Used(3, 37, 0, 0)


# Who has tables in memory only.


@pytest.mark.parametrize(
    "change",
    [
        lambda usage: usage.begin("w", [THREE], 0),
        lambda usage: usage.begin_removing("w"),
        lambda usage: usage.name([ONE]),
        lambda usage: usage.forget(),
    ],
    ids=["takes in", "removes", "names", "moves away"],
)
def test_after_a_change_by_somebody_without_shared_tables_nobody_knows(counted, forked, change):
    change(forked)
    assert counted.known() is None
    counted.set(Used(1, 1), {}, counted.expect())
    assert counted.known() is None


def test_who_counts_takes_the_mark_away_first(counted, forked):
    forked.begin("w", [THREE], 0)
    assert counted.is_marked()
    counted.unmark()
    counted.set(Used(3, 37), {}, counted.expect())
    assert counted.known() == Used(3, 37)


def test_a_mark_that_comes_while_somebody_counts_makes_the_count_void(counted, forked):
    expected = counted.expect()
    forked.begin("w", [THREE], 0)
    counted.set(Used(2, 30), {}, expected)
    assert counted.known() is None


def test_who_has_no_shared_tables_knows_nothing(forked):
    forked.set(Used(1, 1), {}, forked.expect())
    assert forked.known() is None


def test_what_is_about_to_go_is_not_known_until_it_is_gone(counted):
    counted.begin_removing("w")
    assert counted.known() is None
    counted.remove("w", {ONE: 10})
    assert counted.known() == Used(1, 20, 0, 0)
