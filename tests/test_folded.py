"""The tables of a store, kept: they may be lost, harmed, full or made anew at any moment, and no answer changes."""

from contextlib import contextmanager
import errno
import os
import shutil

import lmdb
import pytest

from given import content, file, rows, version
import runicorn_es as rn
from runicorn_es import durable, settings
from runicorn_es.commands import SetAlias
from runicorn_es.ledger import Request
from runicorn_es.names import parse_reference
from runicorn_es.projections.rows import ARTIFACTS, VERSIONS
from runicorn_es.tables import MemoryTables, TablesFailed


def numbers(store: rn.Store) -> list[int]:
    return [row.version for row in store.versions("m")]


@pytest.fixture
def lived_in(store, tmp_path):
    """A store with a bit of everything, closed, and its rows."""
    for number in range(4):
        version(store, b"%d" % number, name=f"m{number % 2}")
    with rn.init("p", storage=store.layout.root) as run:
        run.use_artifact("m0")
        run.log_artifact(rn.Artifact("made", "model").add_file(file(tmp_path / "f")), aliases=["best"])
    store.alias("m0:v1", "production")
    store.delete("m1:v2")
    found = rows(store)
    store.close()
    return found


def test_without_projections_a_store_answers_the_same_row_by_row(store, lived_in):
    shutil.rmtree(store.layout.projections)

    with rn.open_store(store.layout.root) as again:
        assert rows(again) == lived_in
    with rn.open_store(store.layout.root, read_only=True) as reader:
        assert rows(reader) == lived_in


def test_rebuilding_says_which_rows_differed_and_mends_them(store, lived_in):
    with rn.open_store(store.layout.root) as harmed:
        assert harmed.rebuild() == []
        with harmed._tables.writing() as out:
            changed, lost = VERSIONS.key("m0", 1), ARTIFACTS.key("m1")
            out.put(changed, b"wrong")
            out.delete(lost)
            out.put(b"zzz", b"never there")

        assert harmed.rebuild() == sorted([changed, lost, b"zzz"])
        assert rows(harmed) == lived_in
        assert harmed.rebuild() == []


def test_projections_that_were_lost_while_a_store_is_open_do_not_stop_it(store):
    version(store)
    shutil.rmtree(store.layout.projections)

    assert version(store) == 2
    assert numbers(store) == [1, 2]
    with rn.open_store(store.layout.root) as again:
        assert numbers(again) == [1, 2]


@pytest.mark.parametrize("when", ["before the log is written", "after"])
def test_tables_that_fail_while_requests_are_carried_out_change_no_answer(store, monkeypatch, when):
    version(store)
    failing = store._tables._tables

    class Failing:
        """Tables that fail once: when they are opened for writing, or when what was written is to be kept."""

        @contextmanager
        def writing(self):
            if when == "after":
                with MemoryTables().writing() as nothing:
                    for key, row in rows_before:
                        nothing.put(key, row)
                    yield nothing
            raise TablesFailed("broken")

        reading = failing.reading
        close = failing.close

    with store.reading() as view:
        rows_before = list(view.rows.scan(b""))
    monkeypatch.setattr(store._tables, "_tables", Failing())
    requests = [Request(SetAlias(parse_reference(spec), "a-" + spec[-1])) for spec in ("m:v1", "m:v9")]

    store._carry_out_durably(requests)

    assert [type(request.refusal) for request in requests] == [type(None), rn.Unknown]
    assert [len(request.events or ()) for request in requests] == [1, 0]
    assert [row.alias for row in store.aliases("m")] == ["a-1"]
    failing.close()
    with rn.open_store(store.layout.root) as again:
        assert [row.alias for row in again.aliases("m")] == ["a-1"]
        assert again.audit(tables=True).is_clean


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_on_a_full_disk_a_store_without_tables_is_readable(store, monkeypatch, number):
    version(store, b"one")
    store.close()
    shutil.rmtree(store.layout.projections)
    write_file = durable.write_file

    def fail_once(*given, **options):
        monkeypatch.setattr(durable, "write_file", write_file)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(durable, "write_file", fail_once)

    with rn.open_store(store.layout.root) as again:
        assert content(again, "m") == b"one"


@pytest.fixture
def small_tables(monkeypatch):
    """So little room for tables that they are full after a few versions."""
    monkeypatch.setattr(settings, "LMDB_MAP_BYTES", (48 * 1024,))


@pytest.mark.usefixtures("small_tables")
def test_where_tables_are_full_the_log_goes_on_and_nothing_acknowledged_is_lost(tmp_path):
    with rn.open_store(tmp_path / "store") as store:
        for number in range(1, 60):
            assert version(store, b"%d" % number) == number
        assert numbers(store) == list(range(1, 60))
        assert store.rebuild() == []

    with rn.open_store(tmp_path / "store") as again:
        assert numbers(again) == list(range(1, 60))
        assert version(again, b"more") == 60


@pytest.mark.parametrize("kind", [lmdb.DiskError, lmdb.MemoryError, lmdb.Error, lmdb.MapFullError])
def test_a_store_whose_tables_cannot_be_made_works_from_memory(tmp_path, monkeypatch, kind):
    with rn.open_store(tmp_path / "store") as store:
        version(store, b"one")
    shutil.rmtree(store.layout.projections)

    def fail(*given, **options):
        raise kind("no room for tables")

    monkeypatch.setattr(lmdb, "open", fail)
    with rn.open_store(tmp_path / "store") as again:
        assert content(again, "m") == b"one"
        assert version(again, b"two") == 2
        assert content(again, "m") == b"two"
