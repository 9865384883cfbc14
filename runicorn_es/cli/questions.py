"""Ask before something is hidden or replaced."""

import sys
from typing import TextIO

from runicorn_es.cli.asked import Asked
from runicorn_es.cli.failures import Declined, Refused


def require_yes(asked: Asked, question: str, stream: TextIO) -> None:
    """Return once the question is answered with yes: by ``--yes``, at a terminal, or by a pipe.

    Raises Declined for any other answer, Refused when there is none.
    """
    if asked.yes:
        return
    stream.write(f"{question} [y/N] ")
    stream.flush()
    answer = sys.stdin.readline() if sys.stdin is not None else ""
    if not answer.endswith("\n"):
        # Ctrl-D at a terminal, or the end of a pipe: the line of the question is still open.
        stream.write(f"{answer}\n")
    elif not sys.stdin.isatty():
        # A terminal shows what was typed; what came through a pipe nobody would see.
        stream.write(answer)
    stream.flush()
    if not answer:
        raise Refused("there was no answer; nothing was changed", "pass --yes to answer beforehand")
    if answer.strip().lower() not in {"y", "yes"}:
        raise Declined("the answer was not yes; nothing was changed")
