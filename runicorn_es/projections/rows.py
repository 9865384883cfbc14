"""The rows of the tables and how their keys are spelled.

A key is a letter for the kind of row and then its parts, each ended by a zero byte, so that rows of one artifact stand
together and in order. Numbers are big-endian. A part too long for a key is cut and completed by its SHA-256.

A value is the row in MessagePack and then its date: the index of the record that last changed it.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
import hashlib
from typing import Generic, TypeVar

import msgspec

from runicorn_es.errors import Damaged
from runicorn_es.projections.chronicle import DATE_BYTES, Chronicle
from runicorn_es.tables import Reader

READY = "ready"
DELETED = "deleted"
PURGED = "purged"

RUNNING = "running"

_PART_BYTES_MAX = 120
_PART_BYTES_KEPT = 80
# The same names come again and again.
_TEXTS_REMEMBERED = 4096

RowType = TypeVar("RowType", bound=msgspec.Struct)


class Contradiction(Damaged):
    """The rows cannot be what the log says. Nothing is lost: they are folded anew when the store is opened again."""


class ArtifactRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """allotted: the highest version number given so far. latest: the newest live version, 0 if none.

    live, size_bytes: sums over the live versions; deleted, deleted_bytes: over those that can be restored.
    """

    name: str
    type: str
    created_ns: int
    updated_ns: int
    allotted: int
    latest: int
    live: int
    size_bytes: int
    deleted: int = 0
    deleted_bytes: int = 0


class VersionRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """position: index of the record that created it. The three others: of the record that last set it, or -1."""

    name: str
    type: str
    version: int
    status: str
    created_ns: int
    run: str | None
    digest: bytes
    file_count: int
    reference_count: int
    size_bytes: int
    position: int
    metadata_position: int = -1
    tags_position: int = -1
    description_position: int = -1
    deleted_ns: int = 0


class AliasRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where an alias points, and since which record."""

    alias: str
    version: int
    position: int
    time_ns: int


class RunRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """position: index of the record that started it. finished_ns: 0 while it is running."""

    run: str
    project: str
    name: str | None
    status: str
    started_ns: int
    finished_ns: int
    user: str
    host: str
    position: int


class DigestRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A version with this content."""

    version: int


class RunAtRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The run that a record started."""

    run: str


class RuleRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The rule of retention for a selection, as JSON, and since which record."""

    selection: str
    rule: str
    position: int
    time_ns: int


class ProtectedRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A protected alias, and since which record."""

    alias: str
    position: int
    time_ns: int


class PurgeRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A purge that was begun by a record and of which something may be left: the records to blank."""

    position: int
    blanked: tuple[int, ...]
    name: str
    version: int


class EdgeRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A run used or made a version, as of this record."""

    run: str
    name: str
    version: int
    position: int
    time_ns: int


