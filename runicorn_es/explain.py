"""Why something takes space: what names a blob or points to a version, and what would be freed without it."""

from collections.abc import Iterator
import os
import re

import msgspec

from runicorn_es import names, queries
from runicorn_es.errors import Rejected, Unknown
from runicorn_es.ledger import Ledger
from runicorn_es.names import Digest
from runicorn_es.pool import digest_of_name
from runicorn_es.projections.rows import PURGED, READY, VersionRow
from runicorn_es.queries import View

_BLOB = re.compile(r"blake3:(.*)|([0-9a-f]{16,64})")
_DIGITS = re.compile(r"[0-9a-f]{8,64}")
_SHOWN_MAX = 20


class Explanation(msgspec.Struct, frozen=True):
    """Why something is kept, in words and numbers. Sizes in bytes.

    subject: the spec of a version, or the digest of a blob. size_bytes: all its bytes. exclusive_bytes: those that a
    purge of it would free; for a blob all or nothing. kept: why it is kept, each reason in words; empty for what goes
    with the next ``gc``. needed_by: what names a blob, each with the path there, or what was made from a version; the
    first of them. needed_by_count: how many there are.
    """

    subject: str
    status: str
    size_bytes: int
    exclusive_bytes: int
    kept: list[str]
    needed_by: list[str]
    needed_by_count: int


def explain(ledger: Ledger, what: str) -> Explanation:
    """Return why a version or a blob is kept. Raises Unknown, Rejected."""
    if match := _BLOB.fullmatch(what):
        digits = match[2] if match[1] is None else match[1]
        if not _DIGITS.fullmatch(digits):
            raise Rejected(f"{what!r} is no digest of a blob; write blake3: and 8 to 64 of its hexadecimal digits")
        return _explain_blob(ledger, digits)
    with ledger.reading() as view:
        return _explain_version(view, queries.find(view, names.parse_reference(what)))


def _explain_blob(ledger: Ledger, prefix: str) -> Explanation:
    digest, size_bytes, links, status = _find_blob(ledger, prefix)
    with ledger.reading() as view:
        named = list(_naming(view, digest))
    live = sum(status == READY for _, status in named)
    kept = ["1 live version names it" if live == 1 else f"{live} live versions name it"] if live else []
    if deleted := len(named) - live:
        name_it = "1 deleted version names it" if deleted == 1 else f"{deleted} deleted versions name it"
        kept.append(f"{name_it}, and can be restored until purged")
    if links:
        hold = "1 hard link outside the pool holds" if links == 1 else f"{links} hard links outside the pool hold"
        kept.append(f"{hold} its bytes, whatever becomes of the pool")
    return Explanation(
        str(Digest(digest)),
        status,
        size_bytes,
        0 if named or links else size_bytes,
        kept,
        [where for where, _ in named[:_SHOWN_MAX]],
        len(named),
    )


def _find_blob(ledger: Ledger, prefix: str) -> tuple[bytes, int, int, str]:
    """Return digest, size, links outside the pool, and where it is in words, of the blob whose digest begins so."""
    folder = ledger.layout.pool / prefix[:2]
    there = os.listdir(folder) if folder.is_dir() else []  # noqa: PTH208
    loose = {bytes.fromhex(name) for name in there if name.startswith(prefix) and digest_of_name(name) is not None}
    cold = {digest: size_bytes for digest, size_bytes in ledger.pool.packs.blobs() if digest.hex().startswith(prefix)}
    found = loose | cold.keys()
    if len(found) > 1:
        raise Unknown(f"{len(found)} blobs have a digest that begins with {prefix!r}; write more digits of it")
    if not found and len(prefix) == 2 * names.DIGEST_BYTES:
        return bytes.fromhex(prefix), 0, 0, "missing"
    if not found:
        raise Unknown(
            f"the pool has no blob whose digest begins with {prefix!r}; `runicorn files SPEC --json` shows digests"
        )
    [digest] = found
    if digest in loose:
        stat = os.lstat(ledger.layout.blob(digest))
        return digest, stat.st_size, stat.st_nlink - 1, "in the pool"
    return digest, cold[digest], 0, "in the pool, cold"


def _naming(view: View, digest: bytes) -> Iterator[tuple[str, str]]:
    """Yield where a blob is named, as ``name:v3 path``, and the status of that version."""
    paths: dict[int, list[str]] = {}
    for row in queries.unpurged(view):
        for position in queries.created(view, row).pages:
            if position not in paths:
                paths[position] = [file.path for file in view.page(position) if file.digest == digest]
            for path in paths[position]:
                yield f"{names.spec(row.name, row.version)} {path}", row.status


def _explain_version(view: View, row: VersionRow) -> Explanation:
    spec = names.spec(row.name, row.version)
    if row.status == PURGED:
        return Explanation(spec, row.status, row.size_bytes, 0, [], [], 0)
    kept = queries.reasons_to_keep(view, row)
    if row.status == READY:
        kept.append("it is live" if row.version != queries.artifact(view, row.name).latest else "it is the latest")
    else:
        kept.append("it is deleted, and can be restored until it is purged")
    if chosen := queries.rule_for(view, row):
        kept.append(f"the rule for {chosen[0]}: {chosen[1]}")
    needed_by = queries.made_from(view, row)
    return Explanation(
        spec, row.status, row.size_bytes, _exclusive_bytes(view, row), kept, needed_by[:_SHOWN_MAX], len(needed_by)
    )


def _exclusive_bytes(view: View, row: VersionRow) -> int:
    """Return the bytes of the blobs that only this version names."""
    own = {file.digest: file.size_bytes for file in queries.files(view, row)}
    others = (other for other in queries.unpurged(view) if (other.name, other.version) != (row.name, row.version))
    for position in queries.pages_of(view, others):
        for file in view.page(position):
            own.pop(file.digest, None)
    return sum(own.values())
