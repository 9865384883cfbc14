"""What takes a record back, and what cannot be taken back."""

import pytest

from given import State, file, given, version
import runicorn_es as rn
from runicorn_es import undoing
from runicorn_es.commands import DeleteVersion, ProtectAlias, RemoveAlias, RestoreVersion, SetAlias, SetRetention, Undo
from runicorn_es.decisions import decide
from runicorn_es.errors import Conflict, Rejected, Unknown
from runicorn_es.events import (
    AliasProtected,
    AliasRemoved,
    AliasSet,
    BatchAppended,
    BlobsReclaimed,
    DescriptionChanged,
    Draft,
    FileAdded,
    MetadataChanged,
    RetentionSet,
    RunFinished,
    RunPurged,
    TagsChanged,
    VersionDeleted,
    VersionPurged,
    VersionRestored,
    VersionUsed,
)
from runicorn_es.names import Reference
from runicorn_es.rules import Rule, Selection
from test_decisions import DIGEST, RUN, created, started


def about(*events: object, subject: str = "m:v1", **flags: bool) -> Draft:
    return Draft(subject, events, **flags)


def state(*events: object) -> State:
    """Three versions of m, in records 0 to 2, and then a batch for each event."""
    versions = (about(created(number), subject=f"m:v{number}") for number in (1, 2, 3))
    return given(*versions, *(one if isinstance(one, Draft) else about(one, subject=_subject(one)) for one in events))


def _subject(event: object) -> str:
    return "" if isinstance(event, AliasProtected | RetentionSet | BlobsReclaimed) else "m:v1"


def opposite(of: State, index: int, *, force: bool = False) -> object:
    [found] = undoing.opposites(of, index, "why", force=force)
    return found


V1, V2 = (Reference("m", f"m:v{number}", version=number) for number in (1, 2))


@pytest.mark.parametrize(
    ("happened", "command"),
    [
        ([AliasSet("m", "a", 1)], RemoveAlias("m", "a", "why")),
        ([AliasSet("m", "a", 1), AliasSet("m", "a", 2, 1)], SetAlias(V1, "a", "why", 2)),
        ([AliasSet("m", "a", 1), AliasRemoved("m", "a", 1)], SetAlias(V1, "a", "why", 0)),
        ([VersionDeleted("m", 1)], RestoreVersion(V1, "why")),
        ([VersionDeleted("m", 1), VersionRestored("m", 1)], DeleteVersion(V1, "why")),
        ([AliasProtected("a", True)], ProtectAlias("a", is_protected=False, reason="why")),
        ([AliasProtected("a", True), AliasProtected("a", False)], ProtectAlias("a", is_protected=True, reason="why")),
        ([RetentionSet("*", '{"keep_last":1}')], SetRetention(Selection("all"), None)),
        (
            [RetentionSet("*", '{"keep_last":1}'), RetentionSet("type:model", "{}"), RetentionSet("*", "{}")],
            SetRetention(Selection("all"), Rule(keep_last=1)),
        ),
    ],
)
def test_what_can_be_taken_back_has_an_opposite(happened, command):
    assert opposite(state(*happened), 2 + len(happened)) == command


@pytest.mark.parametrize(
    ("before", "changed", "nothing"),
    [
        (TagsChanged("m", 1, ("a",)), TagsChanged("m", 1, ("b",)), TagsChanged("m", 1, ())),
        (MetadataChanged("m", 1, '{"a":1}'), MetadataChanged("m", 1, '{"a":2}'), MetadataChanged("m", 1, "{}")),
        (DescriptionChanged("m", 1, "a"), DescriptionChanged("m", 1, "b"), DescriptionChanged("m", 1, "")),
    ],
)
def test_what_was_said_of_a_version_becomes_what_it_was(before, changed, nothing):
    of_another = TagsChanged("m", 2, ("x",))
    after = state(before, of_another, changed)

    assert opposite(after, 5) == Draft("m:v1", (before,), is_blankable=True)
    assert opposite(state(changed), 3) == Draft("m:v1", (nothing,), is_blankable=True)


@pytest.mark.parametrize(
    ("happened", "message"),
    [
        (created(4), "m:v4 was logged; `runicorn-es delete m:v4` hides it"),
        (VersionPurged("m", 1, ()), "m:v1 was purged; what was purged is gone for good"),
        (VersionUsed(RUN, "m", 1, "m"), f"run {RUN} used m:v1; a use is a fact"),
        (started(), f"run {RUN} started"),
        (BlobsReclaimed(1, 2), "it notes something about the store itself"),
        (about(FileAdded("a", DIGEST, 1), is_page=True), "the files of m:v1 were logged"),
    ],
)
def test_what_cannot_be_taken_back_is_refused_in_words(happened, message):
    with pytest.raises(Rejected, match="record 3 cannot be undone") as raised:
        opposite(state(happened), 3)
    assert message in str(raised.value)


