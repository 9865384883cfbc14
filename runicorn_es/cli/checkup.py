"""How a store is: what can be seen in seconds, without changing anything and without reading the blobs.

A finding is something that is wrong; a warning, something that will be. Whether all bytes are what was written is for
an audit to say.
"""

from collections.abc import Iterator
from contextlib import suppress
import os
from pathlib import Path
import platform
import re

import lmdb
import msgspec

import runicorn_es
from runicorn_es import durable, founding, merkle, queries
from runicorn_es.errors import Busy, Damaged
from runicorn_es.layout import Layout, first_index_of
from runicorn_es.log import Log
from runicorn_es.signing import Head, Keys, claimed_head
from runicorn_es.store import Store

_FREE_BYTES_MIN = 1 << 30
# File systems of another machine, or of a program: a lock, link or sync is worth what the other side makes of it.
_NOT_LOCAL = re.compile(r"nfs\d?|cifs|smb\d?|smbfs|9p|afs|ceph|glusterfs|lustre|beegfs|fuse\..*|fuse|fuseblk|virtiofs")
_OCTAL = re.compile(r"\\([0-7]{3})")


class FileSystem(msgspec.Struct, frozen=True):
    """Where a store lies. ``type`` and ``mount`` are empty where the system does not say."""

    type: str
    mount: str
    free_bytes: int
    is_local: bool
    has_flock: bool


class Quarantined(msgspec.Struct, frozen=True):
    """A file that was moved out of the log or the pool; the path is relative to the store."""

    path: str
    size_bytes: int


class Checkup(msgspec.Struct):
    """How a store is. ``records``: None where the log cannot be read. ``has_key``: None where we may not look."""

    versions: dict[str, str]
    path: str
    store_id: str
    format: int
    created: str
    file_system: FileSystem
    is_writable: bool
    segments: int
    log_bytes: int
    blobs: int
    pool_bytes: int
    quarantine: list[Quarantined]
    has_key: bool | None
    records: int | None = None
    checkpoint_records: int | None = None
    findings: list[str] = []
    warnings: list[str] = []


def check(layout: Layout, *, is_writable: bool) -> Checkup:
    """Look at a store and return how it is. Raises Unknown where there is none, TooNew, or Damaged store.json."""
    identity = founding.require(layout)
    blobs, pool_bytes, missing = _pool(layout)
    segments = [path for path in layout.log.iterdir() if first_index_of(path.name) is not None]
    found = Checkup(
        versions={
            "runicorn-es": runicorn_es.__version__,
            "python": platform.python_version(),
            "lmdb": ".".join(map(str, lmdb.version())),
            "msgspec": msgspec.__version__,
        },
        path=str(layout.root),
        store_id=identity.store_id,
        format=identity.format,
        created=identity.created,
        file_system=_file_system(layout),
        is_writable=is_writable,
        segments=len(segments),
        log_bytes=sum(path.stat().st_size for path in segments),
        blobs=blobs,
        pool_bytes=pool_bytes,
        quarantine=[*_quarantined(layout, layout.log_quarantine), *_quarantined(layout, layout.pool_quarantine)],
        has_key=Keys(layout.keys, identity.origin).has_secret(),
    )
    _check_log(found, layout, identity)
    _check_surroundings(found, missing)
    _check_quarantine(found, layout)
    return found


def file_system_of(path: Path, mounts: str) -> tuple[str, str]:
    """Return the type and the place of the file system that holds this path, by the text of ``/proc/mounts``."""
    best = ("", "")
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split(" ")
        place = _OCTAL.sub(lambda found: chr(int(found[1], 8)), place)
        # Of two at one place the later one lies on top.
        if path.is_relative_to(place) and len(place) >= len(best[1]):
            best = (kind, place)
    return best


def is_local(kind: str) -> bool:
    """Return whether a file system of this type is one of this machine's own disks."""
    return not _NOT_LOCAL.fullmatch(kind)


def _check_log(found: Checkup, layout: Layout, identity: founding.Identity) -> None:
    # The checkpoint first: it never speaks of more than the log already has.
    claimed = claimed_head(durable.read_small_file(layout.checkpoint), identity.origin)
    try:
        # Read-only, so that the log itself is read from its first record on, and no table can hide what is wrong.
        with Store(layout.root, read_only=True) as store, store.reading() as view:
            head = Head(*queries.head(view))
    except Damaged as error:
        found.findings.append(str(error))
        return
    except OSError as error:
        found.findings.append(f"the log cannot be read: {error}")
        return
    found.records = head.size
    if claimed is None:
        if head.size:
            found.findings.append("there is no readable checkpoint; whatever is logged next makes a new one")
        return
    found.checkpoint_records = claimed.size
    if Keys(layout.keys, identity.origin).trust().head_in(layout.checkpoint) is None:
        found.findings.append("the checkpoint is not signed with this store's key; whatever is logged next signs anew")
    elif claimed != head and merkle.root(Log(layout, identity.raw_id).leaves(claimed.size)) != claimed.root:
        found.findings.append(
            f"the first {claimed.size} records are not those that the checkpoint was signed for; "
            "compare with another copy of this store"
        )


def _check_surroundings(found: Checkup, missing: list[str]) -> None:
    where = found.file_system
    if missing:
        found.findings.append(f"folders of the pool are missing: {', '.join(missing[:5])}; make them again with mkdir")
    if found.has_key is False and found.records:
        found.findings.append("the signing key is missing; put keys/ back from a copy of this store")
    if not where.has_flock:
        found.findings.append("flock does not work here, and without it two writers could meet; use a local disk")
    if not where.is_local:
        found.warnings.append(
            f"{where.type} is not a file system of this machine; locks, links and syncs may not be what they say"
        )
    if where.free_bytes < _FREE_BYTES_MIN:
        found.warnings.append(f"only {where.free_bytes:,} bytes are free")


def _check_quarantine(found: Checkup, layout: Layout) -> None:
    for kept in found.quarantine:
        digest = Path(kept.path).name.partition("-")[0]
        is_blob = Path(kept.path).is_relative_to(layout.pool_quarantine.relative_to(layout.root))
        if is_blob and not os.path.exists(layout.blob(bytes.fromhex(digest))):  # noqa: PTH110
            found.findings.append(
                f"blob {digest[:16]}… was changed and is in {kept.path}; log the same file again to heal it"
            )


def _file_system(layout: Layout) -> FileSystem:
    mounts = ""
    with suppress(OSError):
        mounts = Path("/proc/self/mounts").read_text(errors="surrogateescape")
    kind, place = file_system_of(layout.root.resolve(), mounts)
    free = os.statvfs(layout.root)
    has_flock = True
    try:
        # Shared, as everybody holds it who adds files: it keeps nobody waiting.
        with durable.leased(layout.incoming):
            pass
    except Busy:
        pass
    except OSError:
        has_flock = False
    return FileSystem(kind, place, free.f_bavail * free.f_frsize, is_local(kind), has_flock)


def _pool(layout: Layout) -> tuple[int, int, list[str]]:
    """Return the number of blobs, the bytes of all, and the folders that should be there and are not."""
    blobs = size_bytes = 0
    missing: list[str] = []
    for folder in layout.fan_out():
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    blobs += 1
                    size_bytes += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            missing.append(str(folder.relative_to(layout.root)))
    return blobs, size_bytes, missing


def _quarantined(layout: Layout, folder: Path) -> Iterator[Quarantined]:
    with suppress(FileNotFoundError):
        for path in sorted(folder.iterdir()):
            yield Quarantined(str(path.relative_to(layout.root)), path.stat().st_size)
