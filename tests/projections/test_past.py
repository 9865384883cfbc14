"""The tables of the past are those that a store had which was stopped there."""

from collections.abc import Iterator

from hypothesis import given as for_any
from hypothesis import settings as examples
from hypothesis import strategies as some
import pytest

from given import State, folded, given
from runicorn_es import projections, queries
from runicorn_es.decisions import decide
from runicorn_es.errors import Rejected
from runicorn_es.events import RunFinished, RunPurged, VersionDeleted, VersionPurged
from runicorn_es.log.record import COMMIT
from runicorn_es.names import Reference
from runicorn_es.projections.chronicle import EARLIER, REMOVED, Chronicle, date_of
from runicorn_es.projections.past import PastRows
from runicorn_es.projections.rows import ALIASES, FAMILIES, RUNS, VERSIONS
from runicorn_es.tables import MemoryTables, Reader, open_tables
from test_decisions import OTHER_RUN, RUN, created, delete, log, restore, set_alias, started, use

# What is remembered, and the idempotency keys, which say by themselves since when they are known.
REMEMBERED = [*(family.key() for family in FAMILIES), b"k"]
COMMANDS = [
    log(run=RUN, aliases=("production",), metadata='{"a":1}', tags=("t",)),
    log("n", run=OTHER_RUN),
    log("n", "dataset", pages=(), references=()),
    use("m"),
    use("n:v1", run=OTHER_RUN),
    set_alias("m", "production"),
    set_alias("m:v1", "best"),
    delete("m", force=True),
    delete("m:v1", force=True),
    delete("n:v1"),
    restore("m:v1"),
    restore("m"),
]


@pytest.fixture(params=["memory", "lmdb"])
def tables(request, tmp_path):
    in_memory = request.param == "memory"
    opened = MemoryTables() if in_memory else open_tables(tmp_path / "lmdb", tmp_path / "boot", "test")
    yield opened
    opened.close()


def ends(state: State) -> list[int]:
    """Return after how many records a batch ends, and 0."""
    return [0, *(record.index + 1 for record in state.log.records if record.flags & COMMIT)]


def stopped(state: State, size: int) -> State:
    """Return the state of a store that was stopped when it had so many records."""
    state_then = State()
    state_then.log.records = state.log.records[:size]
    if size:
        with state_then.tables.writing() as out:
            folded(state_then.log, [size], out)
    return state_then


def history(commands: list[object]) -> State:
    state = given(started(), started(OTHER_RUN))
    for command in commands:
        try:
            drafts = decide(command, state)
        except Rejected:
            continue
        if drafts:
            state.and_then(drafts)
    return state


@examples(max_examples=40)
@for_any(some.lists(some.sampled_from(COMMANDS), min_size=8, max_size=20))
def test_at_every_moment_the_rows_are_those_of_a_store_that_was_stopped_there(commands):
    state = history(commands)

    for size in ends(state):
        then, past = stopped(state, size), state.as_of(size)
        for letter in REMEMBERED:
            wanted = list(then.rows.scan(letter))
            assert list(past.rows.scan(letter)) == wanted
            assert list(past.rows.scan(letter, reverse=True)) == wanted[::-1]
            assert [past.rows.get(key) for key, _ in wanted] == [value for _, value in wanted]
        assert queries.stats(past, None) == queries.stats(then, None)
        assert queries.head(past) == queries.head(then)
        assert list(queries.history(past, -1)) == list(queries.history(then, -1))


changes = some.lists(
    some.lists(
        some.tuples(some.sampled_from([b"a\x00", b"ab\x00", b"b\x00", b"\xff\x00"]), some.booleans()), max_size=4
    ),
    max_size=12,
)


@examples(max_examples=60)
@for_any(
    changes,
    some.sampled_from([b"a", b"aa", b"ab\x00", b"v"]),
    some.sampled_from([b"", b"aa", b"aab\x00", b"ab\x00"]),
    some.booleans(),
)
def test_past_rows_answer_as_the_rows_did_then(batches, prefix, after, reverse):
    with MemoryTables().writing() as out:
        require_past_rows(out, batches, prefix, after, reverse=reverse)


def test_past_rows_answer_as_the_rows_did_then_in_any_tables(tables):
    batches = [
        [(b"a\x00", True), (b"b\x00", True)],
        [(b"a\x00", True), (b"a\x00", False), (b"ab\x00", True)],
        [(b"b\x00", False)],
        [(b"a\x00", True), (b"ab\x00", True), (b"\xff\x00", True)],
        [(b"\xff\x00", False), (b"a\x00", False)],
    ]
    for reverse in (False, True):
        for after in (b"", b"aa\x00", b"aab\x00"):
            with tables.writing() as out:
                for key, _ in list(out.scan(b"")):
                    out.delete(key)
                require_past_rows(out, batches, b"a", after, reverse=reverse)


