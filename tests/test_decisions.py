"""Every rule of the store: what a command means, given what happened. Without a store and without a disk."""

import pytest

from given import State, given
from runicorn_es import codec, settings
from runicorn_es.commands import (
    DeleteVersion,
    FinishRun,
    LogArtifact,
    NoteRecovery,
    Page,
    RemoveAlias,
    RestoreVersion,
    SetAlias,
    StartRun,
    UseArtifact,
)
from runicorn_es.decisions import decide
from runicorn_es.errors import Conflict, Rejected, Unknown
from runicorn_es.events import (
    AliasRemoved,
    AliasSet,
    DescriptionChanged,
    Draft,
    FileAdded,
    MetadataChanged,
    RecoveryTruncated,
    ReferenceAdded,
    RunFinished,
    RunStarted,
    TagsChanged,
    VersionCreated,
    VersionDeleted,
    VersionPurged,
    VersionRestored,
    VersionUsed,
)
from runicorn_es.names import parse_reference

RUN, OTHER_RUN = "20250901_103015_abc123", "20250902_103015_def456"
DIGEST = bytes(range(32))
FILE = FileAdded("model.pth", DIGEST, 100)
PAGE = Page(bytes([1]) * 32, (FILE,))


def created(number: int = 1, name: str = "m", *, run: str | None = None, digest: bytes = DIGEST) -> VersionCreated:
    return VersionCreated(name, "model", number, run, digest, (), (), 1, 0, 100)


def started(run: str = RUN) -> RunStarted:
    return RunStarted(run, "vision", "resnet", "{}", (), "3.11", ("train.py",), "/home/ada")


def log(name: str = "m", kind: str = "model", **fields: object) -> LogArtifact:
    chosen = {
        "run": None,
        "pages": (PAGE,),
        "references": (),
        "digest": DIGEST,
        "metadata": "{}",
        "tags": (),
        "description": None,
        "aliases": (),
    }
    return LogArtifact(name, kind, **{**chosen, **fields})


def use(text: str = "m:v1", *, run: str = RUN, kind: str | None = None) -> UseArtifact:
    return UseArtifact(run, parse_reference(text), kind)


def set_alias(text: str, alias: str) -> SetAlias:
    return SetAlias(parse_reference(text), alias)


def delete(text: str = "m:v1", *, force: bool = False) -> DeleteVersion:
    return DeleteVersion(parse_reference(text), force=force)


def restore(text: str = "m:v1") -> RestoreVersion:
    return RestoreVersion(parse_reference(text))


def version_in(drafts: list[Draft]) -> VersionCreated:
    [found] = [event for draft in drafts for event in draft.events if isinstance(event, VersionCreated)]
    return found


@pytest.fixture
def three() -> State:
    """Three versions of one artifact."""
    return given(created(1), created(2), created(3))


# Runs.


def test_a_run_starts():
    command = StartRun(RUN, "vision", None, '{"lr":0.1}', ("t",), "3.11", ("a", "b"), "/", "c0ffee", True)

    event = RunStarted(RUN, "vision", None, '{"lr":0.1}', ("t",), "3.11", ("a", "b"), "/", "c0ffee", True)
    # What a purge of the run forgets.
    assert decide(command, given()) == [Draft(RUN, (event,), is_blankable=True)]


def test_a_run_does_not_start_twice():
    command = StartRun(RUN, "vision", None, "{}", (), "3.11", (), "/", None, None)

    with pytest.raises(Conflict, match=f"run '{RUN}' exists already"):
        decide(command, given(started()))


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_a_run_ends(status):
    assert decide(FinishRun(RUN, status), given(started())) == [Draft(RUN, (RunFinished(RUN, status),))]


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_a_run_that_ended_so_already_needs_nothing(status):
    assert decide(FinishRun(RUN, status), given(started(), RunFinished(RUN, status))) == []


def test_a_run_does_not_end_in_another_way_afterwards():
    with pytest.raises(Conflict, match="has ended already, as 'failed'"):
        decide(FinishRun(RUN, "finished"), given(started(), RunFinished(RUN, "failed")))


