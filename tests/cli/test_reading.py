"""Commands that ask leave everything as it is: they make no store, and need no right to write."""

import os
from pathlib import Path

import pytest

from given import version
import runicorn_es as rn

QUESTIONS = [
    "list",
    "versions m",
    "show m",
    "files m",
    "lineage m",
    "stats",
    "runs",
    "events",
    "doctor",
    "artifacts",
    "artifacts --action info --name m",
]


@pytest.mark.parametrize("line", [*QUESTIONS, "get m", "alias m p", "unalias m:p", "delete m", "restore m", "rebuild"])
def test_where_there_is_no_store_only_add_makes_one(cli, root, line):
    done = cli(*line.split())
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: there is no store at {root}")
    assert not root.exists()


def test_a_folder_that_is_no_store_stays_what_it_is(cli, root):
    root.mkdir()
    assert cli("list").code == 2
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("line", QUESTIONS)
def test_a_store_that_may_not_be_written_is_read_and_stays_as_it_is(cli, root, monkeypatch, line):
    with rn.open_store(root) as store:
        version(store)
    wanted = cli(*line.split())
    _forbid_writing(monkeypatch)
    before = _everything_in(root)

    done = cli(*line.split())

    assert done.code == 0
    if line != "doctor":
        assert done == wanted
    assert _everything_in(root) == before


def test_a_store_that_may_not_be_written_hands_out_files_elsewhere(cli, root, tmp_path, monkeypatch):
    with rn.open_store(root) as store:
        version(store, b"bytes")
    _forbid_writing(monkeypatch)

    refused = cli("get", "m")

    assert refused.code == 2
    assert refused.err.endswith("hint: say where to: runicorn get m DIR\n")
    assert cli("get", "m", tmp_path / "out").out == f"{tmp_path}/out\n"
    assert (tmp_path / "out" / "model.pth").read_bytes() == b"bytes"


def test_doctor_says_that_a_store_may_not_be_written(cli, root, monkeypatch):
    rn.open_store(root).close()
    _forbid_writing(monkeypatch)
    assert "writable     no" in cli("doctor").lines()


def _forbid_writing(monkeypatch) -> None:
    """Have the system say that this user may not write, which it never says to root."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: access(path, mode) and not mode & os.W_OK)


def _everything_in(folder: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        found[str(path)] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found
