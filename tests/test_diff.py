"""What is different between two versions."""

import hashlib

from hypothesis import given as for_any
from hypothesis import settings as examples
from hypothesis import strategies as some
import pytest

from given import State, file, given
import runicorn_es as rn
from runicorn_es import codec, queries
from runicorn_es.artifact.paging import pages_of
from runicorn_es.decisions import decide
from runicorn_es.events import FileAdded, ReferenceAdded
from runicorn_es.projections.rows import VERSIONS
from runicorn_es.queries import Diff, FileChange, View
from runicorn_es.queries.renames import FolderRename, folder_renames
from runicorn_es.queries.values import leaves, value_changes
from test_decisions import RUN, log, started, use

Tree = dict[str, FileAdded]


def tree(**contents: str) -> Tree:
    return as_tree({path.replace("__", "/").replace("_txt", ".txt"): text for path, text in contents.items()})


def as_tree(contents: dict[str, str]) -> Tree:
    return {path: added(path, contents[path]) for path in sorted(contents)}


def added(path: str, content: str, *, executable: bool = False) -> FileAdded:
    return FileAdded(path, hashlib.sha256(content.encode()).digest(), len(content), executable)


def logged(state: State, files: Tree, **fields: object) -> State:
    pages = tuple(pages_of(files.values()))
    references = fields.get("references", ())
    digest = codec.content_digest([page.digest for page in pages], references)
    return state.and_then(decide(log(pages=pages, digest=digest, **fields), state))


def compare(state: State, **options: int) -> Diff:
    return queries.diff(state, *(VERSIONS.expect(state.rows, "m", number) for number in (1, 2)), **options)


def difference(old: Tree, new: Tree, **options: int) -> Diff:
    return compare(logged(logged(given(started()), old), new), **options)


def said(found: Diff) -> list[tuple[str, str | None, str | None]]:
    return [(one.kind, one.old and one.old.path, one.new and one.new.path) for one in found.files]


# Files.


def test_files_that_came_went_and_changed_are_told_by_their_paths():
    found = difference(tree(a="1", b="2", c="3"), tree(b="2", c="4", d="5"))

    assert said(found) == [("removed", "a", None), ("changed", "c", "c"), ("added", None, "d")]
    assert (found.counts.unchanged, found.counts.old_size, found.counts.new_size, found.size_delta) == (1, 3, 3, 0)
    assert not found.is_empty


def test_a_file_with_the_same_bytes_under_another_path_was_renamed():
    found = difference(tree(old="same", b="1"), tree(new="same", b="1"))

    assert said(found) == [("renamed", "old", "new")]
    assert (found.counts.added, found.counts.removed, found.counts.renamed) == (0, 0, 1)


def test_what_more_came_of_a_renamed_file_are_copies():
    found = difference(tree(a="same"), tree(b="same", c="same"))

    assert said(found) == [("renamed", "a", "b"), ("copied", "a", "c")]
    assert found.files[1].size_delta == 4


@pytest.mark.parametrize(
    ("old", "new", "pairs"),
    [
        (["a/x", "b/y"], ["c/y", "d/x"], [("b/y", "c/y"), ("a/x", "d/x")]),
        (["a/f/n", "b/g/n"], ["c/g/n", "d/f/n"], [("b/g/n", "c/g/n"), ("a/f/n", "d/f/n")]),
        (["a/x", "b/y", "c/z"], ["d/y", "e"], [("b/y", "d/y"), ("a/x", "e")]),
    ],
)
def test_of_many_files_with_the_same_bytes_those_pair_that_are_called_alike(old, new, pairs):
    found = difference(as_tree(dict.fromkeys(old, "same")), as_tree(dict.fromkeys(new, "same")))

    renamed = [change for change in found.files if change.kind == "renamed"]
    assert [(change.old.path, change.new.path) for change in renamed] == pairs


def test_a_file_that_becomes_executable_is_changed():
    old, new = {"a": added("a", "1")}, {"a": added("a", "1", executable=True)}

    [change] = difference(old, new).files
    assert (change.kind, change.has_other_mode, change.size_delta) == ("changed", True, 0)


