"""Which record holds a page of files, by the digest of the page: what lets a version refer to unchanged pages."""

from runicorn_es import codec
from runicorn_es.events import RunPurged, VersionPurged
from runicorn_es.log.record import COMPRESSED, PAGE
from runicorn_es.projections.fact import Fact
from runicorn_es.tables import Reader, Writer

_LETTER = b"g"
_BY_RECORD = b"i"


CONCERNED = frozenset({VersionPurged, RunPurged})


def apply(fact: Fact, out: Writer) -> None:
    """Note a page, and forget those that a purge blanks: nobody may refer to them any more."""
    record = fact.record
    if record.flags & PAGE and not fact.is_blank:
        digest = codec.page_digest_of(record.payload, compressed=bool(record.flags & COMPRESSED))
        index = record.index.to_bytes(8, "big")
        out.put(_LETTER + digest, index)
        out.put(_BY_RECORD + index, digest)
    for event in fact.events:
        if isinstance(event, VersionPurged | RunPurged):
            for blanked in event.blanked:
                _forget(out, blanked.to_bytes(8, "big"))


def _forget(out: Writer, index: bytes) -> None:
    digest = out.get(_BY_RECORD + index)
    if digest is not None:
        out.delete(_BY_RECORD + index)
        if out.get(_LETTER + digest) == index:
            out.delete(_LETTER + digest)


def position_of(view: Reader, digest: bytes) -> int | None:
    """Return the index of the record that holds this page, or None."""
    found = view.get(_LETTER + digest)
    return None if found is None else int.from_bytes(found, "big")


def is_page(view: Reader, index: int) -> bool:
    """Return whether a record holds a page, and was not blanked."""
    return view.get(_BY_RECORD + index.to_bytes(8, "big")) is not None
