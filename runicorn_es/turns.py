"""Threads that ask for the same kind of slow work, done by one of them for all."""

from collections.abc import Callable
from threading import Condition
import time
from typing import Generic, TypeVar

Item = TypeVar("Item")


class TurnFailed(Exception):
    """The turn that another thread took for us failed; its error is the cause."""


class WaitedTooLong(Exception):
    """Others were at work all the time that we were willing to wait; nothing was done for the item."""


class SharedTurn(Generic[Item]):
    """Work that is done for several at once, such as writes that share a sync.

    While one turn is under way, those who ask gather for the next, which one of them carries out for all.
    """

    def __init__(self, work: Callable[[list[Item]], None]) -> None:
        self._work = work
        self._condition = Condition()
        self._waiting: list[Item] = []
        self._begun = 0
        self._ended = 0
        self._is_under_way = False
        # By the number of the turn; whoever waited for one looks here when it wakes.
        self._failures: dict[int, BaseException] = {}

    def take(self, item: Item, wait_s: float) -> None:
        """Return once the work was done for this item, here or by another thread.

        Raises what the work raised to whoever carried it out, and TurnFailed to the others; WaitedTooLong when nobody
        has begun it after ``wait_s`` seconds.
        """
        deadline = time.monotonic() + wait_s
        with self._condition:
            mine = self._begun + 1
            self._waiting.append(item)
            try:
                while self._is_under_way and self._ended < mine:
                    self._wait(mine, deadline)
            except BaseException:
                if item in self._waiting:
                    self._waiting.remove(item)
                raise
            if self._ended >= mine:
                if mine in self._failures:
                    raise TurnFailed(str(self._failures[mine])) from self._failures[mine]
                return
            self._begun += 1
            self._is_under_way = True
            items, self._waiting = self._waiting, []
        failure: BaseException | None = None
        try:
            self._work(items)
        except BaseException as error:
            failure = error
            raise
        finally:
            with self._condition:
                self._ended = self._begun
                if failure is not None:
                    self._failures[self._ended] = failure
                self._is_under_way = False
                self._condition.notify_all()

    def _wait(self, mine: int, deadline: float) -> None:
        # Once it is begun, only its end can say what became of it.
        timeout_s = None if self._begun >= mine else deadline - time.monotonic()
        if not self._condition.wait(timeout_s) and self._begun < mine:
            raise WaitedTooLong
