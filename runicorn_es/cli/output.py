"""How answers are shown: plain tables and JSON on stdout, complaints on stderr.

Stdout carries only what was asked for. Colour is for a terminal, and not where NO_COLOR is set or TERM is ``dumb``.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
import os
import sys
from typing import Any, TextIO
import unicodedata

from runicorn_es.cli import late
from runicorn_es.words import count, printable, size

__all__ = [
    "can_say",
    "complain",
    "count",
    "document",
    "document_of_many",
    "has_colour",
    "line_of_stream",
    "local_time",
    "printable",
    "say",
    "size",
    "table",
    "utc_time",
    "values",
]

_COLOURS = {"error": 31, "warning": 33, "hint": 36}
_NS = 1_000_000_000


def say(*lines: str) -> None:
    """Write lines to stdout."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def document(schema: str, **members: object) -> None:
    """Write the answer to a query as one JSON object. Times must be in UTC; they are spelled by RFC 3339."""
    encoded = late.msgspec.json.encode({"schema": schema, **members})
    say(late.msgspec.json.format(encoded, indent=2).decode())


def document_of_many(schema: str, name: str, many: Iterable[object], **members: object) -> None:
    """Write one JSON object whose last member is a list that is not held in memory: each of its elements on a line."""
    head = late.msgspec.json.encode({"schema": schema, **members}).decode()
    sys.stdout.write(f"{head[:-1]},{late.msgspec.json.encode(name).decode()}:[")
    separator = "\n"
    for one in many:
        sys.stdout.write(f"{separator}{late.msgspec.json.encode(one).decode()}")
        separator = ",\n"
    say("", "]}")


def line_of_stream(schema: str, **members: object) -> None:
    """Write one JSON object on one line, at once: who follows a stream wants it now."""
    say(late.msgspec.json.encode({"schema": schema, **members}).decode())
    sys.stdout.flush()


def complain(kind: str, message: str) -> None:
    """Write a message to stderr, behind its kind: error, warning or hint."""
    # What was said before stands before it, if anybody still reads that.
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    word = f"{kind}:"
    if kind in _COLOURS and has_colour(sys.stderr):
        word = f"\x1b[1;{_COLOURS[kind]}m{word}\x1b[0m"
    sys.stderr.write(f"{word} {message}\n")


def has_colour(stream: TextIO) -> bool:
    """Return whether to write colours to this stream (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[str] = ()) -> list[str]:
    """Return the lines of a table, its columns two spaces apart; those named in ``numbers`` aligned to the right."""
    lines = [list(head), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(head))]
    shown: list[str] = []
    for line in lines:
        cells = []
        for title, cell, width in zip(head, line, widths, strict=True):
            blanks = " " * (width - _width(cell))
            cells.append(blanks + cell if title in numbers else cell + blanks)
        shown.append("  ".join(cells).rstrip())
    return shown


def printable_line(text: str) -> str:
    """Return a line of a file with its control characters spelled out, but for tabs."""
    return "\t".join(map(printable, text.split("\t")))


def local_time(time_ns: int) -> str:
    """Return nanoseconds since the epoch as the clock on the wall shows them: ``2025-09-30 16:45:12``."""
    return f"{datetime.fromtimestamp(time_ns // _NS, UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def utc_time(time_ns: int) -> datetime | None:
    """Return nanoseconds since the epoch as a time for JSON; None for 0, which stands for never."""
    return late.stored.to_datetime(time_ns) if time_ns else None


def values(pairs: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each key and value of metadata; texts as they are, all else as JSON."""
    for key, value in pairs.items():
        shown = value if isinstance(value, str) else late.msgspec.json.encode(value).decode()
        yield f"  {printable(key)}: {printable(shown)}"


def can_say(text: str, stream: TextIO) -> bool:
    """Return whether the encoding of a stream has these characters."""
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
