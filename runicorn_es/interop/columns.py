"""Rows and columns for analysis: flattened objects, one type a column, as JSON Lines (https://jsonlines.org).

What objects hold is only known when the last one was read. So rows go to a spool on disk first, while their columns
are learnt, and are written from there: the memory this takes does not grow with the number of rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
import tempfile
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

import msgspec

Kind = Literal["boolean", "integer", "number", "text", "time", "texts", "json"]
"""``time``: nanoseconds since the epoch. ``texts``: a list of texts. ``json``: any JSON value."""
Row = dict[str, Any]

COLUMNS_MAX = 1000
_EXACT_IN_FLOAT = 1 << 53
_INTEGER_MIN, _INTEGER_MAX = -(1 << 63), (1 << 63) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder().encode


class Spool:
    """Rows with fixed columns and an object each, whose members become columns: ``{"a": {"b": 1}}`` is ``a.b``.

    The first COLUMNS_MAX members get a column each, all others share one, called as the prefix is without its dot.
    folder: where to put them; None for the system's folder for such files.
    """

    def __init__(self, folder: Path | None, fixed: Mapping[str, Kind], prefix: str) -> None:
        self.count = 0
        self._fixed = fixed
        self._prefix = prefix
        self._found: dict[str, _Column] = {}
        self._is_full = False
        # Without a name: it is gone with its last descriptor, however we end.
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__

    def add(self, values: Sequence[Any], members: Mapping[str, Any]) -> None:
        """Add a row: the values of the fixed columns, and the members of its object."""
        own: Row = {}
        others: Row = {}
        for name, value in flattened(members, self._prefix).items():
            column = self._found.get(name)
            if column is None and len(self._found) < COLUMNS_MAX:
                column = self._found[name] = _Column()
            if column is None:
                others[name.removeprefix(self._prefix)] = value
            else:
                column.note(value)
                own[name] = value
        self._is_full = self._is_full or bool(others)
        self._file.write(_encode((*values, own, others)) + b"\n")
        self.count += 1

    def columns(self) -> dict[str, Kind]:
        """Return the columns of all rows so far, the fixed ones first, and the type of each."""
        found: dict[str, Kind] = {**self._fixed, **{name: column.kind() for name, column in self._found.items()}}
        if self._is_full:
            found[self._prefix.rstrip(".")] = "json"
        return found

    def rows(self) -> Iterator[Row]:
        """Yield the rows in order, each value as its column wants it; a member that a row has not is not in it."""
        kinds = self.columns()
        self._file.seek(0)
        for line in self._file:
            *values, own, others = msgspec.json.decode(line)
            row = dict(zip(self._fixed, values, strict=True))
            row.update((name, converted(value, kinds[name])) for name, value in own.items())
            if others:
                row[self._prefix.rstrip(".")] = others
            yield row

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class _Column:
    """What values were met in a column: which types, and whether an integer was too large for one."""

    def __init__(self) -> None:
        self._types: set[type] = set()
        self._fits_integer = True
        self._fits_float = True

    def note(self, value: Any) -> None:
        if value is None:
            return
        self._types.add(type(value))
        if type(value) is int:
            self._fits_integer &= _INTEGER_MIN <= value <= _INTEGER_MAX
            self._fits_float &= abs(value) <= _EXACT_IN_FLOAT

    def kind(self) -> Kind:
        if self._types == {bool}:
            return "boolean"
        if self._types == {int} and self._fits_integer:
            return "integer"
        if self._types == {float} or (self._types == {int, float} and self._fits_float):
            return "number"
        return "text"


def flattened(members: Mapping[str, Any], prefix: str) -> Row:
    """Return an object's members by their paths, joined by dots, behind a prefix.

    An empty object is a value, as a list is. Two members at one path (``{"a.b": 1, "a": {"b": 2}}``) are one list.
    """
    found: Row = {}
    for name, value in _leaves(members, prefix):
        found[name] = [found[name], value] if name in found else value
    return found


def _leaves(members: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in members.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def converted(value: Any, kind: Kind) -> Any:
    """Return a value as a column of this kind has it: in one of texts, what is no text stands as JSON."""
    if value is None:
        return None
    if kind == "number":
        return float(value)
    if kind == "text" and not isinstance(value, str):
        return _encode(value).decode()
    return value


def to_time(time_ns: int) -> datetime:
    """Return nanoseconds since the epoch as a time in UTC, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=time_ns // 1000)


def write_json_lines(file: BinaryIO, columns: Mapping[str, Kind], rows: Iterable[Row]) -> int:
    """Write each row as a JSON object on a line, times by RFC 3339, and return how many there were."""
    times = [name for name, kind in columns.items() if kind == "time"]
    count = 0
    for row in rows:
        for name in times:
            if row[name] is not None:
                row[name] = to_time(row[name])
        file.write(_encode(row) + b"\n")
        count += 1
    return count
