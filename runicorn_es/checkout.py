"""The files of versions in a folder, and nothing else that an earlier checkout put there.

What was put where is remembered in the store, by the folder's path, so that the next checkout touches only what
differs, and never a file that somebody changed meanwhile. Lost, it is only less: nothing is removed then.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
import os
from pathlib import Path
import stat

import msgspec

from runicorn_es import durable
from runicorn_es.errors import Rejected
from runicorn_es.layout import Layout
from runicorn_es.pool import Pool, looks_untouched
from runicorn_es.pool.folders import Folders
from runicorn_es.pool.materialize import Mode, Progress, Wanted, materialize

_NAMED_MAX = 5


class Checkout(msgspec.Struct, frozen=True):
    """What a checkout did: how many files were added, changed, removed, and left as they were."""

    added: int
    changed: int
    removed: int
    kept: int


class _Put(msgspec.Struct, frozen=True, array_like=True):
    """A file as it was put there."""

    digest: bytes
    size_bytes: int
    executable: bool
    mode: str
    inode: int
    mtime_ns: int


_decode = msgspec.msgpack.Decoder(dict[str, _Put]).decode


def merged(versions: Iterable[tuple[str, Iterable[Wanted]]]) -> dict[str, Wanted]:
    """Return the files of several versions by path.

    Raises Rejected where two of them have different files at one path, or one a file where another has a folder.
    """
    files: dict[str, Wanted] = {}
    owners: dict[str, str] = {}
    for spec, wanted in versions:
        for one in wanted:
            owner = owners.setdefault(one.path, spec)
            other = files.setdefault(one.path, one)
            if (other.digest, other.executable) != (one.digest, one.executable):
                raise Rejected(f"{owner} and {spec} have different files at {one.path!r}; take one of them")
    folders: set[str] = set()
    for path in files:
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            if folder in files:
                raise Rejected(
                    f"{owners[folder]} has a file at {folder!r} where {owners[path]} has a folder; take one of them"
                )
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return files


def check_out(
    pool: Pool, wanted: Mapping[str, Wanted], target: Path, *, mode: Mode, overwrite: bool, progress: Progress
) -> Checkout:
    """Make a folder hold these files, and none that an earlier checkout put there; its other files stay.

    Files that are as they were put are not touched. Raises Rejected, and changes nothing, where a file that is not as
    it was put, or was never put there, is in the way, unless ``overwrite``; BlobDamaged as ``materialize`` does.
    """
    target.mkdir(parents=True, exist_ok=True)
    real = Path(os.path.realpath(target))
    before = _remembered(pool.layout.checkout(real))
    kept: dict[str, _Put] = {}
    in_the_way: list[str] = []
    with Folders(target) as folders:
        for path, put in before.items():
            found = _stat(folders, path)
            one = wanted.get(path)
            if found is not None and not _is_as_put(found, put):
                if not _is_link_of_pool(found):
                    in_the_way.append(path)
            elif found is not None and one is not None and _is_what_is_wanted(put, one, mode):
                kept[path] = put
        for path, one in wanted.items():
            found = None if path in before else _stat(folders, path)
            if found is not None and not _is_link_of_pool(found) and found.st_size != one.size_bytes:
                in_the_way.append(path)
        if in_the_way and not overwrite:
            raise Rejected(
                f"{len(in_the_way)} files in {target} were changed since they were checked out, or are of no checkout: "
                f"{_some(in_the_way)}; log them or move them away, or replace them with overwrite=True (--overwrite)"
            )
        missing = [one for path, one in wanted.items() if path not in kept]
        removed = [path for path in before if path not in wanted]
        replaced = [one.path for one in missing if one.path in before]
        _remove(folders, [*removed, *replaced])
    materialize(pool, missing, target, mode=mode, overwrite=overwrite, progress=progress)
    _remember(pool.layout, real, {**kept, **_puts(target, missing, mode)})
    return Checkout(len(missing) - len(replaced), len(replaced), len(removed), len(kept))


def _stat(folders: Folders, path: str) -> os.stat_result | None:
    try:
        folder, name = folders.enter(path)
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, Rejected):
        return None


def _is_as_put(found: os.stat_result, put: _Put) -> bool:
    seen = found.st_size, found.st_ino, found.st_mtime_ns
    return stat.S_ISREG(found.st_mode) and seen == (put.size_bytes, put.inode, put.mtime_ns)


def _is_link_of_pool(found: os.stat_result) -> bool:
    """Return whether a file is one of ours though not the one remembered: a checkout died before it remembered it."""
    return looks_untouched(found, found.st_size)


def _is_what_is_wanted(put: _Put, wanted: Wanted, mode: Mode) -> bool:
    return (put.digest, put.executable, put.mode) == (wanted.digest, wanted.executable, mode)


def _remove(folders: Folders, paths: Sequence[str]) -> None:
    """Remove files, and folders that are empty then."""
    parents: set[str] = set()
    for path in paths:
        with suppress(FileNotFoundError, Rejected):
            folder, name = folders.enter(path)
            os.unlink(name, dir_fd=folder)
        parent = path.rpartition("/")[0]
        while parent:
            parents.add(parent)
            parent = parent.rpartition("/")[0]
    for parent in sorted(parents, key=len, reverse=True):
        with suppress(OSError, Rejected):
            folder, name = folders.enter(parent)
            os.rmdir(name, dir_fd=folder)


def _puts(target: Path, files: Iterable[Wanted], mode: Mode) -> dict[str, _Put]:
    puts = {}
    with Folders(target) as folders:
        for one in files:
            folder, name = folders.enter(one.path)
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            puts[one.path] = _Put(one.digest, one.size_bytes, one.executable, mode, found.st_ino, found.st_mtime_ns)
    return puts


def _remembered(path: Path) -> dict[str, _Put]:
    with suppress(FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return _decode(path.read_bytes())
    return {}


def _remember(layout: Layout, target: Path, puts: Mapping[str, _Put]) -> None:
    layout.checkouts.mkdir(parents=True, exist_ok=True)
    durable.put_file(layout.checkout(target), msgspec.msgpack.encode(puts))


def forget(layout: Layout, digests: Collection[bytes], paths: Collection[str]) -> None:
    """Forget what was checked out where, wherever one of these blobs or paths is in it."""
    if not layout.checkouts.is_dir():
        return
    for state in list(layout.checkouts.iterdir()):
        puts = _remembered(state)
        is_torn = not puts and state.suffix == ".tmp"
        if is_torn or any(path in paths or put.digest in digests for path, put in puts.items()):
            state.unlink()
    durable.sync_folder(layout.checkouts)


def _some(words: Sequence[str]) -> str:
    return ", ".join(sorted(words)[:_NAMED_MAX]) + (", …" if len(words) > _NAMED_MAX else "")
