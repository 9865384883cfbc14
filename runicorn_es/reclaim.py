"""What takes space for nothing: found, explained, and removed while others go on writing.

Blobs are marked first, in peace: those of the pool that no page of an unpurged version names. Only then are they
removed, a few at a time, each time with nobody taking blobs in, and after a look at what was logged since: a writer
may have found such a blob in the pool and named it. What is killed in the middle leaves less to do.
"""

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from itertools import islice
import os
from pathlib import Path
import re
import shutil
import stat
import time
from typing import Literal

import msgspec

from runicorn_es import durable, names, queries, settings
from runicorn_es.commands import NoteReclaimed
from runicorn_es.errors import Busy, Damaged, Unknown
from runicorn_es.ledger import Ledger
from runicorn_es.pool import blobs_of, leases, looks_untouched
from runicorn_es.pool.usage import Used
from runicorn_es.projections.rows import PURGED, READY
from runicorn_es.queries import Due
from runicorn_es.tables import TablesFailed

Kind = Literal["blob", "pack", "staging", "temporary", "download"]
Progress = Callable[[int], None]

_PAGES_AT_ONCE = 256
_TEMPORARY = re.compile(r"\..*\.tmp")
_TEMPORARY_IDLE_S = 3600


class Reclaimable(msgspec.Struct, frozen=True):
    """One thing that takes space for nothing. ``path`` is relative to the store.

    size_bytes: what removing it gives back; 0 for a blob that somebody still holds through another hard link.
    """

    kind: Kind
    path: str
    size_bytes: int
    reason: str


class Reclaimed(msgspec.Struct, frozen=True):
    """What was found, and removed unless ``is_dry_run``.

    freed_bytes: the sum of what that gives back. due: what rules of retention had deleted and purged before.
    """

    items: list[Reclaimable]
    freed_bytes: int
    is_dry_run: bool
    due: list[Due] = []


def reclaim(ledger: Ledger, *, unused_s: int, is_dry_run: bool, progress: Progress) -> Reclaimed:
    """Find what takes space for nothing and, unless it is a dry run, remove it.

    unused_s: files in the store's own ``downloads`` go when their download was not asked for so long; but never one
    that somebody changed or put there. progress: told how many blobs and files were looked at.

    Raises Damaged, and removes nothing, when a version's list of files cannot be read: its blobs would look as if they
    were nobody's.
    """
    orphans, head = _orphans(ledger, progress)
    blobs = {digest: item for digest in orphans if (item := _blob_item(ledger, digest)) is not None}
    if not is_dry_run and orphans:
        _remove_orphans(ledger, orphans, head, progress)
    items = [item for digest, item in blobs.items() if digest in orphans]
    items += _packed(ledger, is_dry_run=is_dry_run, progress=progress)
    items += _staging(ledger, is_dry_run=is_dry_run)
    items += _temporary(ledger, is_dry_run=is_dry_run)
    items += _downloads(ledger, unused_s, is_dry_run=is_dry_run)
    return Reclaimed(items, sum(item.size_bytes for item in items), is_dry_run)


def used(ledger: Ledger) -> Used:
    """Return what the blobs of the pool take, and those that no version names; counts them where nobody knows.

    Raises Damaged when a version's list of files cannot be read.
    """
    usage = ledger.pool.usage
    if (known := usage.known()) is not None:
        return known
    if usage.is_marked():
        with suppress(Busy), leases.removing(ledger.layout, wait_s=0):
            usage.unmark()
    expected = usage.expect()
    found: dict[bytes, int] = {}
    for digest, entry in blobs_of(ledger.layout):
        with suppress(FileNotFoundError):
            found[digest] = entry.stat(follow_symlinks=False).st_size
    orphans = dict(found)
    without_live(ledger, orphans)
    counted = Used(len(found), sum(found.values()), len(orphans), sum(orphans.values()))
    with suppress(TablesFailed, OSError):
        usage.set(counted, orphans, expected)
    return counted


def without_live(ledger: Ledger, blobs: MutableMapping[bytes, int]) -> None:
    """Take out of these blobs what an unpurged version names."""
    with ledger.reading() as view:
        positions = list(queries.pages_of(view, queries.unpurged(view)))
    for file_digest in _digests_in(ledger, positions):
        blobs.pop(file_digest, None)


def remove_blobs(ledger: Ledger, digests: Sequence[bytes]) -> dict[bytes, int]:
    """Remove the files of blobs from the pool, durably; returns those that were there, with the bytes they took."""
    removed: dict[bytes, int] = {}
    layout = ledger.layout
    token = os.urandom(8).hex()
    with suppress(TablesFailed, OSError):
        ledger.pool.usage.begin_removing(token)
    with durable.filesystem_of(layout.pool) as sync_all:
        for digest in digests:
            path = layout.blob(digest)
            try:
                found = os.lstat(path)
                os.unlink(path)  # noqa: PTH108
            except FileNotFoundError:
                continue
            removed[digest] = found.st_size
        sync_all()
    with suppress(TablesFailed, OSError):
        ledger.pool.usage.remove(token, removed)
    return removed


