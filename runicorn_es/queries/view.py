"""One consistent state of a store, which every question is asked of."""

from runicorn_es import codec
from runicorn_es.errors import Damaged, Unknown
from runicorn_es.events import Event, FileAdded
from runicorn_es.log import START, Log, Pending, Record
from runicorn_es.log.record import COMPRESSED, is_blank
from runicorn_es.projections import places, tree
from runicorn_es.projections.past import PastRows
from runicorn_es.projections.rows import PURGED, RUNS, VERSIONS, Contradiction
from runicorn_es.tables import Reader

# Records that a view remembers what they say.
_DECODED_MAX = 256


class View:
    """One consistent state of a store: its rows, and the records they point to.

    size: with how many records; None for all that the rows know. rows: must be those of that state.
    """

    def __init__(self, rows: Reader, log: Log | Pending, size: int | None = None) -> None:
        self.rows = rows
        self._log = log
        self._size = size
        # Metadata, tags and description of a version stand in one record, and are asked for one by one.
        self._decoded: dict[int, tuple[Event, ...]] = {}

    @property
    def size(self) -> int:
        """Return how many records there are."""
        return tree.head(self.rows)[0] if self._size is None else self._size

    @property
    def is_past(self) -> bool:
        """Return whether this is the state of an earlier moment."""
        return self._size is not None

    def as_of(self, size: int) -> "View":
        """Return the state when there were so many records, of which the last must end a batch."""
        return View(PastRows(self.rows, size), self._log, size)

    def record(self, index: int) -> Record:
        """Return a record by its index. Raises Damaged when it is not what was written, IndexError beyond the end."""
        place = None if self._size is not None and index >= self._size else places.place_of(self.rows, index)
        if place is None:
            if 0 <= index < self.size:
                raise Contradiction(f"the projections have lost where record {index} stands")
            raise IndexError(f"the log has no record {index}")
        try:
            found = self._log.read(*place)
        except (Damaged, OSError, OverflowError) as error:
            if self._is_behind_its_predecessor(index, place):
                raise
            raise Contradiction(f"record {index} is not where the projections say: {error}") from error
        if found.index != index:
            raise Contradiction(f"record {index} is not where the projections say; record {found.index} is")
        return found

    def _is_behind_its_predecessor(self, index: int, place: tuple[int, int]) -> bool:
        """Return whether a record can be where the rows say: then it is the log that is damaged there, and not they."""
        if place == (index, START.offset):
            return True
        before = places.place_of(self.rows, index - 1)
        if before is None:
            return False
        try:
            found = self._log.read(*before)
        except (Damaged, OSError, OverflowError):
            return before[0] == place[0]
        return place == (found.segment, found.offset + found.size_bytes)

    def place_of(self, index: int) -> tuple[int, int]:
        """Return the segment and the offset of a record. Raises IndexError beyond the end."""
        found = self.record(index)
        return found.segment, found.offset

    def events(self, index: int) -> tuple[Event, ...]:
        """Return the events of a record. Raises Unknown for one that was purged, Damaged for another blanked one."""
        known = self._decoded.get(index)
        if known is None:
            found = self._unblanked(index)
            known = codec.decode(found.payload, compressed=bool(found.flags & COMPRESSED))
            if len(self._decoded) >= _DECODED_MAX:
                self._decoded.clear()
            self._decoded[index] = known
        return known

    def page(self, index: int) -> tuple[FileAdded, ...]:
        """Return the files of the page that a record holds. Raises as ``events`` does."""
        found = self._unblanked(index)
        return codec.decode_files(found.payload, compressed=bool(found.flags & COMPRESSED))

    def _unblanked(self, index: int) -> Record:
        found = self.record(index)
        if is_blank(found):
            self._require_not_purged(found)
            raise Damaged(
                f"record {index} was blanked, and no purge says so; restore the segment from a copy of this store"
            )
        return found

    def _require_not_purged(self, blank: Record) -> None:
        """Raise Unknown when a purge accounts for a blank: a page goes with the last of its versions."""
        name, colon, number = blank.subject.rpartition(":v")
        if colon:
            version = VERSIONS.get(self.rows, name, int(number))
            is_purged = version is not None and version.status == PURGED
        else:
            run = RUNS.get(self.rows, blank.subject)
            is_purged = run is not None and not run.project
        if is_purged:
            raise Unknown(f"{blank.subject} was purged; what record {blank.index} said is gone for good")
