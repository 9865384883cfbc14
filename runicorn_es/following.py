"""The log as it grows, for whoever wants to hear of everything that happens, in order and without a gap.

Invariants:
- Nothing is told that is not acknowledged. Whoever asks the tables sees a batch as soon as it is written; a follower
  acts on what it hears, so it hears only of what no power cut can take back: what the signed checkpoint covers.
- Events are told in the order of the log, each once, from wherever one begins.
- Whoever waits is woken by the kernel, and does nothing meanwhile.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
import math
import time
from types import TracebackType
from typing import Self

import msgspec

from runicorn_es import codec, durable, founding, queries, settings
from runicorn_es.artifact.stored import to_datetime
from runicorn_es.errors import Damaged, Rejected, RunicornError, Unknown
from runicorn_es.events import BatchAppended, Event
from runicorn_es.interests import Interest, are_interested, want_pages
from runicorn_es.ledger import Ledger
from runicorn_es.log import START, Log, Position, Record
from runicorn_es.log.record import COMPRESSED, PAGE, is_blank
from runicorn_es.lookout import Lookout
from runicorn_es.signing import Keys, Trust

NOBODY = BatchAppended("", "", 0)
# Behind every event of a record.
ALL = 1 << 62
_PAUSE_S = 0.01


class Happened(msgspec.Struct, frozen=True):
    """An event, and where, when and by whom it came about. Unpacks as ``index, event``.

    index: of its record. number: of the event within the record. by: who appended it, in which run. subject: the
    version (``name:v3``) or run that the record is about, or empty.
    """

    index: int
    event: Event
    number: int
    time_ns: int
    by: BatchAppended
    subject: str
    leaf: bytes

    @property
    def kind(self) -> str:
        """Return the wire name of the event, such as ``alias``."""
        return str(self.event.__struct_config__.tag)

    @property
    def time(self) -> datetime:
        """Return when it was appended, in UTC."""
        return to_datetime(self.time_ns)

    def __iter__(self) -> Iterator[object]:
        return iter((self.index, self.event))


class Told(msgspec.Struct, frozen=True):
    """A record, who appended it, and its events with their numbers; none if it was blanked or is a page not wanted."""

    record: Record
    by: BatchAppended
    events: tuple[tuple[int, Event], ...]

    def happened(self) -> Iterator[Happened]:
        """Yield its events one by one."""
        found = self.record
        for number, event in self.events:
            yield Happened(found.index, event, number, found.time_ns, self.by, found.subject, found.leaf)


class Acknowledged:
    """The part of a log that is acknowledged, read as it was written, without the tables."""

    def __init__(self, ledger: Ledger) -> None:
        self._layout = ledger.layout
        self._log = Log(ledger.layout, ledger.identity.raw_id)
        self._keys = Keys(ledger.layout.keys, ledger.identity.origin)
        self._trust: Trust | None = None

    def checkpoint(self) -> bytes:
        """Return the content of the checkpoint as it is now."""
        return durable.read_small_file(self._layout.checkpoint)

    def size(self, checkpoint: bytes) -> int | None:
        """Return how many records a checkpoint says are durable; None when the store did not sign this.

        It is written in place, and may be read when half of it is written.
        """
        head = self._trust.head_of(checkpoint) if self._trust is not None else None
        if head is None:
            # The key may have been replaced.
            self._trust = self._keys.trust()
            head = self._trust.head_of(checkpoint)
        return head.size if head is not None else None

    def told(self, position: Position, size: int, *, pages: bool) -> Iterator[tuple[list[Told], Position]]:
        """Yield each batch from a position on up to this many records, and the position behind it.

        pages: look into them as well. Raises Damaged.
        """
        for batch, behind in self._batches(position, size):
            events = [_events_of(record, pages=pages) for record in batch]
            by = next((one for some in events for one in some if isinstance(one, BatchAppended)), NOBODY)
            yield [Told(record, by, _numbered(some)) for record, some in zip(batch, events, strict=True)], behind

    def _batches(self, position: Position, size: int) -> Iterator[tuple[list[Record], Position]]:
        deadline = time.monotonic() + settings.LOCK_WAIT_S
        doubted: Position | None = None
        while position.index < size:
            try:
                for batch, behind in self._log.batches(position):
                    if behind.index > size:
                        return
                    yield batch, behind
                    position = behind
                    if behind.index == size:
                        return
                self._log.require_acknowledged(position, size)
            except Damaged:
                # A purge at work overwrites payloads, which for a moment are neither what they were nor blank.
                is_blanking = self._layout.blanking.exists() and time.monotonic() < deadline
                if not is_blanking and position == doubted:
                    raise
                doubted = position
                time.sleep(_PAUSE_S)


class Following:
    """Tells what happens in a store, event by event, for ever. Made by ``Store.follow``; iterate over it.

    One thread iterates; any may ``stop`` it. Close it, or use it in a ``with``, to release what it waits with; an
    iteration that ended has done so.
    """

    def __init__(
        self,
        ledger: Ledger,
        after: int | None,
        *,
        number: int = ALL,
        interests: Sequence[Interest] = (),
        timeout_s: float | None = None,
    ) -> None:
        self._ledger = ledger
        self._interests = tuple(interests)
        self._timeout_s = math.inf if timeout_s is None else timeout_s
        self._acknowledged = Acknowledged(ledger)
        self._type_of = types_in(ledger)
        if after is None:
            after = (self._acknowledged.size(self._acknowledged.checkpoint()) or 0) - 1
        self._begin = after, number
        self._position = _batch_with(ledger, after)
        self._idle_since = time.monotonic()
        self._lookout = Lookout(ledger.layout.checkpoint)
        self._happened = self._iterate()

    def records(self) -> Iterator[Told]:
        """Yield record by record, instead of event by event; interests are not looked at."""
        checkpoint = b""
        self._idle_since = time.monotonic()
        while not self._lookout.has_stopped():
            left_s = max(0.0, self._idle_since + self._timeout_s - time.monotonic())
            found = self._lookout.next(checkpoint, min(left_s, settings.FOLLOW_LOOK_S))
            if found is None and (self._lookout.has_stopped() or left_s <= settings.FOLLOW_LOOK_S):
                break
            if found is None:
                self._look_behind()
            checkpoint = found or checkpoint
            size = self._acknowledged.size(checkpoint)
            if size is None:
                # Read when half written; the other half is told as well.
                continue
            for batch, behind in self._acknowledged.told(self._position, size, pages=want_pages(self._interests)):
                for told in batch:
                    if (told.record.index, ALL) > self._begin:
                        yield told
                        if not self._interests:
                            self._idle_since = time.monotonic()
                    if self._lookout.has_stopped():
                        return
                self._position = behind

    def stop(self) -> None:
        """End the iteration, before the next event. May be called by any thread, and by a signal handler."""
        self._lookout.stop()

    def close(self) -> None:
        """Stop, and release what is waited with."""
        self._lookout.stop()
        self._lookout.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Happened:
        return next(self._happened)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _iterate(self) -> Iterator[Happened]:
        for told in self.records():
            for one in told.happened():
                if (one.index, one.number) <= self._begin:
                    continue
                if are_interested(self._interests, one.event, self._type_of):
                    yield one
                    self._idle_since = time.monotonic()
                    if self._lookout.has_stopped():
                        return
        self._lookout.close()

    def _look_behind(self) -> None:
        """Sign for a writer that died between its write and its signature; without that nobody would for long."""
        if not self._ledger.layout.checkpoint.exists():
            founding.require(self._ledger.layout)
        if not self._ledger.is_read_only:
            with self._ledger.reading() as view:
                written = queries.head(view)[0]
            if written > self._position.index:
                # Who may not sign, or finds the disk full, waits for somebody who can.
                with suppress(RunicornError, OSError):
                    self._ledger.execute_all(())


def types_in(ledger: Ledger) -> Callable[[str], str | None]:
    """Return what knows the types of artifacts by their names; an artifact never changes its type."""
    known: dict[str, str] = {}

    def type_of(name: str) -> str | None:
        if name not in known:
            try:
                with ledger.reading() as view:
                    known[name] = queries.artifact(view, name).type
            except Unknown:
                return None
        return known[name]

    return type_of


def _batch_with(ledger: Ledger, index: int) -> Position:
    """Return where the batch with this record begins; the first one for index -1. Raises Rejected beyond the end."""
    if index < 0:
        return START
    with ledger.reading() as view:
        try:
            return queries.begin_of_batch(view, index)
        except IndexError:
            raise Rejected(
                f"there is no record {index}; the log ends with record {queries.head(view)[0] - 1}, "
                "which is the last one to begin after"
            ) from None


def _events_of(record: Record, *, pages: bool) -> tuple[Event, ...]:
    if is_blank(record) or (record.flags & PAGE and not pages):
        return ()
    return codec.decode(record.payload, compressed=bool(record.flags & COMPRESSED))


def _numbered(events: Sequence[Event]) -> tuple[tuple[int, Event], ...]:
    return tuple((number, event) for number, event in enumerate(events) if not isinstance(event, BatchAppended))
