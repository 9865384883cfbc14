"""Take what is missing or damaged from another copy of the same store; nothing is trusted before it is verified.

A blob is taken when its bytes have its digest. A segment is taken when the log that results reads from end to end and
has, at the size of this store's own signed checkpoint, the very root that was signed. What is replaced is kept in
quarantine.
"""

from collections.abc import Callable
import os
from pathlib import Path
import shutil

import msgspec

from runicorn_es import durable, founding, settings
from runicorn_es.audit import Finding, audit
from runicorn_es.audit.reading import LogReading
from runicorn_es.cold import Packs
from runicorn_es.errors import BlobDamaged, Rejected
from runicorn_es.founding import Identity
from runicorn_es.layout import Layout, first_index_of
from runicorn_es.log import record
from runicorn_es.log.walk import Gap, walk
from runicorn_es.pool import hash_file, seal
from runicorn_es.signing import Head, Keys
from runicorn_es.tables import MemoryTables


class Repair(msgspec.Struct, frozen=True):
    """What was taken from the other copy, and what is still damaged: segments by name, blobs in hexadecimal."""

    segments: list[str]
    blobs: list[str]
    remaining: list[Finding]


def repair(root: Path, other_root: Path, *, progress: Callable[[int], None] | None = None) -> Repair:
    """Heal a store from another copy of it, and return what was done and what could not be.

    Raises Rejected when the other folder is not a copy of this store, Unknown when there is none, Busy when a writer is
    at work. Durable when it returns; a crash in the middle leaves less to do for the next time.
    """
    layout, other = Layout(root.absolute()), Layout(other_root.absolute())
    identity = founding.require(layout)
    if founding.require(other).store_id != identity.store_id:
        raise Rejected(f"{other.root} is another store, not a copy of {layout.root}; nothing can be taken from it")
    holder = f"process {os.getpid()}, repairing"
    with durable.locked(layout.lock, wait_s=settings.LOCK_WAIT_S, holder=holder):
        segments = _repair_log(layout, other, identity)
        blobs = _repair_blobs(layout, other)
    remaining = [finding for finding in audit(layout.root, progress=progress).findings if finding.is_damage]
    return Repair(segments, blobs, remaining)


def _repair_log(layout: Layout, other: Layout, identity: Identity) -> list[str]:
    signed = Keys(layout.keys, identity.origin).trust().head_in(layout.checkpoint)
    if _is_sound(layout, identity, signed):
        return []
    wanted = _segments_to_take(layout, other, identity)
    trial = Layout(layout.log_quarantine / f"trial-{os.getpid()}")
    try:
        _assemble(trial, layout, other, wanted)
        if not _is_sound(trial, identity, signed):
            raise Rejected(
                f"the log of {other.root} does not complete that of {layout.root} to what was signed; nothing was taken"
            )
        for name in wanted:
            _replace_segment(layout, name, trial.log / name)
    finally:
        shutil.rmtree(trial.root, ignore_errors=True)
    return wanted


def _segments_to_take(layout: Layout, other: Layout, identity: Identity) -> list[str]:
    """Return the names of the segments that are missing or damaged here."""
    here = {name for name in os.listdir(layout.log) if first_index_of(name) is not None}  # noqa: PTH208
    there = {name for name in os.listdir(other.log) if first_index_of(name) is not None}  # noqa: PTH208
    damaged = there - here
    for found in walk(layout, identity.raw_id):
        if isinstance(found, Gap):
            damaged.add(found.segment)
        elif not record.is_sound(found):
            damaged.add(layout.segment(found.segment).name)
    return sorted(damaged & there)


def _assemble(trial: Layout, layout: Layout, other: Layout, wanted: list[str]) -> None:
    trial.log.mkdir(parents=True)
    for name in sorted({*os.listdir(layout.log), *wanted}):  # noqa: PTH208
        if first_index_of(name) is not None:
            shutil.copyfile((other if name in wanted else layout).log / name, trial.log / name)


def _is_sound(layout: Layout, identity: Identity, signed: Head | None) -> bool:
    """Return whether a log reads from end to end and is what was signed."""
    size = signed.size if signed else 0
    reading = LogReading(layout, identity.raw_id, size, [size])
    reading.read(_drop, _drop)
    is_readable = not any(finding.is_damage for finding in reading.findings)
    return is_readable and (signed is None or reading.roots.get(size) == signed.root)


def _replace_segment(layout: Layout, name: str, content: Path) -> None:
    present = layout.log / name
    if present.exists():
        kept = layout.log_quarantine / f"{name}-{os.urandom(4).hex()}.damaged"
        durable.write_file(kept, present.read_bytes())
    durable.write_file(present, content.read_bytes())


def _repair_blobs(layout: Layout, other: Layout) -> list[str]:
    with durable.filesystem_of(layout.pool) as sync_all:
        taken = _take_blobs(layout, other)
        if taken:
            sync_all()
    return taken


def _take_blobs(layout: Layout, other: Layout) -> list[str]:
    taken: list[str] = []
    rows = MemoryTables()
    packs = Packs(other, rows.reading, rows.writing)
    damaged = [finding for finding in audit(layout.root).findings if finding.kind == "blob" and finding.path]
    for finding in damaged:
        digest = bytes.fromhex(Path(finding.path or "").name)
        source = Path(other.blob(digest))
        target = Path(layout.blob(digest))
        staged = layout.incoming / f"repair-{os.getpid()}-{digest.hex()}"
        if source.is_file():
            shutil.copyfile(source, staged)
        elif not _is_filled(packs, digest, staged):
            continue
        descriptor = os.open(staged, os.O_RDWR | os.O_CLOEXEC)
        try:
            is_right = hash_file(descriptor, os.fstat(descriptor).st_size) == digest
            seal(descriptor)
            durable.sync(descriptor)
        finally:
            os.close(descriptor)
        if not is_right:
            staged.unlink()
            continue
        if target.exists():
            durable.rename(target, layout.pool_quarantine / f"{digest.hex()}-{os.urandom(4).hex()}")
        durable.rename(staged, target)
        taken.append(digest.hex())
    return taken


def _is_filled(packs: Packs, digest: bytes, path: Path) -> bool:
    """Write a cold blob to a new file, and return whether there is one that is right."""
    try:
        with path.open("xb") as out:
            packs.fill(digest, out.fileno(), _drop)
    except (KeyError, BlobDamaged):
        path.unlink()
        return False
    return True


def _drop(_: object) -> None:
    """Take what is told, and do nothing."""
