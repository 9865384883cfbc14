"""Which records speak of what: found by looking up, and as if every record had been looked at."""

from hypothesis import given as for_any
from hypothesis import settings as examples
from hypothesis import strategies as some
import pytest

from given import State, folded, given
from runicorn_es.events import (
    AliasProtected,
    AliasRemoved,
    AliasSet,
    BatchAppended,
    Draft,
    FileAdded,
    RetentionSet,
    RunPurged,
    TagsChanged,
    VersionPurged,
    VersionUsed,
)
from runicorn_es.projections import mentions
from runicorn_es.tables import MemoryTables
from test_decisions import DIGEST, OTHER_RUN, RUN, created, started

ADA, BOB = BatchAppended("ada", "lab", 1), BatchAppended("bob", "lab", 2, OTHER_RUN)


def found(state: State, listed: bytes, **wanted: object) -> list[int]:
    return list(mentions.indices(state.rows, listed, **wanted))


def about(subject: str, *events: object, **flags: bool) -> Draft:
    return Draft(subject, events, **flags)


def test_an_artifact_is_mentioned_by_what_is_about_its_versions_and_aliases():
    state = given(
        about("m:v1", created(1)),
        about("m:v2", created(2)),
        about("n:v1", created(1, "n")),
        about("m:v2", AliasSet("m", "best", 2, 1)),
        about("m:v2", AliasRemoved("m", "best", 2)),
    )
    of_m = mentions.of_artifact("m")

    assert found(state, of_m) == [0, 1, 3, 4]
    assert found(state, of_m, version=1) == [0, 3]
    assert found(state, of_m, version=2) == [1, 3, 4]
    assert found(state, of_m, mark=mentions.mark_of("best")) == [3, 4]


def test_what_is_about_the_store_is_found_by_what_it_sets():
    state = given(AliasProtected("best", True), RetentionSet("*", "{}"))

    assert found(state, mentions.of_artifact(""), mark=mentions.mark_of("best")) == [0]
    assert found(state, mentions.of_artifact(""), mark=mentions.mark_of("*")) == [1]


def test_a_run_is_mentioned_by_its_own_records_and_those_appended_during_it():
    state = given(
        about(RUN, started()),
        about("m:v1", created(1, run=RUN)),
        about("m:v1", VersionUsed(RUN, "m", 1, "m")),
        about("m:v1", BOB, AliasSet("m", "best", 1)),
    )

    assert found(state, mentions.of_run(RUN)) == [0, 1, 2]
    assert found(state, mentions.of_run(OTHER_RUN)) == [3]


def test_an_actor_is_found_for_all_records_of_a_batch_but_pages():
    page = Draft("m:v1", (FileAdded("a", DIGEST, 1),), is_page=True)
    state = given([page, about("m:v1", ADA, created(1)), about("m:v1", TagsChanged("m", 1, ("t",)))])
    state.and_then(about("", BatchAppended("ada", "gpu", 3), RetentionSet("*", "{}")))

    assert found(state, mentions.of_actor("ada", "lab")) == [1, 2]
    assert [found(state, one) for one in mentions.of_user(state.rows, "ada")] == [[3], [1, 2]]
    assert mentions.of_user(state.rows, "ad") == []


@pytest.mark.parametrize("purge", [RunPurged(RUN, (1,)), VersionPurged("m", 1, (2,))])
def test_what_a_purge_blanks_names_nobody_any_more(purge):
    state = given(about("m:v1", created(1)))
    state.and_then(about(RUN, BatchAppended("ada", "lab", 1, RUN), started(), is_blankable=True))
    tags = about("m:v1", BatchAppended("ada", "lab", 1, RUN), TagsChanged("m", 1, ("t",)), is_blankable=True)
    state.and_then(tags).and_then(about("", purge))

    [gone] = purge.blanked
    assert found(state, mentions.of_actor("ada", "lab")) == [index for index in (1, 2) if index != gone]
    anew = MemoryTables()
    with anew.writing() as out:
        folded(state.blanked(gone).log, [4], out)
    for prefix in (b"H", b"N"):
        assert dict(anew.scan(prefix)) == dict(state.tables.scan(prefix))


@examples(max_examples=50)
@for_any(
    some.lists(some.sampled_from("mno"), min_size=1, max_size=200),
    some.integers(-1, 220),
    some.none() | some.integers(0, 220),
    some.booleans(),
)
def test_a_part_of_a_list_is_what_one_finds_by_looking_at_all(names, after, before, reverse):
    state = given([about(f"{name}:v7") for name in names])
    expected = [i for i, name in enumerate(names) if name == "m" and i > after and (before is None or i < before)]

    listed = found(state, mentions.of_artifact("m"), after=after, before=before, version=7, reverse=reverse)

    assert listed == (expected[::-1] if reverse else expected)
