"""Blobs out of the pool: a tree of hard links, or of copies, without ever leaving the target folder.

A hard link costs no space and is read-only. Where one cannot be made (a cold blob, another device, the file system's
limit of links, an executable file, whose mode a blob cannot have) a verified copy is made instead.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
import errno
import fcntl
from itertools import islice
import os
from pathlib import Path
import stat
from typing import Literal

from blake3 import blake3
import msgspec

from runicorn_es import durable, settings
from runicorn_es.errors import BlobDamaged, Rejected
from runicorn_es.names import Digest
from runicorn_es.pool import BLOB_MTIME_NS, Pool, hash_file
from runicorn_es.pool.folders import Folders
from runicorn_es.tables import TablesFailed

Mode = Literal["link", "copy", "reflink"]
Progress = Callable[[int], None]
_CANNOT_LINK = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP}
_FICLONE = 0x40049409
_HANDED_OUT_AT_ONCE = 1024


class Wanted(msgspec.Struct, frozen=True):
    """A file to hand out: its path below the target, and its blob."""

    path: str
    digest: bytes
    size_bytes: int
    executable: bool


def materialize(
    pool: Pool, files: Iterable[Wanted], target: Path, *, mode: Mode, overwrite: bool, progress: Progress
) -> None:
    """Make these files below the target folder, which is made if need be.

    A file that is there already and has the right bytes is kept. Raises Rejected where something else is in the way,
    unless ``overwrite``; a file that is itself a link into the pool is replaced without asking, for nothing is lost.
    Raises BlobDamaged for a blob that is not what it should be; it is never handed out.
    """
    target.mkdir(parents=True, exist_ok=True)
    remaining = iter(files)
    is_linking = mode == "link"
    with Folders(target) as folders:
        while some := list(islice(remaining, _HANDED_OUT_AT_ONCE)):
            blobs = pool.paths([(wanted.digest, wanted.size_bytes) for wanted in some])
            with pool.hashed.touching():
                for wanted, blob in zip(some, blobs, strict=True):
                    folder, name = folders.enter(wanted.path, make=True)
                    if is_linking and not wanted.executable and blob is not None:
                        try:
                            os.link(blob, name, dst_dir_fd=folder)
                        except OSError as error:
                            place = _Place(folder, name, f"{target}/{wanted.path}")
                            _make_otherwise(pool, blob, wanted, place, error, overwrite=overwrite)
                    else:
                        place = _Place(folder, name, f"{target}/{wanted.path}")
                        _copy(pool, blob, wanted, place, overwrite=overwrite, reflink=mode == "reflink")
                    progress(wanted.size_bytes)
    # What is only remembered fails nobody.
    with suppress(TablesFailed, OSError):
        pool.hashed.flush()


class _Place(msgspec.Struct, frozen=True):
    """Where a file goes: an open folder, the name in it, and the whole path for messages."""

    folder: int
    name: str
    path: str

    def found(self) -> os.stat_result | None:
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None


def _make_otherwise(pool: Pool, blob: str, wanted: Wanted, place: _Place, error: OSError, *, overwrite: bool) -> None:
    """Have the file there although it could not be linked, or raise why not."""
    if error.errno == errno.ENOENT and not os.path.lexists(blob):
        # It has become cold since we looked.
        [found_now] = pool.paths([(wanted.digest, wanted.size_bytes)])
        _copy(pool, found_now, wanted, place, overwrite=overwrite, reflink=False)
        return
    if error.errno == errno.EEXIST:
        found = place.found()
        if _is_same_file(place, blob) or (found is not None and _has_bytes(place, wanted, found)):
            return
        _require_replaceable(place, wanted, overwrite=overwrite)
        _replace_with_link(pool, blob, wanted, place)
    elif error.errno in _CANNOT_LINK:
        _copy(pool, blob, wanted, place, overwrite=overwrite, reflink=False)
    else:
        raise error


def _replace_with_link(pool: Pool, blob: str, wanted: Wanted, place: _Place) -> None:
    scratch = _scratch_name()
    try:
        os.link(blob, scratch, dst_dir_fd=place.folder)
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        _copy(pool, blob, wanted, place, overwrite=True, reflink=False)
        return
    os.rename(scratch, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)


def _copy(pool: Pool, blob: str | None, wanted: Wanted, place: _Place, *, overwrite: bool, reflink: bool) -> None:
    found = place.found()
    if found is not None and not (blob is not None and _is_same_file(place, blob)):
        if _has_bytes(place, wanted, found):
            _set_executable(place, wanted)
            return
        _require_replaceable(place, wanted, overwrite=overwrite)
    scratch = _scratch_name()
    mode = 0o777 if wanted.executable else 0o666
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    target = os.open(scratch, flags, mode, dir_fd=place.folder)
    try:
        try:
            if blob is None or not _is_filled(blob, target, reflink=reflink):
                pool.packs.fill(wanted.digest, target, _silently)
            else:
                _require_right(pool, wanted, target)
        finally:
            os.close(target)
        os.rename(scratch, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(scratch, dir_fd=place.folder)
        raise


def _require_right(pool: Pool, wanted: Wanted, target: int) -> None:
    if hash_file(target, os.fstat(target).st_size) != wanted.digest:
        raise BlobDamaged(
            f"blob {Digest(wanted.digest)} has wrong bytes; it was not handed out; "
            f"{pool.put_aside(wanted.digest)}; log the original file again to heal it",
            wanted.digest,
        )


def _is_filled(blob: str, target: int, *, reflink: bool) -> bool:
    """Copy a blob into an open file; return False when it is there no more, for it has become cold."""
    try:
        source = os.open(blob, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if reflink:
            try:
                fcntl.ioctl(target, _FICLONE, source)
            except OSError as error:
                raise Rejected(
                    f"this file system cannot share blocks between files ({error.strerror}); use mode='copy' or 'link'"
                ) from error
            return True
        try:
            while os.copy_file_range(source, target, settings.COPY_STEP_BYTES):
                pass
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
                raise
            while content := os.read(source, settings.MIB):
                durable.write_all(target, content)
    finally:
        os.close(source)
    return True


def _require_replaceable(place: _Place, wanted: Wanted, *, overwrite: bool) -> None:
    """Raise Rejected unless what is there may be replaced: a link into the pool, or any file on request."""
    found = place.found()
    if found is None:
        return
    if not stat.S_ISREG(found.st_mode):
        raise Rejected(f"{place.path} exists and is not a regular file; remove it or choose another folder")
    is_of_pool = found.st_mtime_ns == BLOB_MTIME_NS and not found.st_mode & 0o222
    if not (overwrite or is_of_pool or _has_bytes(place, wanted, found)):
        raise Rejected(
            f"{place.path} exists with other content; move it away, choose another folder, or pass overwrite=True"
        )


def _is_same_file(place: _Place, blob: str) -> bool:
    found = place.found()
    with suppress(FileNotFoundError):
        return found is not None and os.path.samestat(found, os.stat(blob))  # noqa: PTH116
    return False


def _has_bytes(place: _Place, wanted: Wanted, found: os.stat_result) -> bool:
    """Return whether the file there has the wanted bytes: by its digest, for size and time prove nothing."""
    if not stat.S_ISREG(found.st_mode) or found.st_size != wanted.size_bytes:
        return False
    descriptor = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.folder)
    try:
        if wanted.size_bytes <= settings.SMALL_FILE_BYTES:
            return blake3(os.read(descriptor, settings.SMALL_FILE_BYTES)).digest() == wanted.digest
        return hash_file(descriptor, found.st_size) == wanted.digest
    finally:
        os.close(descriptor)


def _set_executable(place: _Place, wanted: Wanted) -> None:
    found = place.found()
    if found is not None and wanted.executable and not found.st_mode & 0o111:
        # Whoever may read it may run it, as with the mode a copy is made with.
        mode = stat.S_IMODE(found.st_mode)
        os.chmod(place.name, mode | (mode & 0o444) >> 2, dir_fd=place.folder)


def _scratch_name() -> str:
    return f".{os.urandom(8).hex()}.tmp"


def _silently(size_bytes: int) -> None:
    """Report progress to nobody."""
