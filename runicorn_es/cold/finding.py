"""Where in which pack a chunk or a recipe lies: rows in the tables, and the packs' own indices where those do not help.

Rows are memory. They are made from the indices of the packs when first needed, carry a checksum, and what is read at
the place that one names is compared with its digest. A row that is missing, wrong, or of a pack that is gone makes us
look at the folder again, and then into the packs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
import os
from pathlib import Path
import re
import struct
import time
from typing import NamedTuple
import zlib

from runicorn_es.cold.pack import CHUNK, RECIPE, Row, read_index, read_section, row_in, rows_of
from runicorn_es.layout import Layout
from runicorn_es.tables import Reader, TablesFailed, Writer

SUFFIX = ".pack"
_PACKS = b"~packs"
_SOUND = _PACKS + b"s"
_KEYS = {RECIPE: _PACKS + b"b", CHUNK: _PACKS + b"c"}
_ROW = struct.Struct("<8sQQQ")
_CHECKSUM = struct.Struct("<I")
_NAME = re.compile(r"[0-9a-f]{16}\.pack")
_SETTLED_NS = 2_000_000_000
_PREFIX_BYTES = 8

Rows = tuple[Callable[[], AbstractContextManager[Reader]], Callable[[], AbstractContextManager[Writer]]]


class Location(NamedTuple):
    """An entry of a pack: the pack's name, offset and bytes of the entry, and the size of what it stands for."""

    pack: str
    offset: int
    length_bytes: int
    size_bytes: int


