"""Versions that are seldom asked for, into packs: what they share is stored once, and compressed.

A blob goes into packs when every version that names it is chosen: what a warm version has stays a file to link to. It
is packed beside writers and readers at work, some at a time, and its own file is removed when the pack is durable.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
import os

import msgspec

from runicorn_es import names, queries, reclaim, settings
from runicorn_es.commands import NotePacked
from runicorn_es.ledger import Ledger
from runicorn_es.pool import leases
from runicorn_es.projections.rows import PURGED, READY, VersionRow
from runicorn_es.queries import View

Progress = Callable[[int], None]
_SECOND_NS = 1_000_000_000


class Compacted(msgspec.Struct, frozen=True):
    """What went into packs, or would, if ``is_dry_run``.

    versions: those chosen. count: blobs, of size_bytes. packed_bytes: what that added to the packs. held_count: blobs
    that stay files, for hard links to them outside the pool would keep their bytes all the same.
    """

    versions: list[str]
    count: int
    size_bytes: int
    packed_bytes: int
    held_count: int
    is_dry_run: bool


def seldom_asked_for(view: View, *, keep_last: int, older_than_s: int, now_ns: int) -> Iterator[VersionRow]:
    """Yield the versions that are neither among the newest of their artifact, nor young, nor have an alias."""
    for artifact in queries.all_artifacts(view):
        aliased = {row.version for row in queries.aliases(view, artifact.name)}
        newer = 0
        for row in reversed(queries.versions(view, artifact.name, deleted=True)):
            if row.status == PURGED:
                continue
            is_old = now_ns - row.created_ns >= older_than_s * _SECOND_NS
            if (newer >= keep_last or row.status != READY) and is_old and row.version not in aliased:
                yield row
            newer += row.status == READY


def compact(ledger: Ledger, chosen: Iterable[VersionRow], *, is_dry_run: bool, progress: Progress) -> Compacted:
    """Put the blobs that only the chosen versions name into packs. progress: told bytes as they are read.

    Raises BlobDamaged, with what was packed before in packs; Rejected where the chunker is not installed.
    """
    rows = list(chosen)
    with ledger.reading() as view:
        blobs = _only_in(view, rows)
    loose, held_count = _loose(ledger, blobs)
    specs = [names.spec(row.name, row.version) for row in rows]
    size_bytes = sum(loose.values())
    packed_bytes = 0
    if loose and not is_dry_run:
        for some in _in_portions(loose):
            packed_bytes += _pack(ledger, some, progress)
        ledger.execute(NotePacked(len(loose), size_bytes, packed_bytes))
    return Compacted(specs, len(loose), size_bytes, packed_bytes, held_count, is_dry_run)


def _only_in(view: View, rows: Iterable[VersionRow]) -> dict[bytes, int]:
    """Return the blobs, with their sizes, that only these of the unpurged versions name."""
    chosen = {(row.name, row.version): row for row in rows}
    others = (row for row in queries.unpurged(view) if (row.name, row.version) not in chosen)
    warm = queries.pages_of(view, others)
    own = [position for position in queries.pages_of(view, chosen.values()) if position not in warm]
    blobs = {file.digest: file.size_bytes for position in own for file in view.page(position)}
    if blobs:
        for position in warm:
            for file in view.page(position):
                blobs.pop(file.digest, None)
    return blobs


def _loose(ledger: Ledger, blobs: Mapping[bytes, int]) -> tuple[dict[bytes, int], int]:
    """Return the blobs that are files, and how many of those others hold as well."""
    loose: dict[bytes, int] = {}
    held_count = 0
    for digest, size_bytes in blobs.items():
        with suppress(FileNotFoundError):
            if os.lstat(ledger.layout.blob(digest)).st_nlink > 1:
                held_count += 1
            else:
                loose[digest] = size_bytes
    return loose, held_count


def _in_portions(blobs: Mapping[bytes, int]) -> Iterator[dict[bytes, int]]:
    """Yield some blobs at a time: what is killed in the middle has not worked for nothing."""
    some: dict[bytes, int] = {}
    size_bytes = 0
    for digest in blobs:
        some[digest] = blobs[digest]
        size_bytes += blobs[digest]
        if size_bytes >= settings.PACKED_AT_ONCE_BYTES or len(some) >= settings.BLOBS_PACKED_AT_ONCE:
            yield some
            some, size_bytes = {}, 0
    if some:
        yield some


def _pack(ledger: Ledger, blobs: Mapping[bytes, int], progress: Progress) -> int:
    pool = ledger.pool
    # Shared, as a writer has it: nothing is removed from packs while we rely on what is in them.
    with leases.taking_in(ledger.layout, wait_s=settings.LOCK_WAIT_S):
        pool.paths(list(blobs.items()))
        packed_bytes = pool.packs.add(((digest, ledger.layout.blob(digest)) for digest in blobs), progress)
        reclaim.remove_blobs(ledger, list(blobs))
    return packed_bytes
