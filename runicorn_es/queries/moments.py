"""Where in the log a moment is."""

from bisect import bisect_right
from typing import Any

from runicorn_es.errors import Rejected
from runicorn_es.log.record import COMMIT
from runicorn_es.moments import Moment
from runicorn_es.queries.view import View


def moment_at(view: View, position: int) -> Moment:
    """Return the moment when there were so many records; in the middle of a batch, the one before that batch.

    Raises Rejected when there are not so many yet.
    """
    if position > view.size:
        raise Rejected(f"position {position} is in the future: the log has {view.size} records")
    while position > 0:
        last = view.record(position - 1)
        if last.flags & COMMIT:
            return Moment(position, last.time_ns)
        position -= 1
    return Moment(0, 0)


def moment_by(view: View, time_ns: int) -> Moment:
    """Return the moment at which all that happened by a time was there. Times never decrease along the log."""
    return moment_at(view, bisect_right(_Times(view), time_ns))


class _Times:
    """The times of all records, read when asked, for a binary search."""

    def __init__(self, view: View) -> None:
        self._view = view

    def __len__(self) -> int:
        return self._view.size

    def __getitem__(self, index: int) -> Any:
        return self._view.record(index).time_ns