class Finder:
    """What the packs of one store hold. Any number of threads; owns no descriptor."""

    def __init__(self, layout: Layout, rows: Rows) -> None:
        self.folder = layout.packs
        self._reading, self._writing = rows
        # The packs seen last, and the change time of the folder that shows whether they still are all.
        self._seen: tuple[int, frozenset[str]] = (-1, frozenset())
        # The beginnings of the digests of all blobs in the packs looked into so far: what is not among them is in none.
        self._beginnings: set[bytes] = set()
        self._looked_into: set[str] = set()

    def path(self, pack: str) -> Path:
        """Return where the pack with this name lies."""
        return self.folder / f"{pack}{SUFFIX}"

    def names(self) -> frozenset[str]:
        """Return the names of all packs there are now."""
        try:
            changed_ns = self.folder.stat().st_mtime_ns
            if self._seen[0] == changed_ns:
                return self._seen[1]
            now_ns = time.time_ns()
            there = os.listdir(self.folder)  # noqa: PTH208
        except FileNotFoundError:
            return frozenset()
        names = frozenset(name.removesuffix(SUFFIX) for name in there if _NAME.fullmatch(name))
        # A folder that changed just now may change again without its time telling.
        self._seen = (changed_ns if abs(now_ns - changed_ns) > _SETTLED_NS else -1, names)
        return names

    def find(self, kind: int, digests: Sequence[bytes]) -> list[Location | None]:
        """Return for each digest where an entry of this kind and digest lies, or None where no pack has one."""
        names = self.names()
        if not names:
            return [None] * len(digests)
        found = self._of_rows(kind, digests, names)
        if None in found:
            names = self.refresh()
            found = self._of_rows(kind, digests, names)
        missing = {digest for digest, location in zip(digests, found, strict=True) if location is None}
        if missing and kind == RECIPE:
            self._look_into(names)
            missing = {digest for digest in missing if digest[:_PREFIX_BYTES] in self._beginnings}
        if missing:
            deep = self._of_packs(kind, missing)
            return [location or deep.get(digest) for digest, location in zip(digests, found, strict=True)]
        return found

    def find_quickly(self, kind: int, digests: Sequence[bytes]) -> list[Location | None]:
        """Return the same from the rows alone: None may also mean that a row is wrong."""
        return self._of_rows(kind, digests, self.names())

    def copies(self, kind: int, digest: bytes) -> Iterator[Location]:
        """Yield every place that has an entry of this kind and digest, the most likely first."""
        [first] = self.find(kind, [digest])
        if first is not None:
            yield first
        for names in self._until_settled():
            for name in sorted(names):
                with suppress(FileNotFoundError):
                    row = row_in(kind, self._section(name, kind), digest)
                    if row is not None and (location := _location(name, row)) != first:
                        yield location

    def refresh(self) -> frozenset[str]:
        """Make rows of the packs that are new, and return the names of all packs."""
        for names in self._until_settled():
            known = self._known()
            for name in sorted(names - known):
                with suppress(FileNotFoundError):
                    self._learn_of(name)
            if names != known:
                self._put({_PACKS: b"".join(bytes.fromhex(name) for name in sorted(names))})
        return self.names()

    def learn(self, pack: str, recipes: bytes, chunks: bytes) -> None:
        """Make the rows of a pack from the sections of its index."""
        values = {}
        for kind, section in ((RECIPE, recipes), (CHUNK, chunks)):
            for row in rows_of(kind, section):
                key = _KEYS[kind] + row.digest
                value = _ROW.pack(bytes.fromhex(pack), row.offset, row.length_bytes, row.size_bytes)
                values[key] = value + _CHECKSUM.pack(zlib.crc32(value, zlib.crc32(key)))
        self._put(values)

    def forget(self, pack: str, rows: Sequence[Row]) -> None:
        """Remove those rows that are of this pack, which is no more."""
        named = bytes.fromhex(pack)
        with suppress(TablesFailed, OSError), self._writing() as out:
            for key in sorted(_KEYS[row.kind] + row.digest for row in rows):
                if (out.get(key) or b"").startswith(named):
                    out.delete(key)

    def known_sound(self, digests: Sequence[bytes]) -> list[bool]:
        """Return for each blob whether it was read whole and found right, since the machine was started."""
        with suppress(TablesFailed, OSError), self._reading() as rows:
            return [rows.get(_SOUND + digest) is not None for digest in digests]
        return [False] * len(digests)

    def note_sound(self, digest: bytes) -> None:
        """Say that a blob was read whole and found right."""
        self._put({_SOUND + digest: b""})

    def note_damaged(self, digest: bytes) -> None:
        """Say that a blob cannot be read."""
        with suppress(TablesFailed, OSError), self._writing() as out:
            out.delete(_SOUND + digest)

    def _put(self, values: Mapping[bytes, bytes]) -> None:
        # What cannot be remembered is looked for in the packs again.
        with suppress(TablesFailed, OSError), self._writing() as out:
            for key, value in values.items():
                out.put(key, value)

    def _known(self) -> frozenset[str]:
        with suppress(TablesFailed, OSError), self._reading() as rows:
            row = rows.get(_PACKS) or b""
            return frozenset(row[at : at + 8].hex() for at in range(0, len(row), 8))
        return frozenset()

    def _learn_of(self, name: str) -> None:
        descriptor = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            index = read_index(descriptor)
        finally:
            os.close(descriptor)
        self.learn(name, index.recipes, index.chunks)

    def _of_rows(self, kind: int, digests: Sequence[bytes], names: frozenset[str]) -> list[Location | None]:
        prefix = _KEYS[kind]
        with suppress(TablesFailed, OSError), self._reading() as rows:
            return [_parsed(prefix + digest, rows.get(prefix + digest), names) for digest in digests]
        return [None] * len(digests)

    def _of_packs(self, kind: int, wanted: set[bytes]) -> dict[bytes, Location]:
        """Return where the packs' own indices have these."""
        found: dict[bytes, Location] = {}
        for names in self._until_settled():
            found = {digest: location for digest, location in found.items() if location.pack in names}
            for name in sorted(names):
                with suppress(FileNotFoundError):
                    section = self._section(name, kind)
                    for digest in wanted - found.keys():
                        if row := row_in(kind, section, digest):
                            found[digest] = _location(name, row)
        return found

    def _look_into(self, names: frozenset[str]) -> None:
        for name in names - self._looked_into:
            with suppress(FileNotFoundError):
                section = self._section(name, RECIPE)
                self._beginnings.update(row.digest[:_PREFIX_BYTES] for row in rows_of(RECIPE, section))
                self._looked_into.add(name)

    def _section(self, name: str, kind: int) -> bytes:
        descriptor = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return read_section(descriptor, kind)
        finally:
            os.close(descriptor)

    def _until_settled(self) -> Iterator[frozenset[str]]:
        """Yield the packs there are, again and again, until they are the same as the time before.

        While packs are rewritten, a new one may be missed that was not there yet, and an old one that was gone already.
        """
        before: frozenset[str] | None = None
        while (names := self.names()) != before:
            yield names
            before = names


def _parsed(key: bytes, row: bytes | None, names: frozenset[str]) -> Location | None:
    if row is None or len(row) != _ROW.size + _CHECKSUM.size:
        return None
    if _CHECKSUM.unpack_from(row, _ROW.size)[0] != zlib.crc32(row[: _ROW.size], zlib.crc32(key)):
        return None
    pack, offset, length_bytes, size_bytes = _ROW.unpack_from(row)
    name = pack.hex()
    return Location(name, offset, length_bytes, size_bytes) if name in names else None


def _location(name: str, row: Row) -> Location:
    return Location(name, row.offset, row.length_bytes, row.size_bytes)
