"""Every answer, from the tables and the records they point to."""

from hypothesis import given as for_any
from hypothesis import settings as examples
from hypothesis import strategies as some
from msgspec.structs import replace
import pytest

from given import State, given
from runicorn_es import codec, queries
from runicorn_es.commands import Page
from runicorn_es.decisions import decide
from runicorn_es.errors import Damaged, Unknown
from runicorn_es.events import (
    AliasSet,
    BlobsReclaimed,
    FileAdded,
    ReferenceAdded,
    VersionCreated,
    VersionDeleted,
    VersionPurged,
    VersionUsed,
)
from runicorn_es.names import parse_reference
from runicorn_es.projections.rows import PURGED, VERSIONS, Contradiction
from test_decisions import DIGEST, OTHER_RUN, RUN, created, log, started


def resolve(state: State, text: str, **options: bool) -> str:
    row = queries.resolve(state, parse_reference(text), **options)
    return f"{row.name}:v{row.version}"


@pytest.fixture
def three() -> State:
    return given(created(1, digest=b"\xaa" * 32), created(2, digest=b"\xab" * 32), created(3, digest=b"\xab" * 32))


# Which version is meant.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("m", "m:v3"),
        ("m:latest", "m:v3"),
        ("m:v1", "m:v1"),
        ("m:V02", "m:v2"),
        ("m:production", "m:v1"),
        ("m@aaaa", "m:v1"),
        ("m@blake3:aaaa", "m:v1"),
        (f"m@{'aa' * 32}", "m:v1"),
        ("m@abab", "m:v3"),
    ],
)
def test_a_version_is_found_by_number_alias_or_digest(three, text, found):
    three.and_then(AliasSet("m", "production", 1))

    assert resolve(three, text) == found


def test_latest_passes_over_deleted_versions(three):
    three.and_then(VersionDeleted("m", 3))
    assert resolve(three, "m") == "m:v2"

    three.and_then(VersionDeleted("m", 1), VersionDeleted("m", 2))
    with pytest.raises(Unknown, match=r"all versions of 'm' are deleted; .*restore"):
        resolve(three, "m")
    assert resolve(three, "m", deleted=True) == "m:v3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n", "no artifact named 'n'"),
        ("m:v4", "'m' has no version v4; its versions are v1 to v3"),
        ("m:v0", "'m' has no version v0"),
        ("m:v999999999999999999", "has no version"),
        ("m:best", "'m' has no alias 'best'"),
        ("m@c0ffee", "no live version of 'm' has a digest that begins with 'c0ffee'"),
    ],
)
def test_what_is_not_there_is_unknown_and_says_what_is(three, text, message):
    with pytest.raises(Unknown, match=message):
        resolve(three, text)


def test_a_digest_of_several_contents_is_refused(three):
    three.and_then(created(4, digest=b"\xaa\xaa" + b"\x00" * 30))

    with pytest.raises(Unknown, match=r"means several versions \(m:v1, m:v4…\); write more digits"):
        resolve(three, "m@aaaa")
    assert resolve(three, "m@aaaa00") == "m:v4"


def test_a_digest_may_end_in_the_middle_of_a_byte_and_hold_zeros():
    state = given(created(1, digest=b"\x00\x1f" + bytes(30)), created(2, digest=b"\x00\x00\x2f" + bytes(29)))

    assert [resolve(state, f"m@{digits}") for digits in ("001f0", "00002")] == ["m:v1", "m:v2"]


def test_a_digest_finds_no_deleted_version(three):
    three.and_then(VersionDeleted("m", 1))

    with pytest.raises(Unknown, match="no live version"):
        resolve(three, "m@aaaa")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("resnet5", "did you mean 'resnet50'"),
        ("RESNET50", "there is 'bert', 'digits', 'resnet50'"),
        ("zzzz", "there is 'bert', 'digits', 'resnet50'"),
    ],
)
def test_an_unknown_name_says_what_exists_nearby(wanted, message):
    state = given(created(name="resnet50"), created(name="bert"), created(name="digits"))

    with pytest.raises(Unknown, match=f"no artifact named '{wanted}'; {message}"):
        resolve(state, wanted)


@pytest.mark.parametrize(("count", "some_names"), [(1, "'a0'"), (3, "'a0', 'a1', 'a2'"), (4, "'a0', 'a1', 'a2', …")])
def test_no_more_than_three_names_are_said(count, some_names):
    state = given(*[created(name=f"a{number}") for number in range(count)])

    with pytest.raises(Unknown) as raised:
        resolve(state, "zzz")
    assert str(raised.value) == f"no artifact named 'zzz'; there is {some_names}"


