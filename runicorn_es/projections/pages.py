"""Which record holds a page of files, by the digest of the page: what lets a version refer to unchanged pages."""

from collections.abc import Sequence

from runicorn_es import codec
from runicorn_es.log.record import COMPRESSED, PAGE, is_blank
from runicorn_es.projections.fact import Fact
from runicorn_es.tables import Reader, Writer

_LETTER = b"g"


def apply(facts: Sequence[Fact], out: Writer) -> None:
    """Note the pages among these records."""
    for fact in facts:
        record = fact.record
        if record.flags & PAGE and not is_blank(record):
            digest = codec.page_digest_of(record.payload, compressed=bool(record.flags & COMPRESSED))
            out.put(_LETTER + digest, record.index.to_bytes(8, "big"))


def position_of(view: Reader, digest: bytes) -> int | None:
    """Return the index of the record that holds this page, or None."""
    found = view.get(_LETTER + digest)
    return None if found is None else int.from_bytes(found, "big")
