"""The tables as they were when the log had so many records: the same questions, at the same order of cost."""

from collections.abc import Iterator

from runicorn_es.projections import batches, search
from runicorn_es.projections.chronicle import DATE_BYTES, EARLIER, REMOVED, date_of
from runicorn_es.projections.rows import FAMILIES
from runicorn_es.tables import Reader

# The value of the last is an index and nothing else: its date.
_DATED = frozenset([*(family.key() for family in (*FAMILIES, *search.FAMILIES)), batches.LETTER])


class PastRows:
    """Rows as they were before some record. What has no date, such as where records stand, is as it is now.

    A row that is older than that is found at once. Of one that has changed since, the history row is the first that
    ended no earlier; it is sought, however many there are. What was purged is a tombstone at every moment.
    """

    def __init__(self, rows: Reader, size: int) -> None:
        self._rows = rows
        self._date = date_of(size)
        # The last history row that had ended by then has a key below this.
        self._ended = date_of(size - 1) if size else b""

    def get(self, key: bytes) -> bytes | None:
        """Return the value that a key had, or None."""
        value = self._rows.get(key)
        if key[:1] not in _DATED or self._was(value):
            return value
        return self._earlier(key)

    def scan(self, prefix: bytes, *, after: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys that begin with the prefix and the values they had, in order; ``after`` as for the present."""
        if prefix[:1] not in _DATED:
            assert prefix, "a scan of the past is one of rows of one kind"
            yield from self._rows.scan(prefix, after=after, reverse=reverse)
            return
        present = self._rows.scan(prefix, after=after, reverse=reverse)
        removed = self._rows.scan(REMOVED + prefix, after=REMOVED + after if after else b"", reverse=reverse)
        row, gone = next(present, None), next(removed, None)
        while row is not None or gone is not None:
            once = gone[0][len(REMOVED) :] if gone else None
            if row is None or (once is not None and (once > row[0] if reverse else once < row[0])):
                assert once is not None
                key, value = once, None
            else:
                key, value = row
                row = next(present, None)
            if key == once:
                gone = next(removed, None)
            # If it has changed since, or came later, the history row has the say.
            found = value if self._was(value) else self._earlier(key)
            if found is not None:
                yield key, found

    def _was(self, value: bytes | None) -> bool:
        return value is not None and value[-DATE_BYTES:] < self._date

    def _earlier(self, key: bytes) -> bytes | None:
        """Return the value from the history row that held then, or None."""
        begin = EARLIER + key
        for found, value in self._rows.scan(begin, after=begin + self._ended if self._ended else b""):
            return value if self._was(value) and len(found) == len(begin) + DATE_BYTES else None
        return None
