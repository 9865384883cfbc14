"""What tests start from: a file, an artifact, or a state that some events led to, without a store or a disk."""

from collections.abc import Iterable, Sequence
import hashlib
from pathlib import Path

from msgspec.structs import replace

from runicorn_es import Artifact, Store, VersionNumber, codec, merkle, projections
from runicorn_es.events import Draft, Event
from runicorn_es.log import Position, Record
from runicorn_es.log.record import BLANKABLE, COMMIT, COMPRESSED, FIRST, NO_LEAF, PAGE, blank_payload
from runicorn_es.pool import stat_cache
from runicorn_es.queries import View
from runicorn_es.tables import MemoryTables, Writer

SECOND_NS = 1_000_000_000


def file(path: Path, content: bytes = b"content") -> Path:
    """Return the path, where a file with this content lies now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def version(store: Store, content: bytes = b"content", name: str = "m", **options: object) -> VersionNumber:
    """Log one file, ``model.pth``, as the next version of an artifact."""
    source = file(store.layout.root.parent / f"source of {name}", content)
    return store.log_artifact(Artifact(name, "model").add_file(source, "model.pth"), **options)


def content(store: Store, spec: str) -> bytes:
    """Return the bytes of the one file of such a version."""
    with store.get(spec).open("model.pth") as opened:
        return opened.read()


def rows(store: Store) -> dict[bytes, bytes]:
    """Return all rows of a store's tables that are folded from its log."""
    with store.reading() as view:
        return {key: row for key, row in view.rows.scan(b"") if not key.startswith(stat_cache.PREFIX)}


class MemoryLog:
    """The records of a log that was never on a disk."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def read(self, _: int, offset: int) -> Record:
        """Return the record at a place; here a place is an index."""
        return self.records[offset]

    def append(self, drafts: Sequence[Draft]) -> tuple[list[Record], Position]:
        """Append one batch, one second after the last."""
        time_ns = SECOND_NS * (1 + self.records[-1].time_ns // SECOND_NS if self.records else 1)
        batch = []
        for number, draft in enumerate(drafts):
            payload, is_compressed = codec.encode(draft.events, bytes(codec.SALT_BYTES))
            flags = COMPRESSED * is_compressed | PAGE * draft.is_page | BLANKABLE * draft.is_blankable
            flags |= FIRST * (number == 0) | COMMIT * (number == len(drafts) - 1)
            index = len(self.records)
            commitment = hashlib.sha256(payload).digest()
            before = self.records[-1].leaf if self.records else NO_LEAF
            leaf = merkle.leaf_hash(repr((index, draft.subject, commitment)).encode())
            made = Record(index, time_ns, flags, draft.subject, before, commitment, leaf, payload, 0, index, 1)
            self.records.append(made)
            batch.append(made)
        return batch, Position(len(self.records), 0, len(self.records), self.records[-1].leaf)


class State(View):
    """A view of what some batches led to; more can follow."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.tables = MemoryTables()
        super().__init__(self.tables, self.log)

    def and_then(self, *happened: Event | Draft | Iterable[Draft]) -> "State":
        """Append and fold: each argument is one batch, of one event, one record, or several."""
        for one in happened:
            records, behind = self.log.append(_drafts(one))
            with self.tables.writing() as out:
                projections.fold(records, behind, out)
        return self

    def blanked(self, *indices: int) -> "State":
        """Return the state of the same log with the payloads of these records blanked."""
        state = State()
        state.log.records = [
            replace(record, payload=blank_payload(len(record.payload))) if record.index in indices else record
            for record in self.log.records
        ]
        with state.tables.writing() as out:
            folded(state.log, [len(state.log.records)], out)
        return state

    def __str__(self) -> str:
        return "\n".join(f"{key!r}: {row!r}" for key, row in self.tables.scan(b""))


def given(*happened: Event | Draft | Iterable[Draft]) -> State:
    """Return the state that these batches led to, the first of them the first of the log."""
    return State().and_then(*happened)


def folded(log: MemoryLog, ends: Iterable[int], out: Writer) -> None:
    """Fold the records of a log in portions that end before these indices."""
    begin = 0
    for end in ends:
        projections.fold(log.records[begin:end], Position(end, 0, end, log.records[end - 1].leaf), out)
        begin = end


def _drafts(one: Event | Draft | Iterable[Draft]) -> list[Draft]:
    match one:
        case Draft():
            return [one]
        case list() | tuple():
            return list(one)
        case _:
            return [Draft("", (one,))]