@pytest.mark.parametrize("happened", [RunFinished(RUN, "failed"), RunPurged(RUN, ())])
def test_what_a_run_did_is_not_taken_back(happened):
    with pytest.raises(Rejected, match="record 4 cannot be undone"):
        opposite(state(about(started(), subject=RUN), about(happened, subject=RUN)), 4)


def test_what_a_version_was_logged_with_is_not_taken_back_alone():
    logged = given([about(created(1)), about(TagsChanged("m", 1, ("t",)))])

    with pytest.raises(Rejected, match="record 1 cannot be undone: m:v1 was logged with this"):
        opposite(logged, 1)


@pytest.mark.parametrize(
    "happened",
    [
        [AliasSet("m", "a", 1), AliasSet("m", "a", 2, 1), AliasSet("m", "a", 1, 2)],
        [VersionDeleted("m", 1), VersionRestored("m", 1)],
        [TagsChanged("m", 1, ("a",)), TagsChanged("m", 1, ("b",))],
    ],
)
def test_what_was_changed_again_since_is_not_taken_back(happened):
    with pytest.raises(Conflict, match=r"record 3 is not undone: record 4 has changed the same again; .*undo 4"):
        opposite(state(*happened), 3)


@pytest.mark.parametrize("index", [-1, 3, 10**30])
def test_a_record_that_is_not_there_is_unknown(index):
    with pytest.raises(Unknown, match=f"the log has no record {index}; its records are 0 to 2"):
        opposite(state(), index)


def test_a_blanked_record_cannot_be_undone():
    after = state(about(TagsChanged("m", 1, ("a",)), is_blankable=True)).blanked(3)

    with pytest.raises(Rejected, match="record 3 was blanked by a purge"):
        opposite(after, 3)


def test_the_rules_of_a_command_hold_for_taking_back():
    protected = state(AliasSet("m", "a", 1), AliasSet("m", "a", 2, 1), AliasProtected("a", True))
    with pytest.raises(Rejected, match="m:a is protected"):
        decide(Undo(4), protected)
    assert decide(Undo(4, "why", force=True), protected) == [Draft("m:v1", (AliasSet("m", "a", 1, 2, "why"),))]

    in_use = state(VersionDeleted("m", 1), VersionRestored("m", 1), AliasSet("m", "a", 1))
    with pytest.raises(Rejected, match="m:v1 is in use"):
        decide(Undo(4), in_use)


# In a store.


def index_of(store, what: str) -> int:
    return store.history(what)[0].index


def test_an_undo_can_be_undone_and_both_stay_in_the_history(store):
    version(store, b"1", aliases=["production"])
    version(store, b"2")
    store.alias("m:v2", "production")
    moved = index_of(store, "m:production")

    assert store.undo(moved, reason="worse") == (AliasSet("m", "production", 1, 2, "worse"),)
    assert store.get("m:production").version == 1

    store.undo(index_of(store, "m:production"))
    assert store.get("m:production").version == 2
    assert [step.undoes for step in store.history("m:production")] == [moved + 1, moved, None, None]


def test_a_deletion_is_undone_and_the_undo_survives_a_rebuild(store):
    version(store)
    store.delete("m:v1")
    store.undo(index_of(store, "m:v1"))

    assert store.get("m:v1").version == 1
    assert store.rebuild() == []


def test_tags_metadata_and_description_become_what_they_were(store):
    version(store)
    store.set_tags("m:v1", add=["a"])
    store.set_metadata("m:v1", {"x": {"y": 1}})
    store.describe("m:v1", "first")
    for change in (
        lambda: store.set_tags("m:v1", add=["b"], remove=["a"]),
        lambda: store.set_metadata("m:v1", {"x": 2}),
        lambda: store.describe("m:v1", "second"),
    ):
        change()
        store.undo(index_of(store, "m:v1"))

    known = store.get("m:v1").get_metadata()
    assert (known.tags, known.metadata, known.description) == (["a"], {"x": {"y": 1}}, "first")


def test_of_two_who_undo_the_same_one_gets_a_conflict(store):
    version(store, aliases=["production"])
    store.unalias("m:production")
    removed = index_of(store, "m:production")
    store.undo(removed)

    with pytest.raises(Conflict, match="has changed the same again"):
        store.undo(removed)


def test_an_undo_needs_a_store_that_may_be_written(store):
    version(store, aliases=["production"])
    with rn.open_store(store.layout.root, read_only=True) as other, pytest.raises(Rejected, match="read-only"):
        other.undo(3)


def test_an_undo_names_what_it_undoes_in_its_batch(store, tmp_path):
    version(store)
    store.protect("production")
    store.undo(index_of(store, "m:v1") + 1)

    *_, (_, (batch, event)) = store.events()
    assert isinstance(batch, BatchAppended)
    assert (batch.undoes, event) == (3, AliasProtected("production", False))
    assert file(tmp_path / "f").exists()
