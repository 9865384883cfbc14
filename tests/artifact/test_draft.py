"""What a user may put into an artifact, and what is refused before anything is stored."""

import os
from pathlib import Path
import socket

import pytest

from given import file
import runicorn_es as rn


@pytest.fixture
def model():
    return rn.Artifact("m", type="model")


@pytest.fixture
def tree(tmp_path):
    """A folder of a few files, two levels deep."""
    for path in ("model.pth", "train.log", "cache/a.tmp", "cache/b.bin", "data/train/x.csv", "data/x.log/y.csv"):
        file(tmp_path / "tree" / path, path.encode())
    return tmp_path / "tree"


def paths(artifact: rn.Artifact) -> list[str]:
    return list(artifact.staged_files)


# Itself.


def test_an_artifact_is_a_draft_until_it_is_logged(model):
    assert (model.name, model.type, model.version, model.full_name, model.is_loaded) == ("m", "model", None, "m", False)


def test_all_that_adds_can_be_chained(model, tmp_path):
    added = (
        model.add_file(file(tmp_path / "f"))
        .add_dir(file(tmp_path / "d" / "g").parent)
        .add_reference("s3://b/k")
        .add_metadata({"a": 1})
        .add_tags("t")
    )

    assert added is model
    assert paths(model) == ["f", "g"]


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "x" * 129])
def test_a_name_that_cannot_be_is_refused_when_the_artifact_is_made(name):
    with pytest.raises(rn.Rejected, match="artifact"):
        rn.Artifact(name, type="model")


def test_a_type_that_is_no_lower_case_word_is_refused():
    with pytest.raises(rn.Rejected, match="lower-case word"):
        rn.Artifact("m", type="Model")


@pytest.mark.parametrize("text", ["x" * (64 * 1024 + 1), "\ud800"], ids=["too long", "no unicode"])
def test_a_description_that_cannot_be_stored_is_refused(text):
    with pytest.raises(rn.Rejected, match="description"):
        rn.Artifact("m", type="model", description=text)


@pytest.mark.parametrize(
    ("description", "metadata", "tags"), [(5, None, ()), (None, 5, ()), (None, ["a"], ()), (None, None, (5,))]
)
def test_values_of_a_wrong_type_are_refused_at_once(description, metadata, tags):
    with pytest.raises((TypeError, ValueError)):
        rn.Artifact("m", type="model", description=description, metadata=metadata).add_tags(*tags)


def test_tags_are_a_sorted_set(model):
    model.add_tags("b", "a").add_tags("b", "e\u0301", "\u00e9")

    assert model.tags == ["a", "b", "\u00e9"]


def test_a_tag_that_cannot_be_leaves_the_others_out_too(model):
    with pytest.raises(rn.Rejected, match="tag"):
        model.add_tags("good", "")

    assert model.tags == []


def test_there_are_at_most_256_tags(model):
    model.add_tags(*map(str, range(256)))

    with pytest.raises(rn.Rejected, match="256"):
        model.add_tags("one more")


# Files.


def test_a_file_has_its_own_name_or_the_one_it_is_given(model, tmp_path):
    path = file(tmp_path / "checkpoint.pth")
    model.add_file(path).add_file(str(path), name="weights/model.pth")

    assert model.staged_files == {"checkpoint.pth": path, "weights/model.pth": path}


def test_a_relative_path_stays_the_same_file_when_the_working_folder_changes(model, tmp_path, monkeypatch):
    file(tmp_path / "f")
    monkeypatch.chdir(tmp_path)
    model.add_file("f")
    monkeypatch.chdir("/")

    assert model.staged_files == {"f": tmp_path / "f"}


def test_a_tilde_is_the_home(model):
    file(Path.home() / "f")

    assert paths(model.add_file("~/f").add_dir("~")) == ["f"]


def test_files_are_in_the_order_of_the_bytes_of_their_paths(model, tmp_path):
    for name in ("b", "a/b", "a.b", "é", "a", "Z", "\U0001f600", "\uffee"):
        model.add_file(file(tmp_path / "x" / str(len(paths(model)))), name=name if name != "a" else "a-")

    assert paths(model) == sorted(paths(model), key=str.encode)


@pytest.mark.parametrize("name", ["/abs", "../up", "a//b", "a\\b", "", "a/", "."])
def test_a_name_that_leads_out_is_refused(model, tmp_path, name):
    with pytest.raises(rn.Rejected, match="path"):
        model.add_file(file(tmp_path / "f"), name=name)

    assert paths(model) == []