def remove_cold(ledger: Ledger, digests: Sequence[bytes]) -> tuple[set[bytes], int]:
    """Remove blobs from the packs, durably; returns those that were there, and the bytes that this freed.

    Nobody may be taking blobs in. Raises Damaged when it cannot be read which chunks other blobs need.
    """
    packs = ledger.pool.packs
    if not packs.there_are():
        return set(), 0
    cold = {digest for digest, size in zip(digests, packs.sizes(digests), strict=True) if size is not None}
    freed_bytes = packs.drop(cold) if cold else 0
    return cold, freed_bytes + packs.sweep(nullcontext, _silently)


def remove_staging(ledger: Ledger) -> list[Reclaimable]:
    """Remove what killed writers left on its way into the pool. Nobody may be taking blobs in."""
    with suppress(TablesFailed, OSError):
        ledger.pool.usage.forget_the_dead()
    return list(_staged_items(ledger, remove=True))


def _orphans(ledger: Ledger, progress: Progress) -> tuple[dict[bytes, int], int]:
    """Return the blobs that no unpurged version names, with their sizes, and how long the log was then."""
    found: dict[bytes, int] = {}
    for digest, _ in blobs_of(ledger.layout):
        found[digest] = 0
        progress(1)
    # The head first: what is named beyond it is looked at before anything is removed.
    with ledger.reading() as view:
        head = queries.head(view)[0]
    without_live(ledger, found)
    return found, head


def _remove_orphans(ledger: Ledger, orphans: dict[bytes, int], head: int, progress: Progress) -> None:
    remaining = iter(list(orphans))
    count = size_bytes = 0
    while some := list(islice(remaining, settings.BLOBS_REMOVED_AT_ONCE)):
        with leases.removing(ledger.layout, wait_s=settings.LOCK_WAIT_S):
            head = _spare_newly_named(ledger, orphans, head)
            removed = remove_blobs(ledger, [digest for digest in some if digest in orphans])
        count, size_bytes = count + len(removed), size_bytes + sum(removed.values())
        progress(len(some))
    if count:
        ledger.execute(NoteReclaimed(count, size_bytes))


def _spare_newly_named(ledger: Ledger, orphans: dict[bytes, int], head: int) -> int:
    """Take out of the orphans what was named since the log had this length; returns its length now."""
    with ledger.reading() as view:
        now = queries.head(view)[0]
        pages = [index for index in range(head, now) if queries.is_page(view.record(index))]
    for digest in _digests_in(ledger, pages):
        orphans.pop(digest, None)
    return now


def _digests_in(ledger: Ledger, positions: Sequence[int]) -> Iterator[bytes]:
    """Yield the digests of the files of some pages."""
    remaining = iter(positions)
    while some := list(islice(remaining, _PAGES_AT_ONCE)):
        with ledger.reading() as view:
            for position in some:
                try:
                    page = view.page(position)
                except Unknown as error:
                    # A purge that is at work blanked it. But what a version still needs must never look like nothing.
                    if position in queries.pages_of(view, queries.unpurged(view)):
                        raise Damaged(f"{error}, and another version needs it; run `runicorn-es audit`") from error
                    continue
                yield from (file.digest for file in page)


def _blob_item(ledger: Ledger, digest: bytes) -> Reclaimable | None:
    path = ledger.layout.blob(digest)
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    links = found.st_nlink - 1
    reason = "no version names it"
    if links:
        reason += f"; {links} hard links to it outside the pool keep its bytes on the disk"
    return Reclaimable("blob", _relative(ledger, path), 0 if links else found.st_size, reason)


def _packed(ledger: Ledger, *, is_dry_run: bool, progress: Progress) -> list[Reclaimable]:
    """Return what packs hold for nothing: blobs that no version names, and chunks that a crash left of no blob."""
    packs, layout = ledger.pool.packs, ledger.layout
    if not packs.there_are():
        return []
    with ledger.reading() as view:
        head = queries.head(view)[0]
    orphans = dict(packs.blobs())
    without_live(ledger, orphans)
    size_bytes = packs.what_goes(orphans)
    if not size_bytes:
        return []
    count = len(orphans)
    if not is_dry_run:
        if orphans:
            with leases.removing(layout, wait_s=settings.LOCK_WAIT_S):
                _spare_newly_named(ledger, orphans, head)
                packs.drop(orphans.keys())
        packs.sweep(partial(leases.removing, layout, wait_s=settings.LOCK_WAIT_S), progress)
        if orphans:
            ledger.execute(NoteReclaimed(len(orphans), sum(orphans.values())))
    reason = f"{count} cold blobs that no version names" if count else "chunks that no blob needs"
    return [Reclaimable("pack", _relative(ledger, str(layout.packs)), size_bytes, reason)]