def test_an_unknown_name_in_an_empty_store_says_so():
    with pytest.raises(Unknown, match="there is none yet"):
        resolve(given(), "m")


def test_an_unknown_alias_says_what_exists_nearby(three):
    three.and_then(AliasSet("m", "production", 1))

    with pytest.raises(Unknown, match="did you mean 'production'"):
        resolve(three, "m:prodution")
    with pytest.raises(Unknown, match="there is 'latest', 'production'"):
        resolve(three, "m:x")


def test_deleted_and_purged_versions_say_what_can_be_done(three):
    three.and_then(VersionDeleted("m", 1), VersionDeleted("m", 2), VersionPurged("m", 2, ()))

    with pytest.raises(Unknown, match="m:v1 is deleted; `runicorn-es restore m:v1` brings it back"):
        resolve(three, "m:v1")
    with pytest.raises(Unknown, match="m:v2 was purged and cannot come back"):
        resolve(three, "m:v2", deleted=True)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_version_whose_row_was_lost_is_a_contradiction_and_not_unknown(three, number):
    with three.tables.writing() as out:
        VERSIONS.delete(out, "m", number)

    with pytest.raises(Contradiction):
        resolve(three, f"m:v{number}")


# Lists.


def test_artifacts_are_by_name_and_only_those_with_a_live_version():
    dataset = VersionCreated("d", "dataset", 1, None, DIGEST, (), (), 1, 0, 7)
    state = given(created(name="b"), created(name="a"), dataset, created(name="c"), VersionDeleted("c", 1))

    assert [row.name for row in queries.artifacts(state)] == ["a", "b", "d"]
    assert [row.name for row in queries.artifacts(state, "dataset")] == ["d"]
    assert queries.artifacts(state, "code") == []


def test_versions_are_oldest_first_and_the_deleted_ones_on_request(three):
    three.and_then(VersionDeleted("m", 2))

    assert [row.version for row in queries.versions(three, "m")] == [1, 3]
    assert [row.version for row in queries.versions(three, "m", deleted=True)] == [1, 2, 3]
    with pytest.raises(Unknown):
        queries.versions(three, "n")


def test_aliases_are_by_name_and_latest_comes_first_though_it_is_computed(three):
    three.and_then(AliasSet("m", "production", 3), AliasSet("m", "best", 3), AliasSet("m", "old", 1))

    assert [row.alias for row in queries.aliases(three, "m")] == ["best", "old", "production"]
    assert queries.aliases_by_version(three, "m") == {3: ["latest", "best", "production"], 1: ["old"]}
    assert queries.aliases_of(three, queries.version(three, "m", 2)) == []


def test_stats_are_sums_and_what_the_pool_saves(three):
    three.and_then(VersionDeleted("m", 1))

    stats = queries.stats(three, pool_bytes=120)

    assert (stats.total.artifacts, stats.total.versions, stats.total.size_bytes) == (1, 2, 200)
    assert list(stats.by_type) == ["model"]
    assert (stats.saved_bytes, stats.saved_share) == (180, 0.6)


def test_an_empty_store_saves_nothing():
    stats = queries.stats(given(), pool_bytes=0)

    assert (stats.saved_bytes, stats.saved_share, stats.by_type) == (0, 0.0, {})


def test_a_pool_that_is_larger_than_what_versions_name_does_not_save_less_than_nothing(three):
    assert queries.stats(three, pool_bytes=10**6).saved_bytes == 0


# Content.


def paged(*paths_of_pages: list[str], **fields: object) -> State:
    """Return a state with m:v1, whose files stand in these pages."""
    pages = []
    for paths in paths_of_pages:
        files = tuple(FileAdded(path, DIGEST, len(path)) for path in paths)
        pages.append(Page(codec.page_digest(files), files))
    return given(decide(log(pages=tuple(pages), **fields), given()))


def row_of(state: State, number: int = 1):
    return queries.version(state, "m", number)


PAGES = ["a", "a/b", "b"], ["b/c", "c/a", "c/b"], ["c/c", "d", "é", "\U0001f600"]
ALL = [path for page in PAGES for path in page]


@pytest.mark.parametrize("prefix", ["", "a", "a/", "b", "c", "c/", "c/c", "d", "e", "é", "\U0001f600", "0", "zz"])
def test_files_are_those_with_a_prefix_in_order(prefix):
    state = paged(*PAGES)

    found = [file.path for file in queries.files(state, row_of(state), prefix=prefix)]

    assert found == [path for path in ALL if path.startswith(prefix)]


