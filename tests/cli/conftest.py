"""The command line in this process: what it prints where, and its exit code."""

from collections.abc import Mapping
import io
import json
import os
from pathlib import Path
import subprocess
import sys
import time
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from runicorn_es.cli import main


class Done(NamedTuple):
    """What one command line did."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return the one JSON document on stdout."""
        return json.loads(self.out)

    def lines(self) -> list[str]:
        """Return the lines on stdout."""
        return self.out.splitlines()


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """The store that commands mean; it is not there yet."""
    monkeypatch.setenv("RUNICORN_DIR", os.fspath(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def cli(root, monkeypatch, capsys):
    """Run one command line; ``answer`` is what comes through a pipe."""

    def run(*arguments: object, answer: str = "") -> Done:
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        code = main([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def program(root):
    """Run the installed program in a process of its own."""

    def run(*arguments: object, env: Mapping[str, str] = MappingProxyType({})) -> subprocess.CompletedProcess[str]:
        command = [Path(sys.executable).with_name("runicorn"), *map(str, arguments)]
        environment = {**os.environ, "PYTHONUTF8": "1", **env}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, input="", check=False, env=environment
        )

    return run


@pytest.fixture
def _in_kolkata(monkeypatch):
    """Let the clock on the wall be 5:30 hours ahead of UTC."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