def test_equal_versions_have_no_difference_but_their_aliases():
    found = difference(tree(a="1"), tree(a="1"))

    assert found.is_empty
    assert (found.files, found.aliases_old, found.aliases_new) == ([], [], ["latest"])


def test_a_limit_cuts_the_list_and_not_the_counts():
    found = difference(tree(a="1", z="9"), as_tree({f"f{number}": str(number) for number in range(20, 40)}), limit=3)

    assert [change.path for change in found.files] == ["a", "f20", "f21"]
    assert (found.counts.added, found.counts.removed, found.is_cut) == (20, 2, True)
    assert difference(tree(a="1"), tree(a="2"), limit=1).is_cut is False


PATHS = some.builds("/".join, some.lists(some.sampled_from("ab"), min_size=1, max_size=3)).map(lambda path: f"{path}.t")
TREES = some.dictionaries(PATHS, some.tuples(some.sampled_from("123"), some.booleans()), max_size=12).map(
    lambda chosen: {path: added(path, chosen[path][0], executable=chosen[path][1]) for path in sorted(chosen)}
)


@examples(max_examples=150)
@for_any(TREES, TREES)
def test_an_old_version_with_the_difference_applied_is_the_new_one(old, new):
    # A version needs a file.
    always = added("always.t", "9")
    old, new = {"always.t": always, **old}, {"always.t": always, **new}
    old, new = ({path: one[path] for path in sorted(one)} for one in (old, new))

    found = difference(old, new)

    assert applied(found.files, old) == new
    kinds = [change.kind for change in found.files]
    counts = found.counts
    assert [kinds.count(kind) for kind in ("added", "removed", "changed", "renamed", "copied")] == [
        counts.added,
        counts.removed,
        counts.changed,
        counts.renamed,
        counts.copied,
    ]
    assert counts.unchanged == sum(old.get(path) == new[path] for path in new)
    assert sum(change.size_delta for change in found.files) == found.size_delta
    assert [change.path for change in found.files] == sorted(change.path for change in found.files)


def applied(changes: list[FileChange], old: Tree) -> Tree:
    files = dict(old)
    for change in changes:
        if change.kind in {"removed", "renamed"}:
            assert change.old is not None
            files.pop(change.old.path)
    for change in changes:
        if change.new is not None:
            digest = bytes.fromhex(change.new.digest.removeprefix("blake3:"))
            if change.kind in {"renamed", "copied"}:
                assert old[change.old.path].digest == digest
            files[change.path] = FileAdded(change.path, digest, change.new.size, change.new.executable)
    return {path: files[path] for path in sorted(files)}


def test_pages_that_both_versions_refer_to_are_not_read(monkeypatch):
    many = {f"{number:06d}": added(f"{number:06d}", str(number)) for number in range(5_000)}
    state = logged(logged(given(started()), many), {**many, "002500": added("002500", "other")})
    read: list[int] = []
    page = View.page
    monkeypatch.setattr(View, "page", lambda view, index: read.append(index) or page(view, index))

    assert [change.path for change in compare(state).files] == ["002500"]
    assert len(read) == 2


def test_a_folder_under_another_name_is_told_as_one():
    renamed = [("a/x/1", "b/x/1"), ("a/x/2", "b/x/2"), ("a/y/1", "b/y/1"), ("t/1", "d/t/1"), ("t/2", "d/t/2")]

    found = folder_renames([*renamed, ("a/x/3", "b/x/4"), ("alone/1", "other/1")])

    assert found == [FolderRename("a", "b", 3), FolderRename("t", "d/t", 2)]


# All else.


VALUES = some.recursive(
    some.none() | some.booleans() | some.integers(0, 2) | some.sampled_from(["a", 1.0]),
    lambda inner: some.lists(inner, max_size=2) | some.dictionaries(some.sampled_from(["a", "b", "a.b"]), inner),
    max_leaves=6,
)
OBJECTS = some.dictionaries(some.sampled_from(["a", "b", "a.b", ""]), VALUES)


