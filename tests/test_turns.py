"""Threads that share one go at a slow thing, and are never answered by one that began before they asked."""

from threading import Event, Thread
import time

import pytest

from runicorn_es.turns import SharedTurn, WaitedTooLong


class Work:
    """Work that waits until it may go on, and notes for whom it was done."""

    def __init__(self) -> None:
        self.done_for: list[list[str]] = []
        self.may_end = Event()
        self.failure: BaseException | None = None

    def __call__(self, items: list[str]) -> None:
        self.done_for.append(items)
        self.may_end.wait(30)
        if self.failure is not None:
            raise self.failure


def asking(turn: SharedTurn, item: str, outcomes: dict[str, type], wait_s: float = 30) -> Thread:
    def ask() -> None:
        try:
            turn.take(item, wait_s)
        except BaseException as error:  # noqa: BLE001
            outcomes[item] = type(error)
        else:
            outcomes[item] = type(None)

    thread = Thread(target=ask)
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


@pytest.fixture
def turn(work):
    return SharedTurn(work)


@pytest.fixture
def outcomes():
    return {}


def begin_and_gather(turn, work, outcomes, others: str) -> list[Thread]:
    """Have one thread at work for "a", and others waiting behind it."""
    threads = [asking(turn, "a", outcomes)]
    wait_for(lambda: work.done_for)
    threads += [asking(turn, item, outcomes) for item in others]
    wait_for(lambda: len(turn._waiting) == len(others))
    return threads


def test_whoever_is_alone_does_the_work_each_time(turn, work):
    work.may_end.set()

    turn.take("a", 1)
    turn.take("b", 1)

    assert work.done_for == [["a"], ["b"]]


def test_who_asks_while_work_is_under_way_shares_the_next_turn(turn, work, outcomes):
    threads = begin_and_gather(turn, work, outcomes, "bcdef")
    work.may_end.set()
    for thread in threads:
        thread.join()

    assert [sorted(items) for items in work.done_for] == [["a"], list("bcdef")]
    assert outcomes == dict.fromkeys("abcdef", type(None))


def test_a_failure_is_told_to_all_whom_the_turn_was_for(turn, work, outcomes):
    threads = begin_and_gather(turn, work, outcomes, "bcd")
    work.failure = OSError("broken")
    work.may_end.set()
    for thread in threads:
        thread.join()

    assert outcomes.pop("a") is OSError
    assert sorted(kind.__name__ for kind in outcomes.values()) == ["OSError", "TurnFailed", "TurnFailed"]


def test_who_waited_too_long_is_told_and_nothing_is_done_for_it(turn, work, outcomes):
    threads = begin_and_gather(turn, work, outcomes, "")
    asking(turn, "b", outcomes, wait_s=0.01).join()
    work.may_end.set()
    threads[0].join()

    assert outcomes == {"a": type(None), "b": WaitedTooLong}
    assert work.done_for == [["a"]]


def test_after_an_interrupted_turn_the_next_is_taken(turn, work):
    work.failure = KeyboardInterrupt()
    work.may_end.set()
    with pytest.raises(KeyboardInterrupt):
        turn.take("a", 1)
    work.failure = None

    turn.take("b", 1)

    assert work.done_for == [["a"], ["b"]]
