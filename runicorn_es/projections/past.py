"""The tables as they were when the log had so many records: the same questions, at the same order of cost."""

from collections.abc import Iterator

from runicorn_es.projections import batches, search
from runicorn_es.projections.chronicle import DATE_BYTES, EARLIER, date_of
from runicorn_es.projections.rows import FAMILIES
from runicorn_es.tables import Reader

# The value of the last is an index and nothing else: its date.
_DATED = frozenset([*(family.key() for family in (*FAMILIES, *search.FAMILIES)), batches.LETTER])
_LAST = b"\xff" * DATE_BYTES


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
        earlier = self._changed(prefix, after=after, reverse=reverse)
        row, key = next(present, None), next(earlier, None)
        while row is not None or key is not None:
            # Of a key that is among both, the present value counts if it is old enough.
            if row is not None and (key is None or row[0] == key or (row[0] > key if reverse else row[0] < key)):
                here, value = row
                if key == here:
                    key = next(earlier, None)
                    found = value if self._was(value) else self._earlier(here)
                else:
                    # One that has no history row was never otherwise.
                    found = value if self._was(value) else None
                row = next(present, None)
            else:
                assert key is not None
                here, found = key, self._earlier(key)
                key = next(earlier, None)
            if found is not None:
                yield here, found

    def _was(self, value: bytes | None) -> bool:
        return value is not None and value[-DATE_BYTES:] < self._date

    def _earlier(self, key: bytes) -> bytes | None:
        """Return the value from the history row that held then, or None."""
        begin = EARLIER + key
        for found, value in self._rows.scan(begin, after=begin + self._ended if self._ended else b""):
            return value if self._was(value) and len(found) == len(begin) + DATE_BYTES else None
        return None

    def _changed(self, prefix: bytes, *, after: bytes, reverse: bool) -> Iterator[bytes]:
        """Yield the keys with this prefix that have history rows, each once: from one key the next is sought."""
        begin, beyond = EARLIER + prefix, EARLIER + after if after else b""
        while (found := next(self._rows.scan(begin, after=beyond, reverse=reverse), None)) is not None:
            key = found[0][:-DATE_BYTES]
            if key[len(EARLIER) :] != after:
                yield key[len(EARLIER) :]
            beyond = key if reverse else key + _LAST
