"""What changed between two moments."""

import pytest

from given import file, version
import runicorn_es as rn
from runicorn_es import queries


def size(store) -> int:
    with store.reading() as view:
        return queries.head(view)[0]


def test_what_was_made_is_new(store):
    before = size(store)
    version(store)

    found = store.changes(before)

    assert found.artifacts == ["m"]
    assert [(change.spec, change.old, change.new) for change in found.versions] == [("m:v1", None, "ready")]
    assert (found.since, found.until) == (before, size(store))


def test_a_version_that_went_and_came_back_is_told_with_its_steps(store):
    version(store, b"1")
    version(store, b"2")
    before = size(store)
    store.delete("m:v1")
    store.restore("m:v1", reason="needed")
    store.purge("m:v2")

    one, two = store.changes(before).versions
    assert (one.spec, one.old, one.new) == ("m:v1", "ready", "ready")
    assert [step.kind for step in one.steps] == ["delete", "restore"]
    assert (two.spec, two.old, two.new) == ("m:v2", "ready", "purged")


def test_an_alias_is_told_by_where_it_pointed_first_and_last(store):
    for content in (b"1", b"2", b"3"):
        version(store, content)
    store.alias("m:v1", "production")
    before = size(store)
    store.alias("m:v2", "production")
    store.alias("m:v3", "production", reason="best")
    store.alias("m:v1", "tried")
    store.unalias("m:tried")

    moved, tried = store.changes(before).aliases
    assert (moved.alias, moved.old, moved.new) == ("production", 1, 3)
    assert [step.reason for step in moved.steps] == [None, "best"]
    assert (tried.old, tried.new, len(tried.steps)) == (None, None, 2)


def test_runs_rules_and_protection_are_told(store, tmp_path):
    version(store)
    store.set_retention("m", keep_last=1)
    before = size(store)
    with rn.init("p", storage=store.layout.root) as run:
        run.use_artifact("m")
    store.set_retention("m", keep_last=3)
    store.set_retention("*", keep_last=2)
    store.protect("production")

    found = store.changes(before)

    [went] = found.runs
    assert (went.run, went.old, went.new, went.uses) == (run.id, None, "finished", ["m:v1"])
    assert [(rule.selection, rule.old, rule.new) for rule in found.rules] == [
        ("artifact:m", '{"keep_last":1}', '{"keep_last":3}'),
        ("*", None, '{"keep_last":2}'),
    ]
    [protected] = found.protected
    assert (protected.alias, protected.old, protected.new) == ("production", False, True)


def test_what_a_version_was_logged_with_is_no_change_of_it(store, tmp_path):
    artifact = rn.Artifact("m", "model", metadata={"a": 1}).add_tags("t").add_file(file(tmp_path / "f"))
    store.log_artifact(artifact)

    assert store.changes(0).details == []
    assert store.changes(size(store) - 1).details == []


def test_a_part_of_the_log_is_told_and_nothing_of_the_rest(store):
    version(store, b"1")
    middle = size(store)
    version(store, b"2")

    assert [change.spec for change in store.changes(0, middle).versions] == ["m:v1"]
    assert [change.spec for change in store.changes(middle).versions] == ["m:v2"]
    assert store.changes(size(store)).versions == []
    with pytest.raises(rn.Rejected, match="other way round"):
        store.changes(middle, 0)


def test_what_happened_to_the_store_itself_is_told_as_well(store):
    assert [step.kind for step in store.changes(0).others] == ["store"]
