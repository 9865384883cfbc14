"""The command that ``watch`` runs for an event: how it is told, tried again, and given up."""

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import msgspec

from runicorn_es import durable, telling
from runicorn_es.cli import output
from runicorn_es.following import Happened

_BACKOFF_MOST_S = 60.0
_GRACE_S = 10.0
_STDERR = 2
# The fields of events that the command finds in its environment, and what they are called there.
_VARIABLES = {"name": "ARTIFACT", "version": "VERSION", "alias": "ALIAS", "previous": "PREVIOUS", "run": "RUN"}


class Handler:
    """Runs a command for one event after the other.

    dead_letters: where an event goes that failed each time; without, it ends the watch.
    """

    def __init__(
        self, command: str, attempts: int, backoff_s: float, dead_letters: Path | None, *, as_json: bool
    ) -> None:
        self._command = command
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._dead_letters = dead_letters
        self._as_json = as_json

    def handle(self, root: Path, happened: Happened) -> bool:
        """Return whether the event is dealt with: the command succeeded, or the event lies among the dead letters."""
        [members] = telling.as_json(telling.told_of(happened))
        line = msgspec.json.encode({"schema": "runicorn.event/1", **members}) + b"\n"
        pause_s = self._backoff_s
        code = 0
        for attempt in range(1, self._attempts + 1):
            if attempt > 1:
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, _BACKOFF_MOST_S)
            code = self._run(line, {**_environment(root, happened), "RUNICORN_ATTEMPT": str(attempt)})
            if code == 0:
                self._tell(happened, attempt, code, "done")
                return True
            said = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            output.complain(
                "warning", f"record {happened.index}, {happened.kind}: attempt {attempt} of {self._attempts}: {said}"
            )
        if self._dead_letters is None:
            self._tell(happened, self._attempts, code, "failed")
            output.complain(
                "error", f"the command failed {output.count(self._attempts, 'time')} for record {happened.index}"
            )
            output.complain(
                "hint", f"`runicorn watch --from {happened.index} …` goes on there; with --consumer it does by itself"
            )
            return False
        _put_aside(self._dead_letters, line)
        self._tell(happened, self._attempts, code, "put aside")
        return True

    def _run(self, line: bytes, environment: dict[str, str]) -> int:
        """Run the command once and return its exit code. Interrupted, it ends the command, and all that it began."""
        sys.stdout.flush()
        # In JSON, stdout is ours alone.
        stdout = _STDERR if self._as_json else None
        child: subprocess.Popen[bytes] | None = None
        try:
            with _interrupted_at_the_end():
                # A process group of its own: Ctrl-C at the terminal reaches only us, and we end all of it.
                child = subprocess.Popen(
                    ["/bin/sh", "-c", self._command],
                    stdin=subprocess.PIPE,
                    stdout=stdout,
                    env={**os.environ, **environment},
                    process_group=0,
                )
            child.communicate(line)
        except BaseException:
            if child is not None:
                _end(child)
            raise
        return child.returncode

    def _tell(self, happened: Happened, attempts: int, code: int, outcome: str) -> None:
        if self._as_json:
            output.line_of_stream(
                "runicorn.watched/1",
                index=happened.index,
                kind=happened.kind,
                outcome=outcome,
                attempts=attempts,
                exit_code=code,
            )


def _environment(root: Path, happened: Happened) -> dict[str, str]:
    fields = msgspec.structs.asdict(happened.event)
    # The name of a run is no artifact's.
    names = {} if "project" in fields else _VARIABLES
    about = {
        f"RUNICORN_{variable}": str(fields[name])
        for name, variable in (names or {"run": "RUN"}).items()
        if fields.get(name) is not None
    }
    return {
        "RUNICORN_DIR": str(root),
        "RUNICORN_EVENT": happened.kind,
        "RUNICORN_INDEX": str(happened.index),
        **about,
    }


def _put_aside(path: Path, line: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        durable.write_all(descriptor, line)
        durable.sync(descriptor)
    finally:
        os.close(descriptor)
    durable.sync_folder(path.absolute().parent)


@contextmanager
def _interrupted_at_the_end() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM interrupt at the end of the block: what nobody has hold of yet could not be ended."""
    came: list[int] = []

    def note(number: int, _frame: object) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a command with its process group: first asked, then made to."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(_GRACE_S)
        except ProcessLookupError:
            child.wait()
        except subprocess.TimeoutExpired:
            continue
        return
