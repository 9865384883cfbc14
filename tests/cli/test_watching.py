"""``watch`` and ``consumers``: a command for each event, tried again, given up, and interrupted."""

import json
import os
from pathlib import Path
import signal
import subprocess
import sys

import pytest

from given import version
from runicorn_es import consumers
from runicorn_es.cli import handler

AT_ONCE = ("--timeout", "0s", "--backoff", "0s")


@pytest.fixture
def told(store, tmp_path):
    """Return the lines that commands have put into a file."""
    version(store, aliases=["production"])
    version(store, b"other", aliases=["production"])

    def lines() -> list[str]:
        path = tmp_path / "told"
        return path.read_text().splitlines() if path.exists() else []

    return lines


def watch(cli, *arguments: object, on: str = "alias:production"):
    return cli("watch", "--on", on, *AT_ONCE, *arguments)


def test_the_command_is_told_the_event_on_stdin_and_in_its_environment(cli, told, tmp_path):
    said = "$RUNICORN_EVENT $RUNICORN_ARTIFACT:v$RUNICORN_VERSION $RUNICORN_ALIAS from ${RUNICORN_PREVIOUS-nowhere}"
    done = watch(cli, "--from", "start", "--exec", f'cat > {tmp_path}/event; echo "{said}" >> {tmp_path}/told')

    assert (done.code, done.out, done.err) == (0, "", "")
    assert told() == ["alias m:v1 production from nowhere", "alias m:v2 production from 1"]
    assert (tmp_path / "event").read_text() == cli("events", "--json", "--after", "3").lines()[-1] + "\n"


def test_the_command_finds_the_store_that_is_watched(cli, told, tmp_path, monkeypatch):
    monkeypatch.delenv("RUNICORN_DIR")
    assert watch(cli, "--store", tmp_path / "store", "--from", "3", "--exec", f"env > {tmp_path}/told").code == 0
    assert {f"RUNICORN_DIR={tmp_path}/store", "RUNICORN_INDEX=4", "RUNICORN_ATTEMPT=1"} <= set(told())


def test_it_begins_with_what_comes_or_where_one_says(cli, told, tmp_path):
    for begin in ([], ["--from", "now"], ["--from", "4"], ["--from", "start"]):
        watch(cli, *begin, "--exec", f"echo {begin[-1:]} >> {tmp_path}/told")
    assert told() == ["[4]", "[start]", "[start]"]


def test_a_command_that_fails_is_tried_again(cli, told, tmp_path):
    done = watch(cli, "--from", "4", "--exec", f"echo $RUNICORN_ATTEMPT >> {tmp_path}/told; test $RUNICORN_ATTEMPT = 3")
    assert (done.code, told()) == (0, ["1", "2", "3"])
    assert done.err.splitlines()[1:] == ["warning: record 4, alias: attempt 2 of 5: exit code 1"]