def test_a_run_that_never_started_does_not_end():
    with pytest.raises(Unknown, match=RUN):
        decide(FinishRun(RUN, "finished"), given(started(OTHER_RUN)))


# Versions.


def test_the_first_version_is_1_and_names_the_record_of_its_page():
    assert decide(log(run=RUN), given(started())) == [
        Draft("m:v1", (FILE,), is_page=True, is_blankable=True),
        Draft("m:v1", (VersionCreated("m", "model", 1, RUN, DIGEST, (1,), (), 1, 0, 100),)),
    ]


def test_the_next_version_is_one_more(three):
    assert version_in(decide(log(), three)).version == 4


@pytest.mark.parametrize("gone", [VersionDeleted, lambda name, number: VersionPurged(name, number, ())])
def test_a_number_that_was_given_is_never_given_again(three, gone):
    for number in (3, 1, 2):
        three.and_then(VersionDeleted("m", number))
    if gone is not VersionDeleted:
        three.and_then(*[gone("m", number) for number in (1, 2, 3)])

    assert version_in(decide(log(), three)).version == 4


def test_artifacts_count_their_versions_each_for_itself(three):
    assert version_in(decide(log("n"), three)).version == 1
    assert version_in(decide(log("m2"), three)).version == 1


def test_an_artifact_with_nothing_in_it_is_refused(three):
    with pytest.raises(Rejected, match="'n' has no files or references; add one"):
        decide(log("n", pages=()), three)


def test_references_alone_are_enough():
    reference = ReferenceAdded("s3://b/k", None, 5)

    assert decide(log(pages=(), references=(reference,)), given()) == [
        Draft("m:v1", (reference,), is_blankable=True),
        Draft("m:v1", (VersionCreated("m", "model", 1, None, DIGEST, (), (0,), 0, 1, 0),)),
    ]


def test_many_references_are_split_over_records():
    references = tuple(ReferenceAdded(f"s3://b/{number}", None, 5) for number in range(600))

    *records, last = decide(log(references=references), given())

    assert [len(draft.events) for draft in records] == [1, 256, 256, 88]
    assert version_in([last]).references == (1, 2, 3)
    assert version_in([last]).reference_count == 600


def test_references_that_say_much_are_split_so_that_each_record_can_be_written():
    wordy = tuple(ReferenceAdded(f"s3://b/{number}", None, 5, f'{{"note":"{number:06000}"}}') for number in range(300))

    drafts = decide(log(references=wordy), given())

    given(drafts)
    assert [event for draft in drafts for event in draft.events if isinstance(event, ReferenceAdded)] == list(wordy)


def test_a_name_belongs_to_one_type(three):
    with pytest.raises(Rejected, match="artifact 'm' is a model; log it with type='model', or choose another name"):
        decide(log(kind="dataset"), three)


def test_a_name_keeps_its_type_when_all_its_versions_are_deleted():
    with pytest.raises(Rejected, match="'m' is a model"):
        decide(log(kind="dataset"), given(created(), VersionDeleted("m", 1)))


def test_a_version_is_not_logged_by_a_run_that_never_started():
    with pytest.raises(Unknown, match=RUN):
        decide(log(run=RUN), given())


def test_sizes_and_counts_are_sums_over_all_pages():
    pages = (
        Page(bytes([1]) * 32, (FileAdded("a", DIGEST, 1), FileAdded("b", DIGEST, 20))),
        Page(bytes([2]) * 32, (FileAdded("c", DIGEST, 300),)),
    )

    made = version_in(decide(log(pages=pages), given()))

    assert (made.file_count, made.size_bytes, made.pages) == (3, 321, (0, 1))


def page_of(*files: FileAdded) -> Page:
    return Page(codec.page_digest(files), files)


def test_a_page_that_the_log_holds_is_named_and_not_written_again():
    same, other = page_of(FILE), page_of(FileAdded("z", DIGEST, 5))
    state = given(decide(log(pages=(same,)), given()))

    drafts = decide(log(pages=(same, other)), state)

    assert [draft.events for draft in drafts if draft.is_page] == [other.files]
    assert version_in(drafts).pages == (0, 2)


