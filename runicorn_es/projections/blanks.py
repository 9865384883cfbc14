"""Which versions have a blanked record, and no purge that says why: a part of them is gone, and that must be said."""

from runicorn_es import names
from runicorn_es.events import RunPurged, VersionPurged
from runicorn_es.projections.fact import Fact
from runicorn_es.tables import Reader, Writer

_LETTER = b"z"
# LMDB's keys end at 511 bytes; the end of a subject, with the version's number, tells versions of one artifact apart.
_SUBJECT_BYTES_MAX = 500


CONCERNED = frozenset({VersionPurged, RunPurged})


def apply(fact: Fact, out: Writer) -> None:
    """Note a blanked record, but no page: those are missed when they are read. A purge accounts for its own."""
    if fact.is_blank:
        out.put(_key(fact.record.subject), fact.record.index.to_bytes(8, "big"))
    for event in fact.events:
        if isinstance(event, VersionPurged):
            out.delete(_key(names.spec(event.name, event.version)))
        elif isinstance(event, RunPurged):
            out.delete(_key(event.run))


def position_of(view: Reader, spec: str) -> int | None:
    """Return the index of a blanked record of a version that was not purged, or None."""
    found = view.get(_key(spec))
    return None if found is None else int.from_bytes(found, "big")


def _key(subject: str) -> bytes:
    return _LETTER + subject.encode()[-_SUBJECT_BYTES_MAX:]
