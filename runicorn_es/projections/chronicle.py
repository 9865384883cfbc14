"""Rows that remember: whatever is overwritten or removed is kept, with the records between which it held.

A dated row ends with the index of the record that last changed it, its *date* (8 bytes, big-endian). When a later batch
changes it, the row as it was moves to a *history row*: a letter, the key, and the index of the record that ended it. So
a new row costs nothing more, and any earlier state of a row is one look-up away. A key that was removed is noted: there
a scan of the past finds it.

Invariants:
- A key has at most one history row a record, and they are in the order of time; what they hold is dated before.
- A batch is visible whole or not at all, and what stood only between two of its records is not kept.
"""

from runicorn_es.tables import Writer

EARLIER = b"b"
REMOVED = b"j"
DATE_BYTES = 8


class Chronicle:
    """A Writer that dates what is put and keeps what it replaces. ``turn_to`` says which record speaks."""

    def __init__(self, out: Writer) -> None:
        self._out = out
        self.get = out.get
        self.scan = out.scan
        self.turn_to(0, 0)

    def turn_to(self, index: int, batch: int) -> None:
        """Date what follows by this record; ``batch`` is the first record of its batch."""
        self._date = date_of(index)
        self._batch = self._date if batch == index else date_of(batch)

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of a key."""
        old = self._out.replace(key, value + self._date)
        if old is not None:
            self._keep(key, old)

    def add(self, key: bytes, value: bytes) -> None:
        """Set the value of a key that was never there."""
        self._out.put(key, value + self._date)

    def delete(self, key: bytes) -> None:
        """Remove a key, if it is there."""
        old = self._out.get(key)
        if old is not None:
            self._out.delete(key)
            self._keep(key, old)
            # One that came and went within a batch was never there.
            if any(True for _ in self._out.scan(EARLIER + key)):
                self._out.put(REMOVED + key, b"")

    def bury(self, key: bytes, value: bytes | None, index: int) -> None:
        """Have a key as if it had had this value since a record, or never any: nothing else of it is remembered."""
        for earlier, _ in self.earlier(key):
            self._out.delete(earlier)
        self._out.delete(REMOVED + key)
        if value is None:
            self._out.delete(key)
        else:
            self._out.put(key, value + date_of(index))

    def earlier(self, key: bytes) -> list[tuple[bytes, bytes]]:
        """Return the history rows of a key, oldest first, with the keys they are found under."""
        return list(self._out.scan(EARLIER + key))

    def rewrite(self, earlier: bytes, value: bytes) -> None:
        """Set what a history row says, but not when it was so."""
        old = self._out.get(earlier)
        assert old is not None
        self._out.put(earlier, value + old[-DATE_BYTES:])

    def _keep(self, key: bytes, old: bytes) -> None:
        """Keep what a key had, if anybody can have seen it."""
        if old[-DATE_BYTES:] < self._batch:
            self._out.put(EARLIER + key + self._date, old)


def date_of(index: int) -> bytes:
    """Return how the index of a record is written in rows: so that bytes are in the order of numbers."""
    return index.to_bytes(DATE_BYTES, "big")
