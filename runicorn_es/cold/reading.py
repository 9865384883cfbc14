"""Blobs out of packs: whole ones in large steps, or any part of one, and never a byte that is not as it was.

Packs are rewritten while we read. One that is open is read on; one that is gone is looked for again. An entry with
wrong bytes is looked for in the other packs before the blob counts as damaged.
"""

from array import array
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
import io
from itertools import accumulate
import os
from types import TracebackType
from typing import Self

from blake3 import blake3

from runicorn_es import durable, settings
from runicorn_es.cold import pack
from runicorn_es.cold.finding import Finder, Location
from runicorn_es.cold.pack import CHUNK, RECIPE, Recipe
from runicorn_es.errors import BlobDamaged
from runicorn_es.names import Digest

WINDOW_BYTES = 8 * settings.MIB
_SPAN_BYTES = 4 * settings.MIB
_GAP_BYTES = 64 * settings.KIB
_OPEN_AT_ONCE = 64
_READERS = 2

Progress = Callable[[int], None]
Content = bytes | bytearray | memoryview


class OpenPacks:
    """Packs that are open for reading, the most recently used of them. Use as a context manager, or ``close``."""

    def __init__(self, finder: Finder) -> None:
        self.finder = finder
        self._descriptors: OrderedDict[str, int] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close them all."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def read(self, name: str, offset: int, length_bytes: int) -> bytes:
        """Return bytes of a pack, fewer at its end. Raises FileNotFoundError where there is no such pack any more."""
        descriptor = self._descriptors.get(name)
        if descriptor is None:
            while len(self._descriptors) >= _OPEN_AT_ONCE:
                os.close(self._descriptors.popitem(last=False)[1])
            descriptor = os.open(self.finder.path(name), os.O_RDONLY | os.O_CLOEXEC)
            self._descriptors[name] = descriptor
        else:
            self._descriptors.move_to_end(name)
        return os.pread(descriptor, length_bytes, offset)

    def chunk(self, digest: bytes, size_bytes: int, location: Location) -> Content | None:
        """Return the verified bytes of the chunk at this place, or None where they are not those of its digest."""
        if location.length_bytes < pack.ENTRY_BYTES:
            return None
        found = memoryview(self.read(location.pack, location.offset, location.length_bytes))
        plain = _unverified(found, 0, (digest, size_bytes, location))
        return plain if plain is not None and len(plain) == size_bytes and blake3(plain).digest() == digest else None

    def recipe(self, digest: bytes, location: Location) -> Recipe | None:
        """Return the recipe at this place, or None where it is not sound."""
        if location.length_bytes < pack.ENTRY_BYTES:
            return None
        return pack.recipe_in(self.read(location.pack, location.offset, location.length_bytes), digest)

    def chunks_at(self, parts: Sequence[tuple[bytes, int, Location | None]]) -> Iterator[Content | None]:
        """Yield what lies at the places of these chunks (digest, size, place), **not verified**; None where that fails.

        Neighbours are read at once.
        """
        placed = [(number, part[2]) for number, part in enumerate(parts) if part[2] is not None]
        at = 0
        for name_first, name_last in _runs([location.pack for _, location in placed]):
            run = placed[name_first : name_last + 1]
            pieces = [(location.offset, location.length_bytes) for _, location in run]
            for first, last in pack.spans_of(pieces, gap_bytes=_GAP_BYTES, span_bytes=_SPAN_BYTES):
                begin, end = pieces[first][0], sum(pieces[last])
                try:
                    span = memoryview(self.read(run[0][1].pack, begin, end - begin))
                except FileNotFoundError:
                    span = memoryview(b"")
                for number, location in run[first : last + 1]:
                    while at < number:
                        yield None
                        at += 1
                    yield _unverified(span, location.offset - begin, parts[number])
                    at += 1
        while at < len(parts):
            yield None
            at += 1


