"""Tags, descriptions and metadata that change after a version was logged: rules, store, and what a purge forgets."""

import pytest

from given import State, given, version
import runicorn_es as rn
from runicorn_es import settings
from runicorn_es.commands import Describe, SetMetadata, SetTags
from runicorn_es.decisions import decide
from runicorn_es.events import (
    BatchAppended,
    DescriptionChanged,
    Draft,
    MetadataChanged,
    TagsChanged,
    VersionCreated,
    VersionDeleted,
)
from runicorn_es.names import parse_reference

V1 = parse_reference("m:v1")


def detail(event) -> Draft:
    return Draft("m:v1", (event,), is_blankable=True)


@pytest.fixture
def tagged() -> State:
    """A version with tags, metadata and a description."""
    return given(
        VersionCreated("m", "model", 1, None, bytes(32), (), (), 1, 0, 100),
        detail(TagsChanged("m", 1, ("a", "b"))),
        detail(MetadataChanged("m", 1, '{"lr":1,"train":{"epochs":3}}')),
        detail(DescriptionChanged("m", 1, "first")),
    )


def test_tags_are_added_and_taken_away(tagged):
    assert decide(SetTags(V1, ("c",), ("a",)), tagged) == [detail(TagsChanged("m", 1, ("b", "c")))]


@pytest.mark.parametrize("command", [SetTags(V1, ("a",)), SetTags(V1, (), ("z",)), SetTags(V1)])
def test_tags_that_are_so_already_need_nothing(tagged, command):
    assert decide(command, tagged) == []


def test_a_version_has_only_so_many_tags(tagged):
    tags = tuple(f"tag{number:03}" for number in range(settings.TAGS_MAX - 1))
    with pytest.raises(rn.Rejected, match="257 tags, at most 256"):
        decide(SetTags(V1, tags), tagged)
    assert decide(SetTags(V1, tags, ("a",)), tagged)


def test_keys_of_metadata_are_set_and_the_others_stay(tagged):
    [draft] = decide(SetMetadata(V1, '{"lr":2,"new":null}'), tagged)
    assert draft == detail(MetadataChanged("m", 1, '{"lr":2,"train":{"epochs":3},"new":null}'))


def test_keys_are_taken_away_by_their_dotted_names_before_others_are_set(tagged):
    [draft] = decide(SetMetadata(V1, '{"lr":3}', ("train.epochs", "lr", "nothing")), tagged)
    assert draft == detail(MetadataChanged("m", 1, '{"train":{},"lr":3}'))


@pytest.mark.parametrize("value", ["1.0", "true"])
def test_a_value_of_another_type_is_another_value(tagged, value):
    assert decide(SetMetadata(V1, f'{{"lr":{value}}}'), tagged)


def test_metadata_that_is_so_already_needs_nothing(tagged):
    assert decide(SetMetadata(V1, '{"lr":1}', ("nothing",)), tagged) == []


def test_metadata_grows_only_so_large(tagged):
    large = "x" * (settings.METADATA_BYTES_MAX - 20)
    with pytest.raises(rn.Rejected, match="metadata of m:v1 would take"):
        decide(SetMetadata(V1, f'{{"large":"{large}"}}'), tagged)


def test_a_description_is_set_and_taken_away(tagged):
    assert decide(Describe(V1, "second"), tagged) == [detail(DescriptionChanged("m", 1, "second"))]
    assert decide(Describe(V1, ""), tagged) == [detail(DescriptionChanged("m", 1, ""))]
    assert decide(Describe(V1, "first"), tagged) == []


@pytest.mark.parametrize("command", [SetTags(V1, ("c",)), Describe(V1, "x"), SetMetadata(V1, '{"a":1}')])
def test_of_a_deleted_version_nothing_is_changed(tagged, command):
    with pytest.raises(rn.Unknown, match="restore m:v1"):
        decide(command, tagged.and_then(VersionDeleted("m", 1)))


def test_a_store_keeps_what_was_changed_and_who_did_it(store):
    version(store)

    store.set_tags("m", add=["checked", "new"], remove="old")
    store.set_metadata("m:v1", {"val_acc": 0.9}, remove="lr")
    store.describe("m:v1", "größer")

    found = store.get("m")
    assert (found.tags, found.metadata, found.description) == (["checked", "new"], {"val_acc": 0.9}, "größer")
    changes = [events for _, events in store.events(2)]
    assert [type(events[0]) for events in changes] == [BatchAppended] * len(changes)
    store.describe("m", None)
    assert store.get("m").description is None
    assert store.audit(tables=True).findings == []


def test_what_cannot_be_stored_is_refused(store):
    version(store)
    for change in (
        lambda: store.set_tags("m", add=["a\n"]),
        lambda: store.set_tags("m", add=["a", "b"], remove=["b"]),
        lambda: store.set_metadata("m", {"a": float("nan")}),
        lambda: store.set_metadata("m", [1]),
        lambda: store.describe("m", "x" * 100_000),
        lambda: store.describe("m", 7),
        lambda: store.set_tags("m:v2", add=["a"]),
    ):
        with pytest.raises(rn.Rejected):
            change()
    assert store.get("m").tags == []


def test_a_batch_changes_what_it_logs(store, tmp_path):
    (tmp_path / "f").write_bytes(b"1")
    with store.batch() as batch:
        batch.log_artifact(rn.Artifact("m", "model", metadata={"lr": 1}).add_file(tmp_path / "f"))
        batch.set_tags("m:v1", add=["a"])
        batch.describe("m:v1", "text")
        batch.set_metadata("m:v1", {"acc": 2})

    found = store.get("m")
    assert (found.tags, found.description, found.metadata) == (["a"], "text", {"lr": 1, "acc": 2})


def test_a_purge_forgets_all_earlier_texts(store):
    version(store)
    version(store, name="other")
    for number in range(3):
        store.set_tags("m:v1", add=[f"secret-tag-{number}"], remove=[f"secret-tag-{number - 1}"])
        store.describe("m:v1", f"secret-text-{number}")
        store.set_metadata("m:v1", {f"secret-key-{number}": 1}, remove=[f"secret-key-{number - 1}"])

    store.purge("m:v1")

    left = [path for path in store.layout.root.rglob("*") if path.is_file() and b"secret-" in path.read_bytes()]
    assert left == []
    assert store.audit(deep=True, tables=True).findings == []