def require_past_rows(out, batches, prefix, after, *, reverse):
    """Change rows batch by batch, and then ask how they were behind each of these."""
    chronicle, index, states = Chronicle(out), 0, [(0, {})]
    for batch in batches:
        begin = index
        for key, is_put in batch:
            chronicle.turn_to(index, begin)
            if is_put:
                chronicle.put(b"a" + key, b"%d" % index)
            else:
                chronicle.delete(b"a" + key)
            index += 1
        states.append((index, {key: value for key, value in out.scan(b"") if key[:1] not in (EARLIER, REMOVED)}))
    for size, rows in states:
        past = PastRows(out, size)
        wanted = [
            (key, rows[key])
            for key in sorted(rows, reverse=reverse)
            if key.startswith(prefix) and (not after or (key < after if reverse else key > after))
        ]
        assert list(past.scan(prefix, after=after, reverse=reverse)) == wanted
        assert {key: past.get(key) for key in rows} == rows
        assert past.get(b"anever\x00") is None


class Counting:
    """A Reader that counts the rows it hands out."""

    def __init__(self, rows: Reader) -> None:
        self.rows = rows
        self.count = 0

    def get(self, key: bytes) -> bytes | None:
        self.count += 1
        return self.rows.get(key)

    def scan(self, prefix: bytes, **options: object) -> Iterator[tuple[bytes, bytes]]:
        for row in self.rows.scan(prefix, **options):
            self.count += 1
            yield row


def test_a_row_that_changed_ten_thousand_times_is_found_with_a_few_looks(tables):
    with tables.writing() as out:
        chronicle = Chronicle(out)
        for index in range(10_000):
            chronicle.turn_to(index, index)
            chronicle.put(b"aone\x00", b"%d" % index)
            if index % 5_000 == 0:
                chronicle.put(b"atwo\x00", b"%d" % index)
    with tables.reading() as rows:
        counting = Counting(rows)
        past = PastRows(counting, 5_000)

        assert past.get(b"aone\x00") == b"4999" + date_of(4999)
        assert [value[:-8] for _, value in past.scan(b"a")] == [b"4999", b"0"]
        assert [value[:-8] for _, value in past.scan(b"a", reverse=True)] == [b"0", b"4999"]
        assert counting.count < 25


def test_a_scan_of_the_past_reads_no_further_than_it_is_asked():
    state = given(*[created(number) for number in range(1, 200)], *[VersionDeleted("m", n) for n in range(1, 200)])
    counting = Counting(state.rows)

    past = PastRows(counting, 199)

    assert next(VERSIONS.scan(past, "m")).status == "ready"
    assert next(VERSIONS.scan(past, "m", reverse=True)).version == 199
    assert counting.count < 15


def test_what_has_no_date_is_as_it_is_now():
    state = given(created(1), created(2))

    assert list(state.as_of(1).rows.scan(b"p")) == list(state.rows.scan(b"p"))
    assert projections.cursor(state.as_of(1).rows).index == 2


def test_there_are_no_records_beyond_the_moment():
    past = given(created(1), created(2)).as_of(1)

    assert past.size == 1
    assert past.record(0).index == 0
    with pytest.raises(IndexError, match="no record 1"):
        past.record(1)


def test_a_purged_version_is_a_tombstone_at_every_moment_since_it_was_made():
    state = history(
        [log(metadata='{"a":1}', tags=("t",)), set_alias("m", "best"), log("m"), delete("m:v1", force=True)]
    )
    events = (VersionDeleted("m", 1), VersionPurged("m", 1, ()))
    state.and_then(events[1])

    seen = []
    for size in ends(state):
        row = VERSIONS.get(state.as_of(size).rows, "m", 1)
        if row is not None:
            seen.append(row)
            assert row.status == "purged"
            assert queries.metadata(state.as_of(size), row) == {}
            assert queries.tags(state.as_of(size), row) == []
    assert len(seen) == 5
    # Where it pointed is not forgotten.
    assert ALIASES.expect(state.as_of(ends(state)[4]).rows, "m", "best").version == 1
    with pytest.raises(Rejected, match="was purged"):
        queries.resolve(state.as_of(ends(state)[4]), Reference("m", "m:best", alias="best"))


def test_of_a_purged_run_only_its_times_are_left_at_every_moment():
    state = history([])
    state.and_then(RunFinished(RUN, "finished"), RunPurged(RUN, ()))

    running, finished = RUNS.expect(state.as_of(2).rows, RUN), RUNS.expect(state.as_of(3).rows, RUN)

    assert (running.project, running.name, running.user, running.host) == ("", None, "", "")
    assert (running.status, finished.status) == ("running", "finished")
    assert (finished.project, finished.name) == ("", None)
