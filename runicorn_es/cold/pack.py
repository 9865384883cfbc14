"""The bytes of a pack file: chunks and recipes one behind the other, each telling what it is, and an index at the end.

Layout: docs/reference/packs.md. Nothing here knows where packs lie or who reads them. What is read is never believed:
every length is checked before it is used, and whoever hands out bytes compares their digest.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from operator import eq
import os
import struct
from types import ModuleType
import zlib

from blake3 import blake3
import msgspec

from runicorn_es import settings
from runicorn_es.errors import TooNew

FORMAT = 1
PACK_BYTES = 256 * settings.MIB
CHUNK_BYTES_MAX = 1 * settings.MIB

CHUNK = 1
RECIPE = 2

RAW = 0
ZSTD = 1
PLANES_2 = 2
PLANES_4 = 4

_MAGIC = b"RNCNPACK"
_HEAD = struct.Struct("<8sI")
_MARKER = b"RNCE"
_ENTRY = struct.Struct("<4sBBHQQ32sI")
_ROW = struct.Struct("<32sQQQ")
_TRAILER_MAGIC = b"RNCNPEND"
_TRAILER = struct.Struct("<8sQQQII")
_CHECKSUM = struct.Struct("<I")
_PART = struct.Struct("<I32s")
_SCAN_STEP_BYTES = 1 * settings.MIB

HEAD_BYTES = _HEAD.size + _CHECKSUM.size
ENTRY_BYTES = _ENTRY.size + _CHECKSUM.size
ROW_BYTES = _ROW.size
TRAILER_BYTES = _TRAILER.size + _CHECKSUM.size


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What the header of an entry says: a chunk, or the recipe of a blob, whose digest and size these then are."""

    kind: int
    encoding: int
    size_bytes: int
    stored_bytes: int
    digest: bytes
    checksum: int

    @property
    def length_bytes(self) -> int:
        """Return the bytes of the whole entry, with its header."""
        return ENTRY_BYTES + self.stored_bytes


class Row(msgspec.Struct, frozen=True, gc=False):
    """Where in a pack an entry lies, as the index says. ``size_bytes``: of the chunk or the blob itself."""

    kind: int
    digest: bytes
    offset: int
    length_bytes: int
    size_bytes: int


class Recipe(msgspec.Struct, frozen=True):
    """How a blob is put together: the sizes and digests of its chunks in order, and who cut them."""

    chunker: str
    sizes: tuple[int, ...]
    digests: tuple[bytes, ...]


class Index(msgspec.Struct, frozen=True):
    """The two sorted sections of an index as they are stored, and whether they were read or found by a scan.

    ``gaps``: offset and length of what the scan could not explain.
    """

    recipes: bytes
    chunks: bytes
    end: int
    is_stored: bool
    gaps: tuple[tuple[int, int], ...] = ()

    def section(self, kind: int) -> bytes:
        """Return the rows of one kind."""
        return self.recipes if kind == RECIPE else self.chunks

    def rows(self) -> list[Row]:
        """Return the rows of both kinds in the order in which their entries lie in the pack."""
        found = [*rows_of(RECIPE, self.recipes), *rows_of(CHUNK, self.chunks)]
        found.sort(key=lambda row: row.offset)
        return found


def head() -> bytes:
    """Return how a pack begins."""
    return _with_checksum(_HEAD.pack(_MAGIC, FORMAT))


def entry_header(kind: int, encoding: int, digest: bytes, size_bytes: int, stored: bytes) -> bytes:
    """Return what stands before the stored bytes of an entry."""
    return _with_checksum(_ENTRY.pack(_MARKER, kind, encoding, 0, size_bytes, len(stored), digest, zlib.crc32(stored)))


def entry_at(content: bytes | bytearray | memoryview, at: int = 0) -> Entry | None:
    """Return what the header at this place says, or None where there is no sound one."""
    if len(content) - at < ENTRY_BYTES or content[at : at + 4] != _MARKER:
        return None
    marker, kind, encoding, nothing, size_bytes, stored_bytes, digest, checksum = _ENTRY.unpack_from(content, at)
    (told,) = _CHECKSUM.unpack_from(content, at + _ENTRY.size)
    if zlib.crc32(content[at : at + _ENTRY.size]) != told or marker != _MARKER or nothing:
        return None
    match kind:
        case 1 if encoding in {RAW, ZSTD, PLANES_2, PLANES_4} and max(size_bytes, stored_bytes) <= CHUNK_BYTES_MAX:
            pass
        case 2 if encoding == RAW:
            pass
        case _:
            return None
    return Entry(kind, encoding, size_bytes, stored_bytes, digest, checksum)


def encode_recipe(recipe: Recipe) -> bytes:
    """Return the stored bytes of a recipe."""
    chunker = recipe.chunker.encode()
    parts = [_PART.pack(*part) for part in zip(recipe.sizes, recipe.digests, strict=True)]
    return b"".join([bytes([len(chunker)]), chunker, *parts])


