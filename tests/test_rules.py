"""What people want to be kept: how rules and selections are spelled, and what is due by them."""

from hypothesis import given as examples
from hypothesis import strategies as some
import pytest

from given import State, given
from runicorn_es import queries
from runicorn_es.errors import Rejected
from runicorn_es.events import (
    AliasSet,
    Draft,
    RetentionSet,
    RunStarted,
    TagsChanged,
    VersionCreated,
    VersionDeleted,
    VersionPurged,
    VersionUsed,
)
from runicorn_es.rules import DAY_S, Rule, Selection, parse_selection, parse_span, read_rule, span_text

SECOND_NS = 1_000_000_000
RUN = "20250901_103015_abc123"


def created(version: int, name: str = "m", kind: str = "model", run: str | None = None) -> VersionCreated:
    return VersionCreated(name, kind, version, run, bytes([version]) * 32, (), (), 0, 0, 100)


def due(state: State, now_s: int = 10**6) -> list[tuple[str, str, str]]:
    return [(one.spec, one.action, one.reason) for one in queries.due(state, now_s * SECOND_NS)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("*", Selection("all")),
        ("type:model", Selection("type", "model")),
        ("tag:nightly build", Selection("tag", "nightly build")),
        ("m", Selection("artifact", "m")),
        ("artifact:type", Selection("artifact", "type")),
        ("m:v3", Selection("version", "m", 3)),
        ("version:m:v3", Selection("version", "m", 3)),
    ],
)
def test_a_selection_is_read_and_spelled_in_one_way(text, found):
    assert parse_selection(text) == found
    assert parse_selection(str(found)) == found


@pytest.mark.parametrize("text", ["", "m:production", "type:", "type:Not A Word", "m@abcd", "a/b", "version:m"])
def test_what_selects_nothing_is_refused(text):
    with pytest.raises(Rejected):
        parse_selection(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 30 * DAY_S), ("12h", 43200), ("2w", 14 * DAY_S), ("90 s", 90), ("1Y", 365 * DAY_S)]
)
def test_a_span_is_a_number_and_a_unit(text, seconds):
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "30 days", "1 mo"])
def test_another_span_is_refused(text):
    with pytest.raises(Rejected, match="is not a span of time"):
        parse_span(text)


@examples(some.integers(0, 10**9))
def test_a_span_reads_as_it_is_written(seconds):
    assert parse_span(span_text(seconds)) == seconds


def test_a_rule_says_what_it_keeps():
    assert (
        str(Rule(3, 30 * DAY_S, ("a", "b"), 7 * DAY_S))
        == "keep last 3, younger than 30d, tagged a or b; purge 1w after deletion"
    )
    assert not Rule(purge_after_s=5).deletes


def test_a_rule_of_a_later_release_is_refused_and_not_half_obeyed():
    with pytest.raises(Rejected, match="is not a rule of retention"):
        read_rule('{"keep_last":1,"keep_on_sundays":true}')


def test_without_a_rule_nothing_is_due():
    assert due(given(created(1), created(2))) == []


def test_the_newest_are_kept():
    state = given(*(created(number) for number in range(1, 6)), RetentionSet("artifact:m", '{"keep_last":2}'))

    assert due(state) == [
        ("m:v3", "delete", "2 versions are newer"),
        ("m:v2", "delete", "3 versions are newer"),
        ("m:v1", "delete", "4 versions are newer"),
    ]


def test_the_younger_are_kept():
    # Each batch is a second later than the one before.
    state = given(*(created(number) for number in range(1, 4)), RetentionSet("*", '{"keep_younger_s":8}'))

    assert due(state, now_s=10) == [("m:v2", "delete", "older than 8s"), ("m:v1", "delete", "older than 8s")]


def test_the_tagged_are_kept():
    state = given(created(1), TagsChanged("m", 1, ("keep",)), created(2), created(3))
    state.and_then(RetentionSet("type:model", '{"keep_tagged":["keep","other"]}'))

    assert due(state) == [("m:v2", "delete", "not tagged keep or other")]


def test_one_condition_that_keeps_is_enough():
    state = given(created(1), TagsChanged("m", 1, ("keep",)), created(2), created(3))
    state.and_then(RetentionSet("*", '{"keep_last":2,"keep_tagged":["keep"]}'))

    assert due(state) == []


def test_the_latest_is_kept_unless_a_rule_names_it():
    state = given(created(1), RetentionSet("*", '{"keep_younger_s":1}'))
    assert due(state) == []

    state.and_then(RetentionSet("version:m:v1", '{"keep_younger_s":1}'))
    assert due(state) == [("m:v1", "delete", "older than 1s")]


def test_what_is_named_or_was_used_is_kept_and_it_says_why():
    state = given(RunStarted(RUN, "p", None, "{}", (), "3", (), "/"), created(1), created(2), created(3))
    state.and_then(AliasSet("m", "production", 1), VersionUsed(RUN, "m", 2, "m"), created(1, "n", run=RUN))
    state.and_then(RetentionSet("m", "{}"), RetentionSet("artifact:m", '{"keep_last":1}'))

    assert due(state) == [
        ("m:v2", "keep", "1 version is newer, but made from it: n:v1"),
        ("m:v1", "keep", "2 versions are newer, but alias production points to it"),
    ]


@pytest.mark.parametrize("particular", ["type:model", "tag:t", "artifact:m", "version:m:v1"])
def test_the_most_particular_rule_counts(particular):
    state = given(created(1), TagsChanged("m", 1, ("t",)), created(2), created(3))
    state.and_then(RetentionSet("*", '{"keep_last":1}'), RetentionSet(particular, '{"keep_last":5}'))

    assert "m:v1" not in {spec for spec, _, _ in due(state)}
    [selection, rule] = queries.rule_for(state, queries.version(state, "m", 1))
    assert (selection, rule) == (particular, Rule(5))


def test_deleted_versions_are_purged_after_their_time_and_then_spoken_of_no_more():
    state = given(created(1), created(2), VersionDeleted("m", 1), RetentionSet("*", '{"purge_after_s":5}'))

    assert due(state, now_s=7) == []
    assert due(state, now_s=8) == [("m:v1", "purge", "deleted more than 5s ago")]
    state.and_then(VersionPurged("m", 1, ()))
    assert due(state) == []


def test_a_rule_that_is_ended_is_none():
    state = given(created(1), created(2), RetentionSet("*", '{"keep_last":1}'), RetentionSet("*", "{}"))

    assert due(state) == []
    assert queries.rules(state) == {}


def test_deleted_versions_do_not_count_as_newer():
    state = given(created(1), created(2), created(3), VersionDeleted("m", 2), RetentionSet("*", '{"keep_last":2}'))

    assert due(state) == []


def test_a_rule_can_be_set_for_what_a_draft_says():
    state = given(Draft("", (RetentionSet("tag:t", '{"keep_last":1}'),)))

    assert list(queries.rules(state)) == ["tag:t"]
