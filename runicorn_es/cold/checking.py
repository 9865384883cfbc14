"""Every byte of every pack against its checksums and digests."""

from collections.abc import Iterator
import os

from blake3 import blake3
import msgspec

from runicorn_es.cold import pack
from runicorn_es.cold.finding import Finder
from runicorn_es.cold.pack import CHUNK, RECIPE, Row
from runicorn_es.names import Digest


class PackFault(msgspec.Struct, frozen=True):
    """A part of a pack that is not as it was written.

    pack: the pack's name, empty for what no pack has. blobs: the digests of those that cannot be read because of it.
    """

    pack: str
    offset: int
    size_bytes: int
    message: str
    blobs: tuple[bytes, ...] = ()


class _Seen:
    """What was found sound, and what was not."""

    def __init__(self) -> None:
        self.chunks: set[bytes] = set()
        self.recipes: dict[bytes, pack.Recipe] = {}
        # Damaged places, each with the kind and the digest of what should be there, where that is known.
        self.faults: list[tuple[PackFault, Row | None]] = []


def verify(finder: Finder, *, contents: bool) -> Iterator[PackFault]:
    """Yield what is wrong with the packs, pack by pack, and then which chunks are in none.

    contents: read every chunk, and not only the indices and the recipes.
    """
    seen = _Seen()
    for name in sorted(finder.refresh()):
        try:
            descriptor = os.open(finder.path(name), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            _look_through(seen, name, descriptor, contents=contents)
        finally:
            os.close(descriptor)
    hit: dict[bytes, list[bytes]] = {}
    for digest, recipe in seen.recipes.items():
        for part in dict.fromkeys(recipe.digests):
            if part not in seen.chunks:
                hit.setdefault(part, []).append(digest)
    for fault, row in seen.faults:
        blobs: tuple[bytes, ...] = ()
        if row is not None and row.kind == CHUNK:
            blobs = tuple(hit.pop(row.digest, ()))
        elif row is not None and row.digest not in seen.recipes:
            blobs = (row.digest,)
        yield msgspec.structs.replace(fault, blobs=blobs)
    for part, digests in hit.items():
        yield PackFault("", 0, 0, f"chunk {Digest(part)} is in no pack", tuple(digests))


def _look_through(seen: _Seen, name: str, descriptor: int, *, contents: bool) -> None:
    index = pack.read_index(descriptor)
    if not pack.is_head_sound(descriptor):
        seen.faults.append((PackFault(name, 0, pack.HEAD_BYTES, "the beginning of the pack is damaged"), None))
    if not index.is_stored:
        rest = os.fstat(descriptor).st_size - index.end
        seen.faults.append((PackFault(name, index.end, rest, "the index of the pack is damaged"), None))
    for at, length_bytes in index.gaps:
        seen.faults.append((PackFault(name, at, length_bytes, "nothing that is known stands here"), None))
    for row in index.rows():
        if row.kind == CHUNK and not contents:
            seen.chunks.add(row.digest)
        elif (problem := _problem(seen, row, os.pread(descriptor, row.length_bytes, row.offset))) is not None:
            what = "the recipe of blob" if row.kind == RECIPE else "chunk"
            message = f"{what} {Digest(row.digest)} {problem}"
            seen.faults.append((PackFault(name, row.offset, row.length_bytes, message), row))


def _problem(seen: _Seen, row: Row, found: bytes) -> str | None:
    """Return what is wrong with an entry, or note it as sound."""
    entry = pack.entry_at(found)
    if entry is None or (entry.kind, entry.digest, entry.length_bytes) != (row.kind, row.digest, len(found)):
        return "has a damaged header"
    stored = memoryview(found)[pack.ENTRY_BYTES :]
    if pack.checksum(stored) != entry.checksum:
        return "is damaged"
    if row.kind == RECIPE:
        recipe = pack.recipe_in(found, row.digest)
        if recipe is None:
            return "is none"
        seen.recipes[row.digest] = recipe
        return None
    plain = pack.decode_chunk(entry, stored)
    if plain is None or blake3(plain).digest() != entry.digest:
        return "has other bytes than its digest says"
    seen.chunks.add(row.digest)
    return None