def test_a_page_of_another_artifact_is_named_as_well():
    state = given(decide(log("n", pages=(page_of(FILE),)), given()))

    assert version_in(decide(log(pages=(page_of(FILE),)), state)).pages == (0,)


def test_a_page_that_stands_twice_in_a_version_is_written_once():
    page = page_of(FILE)

    drafts = decide(log(pages=(page, page)), given())

    assert len([draft for draft in drafts if draft.is_page]) == 1
    assert version_in(drafts).pages == (0, 0)


def test_metadata_tags_and_description_stand_in_a_record_that_can_be_blanked():
    command = log(metadata='{"a":1}', tags=("s", "t"), description="words")

    *_, version_record, details = decide(command, given())

    assert [type(event) for event in version_record.events] == [VersionCreated]
    assert details == Draft(
        "m:v1",
        (MetadataChanged("m", 1, '{"a":1}'), TagsChanged("m", 1, ("s", "t")), DescriptionChanged("m", 1, "words")),
        is_blankable=True,
    )


def test_an_empty_description_is_one():
    *_, details = decide(log(description=""), given())

    assert details.events == (DescriptionChanged("m", 1, ""),)


def test_details_at_their_limits_can_be_written():
    command = log(
        metadata=f'{{"a":"{"x" * (settings.METADATA_BYTES_MAX - 8)}"}}',
        tags=tuple(f"{number:04}" + "\U0001f600" * 124 for number in range(settings.TAGS_MAX)),
        description="\U0001f600" * settings.DESCRIPTION_CHARACTERS_MAX,
    )

    drafts = decide(command, given())

    # To write them is to encode them, which refuses what does not fit into a record.
    given(drafts)


def test_aliases_are_set_in_the_record_that_makes_the_version(three):
    three.and_then(AliasSet("m", "production", 2))

    *_, record = decide(log(aliases=("production", "best")), three)

    assert record.events[1:] == (AliasSet("m", "production", 4, 2), AliasSet("m", "best", 4, None))


# Use.


def test_a_run_uses_a_version(three):
    three.and_then(started())

    assert decide(use("m:v2"), three) == [Draft("m:v2", (VersionUsed(RUN, "m", 2, "m:v2"),))]


def test_what_was_asked_for_is_recorded_with_what_it_meant(three):
    three.and_then(started(), AliasSet("m", "production", 2))

    assert decide(use("m:production"), three)[0].events == (VersionUsed(RUN, "m", 2, "m:production"),)
    assert decide(use("m"), three)[0].events == (VersionUsed(RUN, "m", 3, "m"),)


def test_a_version_is_used_once_however_it_is_named(three):
    three.and_then(started(), VersionUsed(RUN, "m", 3, "m:v3"))

    assert decide(use("m:latest"), three) == []


def test_another_run_uses_it_for_itself(three):
    three.and_then(started(), started(OTHER_RUN), VersionUsed(RUN, "m", 3, "m:v3"))

    assert len(decide(use("m:v3", run=OTHER_RUN), three)) == 1


def test_a_version_of_another_type_is_refused(three):
    three.and_then(started())

    with pytest.raises(Rejected, match="m:v1 is a model, not a dataset; ask for type='model'"):
        decide(use(kind="dataset"), three)
    assert len(decide(use(kind="model"), three)) == 1


def test_a_version_of_another_type_is_refused_also_when_it_is_used_already(three):
    three.and_then(started(), VersionUsed(RUN, "m", 1, "m:v1"))

    with pytest.raises(Rejected, match="not a dataset"):
        decide(use(kind="dataset"), three)


def test_a_deleted_version_is_not_used(three):
    three.and_then(started(), VersionDeleted("m", 1))

    with pytest.raises(Unknown, match="m:v1 is deleted"):
        decide(use(), three)


def test_a_run_that_never_started_uses_nothing(three):
    with pytest.raises(Unknown, match=RUN):
        decide(use(), three)


# Aliases.


