"""Packs into the store: staged, synced, renamed to their names, and only then relied on.

The steps of a pack:
1. its entries are written to ``pool/incoming/pack-<random>``, and then its index;
2. the file is synced: its bytes are durable;
3. it is renamed to its name in ``pool/packs``, and that folder is synced: its name is durable.
Chunks and recipes lie in packs of their own, and those with recipes come after those with the chunks they name. So a
recipe that can be found has its chunks, whenever the power fails; and a blob is dropped by rewriting little.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
import os
from pathlib import Path

from blake3 import blake3

from runicorn_es import durable, settings
from runicorn_es.cold import chunks, pack
from runicorn_es.cold.finding import Finder
from runicorn_es.cold.pack import CHUNK, RECIPE, Recipe, Row
from runicorn_es.cold.reading import OpenPacks, Progress, fill
from runicorn_es.errors import BlobDamaged, WriteFailed
from runicorn_es.hashing import hasher
from runicorn_es.layout import Layout
from runicorn_es.names import Digest

STAGING_PREFIX = "pack-"
_BUFFER_BYTES = 4 * settings.MIB
_PACK_MODE = 0o444
_SOUND_MAX = 250_000


class PackWriter:
    """Writes packs of at most so many bytes (None: one of any size), one after the other.

    Owns the staging file of the pack in the making. End with ``finish`` or ``abandon``.
    """

    def __init__(self, layout: Layout, finder: Finder, pack_bytes: int | None) -> None:
        self._layout = layout
        self._finder = finder
        self._pack_bytes = pack_bytes
        self._staging: Path | None = None
        self._descriptor = -1
        self._buffer = bytearray()
        self._written_bytes = 0
        self._rows: dict[tuple[int, bytes], Row] = {}
        self.size_bytes = 0

    def has(self, kind: int, digest: bytes) -> bool:
        """Return whether the pack in the making has an entry of this kind and digest."""
        return (kind, digest) in self._rows

    def add(self, kind: int, encoding: int, digest: bytes, size_bytes: int, stored: bytes) -> None:
        """Write an entry."""
        header = pack.entry_header(kind, encoding, digest, size_bytes, stored)
        self.copy(kind, digest, size_bytes, header + stored)

    def copy(self, kind: int, digest: bytes, size_bytes: int, entry: bytes | memoryview) -> None:
        """Write an entry as it is, with its header."""
        if self._rows and self._pack_bytes is not None and self._offset + len(entry) > self._pack_bytes:
            self.finish()
        if self._staging is None:
            self._begin()
        self._rows[kind, digest] = Row(kind, digest, self._offset, len(entry), size_bytes)
        self._buffer += entry
        if len(self._buffer) >= _BUFFER_BYTES:
            self._write()

    def finish(self) -> None:
        """Have the pack in the making, if there is one, durable under its name; the last step of all is its commit."""
        if self._staging is None:
            return
        rows = self._rows.values()
        recipes = pack.index_section(row for row in rows if row.kind == RECIPE)
        contents = pack.index_section(row for row in rows if row.kind == CHUNK)
        self._buffer += recipes + contents + pack.trailer(recipes, contents, self._offset)
        self._write()
        name = pack.name_of(recipes, contents)
        try:
            os.fchmod(self._descriptor, _PACK_MODE)
            durable.sync(self._descriptor)
            durable.rename(self._staging, self._finder.path(name))
            durable.sync_folder(self._layout.packs)
        except OSError as error:
            raise WriteFailed(error.errno, f"pack {name} could not be made durable ({error.strerror})") from error
        self.size_bytes += self._written_bytes
        self._close()
        self._finder.learn(name, recipes, contents)

    def abandon(self) -> None:
        """Remove what is staged. Does nothing after ``finish``."""
        if self._staging is not None:
            with suppress(OSError):
                self._staging.unlink(missing_ok=True)
            self._close()

    @property
    def _offset(self) -> int:
        return self._written_bytes + len(self._buffer)

    def _begin(self) -> None:
        path = self._layout.incoming / f"{STAGING_PREFIX}{os.urandom(8).hex()}"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._staging = path
        self._buffer += pack.head()

    def _write(self) -> None:
        durable.write_all(self._descriptor, memoryview(bytes(self._buffer)))
        durable.start_writing_back(self._descriptor, self._written_bytes, len(self._buffer))
        self._written_bytes += len(self._buffer)
        self._buffer.clear()

    def _close(self) -> None:
        os.close(self._descriptor)
        self._staging = None
        self._descriptor = -1
        self._written_bytes = 0
        self._buffer.clear()
        self._rows = {}


def make_folders(layout: Layout) -> None:
    """Have the folders there that packs need, and what others left in them durable: we are about to rely on it."""
    for folder in (layout.incoming, layout.packs):
        if not folder.is_dir():
            durable.make_folder(folder)
    durable.sync_folder(layout.packs)


def add(layout: Layout, finder: Finder, blobs: Iterable[tuple[bytes, str]], pack_bytes: int, progress: Progress) -> int:
    """Write blobs into packs and return the bytes written. See ``Packs.add``."""
    make_folders(layout)
    finder.refresh()
    contents, recipes = PackWriter(layout, finder, pack_bytes), PackWriter(layout, finder, None)
    with OpenPacks(finder) as opened:
        adding = _Adding(contents, recipes, opened)
        try:
            for digest, path in blobs:
                adding.add(digest, path, progress)
            contents.finish()
            recipes.finish()
        finally:
            contents.abandon()
            recipes.abandon()
    return contents.size_bytes + recipes.size_bytes


class _Adding:
    """Blobs on their way into packs."""

    def __init__(self, contents: PackWriter, recipes: PackWriter, opened: OpenPacks) -> None:
        self._contents = contents
        self._recipes = recipes
        self._opened = opened
        # Chunks that were compared with what a pack has of them, or written, a moment ago.
        self._sound: set[bytes] = set()

    def add(self, digest: bytes, path: str, progress: Progress) -> None:
        if self._recipes.has(RECIPE, digest) or self._has_sound(digest):
            progress(os.stat(path).st_size)  # noqa: PTH116
            return
        whole = hasher()
        sizes: list[int] = []
        digests: list[bytes] = []
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            for window in chunks.cut(descriptor):
                named = [blake3(chunk).digest() for chunk in window]
                self._add_missing(window, named)
                for chunk in window:
                    whole.update(chunk)
                sizes += map(len, window)
                digests += named
                progress(sum(map(len, window)))
        finally:
            os.close(descriptor)
        if whole.digest() != digest:
            raise BlobDamaged(
                f"blob {Digest(digest)} was not packed, for {path} has other bytes; log the same file again to heal it",
                digest,
            )
        recipe = Recipe(chunks.chunker(), tuple(sizes), tuple(digests))
        self._recipes.add(RECIPE, pack.RAW, digest, sum(sizes), pack.encode_recipe(recipe))

    def _has_sound(self, digest: bytes) -> bool:
        """Return whether packs have a blob already, every byte of it: its file will be removed."""
        try:
            fill(self._opened, digest, None, _silently)
        except (KeyError, BlobDamaged):
            return False
        return True

    def _add_missing(self, window: Sequence[memoryview], digests: Sequence[bytes]) -> None:
        self._compare(window, digests)
        missing = {
            digest: chunk
            for chunk, digest in zip(window, digests, strict=True)
            if digest not in self._sound and not self._contents.has(CHUNK, digest)
        }
        for (digest, chunk), (encoding, stored) in zip(
            missing.items(), chunks.encode(list(missing.values())), strict=True
        ):
            self._contents.add(CHUNK, encoding, digest, len(chunk), stored)

    def _compare(self, window: Sequence[memoryview], digests: Sequence[bytes]) -> None:
        """Learn which of these chunks packs have. A chunk that is there but damaged is to be written again."""
        asked = {
            digest: chunk
            for digest, chunk in zip(digests, window, strict=True)
            if digest not in self._sound and not self._contents.has(CHUNK, digest)
        }
        places = self._opened.finder.find_quickly(CHUNK, list(asked))
        parts = [
            (digest, len(chunk), place)
            for (digest, chunk), place in zip(asked.items(), places, strict=True)
            if place is not None
        ]
        if len(self._sound) > _SOUND_MAX:
            self._sound.clear()
        for (digest, _, _), content in zip(parts, self._opened.chunks_at(parts), strict=True):
            if content is not None and asked[digest] == content:
                self._sound.add(digest)


def _silently(size_bytes: int) -> None:
    """Report progress to nobody."""
