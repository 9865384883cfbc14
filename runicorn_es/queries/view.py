"""One consistent state of a store, which every question is asked of."""

from runicorn_es import codec
from runicorn_es.errors import Damaged
from runicorn_es.events import Event, FileAdded
from runicorn_es.log import Log, Record
from runicorn_es.log.record import COMPRESSED, is_blank
from runicorn_es.projections import places
from runicorn_es.tables import Reader


class View:
    """One consistent state of a store: its rows, and the records they point to."""

    def __init__(self, rows: Reader, log: Log) -> None:
        self.rows = rows
        self._log = log

    def record(self, index: int) -> Record:
        """Return a record by its index. Raises Damaged when it is not what was written, IndexError beyond the end."""
        place = places.place_of(self.rows, index)
        if place is None:
            raise IndexError(f"the log has no record {index}")
        found = self._log.read(*place)
        if found.index != index:
            raise Damaged(f"record {index} was looked for where record {found.index} stands; run `runicorn-es rebuild`")
        return found

    def events(self, index: int) -> tuple[Event, ...]:
        """Return the events of a record. Raises Damaged for a blanked one: of a purged version, nobody asks."""
        found = self._unblanked(index)
        return codec.decode(found.payload, compressed=bool(found.flags & COMPRESSED))

    def page(self, index: int) -> tuple[FileAdded, ...]:
        """Return the files of the page that a record holds. Raises Damaged for a blanked one."""
        found = self._unblanked(index)
        return codec.decode_files(found.payload, compressed=bool(found.flags & COMPRESSED))

    def _unblanked(self, index: int) -> Record:
        found = self.record(index)
        if is_blank(found):
            raise Damaged(
                f"record {index} was blanked, and no purge says so; restore the segment from a copy of this store"
            )
        return found
