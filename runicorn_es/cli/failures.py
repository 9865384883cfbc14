"""What went wrong, in words and as an exit code.

0 done · 1 the system refused (an OSError), or somebody said no · 2 the request cannot be met as asked · 65 damage ·
75 another writer was busy, try again · 76 written by a newer release · 130 interrupted.
"""

from collections.abc import Sequence
import os
import sys
from typing import Any

import typer

from runicorn_es.cli import late, output
from runicorn_es.errors import BadQuery, Rejected, RunicornError

REFUSED = 1
MISUSED = 2
INTERRUPTED = 130
DEBUG_VARIABLE = "RUNICORN_DEBUG"

# What typer raises for a line that it does not understand. The class has had several homes; its subclass has one.
Misuse: Any = typer.BadParameter.__mro__[2]


class Refused(Rejected):
    """A request that the command line itself turns down, with hints at what to do instead."""

    def __init__(self, message: str, *hints: str) -> None:
        super().__init__(message)
        self.hints = hints


class Declined(Exception):
    """Somebody was asked and said no."""


def report(error: Exception, *, as_json: bool) -> int:
    """Tell the user on stderr what went wrong and return the exit code. Raises it again with RUNICORN_DEBUG=1."""
    if os.environ.get(DEBUG_VARIABLE, "") not in {"", "0"}:
        raise error
    message, hints, code = _explain(error)
    message, *pointing = message.split("\n") if isinstance(error, BadQuery) else [message]
    if as_json:
        failure = {"schema": "runicorn.error/1", "message": message, "exit_code": code, "hints": hints}
        sys.stderr.write(f"{late.msgspec.json.encode(failure).decode()}\n")
        return code
    output.complain("error", output.printable(message))
    sys.stderr.writelines(f"{output.printable(line)}\n" for line in pointing)
    for hint in hints:
        output.complain("hint", output.printable(hint))
    return code


def _explain(error: Exception) -> tuple[str, Sequence[str], int]:
    match error:
        case Refused():
            return str(error), error.hints, error.exit_code
        case RunicornError():
            return str(error), (), error.exit_code
        case Declined():
            return str(error), (), REFUSED
        case OSError():
            return _of_system(error), (), REFUSED
        case Misuse():
            # In a help text or a message of typer's, a line break is only where a terminal would break it.
            message = " ".join(error.format_message().split())
            context = getattr(error, "ctx", None)
            hints = [f"{context.command_path} --help says how it is used"] if context else []
            return message, hints, MISUSED
        case _:
            hint = f"this is a fault of the program; {DEBUG_VARIABLE}=1 shows where it happened"
            return f"{type(error).__name__}: {error}", [hint], REFUSED


def _of_system(error: OSError) -> str:
    if error.strerror is None:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