def test_a_file_that_is_not_there_is_named_as_it_was_asked_for(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no file 'missing\.pth' to add \(looked for /.*/missing\.pth\)"):
        model.add_file("missing.pth")


def test_a_folder_is_not_added_as_a_file(model, tmp_path):
    with pytest.raises(rn.Rejected, match="is a folder; use add_dir"):
        model.add_file(tmp_path)


@pytest.mark.parametrize("option", [{"mode": "Copy"}, {"mode": "hardlink"}, {"symlinks": "Follow"}])
def test_an_option_that_does_not_exist_is_refused(model, tmp_path, tree, option):
    """A misspelled mode must not turn the user's file into a read-only blob."""
    with pytest.raises(ValueError, match=next(iter(option))):
        model.add_file(file(tmp_path / "f"), **option)
    with pytest.raises(ValueError, match=next(iter(option))):
        model.add_dir(tree, **option)


@pytest.mark.parametrize("add", ["add_file", "add_dir"])
def test_what_is_no_file_is_refused_without_waiting(model, tmp_path, add):
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.open(tmp_path, os.O_RDONLY)
        bound.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)

        for path in (tmp_path / "fifo", tmp_path / "socket", Path("/dev/null")):
            with pytest.raises((rn.Rejected, NotADirectoryError), match=r"not a folder|neither a file nor a folder"):
                getattr(model, add)(path)


# One path, one file.


def test_the_same_file_twice_is_one_file(model, tmp_path):
    path = file(tmp_path / "f")

    assert paths(model.add_file(path).add_file(path)) == ["f"]


def test_two_equal_files_under_one_path_are_one_file(model, tmp_path):
    model.add_file(file(tmp_path / "a" / "f", b"same")).add_file(file(tmp_path / "b" / "f", b"same"))

    assert paths(model) == ["f"]


def test_two_different_files_under_one_path_are_refused_by_name(model, tmp_path):
    one, other = file(tmp_path / "a" / "f", b"one"), file(tmp_path / "b" / "f", b"two")

    with pytest.raises(rn.Rejected, match=rf"the path 'f' in the artifact: {one} and {other}; add one"):
        model.add_file(one).add_file(other)

    assert model.staged_files == {"f": one}


def test_files_that_were_equal_once_are_compared_anew(model, tmp_path):
    """Neither size nor time say that two files are equal."""
    one, other = file(tmp_path / "a" / "f", b"one"), file(tmp_path / "b" / "f", b"one")
    rn.Artifact("n", type="model").add_file(one).add_file(other)
    before = other.stat()
    other.write_bytes(b"two")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))

    with pytest.raises(rn.Rejected, match="two different files"):
        model.add_file(one).add_file(other)


def test_two_names_that_are_one_in_unicode_are_one_path(model, tmp_path):
    composed, decomposed = file(tmp_path / "\u00e9", b"one"), file(tmp_path / "e\u0301", b"two")
    assert not composed.samefile(decomposed)

    with pytest.raises(rn.Rejected, match="two different files"):
        model.add_file(composed).add_file(decomposed)
    with pytest.raises(rn.Rejected, match="two different files"):
        rn.Artifact("n", type="dataset").add_dir(tmp_path)


def test_a_path_is_composed_in_the_artifact_and_found_on_the_disk(store, tmp_path):
    artifact = rn.Artifact("m", type="dataset").add_dir(file(tmp_path / "d" / "e\u0301" / "o\u0308").parents[1])

    assert paths(artifact) == ["\u00e9/\u00f6"]
    store.log_artifact(artifact)
    assert [found.path for found in store.get("m").files()] == ["\u00e9/\u00f6"]


@pytest.mark.parametrize("path", ["a", "a/b"])
def test_a_path_is_not_a_file_and_a_folder_at_once(store, model, tmp_path, path):
    model.add_file(file(tmp_path / "f"), name=path).add_file(file(tmp_path / "g", b"g"), name="a/b/c")

    with pytest.raises(rn.Rejected, match=rf"'{path}' would be a file and, for 'a/b/c', a folder"):
        store.log_artifact(model)
    assert store.artifacts() == []


# Folders.


def test_a_folder_is_added_with_all_below_it(model, tree):
    assert paths(model.add_dir(tree)) == [
        "cache/a.tmp",
        "cache/b.bin",
        "data/train/x.csv",
        "data/x.log/y.csv",
        "model.pth",
        "train.log",
    ]


@pytest.mark.parametrize("name", ["v1", "v1/", "a/b"])
def test_a_folder_is_added_below_a_name(model, tree, name):
    model.add_dir(tree / "data", name=name)

    assert paths(model) == [f"{name.rstrip('/')}/train/x.csv", f"{name.rstrip('/')}/x.log/y.csv"]


