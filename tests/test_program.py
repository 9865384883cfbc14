"""What a run records of the program that runs."""

import os
from pathlib import Path
import platform
import stat
import subprocess
import sys

import pytest

from given import file
from runicorn_es.program import this_program


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit, as the working folder."""
    folder = tmp_path / "repository"
    file(folder / "train.py", b"print()")
    monkeypatch.chdir(folder)
    for variable in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(variable)
    git("init", "-q")
    git("add", "train.py")
    git("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-q", "-m", "first")
    return folder


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def test_the_interpreter_command_line_and_folder_are_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "orig_argv", ["python", "train.py", "--lr", "0.1"])

    program = this_program()

    assert program.python == platform.python_version()
    assert program.command == ("python", "train.py", "--lr", "0.1")
    assert program.folder == str(tmp_path)


def test_a_clean_repository_is_known_by_its_commit(repository):
    program = this_program()

    assert (program.git_commit, program.git_dirty) == (git("rev-parse", "HEAD"), False)


def test_a_repository_is_known_from_a_folder_in_it(repository, monkeypatch):
    (repository / "deep").mkdir()
    monkeypatch.chdir(repository / "deep")

    assert this_program().git_commit == git("rev-parse", "HEAD")


@pytest.mark.parametrize("change", [lambda: Path("train.py").write_text("print(1)"), lambda: Path("train.py").unlink()])
def test_a_changed_repository_is_dirty(repository, change):
    change()

    assert this_program().git_dirty is True


def test_files_that_git_does_not_track_make_nothing_dirty(repository):
    file(repository / "model.pth")

    assert this_program().git_dirty is False


def test_asking_writes_nothing_into_the_repository(repository):
    os.utime("train.py")
    before = (repository / ".git" / "index").stat()

    this_program()

    after = (repository / ".git" / "index").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_a_repository_without_a_commit_has_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git("init", "-q")

    program = this_program()

    assert (program.git_commit, program.git_dirty) == (None, None)


def test_outside_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    program = this_program()

    assert (program.git_commit, program.git_dirty) == (None, None)


def test_without_git_there_is_no_commit(repository, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    assert this_program().git_commit is None


def test_a_git_that_hangs_is_not_waited_for(repository, monkeypatch, tmp_path):
    from runicorn_es import program

    fake = file(tmp_path / "bin" / "git", b"#!/bin/sh\nexec sleep 60\n")
    fake.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(program, "_GIT_WAIT_S", 0.05)

    assert this_program().git_commit is None


def test_a_working_folder_that_was_removed_is_no_reason_not_to_run(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert isinstance(this_program().folder, str)


def test_what_is_not_unicode_is_recorded_readably(tmp_path, monkeypatch):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff"))
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "orig_argv", ["python", os.fsdecode(b"\xff.py")])

    program = this_program()

    assert program.folder == f"{tmp_path}/bad\N{REPLACEMENT CHARACTER}"
    assert program.command == ("python", "\N{REPLACEMENT CHARACTER}.py")
