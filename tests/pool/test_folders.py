"""Folders opened one below the other, and never through a link."""

import os
from pathlib import Path

import pytest

from given import file
from runicorn_es.errors import Rejected
from runicorn_es.pool.folders import Folders


def content(folders: Folders, path: str) -> bytes:
    folder, name = folders.enter(path)
    descriptor = os.open(name, os.O_RDONLY, dir_fd=folder)
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


@pytest.fixture
def top(tmp_path):
    for path in ("a", "b/c", "b/d/e", "f/d/e", "g"):
        file(tmp_path / "top" / path, path.encode())
    return tmp_path / "top"


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_paths_are_found_in_any_order(top):
    with Folders(top) as folders:
        for path in ("a", "b/c", "b/d/e", "f/d/e", "b/d/e", "g", "b/c", "a"):
            assert content(folders, path) == path.encode()


def test_after_a_folder_that_cannot_be_entered_the_others_can(top):
    (top / "link").symlink_to("b")
    with Folders(top) as folders:
        for path in ("link/c", "b/c/x", "missing/x", "b/d/missing/x"):
            with pytest.raises((Rejected, FileNotFoundError)):
                folders.enter(path)
            assert content(folders, "b/d/e") == b"b/d/e"


def test_no_link_is_followed_wherever_it_leads(top):
    (top / "inside").symlink_to("b")
    (top / "outside").symlink_to(top.parent)
    (top / "b" / "up").symlink_to("..")
    with Folders(top) as folders:
        for path in ("inside/c", "outside/top/a", "b/up/a"):
            with pytest.raises(Rejected, match="is not a folder but a link or a file"):
                folders.enter(path, make=True)


def test_folders_are_made_on_request(top):
    with Folders(top) as folders:
        folders.enter("x/y/z", make=True)
        folders.enter("x/w/z", make=True)

    assert {path.name for path in (top / "x").iterdir()} == {"y", "w"}


def test_nothing_stays_open(top):
    before = open_descriptors()
    with Folders(top) as folders:
        for path in ("b/d/e", "f/d/e", "a"):
            folders.enter(path)
        with pytest.raises(FileNotFoundError):
            folders.enter("b/x/y/z")

    assert open_descriptors() == before


def test_a_folder_that_was_replaced_by_a_link_meanwhile_is_still_the_one_that_was_entered(top, tmp_path):
    file(tmp_path / "evil" / "c", b"evil")
    with Folders(top) as folders:
        folders.enter("b/c")
        (top / "b").rename(top / "moved")
        (top / "b").symlink_to(tmp_path / "evil")

        assert content(folders, "b/c") == b"b/c"