@pytest.mark.parametrize(
    ("patterns", "left_out"),
    [
        ([], set()),
        (["*.log"], {"train.log", "data/x.log/y.csv"}),
        (["*.log", "*.tmp"], {"train.log", "data/x.log/y.csv", "cache/a.tmp"}),
        (["cache"], {"cache/a.tmp", "cache/b.bin"}),
        (["cache/"], {"cache/a.tmp", "cache/b.bin"}),
        (["cache/*"], {"cache/a.tmp", "cache/b.bin"}),
        (["cache/*.tmp"], {"cache/a.tmp"}),
        (["data/train"], {"data/train/x.csv"}),
        (["train"], {"data/train/x.csv"}),
        (["x.csv"], {"data/train/x.csv"}),
        (["*/x.csv"], {"data/train/x.csv"}),
        (["[mt]*"], {"model.pth", "train.log", "data/train/x.csv"}),
        (["MODEL.PTH", "missing"], set()),
    ],
)
def test_patterns_leave_files_and_whole_folders_out(model, tree, patterns, left_out):
    everything = paths(rn.Artifact("all", type="dataset").add_dir(tree))

    assert set(everything) - set(paths(model.add_dir(tree, exclude_patterns=patterns))) == left_out


def test_a_single_pattern_may_be_given_as_a_text(model, tree):
    """As a list of characters it would leave everything out, for one of them is a star."""
    assert "model.pth" in paths(model.add_dir(tree, exclude_patterns="*.log"))
    assert "train.log" not in paths(model)


def test_a_folder_that_is_left_out_is_not_even_entered(model, tree, monkeypatch):
    os.mkfifo(tree / "cache" / "fifo")
    (tree / "cache" / "link").symlink_to("/")

    assert "cache/b.bin" not in paths(model.add_dir(tree, exclude_patterns=["cache"]))


def test_empty_folders_are_nothing(model, tmp_path):
    (tmp_path / "d" / "e").mkdir(parents=True)

    assert paths(model.add_dir(tmp_path / "d")) == []


