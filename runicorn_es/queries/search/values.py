"""What the values of a query mean: numbers, sizes, times, and patterns of text."""

from collections.abc import Callable
from datetime import datetime, timedelta
import re

from runicorn_es.settings import KIB

Test = Callable[[str], bool]

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,1000}")
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,6})?)\s*(|B|K|KB|KIB|M|MB|MIB|G|GB|GIB|T|TB|TIB)", re.IGNORECASE)
_POWERS = {"": 0, "B": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_DATE = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?)?)?)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_SECOND_NS = 1_000_000_000


def number(text: str) -> int | float | None:
    """Return the number that a text is, or None. Whole ones stay whole, however large."""
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        found = float(text)
        return found if abs(found) != float("inf") else None
    return None


def size_bytes(text: str) -> float | None:
    """Return the bytes of a size such as ``1.5GB``, or None. A KB has 1024 bytes, as everywhere here."""
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    unit_bytes: int = KIB ** _POWERS[found[2][:1].upper()]
    return float(found[1]) * unit_bytes if "." in found[1] else int(found[1]) * unit_bytes


def moment(text: str) -> tuple[int, int] | None:
    """Return the nanoseconds since the epoch when a time begins and ends, or None.

    ``2026``, ``2026-01``, ``2026-01-31``, ``2026-01-31T12:30`` and ``…:15`` last as long as they say; on the clock of
    this machine unless an offset from UTC follows.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    parts = [int(part) for part in found.groups()[:6] if part is not None]
    try:
        zone = datetime.strptime(found[7].replace("Z", "+0000"), "%z").tzinfo if found[7] else None
        padded = parts + [1] * (3 - len(parts))
        begin = datetime(*padded, tzinfo=zone)  # type: ignore[misc, arg-type]
        end = _next(begin, len(parts))
        return int(begin.timestamp()) * _SECOND_NS, int(end.timestamp()) * _SECOND_NS
    except (ValueError, OverflowError, OSError):
        return None


def _next(begin: datetime, parts: int) -> datetime:
    """Return the beginning of the next year, month, day, minute or second."""
    if parts == 1:
        return begin.replace(year=begin.year + 1)
    if parts == 2:
        return begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
    return begin + {3: timedelta(days=1), 5: timedelta(minutes=1), 6: timedelta(seconds=1)}[parts]


def containing(text: str) -> Test:
    """Return a test whether a text contains this one, whatever the case of letters."""
    wanted = text.casefold()
    return lambda found: wanted in found.casefold()


def matching(pattern: str, *, has_wildcards: bool = True) -> Test:
    """Return a test whether a text is this one, in which ``*`` stands for anything."""
    if not has_wildcards:
        return lambda found: found == pattern
    compiled = re.compile(".*?".join(re.escape(part) for part in re.split(r"\*+", pattern)), re.DOTALL)
    return lambda found: compiled.fullmatch(found) is not None
