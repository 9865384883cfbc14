"""Threads that wait for the same slow thing share one go at it."""

from collections.abc import Callable
from threading import Condition


class TurnFailed(Exception):
    """The turn that another thread took for us failed; its error is the cause."""


class SharedTurn:
    """A piece of work that serves everybody who asked before it began, such as a sync of a file.

    Each thread waits for a turn that began after it asked. While one turn is under way, those who ask gather for the
    next, which one of them carries out for all.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._condition = Condition()
        self._begun = 0
        self._ended = 0
        self._is_under_way = False
        # Of the turn that ended last.
        self._failure: Exception | None = None

    def take(self) -> None:
        """Return once the work was done from its beginning to its end after this call.

        Raises what the work raised to whoever carried it out, and TurnFailed to the others.
        """
        with self._condition:
            mine = self._begun + 1
            while self._is_under_way and self._ended < mine:
                self._condition.wait()
            if self._ended >= mine:
                if self._failure is not None:
                    raise TurnFailed(str(self._failure)) from self._failure
                return
            # Nobody is at work; or whoever was, was interrupted.
            self._begun += 1
            self._is_under_way = True
        failure: Exception | None = None
        has_ended = False
        try:
            self._work()
            has_ended = True
        except Exception as error:
            failure, has_ended = error, True
            raise
        finally:
            with self._condition:
                if has_ended:
                    self._ended, self._failure = self._begun, failure
                self._is_under_way = False
                self._condition.notify_all()