@examples(max_examples=60)
@for_any(some.lists(some.text("ab/é", min_size=1, max_size=4), unique=True), some.text("ab/é", max_size=3), some.data())
def test_files_with_any_prefix_are_what_a_filter_would_find(paths, prefix, data):
    paths = sorted(paths, key=str.encode)
    cuts = sorted(data.draw(some.sets(some.integers(1, len(paths) - 1)))) if len(paths) > 1 else []
    pages = [paths[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(paths)], strict=True)] if paths else []
    state = paged(*pages, references=(ReferenceAdded("s3://b/k", None, None),))

    found = [file.path for file in queries.files(state, row_of(state), prefix=prefix)]

    assert found == [path for path in paths if path.startswith(prefix)]
    for path in paths:
        assert queries.file(state, row_of(state), path).path == path


def test_pages_before_a_prefix_are_not_read(monkeypatch):
    state = paged(*[[f"{number:04}/{inner}" for inner in range(3)] for number in range(256)])
    row, read = row_of(state), []
    real = state.page
    monkeypatch.setattr(state, "page", lambda index: (read.append(index), real(index))[1])

    assert len(list(queries.files(state, row, prefix="0200/"))) == 3
    assert len(read) < 20


@pytest.mark.parametrize("path", ALL)
def test_a_file_is_found_by_its_path(path):
    state = paged(*PAGES)

    assert queries.file(state, row_of(state), path) == FileAdded(path, DIGEST, len(path))


@pytest.mark.parametrize("path", ["", "0", "a/", "aa", "zzz", "\U0001f601"])
def test_a_file_that_is_not_there_is_unknown(path):
    state = paged(*PAGES)

    with pytest.raises(Unknown, match="m:v1 has no file"):
        queries.file(state, row_of(state), path)


def test_an_unknown_path_says_what_exists_nearby():
    state = paged(["weights/model.pth"])

    with pytest.raises(Unknown, match=r"did you mean 'weights/model.pth'"):
        queries.file(state, row_of(state), "weights/model.pt")


def test_references_are_in_the_order_they_were_added():
    references = tuple(ReferenceAdded(f"s3://b/{number % 7}{number}", None, number) for number in range(600))
    state = paged(references=references)

    assert tuple(queries.references(state, row_of(state))) == references


def test_what_was_never_said_of_a_version_is_empty():
    state = paged(["a"])
    row = row_of(state)

    assert (queries.metadata(state, row), queries.tags(state, row), queries.description(state, row)) == ({}, [], None)


def test_what_was_said_of_a_version_is_found():
    state = paged(["a"], metadata='{"b":[1,null]}', tags=("s", "t"), description="words")
    row = row_of(state)

    assert queries.metadata(state, row) == {"b": [1, None]}
    assert queries.tags(state, row) == ["s", "t"]
    assert queries.description(state, row) == "words"


def test_a_purged_version_has_nothing_left_to_say():
    state = paged(["a"], metadata='{"b":1}', tags=("t",), description="words")
    state.and_then(VersionDeleted("m", 1), VersionPurged("m", 1, ()))
    row = row_of(state)

    assert row.status == PURGED
    assert (queries.metadata(state, row), queries.tags(state, row), queries.description(state, row)) == ({}, [], None)


def test_a_version_of_which_a_part_was_blanked_without_a_purge_is_damage_and_others_are_not():
    state = paged(["a"], metadata='{"b":1}')
    state.and_then(decide(log(metadata='{"b":2}'), state))
    details = queries.version(state, "m", 1).metadata_position

    state = state.blanked(details)

    with pytest.raises(Damaged, match=f"record {details} was blanked, and no purge says so"):
        queries.resolve(state, parse_reference("m:v1"))
    assert queries.resolve(state, parse_reference("m")).version == 2


def test_a_version_that_was_blanked_by_a_purge_is_purged_and_not_damaged():
    state = paged(["a"], metadata='{"b":1}')
    details = queries.version(state, "m", 1).metadata_position
    state.and_then(VersionDeleted("m", 1), VersionPurged("m", 1, (0, details)))

    state = state.blanked(0, details)

    with pytest.raises(Unknown, match="purged"):
        queries.resolve(state, parse_reference("m:v1"), deleted=True)


def test_a_page_that_was_blanked_without_a_purge_is_damage():
    state = paged(*PAGES).blanked(1)

    with pytest.raises(Damaged, match="record 1 was blanked"):
        list(queries.files(state, row_of(state)))


