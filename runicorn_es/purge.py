"""Forget versions for good: what the log has decided, carried out to the last byte.

A purge is decided by an event, which stays, and is carried out in steps that may be repeated:
1. the blobs that only purged versions named, loose and in packs, what was downloaded of them into the store, what
   remembers their paths;
2. the payloads of their records, overwritten in place: the headers stay, and with them every checkpoint and proof;
3. the tables, made anew, for LMDB's freed pages keep what they held; those of users' own projections, wiped;
4. an event that says that nothing is left.
Until the last, whoever opens the store goes on with it. Nobody takes blobs in meanwhile.
"""

from collections.abc import Iterable
from contextlib import suppress
import os
import shutil

import msgspec

from runicorn_es import checkout, custom, durable, queries, reclaim, settings
from runicorn_es.commands import FinishPurge
from runicorn_es.errors import Unknown
from runicorn_es.ledger import Ledger
from runicorn_es.pool import leases
from runicorn_es.projections.rows import PurgeRow


class Purged(msgspec.Struct, frozen=True):
    """What went: versions, and how many blobs of how many bytes that no other version names."""

    versions: list[str]
    count: int
    size_bytes: int


def finish(ledger: Ledger, *, wait_s: float = settings.LOCK_WAIT_S) -> tuple[int, int]:
    """Carry out every purge that was decided and is not finished; returns how many blobs went, and their bytes.

    Raises Busy when others are taking blobs in, or purge, for longer than the wait; Damaged, before anything is
    removed, when the files of another version cannot be read: what they share would not be known.
    """
    with leases.removing(ledger.layout, wait_s=wait_s):
        with ledger.reading() as view:
            begun = queries.unfinished_purges(view)
        if not begun:
            return 0, 0
        blanked = sorted({index for purge in begun for index in purge.blanked})
        blobs, paths = _only_theirs(ledger, blanked)
        reclaim.without_live(ledger, blobs)
        removed = reclaim.remove_blobs(ledger, list(blobs))
        cold, freed_bytes = reclaim.remove_cold(ledger, list(blobs))
        reclaim.remove_staging(ledger)
        _remove_quarantined(ledger, blobs)
        _remove_downloads(ledger, begun)
        checkout.forget(ledger.layout, blobs.keys(), paths)
        ledger.forget(blanked, blobs.keys())
        custom.wipe_all(ledger.layout)
        gone = len(removed.keys() | cold), sum(removed.values()) + freed_bytes
        ledger.execute(FinishPurge(max(purge.position for purge in begun), *gone))
        return gone


def _only_theirs(ledger: Ledger, blanked: Iterable[int]) -> tuple[dict[bytes, int], set[str]]:
    """Return the blobs and the paths in the pages among these records; none where they are blank already."""
    blobs: dict[bytes, int] = {}
    paths: set[str] = set()
    for index in blanked:
        with ledger.reading() as view, suppress(Unknown):
            if queries.is_page(view.record(index)):
                for file in view.page(index):
                    blobs[file.digest] = file.size_bytes
                    paths.add(file.path)
    return blobs, paths


def _remove_quarantined(ledger: Ledger, blobs: Iterable[bytes]) -> None:
    """Remove damaged copies of these blobs, and all torn tails: nobody can say what is in those."""
    layout = ledger.layout
    digests = {digest.hex() for digest in blobs}
    for folder in (layout.pool_quarantine, layout.log_quarantine):
        if folder.is_dir():
            for entry in list(os.scandir(folder)):
                if folder == layout.log_quarantine or entry.name.partition("-")[0] in digests:
                    os.unlink(entry.path)  # noqa: PTH108
            durable.sync_folder(folder)


def _remove_downloads(ledger: Ledger, begun: Iterable[PurgeRow]) -> None:
    for purge in begun:
        if purge.name:
            folder = ledger.layout.download(purge.name, purge.version)
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)
            with suppress(OSError):
                folder.parent.rmdir()
