"""What takes a record back: the opposite of what it did, as long as nothing has changed that since. Pure."""

from collections.abc import Sequence
from typing import NoReturn

from runicorn_es import names, queries
from runicorn_es.commands import (
    Command,
    DeleteVersion,
    ProtectAlias,
    RemoveAlias,
    RestoreVersion,
    SetAlias,
    SetRetention,
)
from runicorn_es.errors import Conflict, Rejected, Unknown
from runicorn_es.events import (
    AliasProtected,
    AliasRemoved,
    AliasSet,
    BatchAppended,
    DescriptionChanged,
    Draft,
    Event,
    FileAdded,
    MetadataChanged,
    ReferenceAdded,
    RetentionSet,
    RunFinished,
    RunPurged,
    RunStarted,
    TagsChanged,
    VersionCreated,
    VersionDeleted,
    VersionPurged,
    VersionRestored,
    VersionUsed,
)
from runicorn_es.log.record import is_blank
from runicorn_es.names import Reference
from runicorn_es.projections.rules import NO_RULE
from runicorn_es.queries import View
from runicorn_es.rules import parse_selection, read_rule

_DETAILS = MetadataChanged | TagsChanged | DescriptionChanged


def opposites(view: View, index: int, reason: str | None, *, force: bool) -> list[Command | Draft]:
    """Return what takes back what a record did: commands, to be decided as ever, and records to append.

    Raises Rejected where there is no taking back, Conflict where something has changed it since.
    """
    return [_opposite(view, index, event, reason, force=force) for event in _events(view, index)]


def _events(view: View, index: int) -> Sequence[Event]:
    end = queries.head(view)[0]
    if not 0 <= index < end:
        raise Unknown(
            f"the log has no record {index}; its records are 0 to {end - 1}, and `runicorn-es events` lists them"
        )
    record = view.record(index)
    if is_blank(record):
        raise Rejected(f"record {index} was blanked by a purge; what it said is gone for good, and cannot be undone")
    if queries.is_page(record):
        _refuse(index, f"the files of {record.subject} were logged", f"`runicorn-es delete {record.subject}` hides it")
    events = [event for event in view.events(index) if not isinstance(event, BatchAppended)]
    for event in events:
        # What no event can take back is said first, for the record as a whole.
        _require_opposite(index, event)
    if any(isinstance(event, _DETAILS) and queries.was_logged_with(view, index, event) for event in events):
        _refuse(index, f"{record.subject} was logged with this", f"`runicorn-es delete {record.subject}` hides it")
    return events


def _require_opposite(index: int, event: Event) -> None:
    match event:
        case VersionCreated():
            spec = names.spec(event.name, event.version)
            _refuse(index, f"{spec} was logged", f"`runicorn-es delete {spec}` hides it")
        case FileAdded() | ReferenceAdded():
            _refuse(index, "a version was logged with this", "`runicorn-es delete` hides a version")
        case VersionPurged():
            _refuse(index, f"{names.spec(event.name, event.version)} was purged", "what was purged is gone for good")
        case RunPurged():
            _refuse(index, f"run {event.run} was purged", "what was purged is gone for good")
        case RunStarted() | RunFinished():
            _refuse(index, f"run {event.run} {'started' if isinstance(event, RunStarted) else 'ended'}", "it did")
        case VersionUsed():
            spec = names.spec(event.name, event.version)
            _refuse(index, f"run {event.run} used {spec}", "a use is a fact that lineage rests on")
        case (
            AliasSet()
            | AliasRemoved()
            | AliasProtected()
            | VersionDeleted()
            | VersionRestored()
            | RetentionSet()
            | MetadataChanged()
            | TagsChanged()
            | DescriptionChanged()
        ):
            pass
        case _:
            tag = event.__struct_config__.tag
            _refuse(index, f"it notes something about the store itself ({tag!r})", "there is nothing to take back")


def _refuse(index: int, what: str, instead: str) -> NoReturn:
    raise Rejected(f"record {index} cannot be undone: {what}; {instead}")


def _opposite(view: View, index: int, event: Event, reason: str | None, *, force: bool) -> Command | Draft:
    since = queries.changed_since(view, index, event)
    if since is not None:
        raise Conflict(
            f"record {index} is not undone: record {since} has changed the same again; "
            f"`runicorn-es undo {since}` takes that back first"
        )
    match event:
        case AliasSet(previous=None):
            return RemoveAlias(event.name, event.alias, reason, force)
        case AliasSet(previous=int(previous)):
            return SetAlias(_version(event.name, previous), event.alias, reason, event.version, force)
        case AliasRemoved():
            return SetAlias(_version(event.name, event.previous), event.alias, reason, 0, force)
        case AliasProtected():
            return ProtectAlias(event.alias, not event.is_protected, reason)
        case VersionDeleted():
            return RestoreVersion(_version(event.name, event.version), reason)
        case VersionRestored():
            return DeleteVersion(_version(event.name, event.version), reason, force)
        case RetentionSet():
            before = queries.value_before(view, index, event)
            rule = before.rule if isinstance(before, RetentionSet) else NO_RULE
            return SetRetention(parse_selection(event.selection), None if rule == NO_RULE else read_rule(rule))
        case MetadataChanged() | TagsChanged() | DescriptionChanged():
            return _detail_before(view, index, event)
        case _:
            raise AssertionError(event)


def _detail_before(view: View, index: int, event: MetadataChanged | TagsChanged | DescriptionChanged) -> Draft:
    row = queries.resolve(view, _version(event.name, event.version))
    before = queries.value_before(view, index, event)
    if before is None:
        match event:
            case MetadataChanged():
                before = MetadataChanged(event.name, event.version, "{}")
            case TagsChanged():
                before = TagsChanged(event.name, event.version, ())
            case DescriptionChanged():
                before = DescriptionChanged(event.name, event.version, "")
    return Draft(names.spec(row.name, row.version), (before,), is_blankable=True)


def _version(name: str, number: int) -> Reference:
    return Reference(name, names.spec(name, number), version=number)
