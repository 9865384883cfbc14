"""Followers that remember how far they are: each event reaches a consumer at least once, whatever dies meanwhile.

The cursor of a consumer is a small file of its own. It is durable when ``ack`` returns, and never ahead of what was
handed out. One process at a time works under a name; the lock ends with it.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
import os
from pathlib import Path
import re
from types import TracebackType
from typing import Self

import msgspec

from runicorn_es import durable, queries
from runicorn_es.errors import Busy, Damaged, Rejected, Unknown
from runicorn_es.following import ALL, Acknowledged, Following, Happened
from runicorn_es.interests import Interest
from runicorn_es.ledger import Ledger

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LOCK_WAIT_S = 1.0


class Cursor(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the file of a consumer says: the last acknowledged record, and of that the last event; None: all of them.

    leaf: of that record, in hex; empty for index -1. A log that has another record there is another history.
    """

    index: int
    number: int | None = None
    leaf: str = ""


class ConsumerRow(msgspec.Struct, frozen=True):
    """A consumer: the last record that it has acknowledged (-1: none), how many it is behind, and who is at it."""

    name: str
    index: int
    behind: int
    holder: str | None


class Consumer:
    """Tells what happens in a store from where it was when it last acknowledged. Made by ``Store.consumer``.

    Iterate over it, and call ``ack`` when an event is dealt with. Close it, or use it in a ``with``, to let others
    work under its name.
    """

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        *,
        after: int | None,
        interests: Sequence[Interest],
        timeout_s: float | None,
        holder: str,
    ) -> None:
        self.name = parse_consumer(name)
        self._pid = os.getpid()
        self._path = _path(ledger, self.name)
        self._held = ExitStack()
        self._held.enter_context(_holding(ledger, self.name, holder))
        try:
            cursor = _read(self._path)
            if cursor is None:
                cursor = _moved(ledger, self._path, after)
            _require_same_history(ledger, self.name, cursor)
            number = ALL if cursor.number is None else cursor.number
            self._acknowledged = cursor.index, number
            self._following = Following(ledger, cursor.index, number=number, interests=interests, timeout_s=timeout_s)
            self._held.callback(self._following.close)
        except BaseException:
            self._held.close()
            raise
        self._handed_out: Happened | None = None

    @property
    def index(self) -> int:
        """Return the last record of which something was acknowledged; -1 before the first."""
        return self._acknowledged[0]

    def ack(self, happened: Happened | None = None) -> None:
        """Acknowledge an event, or the last one that was handed out, and all before it. Durable when this returns.

        To acknowledge many at once costs as much as one. What was acknowledged already stays so. Raises Rejected for
        what was not handed out yet.
        """
        if self._pid != os.getpid():
            raise Rejected(
                f"consumer {self.name!r} belongs to process {self._pid}; let that one acknowledge, or open another"
            )
        last = self._handed_out
        done = last if happened is None else happened
        if done is None or last is None or (done.index, done.number) > (last.index, last.number):
            raise Rejected(f"consumer {self.name!r} was not handed out that event yet; acknowledge it afterwards")
        if (done.index, done.number) > self._acknowledged:
            _write(self._path, Cursor(done.index, done.number, done.leaf.hex()))
            self._acknowledged = done.index, done.number

    def stop(self) -> None:
        """End the iteration, before the next event. May be called by any thread, and by a signal handler."""
        self._following.stop()

    def close(self) -> None:
        """Let others work under its name."""
        self._held.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Happened:
        self._handed_out = next(self._following)
        return self._handed_out

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def parse_consumer(name: str) -> str:
    """Return the name of a consumer. Raises Rejected for one that could not be a file's everywhere."""
    if not _NAME.fullmatch(name):
        raise Rejected(f"consumer name {name!r} may have letters, digits, '.', '_' and '-', at most 100, no '.' first")
    return name


def all_consumers(ledger: Ledger) -> list[ConsumerRow]:
    """Return the consumers of a store by name."""
    folder = ledger.layout.consumers
    names = sorted(path.stem for path in folder.glob("*.json") if _NAME.fullmatch(path.stem)) if folder.is_dir() else []
    with ledger.reading() as view:
        size = queries.head(view)[0]
    found = []
    for name in names:
        path = _path(ledger, name)
        cursor = _read(path)
        if cursor is not None:
            holder = durable.holder_of(path.with_suffix(".lock"))
            found.append(ConsumerRow(name, cursor.index, max(0, size - 1 - cursor.index), holder))
    return found


