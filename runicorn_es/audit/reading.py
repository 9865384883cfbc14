"""The log read from end to end: its chain, commitments, batches, events and rules, as findings."""

from collections.abc import Callable, Sequence

import msgspec

from runicorn_es import codec, merkle, names
from runicorn_es.audit.report import RESTORE_LOG, Finding, Kind
from runicorn_es.errors import Damaged, TooNew
from runicorn_es.events import (
    AliasSet,
    Event,
    ReferenceAdded,
    RunFinished,
    RunPurged,
    RunStarted,
    VersionCreated,
    VersionDeleted,
    VersionPurged,
    VersionRestored,
    VersionUsed,
)
from runicorn_es.layout import Layout
from runicorn_es.log import Record, planned_blanks, record
from runicorn_es.log.walk import Gap, walk

Versions = dict[tuple[str, int], VersionCreated]


class PageContent(msgspec.Struct, frozen=True):
    """What a page of files says: its digest, the sum of its sizes, and each file's blob and size."""

    digest: bytes
    size_bytes: int
    blobs: tuple[tuple[bytes, int], ...]


class LogReading:
    """What one pass over the log gathers."""

    def __init__(self, layout: Layout, store_id: bytes, acknowledged: int, heads_wanted: Sequence[int]) -> None:
        self.findings: list[Finding] = []
        self.created: Versions = {}
        self.purged: set[tuple[str, int]] = set()
        self.pages: dict[int, PageContent] = {}
        self.references: dict[int, tuple[ReferenceAdded, ...]] = {}
        # The roots of the tree at the sizes that somebody signed.
        self.roots: dict[int, bytes] = {0: merkle.root([])}
        self.size = 0
        self._layout = layout
        self._store_id = store_id
        self._acknowledged = acknowledged
        self._heads_wanted = frozenset(heads_wanted)
        self._frontier: list[bytes] = []
        self._batch: list[Record] = []
        self._perhaps_torn: list[Record | Gap] = []
        self._blanks: dict[int, Record] = {}
        self._blanked: set[int] = set()
        self._runs: set[str] = set()
        self._time_ns = 0
        self._unsound: dict[int, Finding] = {}
        # Where a purge that died may have left payloads that are neither what they were nor blank.
        self._half_blank = {(segment_index, offset) for segment_index, offset, _ in planned_blanks(layout)}
        if self._half_blank:
            message = "a purge was interrupted while it blanked records; what it was to blank may be half there"
            remedy = "open the store for writing, which finishes the purge"
            self.findings.append(Finding("tail", message, remedy, is_damage=False, path="log/blanking"))

    @property
    def root(self) -> bytes:
        """Return the root over all records read."""
        return merkle.root_of_frontier(self._frontier)

    @property
    def is_whole(self) -> bool:
        """Return whether every record could be read as it was written."""
        return not any(finding.is_damage and finding.kind == "log" for finding in self.findings)

    def read(self, on_batch: Callable[[list[Record]], None], progress: Callable[[int], None]) -> None:
        """Read everything; ``on_batch`` is given each whole batch as long as nothing was missing before it."""
        for found in walk(self._layout, self._store_id):
            progress(found.size_bytes)
            # Behind what may be a torn tail there can be batches that were being synced when the power failed.
            if self._perhaps_torn or (isinstance(found, Gap) and self._may_be_torn(found)):
                self._perhaps_torn.append(found)
                if not isinstance(found, Gap) and record.proves_what_is_before_it(found.flags):
                    self._take_as_damage(on_batch)
            else:
                self._take(found, on_batch)
        self._note_torn_tail()
        self._finish()

    def _take(self, found: Record | Gap, on_batch: Callable[[list[Record]], None]) -> None:
        if isinstance(found, Gap):
            self._note_gap(found)
            return
        self._note_record(found)
        if found.flags & record.COMMIT:
            if self.is_whole and not self._unsound:
                on_batch(self._batch)
            self._batch = []

    def _may_be_torn(self, gap: Gap) -> bool:
        return gap.first_index >= self._acknowledged and gap.size_bytes > 0

    def _take_as_damage(self, on_batch: Callable[[list[Record]], None]) -> None:
        """Take in what was put aside: a later batch proves that it had been synced."""
        aside, self._perhaps_torn = self._perhaps_torn, []
        for found in aside:
            self._take(found, on_batch)

    def _note_torn_tail(self) -> None:
        if self._perhaps_torn:
            first = self._perhaps_torn[0]
            assert isinstance(first, Gap)
            size_bytes = sum(found.size_bytes for found in self._perhaps_torn)
            self._note_gap(msgspec.structs.replace(first, size_bytes=size_bytes, next_index=None))

    def versions_with(self, positions: set[int]) -> tuple[str, ...]:
        """Return the specs of the versions whose files or references stand in these records, or that these made."""
        return tuple(
            names.spec(*key)
            for key, event in self.created.items()
            if key not in self.purged and not positions.isdisjoint((*event.pages, *event.references))
        )

    def _note_gap(self, gap: Gap) -> None:
        is_tail = gap.next_index is None and self._may_be_torn(gap)
        self.findings.append(
            Finding(
                "tail" if is_tail else "log",
                f"record {gap.first_index}: {gap.reason}"
                + ("; it was never acknowledged" if is_tail else "")
                + (f"; the next sound record is {gap.next_index}" if gap.next_index is not None else ""),
                "nothing: the next writer moves it to log/quarantine" if is_tail else RESTORE_LOG,
                not is_tail,
                f"log/{gap.segment}",
                gap.first_index,
                gap.offset,
                gap.size_bytes,
            )
        )
        self._batch = []
        if gap.next_index is not None:
            self.size = gap.next_index

    def _note_record(self, found: Record) -> None:
        if bool(found.flags & record.FIRST) != (not self._batch) and self.is_whole:
            self._add("log", found, "its place in a batch is not the one its flags say", RESTORE_LOG)
        if found.time_ns < self._time_ns:
            self._add("event", found, "the record is older than the one before it", "do not trust its time")
        self._time_ns = max(self._time_ns, found.time_ns)
        self._batch.append(found)
        if self.is_whole:
            # Behind a gap, nothing can be said of the tree any more.
            merkle.add(self._frontier, self.size, found.leaf)
        self.size = found.index + 1
        if self.size in self._heads_wanted:
            self.roots[self.size] = self.root
        if not record.is_sound(found):
            if record.is_blank(found):
                self._blanks[found.index] = found
                if ":" not in found.subject:
                    # What began a run that was purged.
                    self._runs.add(found.subject)
            elif (found.segment, found.offset + found.size_bytes - len(found.payload)) in self._half_blank:
                self._blanks[found.index] = found
            else:
                self._unsound[found.index] = self._finding(
                    "log", found, "the payload differs from what its header commits to", RESTORE_LOG
                )
            return
        self._note_payload(found)

    def _note_payload(self, found: Record) -> None:
        is_compressed = bool(found.flags & record.COMPRESSED)
        try:
            if found.flags & record.PAGE:
                files = codec.decode_files(found.payload, compressed=is_compressed)
                self.pages[found.index] = PageContent(
                    codec.page_digest(files),
                    sum(file.size_bytes for file in files),
                    tuple((file.digest, file.size_bytes) for file in files),
                )
                return
            events = codec.decode(found.payload, compressed=is_compressed)
        except (Damaged, TooNew) as error:
            self._add("event", found, str(error), "upgrade runicorn-es, or report this: the bytes are those written")
            return
        if events and isinstance(events[0], ReferenceAdded):
            self.references[found.index] = tuple(event for event in events if isinstance(event, ReferenceAdded))
        for event in events:
            if broken := self._broken_rule(event):
                self._add("event", found, broken, "report this: the store's own rules were broken when it was written")

    def _broken_rule(self, event: Event) -> str | None:
        """Take an event in; returns which rule it breaks, if any."""
        match event:
            case RunStarted():
                self._runs.add(event.run)
            case RunFinished() if event.run not in self._runs:
                return f"run {event.run} ended without having begun"
            case VersionCreated():
                if event.version != 1 and (event.name, event.version - 1) not in self.created:
                    return f"{names.spec(event.name, event.version)} follows no version v{event.version - 1}"
                if event.run is not None and event.run not in self._runs:
                    return f"{names.spec(event.name, event.version)} was made by run {event.run}, which never began"
                self.created[event.name, event.version] = event
            case RunPurged():
                self._blanked.update(event.blanked)
            case AliasSet() | VersionDeleted() | VersionRestored() | VersionUsed() | VersionPurged():
                if isinstance(event, VersionPurged):
                    self._blanked.update(event.blanked)
                    self.purged.add((event.name, event.version))
                spec = names.spec(event.name, event.version)
                if (event.name, event.version) not in self.created:
                    return f"{type(event).__name__} names {spec}, which did not exist then"
            case _:
                pass
        return None

    def _finish(self) -> None:
        if self._batch:
            first = self._batch[0]
            size_bytes = sum(found.size_bytes for found in self._batch)
            is_tail = first.index >= self._acknowledged
            self.findings.append(
                Finding(
                    "tail" if is_tail else "log",
                    f"record {first.index}: the last batch is unfinished",
                    "nothing: the next writer moves it to log/quarantine" if is_tail else RESTORE_LOG,
                    not is_tail,
                    self._path(first),
                    first.index,
                    first.offset,
                    size_bytes,
                )
            )
        for index, blank in self._blanks.items():
            if index not in self._blanked:
                self._unsound[index] = self._finding(
                    "log", blank, "the payload was blanked, and no purge says so", RESTORE_LOG
                )
        for index, finding in self._unsound.items():
            affected = dict.fromkeys((*finding.affected, *self.versions_with({index})))
            self.findings.append(msgspec.structs.replace(finding, affected=tuple(affected)))
        self._check_versions()

    def _check_versions(self) -> None:
        for key, event in self.created.items():
            if key in self.purged:
                continue
            spec = names.spec(*key)
            missing = [at for at in event.pages if at not in self.pages] + [
                at for at in event.references if at not in self.references
            ]
            if missing:
                self.findings.append(
                    Finding(
                        "event",
                        f"{spec} cannot be read: record {missing[0]}, which holds a part of it, is missing or damaged",
                        RESTORE_LOG,
                        index=missing[0],
                        affected=(spec,),
                    )
                )
                continue
            pages = [self.pages[at] for at in event.pages]
            references = tuple(reference for at in event.references for reference in self.references[at])
            is_right = (
                codec.content_digest([page.digest for page in pages], references) == event.digest
                and sum(len(page.blobs) for page in pages) == event.file_count
                and sum(page.size_bytes for page in pages) == event.size_bytes
                and len(references) == event.reference_count
            )
            if not is_right:
                self.findings.append(
                    Finding(
                        "event",
                        f"{spec} says another digest, count or size than its files and references have",
                        "report this: the store's own rules were broken when it was written",
                        affected=(spec,),
                    )
                )

    def _add(self, kind: Kind, found: Record, message: str, remedy: str) -> None:
        self.findings.append(self._finding(kind, found, message, remedy))

    def _finding(self, kind: Kind, found: Record, message: str, remedy: str) -> Finding:
        affected = (found.subject,) if ":" in found.subject else ()
        return Finding(
            kind,
            f"record {found.index}: {message}",
            remedy,
            True,
            self._path(found),
            found.index,
            found.offset,
            found.size_bytes,
            affected,
        )

    def _path(self, found: Record) -> str:
        return f"log/{self._layout.segment(found.segment).name}"
