"""The log in words: each event as a sentence, with when and by whom."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, assert_never

import msgspec

from runicorn_es import export, names, queries, rules, words
from runicorn_es.artifact.stored import to_datetime
from runicorn_es.errors import Rejected
from runicorn_es.events import (
    AliasProtected,
    AliasRemoved,
    AliasSet,
    BatchAppended,
    BlobsPacked,
    BlobsReclaimed,
    DescriptionChanged,
    Event,
    FileAdded,
    KeyRotated,
    MetadataChanged,
    PurgeFinished,
    RecoveryTruncated,
    ReferenceAdded,
    RetentionSet,
    RunFinished,
    RunPurged,
    RunStarted,
    StoreCreated,
    TagsChanged,
    VersionCreated,
    VersionDeleted,
    VersionPurged,
    VersionRestored,
    VersionUsed,
)
from runicorn_es.following import Happened
from runicorn_es.log import Record
from runicorn_es.log.record import FIRST, is_blank
from runicorn_es.queries import View
from runicorn_es.store import Store

_TEXT_CHARACTERS = 100
_NOBODY = BatchAppended("", "", 0)


class Told(msgspec.Struct, frozen=True):
    """A record of the log: its place and time, who appended its batch, and its events (none: it was blanked)."""

    record: Record
    batch: BatchAppended
    events: tuple[Event, ...]


def told(store: Store, after: int, **chosen: Any) -> Iterator[Told]:
    """Yield the records beyond index ``after``, in order, up to the end of the log; those chosen, as by its events."""
    batch = _NOBODY
    last: int | None = None
    for record, events in store.events(after, **chosen):
        if record.flags & FIRST or last is None or record.index != last + 1:
            with store.reading() as view:
                batch = queries.batch_of(view, record.index) or _NOBODY
        last = record.index
        yield Told(record, batch, tuple(event for event in events if not isinstance(event, BatchAppended)))


def told_at(view: View, indices: Iterable[int]) -> list[Told]:
    """Return these records, which must be in order."""
    found: list[Told] = []
    batch = _NOBODY
    for index in indices:
        record, events = queries.record_at(view, index)
        if record.flags & FIRST or not found or found[-1].record.index != index - 1:
            batch = queries.batch_of(view, index) or _NOBODY
        found.append(Told(record, batch, tuple(event for event in events if not isinstance(event, BatchAppended))))
    return found


def followed(store: Store, after: int) -> Iterator[Told]:
    """Yield the acknowledged records beyond index ``after``, in order, and for ever what comes then."""
    with store.follow(after) as following:
        for one in following.records():
            yield Told(one.record, one.by, tuple(event for _, event in one.events))


def told_of(happened: Happened) -> Told:
    """Return one event that a follower was told of as a record with nothing else in it."""
    record = Record(
        happened.index, happened.time_ns, 0, happened.subject, b"", b"", happened.leaf, b"", 0, 0, 0
    )  # fmt: skip
    return Told(record, happened.by, (happened.event,))


def sentences(one: Told) -> Iterator[str]:
    """Yield a sentence for each event of a record; for its files, and for its references, one for all."""
    subject = words.printable(one.record.subject)
    if is_blank(one.record):
        yield f"what stood here of {subject} was blanked"
    for kind, group in groupby(one.events, type):
        events = list(group)
        if len(events) > 1 and kind in {FileAdded, ReferenceAdded}:
            noun = "file" if kind is FileAdded else "reference"
            yield f"{words.count(len(events), noun)} of {subject}"
        else:
            yield from map(describe_event, events)


def describe_event(event: Event) -> str:
    """Return an event as a sentence, such as ``production of resnet50-model moved from v2 to v3``."""
    match event:
        case StoreCreated():
            said = f"the store was created, in format {event.format_version}"
        case BatchAppended():
            said = f"{event.user}@{event.host} (process {event.pid}) appended a batch"
        case RunStarted():
            called = f", {event.name}" if event.name else ""
            said = f"run {event.run} of project {event.project}{called} started"
        case RunFinished():
            said = f"run {event.run} ended as {event.status}"
        case VersionCreated():
            said = _created(event)
        case FileAdded():
            said = f"file {event.path}, {words.size(event.size_bytes)}"
        case ReferenceAdded():
            size = "" if event.size_bytes is None else f", {words.size(event.size_bytes)}"
            said = f"reference {event.uri}{size}"
        case MetadataChanged():
            said = f"metadata of {names.spec(event.name, event.version)} is {_shortened(event.metadata)}"
        case TagsChanged():
            said = f"tags of {names.spec(event.name, event.version)} are {', '.join(event.tags) or 'none'}"
        case DescriptionChanged():
            said = f"description of {names.spec(event.name, event.version)} is {_shortened(event.description)}"
        case AliasSet():
            moved = "points" if event.previous is None else f"moved from v{event.previous}"
            said = f"{event.alias} of {event.name} {moved} to v{event.version}{_because(event.reason)}"
        case AliasRemoved():
            said = f"{event.alias} of {event.name} was removed from v{event.previous}{_because(event.reason)}"
        case VersionUsed():
            said = f"run {event.run} used {names.spec(event.name, event.version)}, asked for as {event.requested}"
        case VersionDeleted():
            said = f"{names.spec(event.name, event.version)} was deleted{_because(event.reason)}"
        case VersionRestored():
            said = f"{names.spec(event.name, event.version)} was restored{_because(event.reason)}"
        case VersionPurged():
            blanked = words.count(len(event.blanked), "record")
            said = f"{names.spec(event.name, event.version)} was purged, {blanked} blanked{_because(event.reason)}"
        case RunPurged():
            said = f"what run {event.run} recorded of itself was purged{_because(event.reason)}"
        case PurgeFinished():
            blobs = words.count(event.count, "blob")
            said = f"nothing is left of what was purged; {blobs} went with it, {words.size(event.size_bytes)}"
        case AliasProtected():
            said = f"{event.alias} is {'' if event.is_protected else 'no longer '}protected{_because(event.reason)}"
        case BlobsPacked():
            blobs, taken = words.count(event.count, "blob"), words.size(event.packed_bytes)
            said = f"{blobs} of {words.size(event.size_bytes)} went into packs, where they take {taken}"
        case BlobsReclaimed():
            said = f"{words.count(event.count, 'blob')} of no version were removed, {words.size(event.size_bytes)}"
        case RetentionSet():
            said = f"retention of {event.selection}: {_rule(event.rule)}"
        case RecoveryTruncated():
            said = (
                f"a torn tail of {words.count(event.size_bytes, 'byte')} behind offset {event.offset} of "
                f"{event.segment} was moved to quarantine, as {event.quarantine}"
            )
        case KeyRotated():
            said = f"the signing key was replaced; from the next record on it is {event.ed25519}"
        case _:
            assert_never(event)
    return words.printable(said)


def as_json(one: Told) -> Iterator[dict[str, Any]]:
    """Yield for each event of a record what ``events --json`` says of it."""
    about: dict[str, Any] = {
        "index": one.record.index,
        "time": to_datetime(one.record.time_ns),
        "user": one.batch.user,
        "host": one.batch.host,
        "pid": one.batch.pid,
        "run": one.batch.run,
        "key": one.batch.key,
        "subject": one.record.subject,
    }
    for event in one.events:
        yield {
            **about,
            "kind": event.__struct_config__.tag,
            "sentence": describe_event(event),
            "event": members(event),
        }


def members(event: Event) -> dict[str, object]:
    """Return the fields of an event as answers in JSON have them."""
    return export.as_plain(event)


def _created(event: VersionCreated) -> str:
    parts = [event.type, words.count(event.file_count, "file"), words.size(event.size_bytes)]
    if event.reference_count:
        parts.append(words.count(event.reference_count, "reference"))
    by = f" by run {event.run}" if event.run else ""
    return f"{names.spec(event.name, event.version)} was logged{by}: {', '.join(parts)}"


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT_CHARACTERS else f"{text[:_TEXT_CHARACTERS]}…"


def _because(reason: str | None) -> str:
    return f" ({reason})" if reason else ""


def _rule(text: str) -> str:
    try:
        return str(rules.read_rule(text)) or "no rule any more"
    except Rejected:
        # A later release may say more in one.
        return text
