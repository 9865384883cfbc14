"""Threads that share one go at a slow thing, and are never answered by one that began before they asked."""

from threading import Event, Thread
import time

import pytest

from runicorn_es.turns import SharedTurn, TurnFailed


class Work:
    """Work that waits until it may go on, and counts."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.may_end = Event()
        self.failure: BaseException | None = None
        self.asked = 0

    def __call__(self) -> None:
        self.begun.append(self.asked)
        self.may_end.wait(30)
        if self.failure is not None:
            raise self.failure


def asking(turn: SharedTurn, work: Work, outcomes: list[BaseException | None]) -> Thread:
    def ask() -> None:
        try:
            turn.take()
        except Exception as error:  # noqa: BLE001
            outcomes.append(error)
        else:
            outcomes.append(None)

    thread = Thread(target=ask)
    work.asked += 1
    thread.start()
    return thread


def wait_for(is_so) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def work():
    return Work()


def test_whoever_is_alone_does_the_work_each_time(work):
    work.may_end.set()
    turn = SharedTurn(work)

    turn.take()
    turn.take()

    assert len(work.begun) == 2


def test_who_asks_while_work_is_under_way_shares_the_next_turn(work):
    turn, outcomes = SharedTurn(work), []
    threads = [asking(turn, work, outcomes)]
    wait_for(lambda: work.begun)
    threads += [asking(turn, work, outcomes) for _ in range(5)]
    wait_for(lambda: len(turn._condition._waiters) == 5)
    work.may_end.set()
    for thread in threads:
        thread.join()

    # The second turn began when all had asked.
    assert work.begun == [1, 6]
    assert outcomes == [None] * 6


def test_a_failure_is_told_to_all_whom_the_turn_was_for(work):
    turn, outcomes = SharedTurn(work), []
    work.may_end.set()
    turn.take()
    work.may_end.clear()
    threads = [asking(turn, work, outcomes)]
    wait_for(lambda: len(work.begun) == 2)
    threads += [asking(turn, work, outcomes) for _ in range(3)]
    wait_for(lambda: len(turn._condition._waiters) == 3)
    work.failure = OSError("broken")
    work.may_end.set()
    for thread in threads:
        thread.join()

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["OSError", "OSError", "TurnFailed", "TurnFailed"]
    assert all(isinstance(outcome, TurnFailed | OSError) for outcome in outcomes)


def test_an_interrupted_turn_is_taken_by_the_next(work):
    turn, outcomes = SharedTurn(work), []
    work.failure = KeyboardInterrupt()
    work.may_end.set()
    with pytest.raises(KeyboardInterrupt):
        turn.take()
    work.failure = None

    asking(turn, work, outcomes).join()

    assert outcomes == [None]