@pytest.mark.parametrize(("expected", "version"), [(0, "m:v1"), (2, "m:v3")])
def test_an_alias_that_is_where_it_was_expected_moves(three, expected, version):
    state = three if expected == 0 else three.and_then(AliasSet("m", "production", expected))
    command = SetAlias(parse_reference(version), "production", expected=expected)

    assert len(decide(command, state)) == 1


@pytest.mark.parametrize(
    ("expected", "message"),
    [(0, "points to v2, and was expected not to exist"), (1, "points to v2, and was expected to point to v1")],
)
def test_an_alias_that_somebody_moved_meanwhile_is_left_where_it_is(three, expected, message):
    command = SetAlias(parse_reference("m:v3"), "production", expected=expected)

    with pytest.raises(Conflict, match=message):
        decide(command, three.and_then(AliasSet("m", "production", 2)))


def test_an_alias_that_was_expected_and_does_not_exist_is_not_set(three):
    with pytest.raises(Conflict, match="does not exist, and was expected to point to v1"):
        decide(SetAlias(parse_reference("m:v3"), "production", expected=1), three)


def test_an_alias_is_set(three):
    assert decide(SetAlias(parse_reference("m:v2"), "production", "better"), three) == [
        Draft("m:v2", (AliasSet("m", "production", 2, None, "better"),))
    ]


def test_an_alias_moves_and_says_from_where(three):
    three.and_then(AliasSet("m", "production", 1))

    assert decide(set_alias("m", "production"), three) == [Draft("m:v3", (AliasSet("m", "production", 3, 1),))]


def test_an_alias_that_points_there_already_needs_nothing(three):
    three.and_then(AliasSet("m", "production", 1), AliasSet("m", "best", 1))

    assert decide(set_alias("m:v1", "production"), three) == []
    assert decide(set_alias("m:best", "production"), three) == []


def test_an_alias_can_be_set_again_after_it_was_removed(three):
    three.and_then(AliasSet("m", "production", 1), AliasRemoved("m", "production", 1))

    assert decide(set_alias("m:v1", "production"), three)[0].events == (AliasSet("m", "production", 1, None),)


@pytest.mark.parametrize("text", ["m:v4", "n", "m:best"])
def test_an_alias_is_not_set_on_what_is_not_there(three, text):
    with pytest.raises(Unknown):
        decide(set_alias(text, "production"), three)


def test_an_alias_is_not_set_on_a_deleted_version(three):
    three.and_then(VersionDeleted("m", 1))

    with pytest.raises(Unknown, match="deleted"):
        decide(set_alias("m:v1", "production"), three)


def test_an_alias_is_removed_and_says_from_where(three):
    three.and_then(AliasSet("m", "production", 2))

    assert decide(RemoveAlias("m", "production", "withdrawn"), three) == [
        Draft("m:v2", (AliasRemoved("m", "production", 2, "withdrawn"),))
    ]


def test_an_alias_of_a_deleted_version_can_be_removed(three):
    three.and_then(AliasSet("m", "production", 2), VersionDeleted("m", 2))

    assert decide(RemoveAlias("m", "production"), three) == [Draft("m:v2", (AliasRemoved("m", "production", 2),))]


def test_an_alias_that_is_not_there_is_not_removed(three):
    three.and_then(AliasSet("m", "production", 2))

    with pytest.raises(Unknown, match="did you mean 'production'"):
        decide(RemoveAlias("m", "producton"), three)
    with pytest.raises(Unknown, match="no artifact named 'n'"):
        decide(RemoveAlias("n", "production"), three)


# Deleting and restoring.


def test_a_version_is_deleted(three):
    assert decide(DeleteVersion(parse_reference("m:v2"), "too large"), three) == [
        Draft("m:v2", (VersionDeleted("m", 2, "too large"),))
    ]


def test_latest_is_deleted_like_any_other(three):
    assert decide(delete("m"), three) == [Draft("m:v3", (VersionDeleted("m", 3),))]


def test_a_deleted_version_is_not_deleted_again(three):
    three.and_then(VersionDeleted("m", 1))

    assert decide(delete(), three) == []


