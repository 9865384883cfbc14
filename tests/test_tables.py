"""Ordered keys and values: one contract for both kinds of tables, and what LMDB needs besides."""

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import shutil
import subprocess
import sys
from threading import Thread

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as some
import lmdb
import pytest

from runicorn_es import tables
from runicorn_es.tables import MemoryTables, Tables, TablesFailed, Writer, gathered, open_tables

IDENTITY = "store 1"


class GatheredTables:
    """Tables whose writers gather what is put before they write it."""

    def __init__(self, behind: Tables) -> None:
        self.reading, self.close, self._writing = behind.reading, behind.close, behind.writing

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        with self._writing() as out, gathered(out) as rows:
            yield rows


@pytest.fixture(params=["memory", "lmdb", "gathered"])
def rows(request, tmp_path) -> Iterator[Tables]:
    if request.param == "memory":
        opened = MemoryTables()
    else:
        opened = open_tables(tmp_path / "projections" / "tables", tmp_path / "projections" / "boot", IDENTITY)
    yield GatheredTables(opened) if request.param == "gathered" else opened
    opened.close()


def put(rows: Tables, **values: bytes) -> None:
    with rows.writing() as out:
        for key, value in values.items():
            out.put(key.encode(), value)


def everything(rows: Tables) -> dict[bytes, bytes]:
    with rows.reading() as view:
        return dict(view.scan(b""))


def keys(rows: Tables, prefix: bytes = b"", **options) -> list[bytes]:
    with rows.reading() as view:
        return [key for key, _ in view.scan(prefix, **options)]


# The contract.


def test_what_is_put_is_there_until_it_is_deleted(rows):
    put(rows, a=b"1", b=b"2")
    put(rows, a=b"3")
    with rows.writing() as out:
        out.delete(b"b")
        out.delete(b"never there")

    with rows.reading() as view:
        assert view.get(b"a") == b"3"
        assert view.get(b"b") is None
        assert view.get(b"never there") is None


def test_a_writer_sees_what_it_wrote(rows):
    put(rows, a=b"1")
    with rows.writing() as out:
        out.put(b"b", b"2")
        out.delete(b"a")

        assert out.get(b"b") == b"2"
        assert out.get(b"a") is None
        assert dict(out.scan(b"")) == {b"b": b"2"}


def test_many_keys_can_be_put_at_once(rows):
    put(rows, b=b"1")
    with rows.writing() as out:
        out.put_all([(b"a", b"2"), (b"b", b"3")])
        out.put_all([])

    assert everything(rows) == {b"a": b"2", b"b": b"3"}


def test_who_replaces_a_value_is_told_the_one_before(rows):
    put(rows, a=b"1")
    with rows.writing() as out:
        assert out.replace(b"a", b"2") == b"1"
        assert out.replace(b"a", b"3") == b"2"
        out.delete(b"a")
        assert out.replace(b"a", b"4") is None

    assert everything(rows) == {b"a": b"4"}


def test_an_empty_value_is_a_value(rows):
    put(rows, a=b"")

    assert everything(rows) == {b"a": b""}


def test_a_value_can_be_large(rows):
    put(rows, a=bytes(3_000_000))

    assert everything(rows) == {b"a": bytes(3_000_000)}


def test_a_scan_is_in_the_order_of_the_bytes_of_the_keys(rows):
    with rows.writing() as out:
        for key in (b"b", b"a\x00", b"a", b"\xff", b"a\xff", b"B"):
            out.put(key, key)

    assert keys(rows) == [b"B", b"a", b"a\x00", b"a\xff", b"b", b"\xff"]
    assert keys(rows, reverse=True) == [b"\xff", b"b", b"a\xff", b"a\x00", b"a", b"B"]


def test_an_exception_takes_everything_back(rows):
    put(rows, a=b"1", b=b"2")
    before = everything(rows)

    def fail_half_way():
        with rows.writing() as out:
            out.put(b"a", b"3")
            out.put(b"c", b"4")
            out.delete(b"b")
            out.put(b"b", b"5")
            out.delete(b"c")
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()

    assert everything(rows) == before
    assert keys(rows) == sorted(before)


def test_rows_stay_readable_after_an_exception(rows):
    def fail():
        with rows.reading():
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    put(rows, a=b"1")

    assert everything(rows) == {b"a": b"1"}


