"""The log, as it was written and in words."""

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from runicorn_es import queries, telling
from runicorn_es.artifact.stored import to_datetime
from runicorn_es.errors import Unknown
from runicorn_es.log.record import is_blank
from runicorn_es.telling import Told
from runicorn_es.viewer.desk import Desk, Limit, Moment, Name, Spec, Words

Index = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class EventsAsked(msgspec.Struct, frozen=True):
    """before: the record before which the page ends, which is ``next`` of the page before.

    artifact, run, actor: only what is about an artifact (``name``, ``name:v3``, ``name:alias``), of a run, by a user.
    """

    before: Index | None = None
    artifact: Spec | None = None
    run: Name | None = None
    actor: Words | None = None
    limit: Limit = 50
    as_of: Moment | None = None


class RecordLine(msgspec.Struct, frozen=True):
    """A record of the log: when, by whom, of what, and what it says."""

    index: int
    at: datetime
    user: str
    host: str
    run: str | None
    subject: str
    kinds: list[str]
    sentences: list[str]
    is_blanked: bool


class Events(msgspec.Struct, frozen=True):
    """Records, the newest first. head: how many there are in all."""

    records: list[RecordLine]
    head: int
    next: int | None


class EventAsked(msgspec.Struct, frozen=True):
    """Which record."""

    index: Index
    as_of: Moment | None = None


class RecordPage(msgspec.Struct, frozen=True):
    """A record to the byte: hashes in hexadecimal; segment and offset: where it lies; events: what it says, not all
    where there are many."""

    line: RecordLine
    flags: int
    previous_leaf: str
    commitment: str
    leaf: str
    segment: int
    offset: int
    size_bytes: int
    events: list[dict[str, Any]]
    head: int


_EVENTS_SHOWN = 200


def events(desk: Desk, asked: EventsAsked) -> Events:
    """Return a page of the log."""
    with desk.reading(asked.as_of) as view:
        head = queries.head(view)[0]
        end = head if asked.before is None else min(asked.before, head)
        indices: Sequence[int] = range(max(0, end - asked.limit - 1), end)
        if asked.artifact or asked.run or asked.actor:
            # In the order of the log: of the last so many, all before are looked at, but as numbers only.
            chosen = queries.mentioning(view, -1, end, artifact=asked.artifact, run=asked.run, actor=asked.actor)
            indices = list(deque(chosen, asked.limit + 1))
        is_more = len(indices) > asked.limit
        found = [record_line(one) for one in telling.told_at(view, indices[-asked.limit :])]
    return Events(found[::-1], head, found[0].index if is_more else None)


def event(desk: Desk, asked: EventAsked) -> RecordPage:
    """Return one record. Raises Unknown beyond the end of the log."""
    with desk.reading(asked.as_of) as view:
        head = queries.head(view)[0]
        if asked.index >= head:
            raise Unknown(f"the log has no record {asked.index}; it has {head:,} records, from 0 on")
        [one] = telling.told_at(view, [asked.index])
    record = one.record
    some = msgspec.structs.replace(one, events=one.events[:_EVENTS_SHOWN])
    return RecordPage(
        record_line(one),
        record.flags,
        record.previous_leaf.hex(),
        record.commitment.hex(),
        record.leaf.hex(),
        record.segment,
        record.offset,
        record.size_bytes,
        [{"kind": said["kind"], **said["event"]} for said in telling.as_json(some)],
        head,
    )


def record_line(one: Told) -> RecordLine:
    """Return a record as lists have it."""
    return RecordLine(
        one.record.index,
        to_datetime(one.record.time_ns),
        one.batch.user,
        one.batch.host,
        one.batch.run,
        one.record.subject,
        list(dict.fromkeys(str(event.__struct_config__.tag) for event in one.events)),
        list(telling.sentences(one)),
        is_blank(one.record),
    )
