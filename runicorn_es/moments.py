"""Moments of the past: how people write them, and what they mean."""

from datetime import UTC, date, datetime, time, timedelta
import os
import re

import msgspec

from runicorn_es.errors import Rejected

_AGO = re.compile(r"(an?|[0-9]{1,9}) ?(s|m|h|d|w|second|minute|hour|day|week)s? ago")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_POSITION = re.compile(r"#([0-9]{1,18})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KNOWN = "a position (#812), a date or time (2026-01-31, 2026-01-31T12:00), '3 days ago', 'yesterday' or a checkpoint"


class Moment(msgspec.Struct, frozen=True):
    """A moment that was found in a log: when it had so many records, the last of them of this time (0: none)."""

    position: int
    time_ns: int


AsOf = Moment | int | str | date | os.PathLike[str]


class Position(msgspec.Struct, frozen=True):
    """When the log had so many records."""

    size: int


class Instant(msgspec.Struct, frozen=True):
    """By a time, in nanoseconds since the epoch: with all that happened then."""

    time_ns: int


class Kept(msgspec.Struct, frozen=True):
    """When a checkpoint was signed, of which this is the text."""

    text: str


def meaning(as_of: AsOf, now_ns: int) -> Position | Instant | Kept:
    """Return what is meant. Raises Rejected for what means nothing, and for what is to come.

    A number counts records. A day means its end, or now if it is today; a time that names no zone is a local one. A
    text is one of these, ``#812``, ``yesterday``, ``3 days ago`` (three times 24 hours), or that of a checkpoint.
    """
    match as_of:
        case Moment():
            return Position(as_of.position)
        case bool():
            raise Rejected(f"{as_of!r} is no moment; write {_KNOWN}")
        case int():
            return Position(_not_negative(as_of))
        case str():
            return _meaning_of_text(as_of, now_ns)
        case datetime():
            return _by(as_of, str(as_of), now_ns)
        case date():
            return _end_of(as_of, now_ns)
        case _:
            raise Rejected(f"{as_of!r} is no moment; write {_KNOWN}")


def _meaning_of_text(text: str, now_ns: int) -> Position | Instant | Kept:
    if "\n" in text.strip():
        return Kept(text)
    wanted = text.strip().lower()
    if match := _POSITION.fullmatch(wanted):
        return Position(int(match[1]))
    if match := _AGO.fullmatch(wanted):
        count = 1 if match[1] in {"a", "an"} else int(match[1])
        return Instant(max(0, now_ns - count * _UNITS_S[match[2][0]] * 1_000_000_000))
    today = _local(now_ns).date()
    if wanted in {"today", "now"}:
        return Instant(now_ns)
    if wanted == "yesterday":
        return _end_of(today - timedelta(days=1), now_ns)
    try:
        if len(wanted) == len("2026-01-31"):
            return _end_of(date.fromisoformat(wanted), now_ns)
        return _by(datetime.fromisoformat(text.strip()), text, now_ns)
    except ValueError as error:
        if isinstance(error, Rejected):
            raise
        raise Rejected(f"{text!r} is no moment; write {_KNOWN}") from None


def _by(moment: datetime, text: str, now_ns: int) -> Instant:
    """Return a time. One without a zone is local; one that a clock shows twice is the first."""
    time_ns = _ns_of(moment)
    if time_ns > now_ns:
        raise Rejected(f"{text} is in the future; only what happened can be shown")
    return Instant(time_ns)


def _end_of(day: date, now_ns: int) -> Instant:
    """Return the end of a local day, or now if it is not over."""
    if day > _local(now_ns).date():
        raise Rejected(f"{day} is in the future; only what happened can be shown")
    if day == date.max:
        return Instant(now_ns)
    return Instant(max(0, min(now_ns, _ns_of(datetime.combine(day + timedelta(days=1), time())) - 1)))


def _ns_of(moment: datetime) -> int:
    try:
        passed = moment.astimezone(UTC) - _EPOCH
    except OverflowError:
        # In UTC it would be beyond the first or the last year there is.
        passed = moment.replace(tzinfo=UTC) - _EPOCH
    return max(0, passed // timedelta(microseconds=1)) * 1000


def _local(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).astimezone()


def _not_negative(position: int) -> int:
    if position < 0:
        raise Rejected(f"position {position} is negative; positions count the records of the log, from 0")
    return position
