"""The one writer: lock, catch up, decide, append, project.

Invariants:
- Whoever appends holds the writer's lock, and has read the log up to its end under that lock.
- A call that changes something returns only after its batch is durable; one that finds nothing to change, only after
  what it found is durable. The sync comes after the lock: others write meanwhile, and threads share one.
- After a write or a sync has failed, this object writes no more.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
import os
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

import msgspec

from runicorn_es import codec, decisions, durable, founding, merkle, moments, projections, queries, settings, tables
from runicorn_es.ambient import SYSTEM, Ambient
from runicorn_es.cold import Packs
from runicorn_es.commands import MAKING_ROOM, Command, CreateStore, NoteRecovery, Undo
from runicorn_es.errors import Busy, Damaged, DiskFull, Rejected, RunicornError, Unknown, WriteFailed
from runicorn_es.events import BatchAppended, Draft, Event, ReferenceAdded
from runicorn_es.folded import FoldedTables
from runicorn_es.layout import Layout
from runicorn_es.log import START, Entry, Log, Pending, Position
from runicorn_es.log.record import BLANKABLE, COMPRESSED, PAGE
from runicorn_es.moments import AsOf, Instant, Kept, Moment, meaning
from runicorn_es.pool import Pool
from runicorn_es.pool.hashed import HashedBlobs
from runicorn_es.pool.usage import Usage
from runicorn_es.projections.rows import Contradiction
from runicorn_es.queries import View
from runicorn_es.signing import Head, Keys, Signer
from runicorn_es.tables import Reader, TablesFailed, Writer, gathered
from runicorn_es.turns import SharedTurn, TurnFailed, WaitedTooLong
from runicorn_es.witness import Witness


class Request(msgspec.Struct, eq=False):
    """What a thread asks of the ledger, and the answer: events, or why it was refused. Without a command: of a key."""

    command: Command | None
    run: str | None = None
    key: str | None = None
    events: tuple[Event, ...] | None = None
    refusal: RunicornError | None = None


class Ledger:
    """The log of a store with its tables and its pool, open for questions and commands.

    One object serves all threads of a process; after a fork, the child opens its own files by itself.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        read_only: bool = False,
        ambient: Ambient = SYSTEM,
        lock_wait_s: float = settings.LOCK_WAIT_S,
    ) -> None:
        self.layout = Layout(Path(root).absolute())
        self.is_read_only = read_only
        self._ambient = ambient
        self._lock_wait_s = lock_wait_s
        self.identity = founding.require(self.layout) if read_only else founding.found(self.layout, ambient)
        hashed = HashedBlobs(self._reading_rows, self._writing_rows)
        usage = Usage(self._reading_rows, self._writing_rows, self.layout.recount)
        packs = Packs(self.layout, self._reading_rows, self._writing_rows)
        self.pool = Pool(self.layout, hashed, usage, packs, read_only=read_only)
        self._keys = Keys(self.layout.keys, self.identity.origin)
        self._failure: BaseException | None = None
        self._is_closed = False
        self._begin_in_this_process()

    def execute(self, command: Command, *, run: str | None = None, key: str | None = None) -> tuple[Event, ...]:
        """Carry out a command and return its events (none if all was so already), once they are durable.

        The events of pages and references are not among those returned. Raises Rejected and its kinds when the command
        cannot be met, Busy when another writer held the lock too long, OSError or WriteFailed when the disk failed.
        """
        return self._answer_to(Request(command, run, key)) or ()

    def execute_all(self, commands: Sequence[Command], *, run: str | None = None) -> list[tuple[Event, ...]]:
        """Carry out commands one after another with one sync, and return the events of each.

        If one of them is refused, none is carried out. A crash before this returns may leave the first of them done.
        Raises as ``execute`` does.
        """
        requests = [Request(command, run) for command in commands]
        with self._changing() as position:
            self._carry_out(requests, position, are_one=True)
        return [request.events or () for request in requests]

    def repeated(self, key: str) -> tuple[Event, ...] | None:
        """Return the events of the batch that was appended under this idempotency key, durably, or None."""
        with self.reading() as view:
            is_known = queries.batch_of_key(view, key) is not None
        return self._answer_to(Request(None, key=key)) if is_known else None

    def rebuild(self) -> list[bytes]:
        """Fold the tables anew from the log and return the keys whose rows differed from the old ones.

        The new rows take the place of the old in one step. Raises Damaged where the log is damaged; then the old stay.
        """
        with self._writing() as position:
            return self._tables.rebuild(position)

    def forget(self, blanked: Sequence[int], digests: Collection[bytes]) -> None:
        """Blank the payloads of these records, and make the tables anew without what they remember of these blobs.

        Freed pages of LMDB keep what they held, so all of it goes. Durable when it returns; a crash in the middle of
        blanking is finished by whoever opens the store next.
        """
        with self._writing():
            with self.reading() as view:
                places = [view.place_of(index) for index in blanked]
            self._log.blank(blanked, places)
            self._tables.make_anew_without(digests)

    @contextmanager
    def reading(self, as_of: AsOf | None = None) -> Iterator[View]:
        """Open the newest state for the length of a block, or that of a moment. Keep it short; take no lock in it.

        Raises Rejected when there was no such moment.
        """
        self._require_open()
        if self._tables.is_behind():
            self._tables.catch_up()
        try:
            with self._tables.reading_or_mended() as rows:
                view = View(rows, self._log)
                if as_of is None:
                    yield view
                else:
                    moment = self._found(view, as_of)
                    with _said_of(moment):
                        yield view.as_of(moment.position)
        except Contradiction:
            self._tables.distrust()
            raise

    def moment(self, as_of: AsOf) -> Moment:
        """Return which moment is meant: how many records there were, and when the last of them was written.

        as_of: a position (a number of records), a time (``datetime``; one without a zone is local), a day (its end), a
        text with one of these (``#812``, ``2026-01-31``, ``2026-01-31T12:00``, ``yesterday``, ``3 days ago``), a signed
        checkpoint, or the path of a file with one. A state in the middle of a batch was never visible: the one before
        it is meant. Raises Rejected.
        """
        if isinstance(as_of, Moment):
            return as_of
        with self.reading() as view:
            return self._found(view, as_of)

    def _found(self, view: View, as_of: AsOf) -> Moment:
        if isinstance(as_of, Moment):
            return as_of
        match self._meant(as_of):
            case moments.Position(size=size):
                return queries.moment_at(view, size)
            case Instant(time_ns=time_ns):
                return queries.moment_by(view, time_ns)
            case Kept(text=text):
                head = self._keys.trust().head(text)
                if head is None:
                    raise Rejected("this is no checkpoint that was signed with a key of this store")
                return queries.moment_at(view, head.size)

    def _meant(self, as_of: AsOf) -> moments.Position | Instant | Kept:
        if not isinstance(as_of, os.PathLike):
            try:
                return meaning(as_of, self._ambient.now_ns())
            except Rejected:
                if not isinstance(as_of, str) or not Path(as_of).is_file():
                    raise
        try:
            return Kept(durable.read_small_file(Path(as_of)).decode())
        except UnicodeDecodeError:
            return Kept("")

    def close(self) -> None:
        """Release the tables. A closed store answers no more."""
        if not self._is_closed:
            self._is_closed = True
            self._tables.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store at {str(self.layout.root)!r}{', read only' if self.is_read_only else ''}>"

    def _begin_in_this_process(self) -> None:
        self._pid = os.getpid()
        self._log = Log(self.layout, self.identity.raw_id)
        self._thread_lock = Lock()
        self._turn = SharedTurn(self._carry_out_durably)
        # When somebody last held the lock, in seconds, and who, in words.
        self._held_since = 0, ""
        # Up to where this object has written, or found what others wrote, and the head there.
        self._reached = START, Head(0, merkle.root([]))
        if self.layout.blanking.exists():
            self._finish_blanking()
        self._tables = FoldedTables(self.layout, self.identity.store_id, self._log, in_memory=self.is_read_only)
        self._witness = Witness(
            self.layout.checkpoint,
            origin=self.identity.origin,
            keys=self._keys,
            log=self._log,
            tables=self._tables,
            signer=self._signer,
        )
        try:
            self._tables.catch_up_or_begin_anew()
            self._require_acknowledged()
            if not self.is_read_only and self._tables.position == START:
                self.execute_all([CreateStore(self.identity.raw_id, settings.FORMAT_VERSION)])
        except BaseException:
            self._tables.close()
            raise

    def _finish_blanking(self) -> None:
        """Do what a purge that died had noted: until then, the log cannot be read."""
        if self.is_read_only:
            raise Damaged(
                f"a purge of the store at {self.layout.root} was interrupted; open it once for writing to finish it"
            )
        with durable.locked(self.layout.lock, wait_s=self._lock_wait_s, holder=self._holder()):
            self._log.finish_blanking()
            tables.wipe(self.layout.tables, self.layout.boot)

    def _require_acknowledged(self) -> None:
        """Raise Damaged when the log ends before its checkpoint. A torn tail behind it is the next writer's affair."""
        claimed_size = self._witness.claimed_size()
        if claimed_size <= self._tables.position.index:
            return
        # The checkpoint may speak of a batch that was appended since we caught up.
        position = self._tables.catch_up()
        if claimed_size > position.index:
            self._log.require_acknowledged(position, self._witness.acknowledged())

    def _require_open(self) -> None:
        if self._is_closed:
            raise Rejected(f"the store at {self.layout.root} was closed; open it anew")
        # The parent's locks may be held by threads that do not exist here, and its tables are not ours to touch.
        if os.getpid() != self._pid:
            self._begin_in_this_process()

    def _require_writable(self) -> None:
        self._require_open()
        if self.is_read_only:
            raise Rejected(
                f"the store at {self.layout.root} was opened read-only; open it without read_only=True to write"
            )
        if self._failure is not None:
            raise WriteFailed(
                f"an earlier write to the store at {self.layout.root} failed ({self._failure}); what it had not "
                "acknowledged may or may not be there; see to the disk, then open the store anew"
            ) from self._failure

    @contextmanager
    def _writing(self) -> Iterator[Position]:
        """Hold the writer's lock; yields the end of the log, up to which the tables are folded."""
        self._require_writable()
        if not self._thread_lock.acquire(timeout=self._lock_wait_s):
            raise Busy(f"another thread has been writing for more than {self._lock_wait_s:g} s; nothing was changed")
        try:
            with durable.locked(self.layout.lock, wait_s=self._lock_wait_s, holder=self._holder()):
                # While we waited, another thread may have failed.
                self._require_writable()
                try:
                    yield self._end_of_log()
                except OSError as error:
                    self._note_failure(error)
                    raise
        finally:
            self._thread_lock.release()

    @contextmanager
    def _changing(self) -> Iterator[Position]:
        """Hold the writer's lock for the length of a block, and make what it appends durable after it.

        Until then a lease on the log's folder says that a sync is under way.
        """
        lease = durable.Lease(self.layout.log)
        try:
            with self._writing() as position:
                lease.take(wait_s=self._lock_wait_s)
                yield position
            self._sync_and_sign()
        finally:
            lease.give_up()

    def _end_of_log(self) -> Position:
        """Return where the log ends, with the tables caught up and no torn tail. The lock must be held."""
        position = self._tables.position
        # Where nothing follows is the end, however old the position is; and the tables were folded up to it.
        if self._log.is_held_end(position):
            return position
        # Whoever appended since has folded that, too.
        with self._tables.reading_or_mended() as rows:
            position = projections.cursor(rows) or START
        if self._log.is_held_end(position):
            self._tables.position = position
            return position
        return self._recover(self._tables.catch_up())

    @contextmanager
    def _poisoned_by(self, kind: type[OSError]) -> Iterator[None]:
        """Remember a failed write or sync of the block: after it, this object writes no more."""
        try:
            yield
        except kind as error:
            self._note_failure(error)
            raise

    def _note_failure(self, error: OSError) -> None:
        if self._failure is None and (isinstance(error, WriteFailed) or not isinstance(error, RunicornError)):
            self._failure = error

    def _recover(self, position: Position) -> Position:
        """Move a torn tail out of the way; returns the end of the log. The lock must be held, the tables caught up."""
        position = self._log.tip(position)
        if self._log.is_held_end(position):
            return position
        # Whoever has written and is not done with the sync finishes first; nobody begins, for we hold the lock.
        with durable.leased(self.layout.log, exclusive=True, wait_s=self._lock_wait_s):
            acknowledged = self._witness.acknowledged()
            cut = self._log.cut_tail(position, acknowledged, self._ambient.now_ns())
            if self._log.holds(position):
                pass
            elif acknowledged < position.index:
                # Written by somebody who died before it was signed, or whose sync failed.
                self._log.write_anew(position)
            else:
                self._log.hold(position)
        if cut is None:
            return position
        note = NoteRecovery(cut.segment, cut.offset, cut.size_bytes, cut.quarantine)
        return self._carry_out([Request(note)], position, are_one=True)

    def _reading_rows(self) -> AbstractContextManager[Reader]:
        """Open the tables that are in use now: they may be others than a moment ago."""
        self._tables.follow()
        return self._tables.reading()

    def _writing_rows(self) -> AbstractContextManager[Writer]:
        self._tables.follow()
        return self._tables.writing()

    def _answer_to(self, request: "Request") -> tuple[Event, ...] | None:
        """Have a request carried out, together with those of other threads, and return the events once durable."""
        self._require_writable()
        try:
            self._turn.take(request, self._lock_wait_s)
        except WaitedTooLong:
            raise Busy(
                f"other threads have been writing for more than {self._lock_wait_s:g} s; nothing was changed; try again"
            ) from None
        except TurnFailed as error:
            # What went wrong for the thread that did it for us went wrong for us.
            self._require_writable()
            cause = error.__cause__
            if isinstance(cause, RunicornError):
                raise type(cause)(*cause.args) from cause
            raise WriteFailed(
                f"another thread, which wrote for this one, was stopped ({cause!r}); look whether it is there"
            ) from error
        if request.refusal is not None:
            raise request.refusal
        return request.events

    def _carry_out_durably(self, requests: list["Request"]) -> None:
        with self._changing() as position:
            self._carry_out(requests, position)

    def _carry_out(self, requests: Sequence["Request"], position: Position, *, are_one: bool = False) -> Position:
        """Decide, fold and write, and return the end of the log then; it is not durable yet. The lock must be held.

        ``position`` is the end of the log as found under the lock: never what this object remembers, which a thread
        that only reads may set to an older one at any moment. are_one: if one is refused, nothing is written.
        """
        pending = self._log.begin(position)
        is_written = False
        try:
            with self._tables.writing() as rows, gathered(rows) as out:
                self._fold_all(requests, pending, out, are_one=are_one)
                head = Head(*queries.head(View(out, pending)))
                if pending.end != position:
                    self._log.write(pending)
                    is_written = True
        except TablesFailed:
            self._tables.begin_in_memory()
            if not is_written:
                return self._carry_out(requests, position, are_one=are_one)
            with self._tables.reading() as reader:
                head = Head(*queries.head(View(reader, self._log)))
        self._tables.position = pending.end
        self._reached = pending.end, head
        return pending.end

    def _fold_all(self, requests: Sequence["Request"], pending: Pending, out: Writer, *, are_one: bool) -> None:
        """Decide each request, given what those before it led to, and fold what follows from it."""
        view = View(out, pending)
        tip = queries.tip(view)
        # What cannot be signed is not written.
        self._signer()
        signed = self._witness.require_continued(tip)
        is_overlapping = tip.size != (signed.size if signed else 0)
        time_ns = max(self._ambient.now_ns(), tip.time_ns)
        for request in requests:
            # Where the tables failed, this is the second time.
            request.refusal = None
            try:
                drafts = self._decide(request, view)
                if not drafts:
                    continue
                records = pending.add(
                    self._entries(drafts, request),
                    time_ns,
                    is_overlapping=is_overlapping,
                    may_use_reserve=isinstance(request.command, MAKING_ROOM),
                )
            except (Rejected, DiskFull) as error:
                if are_one:
                    raise
                request.refusal = error
                continue
            projections.fold(records, pending.end, out)
            request.events = tuple(event for draft in drafts if not draft.is_page for event in draft.events)
            is_overlapping = True

    def _decide(self, request: "Request", view: View) -> list[Draft]:
        """Return what is to be written for a request; nothing, and its answer is given, if all was so already."""
        earlier = None if request.key is None else queries.batch_of_key(view, request.key)
        request.events = None if earlier is None else view.events(earlier)
        if request.command is None or earlier is not None:
            return []
        return decisions.decide(request.command, view)

    def _entries(self, drafts: Sequence[Draft], request: "Request") -> list[Entry]:
        """Encode the records of a batch; the first that holds neither files nor references says who appends it."""
        entries = []
        is_signed = False
        for draft in drafts:
            events = draft.events
            if not (is_signed or draft.is_page or isinstance(events[0], ReferenceAdded)):
                events = self._appended(request), *events
                is_signed = True
            payload, is_compressed = codec.encode(events, self._ambient.token(codec.SALT_BYTES))
            flags = COMPRESSED * is_compressed | PAGE * draft.is_page | BLANKABLE * draft.is_blankable
            entries.append(Entry(draft.subject, payload, flags))
        return entries

    def _appended(self, request: "Request") -> BatchAppended:
        actor = self._ambient.actor()
        undoes = request.command.index if isinstance(request.command, Undo) else None
        return BatchAppended(actor.user, actor.host, actor.pid, request.run, request.key, undoes)

    def _sync_and_sign(self) -> None:
        self._require_writable()
        position, head = self._reached
        try:
            self._witness.vouch(position, head, self._sync)
        except OSError as error:
            self._note_failure(error)
            raise

    def _sync(self, position: Position) -> None:
        # A sync that failed is never tried again, also not by a thread that waited meanwhile.
        self._require_writable()
        self._log.sync(position)

    def _signer(self) -> Signer:
        return self._keys.signer(self._ambient.token, self._ambient.passphrase)

    def _holder(self) -> str:
        now_s = self._ambient.now_ns() // 1_000_000_000
        # The same for all that is written within a second.
        if self._held_since[0] != now_s:
            actor = self._ambient.actor()
            since = datetime.fromtimestamp(now_s, UTC).isoformat()
            self._held_since = now_s, f"process {actor.pid} of {actor.user} on {actor.host} since {since}"
        return self._held_since[1]


@contextmanager
def _said_of(moment: Moment) -> Iterator[None]:
    """Have those who miss something told of which moment: it may be there now."""
    try:
        yield
    except Unknown as error:
        raise type(error)(f"as of #{moment.position}: {error}") from error