def decode_recipe(stored: bytes) -> Recipe | None:
    """Return the recipe of its stored bytes, or None where they are none."""
    if not stored or (len(stored) - 1 - stored[0]) % _PART.size or len(stored) < 1 + stored[0]:
        return None
    parts = list(_PART.iter_unpack(stored[1 + stored[0] :]))
    chunker = stored[1 : 1 + stored[0]].decode(errors="replace")
    return Recipe(chunker, tuple(size for size, _ in parts), tuple(digest for _, digest in parts))


def recipe_in(found: bytes, digest: bytes) -> Recipe | None:
    """Return the recipe that an entry, given with its header, is of this blob, or None where it is not sound."""
    entry = entry_at(found)
    if entry is None or (entry.kind, entry.digest, entry.length_bytes) != (RECIPE, digest, len(found)):
        return None
    stored = found[ENTRY_BYTES:]
    if zlib.crc32(stored) != entry.checksum:
        return None
    recipe = decode_recipe(stored)
    return recipe if recipe is not None and fits(recipe, entry.size_bytes) else None


def decode_chunk(entry: Entry, stored: bytes | memoryview) -> bytes | bytearray | memoryview | None:
    """Return the bytes of a chunk, whose digest nobody has looked at yet, or None where they cannot be had."""
    if len(stored) != entry.stored_bytes:
        return None
    if entry.encoding == RAW:
        return stored if entry.stored_bytes == entry.size_bytes else None
    zstandard = zstandard_module()
    try:
        # The size stands in the frame; it is checked before anything of that size is allocated.
        if zstandard.frame_content_size(stored) != entry.size_bytes:
            return None
        plain: bytes = zstandard.ZstdDecompressor().decompress(stored)
    except zstandard.ZstdError:
        return None
    return plain if entry.encoding == ZSTD else join_planes(plain, entry.encoding)


def join_planes(planes: bytes, count: int) -> bytearray:
    """Return the bytes of which every ``count``-th, from the first on, make the first plane, and so on."""
    joined = bytearray(len(planes))
    begin = 0
    for number in range(count):
        end = begin + (len(planes) - number + count - 1) // count
        joined[number::count] = planes[begin:end]
        begin = end
    return joined


def index_section(rows: Iterable[Row]) -> bytes:
    """Return rows of one kind as they stand in the index: sorted by digest."""
    return b"".join(sorted(_ROW.pack(row.digest, row.offset, row.length_bytes, row.size_bytes) for row in rows))


def trailer(recipes: bytes, chunks: bytes, offset: int) -> bytes:
    """Return how a pack ends that has its index, of these two sections, at this offset."""
    counts = len(recipes) // ROW_BYTES, len(chunks) // ROW_BYTES
    return _with_checksum(_TRAILER.pack(_TRAILER_MAGIC, *counts, offset, zlib.crc32(recipes), zlib.crc32(chunks)))


def name_of(recipes: bytes, chunks: bytes) -> str:
    """Return the name of the pack with this index: 16 hexadecimal digits of its BLAKE3."""
    return blake3(recipes).update(chunks).digest(8).hex()


def rows_of(kind: int, section: bytes) -> Iterator[Row]:
    """Yield the rows of a section, in the order of their digests."""
    for digest, offset, length_bytes, size_bytes in _ROW.iter_unpack(section):
        yield Row(kind, digest, offset, length_bytes, size_bytes)


def row_in(kind: int, section: bytes, digest: bytes) -> Row | None:
    """Return the first row of a section with this digest."""
    count = len(section) // ROW_BYTES
    at = bisect_left(range(count), digest, key=lambda number: section[number * ROW_BYTES : number * ROW_BYTES + 32])
    if at == count or not section.startswith(digest, at * ROW_BYTES):
        return None
    return Row(kind, *_ROW.unpack_from(section, at * ROW_BYTES))


def is_head_sound(descriptor: int) -> bool:
    """Return whether the pack begins as one does. Raises TooNew when its format is a later one."""
    found = os.pread(descriptor, HEAD_BYTES, 0)
    if len(found) < HEAD_BYTES or _with_checksum(found[: _HEAD.size]) != found:
        return False
    magic, number = _HEAD.unpack_from(found)
    if magic == _MAGIC and number > FORMAT:
        raise TooNew(f"a pack has format {number}, and this release reads {FORMAT}; upgrade runicorn-es")
    return bool(magic == _MAGIC and number == FORMAT)


def read_section(descriptor: int, kind: int) -> bytes:
    """Return the sorted rows of one kind: from the index, or from a scan where that is missing or damaged."""
    is_head_sound(descriptor)
    if (found := _stored_sections(descriptor, {kind})) is not None:
        return found[kind]
    return scan(descriptor).section(kind)


