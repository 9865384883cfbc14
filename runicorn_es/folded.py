"""The tables of a store, kept: opened, folded up to the end of the log, made anew, followed when others make them anew.

Invariants:
- The cursor is written in the same transaction as the rows; it may lag behind the log, never lead.
- Tables on disk belong to one process. Who may not write them, or cannot open them, folds into memory.
- Tables that a thread may be reading are not closed but forgotten: the last who refers to them closes them.
"""

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
import errno

from runicorn_es import projections, settings, tables
from runicorn_es.layout import Layout
from runicorn_es.log import START, Log, Position, Record
from runicorn_es.pool import stat_cache
from runicorn_es.projections.rows import Contradiction
from runicorn_es.tables import MemoryTables, Reader, Tables, TablesFailed, Writer, gathered


class FoldedTables:
    """The tables of one store in one process. Whoever writes to the log holds the writer's lock; who reads, none."""

    def __init__(self, layout: Layout, store_id: str, log: Log, *, in_memory: bool) -> None:
        self._layout = layout
        self._identity = projections.identity(store_id)
        self._log = log
        self._is_in_memory = in_memory
        # Up to where the log is folded; a thread that only reads may set it to an older place at any moment.
        self.position = START
        self._tables = self._opened()

    def reading(self) -> AbstractContextManager[Reader]:
        """Open the tables for the length of a block; they may lag behind the log. Raises TablesFailed."""
        return self._tables.reading()

    def writing(self) -> AbstractContextManager[Writer]:
        """Open the tables for changes, all of which are kept at the end of the block, or none. Raises TablesFailed."""
        return self._tables.writing()

    @contextmanager
    def reading_or_mended(self) -> Iterator[Reader]:
        """Open the tables; where they fail, what was only remembered may have broken them, open others in memory."""
        with ExitStack() as opened:
            try:
                rows = opened.enter_context(self._tables.reading())
            except TablesFailed:
                self.begin_in_memory()
                rows = opened.enter_context(self._tables.reading())
            yield rows

    def is_behind(self) -> bool:
        """Return whether the log has more than was folded; two file system calls."""
        return self._log.has_more(self.position)

    def catch_up(self) -> Position:
        """Fold what the log has more, and return the place up to which it is folded then."""
        self.follow()
        position = self._fold_into(self._tables)
        self.position = position
        return position

    def catch_up_or_begin_anew(self) -> None:
        """Catch up in tables just opened; where they fail or contradict themselves, in new ones."""
        with suppress(TablesFailed, Contradiction):
            self.catch_up()
            return
        self._tables.close()
        self.distrust()
        self._tables = self._opened()
        with suppress(TablesFailed, Contradiction):
            self.catch_up()
            return
        self._tables.close()
        self._tables = MemoryTables()
        self.catch_up()

    def follow(self) -> None:
        """Leave tables that a purge, in another process or by another object, has made anew: they keep what was purged.

        Whatever is folded is folded into each of them; but what is only remembered has to be remembered by all.
        """
        old = self._tables
        if tables.are_current(old):
            return
        tables.close_when_forgotten(old, old)
        self._tables = self._folded_anew()

    def begin_in_memory(self) -> None:
        """Leave tables that failed, open, for other threads may be reading them, and go on with others in memory."""
        self._tables = MemoryTables()
        self.position = self._fold_into(self._tables)

    def make_anew_without(self, digests: Collection[bytes]) -> None:
        """Fold all tables anew, and take along what is only remembered, but for these blobs."""
        old = self._tables
        if isinstance(old, MemoryTables):
            # Those of the folder, which we could not open or are a parent's, hold it all the same.
            tables.wipe(self._layout.tables, self._layout.boot)
            return
        # Others in this process may be reading the old ones; the last of them closes them.
        tables.close_when_forgotten(old, old)
        tables.wipe(self._layout.tables, self._layout.boot)
        new = self._opened()
        try:
            self._fold_into(new)
            with old.reading() as remembered, new.writing() as out:
                for key, row in remembered.scan(stat_cache.PREFIX):
                    if stat_cache.digest_of(key, row) not in digests:
                        out.put(key, row)
        except TablesFailed:
            new = MemoryTables()
            self._fold_into(new)
        self._tables = new

    def rebuild(self, position: Position) -> list[bytes]:
        """Put rows folded anew in the place of those that are there, and return the keys of those that differed.

        ``position`` is the end of the log; its writer's lock must be held. Raises Damaged where the log is damaged;
        then the old stay.
        """
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

    def distrust(self) -> None:
        """Have the tables made anew by whoever opens them next."""
        tables.distrust(self._layout.boot)

    def close(self) -> None:
        """Release the tables."""
        self._tables.close()

    def _opened(self) -> Tables:
        if self._is_in_memory:
            return MemoryTables()
        try:
            opened = tables.open_tables(self._layout.tables, self._layout.boot, self._identity)
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

    def _folded_anew(self) -> Tables:
        new = self._opened()
        try:
            self._fold_into(new)
        except TablesFailed:
            new = MemoryTables()
            self._fold_into(new)
        return new

    def _fold_into(self, target: Tables) -> Position:
        """Fold what the log has beyond the tables' cursor; returns the position reached."""
        while True:
            with target.writing() as rows, gathered(rows) as out:
                position = begin = projections.cursor(out) or START
                for records, behind in _in_bulk(self._log.batches(position)):
                    projections.fold(records, behind, out)
                    position = behind
                    if position.index - begin.index >= settings.REFOLD_RECORDS_PER_TRANSACTION:
                        break
                else:
                    return position


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
