"""The one writer: lock, catch up, decide, append, project.

Invariants:
- Whoever appends holds the writer's lock, and has read the log up to its end under that lock.
- A call that changes something returns only after its batch is durable; one that finds nothing to change, only after
  what it found is durable.
- The tables' cursor is written in the same transaction as the rows; it may lag behind the log, never lead.
- After a write or a sync has failed, this object writes no more.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
import errno
import os
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from runicorn_es import codec, decisions, durable, founding, merkle, projections, queries, settings, tables
from runicorn_es.ambient import SYSTEM, Ambient
from runicorn_es.commands import Command, NoteRecovery
from runicorn_es.errors import Busy, Damaged, Rejected, RunicornError, WriteFailed
from runicorn_es.events import BatchAppended, Draft, Event, ReferenceAdded, StoreCreated
from runicorn_es.layout import Layout
from runicorn_es.log import START, Entry, Log, Position, Record
from runicorn_es.log.record import BLANKABLE, COMPRESSED, PAGE
from runicorn_es.pool import Pool, stat_cache
from runicorn_es.projections.rows import Contradiction
from runicorn_es.queries import View
from runicorn_es.signing import Head, Keys, Signer, claimed_head
from runicorn_es.tables import MemoryTables, Tables, TablesFailed


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
        self._log = Log(self.layout, self.identity.raw_id)
        self.pool = Pool(self.layout, read_only=read_only)
        self._keys = Keys(self.layout.keys, self.identity.origin)
        # The checkpoint that this object wrote last.
        self._signed: str | None = None
        self._failure: BaseException | None = None
        self._is_closed = False
        self._begin_in_this_process()

    def execute(self, command: Command, *, run: str | None = None, key: str | None = None) -> tuple[Event, ...]:
        """Carry out a command and return its events (none if all was so already), once they are durable.

        The events of pages and references are not among those returned. Raises Rejected and its kinds when the command
        cannot be met, Busy when another writer held the lock too long, OSError or WriteFailed when the disk failed.
        """
        with self._writing() as position:
            if key is not None and (events := self._events_under(key, position)) is not None:
                return events
            with self._tables.reading() as rows:
                drafts = decisions.decide(command, View(rows, self._log))
            if not drafts:
                # What was found may have been written by a process that died before its sync.
                self._log.sync(position)
                return ()
            self._append(drafts, position, run=run, key=key)
            return tuple(event for draft in drafts if not draft.is_page for event in draft.events)

    def repeated(self, key: str) -> tuple[Event, ...] | None:
        """Return the events of the batch that was appended under this idempotency key, durably, or None."""
        with self.reading() as view:
            is_known = queries.batch_of_key(view, key) is not None
        if not is_known:
            return None
        with self._writing() as position:
            return self._events_under(key, position)

    def rebuild(self) -> list[bytes]:
        """Fold the tables anew from the log and return the keys whose rows differed from the old ones.

        The new rows take the place of the old in one step. Raises Damaged where the log is damaged; then the old stay.
        """
        with self._writing() as position:
            anew = MemoryTables()
            # The tables are a witness themselves of how far the log could once be read.
            self._log.require_acknowledged(self._fold_into(anew), position.index)
            with self._tables.writing() as out, anew.reading() as wanted:
                old = {key: value for key, value in out.scan(b"") if not key.startswith(stat_cache.PREFIX)}
                new = dict(wanted.scan(b""))
                differing = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
                for key in differing:
                    if key in new:
                        out.put(key, new[key])
                    else:
                        out.delete(key)
        return differing

    @contextmanager
    def reading(self) -> Iterator[View]:
        """Open the newest state for the length of a block. Keep it short; take no lock in it."""
        self._require_open()
        if self._log.has_more(self._position):
            self._catch_up()
        try:
            with self._tables.reading() as rows:
                yield View(rows, self._log)
        except Contradiction:
            tables.distrust(self.layout.boot)
            raise

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
        self._thread_lock = Lock()
        self._position = START
        self._has_recovered = False
        self._tables = self._open_tables()
        try:
            self._catch_up_or_begin_anew()
            self._require_acknowledged()
            if not self.is_read_only and self._position == START:
                with self._writing() as position:
                    if position == START:
                        event = StoreCreated(self.identity.raw_id, settings.FORMAT_VERSION)
                        self._append([Draft("", (event,))], position)
        except BaseException:
            self._tables.close()
            raise

    def _open_tables(self) -> Tables:
        if self.is_read_only:
            return MemoryTables()
        identity = projections.identity(self.identity.store_id)
        try:
            opened = tables.open_tables(self.layout.tables, self.layout.boot, identity)
        except TablesFailed:
            return MemoryTables()
        except OSError as error:
            # On a full disk the store must stay readable, and small enough to be cleaned up.
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            return MemoryTables()
        # Who forgets a store, as most do with that of a finished run, closes it.
        tables.close_when_forgotten(self, opened)
        return opened

    def _catch_up_or_begin_anew(self) -> None:
        with suppress(TablesFailed, Contradiction):
            self._catch_up()
            return
        self._tables.close()
        tables.distrust(self.layout.boot)
        self._tables = self._open_tables()
        with suppress(TablesFailed, Contradiction):
            self._catch_up()
            return
        self._tables.close()
        self._tables = MemoryTables()
        self._catch_up()

    def _require_acknowledged(self) -> None:
        """Raise Damaged when the log ends before its checkpoint. A torn tail behind it is the next writer's affair."""
        claimed = claimed_head(self.layout.checkpoint, self.identity.origin)
        if claimed is None or claimed.size <= self._position.index:
            return
        # The checkpoint may speak of a batch that was appended since we caught up.
        self._catch_up()
        if claimed.size > self._position.index:
            self._log.require_acknowledged(self._position, self._acknowledged())

    def _acknowledged(self) -> int:
        """Return how many records the checkpoint proves to have been acknowledged.

        0 when there is none, or one that the store's key did not sign: after a power cut it may be half written.
        """
        head = self._keys.trust().head_in(self.layout.checkpoint)
        return head.size if head else 0

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
                with self._poisoned_by(OSError):
                    yield self._recover(self._end_of_log())
        finally:
            self._thread_lock.release()

    def _end_of_log(self) -> Position:
        """Return where the log ends, with the tables caught up. The lock must be held."""
        position = self._position
        # Where nothing follows is the end, however old the position is; and the tables were folded up to it.
        return self._catch_up() if self._log.has_more(position) else position

    @contextmanager
    def _poisoned_by(self, kind: type[OSError]) -> Iterator[None]:
        """Remember a failed write or sync of the block: after it, this object writes no more."""
        try:
            yield
        except kind as error:
            if isinstance(error, WriteFailed) or not isinstance(error, RunicornError):
                self._failure = error
            raise

    def _recover(self, position: Position) -> Position:
        """Move a torn tail out of the way; returns the end of the log. The lock must be held, the tables caught up."""
        position = self._log.tip(position)
        if self._has_recovered and not self._log.has_more(position):
            return position
        cut = self._log.cut_tail(position, self._acknowledged(), self._ambient.now_ns())
        self._log.sync(position)
        self._has_recovered = True
        if cut is None:
            return position
        note = NoteRecovery(cut.segment, cut.offset, cut.size_bytes, cut.quarantine)
        with self._tables.reading() as rows:
            drafts = decisions.decide(note, View(rows, self._log))
        return self._append(drafts, position)

    def _events_under(self, key: str, position: Position) -> tuple[Event, ...] | None:
        with self._tables.reading() as rows:
            view = View(rows, self._log)
            earlier = queries.batch_of_key(view, key)
            events = None if earlier is None else view.events(earlier)
        self._log.sync(position)
        return events

    def _append(
        self, drafts: Sequence[Draft], position: Position, *, run: str | None = None, key: str | None = None
    ) -> Position:
        """Append a batch, fold it, sign the new head, and return the end of the log then. The lock must be held.

        ``position`` is the end of the log as found under the lock: never what this object remembers, which a thread
        that only reads may set to an older one at any moment.
        """
        # What cannot be signed is not written.
        self._signer()
        self._require_continued()
        drafts = self._with_actor(drafts, run, key)
        entries = []
        for draft in drafts:
            payload, is_compressed = codec.encode(draft.events, self._ambient.token(codec.SALT_BYTES))
            flags = COMPRESSED * is_compressed | PAGE * draft.is_page | BLANKABLE * draft.is_blankable
            entries.append(Entry(draft.subject, payload, flags))
        records, behind = self._log.append(entries, position, self._time_ns(position))
        try:
            size, root = self._fold(records, position, behind)
        except TablesFailed:
            # The batch is durable. The old tables may be in use by other threads, and are left open.
            self._tables = MemoryTables()
            self._fold_into(self._tables)
            size, root = self._fold(records, position, behind)
        self._position = behind
        self._publish(Head(size, root))
        return behind

    def _publish(self, head: Head) -> None:
        """Sign a head and let everybody see it."""
        self._signed = self._signer().sign(head)
        durable.overwrite_file(self.layout.checkpoint, self._signed.encode())

    def _fold(self, records: Sequence[Record], position: Position, behind: Position) -> tuple[int, bytes]:
        """Fold the batch that was just appended; returns the size and the root of the log then."""
        with self._tables.writing() as out:
            # A reader may have been quicker to fold what we appended.
            if (projections.cursor(out) or START).index == position.index:
                projections.fold(records, behind, out)
            return queries.head(View(out, self._log))

    def _with_actor(self, drafts: Sequence[Draft], run: str | None, key: str | None) -> list[Draft]:
        """Say who appends the batch, in its first record that holds neither files nor references."""
        actor = self._ambient.actor()
        appended = BatchAppended(actor.user, actor.host, actor.pid, run, key)
        signed = list(drafts)
        for number, draft in enumerate(drafts):
            if not draft.is_page and not isinstance(draft.events[0], ReferenceAdded):
                signed[number] = Draft(draft.subject, (appended, *draft.events))
                break
        return signed

    def _require_continued(self) -> None:
        """Raise Damaged unless the log continues what was signed last: two histories are never signed with one key."""
        if self._signed is not None and self.layout.checkpoint.read_text() == self._signed:
            # We signed it ourselves, and nobody has appended since.
            return
        claimed = claimed_head(self.layout.checkpoint, self.identity.origin)
        if claimed is None:
            return
        with self._tables.reading() as rows:
            size, root = queries.head(View(rows, self._log))
        if claimed == Head(size, root):
            return
        if claimed.size <= size and merkle.root(self._log.leaves(claimed.size)) == claimed.root:
            # A writer died between its batch and its checkpoint.
            return
        if self._acknowledged():
            raise Damaged(
                f"the log has another history than {self.layout.checkpoint} was signed for ({claimed.size} records); "
                "it was put together from two copies of this store, or rewritten; run `runicorn-es audit`"
            )

    def _catch_up(self) -> Position:
        position = self._fold_into(self._tables)
        self._position = position
        return position

    def _fold_into(self, target: Tables) -> Position:
        """Fold what the log has beyond the tables' cursor; returns the position reached."""
        while True:
            with target.writing() as out:
                position = begin = projections.cursor(out) or START
                for records, behind in _in_bulk(self._log.batches(position)):
                    projections.fold(records, behind, out)
                    position = behind
                    if position.index - begin.index >= settings.REFOLD_RECORDS_PER_TRANSACTION:
                        break
                else:
                    return position

    def _time_ns(self, position: Position) -> int:
        """Return the time of the next batch: now, but never before the last one."""
        now_ns = self._ambient.now_ns()
        if position.index == 0:
            return now_ns
        with self._tables.reading() as rows:
            return max(now_ns, View(rows, self._log).record(position.index - 1).time_ns)

    def _signer(self) -> Signer:
        return self._keys.signer(self._ambient.token, self._ambient.passphrase)

    def _holder(self) -> str:
        actor = self._ambient.actor()
        since = datetime.fromtimestamp(self._ambient.now_ns() // 1_000_000_000, UTC).isoformat()
        return f"process {actor.pid} of {actor.user} on {actor.host} since {since}"


def _in_bulk(batches: Iterator[tuple[list[Record], Position]]) -> Iterator[tuple[list[Record], Position]]:
    """Yield the same records in runs of several batches: sums and cursors are then written once for all of them."""
    bulk: list[Record] = []
    position = START
    for records, position in batches:
        bulk += records
        if len(bulk) >= settings.FOLD_RECORDS_AT_ONCE:
            yield bulk, position
            bulk = []
    if bulk:
        yield bulk, position