def test_versions_that_name_a_blob_are_all_found_deleted_ones_too():
    one, other = FileAdded("a", bytes([1]) * 32, 1), FileAdded("b", bytes([2]) * 32, 1)
    pages = {
        name: Page(codec.page_digest(files), files)
        for name, files in {"one": (one,), "both": (one, other), "none": (other,)}.items()
    }
    state = given()
    for name, page in [("m", "one"), ("m", "none"), ("m", "both"), ("n", "one")]:
        state.and_then(decide(log(name, pages=(pages[page],)), state))
    state.and_then(VersionDeleted("n", 1))

    read = []
    real = state.page
    state.page = lambda index: (read.append(index), real(index))[1]

    assert queries.versions_naming(state, bytes([1]) * 32) == ["m:v1", "m:v3", "n:v1"]
    assert len(read) == len(set(read)) == 3
    assert queries.versions_naming(state, bytes([3]) * 32) == []


def test_a_record_that_does_not_hold_what_the_tables_say_is_damage():
    state = given(created(1), BlobsReclaimed(1, 1))

    with pytest.raises(Damaged, match="record 1 holds a VersionCreated, and it holds none"):
        queries.content.event_at(state, 1, VersionCreated)


# Lineage.


def chain() -> State:
    """raw:v1 → run 1 → data:v1 → run 2 → m:v1, m:v2; and m:v1 → run 3 with nothing made of it."""
    runs = [f"2025090{number}_000000_abcdef" for number in (1, 2, 3)]
    state = given(*[started(run) for run in runs], created(1, "raw"))
    state.and_then(VersionUsed(runs[0], "raw", 1, "raw"), created(1, "data", run=runs[0]))
    state.and_then(VersionUsed(runs[1], "data", 1, "data"), created(1, run=runs[1]), created(2, run=runs[1]))
    return state.and_then(VersionUsed(runs[2], "m", 1, "m:v1"))


def lineage(state: State, text: str, **options) -> tuple[dict[str, int], set[tuple[str, str, str]]]:
    found = queries.lineage(state, queries.resolve(state, parse_reference(text), deleted=True), **options)
    ids = {f"2025090{number}_000000_abcdef": f"run {number}" for number in (1, 2, 3)}
    nodes = {ids.get(node.id, node.id): node.distance for node in found.nodes}
    assert len(nodes) == len(found.nodes)
    assert len(set(found.edges)) == len(found.edges)
    return nodes, {
        (ids.get(edge.source, edge.source), edge.kind, ids.get(edge.target, edge.target)) for edge in found.edges
    }


UP = {
    ("raw:v1", "used", "run 1"),
    ("run 1", "produced", "data:v1"),
    ("data:v1", "used", "run 2"),
    ("run 2", "produced", "m:v1"),
}


def test_upstream_is_what_a_version_was_made_from():
    nodes, edges = lineage(chain(), "m:v1", direction="upstream")

    assert nodes == {"m:v1": 0, "run 2": 1, "data:v1": 2, "run 1": 3, "raw:v1": 4}
    assert edges == UP


def test_downstream_is_what_was_made_with_it():
    nodes, edges = lineage(chain(), "raw:v1", direction="downstream")

    assert nodes == {"raw:v1": 0, "run 1": 1, "data:v1": 2, "run 2": 3, "m:v1": 4, "m:v2": 4, "run 3": 5}
    assert edges == UP | {("run 2", "produced", "m:v2"), ("m:v1", "used", "run 3")}


def test_both_is_both():
    nodes, edges = lineage(chain(), "m:v1")

    assert nodes == {"m:v1": 0, "run 2": 1, "data:v1": 2, "run 1": 3, "raw:v1": 4, "run 3": 1}
    assert edges == UP | {("m:v1", "used", "run 3")}


@pytest.mark.parametrize(("depth", "count"), [(0, 1), (1, 3), (2, 5), (3, 5), (None, 5)])
def test_depth_counts_steps_from_version_to_version(depth, count):
    nodes, edges = lineage(chain(), "m:v1", direction="upstream", depth=depth)

    assert len(nodes) == count
    assert len(edges) == count - 1


def test_a_deleted_version_stays_in_the_lineage_and_is_marked():
    state = chain().and_then(VersionDeleted("data", 1))

    found = queries.lineage(state, queries.version(state, "m", 1))

    assert {node.id: node.status for node in found.nodes}["data:v1"] == "deleted"
    assert lineage(state, "data:v1")[0]["m:v1"] == 2