def test_a_folder_that_is_not_there_or_is_none_is_refused(model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder '.*missing' to add"):
        model.add_dir(tmp_path / "missing")
    with pytest.raises(NotADirectoryError, match="use add_file"):
        model.add_dir(file(tmp_path / "f"))


@pytest.mark.parametrize(
    ("make", "called"),
    [
        (os.mkfifo, "a FIFO"),
        (lambda path: path.symlink_to("model.pth"), "a symbolic link"),
        (lambda path: path.symlink_to("."), "a symbolic link"),
        (lambda path: path.symlink_to("nothing"), "a symbolic link"),
        (lambda path: Path(os.fsdecode(os.fsencode(path) + b"\xff")).touch(), "not valid Unicode"),
        (lambda path: Path(f"{path}\n").touch(), "control character"),
        (lambda path: Path(f"{path}\\x").touch(), "backslash"),
    ],
    ids=["fifo", "link to file", "link to folder", "link to nothing", "bytes", "control", "backslash"],
)
def test_one_thing_in_a_folder_that_cannot_be_stored_leaves_all_of_it_out(model, tree, make, called):
    make(tree / "data" / "strange")

    with pytest.raises(rn.Rejected, match=called):
        model.add_dir(tree)

    assert paths(model) == []


def test_a_clash_leaves_the_artifact_as_it_was(model, tree, tmp_path):
    mine = file(tmp_path / "mine", b"another model")
    model.add_file(mine, name="model.pth")

    with pytest.raises(rn.Rejected, match="two different files"):
        model.add_dir(tree)

    assert model.staged_files == {"model.pth": mine}


# Links.


def test_a_link_is_followed_only_on_request(model, tree):
    (tree / "link").symlink_to("model.pth")

    with pytest.raises(rn.Rejected, match="symlinks='follow'"):
        model.add_file(tree / "link")

    assert paths(model.add_file(tree / "link", symlinks="follow")) == ["link"]


def test_a_folder_that_is_a_link_is_followed_only_on_request(model, tree, tmp_path):
    (tmp_path / "link").symlink_to(tree / "data")

    with pytest.raises(rn.Rejected, match="symlinks='follow'"):
        model.add_dir(tmp_path / "link")

    assert len(paths(model.add_dir(tmp_path / "link", symlinks="follow"))) == 2


def test_followed_links_are_stored_as_what_they_point_to(store, tree, tmp_path):
    outside = file(tmp_path / "outside" / "deep" / "f", b"outside").parents[1]
    (tree / "file").symlink_to("model.pth")
    (tree / "folder").symlink_to(outside)
    store.log_artifact(rn.Artifact("m", type="dataset").add_dir(tree, symlinks="follow"))

    with store.get("m").open("folder/deep/f") as opened:
        assert opened.read() == b"outside"
    with store.get("m").open("file") as opened:
        assert opened.read() == b"model.pth"


@pytest.mark.parametrize("where", ["..", "../..", "."])
def test_links_in_circles_are_refused(model, tree, where):
    (tree / "data" / "round").symlink_to(where)

    with pytest.raises(rn.Rejected, match="leads back to a folder above it"):
        model.add_dir(tree, symlinks="follow")


def test_a_link_to_nothing_is_refused_also_when_links_are_followed(model, tree):
    (tree / "data" / "gone").symlink_to("nothing")

    with pytest.raises(rn.Rejected, match="a symbolic link to nothing"):
        model.add_dir(tree, symlinks="follow")


# References.


def test_a_reference_is_kept_with_all_that_is_said_of_it(model):
    model.add_reference("s3://b/k", checksum="sha256:abc", size=150_000_000_000, region="eu", parts=[1, 2])
    model.add_reference("https://example.org/a b?c=d#e")

    first, second = model.staged_references
    assert (first.uri, first.checksum, first.size_bytes) == ("s3://b/k", "sha256:abc", 150_000_000_000)
    assert first.attributes == '{"parts":[1,2],"region":"eu"}'
    assert (second.checksum, second.size_bytes, second.attributes) == (None, None, "{}")


def test_the_same_reference_twice_is_one(model):
    model.add_reference("s3://b/k", size=1).add_reference("s3://b/k", size=1)

    assert len(model.staged_references) == 1


def test_the_same_uri_with_other_values_is_refused(model):
    model.add_reference("s3://b/k", size=1)

    with pytest.raises(rn.Rejected, match="added already with other values"):
        model.add_reference("s3://b/k", size=2)


@pytest.mark.parametrize("uri", ["", " ", "s3://b\n", " s3://b", "s3://\x00", "\ud800"])
def test_what_is_no_uri_is_refused(model, uri):
    with pytest.raises(rn.Rejected, match="not a URI"):
        model.add_reference(uri)


@pytest.mark.parametrize("size", [-1, 1 << 63, 1.5e9, "5", float("nan")])
def test_a_size_is_a_number_of_bytes(model, size):
    with pytest.raises((rn.Rejected, TypeError)):
        model.add_reference("s3://b/k", size=size)


@pytest.mark.parametrize("checksum", [5, b"sha256:abc", "\ud800"])
def test_a_checksum_is_a_text(model, checksum):
    with pytest.raises((rn.Rejected, TypeError)):
        model.add_reference("s3://b/k", checksum=checksum)


def test_an_attribute_that_json_cannot_hold_is_named(model):
    with pytest.raises(rn.Rejected, match=r"attributes of reference 's3://b/k'\['ratio'\] is nan"):
        model.add_reference("s3://b/k", ratio=float("nan"))


# Metadata.


def test_metadata_is_merged_key_by_key(model):
    model.add_metadata({"a": 1, "b": {"c": 2}}).add_metadata({"b": {"d": 3}})

    assert model.metadata == {"a": 1, "b": {"d": 3}}
    assert rn.Artifact("n", type="model", metadata={"a": 1}).metadata == {"a": 1}


def test_metadata_that_cannot_be_stored_leaves_the_rest_as_it_was(model):
    model.add_metadata({"a": 1})

    with pytest.raises(rn.Rejected, match=r"metadata\['b'\]"):
        model.add_metadata({"c": 2, "b": float("inf")})

    assert model.metadata == {"a": 1}


def test_what_the_caller_does_to_a_value_later_does_not_change_the_metadata(model):
    layers = [1, 2]
    model.add_metadata({"layers": layers})
    layers.append(float("nan"))

    assert model.metadata == {"layers": [1, 2]}


def test_what_the_caller_does_to_what_it_is_given_does_not_change_the_artifact(model, tmp_path):
    model.add_file(file(tmp_path / "f")).add_metadata({"a": 1}).add_tags("t").add_reference("s3://b/k")
    for given in (model.metadata, model.tags, model.staged_files, model.staged_references):
        given.clear()

    assert model.metadata
    assert model.tags
    assert model.staged_files
    assert model.staged_references
