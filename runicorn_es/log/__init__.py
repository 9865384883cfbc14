"""An append-only sequence of batches of records. Knows bytes, positions and hashes, not what they mean.

Invariants:
- A batch is visible whole or not at all: reading stops before a batch whose last record (flag COMMIT) is not there.
- One or more batches are written with one write; an fdatasync makes them durable, and with them all before. A batch
  that is written before that says so (flag OVERLAPPING): it proves nothing of what stands before it.
- Only the holder of the writer's lock appends or cuts, and it reads up to the end of the log first.
- Bytes are cut only where they can be nothing but a batch that was never acknowledged; they are kept in quarantine.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
import errno
import hashlib
import itertools
import os
from pathlib import Path

import msgspec

from runicorn_es import durable, settings
from runicorn_es.errors import Damaged, DiskFull
from runicorn_es.layout import Layout, first_index_of
from runicorn_es.log import record, segment
from runicorn_es.log.record import OVERLAPPING, Entry, Header, Record
from runicorn_es.log.segment import START, Position

__all__ = ["START", "Cut", "Entry", "Log", "Pending", "Position", "Record", "planned_blanks"]


_PAGE_BYTES = 4096


class Cut(msgspec.Struct, frozen=True):
    """A torn tail that was moved out of the log: from which segment file and offset, how much, and where it is now."""

    segment: str
    offset: int
    size_bytes: int
    quarantine: str


class _File:
    """A segment that stays open for writing until nobody refers to it any more."""

    def __init__(self, path: str, segment_index: int) -> None:
        self.path = path
        self.segment = segment_index
        self.descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.inode = os.fstat(self.descriptor).st_ino

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


class Pending:
    """Batches on their way into the log. They can be read as if they were there."""

    def __init__(self, log: "Log", file: _File, begin: Position) -> None:
        self.file = file
        self.begin = begin
        self.end = begin
        self._log = log
        self._content = bytearray()
        self._records: dict[tuple[int, int], Record] = {}

    def add(
        self, entries: Sequence[Entry], time_ns: int, *, is_overlapping: bool, may_use_reserve: bool = False
    ) -> list[Record]:
        """Add one batch and return its records.

        is_overlapping: what stands before it is perhaps not durable yet. may_use_reserve: the bytes may be those that
        are kept for when the disk is full. Raises DiskFull; then the batch was not added.
        """
        begin = len(self._content)
        records, end = _encode_batch(entries, self.end, time_ns, OVERLAPPING * is_overlapping, self._content)
        try:
            _require_room(self.file, end.offset, may_use_reserve=may_use_reserve)
        except DiskFull:
            del self._content[begin:]
            raise
        self._records.update(((record.segment, record.offset), record) for record in records)
        self.end = end
        return records

    def read(self, segment_index: int, offset: int) -> Record:
        """Return the record at a place, of what was added or of what is in the log."""
        return self._records.get((segment_index, offset)) or self._log.read(segment_index, offset)

    def content(self) -> bytearray:
        """Return the bytes of all that was added."""
        return self._content


class Log:
    """The log of one store."""

    def __init__(self, layout: Layout, store_id: bytes) -> None:
        self._layout = layout
        self._store_id = store_id
        self._file: _File | None = None

    def has_more(self, position: Position) -> bool:
        """Return whether there is anything behind this position; two file system calls, nothing read."""
        try:
            size_bytes = os.stat(self._layout.segment_text(position.segment)).st_size  # noqa: PTH116
        except FileNotFoundError:
            size_bytes = 0
        return size_bytes != position.offset or self._has_rolled(position)

    def batches(self, position: Position = START) -> Iterator[tuple[list[Record], Position]]:
        """Yield each whole batch from a position on, with the position behind it.

        Ends at the end of the log or at an unfinished batch. Raises Damaged where the log is broken: a missing segment,
        a wrong segment header, or a place that cannot be read though a later batch stands behind it.
        """
        doubted: Position | None = None
        while True:
            with self._opened(position) as descriptor:
                if position.offset == segment.HEADER_BYTES:
                    segment.check_header(descriptor, self._path(position), self._store_id, position)
                for batch in _whole(segment.records(descriptor, position)):
                    position = _behind(batch[-1])
                    yield batch, position
                tail_bytes = os.fstat(descriptor).st_size - position.offset
                broken = self._what_is_broken(descriptor, position, tail_bytes)
            if broken is not None and position == doubted:
                raise Damaged(f"{broken}; nothing was cut; restore the segment from a copy of this store")
            if broken is not None:
                # A writer may have finished this batch, and begun the next, between our two looks. Look again.
                doubted = position
            elif tail_bytes == 0 and self._has_rolled(position):
                position = self.tip(position)
            else:
                return

    def tip(self, position: Position) -> Position:
        """Return the same place, in the segment that was begun there if one was: its writer may have died then."""
        if self._has_rolled(position):
            return Position(position.index, position.index, segment.HEADER_BYTES, position.leaf)
        return position

    def begin(self, position: Position) -> "Pending":
        """Return a place to gather batches in, to be written at this position by ``write``.

        The writer's lock must be held from here on until they are written, and ``position`` must be the end of the log.
        """
        if position.offset > segment.HEADER_BYTES and position.offset >= settings.SEGMENT_BYTES:
            # Its last writers may have died between their writes and their syncs, and nobody will sync it again.
            self.sync(position)
            try:
                position = self._roll(position)
            except OSError as error:
                # On a full disk the old segment has room for what makes some. But not if the new one is there: its
                # name may not be durable, and others may have seen it.
                if error.errno not in {errno.ENOSPC, errno.EDQUOT} or self._has_rolled(position):
                    raise
        return Pending(self, self._file_for_writing(position), position)

    def write(self, pending: "Pending") -> None:
        """Write what was gathered, in one write; ``sync`` makes it durable.

        Raises OSError when the write fails; then whether the batches exist is known only after the log was opened anew.
        """
        content = pending.content()
        durable.write_all_at(pending.file.descriptor, content, pending.begin.offset)
        # The disk is at work while rows are kept and the head is signed; the sync waits for what is left.
        begin = pending.begin.offset // _PAGE_BYTES * _PAGE_BYTES
        durable.start_writing_back(pending.file.descriptor, begin, pending.end.offset - begin)

    def append(
        self, entries: Sequence[Entry], position: Position, time_ns: int, *, is_overlapping: bool = False
    ) -> tuple[list[Record], Position]:
        """Write one batch and return its records and the position behind it; ``sync`` makes it durable."""
        pending = self.begin(position)
        records = pending.add(entries, time_ns, is_overlapping=is_overlapping)
        self.write(pending)
        return records, pending.end

    def holds(self, position: Position) -> bool:
        """Return whether the segment there is open for writing, and no other file was put in its place.

        The system tells each open file once that a write to it failed. So a file that was open when others wrote to it
        is told of their failures; one that is opened later is not, and ``write_anew`` must clear the doubt.
        """
        file = self._file
        if file is None or file.segment != position.segment:
            return False
        try:
            return os.stat(self._layout.segment_text(position.segment)).st_ino == file.inode  # noqa: PTH116
        except FileNotFoundError:
            return False

    def is_held_end(self, position: Position) -> bool:
        """Return whether the log ends here, and its segment is held, as ``holds`` says; two file system calls."""
        file = self._file
        if file is None or file.segment != position.segment:
            return False
        try:
            found = os.stat(file.path)  # noqa: PTH116
        except FileNotFoundError:
            return False
        is_end = found.st_size == position.offset and found.st_ino == file.inode
        return is_end and not self._has_rolled(position)

    def is_written_end(self, position: Position) -> bool:
        """Return whether nothing was written behind this position in its segment; one system call."""
        return os.fstat(self._file_for_writing(position).descriptor).st_size == position.offset

    def hold(self, position: Position) -> None:
        """Open the segment there for writing, and keep it open. Raises Damaged when it is missing."""
        self._file = None
        try:
            self._file_for_writing(position)
        except FileNotFoundError:
            raise Damaged(f"segment {self._path(position)} is missing; restore it from a copy of this store") from None

    def write_anew(self, position: Position) -> None:
        """Put a durable copy in the place of the segment there, and hold it.

        Pages whose write-back failed read as they should and count as clean: no sync writes them again, and none
        fails for them again (Rebello et al., ATC 2020). Nobody may be writing or syncing the segment.
        """
        path = self._path(position)
        durable.write_file(path, path.read_bytes())
        self.hold(position)

    def create(self) -> None:
        """Make the first, empty segment, durably."""
        durable.write_file(self._path(START), segment.encode_header(self._store_id, START))

    def cut_tail(self, position: Position, acknowledged: int, now_ns: int) -> Cut | None:
        """Move what stands behind the end of the log into quarantine; None when there is nothing.

        The writer's lock must be held, and ``position`` must be where ``batches`` ended. ``acknowledged`` counts the
        records that are known, from elsewhere, to have been acknowledged. Raises Damaged when the log ends before them.
        """
        path = self._path(position)
        self.require_acknowledged(position, acknowledged)
        with self._opened(position, os.O_RDWR) as descriptor:
            tail = os.fstat(descriptor).st_size - position.offset
            if tail <= 0:
                return None
            content = os.pread(descriptor, tail, position.offset)
            if not self._layout.log_quarantine.is_dir():
                durable.make_folder(self._layout.log_quarantine)
            kept = self._layout.log_quarantine / f"{path.stem}-{position.offset}-{now_ns}.bin"
            durable.write_file(kept, content)
            os.ftruncate(descriptor, position.offset)
            durable.sync(descriptor)
        return Cut(path.name, position.offset, tail, kept.name)

    def blank(self, indices: Sequence[int], places: Sequence[tuple[int, int]]) -> None:
        """Overwrite the payloads of records, given where each stands (segment and offset), so that they are gone.

        Durable when it returns. A crash in the middle leaves payloads that are neither: which are to be blanked is
        noted first, durably, and ``finish_blanking`` does what is left. The writer's lock must be held.
        """
        plan = [
            (segment_index, *self._payload_at(segment_index, offset, index))
            for index, (segment_index, offset) in zip(indices, places, strict=True)
        ]
        durable.write_file(self._layout.blanking, msgspec.json.encode(plan))
        self.finish_blanking()

    def finish_blanking(self) -> None:
        """Do what was noted of payloads to blank, if anything was. The writer's lock must be held."""
        plan = sorted(planned_blanks(self._layout))
        for segment_index, places in itertools.groupby(plan, key=lambda place: place[0]):
            descriptor = os.open(self._layout.segment_text(segment_index), os.O_RDWR | os.O_CLOEXEC)
            try:
                for _, offset, size_bytes in places:
                    durable.write_all_at(descriptor, record.blank_payload(size_bytes), offset)
                durable.sync(descriptor)
            finally:
                os.close(descriptor)
        durable.remove_file(self._layout.blanking)

    def _payload_at(self, segment_index: int, offset: int, index: int) -> tuple[int, int]:
        """Return where the payload of a record begins in its segment, and its length."""
        found = self.read(segment_index, offset)
        if found.index != index or not found.flags & record.BLANKABLE:
            raise Damaged(f"record {index} does not stand at offset {offset}, or may not be blanked")
        return offset + found.size_bytes - len(found.payload), len(found.payload)

    def leaves(self, size: int) -> list[bytes]:
        """Return the leaf hashes of the first ``size`` records (or of all, if there are fewer). Reads them all."""
        found = itertools.chain.from_iterable(batch for batch, _ in self.batches())
        return [one.leaf for one in itertools.islice(found, size)]

    def record(self, index: int) -> Record:
        """Return the record with this index. Reads from the first one on. Raises IndexError beyond the end."""
        found = itertools.chain.from_iterable(batch for batch, _ in self.batches())
        for one in itertools.islice(found, index, None):
            return one
        raise IndexError(f"record {index} is beyond the end of the log")

    def require_acknowledged(self, position: Position, acknowledged: int) -> None:
        """Raise Damaged when the log ends before what is known, from elsewhere, to have been acknowledged."""
        if position.index < acknowledged:
            raise Damaged(
                f"segment {self._path(position).name}, offset {position.offset}: the log can be read up to record "
                f"{position.index}, but {acknowledged} records were acknowledged; nothing was cut; restore the segment "
                "from a copy of this store"
            )

    def sync(self, position: Position) -> None:
        """Make what stands before this position durable, whoever wrote it."""
        durable.sync(self._file_for_writing(position).descriptor)

    def read(self, segment_index: int, offset: int) -> Record:
        """Return the record at a known place. Raises Damaged when it does not stand there as it was written."""
        path = self._layout.segment(segment_index)
        with self._opened(Position(0, segment_index, offset, record.NO_LEAF)) as descriptor:
            buffer = os.pread(descriptor, 4 * settings.KIB, offset)
            if (needed := record.bytes_needed(buffer, 0)) > len(buffer):
                limit = record.FRAME.size + settings.HEADER_BYTES_MAX + settings.PAYLOAD_BYTES_MAX
                buffer = os.pread(descriptor, min(needed, limit), offset)
        found = record.decode(buffer, 0, segment=segment_index, base=offset)
        if found is None or not (record.is_sound(found) or record.is_blank(found)):
            raise Damaged(
                f"segment {path.name}, offset {offset}: the record there is not what was written; "
                "restore the segment from a copy of this store"
            )
        return found

    def _path(self, position: Position) -> Path:
        return self._layout.segment(position.segment)

    def _has_rolled(self, position: Position) -> bool:
        return position.index != position.segment and os.path.exists(self._layout.segment_text(position.index))  # noqa: PTH110

    def _file_for_writing(self, position: Position) -> "_File":
        file = self._file
        if file is None or file.segment != position.segment:
            file = self._file = _File(self._layout.segment_text(position.segment), position.segment)
        return file

    @contextmanager
    def _opened(self, position: Position, flags: int = os.O_RDONLY) -> Iterator[int]:
        path = self._path(position)
        try:
            descriptor = os.open(path, flags | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Damaged(f"segment {path} is missing; restore it from a copy of this store") from None
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _what_is_broken(self, descriptor: int, position: Position, tail_bytes: int) -> str | None:
        """Return why what stands here cannot be the end of the log, nor a batch in the making or a torn one."""
        where = f"segment {self._path(position).name}, record {position.index}, offset {position.offset}"
        if tail_bytes < 0:
            return f"{where}: the file ends {-tail_bytes} bytes before, though records up to there were acknowledged"
        if tail_bytes == 0 and self._has_rolled(position):
            return None
        if max(self._segments(), default=0) > position.segment:
            if tail_bytes == 0:
                return f"{where}: the log goes on in a later segment; {self._layout.segment(position.index)} is missing"
            return f"{where}: the record there is not what was written, and it was acknowledged, for others follow"
        if tail_bytes > 0 and segment.was_synced(descriptor, position):
            return f"{where}: the record there is not what was written, and it was acknowledged, for others follow"
        return None

    def _segments(self) -> list[int]:
        names = os.listdir(self._layout.log)  # noqa: PTH208
        return [index for name in names if (index := first_index_of(name)) is not None]

    def _roll(self, position: Position) -> Position:
        begin = Position(position.index, position.index, segment.HEADER_BYTES, position.leaf)
        durable.write_file(self._path(begin), segment.encode_header(self._store_id, begin))
        return begin


def planned_blanks(layout: Layout) -> list[tuple[int, int, int]]:
    """Return the payloads that are noted to be blanked: segment, offset and length of each. Raises Damaged."""
    try:
        return msgspec.json.decode(layout.blanking.read_bytes(), type=list[tuple[int, int, int]])
    except FileNotFoundError:
        return []
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(f"{layout.blanking} cannot be read ({error}); restore it from a copy of this store") from error


def _require_room(file: _File, size_bytes: int, *, may_use_reserve: bool) -> None:
    wanted = size_bytes + (0 if may_use_reserve else settings.SEGMENT_RESERVE_BYTES)
    if durable.has_room(file.descriptor, wanted):
        return
    with suppress(OSError):
        durable.make_room(file.descriptor, wanted + settings.SEGMENT_STEP_BYTES)
        return
    try:
        durable.make_room(file.descriptor, wanted)
    except OSError as error:
        raise DiskFull(
            error.errno, f"{error.strerror}; nothing was written; make room, or delete versions", file.path
        ) from error


def _whole(records: Iterator[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for found in records:
        if bool(found.flags & record.FIRST) != (not batch):
            return
        batch.append(found)
        if found.flags & record.COMMIT:
            yield batch
            batch = []


def _behind(found: Record) -> Position:
    return Position(found.index + 1, found.segment, found.offset + found.size_bytes, found.leaf)


def _encode_batch(
    entries: Sequence[Entry], position: Position, time_ns: int, first_flags: int, content: bytearray
) -> tuple[list[Record], Position]:
    """Add the bytes of one batch to the content; returns its records and the position behind it."""
    records: list[Record] = []
    for number, entry in enumerate(entries):
        flags = entry.flags
        flags |= record.FIRST | first_flags if number == 0 else 0
        flags |= record.COMMIT if number == len(entries) - 1 else 0
        commitment = hashlib.sha256(entry.payload).digest()
        header = Header(position.index, time_ns, flags, entry.subject, position.leaf, commitment)
        encoded, leaf = record.encode(header, entry.payload)
        made = Record(
            position.index, time_ns, flags, entry.subject, position.leaf, commitment, leaf, entry.payload,
            position.segment, position.offset, len(encoded),
        )  # fmt: skip
        content += encoded
        records.append(made)
        position = _behind(made)
    return records, position