def reset(ledger: Ledger, name: str, after: int | None, *, holder: str) -> int:
    """Move the cursor of a consumer behind a record (None: the last one), and return its index."""
    with _holding(ledger, parse_consumer(name), holder):
        _require_there(ledger, name)
        return _moved(ledger, _path(ledger, name), after).index


def remove(ledger: Ledger, name: str, *, holder: str) -> None:
    """Forget a consumer."""
    with _holding(ledger, parse_consumer(name), holder):
        path = _path(ledger, name)
        is_there = path.exists()
        durable.remove_file(path)
        # Whoever waits for this lock finds that it is nobody's any more, and takes the next.
        durable.remove_file(path.with_suffix(".lock"))
    if not is_there:
        raise Unknown(_unknown(ledger, name))


@contextmanager
def _holding(ledger: Ledger, name: str, holder: str) -> Iterator[None]:
    """Work under the name of a consumer. Raises Busy, saying who does already."""
    if ledger.is_read_only:
        raise Rejected(
            f"the store at {ledger.layout.root} was opened read-only, and a consumer keeps its cursor there; "
            "open it for writing, or follow without a consumer"
        )
    path = _path(ledger, name).with_suffix(".lock")
    if not path.parent.is_dir():
        durable.make_folder(path.parent)
    with ExitStack() as held:
        while True:
            try:
                descriptor = held.enter_context(durable.locked(path, wait_s=_LOCK_WAIT_S, holder=holder))
            except Busy:
                present = durable.holder_of(path) or "a process that has just ended"
                raise Busy(
                    f"consumer {name!r} is at work in {present}; end that first, or choose another name"
                ) from None
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    break
            held.close()
        yield


def _require_there(ledger: Ledger, name: str) -> None:
    if not _path(ledger, name).exists():
        with suppress(FileNotFoundError):
            _path(ledger, name).with_suffix(".lock").unlink()
        raise Unknown(_unknown(ledger, name))


def _unknown(ledger: Ledger, name: str) -> str:
    known = ", ".join(row.name for row in all_consumers(ledger))
    return f"there is no consumer {name!r}; {f'there are {known}' if known else 'there is none yet'}"


def _moved(ledger: Ledger, path: Path, after: int | None) -> Cursor:
    """Put a cursor behind a record, durably, and return it."""
    if after is None:
        acknowledged = Acknowledged(ledger)
        after = (acknowledged.size(acknowledged.checkpoint()) or 0) - 1
    cursor = Cursor(-1)
    if after >= 0:
        with ledger.reading() as view:
            try:
                cursor = Cursor(after, None, view.record(after).leaf.hex())
            except IndexError:
                last = queries.head(view)[0] - 1
                raise Rejected(f"there is no record {after} to begin after; the log ends with record {last}") from None
    _write(path, cursor)
    return cursor


def _require_same_history(ledger: Ledger, name: str, cursor: Cursor) -> None:
    if cursor.index < 0:
        return
    with ledger.reading() as view:
        try:
            is_same = view.record(cursor.index).leaf.hex() == cursor.leaf
        except IndexError:
            is_same = False
    if not is_same:
        raise Rejected(
            f"consumer {name!r} has acknowledged record {cursor.index} of another history than this log has; was the "
            f"store put back from an older copy? `runicorn consumers reset {name}` says where to go on"
        )


def _path(ledger: Ledger, name: str) -> Path:
    return ledger.layout.consumers / f"{name}.json"


def _read(path: Path) -> Cursor | None:
    content = durable.read_small_file(path)
    if not content:
        return None
    try:
        return msgspec.json.decode(content, type=Cursor)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(
            f"{path} cannot be read ({error}); remove it, and the consumer is a new one that begins where you say"
        ) from error


def _write(path: Path, cursor: Cursor) -> None:
    durable.write_file(path, msgspec.json.encode(cursor) + b"\n")