def test_the_pauses_between_attempts_grow_up_to_a_minute(cli, told, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(handler.time, "sleep", pauses.append)
    watch(cli, "--from", "4", "--backoff", "9s", "--attempts", "6", "--exec", "false")
    assert pauses == [9, 18, 36, 60, 60]


def test_given_up_it_ends_and_a_consumer_meets_the_event_again(cli, told, tmp_path):
    record = f"echo $RUNICORN_VERSION >> {tmp_path}/told"
    done = watch(
        cli, "--consumer", "c", "--from", "start", "--attempts", "2", "--exec", f"{record}; test $RUNICORN_VERSION = 1"
    )
    assert (done.code, told()) == (1, ["1", "2", "2"])
    assert "error: the command failed 2 times for record 4\nhint: `runicorn watch --from 4" in done.err

    assert watch(cli, "--consumer", "c", "--exec", record).code == 0
    assert watch(cli, "--consumer", "c", "--exec", record).code == 0
    assert told() == ["1", "2", "2", "2"]


def test_with_dead_letters_it_goes_on_and_keeps_what_failed(cli, told, tmp_path):
    letters = tmp_path / "letters"
    record = f"echo $RUNICORN_VERSION >> {tmp_path}/told; test $RUNICORN_VERSION = 2"
    arguments = ("--consumer", "c", "--from", "start", "--attempts", "1", "--dead-letters", letters)

    done = watch(cli, *arguments, "--exec", record, "--json")

    outcomes = [(line["index"], line["outcome"], line["exit_code"]) for line in map(json.loads, done.lines())]
    assert (done.code, told()) == (0, ["1", "2"])
    assert outcomes == [(2, "put aside", 1), (4, "done", 0)]
    assert [json.loads(line)["index"] for line in letters.read_text().splitlines()] == [2]
    assert json.loads(cli("consumers", "--json").out)["consumers"][0]["index"] == 4


def test_a_command_that_a_signal_ends_is_said_to_be_so(cli, told):
    done = watch(cli, "--from", "4", "--attempts", "1", "--exec", "kill -KILL $$")
    assert "attempt 1 of 1: killed by SIGKILL" in done.err


def test_a_command_need_not_read_what_it_is_told(cli, told):
    assert watch(cli, "--from", "start", "--exec", "exec 0<&-; true").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--on", "alais:x"], "error: 'alais:x' says not what to hear of; did you mean 'alias:x'"),
        (["--from", "later"], "error: --from 'later' is neither 'now', 'start' nor the index of a record"),
        (["--from", "99"], "error: there is no record 98; the log ends with record 4"),
        (["--backoff", "soon"], "error: 'soon' is not a span of time"),
        (["--attempts", "0"], "error: Invalid value for '--attempts'"),
        (["--consumer", "a/b"], "error: consumer name 'a/b' may have"),
    ],
)
def test_what_cannot_be_met_is_said_before_anything_is_run(cli, told, arguments, message):
    done = cli("watch", *arguments, "--exec", "exit 9")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(message)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_it_ends_the_command_and_leaves_the_event_unacknowledged(cli, told, number):
    program = Path(sys.executable).with_name("runicorn")
    command = "exec 2>/dev/null; trap 'echo ended; exit' TERM; echo $$; while :; do sleep 0.01; done"
    watching = [program, "watch", "--consumer", "c", "--from", "start", "--exec", command]
    with subprocess.Popen(watching, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        child = int(running.stdout.readline())
        running.send_signal(number)
        out, complaints = running.communicate(timeout=30)

    assert (running.returncode, out, complaints) == (130, "ended\n", "")
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert json.loads(cli("consumers", "--json").out)["consumers"][0]["index"] == -1


def test_a_second_one_under_a_name_is_told_who_is_at_work(cli, told, store, monkeypatch):
    monkeypatch.setattr(consumers, "_LOCK_WAIT_S", 0)
    with store.consumer("c"):
        done = cli("watch", "--consumer", "c", "--exec", "true")
    assert done.code == 75
    assert done.err.startswith(f"error: consumer 'c' is at work in process {os.getpid()}")


def test_consumers_are_listed_moved_and_removed(cli, told, store):
    assert "hint: there is no consumer; `runicorn watch" in cli("consumers").err
    store.consumer("c", after=-1).close()

    assert cli("consumers").lines() == ["NAME  RECORD  BEHIND  AT WORK", "c         -1       5"]
    assert cli("consumers", "reset", "c", "--from", "4").lines()[1].split() == ["c", "3", "1"]
    assert cli("consumers", "reset", "c", "--from", "now").lines()[1].split() == ["c", "4", "0"]
    assert cli("consumers", "remove", "c").lines() == ["there is no consumer c any more"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("consumers reset", "`consumers reset` needs the name of a consumer"),
        ("consumers reset c", "`consumers reset` needs --from, and nothing else takes it"),
        ("consumers remove c --from now", "`consumers reset` needs --from, and nothing else takes it"),
        ("consumers reset c --from now", "there is no consumer 'c'; there is none yet"),
        ("consumers remove c", "there is no consumer 'c'; there is none yet"),
        ("consumers list c", "there is no consumer 'c'"),
    ],
)
def test_a_request_about_consumers_that_cannot_be_met_is_refused(cli, told, line, message):
    done = cli(*line.split())
    assert (done.code, done.out) == (2, "")
    assert message in done.err
