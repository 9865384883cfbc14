"""Tables are folds of the log: what each event makes of them, and that nothing else matters."""

from hypothesis import given as for_any
from hypothesis import settings as examples
from hypothesis import strategies as some
import pytest

from given import SECOND_NS, State, folded, given
from runicorn_es import codec, merkle, projections, queries
from runicorn_es.decisions import decide
from runicorn_es.errors import Damaged, Rejected
from runicorn_es.events import (
    AliasRemoved,
    AliasSet,
    BatchAppended,
    BlobsReclaimed,
    DescriptionChanged,
    Draft,
    FileAdded,
    MetadataChanged,
    RecoveryTruncated,
    RetentionSet,
    RunFinished,
    StoreCreated,
    TagsChanged,
    VersionCreated,
    VersionDeleted,
    VersionPurged,
    VersionRestored,
    VersionUsed,
)
from runicorn_es.log.record import COMMIT
from runicorn_es.projections import batches, blanks, pages, places
from runicorn_es.projections.rows import (
    ALIASES,
    ARTIFACTS,
    INPUTS,
    OUTPUTS,
    RUNS,
    USES,
    VERSIONS,
    AliasRow,
    ArtifactRow,
    Contradiction,
    EdgeRow,
    RunRow,
)
from runicorn_es.queries import Counts
from runicorn_es.tables import MemoryTables
from test_decisions import DIGEST, OTHER_RUN, RUN, created, delete, log, restore, set_alias, started, use


def artifact(state: State, name: str = "m") -> ArtifactRow:
    return ARTIFACTS.expect(state.rows, name)


# Artifacts and versions.


def test_a_version_has_a_row_with_the_time_and_place_of_its_record():
    row = VERSIONS.expect(given(StoreCreated(bytes(16), 1), created(run=RUN)).rows, "m", 1)

    assert (row.status, row.created_ns, row.position, row.run, row.deleted_ns) == ("ready", 2 * SECOND_NS, 1, RUN, 0)
    assert (row.metadata_position, row.tags_position, row.description_position) == (-1, -1, -1)


def test_an_artifact_has_a_row_from_its_first_version_on():
    assert artifact(given(created(1))) == ArtifactRow("m", "model", SECOND_NS, SECOND_NS, 1, 1, 1, 100)
    assert artifact(given(created(1), created(2))) == ArtifactRow("m", "model", SECOND_NS, 2 * SECOND_NS, 2, 2, 2, 200)


@pytest.mark.parametrize(
    ("deleted", "latest", "live"),
    [([], 3, 3), ([3], 2, 2), ([2], 3, 2), ([3, 2], 1, 1), ([2, 3], 1, 1), ([1, 2, 3], 0, 0)],
)
def test_latest_is_the_newest_version_that_is_not_deleted(deleted, latest, live):
    state = given(created(1), created(2), created(3), *[VersionDeleted("m", number) for number in deleted])

    row = artifact(state)

    assert (row.latest, row.live, row.allotted, row.size_bytes) == (latest, live, 3, 100 * live)


def test_a_restored_version_is_the_latest_again():
    state = given(created(1), created(2), VersionDeleted("m", 2), VersionRestored("m", 2))

    assert artifact(state).latest == 2
    assert artifact(state).live == 2


def test_a_deleted_version_says_since_when_and_a_restored_one_no_more():
    state = given(created(1), VersionDeleted("m", 1))
    assert VERSIONS.expect(state.rows, "m", 1).deleted_ns == 2 * SECOND_NS

    state.and_then(VersionRestored("m", 1))
    assert VERSIONS.expect(state.rows, "m", 1).deleted_ns == 0

    state.and_then(VersionDeleted("m", 1), VersionPurged("m", 1, ()))
    row = VERSIONS.expect(state.rows, "m", 1)
    assert (row.status, row.deleted_ns) == ("purged", 4 * SECOND_NS)


def test_what_is_said_of_a_version_is_found_where_it_was_said_last():
    state = given(
        created(1),
        MetadataChanged("m", 1, "{}"),
        TagsChanged("m", 1, ("t",)),
        DescriptionChanged("m", 1, "words"),
        MetadataChanged("m", 1, '{"a":1}'),
    )

    row = VERSIONS.expect(state.rows, "m", 1)

    assert (row.metadata_position, row.tags_position, row.description_position) == (4, 2, 3)


def test_an_alias_has_a_row_while_it_is_set():
    state = given(created(1), created(2), AliasSet("m", "production", 1), AliasSet("m", "production", 2, 1))
    assert ALIASES.get(state.rows, "m", "production") == AliasRow("production", 2, 3, 4 * SECOND_NS)

    state.and_then(AliasRemoved("m", "production", 2))
    assert ALIASES.get(state.rows, "m", "production") is None


