"""Which records speak of an artifact, a version, an alias, a run, or come from an actor: a history is not searched for.

A list has a row for each block of ``BLOCK_RECORDS`` records in which it has any, so that appending to it is cheap and
what is taken out of it leaves no trace. Pages have no place in any list: the record of a version speaks for its files.

What a blanked record says is gone, and that it named an actor or a run with it. So that a purge can take that out
before anything is blanked, each record that names an actor and may be blanked one day has a row that says what to take.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
import struct
import zlib

import msgspec

from runicorn_es.events import (
    AliasProtected,
    AliasRemoved,
    AliasSet,
    BatchAppended,
    Event,
    RetentionSet,
    RunPurged,
    VersionCreated,
    VersionPurged,
    VersionUsed,
)
from runicorn_es.log import Record
from runicorn_es.log.record import BLANKABLE, COMMIT, PAGE
from runicorn_es.projections.fact import Fact
from runicorn_es.projections.rows import Contradiction, key_of
from runicorn_es.tables import Reader, Writer

BLOCK_RECORDS = 64
_LISTS = b"H"
# The record within its block, a version's number or 0, and what else it is about: 0, or see ``mark_of``.
_MENTION = struct.Struct(">BII")
_OF_ITS_BATCH = 1
_OF_ITS_BATCH_AT = tuple(_MENTION.pack(place, 0, _OF_ITS_BATCH) for place in range(BLOCK_RECORDS))
_NUMBER_BYTES = 8
# Spelled once and not for each record: a refold has millions.
_REMEMBERED = 1024


class _Named(msgspec.Struct, frozen=True, array_like=True):
    """Whom and which run a blankable record names as those who appended its batch, and the records of that batch."""

    user: str
    host: str
    run: str | None
    indices: tuple[int, ...]


# By record. Not dated as other rows are: what a purge takes out must not be remembered.
_NAMED = b"N"
_decode_named = msgspec.msgpack.Decoder(_Named).decode


@lru_cache(maxsize=_REMEMBERED)
def of_artifact(name: str) -> bytes:
    """Return the list of the records about an artifact; of the empty name, those about the store as a whole."""
    return key_of(_LISTS, "a", name)


@lru_cache(maxsize=_REMEMBERED)
def of_run(run: str) -> bytes:
    """Return the list of the records about a run, and of those that were appended during it."""
    return key_of(_LISTS, "r", run)


@lru_cache(maxsize=_REMEMBERED)
def of_actor(user: str, host: str) -> bytes:
    """Return the list of the records that a user appended from a host."""
    return key_of(_LISTS, "u", user, host)


def of_user(view: Reader, user: str) -> list[bytes]:
    """Return the lists of the records that a user appended, one for each host."""
    found: list[bytes] = []
    before = key_of(_LISTS, "u", user)
    beyond = b""
    while first := next(view.scan(before, after=beyond), None):
        found.append(first[0][:-_NUMBER_BYTES])
        beyond = found[-1] + b"\xff" * (_NUMBER_BYTES + 1)
    return found


def mark_of(text: str) -> int:
    """Return by which number mentions of an alias, or of a selection of a rule, are told from others; never 0 or 1."""
    return zlib.crc32(text.encode()) | 2


def indices(
    view: Reader,
    listed: bytes,
    *,
    after: int = -1,
    before: int | None = None,
    version: int | None = None,
    mark: int | None = None,
    reverse: bool = False,
) -> Iterator[int]:
    """Yield the indices of the records in a list, in order or in reverse; beyond ``after`` and before ``before``.

    version, mark: only those that mention this version's number, or this mark.
    """
    if reverse:
        beyond = b"" if before is None else _block(listed, before + BLOCK_RECORDS - 1)
    else:
        # The block before the one of the next record is the last that is not wanted.
        first = (after + 1) // BLOCK_RECORDS
        beyond = _block(listed, (first - 1) * BLOCK_RECORDS) if first else b""
    for key, value in view.scan(listed, after=beyond, reverse=reverse):
        begin = int.from_bytes(key[-_NUMBER_BYTES:], "big") * BLOCK_RECORDS
        found = {
            begin + place
            for place, number, marked in _MENTION.iter_unpack(_whole(value))
            if (version is None or number == version) and (mark is None or marked == mark)
        }
        for index in sorted(found, reverse=reverse):
            if before is not None and index >= before:
                if reverse:
                    continue
                return
            if index <= after:
                if reverse:
                    return
                continue
            yield index


def apply(facts: Sequence[Fact], out: Writer) -> None:
    """Note what these records speak of."""
    added = _Added()
    batch: list[int] = []
    named: tuple[Record, BatchAppended] | None = None
    for fact in facts:
        record = fact.record
        if not record.flags & PAGE:
            batch.append(record.index)
            _note_subject(record, added)
        for event in fact.events:
            # One look at the type: most events are of no other concern than the subject of their record says.
            if type(event) not in _CONCERNED:
                continue
            match event:
                case BatchAppended():
                    named = record, event
                case VersionPurged() | RunPurged():
                    added.write(out)
                    for index in event.blanked:
                        _forget(index, out)
                case _:
                    _note_event(event, record.index, added)
        if record.flags & COMMIT:
            if named is not None:
                _note_batch(*named, batch, added, out)
            batch, named = [], None
    added.write(out)


_CONCERNED = frozenset(
    {
        AliasProtected,
        AliasRemoved,
        AliasSet,
        BatchAppended,
        RetentionSet,
        RunPurged,
        VersionCreated,
        VersionPurged,
        VersionUsed,
    }
)


class _Added:
    """Mentions that are not written yet."""

    def __init__(self) -> None:
        # By list and number of the block.
        self._added: defaultdict[tuple[bytes, int], list[bytes]] = defaultdict(list)

    def note(self, listed: bytes, index: int, version: int = 0, mark: int = 0) -> None:
        """Add the mention of a record to a list."""
        self._added[listed, index // BLOCK_RECORDS].append(_MENTION.pack(index % BLOCK_RECORDS, version, mark))

    def note_batch(self, listed: bytes, batch: Sequence[int]) -> None:
        """Add the records of a batch to the list of those who appended it."""
        for index in batch:
            self._added[listed, index // BLOCK_RECORDS].append(_OF_ITS_BATCH_AT[index % BLOCK_RECORDS])

    def write(self, out: Writer) -> None:
        """Write what was added, behind what is there."""
        for (listed, number), mentions in self._added.items():
            key = listed + number.to_bytes(_NUMBER_BYTES, "big")
            out.put(key, (out.get(key) or b"") + b"".join(mentions))
        self._added.clear()


def _note_subject(record: Record, added: _Added) -> None:
    listed, number = _list_of(record.subject)
    added.note(listed, record.index, number)


@lru_cache(maxsize=_REMEMBERED)
def _list_of(subject: str) -> tuple[bytes, int]:
    """Return the list of what a record is about, and the number of its version, or 0."""
    name, colon, number = subject.rpartition(":v")
    if colon:
        return of_artifact(name), int(number)
    return (of_run(subject) if subject else of_artifact("")), 0


def _note_event(event: Event, index: int, added: _Added) -> None:
    match event:
        case AliasSet():
            added.note(of_artifact(event.name), index, event.version, mark_of(event.alias))
            if event.previous is not None:
                added.note(of_artifact(event.name), index, event.previous, mark_of(event.alias))
        case AliasRemoved():
            added.note(of_artifact(event.name), index, event.previous, mark_of(event.alias))
        case AliasProtected():
            added.note(of_artifact(""), index, 0, mark_of(event.alias))
        case RetentionSet():
            added.note(of_artifact(""), index, 0, mark_of(event.selection))
        case VersionUsed() | VersionCreated(run=str()):
            added.note(of_run(event.run or ""), index)
        case _:
            pass


def _note_batch(record: Record, named: BatchAppended, batch: Sequence[int], added: _Added, out: Writer) -> None:
    for listed in _lists_of_batch(named.user, named.host, named.run):
        added.note_batch(listed, batch)
    if record.flags & BLANKABLE:
        out.put(
            key_of(_NAMED, record.index),
            msgspec.msgpack.encode(_Named(named.user, named.host, named.run, tuple(batch))),
        )


def _forget(index: int, out: Writer) -> None:
    """Take out what a record says of its batch: it is about to be blanked."""
    row = out.get(key_of(_NAMED, index))
    if row is None:
        return
    named = _decode_named(row)
    out.delete(key_of(_NAMED, index))
    for listed in _lists_of_batch(named.user, named.host, named.run):
        for one in named.indices:
            gone = _OF_ITS_BATCH_AT[one % BLOCK_RECORDS]
            key = _block(listed, one)
            before = _whole(out.get(key) or b"")
            left = b"".join(part for part in _parts(before) if part != gone)
            if left:
                out.put(key, left)
            else:
                out.delete(key)


def _lists_of_batch(user: str, host: str, run: str | None) -> tuple[bytes, ...]:
    return (of_actor(user, host),) if run is None else (of_actor(user, host), of_run(run))


def _block(listed: bytes, index: int) -> bytes:
    return listed + (index // BLOCK_RECORDS).to_bytes(_NUMBER_BYTES, "big")


def _parts(mentions: bytes) -> Iterator[bytes]:
    return (mentions[at : at + _MENTION.size] for at in range(0, len(mentions), _MENTION.size))


def _whole(mentions: bytes) -> bytes:
    if len(mentions) % _MENTION.size:
        raise Contradiction("a list of mentions in the projections is cut; open the store again")
    return mentions
