"""Tables of the user's own, folded from the log as ours are: deletable, and the same whenever they are folded anew.

Invariants:
- The cursor is written in the transaction that holds what it produced.
- Only what is acknowledged is folded.
- After a purge nothing of what was purged is left: the tables are wiped with it, and whoever meets a purge that wiped
  nothing (tables in memory) folds from the first record on.
- Another schema number, another boot of the machine or any error of LMDB: wiped, and folded from the first record on.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
import re
from types import TracebackType
from typing import Protocol, Self

import msgspec

from runicorn_es import durable, settings, tables
from runicorn_es.errors import Rejected, Unknown
from runicorn_es.events import PurgeFinished
from runicorn_es.following import Acknowledged, Happened, Told, types_in
from runicorn_es.interests import are_interested, parse_interests, want_pages
from runicorn_es.layout import Layout
from runicorn_es.ledger import Ledger
from runicorn_es.log import START, Position
from runicorn_es.tables import MemoryTables, Reader, Tables, TablesFailed, Writer

GROUP = "runicorn_es.projections"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CURSOR = b"c"
_ROWS = b"r"
_KEY_BYTES_MAX = 500
_decode_position = msgspec.msgpack.Decoder(Position).decode


class Projection(Protocol):
    """What ``Store.project`` wants: a name, a schema number, and what an event changes in the rows.

    name: of the folder where the rows are kept. schema: another number has the rows folded anew; change it with the
    meaning of a row. An attribute ``on``, if there is one, lists what to hear of, as for ``Store.follow``.
    """

    name: str
    schema: int

    def apply(self, happened: Happened, rows: Writer) -> None:
        """Change the rows as an event says. Must depend on nothing else: the same events make the same rows."""


class Projected:
    """The rows of a projection of one's own. Made by ``Store.project``; one object for each thread."""

    def __init__(self, ledger: Ledger, projection: Projection) -> None:
        self._ledger = ledger
        self._projection = projection
        self._acknowledged = Acknowledged(ledger)
        self._type_of = types_in(ledger)
        self._interests = parse_interests(getattr(projection, "on", ()))
        self._folder = ledger.layout.custom / _checked(projection).name
        self._identity = f"{ledger.identity.store_id} {projection.name} {projection.schema}"
        self._tables = self._open()

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Open the rows for the length of a block, folded up to the acknowledged end of the log. Keep it short.

        ``get(key)`` returns a value or None, ``scan(prefix)`` yields keys and values in order, as bytes.
        """
        try:
            self._catch_up()
        except TablesFailed:
            self._begin_anew()
            self._catch_up()
        with self._tables.reading() as rows:
            yield _Rows(rows)

    def close(self) -> None:
        """Release the tables."""
        self._tables.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> Tables:
        if self._ledger.is_read_only:
            return MemoryTables()
        try:
            return tables.open_tables(self._folder / "tables", self._folder / "boot", self._identity)
        except TablesFailed:
            return MemoryTables()

    def _begin_anew(self) -> None:
        self._tables.close()
        if not isinstance(self._tables, MemoryTables):
            _wipe(self._ledger.layout, self._projection.name)
        self._tables = self._open()

    def _catch_up(self) -> None:
        if not tables.are_current(self._tables):
            self._tables.close()
            self._tables = self._open()
        size = self._acknowledged.size(self._acknowledged.checkpoint()) or 0
        with self._tables.reading() as rows:
            begin = _cursor(rows)
        if begin.index < size and not self._fold(size, may_meet_purge=begin == START):
            self._begin_anew()
            self._fold(size, may_meet_purge=True)

    def _fold(self, size: int, *, may_meet_purge: bool) -> bool:
        """Fold up to so many records; False, and nothing more is folded, when a purge is met that may not be."""
        while True:
            with self._tables.writing() as out:
                begin = position = _cursor(out)
                rows = _Rows(out, out)
                told = self._acknowledged.told(position, size, pages=want_pages(self._interests))
                for batch, behind in told:
                    if not may_meet_purge and _tells_of_purge(batch):
                        return False
                    for happened in chain.from_iterable(one.happened() for one in batch):
                        if are_interested(self._interests, happened.event, self._type_of):
                            self._projection.apply(happened, rows)
                    position = behind
                    if position.index - begin.index >= settings.REFOLD_RECORDS_PER_TRANSACTION:
                        break
                out.put(_CURSOR, msgspec.msgpack.encode(position))
            if position.index >= size or position == begin:
                return True


class _Rows:
    """Rows of a projection of the user's, apart from our cursor."""

    def __init__(self, rows: Reader, out: Writer | None = None) -> None:
        self._rows = rows
        self._out = out

    def get(self, key: bytes) -> bytes | None:
        return self._rows.get(_ROWS + _checked_key(key))

    def scan(self, prefix: bytes = b"", *, after: bytes = b"", reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        beyond = _ROWS + after if after else b""
        for key, value in self._rows.scan(_ROWS + prefix, after=beyond, reverse=reverse):
            yield key[len(_ROWS) :], value

    def put(self, key: bytes, value: bytes) -> None:
        self._writer().put(_ROWS + _checked_key(key), value)

    def replace(self, key: bytes, value: bytes) -> bytes | None:
        return self._writer().replace(_ROWS + _checked_key(key), value)

    def delete(self, key: bytes) -> None:
        self._writer().delete(_ROWS + _checked_key(key))

    def put_all(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        self._writer().put_all([(_ROWS + _checked_key(key), value) for key, value in rows])

    def _writer(self) -> Writer:
        if self._out is None:
            raise Rejected("these rows can only be read; `apply` is where they are changed")
        return self._out


def installed(name: str) -> Projection:
    """Return a projection that a package has installed under this name. Raises Unknown."""
    # Ten milliseconds to import, for what few programs ask.
    from importlib.metadata import entry_points  # noqa: PLC0415

    found = entry_points(group=GROUP)
    if name not in found.names:
        known = ", ".join(sorted(found.names))
        raise Unknown(
            f"no installed package has a projection {name!r} (entry points {GROUP!r}); "
            f"{f'there are {known}' if known else 'there is none; pass the projection itself'}"
        )
    made = found[name].load()
    projection = made() if isinstance(made, type) else made
    return _checked(projection)


def wipe_all(layout: Layout) -> None:
    """Remove all tables of this kind: a purge may not leave what it forgets in them."""
    if layout.custom.is_dir():
        for folder in sorted(layout.custom.iterdir()):
            _wipe(layout, folder.name)


def _wipe(layout: Layout, name: str) -> None:
    folder = layout.custom / name
    # Nobody makes them meanwhile.
    with durable.leased(folder, exclusive=True, wait_s=settings.LOCK_WAIT_S):
        tables.wipe(folder / "tables", folder / "boot")


def _cursor(rows: Reader) -> Position:
    found = rows.get(_CURSOR)
    return START if found is None else _decode_position(found)


def _tells_of_purge(batch: Sequence[Told]) -> bool:
    return any(isinstance(event, PurgeFinished) for told in batch for _, event in told.events)


def _checked(projection: Projection) -> Projection:
    name, schema = (getattr(projection, attribute, None) for attribute in ("name", "schema"))
    if not isinstance(name, str) or type(schema) is not int or not callable(getattr(projection, "apply", None)):
        raise Rejected(f"{projection!r} is no projection; it needs a name, a schema number and apply(happened, rows)")
    if not _NAME.fullmatch(name):
        raise Rejected(
            f"projection name {name!r} may have letters, digits, '.', '_' and '-', at most 100, no '.' first"
        )
    return projection


def _checked_key(key: bytes) -> bytes:
    if not 0 < len(key) <= _KEY_BYTES_MAX:
        raise Rejected(f"the key of a row must have 1 to {_KEY_BYTES_MAX} bytes, not {len(key)}")
    return key
