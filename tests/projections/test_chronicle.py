"""Rows that remember: what is kept when a row is overwritten, removed, or forgotten for good."""

import pytest

from runicorn_es.projections.chronicle import EARLIER, REMOVED, Chronicle, date_of
from runicorn_es.tables import MemoryTables

KEY = b"akey\x00"


@pytest.fixture
def tables():
    return MemoryTables()


@pytest.fixture
def chronicle(tables):
    with tables.writing() as out:
        yield Chronicle(out)


def put(chronicle: Chronicle, index: int, value: bytes, *, batch: int | None = None) -> None:
    chronicle.turn_to(index, index if batch is None else batch)
    chronicle.put(KEY, value)


def delete(chronicle: Chronicle, index: int) -> None:
    chronicle.turn_to(index, index)
    chronicle.delete(KEY)


def earlier(tables: MemoryTables) -> list[tuple[bytes, int, int]]:
    """Return what is remembered: the values, the records that set them, and those that ended them."""
    found = [(key.removeprefix(EARLIER + KEY), value) for key, value in tables.scan(EARLIER)]
    return [(value[:-8], int.from_bytes(value[-8:]), int.from_bytes(end)) for end, value in found]


def test_a_new_row_is_dated_and_costs_no_other(tables, chronicle):
    put(chronicle, 7, b"one")

    assert dict(tables.scan(b"")) == {KEY: b"one" + date_of(7)}


def test_what_is_overwritten_is_kept_with_the_records_between_which_it_held(tables, chronicle):
    put(chronicle, 3, b"one")
    put(chronicle, 5, b"two")
    put(chronicle, 300, b"three")

    assert tables.get(KEY) == b"three" + date_of(300)
    assert earlier(tables) == [(b"one", 3, 5), (b"two", 5, 300)]


def test_what_is_removed_is_kept_and_may_come_back(tables, chronicle):
    put(chronicle, 3, b"one")
    delete(chronicle, 5)
    delete(chronicle, 6)
    assert tables.get(KEY) is None

    put(chronicle, 8, b"two")
    assert tables.get(REMOVED + KEY) == b""
    assert earlier(tables) == [(b"one", 3, 5)]


def test_what_held_only_within_a_batch_is_not_kept(tables, chronicle):
    put(chronicle, 3, b"before")
    put(chronicle, 10, b"one", batch=9)
    put(chronicle, 11, b"two", batch=9)
    put(chronicle, 12, b"after")

    assert earlier(tables) == [(b"before", 3, 10), (b"two", 11, 12)]


def test_a_row_that_comes_and_goes_within_a_batch_leaves_nothing(tables, chronicle):
    put(chronicle, 10, b"one", batch=9)
    chronicle.turn_to(11, 9)
    chronicle.delete(KEY)

    assert list(tables.scan(b"")) == []


def test_a_row_that_is_buried_is_as_if_it_had_never_been_otherwise(tables, chronicle):
    put(chronicle, 3, b"secret")
    put(chronicle, 5, b"another secret")
    chronicle.bury(KEY, b"tombstone", 3)

    assert dict(tables.scan(b"")) == {KEY: b"tombstone" + date_of(3)}

    chronicle.bury(KEY, None, 0)
    assert list(tables.scan(b"")) == []


def test_a_history_row_can_be_rewritten_but_not_its_dates(tables, chronicle):
    put(chronicle, 3, b"secret")
    put(chronicle, 5, b"now")
    for key, _ in chronicle.earlier(KEY):
        chronicle.rewrite(key, b"nothing")

    assert earlier(tables) == [(b"nothing", 3, 5)]