class Family(Generic[RowType]):
    """All rows of one kind: how their keys begin, and their type."""

    def __init__(self, letter: bytes, row_type: type[RowType]) -> None:
        self._letter = letter
        self._decode = msgspec.msgpack.Decoder(row_type).decode

    def key(self, *parts: str | int | bytes) -> bytes:
        """Return the key of a row, or the beginning of the keys of several."""
        return key_of(self._letter, *parts)

    def get(self, view: Reader, *parts: str | int | bytes) -> RowType | None:
        """Return the row with these key parts, or None."""
        found = view.get(key_of(self._letter, *parts))
        return None if found is None else self.decoded(found)

    def expect(self, view: Reader, *parts: str | int | bytes) -> RowType:
        """Return a row that must be there, for the log says so. Raises Contradiction."""
        row = self.get(view, *parts)
        if row is None:
            raise Contradiction(
                f"the projections have lost {parts}; open the store again, or run `runicorn-es rebuild`"
            )
        return row

    def put(self, out: Chronicle, row: RowType, *parts: str | int | bytes) -> None:
        """Set the row with these key parts."""
        out.put(key_of(self._letter, *parts), _encode(row))

    def add(self, out: Chronicle, row: RowType, *parts: str | int | bytes) -> None:
        """Set a row whose key parts no row had before."""
        out.add(key_of(self._letter, *parts), _encode(row))

    def beginning(self, view: Reader, *parts: str | int | bytes, begin: bytes) -> Iterator[RowType]:
        """Yield the rows with these key parts whose next part begins so, in order."""
        for _, value in view.scan(self.key(*parts) + begin):
            yield self.decoded(value)

    def delete(self, out: Chronicle, *parts: str | int | bytes) -> None:
        """Remove the row with these key parts."""
        out.delete(self.key(*parts))

    def bury(self, out: Chronicle, row: RowType, *parts: str | int | bytes, index: int) -> None:
        """Have the row as if it had been so since a record: what it was meanwhile is forgotten."""
        out.bury(self.key(*parts), _encode(row), index)

    def forget(self, out: Chronicle, *parts: str | int | bytes) -> None:
        """Have the row as if it had never been there."""
        out.bury(self.key(*parts), None, 0)

    def rewrite(self, out: Chronicle, change: Callable[[RowType], RowType], *parts: str | int | bytes) -> None:
        """Change the row with these key parts, and also what it was at any time."""
        key = self.key(*parts)
        out.put(key, _encode(change(self.expect(out, *parts))))
        for earlier, value in out.earlier(key):
            out.rewrite(earlier, _encode(change(self.decoded(value))))

    def scan(
        self,
        view: Reader,
        *parts: str | int | bytes,
        after: str | int | None = None,
        reverse: bool = False,
    ) -> Iterator[RowType]:
        """Yield the rows whose keys begin with these parts, in order; those whose next part is beyond ``after``."""
        beyond = b"" if after is None else self.key(*parts, after)
        for _, value in view.scan(self.key(*parts), after=beyond, reverse=reverse):
            yield self.decoded(value)

    def decoded(self, value: bytes) -> RowType:
        """Return the row that a value is. Raises Contradiction."""
        try:
            return self._decode(value[:-DATE_BYTES])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Contradiction(
                f"a row of the projections cannot be read ({error}); open the store again, or run `runicorn-es rebuild`"
            ) from error


_encode = msgspec.msgpack.Encoder().encode

ARTIFACTS = Family(b"a", ArtifactRow)
VERSIONS = Family(b"v", VersionRow)
ALIASES = Family(b"l", AliasRow)
DIGESTS = Family(b"d", DigestRow)  # by artifact, digest and version
RUNS = Family(b"r", RunRow)
RUNS_BY_START = Family(b"t", RunAtRow)
PURGES = Family(b"f", PurgeRow)  # by record and number in it: those that are not finished
RULES = Family(b"n", RuleRow)  # by selection
PROTECTED = Family(b"x", ProtectedRow)  # by alias
INPUTS = Family(b"u", EdgeRow)  # by run
USES = Family(b"w", EdgeRow)  # by version
OUTPUTS = Family(b"o", EdgeRow)  # by run
FAMILIES = (
    ARTIFACTS,
    VERSIONS,
    ALIASES,
    DIGESTS,
    RUNS,
    RUNS_BY_START,
    PURGES,
    RULES,
    PROTECTED,
    INPUTS,
    USES,
    OUTPUTS,
)


def key_of(letter: bytes, *parts: str | int | bytes) -> bytes:
    """Return the key of a row of the kind that a letter stands for, or the beginning of the keys of several."""
    for part in parts:
        if isinstance(part, int):
            letter += part.to_bytes(8, "big")
        else:
            letter += _text_part(part) if isinstance(part, str) else _part(part)
    return letter


@lru_cache(maxsize=_TEXTS_REMEMBERED)
def _text_part(text: str) -> bytes:
    return _part(text.encode())


def _part(part: bytes) -> bytes:
    if len(part) > _PART_BYTES_MAX:
        part = part[:_PART_BYTES_KEPT] + b"\x01" + hashlib.sha256(part).digest()
    return part + b"\x00"
