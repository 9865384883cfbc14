"""Where the output goes: other alphabets, closed pipes, terminals."""

import io
from pathlib import Path
import subprocess
import sys

import pytest

from given import version
import runicorn_es as rn
from runicorn_es.cli import main, output, progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def printed_in(encoding: str, monkeypatch, *arguments: str) -> bytes:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    assert main(arguments) == 0
    sys.stdout.flush()
    return written.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_where_the_alphabet_has_no_such_mark_it_is_left_out(store, root, monkeypatch, encoding):
    version(store)
    delete = ("artifacts", "--action", "delete", "--name", "m", "--version", "1", "--yes")
    assert printed_in(encoding, monkeypatch, *delete) == b"Soft deleted m:v1\n"


def test_a_name_that_the_alphabet_lacks_is_spelled_by_number(store, root, monkeypatch):
    version(store, name="模型")
    assert rb"\u6a21\u578b" in printed_in("ascii", monkeypatch, "list")
    assert "模型".encode() in printed_in("utf-8", monkeypatch, "list")


def test_a_lineage_is_drawn_with_what_the_alphabet_has(root, tmp_path, monkeypatch):
    with rn.init("p", name="n", storage=root) as run:
        run.log_artifact(rn.Artifact("m", "model").add_reference("s3://b/d"))
    shown = printed_in("ascii", monkeypatch, "lineage", "m").decode().splitlines()
    assert shown[1:3] == ["made from", f"`-- {run.id} (n, finished)"]


def test_a_failure_is_told_also_to_whom_the_output_is_closed(root, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    command = [Path(sys.executable).with_name("runicorn"), "doctor"]
    rn.open_store(root).close()
    (root / "checkpoint").unlink()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        running.stdout.close()
        complaints = running.stderr.read()
    assert running.returncode == 1
    assert complaints == "error: there is no readable checkpoint; whatever is logged next makes a new one\n"


@pytest.mark.parametrize("lines_read", [0, 1])
def test_a_pipe_whose_reader_has_gone_ends_the_program_quietly(store, root, tmp_path, lines_read):
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(600):
        (tree / f"{number:0200}").touch()
    store.log_artifact(rn.Artifact("d", "dataset").add_dir(tree))
    command = [Path(sys.executable).with_name("runicorn"), "files", "d", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        for _ in range(lines_read):
            running.stdout.readline()
        running.stdout.close()
        complaints = running.stderr.read()
    assert (running.returncode, complaints) == (1, b"")


def test_an_error_on_a_terminal_is_coloured(store, root, monkeypatch):
    assert _error_on_a_terminal(monkeypatch).startswith("\x1b[1;31merror:\x1b[0m no artifact")


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_whoever_wants_no_colour_gets_none(store, root, monkeypatch, variable, value):
    assert _error_on_a_terminal(monkeypatch, **{variable: value}).startswith("error: no artifact")


def _error_on_a_terminal(monkeypatch, **environment: str) -> str:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for variable, value in {"TERM": "xterm", **environment}.items():
        monkeypatch.setenv(variable, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["show", "m"]) == 2
    return terminal.getvalue()


def test_a_question_at_a_terminal_does_not_repeat_what_was_typed(store, root, monkeypatch, capsys):
    version(store)
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert main(["artifacts", "--action", "delete", "--name", "m", "--version", "1"]) == 0
    assert capsys.readouterr().out == "Delete m:v1? [y/N] ✅ Soft deleted m:v1\n"


def test_a_long_transfer_shows_bytes_rate_and_time_left_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.shown("adding [m]", lambda: 4 * 1024**2, delay_s=0) as advance:
        advance(1024**2)
        advance(1024**2)
    shown = terminal.getvalue()
    assert "adding [m]" in shown
    assert "2.0/4.0 MiB" in shown
    assert "/s" in shown or "?" in shown
    assert "-:--:--" in shown or "0:00:0" in shown


def test_a_short_transfer_shows_nothing_and_asks_for_no_total(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.shown("adding m", lambda: pytest.fail("nobody needs it"), delay_s=3600) as advance:
        advance(1)
    assert terminal.getvalue() == ""


def test_where_there_is_no_terminal_a_transfer_shows_nothing(monkeypatch, capsys):
    with progress.shown("adding m", lambda: pytest.fail("nobody needs it"), delay_s=0) as advance:
        advance(1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KB"),
        (1024**2 - 1, "1.0 MB"),
        (1536 * 1024**2, "1.5 GB"),
        (5000 * 1024**4, "5000.0 TB"),
    ],
)
def test_a_size_is_shown_in_the_unit_that_people_read(size_bytes, shown):
    assert output.size(size_bytes) == shown