def test_a_run_that_uses_what_it_made_goes_round_once():
    state = given(started(), created(1, run=RUN), VersionUsed(RUN, "m", 1, "m:v1"), created(2, run=RUN))

    nodes, edges = lineage(state, "m:v1")

    assert nodes == {"m:v1": 0, RUN: 1, "m:v2": 2}
    assert edges == {("m:v1", "used", RUN), (RUN, "produced", "m:v1"), (RUN, "produced", "m:v2")}


def test_a_run_is_called_by_its_name_or_else_by_its_project():
    unnamed = replace(started(OTHER_RUN), name=None)
    state = given(started(), unnamed, created(1, run=RUN), VersionUsed(OTHER_RUN, "m", 1, "m"))

    found = queries.lineage(state, queries.version(state, "m", 1))

    assert {(node.id, node.kind, node.label, node.type, node.status) for node in found.nodes} == {
        ("m:v1", "artifact", "m:v1", "model", "ready"),
        (RUN, "run", "resnet", "vision", "running"),
        (OTHER_RUN, "run", "vision", "vision", "running"),
    }


def test_a_version_that_nobody_made_nor_used_stands_alone():
    assert lineage(given(created(1)), "m:v1") == ({"m:v1": 0}, set())


def test_a_long_chain_is_walked_to_its_end():
    state = given(created(1))
    for number in range(1, 400):
        run = f"20250901_000000_{number:06x}"
        state.and_then(started(run), VersionUsed(run, "m", number, "m"), created(number + 1, run=run))

    nodes, _ = lineage(state, "m:v400", direction="upstream")

    assert len(nodes) == 799
    assert nodes["m:v1"] == 798


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 6, 7, 50])
def test_of_a_long_chain_the_nearest_are_shown_and_that_there_are_more(limit):
    state = given(created(1))
    for number in range(1, 5):
        run = f"20250901_000000_{number:06x}"
        state.and_then(started(run), VersionUsed(run, "m", number, "m"), created(number + 1, run=run))

    found = queries.lineage(state, queries.version(state, "m", 5), direction="upstream", limit=limit)

    assert [node.distance for node in found.nodes] == list(range(min(limit, 8) + 1))
    assert found.is_cut is (limit < 8)
    ids = {node.id for node in found.nodes}
    assert all(edge.source in ids and edge.target in ids for edge in found.edges)


def test_artifacts_and_versions_come_in_pages():
    state = given(*(created(number, name) for name in "abc" for number in (1, 2, 3)), VersionDeleted("b", 2))

    assert [row.name for row in queries.artifacts(state, limit=2)] == ["a", "b"]
    assert [row.name for row in queries.artifacts(state, after="b", limit=2)] == ["c"]
    assert [row.name for row in queries.artifacts(state, after="aa")] == ["b", "c"]
    assert [row.version for row in queries.versions(state, "b", after=1)] == [3]
    assert [row.version for row in queries.versions(state, "b", after=1, deleted=True, limit=1)] == [2]
    assert queries.versions(state, "b", after=3) == []


# Runs and records.


def test_runs_are_oldest_first_and_an_unknown_one_says_so():
    state = given(started(OTHER_RUN), started(RUN))

    assert [row.run for row in queries.runs(state)] == [OTHER_RUN, RUN]
    assert [row.run for row in queries.runs(state, after=OTHER_RUN)] == [RUN]
    assert [row.run for row in queries.runs(state, limit=1)] == [OTHER_RUN]
    assert queries.runs(state, "another project") == []
    assert queries.run_started(state, queries.run(state, RUN)).command == ("train.py",)
    with pytest.raises(Unknown, match="no run 'x' in this store"):
        queries.run(state, "x")


def test_history_is_all_records_beyond_an_index_with_their_events():
    state = given(*[BlobsReclaimed(number, 0) for number in range(10)])

    assert [events for _, events in queries.history(state, -1)] == [
        (BlobsReclaimed(number, 0),) for number in range(10)
    ]
    assert [record.index for record, _ in queries.history(state, 6)] == [7, 8, 9]
    assert [record.index for record, _ in queries.history(state, 6, 8)] == [7]
    assert list(queries.history(state, 9)) == []
    assert list(queries.history(state, 100)) == []


def test_a_record_that_stands_where_another_should_is_damage():
    state = given(created(1), created(2))
    state.log.records.reverse()

    with pytest.raises(Damaged, match="record 0 is not where the projections say; record 1 is"):
        state.record(0)


def test_pages_are_told_from_other_records():
    state = paged(["a"], ["b"])

    assert [queries.is_page(record) for record, _ in queries.history(state, -1)] == [True, True, False]


def test_a_record_beyond_the_end_is_an_index_error():
    with pytest.raises(IndexError):
        given(created(1)).record(1)
