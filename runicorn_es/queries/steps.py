"""What happened to one thing: each event with when, by whom, in which run and why."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
import heapq
from itertools import groupby, islice

import msgspec

from runicorn_es import names
from runicorn_es.errors import Unknown
from runicorn_es.events import (
    AliasProtected,
    AliasRemoved,
    AliasSet,
    BatchAppended,
    DescriptionChanged,
    Event,
    MetadataChanged,
    ReferenceAdded,
    RetentionSet,
    TagsChanged,
    VersionCreated,
    VersionDeleted,
    VersionPurged,
    VersionRestored,
    VersionUsed,
)
from runicorn_es.log.record import FIRST, PAGE, is_blank
from runicorn_es.projections import mentions
from runicorn_es.projections.rows import ALIASES, ARTIFACTS, RUNS
from runicorn_es.queries.catalog import artifact as artifact_of
from runicorn_es.queries.catalog import not_found, version
from runicorn_es.queries.graph import run as require_run
from runicorn_es.queries.keeping import find
from runicorn_es.queries.records import batch_of, head
from runicorn_es.queries.view import View


class Step(msgspec.Struct, frozen=True):
    """An event with its circumstances.

    index: of the record that holds it. time_ns: since the epoch. user, host, pid: who appended it, empty and 0 where
    that was purged. run: during which run. undoes: the index of the record that it takes back.
    """

    index: int
    time_ns: int
    user: str
    host: str
    pid: int
    run: str | None
    undoes: int | None
    event: Event

    @property
    def time(self) -> datetime:
        """Return when it happened, in UTC."""
        return datetime.fromtimestamp(self.time_ns // 1000 / 1_000_000, UTC)

    @property
    def kind(self) -> str:
        """Return what kind of event it is: its tag, such as ``alias``."""
        return str(self.event.__struct_config__.tag)

    @property
    def reason(self) -> str | None:
        """Return why, if somebody said so."""
        return getattr(self.event, "reason", None)


class Listed(msgspec.Struct, frozen=True):
    """One list of mentions, and which of them are meant: of a version, with a mark."""

    key: bytes
    version: int | None = None
    mark: int | None = None

    def indices(
        self, view: View, *, after: int = -1, before: int | None = None, reverse: bool = False
    ) -> Iterator[int]:
        """Yield the indices of the records that are meant."""
        return mentions.indices(
            view.rows,
            self.key,
            after=after,
            before=before,
            version=self.version,
            mark=self.mark,
            reverse=reverse,
        )


def steps(view: View, what: str, *, before: int | None = None, limit: int | None = None) -> list[Step]:
    """Return what happened to an artifact, a version, an alias or a run, the newest first.

    what: ``name``, ``name:v3``, ``name:alias``, ``name@digest``, or the id of a run. before, limit: only what stands
    before this record, and so many. Files and references are told of by the version that has them. Raises Unknown.
    """
    asked = _asked_for(view, what)
    size = head(view)[0]
    before = size if before is None else min(before, size)
    newest_first = (one.indices(view, before=before, reverse=True) for one in _lists(asked))
    indices = _unique(heapq.merge(*newest_first, reverse=True))
    found = (step for index in indices for step in reversed(steps_of(view, index)) if _is_about(step.event, asked))
    some = list(islice(found, limit))
    if not some and before == size and asked.alias is not None:
        known = [row.alias for row in ALIASES.scan(view.rows, asked.name)]
        raise Unknown(not_found(f"{asked.name!r} never had an alias {asked.alias!r}", asked.alias, known))
    return some


def steps_of(view: View, index: int) -> list[Step]:
    """Return the events of a record as steps, in order; none of one that was blanked, and no files and references."""
    record = view.record(index)
    if is_blank(record) or record.flags & PAGE:
        return []
    events = view.events(index)
    batch = batch_of(view, index) or _NOBODY
    return [
        Step(index, record.time_ns, batch.user, batch.host, batch.pid, batch.run, batch.undoes, event)
        for event in events
        if not isinstance(event, BatchAppended | ReferenceAdded)
    ]


def mentioning(
    view: View,
    after: int,
    before: int,
    *,
    artifact: str | None = None,
    run: str | None = None,
    actor: str | None = None,
) -> Iterator[int]:
    """Yield the indices of the records about an artifact, a version or an alias, of a run, by an actor: of all given.

    Those beyond ``after`` and before ``before``, in order. actor: a user, or ``user@host``. Pages of files are not
    among them. Raises Unknown for an artifact or a run that is not there.
    """
    wanted: list[list[Listed]] = []
    if artifact is not None:
        wanted.append(_lists(_asked_for_artifact(view, artifact)))
    if run is not None:
        require_run(view, run)
        wanted.append([Listed(mentions.of_run(run))])
    if actor is not None:
        user, _, host = actor.rpartition("@")
        keys = mentions.of_user(view.rows, actor) + ([mentions.of_actor(user, host)] if user else [])
        wanted.append([Listed(key) for key in keys])
    found = [
        _unique(heapq.merge(*(one.indices(view, after=after, before=before) for one in lists))) for lists in wanted
    ]
    return _common(found)


def value_before(view: View, index: int, event: Event) -> Event | None:
    """Return the event that said last before a record what an event of it says anew, or None.

    What a purge took is as if it had never been.
    """
    found = _saying_the_same(view, event, _list_of(event).indices(view, before=index, reverse=True))
    return next((earlier for _, earlier in found), None)


def changed_since(view: View, index: int, event: Event) -> int | None:
    """Return the index of the first record after one that says anew what an event of it says, or None."""
    found = _saying_the_same(view, event, _list_of(event).indices(view, after=index))
    return next((later for later, _ in found), None)


def was_logged_with(view: View, index: int, event: MetadataChanged | TagsChanged | DescriptionChanged) -> bool:
    """Return whether a record that says this of a version is of the batch that logged the version."""
    logged = version(view, event.name, event.version).position
    while index > logged and not view.record(index).flags & FIRST:
        index -= 1
    return index == logged


_NOBODY = BatchAppended("", "", 0)


class _Asked(msgspec.Struct, frozen=True):
    """Of what a history is: of a run, or of an artifact, and there of one version or alias only."""

    name: str = ""
    version: int | None = None
    alias: str | None = None
    run: str | None = None


def _asked_for(view: View, what: str) -> _Asked:
    if RUNS.get(view.rows, what) is not None:
        return _Asked(run=what)
    return _asked_for_artifact(view, what)


def _asked_for_artifact(view: View, what: str) -> _Asked:
    reference = names.parse_reference(what)
    if reference.alias is not None:
        # One that was removed has a history, too.
        return _Asked(artifact_of(view, reference.name).name, alias=reference.alias)
    if reference.version is not None or reference.digest_prefix is not None:
        if ARTIFACTS.get(view.rows, reference.text) is not None:
            return _Asked(reference.text)
        row = find(view, reference)
        return _Asked(row.name, version=row.version)
    return _Asked(artifact_of(view, reference.name).name)


def _lists(asked: _Asked) -> list[Listed]:
    if asked.run is not None:
        return [Listed(mentions.of_run(asked.run))]
    of_artifact = mentions.of_artifact(asked.name)
    if asked.alias is None:
        return [Listed(of_artifact, asked.version)]
    mark = mentions.mark_of(asked.alias)
    return [Listed(of_artifact, mark=mark), Listed(mentions.of_artifact(""), mark=mark)]


def _is_about(event: Event, asked: _Asked) -> bool:
    """Return whether an event is about what was asked for; others may stand in the same record."""
    if asked.run is not None:
        return True
    match event:
        case AliasProtected():
            return event.alias == asked.alias
        case AliasSet() | AliasRemoved():
            numbers = {event.previous, event.version if isinstance(event, AliasSet) else None}
            is_meant = asked.version in numbers if asked.alias is None else event.alias == asked.alias
            return event.name == asked.name and (is_meant or (asked.version is None and asked.alias is None))
        case (
            VersionCreated()
            | VersionUsed()
            | VersionDeleted()
            | VersionRestored()
            | VersionPurged()
            | TagsChanged()
            | MetadataChanged()
            | DescriptionChanged()
        ):
            return event.name == asked.name and asked.alias is None and asked.version in {None, event.version}
        case _:
            return False


def _list_of(event: Event) -> Listed:
    """Return the list of the records that can say the same anew."""
    match event:
        case AliasSet() | AliasRemoved():
            return Listed(mentions.of_artifact(event.name), mark=mentions.mark_of(event.alias))
        case AliasProtected():
            return Listed(mentions.of_artifact(""), mark=mentions.mark_of(event.alias))
        case RetentionSet():
            return Listed(mentions.of_artifact(""), mark=mentions.mark_of(event.selection))
        case (
            VersionDeleted()
            | VersionRestored()
            | VersionPurged()
            | TagsChanged()
            | MetadataChanged()
            | DescriptionChanged()
        ):
            return Listed(mentions.of_artifact(event.name), event.version)
        case _:
            raise TypeError(f"{event!r} sets nothing")


def _saying_the_same(view: View, event: Event, indices: Iterable[int]) -> Iterator[tuple[int, Event]]:
    wanted = _thing(event)
    for index in indices:
        record = view.record(index)
        if not is_blank(record):
            for found in reversed(view.events(index)):
                if _thing(found) == wanted:
                    yield index, found


def _thing(event: Event) -> tuple[object, ...] | None:
    """Return what an event sets, or None when it sets nothing that another could set anew."""
    match event:
        case AliasSet() | AliasRemoved():
            return "alias", event.name, event.alias
        case AliasProtected():
            return "protection", event.alias
        case RetentionSet():
            return "rule", event.selection
        case VersionDeleted() | VersionRestored() | VersionPurged():
            return "status", event.name, event.version
        case TagsChanged() | MetadataChanged() | DescriptionChanged():
            return type(event), event.name, event.version
        case _:
            return None


def _unique(indices: Iterable[int]) -> Iterator[int]:
    """Yield sorted indices, each once."""
    return (index for index, _ in groupby(indices))


def _common(many: list[Iterator[int]]) -> Iterator[int]:
    """Yield, in order, the indices that are in each of several, all of them in order."""
    first, *others = many
    heads = [next(other, None) for other in others]
    for index in first:
        for number, other in enumerate(others):
            while (head := heads[number]) is not None and head < index:
                heads[number] = next(other, None)
        if None in heads:
            return
        if all(head == index for head in heads):
            yield index
