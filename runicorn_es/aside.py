"""Small work that another thread does while this one waits for the disk."""

from collections.abc import Callable
from contextlib import suppress
import os
from threading import Lock, Thread
import time
from types import TracebackType
from typing import Self, TypeVar

Result = TypeVar("Result")
_ENDING_S = 1
_LOOKED_EVERY_S = 50e-6


def aside(work: Callable[[], Result]) -> Callable[[], Result]:
    """Begin work in another thread; returns a function that waits for it and returns, or raises, what came of it.

    That function must be called. There is one such thread in a process, made when it is first needed; while it is busy
    for somebody else, the work is done when it is asked for.
    """
    return _helper.begin(work)


class Behind:
    """Work that another thread does behind this one, one piece after the other.

    Use as a context manager: at its end all pieces are done, and if the block ended well, what came of them is raised.
    """

    def __init__(self) -> None:
        self._finish: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.wait()
        else:
            # That is raised already, or is of less concern. What was interrupted is waited for once more.
            with suppress(Exception):
                self.wait()

    def do(self, work: Callable[[], None]) -> None:
        """Wait for the piece before this one, and begin this one. Raises what came of that."""
        self.wait()
        self._finish = aside(work)

    def wait(self) -> None:
        """Wait until all is done. Raises what came of it."""
        if self._finish is not None:
            self._finish()
            self._finish = None


class _Helper:
    """A thread that waits for work."""

    def __init__(self) -> None:
        self._is_free = Lock()
        self._has_work = _taken()
        self._thread: Thread | None = None
        # What to do, and what to release then. None: the thread is to end.
        self._step: tuple[Callable[[], None], Lock] | None = None

    def begin(self, work: Callable[[], Result]) -> Callable[[], Result]:
        if not self._is_free.acquire(blocking=False):
            return work
        is_done = _taken()
        results: list[Result] = []
        failures: list[BaseException] = []

        def step() -> None:
            try:
                results.append(work())
            except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
                failures.append(error)

        def finish() -> Result:
            # Whoever was interrupted here may ask again.
            with is_done:
                pass
            if failures:
                raise failures[0]
            return results[0]

        self._step = step, is_done
        if self._thread is None:
            self._thread = Thread(target=self._run, name="runicorn aside", daemon=True)
            self._thread.start()
        self._has_work.release()
        return finish

    def end(self) -> None:
        """End the thread, if it is idle; the next work begins another."""
        if self._thread is not None and self._is_free.acquire(blocking=False):
            self._step = None
            self._has_work.release()
            self._thread.join()
            _wait_until_gone(self._thread)
            self._thread = None
            self._is_free.release()

    def _run(self) -> None:
        while True:
            self._has_work.acquire()
            if self._step is None:
                return
            step, is_done = self._step
            step()
            # What it refers to may be waited for to be forgotten.
            self._step = None
            del step
            self._is_free.release()
            is_done.release()


def _wait_until_gone(thread: Thread) -> None:
    """Wait until the system has no such thread either, where it tells (Linux).

    Python calls a thread ended that still runs what C libraries do at its end; OpenSSL takes a lock then, and a child
    that is forked at that moment finds it taken for ever.
    """
    until = time.monotonic() + _ENDING_S
    while os.path.exists(f"/proc/self/task/{thread.native_id}") and time.monotonic() < until:  # noqa: PTH110
        time.sleep(_LOOKED_EVERY_S)


def _taken() -> Lock:
    lock = Lock()
    lock.acquire()
    return lock


def _end_before_fork() -> None:
    # A program of one thread stays one: Python warns those that fork with several.
    _helper.end()


def _begin_anew_in_child() -> None:
    global _helper  # noqa: PLW0603
    _helper = _Helper()


_helper = _Helper()
os.register_at_fork(before=_end_before_fork, after_in_child=_begin_anew_in_child)
