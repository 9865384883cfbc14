"""What can be known of the program that runs: its interpreter, command line, folder, and the state of its code."""

import os
from pathlib import Path
import platform
import subprocess
import sys

import msgspec

_GIT_WAIT_S = 5.0


class Program(msgspec.Struct, frozen=True):
    """A running program.

    folder: empty when it was removed meanwhile. git_commit: None outside a repository. git_dirty: None there as well,
    and when git takes too long.
    """

    python: str
    command: tuple[str, ...]
    folder: str
    git_commit: str | None
    git_dirty: bool | None


def this_program() -> Program:
    """Return what can be known of the program that calls."""
    try:
        folder = _printable(str(Path.cwd()))
    except FileNotFoundError:
        folder = ""
    commit = _git("rev-parse", "--verify", "--quiet", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no") if commit else None
    return Program(
        platform.python_version(),
        tuple(_printable(word) for word in sys.orig_argv),
        folder,
        commit or None,
        None if changes is None else bool(changes),
    )


def _git(*arguments: str) -> str | None:
    # GIT_OPTIONAL_LOCKS: asking for the state must not write into the user's repository.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_WAIT_S,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _printable(text: str) -> str:
    # A path or argument that is not UTF-8 comes with lone surrogates, which no event can hold.
    return text.encode(errors="surrogateescape").decode(errors="replace")
