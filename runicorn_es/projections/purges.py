"""The purges that are not finished."""

from runicorn_es.events import PurgeFinished, RunPurged, VersionPurged
from runicorn_es.projections.chronicle import Chronicle
from runicorn_es.projections.fact import Fact
from runicorn_es.projections.rows import PURGES, PurgeRow

CONCERNED = frozenset({PurgeFinished, RunPurged, VersionPurged})


def apply(fact: Fact, out: Chronicle) -> None:
    """Note what is to be done for purges."""
    record = fact.record
    for place, event in enumerate(fact.events):
        match event:
            case VersionPurged():
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