def _staging(ledger: Ledger, *, is_dry_run: bool) -> list[Reclaimable]:
    """Return what killed writers left; where writers are at work and do not end, nothing can be said of it."""
    if not any(True for _ in _staged_items(ledger, remove=False)):
        return []
    with leases.removing(ledger.layout, wait_s=settings.LOCK_WAIT_S):
        return list(_staged_items(ledger, remove=False)) if is_dry_run else remove_staging(ledger)


def _staged_items(ledger: Ledger, *, remove: bool) -> Iterator[Reclaimable]:
    incoming = ledger.layout.incoming
    if not incoming.is_dir():
        return
    for entry in sorted(os.scandir(incoming), key=lambda entry: entry.name):
        is_folder = entry.is_dir(follow_symlinks=False)
        size_bytes = _size_of_tree(entry.path) if is_folder else entry.stat(follow_symlinks=False).st_size
        if remove and is_folder:
            shutil.rmtree(entry.path)
        elif remove:
            os.unlink(entry.path)  # noqa: PTH108
        yield Reclaimable("staging", _relative(ledger, entry.path), size_bytes, "a writer that is gone left it")


def _temporary(ledger: Ledger, *, is_dry_run: bool) -> Iterator[Reclaimable]:
    """Yield files that were to replace others, and whose writers died. They are never used again."""
    layout = ledger.layout
    for folder in (layout.root, layout.log, layout.keys, layout.checkouts, layout.projections, layout.packs):
        if not folder.is_dir():
            continue
        for entry in os.scandir(folder):
            found = entry.stat(follow_symlinks=False)
            is_idle = time.time() - found.st_mtime > _TEMPORARY_IDLE_S
            if stat.S_ISREG(found.st_mode) and _TEMPORARY.fullmatch(entry.name) and is_idle:
                if not is_dry_run:
                    os.unlink(entry.path)  # noqa: PTH108
                reason = "its writer died before it was put in its place"
                yield Reclaimable("temporary", _relative(ledger, entry.path), found.st_size, reason)


def _downloads(ledger: Ledger, unused_s: int, *, is_dry_run: bool) -> Iterator[Reclaimable]:
    """Yield what was downloaded into the store of versions that are gone, or that nobody asked for lately."""
    for folder, spec, status in _download_folders(ledger):
        idle_s = time.time() - folder.stat().st_mtime
        if status == READY and idle_s <= unused_s:
            continue
        paths, others = _links_in(folder)
        if not paths:
            continue
        size_bytes = 0
        for path in paths:
            found = path.lstat()
            size_bytes += found.st_size if found.st_nlink == 1 else 0
            if not is_dry_run:
                path.unlink()
        why = f"{spec} is {status}" if status != READY else f"not asked for in {int(idle_s // 86_400)} days"
        kept = f"; {others} files of yours in it stay" if others else ""
        reason = f"{len(paths)} links, {why}{kept}; `download()` makes them again"
        if not is_dry_run:
            _remove_empty(folder)
        yield Reclaimable("download", _relative(ledger, str(folder)), size_bytes, reason)


def _download_folders(ledger: Ledger) -> Iterator[tuple[Path, str, str]]:
    """Yield the folders that ``download()`` without a target made: each with its version's spec and status."""
    layout = ledger.layout
    if not layout.downloads.is_dir():
        return
    there = set(os.listdir(layout.downloads))  # noqa: PTH208
    with ledger.reading() as view:
        found = [
            (layout.download(row.name, row.version), names.spec(row.name, row.version), row.status)
            for artifact in queries.all_artifacts(view)
            if layout.download(artifact.name, 1).parent.name in there
            for row in queries.versions(view, artifact.name, deleted=True)
        ]
    yield from ((folder, spec, status) for folder, spec, status in found if folder.is_dir() and status != PURGED)


def _links_in(folder: Path) -> tuple[list[Path], int]:
    """Return the files below a folder that are as the pool links them, and how many others there are."""
    links: list[Path] = []
    others = 0
    for top, _, files in os.walk(folder):
        for name in files:
            path = Path(top, name)
            found = path.lstat()
            if looks_untouched(found, found.st_size):
                links.append(path)
            else:
                others += 1
    return links, others


def _remove_empty(folder: Path) -> None:
    for top, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            os.rmdir(top)  # noqa: PTH106
    with suppress(OSError):
        folder.parent.rmdir()


def _size_of_tree(folder: str) -> int:
    return sum(os.lstat(os.path.join(top, name)).st_size for top, _, files in os.walk(folder) for name in files)  # noqa: PTH118


def _relative(ledger: Ledger, path: str) -> str:
    return os.path.relpath(path, ledger.layout.root)


def _silently(count: int) -> None:
    """Report progress to nobody."""
