"""How far a long transfer has come: bytes, rate and time left, on a terminal; elsewhere nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import sys
import time

from runicorn_es.cli import late

_DELAY_S = 0.5


@contextmanager
def shown(label: str, total_bytes: Callable[[], int], *, delay_s: float = _DELAY_S) -> Iterator[Callable[[int], None]]:
    """Show on stderr, if that is a terminal, what the block tells the yielded function of bytes as they come.

    What is done within half a second shows nothing. ``total_bytes`` is asked only when there is something to show.
    """
    if not sys.stderr.isatty():
        yield _to_nobody
        return
    bar = _Bar(label, total_bytes, time.monotonic() + delay_s)
    try:
        yield bar.add
    finally:
        bar.close()


class _Bar:
    def __init__(self, label: str, total_bytes: Callable[[], int], begin_s: float) -> None:
        self._label = label
        self._total_bytes = total_bytes
        self._begin_s = begin_s
        self._done_bytes = 0
        self._display: late.progress.Progress | None = None
        self._task: late.progress.TaskID | None = None

    def add(self, size_bytes: int) -> None:
        self._done_bytes += size_bytes
        if self._display is not None and self._task is not None:
            self._display.update(self._task, completed=self._done_bytes)
        elif time.monotonic() >= self._begin_s:
            self._begin()

    def close(self) -> None:
        if self._display is not None:
            self._display.stop()

    def _begin(self) -> None:
        console = late.console.Console(stderr=True)
        self._display = late.progress.Progress(
            late.progress.TextColumn("{task.description}", markup=False),
            late.progress.BarColumn(),
            late.progress.DownloadColumn(binary_units=True),
            late.progress.TransferSpeedColumn(),
            late.progress.TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._display.add_task(self._label, total=self._total_bytes(), completed=self._done_bytes)
        self._display.start()


def _to_nobody(size_bytes: int) -> None:
    """Show nothing."""
