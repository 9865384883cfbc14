"""Blobs that are seldom asked for, as chunks in pack files: what several blobs share is stored once, and compressed.

A pack is a file that never changes: chunks, or recipes that say of which chunks a blob is made, one behind the other,
and an index that can be made again from them. Layout: docs/reference/packs.md. Knows no artifact and no event.

Packs may be added beside readers and writers of the pool. Whoever removes something from them has to keep out all who
take blobs in: they may have found there what is to go.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
import io
import os
from typing import BinaryIO, cast

from runicorn_es.cold import dropping, reading, writing
from runicorn_es.cold.checking import PackFault, verify
from runicorn_es.cold.chunks import require_chunker
from runicorn_es.cold.finding import Finder
from runicorn_es.cold.pack import PACK_BYTES, RECIPE
from runicorn_es.errors import BlobDamaged
from runicorn_es.layout import Layout
from runicorn_es.tables import Reader, Writer

__all__ = ["PackFault", "Packs", "Progress", "require_chunker"]

Progress = Callable[[int], None]
_READ_BYTES = 128 * 1024


class Packs:
    """The packs of one store. Any number of threads; owns no descriptor."""

    def __init__(
        self,
        layout: Layout,
        reading: Callable[[], AbstractContextManager[Reader]],
        writing: Callable[[], AbstractContextManager[Writer]],
    ) -> None:
        self._layout = layout
        self._finder = Finder(layout, (reading, writing))

    def sizes(self, digests: Sequence[bytes]) -> list[int | None]:
        """Return the size in bytes of each blob that a pack holds, else None."""
        return [found and found.size_bytes for found in self._finder.find(RECIPE, digests)]

    def are_sound(self, digests: Sequence[bytes]) -> list[bool]:
        """Return whether these blobs can be read from the packs. Each is read whole, once a start of the machine."""
        sound = self._finder.known_sound(digests)
        for number, digest in enumerate(digests):
            if not sound[number]:
                with suppress(KeyError, BlobDamaged), reading.OpenPacks(self._finder) as opened:
                    reading.fill(opened, digest, None, _silently)
                    sound[number] = True
                    self._finder.note_sound(digest)
        return sound

    def open(self, digest: bytes) -> BinaryIO:
        """Return a blob opened for reading at any place; each chunk is verified when it is read.

        Raises KeyError where no pack holds it, BlobDamaged where its bytes are wrong, then or while it is read.
        """
        raw = reading.BlobReader(reading.OpenPacks(self._finder), digest)
        return cast("BinaryIO", io.BufferedReader(raw, _READ_BYTES))

    def fill(self, digest: bytes, descriptor: int, progress: Progress) -> None:
        """Write a blob into an open empty file; what was written is verified as a whole.

        Raises KeyError and BlobDamaged; then some of it may be written, and is not to be used.
        """
        with reading.OpenPacks(self._finder) as opened:
            reading.fill(opened, digest, descriptor, progress)

    def add(self, blobs: Iterable[tuple[bytes, str]], progress: Progress) -> int:
        """Write blobs, given with the paths of their files, into packs that are durable when this returns.

        Returns the bytes written: chunks that a pack has already are not written again. progress: told bytes as they
        are read. The files stay; nobody may remove anything from packs meanwhile.

        Raises BlobDamaged for a file with other bytes than its digest says, Rejected where the chunker is missing.
        """
        return writing.add(self._layout, self._finder, blobs, PACK_BYTES, progress)

    def blobs(self) -> Iterable[tuple[bytes, int]]:
        """Return all blobs that packs hold, with their sizes, each once."""
        return dropping.blobs(self._finder)

    def drop(self, digests: Collection[bytes]) -> int:
        """Remove these blobs from the packs and return the bytes freed; their chunks stay until ``sweep``.

        Nobody may take blobs in meanwhile.
        """
        return dropping.drop_recipes(self._layout, self._finder, digests)

    def sweep(self, exclusively: Callable[[], AbstractContextManager[None]], progress: Progress) -> int:
        """Remove the chunks that no blob needs, and return the bytes freed.

        exclusively: opened for each pack that is rewritten: a block in which nobody takes blobs in. Raises Damaged,
        and removes nothing, where it cannot be read what a blob needs.
        """
        return dropping.sweep(self._layout, self._finder, exclusively, progress)

    def what_goes(self, digests: Collection[bytes]) -> int:
        """Return the bytes that ``drop`` of these blobs and ``sweep`` would free."""
        return dropping.what_goes(self._finder, digests)

    def size_bytes(self) -> int:
        """Return the bytes of all pack files."""
        return sum(path.stat().st_size for path in map(self._finder.path, self._finder.names()))

    def verify(self, *, contents: bool) -> Iterator[PackFault]:
        """Yield what is wrong with the packs. contents: read every chunk, and not only what says where they are."""
        return verify(self._finder, contents=contents)

    def there_are(self) -> bool:
        """Return whether there is any pack."""
        return bool(self._finder.names())

    def paths(self) -> list[str]:
        """Return the paths of all packs."""
        return [os.fspath(self._finder.path(name)) for name in sorted(self._finder.names())]


def _silently(size_bytes: int) -> None:
    """Report progress to nobody."""
