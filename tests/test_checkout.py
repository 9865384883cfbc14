"""A folder that holds the files of versions: only what differs is touched, and nothing of the user's is lost."""

import os
from pathlib import Path
import shutil

import pytest

from given import file
import runicorn_es as rn
from runicorn_es import checkout


def log(store, tmp_path, name="m", **files: bytes) -> None:
    artifact = rn.Artifact(name, "dataset")
    for inside, content in files.items():
        path = inside.replace("__", "/")
        artifact.add_file(file(tmp_path / "sources" / name / path, content), path)
    store.log_artifact(artifact)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


@pytest.fixture
def two(store, tmp_path):
    """A store with two versions that have one file in common."""
    log(store, tmp_path, same=b"same", train__a=b"a", gone__b=b"b")
    log(store, tmp_path, same=b"same", train__a=b"A", new__c=b"c")
    return store


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_what_differs_is_touched_and_nothing_else(two, work, mode):
    assert two.checkout("m:v1", work, mode=mode) == checkout.Checkout(3, 0, 0, 0)
    inode = (work / "same").stat().st_ino

    assert two.checkout("m:v2", work, mode=mode) == checkout.Checkout(1, 1, 1, 1)

    assert files_of(work) == {"same": b"same", "train/a": b"A", "new/c": b"c"}
    assert (work / "same").stat().st_ino == inode
    assert not (work / "gone").exists()
    assert two.checkout("m:v1", work, mode=mode) == checkout.Checkout(1, 1, 1, 1)
    assert files_of(work) == {"same": b"same", "train/a": b"a", "gone/b": b"b"}


def test_the_same_again_touches_nothing(two, work, monkeypatch):
    two.checkout("m:v2", work)
    monkeypatch.setattr(os, "link", None)
    monkeypatch.setattr(os, "unlink", None)

    assert two.checkout("m", work) == checkout.Checkout(0, 0, 0, 3)


def test_several_versions_are_together_in_one_folder(two, work, tmp_path):
    log(two, tmp_path, "labels", labels=b"1", same=b"same")
    two.checkout(["m:v2", "labels"], work)
    assert files_of(work) == {"same": b"same", "train/a": b"A", "new/c": b"c", "labels": b"1"}

    two.checkout(["labels"], work)
    assert files_of(work) == {"same": b"same", "labels": b"1"}


@pytest.mark.parametrize("files", [{"same": b"other"}, {"train": b"a file"}, {"same__deep": b"x"}])
def test_versions_that_do_not_go_together_are_refused(two, work, tmp_path, files):
    log(two, tmp_path, "labels", **files)

    with pytest.raises(rn.Rejected, match="m:v2"):
        two.checkout(["m:v2", "labels"], work)

    assert not work.exists()


def test_files_of_the_users_stay(two, work):
    file(work / "notes.txt", b"mine")
    file(work / "train" / "notes.txt", b"mine too")
    two.checkout("m:v1", work)
    two.checkout("m:v2", work)

    assert files_of(work)["notes.txt"] == b"mine"
    assert files_of(work)["train/notes.txt"] == b"mine too"


@pytest.mark.parametrize("mode", ["link", "copy"])
@pytest.mark.parametrize("path", ["train/a", "gone/b"])
def test_a_file_that_was_changed_since_is_neither_replaced_nor_removed(two, work, mode, path):
    two.checkout("m:v1", work, mode=mode)
    (work / path).unlink()
    file(work / path, b"mine")
    before = files_of(work)

    with pytest.raises(rn.Rejected, match=rf"1 files in .* were changed .*{path}"):
        two.checkout("m:v2", work, mode=mode)
    assert files_of(work) == before

    two.checkout("m:v2", work, mode=mode, overwrite=True)
    assert files_of(work) == {"same": b"same", "train/a": b"A", "new/c": b"c"}


def test_a_file_that_is_in_the_way_is_found_before_anything_is_changed(two, work):
    two.checkout("m:v1", work)
    file(work / "new" / "c", b"mine")
    before = files_of(work)

    with pytest.raises(rn.Rejected, match="new/c"):
        two.checkout("m:v2", work)

    assert files_of(work) == before


def test_a_file_that_was_removed_comes_back(two, work):
    two.checkout("m:v1", work)
    (work / "same").unlink()

    assert two.checkout("m:v1", work) == checkout.Checkout(0, 1, 0, 2)
    assert (work / "same").read_bytes() == b"same"


def test_another_mode_is_another_file(two, work):
    two.checkout("m:v1", work)
    two.checkout("m:v1", work, mode="copy")

    file(work / "same", b"mine to change")
    with two.get("m:v1").open("same") as opened:
        assert opened.read() == b"same"


def test_a_checkout_that_died_before_it_was_remembered_is_done_again(two, work, monkeypatch):
    two.checkout("m:v1", work)

    def die(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkout, "_remember", die)
    with pytest.raises(KeyboardInterrupt):
        two.checkout("m:v2", work)
    monkeypatch.undo()

    two.checkout("m:v1", work)
    assert files_of(work)["train/a"] == b"a"
    two.checkout("m:v2", work)
    assert files_of(work)["train/a"] == b"A"


def test_what_is_remembered_may_be_lost(two, work):
    two.checkout("m:v1", work)
    shutil.rmtree(two.layout.checkouts)

    two.checkout("m:v2", work)

    assert files_of(work) == {"same": b"same", "train/a": b"A", "new/c": b"c", "gone/b": b"b"}


def test_a_link_in_the_folder_leads_nowhere(two, work, tmp_path):
    two.checkout("m:v1", work)
    shutil.rmtree(work / "train")
    file(tmp_path / "elsewhere" / "a", b"mine")
    (work / "train").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(rn.Rejected, match="not a folder but a link"):
        two.checkout("m:v2", work)

    assert (tmp_path / "elsewhere" / "a").read_bytes() == b"mine"