def test_threads_write_one_after_the_other(rows):
    put(rows, count=b"0")

    def add():
        for _ in range(20):
            with rows.writing() as out:
                out.put(b"count", b"%d" % (int(out.get(b"count")) + 1))

    threads = [Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert everything(rows) == {b"count": b"80"}


some_bytes = some.binary(max_size=3) | some.text("ab\x00\x01", max_size=3).map(str.encode) | some.just(b"\xff")
some_keys = some_bytes.filter(bool)


@examples(max_examples=60)
@given(stored=some.sets(some_keys, max_size=12), prefix=some_bytes, after=some_bytes, reverse=some.booleans())
def test_a_scan_is_what_a_sorted_list_would_answer(rows, stored, prefix, after, reverse):
    with rows.writing() as out:
        for key, _ in list(out.scan(b"")):
            out.delete(key)
        for key in stored:
            out.put(key, key[::-1])

    expected = [key for key in sorted(stored, reverse=reverse) if key.startswith(prefix)]
    if after:
        expected = [key for key in expected if (key < after if reverse else key > after)]

    assert keys(rows, prefix, after=after, reverse=reverse) == expected


@pytest.mark.parametrize("reverse", [False, True])
def test_a_prefix_may_end_with_the_highest_byte(rows, reverse):
    # As the key of version 255 does.
    with rows.writing() as out:
        for key in (b"w\x00\xfe1", b"w\x00\xff1", b"w\x00\xff2", b"w\x011", b"\xff\xff1"):
            out.put(key, b"")

    assert sorted(keys(rows, b"w\x00\xff", reverse=reverse)) == [b"w\x00\xff1", b"w\x00\xff2"]
    assert keys(rows, b"\xff\xff", reverse=reverse) == [b"\xff\xff1"]


@examples(max_examples=40)
@given(
    some.lists(
        some.tuples(some.sampled_from("pd"), some.sampled_from([b"a", b"ab", b"b", b"c"]), some.binary(max_size=2)),
        max_size=12,
    ),
    some.booleans(),
)
def test_any_changes_leave_what_a_dictionary_would_hold(rows, changes, fails):
    before = everything(rows)
    expected = dict(before)

    def change():
        with rows.writing() as out:
            for action, key, value in changes:
                if action == "p":
                    out.put(key, value)
                    expected[key] = value
                else:
                    out.delete(key)
                    expected.pop(key, None)
                assert dict(out.scan(b"")) == dict(sorted(expected.items()))
            if fails:
                raise KeyError

    if fails:
        with pytest.raises(KeyError):
            change()
        expected = before
    else:
        change()

    assert everything(rows) == expected


# What LMDB needs besides.


class Place:
    """A folder for tables, which are opened again and again."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "projections" / "tables"
        self.boot = root / "projections" / "boot"

    @property
    def file(self) -> Path:
        return self.folder / "data.mdb"

    def open(self, identity: str = IDENTITY) -> Tables:
        return open_tables(self.folder, self.boot, identity)

    def content(self, identity: str = IDENTITY) -> dict[bytes, bytes]:
        opened = self.open(identity)
        try:
            return everything(opened)
        finally:
            opened.close()


@pytest.fixture
def place(tmp_path):
    """A folder with tables of one row, closed."""
    place = Place(tmp_path)
    opened = place.open()
    put(opened, key=b"value")
    opened.close()
    return place


def test_tables_are_there_when_they_are_opened_again(place):
    assert place.content() == {b"key": b"value"}


@pytest.mark.parametrize("another", ["another store 1", "store 2"])
def test_tables_of_another_store_or_schema_are_wiped(place, another):
    assert place.content(another) == {}
    assert place.content(IDENTITY) == {}


def test_tables_of_another_boot_are_wiped(place, monkeypatch):
    monkeypatch.setattr(tables.durable, "boot_id", lambda: "another boot")

    assert place.content() == {}
    assert place.content() == {}


def test_where_no_boot_is_named_nothing_is_trusted(place, monkeypatch):
    monkeypatch.setattr(tables.durable, "boot_id", lambda: None)
    opened = place.open()
    put(opened, key=b"value")
    opened.close()

    assert place.content() == {}


def test_what_vouches_for_the_tables_is_durable_before_they_are_made(tmp_path, monkeypatch):
    place, happened = Place(tmp_path), []
    write, make = tables.durable.write_file, lmdb.open
    monkeypatch.setattr(tables.durable, "write_file", lambda *given: (happened.append("boot"), write(*given)))
    monkeypatch.setattr(lmdb, "open", lambda *given, **options: (happened.append("lmdb"), make(*given, **options))[1])

    assert place.content() == {}

    assert happened == ["boot", "lmdb"]


def test_distrusted_tables_are_wiped_by_the_next_who_opens_them(place):
    tables.distrust(place.boot)
    tables.distrust(place.boot)

    assert place.content() == {}


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: file.unlink(),
        lambda file: os.truncate(file, 0),
        lambda file: os.truncate(file, 100),
        lambda file: os.truncate(file, 4096),
        lambda file: os.truncate(file, file.stat().st_size - 4096),
        lambda file: os.truncate(file, file.stat().st_size - 1),
        lambda file: file.write_bytes(b"noise " * 10_000),
        lambda file: file.write_bytes(bytes(40_000)),
        lambda file: (file.unlink(), file.mkdir()),
    ],
    ids=["missing", "empty", "cut in the head", "one head", "a page short", "a byte short", "noise", "zeros", "folder"],
)
def test_tables_that_are_harmed_are_wiped_and_kill_nobody(place, harm):
    harm(place.file)

    assert place.content() == {}


def test_a_single_row_after_many_were_deleted_is_still_trusted(place):
    opened = place.open()
    with opened.writing() as out:
        for number in range(2000):
            out.put(b"%d" % number, bytes(100))
    with opened.writing() as out:
        for number in range(2000):
            out.delete(b"%d" % number)
    opened.close()

    assert place.content() == {b"key": b"value"}


def test_tables_opened_twice_in_a_process_are_one(place):
    one, other = place.open(), place.open()
    put(one, more=b"rows")

    assert everything(other) == {b"key": b"value", b"more": b"rows"}

    one.close()
    put(other, still=b"open")
    other.close()
    assert len(place.content()) == 3


def test_tables_whose_folder_was_removed_are_made_anew_and_the_old_ones_go_on(place):
    old = place.open()
    shutil.rmtree(place.boot.parent)
    new = place.open()
    put(new, new=b"rows")

    assert everything(old) == {b"key": b"value"}
    assert everything(new) == {b"new": b"rows"}

    old.close()
    assert everything(new) == {b"new": b"rows"}
    new.close()
    assert place.content() == {b"new": b"rows"}


def test_closing_twice_does_not_close_for_another(place):
    one, other = place.open(), place.open()
    one.close()
    one.close()

    assert everything(other) == {b"key": b"value"}
    other.close()


def test_a_reader_sees_one_state_while_another_thread_writes(place):
    opened = place.open()
    with opened.reading() as view:
        thread = Thread(target=put, args=(opened,), kwargs={"key": b"changed"})
        thread.start()
        thread.join()

        assert view.get(b"key") == b"value"
    assert everything(opened) == {b"key": b"changed"}
    opened.close()


def test_two_processes_see_what_each_other_writes(place):
    opened = place.open()
    program = """
import sys
from pathlib import Path
from runicorn_es.tables import open_tables
opened = open_tables(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
with opened.writing() as out:
    out.put(b"seen", out.get(b"key"))
"""
    subprocess.run([sys.executable, "-c", program, place.folder, place.boot, IDENTITY], check=True, timeout=60)

    assert everything(opened) == {b"key": b"value", b"seen": b"value"}
    opened.close()


def test_a_forked_child_has_tables_of_its_own_in_memory(place):
    program = """
import os, sys
from pathlib import Path
from runicorn_es.tables import LmdbTables, open_tables
place = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
opened = open_tables(*place)
child = os.fork()
if child == 0:
    mine = open_tables(*place)
    with mine.writing() as out:
        out.put(b"child", b"was here")
    opened.close()
    mine.close()
    os._exit(isinstance(mine, LmdbTables))
_, status = os.waitpid(child, 0)
with opened.writing() as out:
    out.put(b"parent", b"goes on")
with opened.reading() as view:
    print(status, dict(view.scan(b"")))
"""
    command = [sys.executable, "-W", "ignore", "-c", program, place.folder, place.boot, IDENTITY]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)

    assert done.stdout == "0 {b'key': b'value', b'parent': b'goes on'}\n"


def test_an_error_of_lmdb_says_that_nothing_is_lost_and_distrusts_the_tables(place):
    opened = place.open()

    def write_a_key_that_is_too_long():
        with opened.writing() as out:
            out.put(b"k" * 1000, b"")

    with pytest.raises(TablesFailed, match="nothing is lost"):
        write_a_key_that_is_too_long()
    opened.close()

    assert not place.boot.exists()
    assert place.content() == {}


def test_where_address_space_is_scarce_a_smaller_map_is_made(tmp_path):
    program = """
import resource, sys
from pathlib import Path
from runicorn_es.tables import open_tables
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
opened = open_tables(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
with opened.writing() as out:
    out.put(b"key", b"value")
"""
    place = Place(tmp_path)
    subprocess.run([sys.executable, "-c", program, place.folder, place.boot, IDENTITY], check=True, timeout=60)

    assert place.content() == {b"key": b"value"}


def test_peeking_changes_nothing(place):
    def state():
        # The lock file of LMDB is where readers say that they read.
        files = [file for file in place.boot.parent.rglob("*") if file.is_file() and file.name != "lock.mdb"]
        return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}

    before = state()
    with tables.peeked(place.folder, place.boot, IDENTITY) as found:
        assert dict(found.scan(b"")) == {b"key": b"value"}
    with tables.peeked(place.folder, place.boot, "another") as found:
        assert found is None

    assert state() == before


def test_peeking_where_nothing_is_makes_nothing(tmp_path):
    place = Place(tmp_path)
    with tables.peeked(place.folder, place.boot, IDENTITY) as found:
        assert found is None

    assert list(tmp_path.iterdir()) == []
