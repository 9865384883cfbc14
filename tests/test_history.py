"""Who changed what, when and why."""

import pytest

from given import file, version
import runicorn_es as rn
from runicorn_es import queries, telling
from runicorn_es.events import AliasProtected, AliasRemoved, AliasSet, VersionCreated, VersionDeleted, VersionPurged
from runicorn_es.queries import View


def kinds(store, what: str, **page: int) -> list[str]:
    return [step.kind for step in store.history(what, **page)]


@pytest.fixture
def moved(store):
    """Two versions of m, production moved between them and away, and something else meanwhile."""
    version(store, b"1")
    version(store, b"2", aliases=["production"])
    version(store, b"1", name="n", aliases=["production"])
    store.alias("m:v1", "production", reason="worse")
    store.unalias("m:production", reason="withdrawn")
    return store


def test_an_alias_tells_where_it_pointed_and_why_also_after_it_was_removed(moved):
    removed, back, first = moved.history("m:production")

    assert removed.event == AliasRemoved("m", "production", 1, "withdrawn")
    assert back.event == AliasSet("m", "production", 1, 2, "worse")
    assert (first.event, first.reason) == (AliasSet("m", "production", 2), None)
    assert removed.index > back.index > first.index


def test_the_protection_of_an_alias_is_part_of_its_history(moved):
    moved.protect("production", reason="agreed")

    assert moved.history("m:production")[0].event == AliasProtected("production", True, "agreed")


def test_a_version_tells_of_itself_and_of_the_aliases_that_came_and_went(moved):
    moved.delete("m:v2", reason="too large")

    assert kinds(moved, "m:v2") == ["delete", "alias", "alias", "version"]
    assert kinds(moved, "m:v1") == ["unalias", "alias", "version"]
    assert kinds(moved, "m") == ["delete", "unalias", "alias", "alias", "version", "version"]
    assert moved.history("m:v2")[0].reason == "too large"


def test_a_history_is_read_in_pages(moved):
    first = moved.history("m", limit=2)
    rest = moved.history("m", before=first[-1].index)

    assert [*first, *rest] == moved.history("m")


def test_a_step_says_who_during_which_run(store, tmp_path):
    with rn.init("p", storage=store.layout.root) as run:
        run.log_artifact(rn.Artifact("m", "model").add_file(file(tmp_path / "f")).add_tags("t"))

    [tags, created] = store.history("m")
    assert (created.run, created.user, created.event.run) == (run.id, tags.user, run.id)
    assert (created.pid, created.host) > (0, "")
    assert created.time.timestamp() == pytest.approx(created.time_ns / 1e9)
    assert [step.kind for step in store.history(run.id)] == ["run-end", "tags", "version", "run"]


def test_a_purged_version_keeps_the_history_that_a_purge_leaves(moved):
    moved.purge("m:v2", reason="request 17")

    purged, deleted, *_, created = (step.event for step in moved.history("m:v2"))
    assert (type(purged), type(deleted), type(created)) == (VersionPurged, VersionDeleted, VersionCreated)
    assert purged.reason == "request 17"


@pytest.mark.parametrize(
    ("what", "message"),
    [("x", "no artifact named 'x'"), ("m:best", "'m' never had an alias 'best'"), ("m:v9", "'m' has no version v9")],
)
def test_what_was_never_there_has_no_history(moved, what, message):
    with pytest.raises(rn.Unknown, match=message):
        moved.history(what)


def test_events_are_chosen_by_artifact_run_and_actor_without_reading_others(moved, monkeypatch):
    with rn.init("p", storage=moved.layout.root) as run:
        run.use_artifact("m:v1")
    user = moved.history("m")[0].user
    every = [record.index for record, _ in moved.events()]
    of_m = [record.index for record, _ in moved.events(artifact="m")]
    of_run = [record.index for record, _ in moved.events(run=run.id)]
    read: list[int] = []
    found = View.record
    monkeypatch.setattr(View, "record", lambda view, index: read.append(index) or found(view, index))

    both = [record.index for record, _ in moved.events(artifact="m", run=run.id, actor=user)]

    assert both == sorted(set(of_m) & set(of_run))
    assert set(read) == set(both)
    assert len(of_run) == 3
    pages = {record.index for record, _ in moved.events() if queries.is_page(record)}
    assert [record.index for record, _ in moved.events(actor=user)] == [i for i in every if i not in pages]
    assert list(moved.events(actor="nobody")) == []


def test_events_between_two_positions_are_those(moved):
    assert [record.index for record, _ in moved.events(since=3, until=5)] == [3, 4]
    assert [record.index for record, _ in moved.events(after=3, since="#3", until="#5")] == [4]
    assert [record.index for record, _ in moved.events(since=0)][:2] == [0, 1]
    assert list(moved.events(artifact="m", since=3, until=3)) == []


def test_a_history_as_of_a_moment_ends_there(moved):
    every = moved.history("m:production")

    assert moved.history("m:production", as_of=every[0].index) == every[1:]
    with pytest.raises(rn.Unknown):
        moved.history("n", as_of=1)


def test_events_of_what_is_not_there_are_refused(moved):
    with pytest.raises(rn.Unknown, match="no run"):
        list(moved.events(run="20250901_103015_abc123"))
    with pytest.raises(rn.Unknown, match="no artifact"):
        list(moved.events(artifact="x"))


def test_the_events_of_a_store_with_a_purged_run_can_be_told(store, tmp_path):

    with rn.init("p", storage=store.layout.root) as run:
        run.log_artifact(rn.Artifact("m", "model").add_file(file(tmp_path / "f")))
    store.purge_run(run.id)

    told = {one.record.index: one.batch.user for one in telling.told(store, -1)}
    assert told[1] == ""
    assert told[max(told)] != ""
