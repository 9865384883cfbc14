"""What a purge blanks: the records of each version besides its pages; and the purges that are not finished."""

from runicorn_es.events import PurgeFinished, RunPurged, VersionPurged
from runicorn_es.log.record import BLANKABLE, is_blank
from runicorn_es.projections.chronicle import Chronicle
from runicorn_es.projections.fact import Fact
from runicorn_es.projections.rows import DETAILS, PURGES, PositionRow, PurgeRow


def apply(fact: Fact, out: Chronicle) -> None:
    """Note the details of versions that this record holds, and what is to be done for purges."""
    record = fact.record
    if record.flags & BLANKABLE and ":" in record.subject and not is_blank(record):
        name, _, number = record.subject.rpartition(":v")
        DETAILS.put(out, PositionRow(record.index), name, int(number), record.index)
    for place, event in enumerate(fact.events):
        match event:
            case VersionPurged():
                for row in list(DETAILS.scan(out, event.name, event.version)):
                    DETAILS.forget(out, event.name, event.version, row.position)
                purge = PurgeRow(record.index, event.blanked, event.name, event.version)
                PURGES.put(out, purge, record.index, place)
            case RunPurged():
                PURGES.put(out, PurgeRow(record.index, event.blanked, "", 0), record.index, place)
            case PurgeFinished():
                for key, _ in list(out.scan(PURGES.key())):
                    if key < PURGES.key(event.position + 1):
                        out.delete(key)
            case _:
                pass
