"""The command line: parse, call, show. One file for each noun, and no rule of the domain.

Nothing at the top of these files may take long to import: the store comes through ``late``, a verb through ``program``.
"""

from collections.abc import Sequence
from contextlib import suppress
import io
import os
import sys

import typer

from runicorn_es.cli import completion, failures
from runicorn_es.cli.program import Program

app = typer.Typer(
    cls=Program,
    help="Version control for models and datasets.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


@app.callback()
def _before_the_verb() -> None:
    """Do nothing. What has a callback is a group to typer, however few commands it was told of."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line (that of the process, unless one is given) and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    _let_streams_say_anything()
    try:
        code = _carried_out(given, None if arguments is None else "runicorn")
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = failures.INTERRUPTED
    except BrokenPipeError:
        _write_no_more()
        code = failures.REFUSED
    if code == failures.INTERRUPTED and sys.stderr.isatty():
        # Behind the ^C that the terminal shows, the prompt begins on a line of its own.
        sys.stderr.write("\n")
    return code


def _carried_out(given: list[str], program_name: str | None) -> int:
    command = typer.main.get_command(app)

    def carry_out() -> int:
        return command.main(given, prog_name=program_name, standalone_mode=False) or 0

    try:
        return 0 if completion.for_bash(carry_out, os.environ) else carry_out()
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the one place where a failure becomes words
        return failures.report(error, as_json="--json" in given)


def _let_streams_say_anything() -> None:
    """Have names that the encoding of a stream lacks shown by number; a terminal's alphabet must not end a command."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError):
            is_utf8 = stream.encoding.lower().replace("-", "") == "utf8"
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")


def _write_no_more() -> None:
    """Drop what is still to be written: whoever read it has gone, as ``head`` does."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
