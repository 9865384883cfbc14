"""The order of what is found, its pages, and what is said beside it."""

import pytest

from given import State
from queries.search.test_answers import log
from runicorn_es import names, queries
from runicorn_es.decisions import decide
from runicorn_es.errors import Rejected
from runicorn_es.events import Draft, MetadataChanged, VersionCreated
from runicorn_es.projections.search import BLOCKS, MARKS


def of(*versions: tuple[str, dict]) -> State:
    state = State()
    for name, metadata in versions:
        state.and_then(decide(log(name, metadata, (), "", None), state))
    return state


def found(state: State, query: str = "", **options: object) -> list[str]:
    return specs(search(state, query, **options))


def search(state: State, query: str = "", **options: object) -> queries.Found:
    return queries.search(state, query, now_ns=10**18, **options)


def specs(answer: queries.Found) -> list[str]:
    return [names.spec(row.name, row.version) for row in answer.rows]


MIXED = (
    ("bert", {"acc": 0.5}),
    ("bert", {"acc": "high"}),
    ("resnet", {}),
    ("resnet", {"acc": True}),
    ("bert", {"acc": [0.1, 2]}),
    ("resnet", {"acc": 0.5}),
    ("bert", {"acc": None}),
)


def test_the_newest_comes_first_unless_asked_otherwise():
    assert found(of(*MIXED))[:3] == ["bert:v4", "resnet:v3", "bert:v3"]
    assert found(of(*MIXED), sort="created")[:3] == ["bert:v1", "bert:v2", "resnet:v1"]


def test_numbers_texts_and_constants_stand_behind_each_other_and_what_has_no_value_comes_last():
    # Of a list its least counts, or its largest; of equal ones the newest comes first.
    upwards = ["bert:v3", "resnet:v3", "bert:v1", "bert:v2", "resnet:v2", "bert:v4", "resnet:v1"]
    downwards = ["resnet:v2", "bert:v2", "bert:v3", "resnet:v3", "bert:v1", "bert:v4", "resnet:v1"]
    assert found(of(*MIXED), sort="acc") == upwards
    assert found(of(*MIXED), sort="-acc") == downwards
    assert found(of(*MIXED), sort="-acc", limit=3) == downwards[:3]


def test_texts_and_counts_of_a_version_order_it():
    assert found(of(*MIXED), sort="name")[:4] == ["bert:v4", "bert:v3", "bert:v2", "bert:v1"]
    assert found(of(*MIXED), sort="-version")[:3] == ["bert:v4", "resnet:v3", "bert:v3"]


@pytest.mark.parametrize("sort", [None, "-acc", "acc", "name"])
def test_a_page_goes_on_where_the_one_before_ended_though_others_write(sort):
    state = of(*MIXED)
    whole = found(state, sort=sort)
    first = search(state, sort=sort, limit=3)

    for number in range(3):
        state.and_then(decide(log("new", {"acc": 0.1 * number + 0.3}, (), "", None), state))

    rest = found(state, "-name:new", sort=sort, after=first.next)
    assert specs(first) + rest == whole


def test_the_last_page_has_no_next():
    answer = search(of(*MIXED), limit=7)
    assert (answer.next, answer.total) == (None, 7)
    assert search(of(*MIXED), limit=6).next is not None


def test_the_end_of_a_page_belongs_to_its_order():
    state = of(*MIXED)
    end = search(state, sort="acc", limit=1).next
    with pytest.raises(Rejected, match="sorted by 'acc', not by '-acc'"):
        search(state, sort="-acc", after=end)


@pytest.mark.parametrize("sort", ["-", ""])
def test_nothing_to_sort_by_is_refused_or_the_default(sort):
    if sort:
        with pytest.raises(Rejected, match="nothing to sort by"):
            search(of(*MIXED), sort=sort)
    else:
        assert found(of(*MIXED), sort=sort) == found(of(*MIXED))


def test_of_each_artifact_only_the_newest_of_what_is_meant():
    state = of(*MIXED)
    assert found(state, newest_of_each=True) == ["bert:v4", "resnet:v3"]
    answer = search(state, "acc:*", newest_of_each=True, limit=1)
    assert (specs(answer), answer.total) == (["bert:v4"], 2)
    assert found(state, "acc>0", newest_of_each=True) == ["resnet:v3", "bert:v3"]


def test_a_key_that_no_version_has_is_said_and_the_field_that_may_be_meant():
    state = of(*MIXED)
    assert search(state, "typ:model").hints == ("no version has 'typ' in its metadata; did you mean type?",)
    assert search(state, "lr<1").hints == ("no version has 'lr' in its metadata",)
    assert search(state, "acc>100").hints == ()
    assert search(state, sort="siz").hints == ("no version has 'siz' in its metadata; did you mean size?",)


def test_a_change_marks_a_card_of_a_block_until_the_block_is_made_anew(monkeypatch):
    monkeypatch.setattr("runicorn_es.settings.SEARCH_BLOCK_RECORDS", 10)
    monkeypatch.setattr("runicorn_es.settings.SEARCH_CHANGES_PER_BLOCK", 2)
    state = of(*[("bert", {"n": number}) for number in range(8)])
    assert len(list(BLOCKS.scan(state.rows))) == 2

    for number, marks in ((1, 1), (2, 0), (3, 1)):
        event = MetadataChanged("bert", number, '{"n":100}')
        state.and_then(Draft(f"bert:v{number}", (event,), is_blankable=True))
        assert len(list(MARKS.scan(state.rows))) == marks
        assert search(state, "n=100").total == number


def test_values_beyond_those_of_messagepack_are_found_in_the_log():
    state = of(("bert", {"big": 10**30, "n": 1}), ("bert", {"big": 10**30 + 1, "n": 2}))
    assert found(state, f"big={10**30 + 1}") == ["bert:v2"]
    assert found(state, f"big>{10**30} n>1", sort="big") == ["bert:v2"]
    end = search(state, sort="-big", limit=1).next
    assert found(state, sort="-big", after=end) == ["bert:v1"]


def test_versions_of_many_gigabytes_are_compared_by_size():
    state = State().and_then(VersionCreated("m", "model", 1, None, bytes(32), (), (), 1, 0, 3 << 30))
    assert found(state, "size>2.5GB") == ["m:v1"]
    assert found(state, "size=3GB") == ["m:v1"]
    assert found(state, "size<3221225472") == []


def test_times_last_as_long_as_they_say():
    state = of(*MIXED)
    assert found(state, "created:1970-01-01T00:00:03Z") == ["resnet:v1"]
    assert found(state, "created<=1970-01-01T00:00:01Z") == ["bert:v1"]
    assert found(state, "created>1970-01-01T00:00Z") == []
    assert len(found(state, "created:1970-01-01T00:00Z")) == 7
    assert search(state, f"age>{10**9 - 3}s").total + search(state, f"age<={10**9 - 3}s").total == 7
