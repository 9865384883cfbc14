"""Which blobs were hashed since the machine was started, and found right.

A disk may return other bytes one day and say nothing. So a blob is hashed when it is first asked for after a start of
the machine; from then on its bytes are in memory, or were there a short while ago, and its change time tells whether
anybody touched it. Making and removing hard links moves the change time as well: those that we made fall into spans
that we noted; after those of others the blob is hashed once more.

The rows lie in the tables, which are made anew at each start of the machine.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
import struct
import time

from runicorn_es.pool.stat_cache import PREFIX
from runicorn_es.tables import Reader, TablesFailed, Writer

_SPANS = PREFIX + b"spans"
_SPAN = struct.Struct("<qq")
_SPANS_MAX = 64
_LEARNED_MAX = 20_000
_TIME = struct.Struct("<q")
_CLOCK_OF_FILES = 5  # CLOCK_REALTIME_COARSE, for which the time module has no name


class HashedBlobs:
    """What is known of the blobs of one store. Rows learned are kept in memory until ``flush``."""

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[Reader]],
        writing: Callable[[], AbstractContextManager[Writer]],
    ) -> None:
        self._reading = reading
        self._writing = writing
        self._learned: dict[bytes, int] = {}
        self._spans: list[tuple[int, int]] = []

    def find(self, blobs: Sequence[tuple[bytes, int]]) -> list[bool]:
        """Return for each digest and change time whether the blob is known to be right, and was not touched since."""
        with self._reading() as rows:
            begins, ends = _in_order([*self._spans, *_SPAN.iter_unpack(rows.get(_SPANS) or b"")])
            learned, row_of = self._learned, rows.get
            found = []
            for digest, ctime_ns in blobs:
                known_ns = learned.get(digest)
                if known_ns is None:
                    row = row_of(PREFIX + digest)
                    # Empty for most of them, of which there may be millions: their times fall into spans.
                    if row is None or (row and len(row) != _TIME.size):
                        found.append(False)
                        continue
                    known_ns = _TIME.unpack(row)[0] if row else 0
                at = bisect_right(begins, ctime_ns) - 1
                found.append((at >= 0 and ctime_ns <= ends[at]) or ctime_ns == known_ns)
            return found

    def learn(self, digest: bytes, ctime_ns: int = 0) -> None:
        """Note that a blob was hashed and had this change time then; 0: one that falls into a span."""
        self._learned[digest] = ctime_ns
        if len(self._learned) >= _LEARNED_MAX:
            with suppress(TablesFailed, OSError):
                self.flush()

    @contextmanager
    def touching(self) -> Iterator[None]:
        """Say that whatever changes the change times of known blobs for the length of a block is our own doing."""
        # The kernel's clock for files lags behind by up to a tick, so that it is never before this one.
        begin_ns = time.clock_gettime_ns(_CLOCK_OF_FILES)
        try:
            yield
        finally:
            self._spans.append((begin_ns, time.time_ns()))

    def flush(self) -> None:
        """Write the rows learned, in the order of their keys."""
        if not self._learned and not self._spans:
            return
        with self._writing() as out:
            spans = [*_SPAN.iter_unpack(out.get(_SPANS) or b""), *self._spans]
            out.put(_SPANS, b"".join(_SPAN.pack(*span) for span in spans[-_SPANS_MAX:]))
            out.put_all(
                [
                    (PREFIX + digest, _TIME.pack(ctime_ns) if ctime_ns else b"")
                    for digest, ctime_ns in sorted(self._learned.items())
                ]
            )
        self._learned.clear()
        self._spans.clear()


def _in_order(spans: Iterable[tuple[int, ...]]) -> tuple[list[int], list[int]]:
    """Return where spans begin and end, in order, those that overlap made one."""
    begins: list[int] = []
    ends: list[int] = []
    for begin, end in sorted(spans):
        if ends and begin <= ends[-1]:
            ends[-1] = max(ends[-1], end)
        else:
            begins.append(begin)
            ends.append(end)
    return begins, ends