def test_a_version_with_aliases_is_not_deleted_and_they_are_named(three):
    three.and_then(AliasSet("m", "production", 1), AliasSet("m", "best", 1))

    with pytest.raises(Rejected, match=r"m:v1 is in use: alias best, production points to it; .*force=True"):
        decide(delete(), three)
    assert decide(delete(force=True), three) == [Draft("m:v1", (VersionDeleted("m", 1),))]


def test_a_version_is_deleted_once_its_alias_has_moved(three):
    three.and_then(AliasSet("m", "production", 1), AliasSet("m", "production", 2, 1))

    assert len(decide(delete(), three)) == 1


@pytest.fixture
def made_from_it() -> State:
    """A run that used d:v1 and made m:v1 and m:v2."""
    return given(created(name="d"), started(), VersionUsed(RUN, "d", 1, "d"), created(1, run=RUN), created(2, run=RUN))


def test_a_version_from_which_others_were_made_is_not_deleted_and_they_are_named(made_from_it):
    with pytest.raises(Rejected, match=r"d:v1 is in use: made from it: m:v1, m:v2; .*force=True"):
        decide(delete("d:v1"), made_from_it)
    assert len(decide(delete("d:v1", force=True), made_from_it)) == 1


def test_it_is_deleted_once_they_are(made_from_it):
    made_from_it.and_then(VersionDeleted("m", 1), VersionDeleted("m", 2))

    assert len(decide(delete("d:v1"), made_from_it)) == 1


def test_a_version_that_was_only_looked_at_is_deleted():
    state = given(created(name="d"), started(), VersionUsed(RUN, "d", 1, "d"))

    assert len(decide(delete("d:v1"), state)) == 1


def test_all_reasons_are_given_at_once_and_no_more_than_five_of_a_kind():
    state = given(created(name="d"), started(), VersionUsed(RUN, "d", 1, "d"), AliasSet("d", "production", 1))
    state.and_then(*[created(number, run=RUN) for number in range(1, 9)])

    with pytest.raises(
        Rejected, match="alias production points to it; made from it: m:v1, m:v2, m:v3, m:v4, m:v5, …; delete"
    ):
        decide(delete("d:v1"), state)


def test_a_deleted_version_is_restored(three):
    three.and_then(VersionDeleted("m", 2))

    assert decide(RestoreVersion(parse_reference("m:v2"), "needed"), three) == [
        Draft("m:v2", (VersionRestored("m", 2, "needed"),))
    ]


def test_a_version_that_is_there_needs_no_restoring(three):
    assert decide(restore("m:v2"), three) == []


def test_a_purged_version_neither_comes_back_nor_is_deleted_again(three):
    three.and_then(VersionDeleted("m", 2), VersionPurged("m", 2, ()))

    for command in (restore("m:v2"), delete("m:v2"), set_alias("m:v2", "production")):
        with pytest.raises(Unknown, match="m:v2 was purged"):
            decide(command, three)


@pytest.mark.parametrize("command", [delete("m:v4"), restore("m:v4"), delete("n"), restore("n:production")])
def test_what_is_not_there_is_neither_deleted_nor_restored(three, command):
    with pytest.raises(Unknown):
        decide(command, three)


# The rest.


def test_a_recovery_is_noted():
    assert decide(NoteRecovery("0.seg", 12, 34, "0-12-1.bin"), given()) == [
        Draft("", (RecoveryTruncated("0.seg", 12, 34, "0-12-1.bin"),))
    ]


def test_deciding_changes_nothing(three):
    three.and_then(started(), AliasSet("m", "production", 1))
    before = str(three)

    for command in (log(), use(), set_alias("m", "best"), RemoveAlias("m", "production"), delete("m:v2"), restore()):
        decide(command, three)

    assert str(three) == before


def test_carrying_out_twice_what_asks_for_a_state_changes_it_once(three):
    three.and_then(started())

    for command in (use(), set_alias("m", "best"), delete("m:v2"), FinishRun(RUN, "finished")):
        three.and_then(decide(command, three))
        assert decide(command, three) == []
