"""How many blobs there are and what they take, without looking at each of them.

The sums lie in the tables, which are made anew at each start of the machine; where there are none yet, somebody counts
(``expect`` and ``set``). Whoever takes blobs in says so before the first gets its name and after the log names it, and
whoever removes some, before the first goes and after the last. Who dies in between leaves what it said, and then nobody
knows the sums until they are counted again.

Who has tables in memory only, as a forked process has, cannot say so there. They leave a mark beside the tables, and
while it is there nobody knows the sums.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
import struct

import msgspec

from runicorn_es import durable
from runicorn_es.pool.stat_cache import PREFIX
from runicorn_es.tables import MemoryTables, Reader, Writer

_SUMS = PREFIX + b"usage"
_CHANGES = PREFIX + b"usage-changes"
_AT_WORK = PREFIX + b"usage-at-work-"
_ORPHAN = PREFIX + b"usage-orphan-"
_MANY = b"many"
_MET = b"met"
_TOLD_MAX = 1024
_NUMBERS = struct.Struct("<4Q")
_NUMBER = struct.Struct("<Q")


class Used(msgspec.Struct, frozen=True):
    """How many blobs lie in the pool as files of their own, and their bytes; and those of them no version names."""

    count: int = 0
    size_bytes: int = 0
    orphan_count: int = 0
    orphan_bytes: int = 0


class Usage:
    """The sums of one pool."""

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[Reader]],
        writing: Callable[[], AbstractContextManager[Writer]],
        mark: Path,
    ) -> None:
        self._reading = reading
        self._writing = writing
        self._mark = mark

    def known(self) -> Used | None:
        """Return the sums, or None when they have to be counted."""
        with self._reading() as rows:
            is_unknown = isinstance(rows, MemoryTables) or self.is_marked() or any(rows.scan(_AT_WORK))
            return None if is_unknown else _sums(rows)

    def begin(self, token: str, digests: Collection[bytes], expected: int) -> bool:
        """Say that these blobs are about to get their names.

        Returns whether some of them may have got theirs from others, since ``expect`` gave this number.
        """
        with self._telling() as out:
            told = b"".join(digests) if len(digests) <= _TOLD_MAX else _MANY
            may_meet = any(_may_meet(told, other) for _, other in out.scan(_AT_WORK))
            out.put(_AT_WORK + token.encode(), _MET if may_meet else told)
            return _changes(out) != expected

    def end(self, token: str, count: int, size_bytes: int) -> None:
        """Say that so many blobs of so many bytes got their names, and that the log names them."""
        with self._telling() as out:
            _count_change(out)
            told = out.get(_AT_WORK + token.encode())
            out.delete(_AT_WORK + token.encode())
            sums = _sums(out)
            if sums is None or told is None or told == _MET:
                # Somebody counted while this was at work, and its blobs may be in those sums or not; or somebody else
                # was at work on the same blobs, and whose they are cannot be told.
                out.delete(_SUMS)
            else:
                count, size_bytes = sums.count + count, sums.size_bytes + size_bytes
                out.put(_SUMS, _NUMBERS.pack(count, size_bytes, sums.orphan_count, sums.orphan_bytes))

    def fail(self, token: str) -> None:
        """Say that blobs may have got their names, but that the log does not name them."""
        with self._telling() as out:
            _count_change(out)
            out.delete(_AT_WORK + token.encode())
            out.delete(_SUMS)

    def name(self, found: Iterable[bytes]) -> None:
        """Say that the log names these blobs, which were there before."""
        with self._reading() as rows:
            sums = _sums(rows)
            is_shared = not isinstance(rows, MemoryTables)
        if is_shared and (sums is None or not sums.orphan_count):
            return
        with self._telling() as out:
            sums = _sums(out)
            named = {digest: row for digest in found if (row := out.get(_ORPHAN + digest)) is not None}
            if sums is None or not named:
                return
            _count_change(out)
            for digest in named:
                out.delete(_ORPHAN + digest)
            orphan_bytes = sums.orphan_bytes - sum(_NUMBER.unpack(row)[0] for row in named.values())
            out.put(_SUMS, _NUMBERS.pack(sums.count, sums.size_bytes, sums.orphan_count - len(named), orphan_bytes))

    def begin_removing(self, token: str) -> None:
        """Say that some blobs are about to go."""
        with self._telling() as out:
            out.put(_AT_WORK + token.encode(), b"")

    def remove(self, token: str, removed: Mapping[bytes, int]) -> None:
        """Say that these blobs, by digest and size, are there no more."""
        with self._telling() as out:
            _count_change(out)
            out.delete(_AT_WORK + token.encode())
            sums = _sums(out)
            if sums is None:
                return
            orphans = [digest for digest in removed if out.get(_ORPHAN + digest) is not None]
            for digest in orphans:
                out.delete(_ORPHAN + digest)
            row = _NUMBERS.pack(
                sums.count - len(removed),
                sums.size_bytes - sum(removed.values()),
                sums.orphan_count - len(orphans),
                sums.orphan_bytes - sum(removed[digest] for digest in orphans),
            )
            out.put(_SUMS, row)

    def forget(self) -> None:
        """Say that nobody knows: blobs came or went by another way."""
        with self._telling() as out:
            _count_change(out)
            out.delete(_SUMS)

    def expect(self) -> int:
        """Return a number to give to ``set`` after counting: it tells whether anything changed meanwhile."""
        with self._reading() as rows:
            return _changes(rows)

    def set(self, used: Used, orphans: Mapping[bytes, int], expected: int) -> None:
        """Keep what was counted, unless anything changed since ``expect`` or is about to."""
        with self._writing() as out:
            if self.is_marked() or _changes(out) != expected or any(out.scan(_AT_WORK)):
                return
            for key, _ in list(out.scan(_ORPHAN)):
                out.delete(key)
            for digest, size_bytes in orphans.items():
                out.put(_ORPHAN + digest, _NUMBER.pack(size_bytes))
            out.put(_SUMS, _NUMBERS.pack(used.count, used.size_bytes, used.orphan_count, used.orphan_bytes))

    def is_marked(self) -> bool:
        """Return whether somebody who cannot say so here changed the pool, or is about to."""
        return self._mark.exists()

    def unmark(self) -> None:
        """Forget that, for whoever counts from now on. Nobody may be taking blobs in or removing some."""
        self._mark.unlink(missing_ok=True)

    @contextmanager
    def _telling(self) -> Iterator[Writer]:
        with self._writing() as out:
            if isinstance(out, MemoryTables) and self._mark.parent.is_dir():
                durable.put_file(self._mark, b"")
            yield out

    def forget_the_dead(self) -> None:
        """Drop what those said who are at work no more. Nobody may be taking blobs in."""
        with self._writing() as out:
            if dead := [key for key, _ in out.scan(_AT_WORK)]:
                out.delete(_SUMS)
                for key in dead:
                    out.delete(key)


def _may_meet(told: bytes, other: bytes) -> bool:
    """Return whether what two who are at work told has a digest in common."""
    if _MANY in {told, other} or other == _MET:
        return True
    digests = {told[at : at + 32] for at in range(0, len(told), 32)}
    return any(other[at : at + 32] in digests for at in range(0, len(other), 32))


def _sums(rows: Reader) -> Used | None:
    row = rows.get(_SUMS)
    return None if row is None or len(row) != _NUMBERS.size else Used(*_NUMBERS.unpack(row))


def _changes(rows: Reader) -> int:
    row = rows.get(_CHANGES)
    return 0 if row is None or len(row) != _NUMBER.size else int(_NUMBER.unpack(row)[0])


def _count_change(out: Writer) -> None:
    out.put(_CHANGES, _NUMBER.pack(_changes(out) + 1))
