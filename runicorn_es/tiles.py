"""The log as a static transparency log: C2SP tlog-tiles, which any web server or bucket can serve.

    checkpoint                the signed head, written last
    tile/<level>/<number>     256 hashes: of records at level 0, of whole tiles below at the others
    tile/entries/<number>     the headers of 256 records, each after its length in two bytes
    ….p/<width>               the same, of a tile that is not full yet

A whole tile never changes; one that is there is compared, not written again.
"""

from itertools import islice
from pathlib import Path
import shutil

import msgspec

from runicorn_es import durable, merkle
from runicorn_es.errors import Rejected
from runicorn_es.log import Log, record
from runicorn_es.signing import Head
from runicorn_es.signing.checkpoint import read_checkpoint

TILE_WIDTH = 256
_LENGTH_BYTES = 2


class Exported(msgspec.Struct, frozen=True):
    """What an export did: the records that the folder holds now, and the files that were written for it."""

    size: int
    written: int


def export(log: Log, head: Head, checkpoint: str, target: Path) -> Exported:
    """Write the first ``head.size`` records of a log as tiles, and then the checkpoint; durable when this returns.

    Raises Rejected, and changes nothing, where the folder holds another log, or more of this one.
    """
    _require_beginning(log, head, checkpoint, target)
    durable.make_folder(target)
    writing = _Writing(target)
    with durable.filesystem_of(target) as sync_all:
        records = (one for batch, _ in log.batches() for one in batch)
        for one in islice(records, head.size):
            writing.add(record.encode_header(one), one.leaf)
        writing.finish()
        sync_all()
    durable.write_file(target / "checkpoint", checkpoint.encode())
    return Exported(head.size, writing.written + 1)


def _require_beginning(log: Log, head: Head, checkpoint: str, target: Path) -> None:
    """Raise Rejected unless what was exported to a folder earlier, if anything, is a beginning of the log."""
    try:
        origin, earlier, _ = read_checkpoint((target / "checkpoint").read_text())
    except FileNotFoundError:
        return
    except ValueError as error:
        raise Rejected(f"{target / 'checkpoint'} cannot be read ({error}); export to an empty folder") from error
    is_ours = origin == read_checkpoint(checkpoint)[0] and earlier.size <= head.size
    if not is_ours or merkle.root(log.leaves(earlier.size)) != earlier.root:
        raise Rejected(f"{target} holds another log, or more of this one than is here; export to an empty folder")


def path_of(kind: str, number: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a tile: ``tile/0/x001/x234/067``, with ``.p/<width>`` behind it when it is not full."""
    groups = [f"{number % 1000:03d}"]
    while number := number // 1000:
        groups.append(f"x{number % 1000:03d}")
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{kind}/{'/'.join(reversed(groups))}{partial}"


class _Writing:
    """The tiles under way: of each level the one that is not full, and how many are."""

    def __init__(self, target: Path) -> None:
        self.written = 0
        self._target = target
        self._entries: list[bytes] = []
        self._levels: list[list[bytes]] = [[]]
        self._full = [0]

    def add(self, header: bytes, leaf: bytes) -> None:
        self._entries.append(len(header).to_bytes(_LENGTH_BYTES) + header)
        if len(self._entries) == TILE_WIDTH:
            self._write(path_of("entries", self._full[0]), b"".join(self._entries))
            self._entries.clear()
        self._add_hash(0, leaf)

    def finish(self) -> None:
        """Write the tiles that are not full."""
        if self._entries:
            path = path_of("entries", self._full[0], len(self._entries))
            self._write(path, b"".join(self._entries))
        for level, hashes in enumerate(self._levels):
            if hashes:
                self._write(path_of(str(level), self._full[level], len(hashes)), b"".join(hashes))

    def _add_hash(self, level: int, one: bytes) -> None:
        if level == len(self._levels):
            self._levels.append([])
            self._full.append(0)
        hashes = self._levels[level]
        hashes.append(one)
        if len(hashes) == TILE_WIDTH:
            self._write(path_of(str(level), self._full[level]), b"".join(hashes))
            self._full[level] += 1
            self._add_hash(level + 1, merkle.root(hashes))
            hashes.clear()

    def _write(self, path: str, content: bytes) -> None:
        place = self._target / path
        try:
            if place.read_bytes() != content:
                raise Rejected(f"{place} was changed since it was exported; export to an empty folder")
        except FileNotFoundError:
            place.parent.mkdir(parents=True, exist_ok=True)
            durable.put_file(place, content)
            self.written += 1
        # What was a part of this tile is in it.
        shutil.rmtree(f"{place}.p", ignore_errors=True)