@pytest.mark.parametrize(
    "event",
    [
        created(1),
        created(3),
        VersionDeleted("n", 1),
        VersionRestored("m", 9),
        MetadataChanged("m", 9, "{}"),
        RunFinished(RUN, "failed"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_log_that_contradicts_its_tables_is_not_folded_and_nothing_of_it_stays(event):
    state = given(created(1))
    before = str(state)

    with pytest.raises(Contradiction):
        state.and_then(event)

    assert str(state) == before


# Runs and edges.


def test_a_run_has_a_row_with_who_started_it():
    batch = Draft(RUN, (BatchAppended("ada", "lab", 4711, RUN), started()))
    state = given([batch])
    assert RUNS.expect(state.rows, RUN) == RunRow(RUN, "vision", "resnet", "running", SECOND_NS, 0, "ada", "lab", 0)

    state.and_then(RunFinished(RUN, "failed"))
    row = RUNS.expect(state.rows, RUN)
    assert (row.status, row.finished_ns) == ("failed", 2 * SECOND_NS)


def test_an_edge_is_found_from_both_ends_and_stays_when_its_version_is_deleted():
    state = given(started(), created(1), VersionUsed(RUN, "m", 1, "m"), VersionDeleted("m", 1))
    edge = EdgeRow(RUN, "m", 1, 2, 3 * SECOND_NS)

    assert list(INPUTS.scan(state.rows, RUN)) == list(USES.scan(state.rows, "m", 1)) == [edge]


def test_what_a_run_made_is_an_edge_and_what_nobody_made_is_none():
    state = given(started(), created(1, run=RUN), created(2))

    assert [(edge.name, edge.version) for edge in OUTPUTS.scan(state.rows, RUN)] == [("m", 1)]
    assert len(list(OUTPUTS.scan(state.rows))) == 1


# Sums.


def total(state: State, kind: str = "") -> Counts:
    found = queries.stats(state, 0)
    return found.by_type[kind] if kind else found.total


def test_sums_follow_versions_by_type_and_in_all():
    dataset = VersionCreated("d", "dataset", 1, None, DIGEST, (), (), 1, 0, 7)
    state = given(created(1), created(2), dataset)

    assert total(state) == Counts(2, 3, 207)
    assert total(state, "model") == Counts(1, 2, 200)
    assert total(state, "dataset") == Counts(1, 1, 7)


def test_sums_tell_deleted_versions_from_live_ones_until_they_are_purged():
    state = given(created(1), created(2), VersionDeleted("m", 1))
    assert total(state) == total(state, "model") == Counts(1, 1, 100, 1, 100)

    state.and_then(VersionPurged("m", 1, ()))
    assert total(state) == Counts(1, 1, 100, 0, 0)

    state.and_then(VersionDeleted("m", 2), VersionRestored("m", 2))
    assert total(state) == Counts(1, 1, 100, 0, 0)


# Places, pages, batches, the tree.


@pytest.mark.parametrize("count", [1, 63, 64, 65, 130])
def test_every_record_is_found_by_its_index(count):
    state = given(*[BlobsReclaimed(number, 0) for number in range(count)])

    assert [places.place_of(state.rows, index) for index in range(count)] == [(0, index) for index in range(count)]
    assert places.place_of(state.rows, count) is None
    assert [state.record(index).index for index in range(count)] == list(range(count))


@pytest.mark.parametrize("portions", [[200], [100, 200], [63, 64, 65, 128, 129, 200]])
def test_every_record_is_found_however_many_are_folded_at_once(portions):
    state = given(*[BlobsReclaimed(number, 0) for number in range(200)])
    rows = MemoryTables()
    with rows.writing() as out:
        folded(state.log, portions, out)

    assert [places.place_of(rows, index) for index in range(200)] == [(0, index) for index in range(200)]


def test_there_is_no_record_before_the_first():
    assert places.place_of(given(created(1)).rows, -1) is None


def test_a_page_is_found_by_its_digest():
    files = tuple(FileAdded(f"{number:05}", DIGEST, 1) for number in range(300))
    state = given(created(1), Draft("m:v2", files, is_page=True))

    assert pages.position_of(state.rows, codec.page_digest(files)) == 1
    assert pages.position_of(state.rows, codec.page_digest(files[:1])) is None


def test_a_page_that_was_blanked_is_not_found_so_that_no_version_refers_to_it():
    files = (FileAdded("a", DIGEST, 1),)
    state = given(Draft("m:v1", files, is_page=True, is_blankable=True), created(1)).blanked(0)

    assert pages.position_of(state.rows, codec.page_digest(files)) is None


def test_a_blanked_record_is_noted_by_its_version_until_a_purge_accounts_for_it():
    details = Draft("m:v1", (MetadataChanged("m", 1, "{}"),), is_blankable=True)
    page = Draft("m:v2", (FileAdded("a", DIGEST, 1),), is_page=True, is_blankable=True)
    state = given(created(1), details, created(2), page)
    assert blanks.position_of(state.rows, "m:v1") is None

    # A page is missed when it is read.
    blanked = state.blanked(1, 3)
    assert blanks.position_of(blanked.rows, "m:v1") == 1
    assert blanks.position_of(blanked.rows, "m:v2") is None

    purged = state.and_then(VersionDeleted("m", 1), VersionPurged("m", 1, (1,))).blanked(1, 3)
    assert blanks.position_of(purged.rows, "m:v1") is None


def test_every_kind_of_row_has_a_name():
    state = given(started(), created(1, run=RUN), AliasSet("m", "production", 1), VersionUsed(RUN, "m", 1, "m"))
    state.and_then(Draft("", (BatchAppended("ada", "lab", 1, None, "retry-1"), BlobsReclaimed(0, 0))))
    state.and_then(Draft("m:v1", (FileAdded("a", DIGEST, 1),), is_page=True), AliasRemoved("m", "production", 1))

    kinds = {projections.kind_of(key) for key, _ in state.tables.scan(b"")}

    assert len(kinds) == 20
    assert "unknown rows" not in kinds
    assert projections.kind_of(b"?") == "unknown rows"


def test_tables_of_another_store_or_schema_have_another_identity(monkeypatch):
    before = projections.identity("aa")
    assert before != projections.identity("bb")

    monkeypatch.setattr(projections, "SCHEMA", projections.SCHEMA + 1)
    assert projections.identity("aa") != before


def test_a_batch_is_found_by_its_key():
    keyed = Draft("", (BatchAppended("ada", "lab", 1, None, "retry-1"), BlobsReclaimed(0, 0)))
    state = given(created(1), keyed, Draft("", (BatchAppended("ada", "lab", 1), BlobsReclaimed(0, 0))))

    assert batches.position_of(state.rows, "retry-1") == 1
    assert batches.position_of(state.rows, "retry-2") is None


def test_the_head_is_the_root_over_all_leaves():
    state = State()
    for number in range(20):
        state.and_then(BlobsReclaimed(number, 0))

        leaves = [record.leaf for record in state.log.records]
        assert projections.tree.head(state.rows) == (number + 1, merkle.root(leaves))


def test_the_cursor_is_where_the_log_was_folded_to():
    state = given(created(1), [Draft("", (BlobsReclaimed(1, 1),)), Draft("", (BlobsReclaimed(2, 2),))])

    assert projections.cursor(state.rows).index == 3
    assert projections.cursor(MemoryTables()) is None


def test_a_cursor_that_cannot_be_read_is_a_contradiction():
    rows = MemoryTables()
    with rows.writing() as out:
        out.put(b"c", b"\xc1")

    with pytest.raises(Contradiction, match="cursor"):
        projections.cursor(rows)


def test_events_that_say_nothing_of_tables_are_passed_over():
    state = given(created(1), RetentionSet("all", "{}"), RecoveryTruncated("0.seg", 1, 2, "x"), BlobsReclaimed(1, 2))

    assert artifact(state).latest == 1


def test_a_blanked_payload_is_passed_over():
    details = Draft("m:v1", (MetadataChanged("m", 1, "{}"),), is_blankable=True)
    state = given(created(1), details).blanked(1)

    assert VERSIONS.expect(state.rows, "m", 1).metadata_position == -1
    with pytest.raises(Damaged, match="record 1 was blanked"):
        state.events(1)


# However it is folded.

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


@examples(max_examples=40)
@for_any(some.lists(some.sampled_from(COMMANDS), max_size=25), some.data())
def test_however_many_batches_are_folded_at_once_the_rows_are_the_same(commands, data):
    state = given(started(), started(OTHER_RUN))
    for command in commands:
        try:
            drafts = decide(command, state)
        except Rejected:
            continue
        if drafts:
            state.and_then(drafts)
    ends = [number + 1 for number, record in enumerate(state.log.records) if record.flags & COMMIT]
    portions = sorted({*data.draw(some.lists(some.sampled_from(ends))), ends[-1]})

    anew = MemoryTables()
    with anew.writing() as out:
        folded(state.log, portions, out)

    assert dict(anew.scan(b"")) == dict(state.tables.scan(b""))
