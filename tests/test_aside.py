"""Small work in another thread while this one waits."""

import os
from pathlib import Path
import signal
import threading
from threading import Event, current_thread, get_native_id

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
import pytest

from runicorn_es.aside import Behind, _end_before_fork, aside


def names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_the_work_is_done_by_another_thread_and_its_result_returned():
    finish = aside(current_thread)

    assert finish() is not current_thread()


def test_it_is_one_thread_for_all_that_comes():
    assert aside(current_thread)() is aside(current_thread)()


def test_what_goes_wrong_is_raised_where_the_result_is_asked_for():
    finish = aside(lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        finish()
    assert aside(lambda: 7)() == 7


def test_while_it_is_busy_the_work_is_done_by_whoever_asks():
    may_end = Event()
    busy = aside(lambda: may_end.wait(30))
    other = aside(current_thread)

    assert other() is current_thread()
    may_end.set()
    assert busy() is True


def test_a_program_that_forks_has_no_thread_of_ours_then():
    assert aside(lambda: 1)() == 1
    assert "runicorn aside" in names_of_threads()

    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)

    assert "runicorn aside" not in names_of_threads()
    assert aside(lambda: 2)() == 2


def test_the_system_knows_no_thread_of_ours_either_when_a_program_forks():
    # What OpenSSL does at the end of a thread takes time, and a lock.
    key = Ed25519PrivateKey.generate()

    def sign() -> Path:
        key.sign(b"")
        return Path(f"/proc/self/task/{get_native_id()}")

    for _ in range(200):
        ours = aside(sign)()
        assert ours.exists()
        _end_before_fork()

        assert not ours.exists()


def test_a_child_has_a_thread_of_its_own():
    assert aside(lambda: 1)() == 1
    child = os.fork()
    if child == 0:
        os._exit(aside(lambda: 3)())

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


def test_a_child_that_was_forked_while_it_was_busy_has_one_too():
    may_end = Event()
    busy = aside(lambda: may_end.wait(30))
    child = os.fork()
    if child == 0:
        os._exit(aside(lambda: 3)())

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    may_end.set()
    busy()


def test_pieces_are_done_one_after_the_other_while_this_thread_goes_on():
    done, may_end = [], Event()
    with Behind() as behind:
        behind.do(lambda: may_end.wait(30) and done.append(1))
        assert done == []
        may_end.set()
        behind.do(lambda: done.append(2))

    assert done == [1, 2]


def test_what_goes_wrong_with_a_piece_is_raised_before_the_next_is_begun():
    done, behind = [], Behind()
    behind.do(lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        behind.do(lambda: done.append(2))
    assert done == []


def test_what_goes_wrong_here_is_raised_when_the_pieces_are_done():
    done, may_end = [], Event()

    def piece() -> None:
        may_end.wait(30)
        done.append(1)
        raise ValueError("of less concern")

    def go_on_and_fail() -> None:
        with Behind() as behind:
            behind.do(piece)
            may_end.set()
            _ = 1 // 0

    with pytest.raises(ZeroDivisionError):
        go_on_and_fail()
    assert done == [1]


def test_who_was_interrupted_while_waiting_may_ask_again():
    may_end = Event()
    finish = aside(lambda: may_end.wait(30))

    def interrupt(*_: object) -> None:
        may_end.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            finish()
    finally:
        signal.signal(signal.SIGALRM, before)

    assert finish() is True