def read_index(descriptor: int) -> Index:
    """Return what a pack holds: from its index, or from a scan where that is missing or damaged."""
    is_head_sound(descriptor)
    if (found := _stored_sections(descriptor, {RECIPE, CHUNK})) is not None:
        end = os.fstat(descriptor).st_size - TRAILER_BYTES - len(found[RECIPE]) - len(found[CHUNK])
        return Index(found[RECIPE], found[CHUNK], end, is_stored=True)
    return scan(descriptor)


def scan(descriptor: int) -> Index:
    """Return what a pack holds by reading the header of every entry from the first to the last.

    Where one is damaged, the next sound one is searched for.
    """
    size_bytes = os.fstat(descriptor).st_size
    rows: list[Row] = []
    gaps: list[tuple[int, int]] = []
    at = end = HEAD_BYTES
    while at < size_bytes:
        entry = entry_at(os.pread(descriptor, ENTRY_BYTES, at))
        if entry is not None and entry.length_bytes <= size_bytes - at:
            rows.append(Row(entry.kind, entry.digest, at, entry.length_bytes, entry.size_bytes))
            at = end = at + entry.length_bytes
            continue
        following = _next_entry(descriptor, at + 1, size_bytes)
        gaps.append((at, following - at))
        at = following
    recipes = index_section(row for row in rows if row.kind == RECIPE)
    chunks = index_section(row for row in rows if row.kind == CHUNK)
    if gaps and gaps[-1][0] == end and _is_likely_index(os.pread(descriptor, *_turned(gaps[-1])), recipes + chunks):
        gaps.pop()
    return Index(recipes, chunks, end, is_stored=False, gaps=tuple(gaps))


def _is_likely_index(found: bytes, expected: bytes) -> bool:
    """Return whether bytes behind the last entry are what an index of these rows becomes when it is damaged or cut."""
    if len(found) > len(expected) + TRAILER_BYTES:
        return False
    same: int = sum(map(eq, found, expected))
    return same * 2 >= min(len(found), len(expected))


def _turned(stretch: tuple[int, int]) -> tuple[int, int]:
    return stretch[1], stretch[0]


def _next_entry(descriptor: int, at: int, size_bytes: int) -> int:
    """Return where the next sound entry begins, or the end of the file."""
    while at < size_bytes:
        found = os.pread(descriptor, _SCAN_STEP_BYTES + ENTRY_BYTES, at)
        place = found.find(_MARKER)
        while 0 <= place < _SCAN_STEP_BYTES:
            entry = entry_at(found, place)
            if entry is not None and entry.length_bytes <= size_bytes - at - place:
                return at + place
            place = found.find(_MARKER, place + 1)
        at += _SCAN_STEP_BYTES
    return size_bytes


def _stored_sections(descriptor: int, kinds: set[int]) -> dict[int, bytes] | None:
    """Return these sections of the index at the end of a pack, or None where one of them is missing or damaged."""
    size_bytes = os.fstat(descriptor).st_size
    at = size_bytes - TRAILER_BYTES
    found = os.pread(descriptor, TRAILER_BYTES, at) if at >= HEAD_BYTES else b""
    if len(found) < TRAILER_BYTES or _with_checksum(found[: _TRAILER.size]) != found:
        return None
    magic, recipes, chunks, offset, recipes_checksum, chunks_checksum = _TRAILER.unpack_from(found)
    if magic != _TRAILER_MAGIC or offset < HEAD_BYTES or offset + (recipes + chunks) * ROW_BYTES != at:
        return None
    begin = offset + recipes * ROW_BYTES
    places = {RECIPE: (offset, recipes, recipes_checksum), CHUNK: (begin, chunks, chunks_checksum)}
    sections = {}
    for kind in kinds:
        where, count, checksum = places[kind]
        sections[kind] = os.pread(descriptor, count * ROW_BYTES, where)
        if len(sections[kind]) != count * ROW_BYTES or zlib.crc32(sections[kind]) != checksum:
            return None
    return sections


def fits(recipe: Recipe, size_bytes: int) -> bool:
    """Return whether the chunks of a recipe make up a blob of this size."""
    return sum(recipe.sizes) == size_bytes and max(recipe.sizes, default=0) <= CHUNK_BYTES_MAX


def checksum(content: bytes | memoryview) -> int:
    """Return the checksum that a header has of what is stored behind it."""
    return zlib.crc32(content)


def spans_of(pieces: Sequence[tuple[int, int]], *, gap_bytes: int, span_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of runs of neighbouring pieces (offset, length) that are best read at once."""
    first = 0
    for number in range(1, len(pieces) + 1):
        if number < len(pieces):
            end = sum(pieces[number - 1])
            offset, length_bytes = pieces[number]
            if 0 <= offset - end <= gap_bytes and offset + length_bytes - pieces[first][0] <= span_bytes:
                continue
        yield first, number - 1
        first = number


def _with_checksum(content: bytes) -> bytes:
    return content + _CHECKSUM.pack(zlib.crc32(content))


def zstandard_module() -> ModuleType:
    """Return the module zstandard: ten milliseconds to import, and most commands never meet a pack."""
    import zstandard  # noqa: PLC0415

    return zstandard