def _runs(names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of runs of equal names."""
    first = 0
    for number in range(1, len(names) + 1):
        if number == len(names) or names[number] != names[first]:
            yield first, number - 1
            first = number


def _unverified(span: memoryview, at: int, part: tuple[bytes, int, Location | None]) -> Content | None:
    digest, size_bytes, location = part
    entry = pack.entry_at(span, at)
    if entry is None or location is None or (entry.kind, entry.digest, entry.size_bytes) != (CHUNK, digest, size_bytes):
        return None
    begin = at + pack.ENTRY_BYTES
    return pack.decode_chunk(entry, span[begin : begin + entry.stored_bytes])


def recipe_of(opened: OpenPacks, digest: bytes) -> Recipe:
    """Return the recipe of a blob. Raises KeyError where no pack has one, BlobDamaged where none is sound."""
    bad = None
    for location in opened.finder.copies(RECIPE, digest):
        try:
            if (recipe := opened.recipe(digest, location)) is not None:
                return recipe
        except FileNotFoundError:
            continue
        bad = location
    if bad is None:
        raise KeyError(digest)
    opened.finder.note_damaged(digest)
    raise BlobDamaged(
        f"the recipe of blob {Digest(digest)} is damaged: {_where(opened, bad)}; log the same file again to heal it, "
        "or copy that pack from another copy of this store",
        digest,
    )


def chunk_of(opened: OpenPacks, blob: bytes, digest: bytes, size_bytes: int) -> Content:
    """Return the verified bytes of a chunk of a blob, wherever a sound copy of it lies. Raises BlobDamaged."""
    bad = None
    for location in opened.finder.copies(CHUNK, digest):
        try:
            if (content := opened.chunk(digest, size_bytes, location)) is not None:
                return content
        except FileNotFoundError:
            continue
        bad = location
    what = f"chunk {Digest(digest)} of blob {Digest(blob)}"
    if bad is None and opened.finder.find(RECIPE, [blob]) == [None]:
        # The blob was dropped while it was read.
        raise KeyError(blob)
    opened.finder.note_damaged(blob)
    where = f"is damaged: {_where(opened, bad)}" if bad else f"is missing from the packs in {opened.finder.folder}"
    raise BlobDamaged(
        f"{what} {where}; the blob was not handed out; log the same file again to heal it, or copy that pack from "
        "another copy of this store",
        blob,
    )


def _where(opened: OpenPacks, location: Location) -> str:
    return f"{opened.finder.path(location.pack)}, {location.length_bytes} bytes from offset {location.offset}"


def fill(opened: OpenPacks, digest: bytes, descriptor: int | None, progress: Progress) -> None:
    """Write a blob into an open file, from its beginning on; with None only read and verify it.

    Raises KeyError and BlobDamaged; then some of it may be written, and is not to be used.
    """
    recipe = recipe_of(opened, digest)
    if _pour(opened, digest, recipe, descriptor, progress):
        return
    # Some chunk has other bytes, although all looked well. One at a time tells which, and finds another copy of it.
    hasher = blake3()
    offset = 0
    for part, size_bytes in zip(recipe.digests, recipe.sizes, strict=True):
        content = chunk_of(opened, digest, part, size_bytes)
        hasher.update(content)
        if descriptor is not None:
            durable.write_all_at(descriptor, bytes(content), offset)
        offset += size_bytes
    if hasher.digest() != digest:
        opened.finder.note_damaged(digest)
        raise BlobDamaged(
            f"blob {Digest(digest)} is not what its recipe makes of sound chunks, so the recipe is wrong; log the same "
            "file again to heal it",
            digest,
        )


def _pour(opened: OpenPacks, digest: bytes, recipe: Recipe, descriptor: int | None, progress: Progress) -> bool:
    """Write a blob in windows and return whether it came out right."""
    hasher = blake3()
    offset = 0
    for window in _windows(opened.finder, digest, recipe):
        for part in window:
            hasher.update(part)
        size_bytes = sum(map(len, window))
        if descriptor is not None:
            durable.write_parts_at(descriptor, window, offset)
        offset += size_bytes
        progress(size_bytes)
    return hasher.digest() == digest


def _windows(finder: Finder, digest: bytes, recipe: Recipe) -> Iterator[list[Content]]:
    """Yield a blob in large steps, as its chunks say and not verified; other threads read ahead."""
    # Thirteen milliseconds to import, and most commands never meet a pack.
    from concurrent.futures import Future, ThreadPoolExecutor  # noqa: PLC0415

    waiting: deque[Future[list[Content]]] = deque()
    with ThreadPoolExecutor(_READERS) as readers:
        first = 0
        while first < len(recipe.sizes) or waiting:
            if first < len(recipe.sizes):
                last = _window_from(recipe, first)
                waiting.append(readers.submit(_window, finder, digest, recipe, first, last))
                first = last
            if len(waiting) > _READERS or first == len(recipe.sizes):
                yield waiting.popleft().result()


def _window_from(recipe: Recipe, first: int) -> int:
    """Return the number of the first chunk behind the window that begins with this one."""
    size_bytes = 0
    for number in range(first, len(recipe.sizes)):
        size_bytes += recipe.sizes[number]
        if size_bytes > WINDOW_BYTES:
            return max(number, first + 1)
    return len(recipe.sizes)


def _window(finder: Finder, digest: bytes, recipe: Recipe, first: int, last: int) -> list[Content]:
    digests, sizes = recipe.digests[first:last], recipe.sizes[first:last]
    places = finder.find(CHUNK, digests)
    with OpenPacks(finder) as opened:
        contents = opened.chunks_at(list(zip(digests, sizes, places, strict=True)))
        return [
            chunk_of(opened, digest, part, size) if content is None else content
            for part, size, content in zip(digests, sizes, contents, strict=True)
        ]


class BlobReader(io.RawIOBase):
    """A blob opened for reading at any place. Each chunk is verified when it is read; the last one is kept."""

    def __init__(self, opened: OpenPacks, digest: bytes) -> None:
        super().__init__()
        self._opened = opened
        self._digest = digest
        self._recipe = recipe_of(opened, digest)
        self._ends = array("Q", accumulate(self._recipe.sizes))
        self._size_bytes = self._ends[-1] if self._ends else 0
        self._at = 0
        self._number = -1
        self._chunk = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place and return it, as every file does."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size_bytes}[whence]
        if origin + offset < 0:
            raise ValueError(f"a file cannot be read from {origin + offset} on")
        self._at = origin + offset
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read what is left of the chunk at this place, or less. Raises BlobDamaged."""
        if self.closed:
            raise ValueError("the file is closed")
        if self._at >= self._size_bytes:
            return 0
        number = bisect_right(self._ends, self._at)
        if number != self._number:
            part, size_bytes = self._recipe.digests[number], self._recipe.sizes[number]
            self._chunk = memoryview(chunk_of(self._opened, self._digest, part, size_bytes))
            self._number = number
        found = self._chunk[self._at - self._ends[number] :][: len(buffer)]
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def close(self) -> None:
        """Close the packs that are open."""
        if not self.closed:
            self._opened.close()
        super().close()