@examples(max_examples=200)
@for_any(OBJECTS, OBJECTS)
def test_metadata_with_the_changes_applied_is_the_new_one(old, new):
    found = dict(leaves(old))
    for change in value_changes(old, new):
        if change.kind != "added":
            assert found.pop(change.path) == change.old
        if change.kind != "removed":
            found[change.path] = change.new

    assert found == dict(leaves(new))


def test_metadata_is_told_by_dotted_keys():
    found = value_changes({"val": {"acc": 0.9, "n": 1}, "a.b": 1}, {"val": {"acc": 0.95, "n": True}, "new": [1]})

    assert [(one.kind, one.key, one.old, one.new) for one in found] == [
        ("removed", '"a.b"', 1, None),
        ("added", "new", None, [1]),
        ("changed", "val.acc", 0.9, 0.95),
        ("changed", "val.n", 1, True),
    ]


def test_tags_description_references_and_aliases_are_told():
    state = given(started())
    one, two, three = (ReferenceAdded(f"s3://{name}", None, 1) for name in "abc")
    logged(state, tree(f="1"), tags=("a", "b"), description="old", references=(one, two), aliases=("best",))
    logged(state, tree(f="1"), tags=("b", "c"), references=(ReferenceAdded("s3://b", None, 2), three))

    found = compare(state)

    assert (found.tags_added, found.tags_removed) == (["c"], ["a"])
    assert (found.description.old, found.description.new) == ("old", None)
    assert [(change.kind, change.uri) for change in found.references] == [
        ("removed", "s3://a"),
        ("changed", "s3://b"),
        ("added", "s3://c"),
    ]
    assert (found.aliases_old, found.aliases_new) == (["best"], ["latest"])


def test_inputs_are_those_that_the_runs_had_used_before():
    state = given(started())
    for _ in range(2):
        state.and_then(decide(log("data"), state))
    state.and_then(decide(use("data:v1"), state))
    logged(state, tree(f="1"), run=RUN)
    state.and_then(decide(use("data:v2"), state))
    logged(state, tree(f="2"), run=RUN)

    [change] = compare(state).inputs
    assert (change.name, change.old, change.new) == ("data", ["data:v1"], ["data:v1", "data:v2"])


# Which two.


@pytest.fixture
def three(store, tmp_path):
    for content in (b"1", b"2", b"3"):
        store.log_artifact(rn.Artifact("m", "model").add_file(file(tmp_path / "f", content)))
    return store


def test_a_version_alone_is_compared_with_the_live_one_before(three):
    assert three.diff("m").old == "m:v2"

    three.delete("m:v2")
    assert (three.diff("m").old, three.diff("m:v2").old) == ("m:v1", "m:v1")
    with pytest.raises(rn.Rejected, match="no live version before m:v1; name two versions"):
        three.diff("m:v1")


def test_a_purged_version_cannot_be_compared(three):
    three.purge("m:v1")

    with pytest.raises(rn.Unknown, match="m:v1 was purged"):
        three.diff("m:v1", "m")


def test_versions_of_two_artifacts_can_be_compared(three, tmp_path):
    three.log_artifact(rn.Artifact("n", "model").add_file(file(tmp_path / "f", b"3")))

    assert three.diff("m", "n").is_empty
    assert three.diff("m", "n").aliases_old == ["latest"]


def test_a_version_can_be_compared_with_how_it_was(three):
    with three.reading() as view:
        before = queries.head(view)[0]
    three.set_tags("m:v1", add=["checked"])
    three.alias("m:v1", "production")

    found = three.diff(f"m:v1@{{#{before}}}", "m:v1")
    assert (found.tags_added, found.aliases_new, found.files) == (["checked"], ["production"], [])
    assert three.diff("m:v1", "m:v2", as_of=before).aliases_old == []
    assert three.diff("m:v1", "m:v2").aliases_old == ["production"]
