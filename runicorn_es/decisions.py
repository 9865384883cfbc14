"""What a command means, given how things stand. Pure; every rule of the store lives here.

``decide`` answers with the records to append: none when the command asks for what is so already. It is called under
the writer's lock with the newest view, so that nothing can change between the check and the write.
"""

from collections.abc import Iterator, Sequence
from typing import NoReturn

import msgspec

from runicorn_es import dotted, names, queries, settings, undoing
from runicorn_es.commands import (
    Command,
    CreateStore,
    DeleteVersion,
    Describe,
    FinishPurge,
    FinishRun,
    LogArtifact,
    NotePacked,
    NoteReclaimed,
    NoteRecovery,
    ProtectAlias,
    Purge,
    RemoveAlias,
    RestoreVersion,
    RotateKey,
    SetAlias,
    SetMetadata,
    SetRetention,
    SetTags,
    StartRun,
    Undo,
    UseArtifact,
)
from runicorn_es.errors import Conflict, Rejected, Unknown
from runicorn_es.events import (
    AliasProtected,
    AliasRemoved,
    AliasSet,
    BlobsPacked,
    BlobsReclaimed,
    DescriptionChanged,
    Draft,
    Event,
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
from runicorn_es.names import Reference
from runicorn_es.projections.rows import ALIASES, ARTIFACTS, DELETED, PURGED, READY, RUNNING, RUNS, VersionRow
from runicorn_es.projections.rules import NO_RULE
from runicorn_es.queries import View


def decide(command: Command, view: View) -> list[Draft]:
    """Return the records that this command means. Raises Rejected, and its kinds, when it cannot be met."""
    match command:
        case StartRun():
            return _start_run(command, view)
        case FinishRun():
            return _finish_run(command, view)
        case LogArtifact():
            return _log_artifact(command, view)
        case UseArtifact():
            return _use_artifact(command, view)
        case SetAlias():
            return _set_alias(command, view)
        case RemoveAlias():
            return _remove_alias(command, view)
        case SetTags():
            return _set_tags(command, view)
        case Describe():
            return _describe(command, view)
        case SetMetadata():
            return _set_metadata(command, view)
        case DeleteVersion():
            return _delete_version(command, view)
        case RestoreVersion():
            return _restore_version(command, view)
        case ProtectAlias():
            return _protect_alias(command, view)
        case Purge():
            return _purge(command, view)
        case FinishPurge():
            is_left = any(purge.position <= command.position for purge in queries.unfinished_purges(view))
            finished = PurgeFinished(command.position, command.count, command.size_bytes)
            return [Draft("", (finished,))] if is_left else []
        case SetRetention():
            return _set_retention(command, view)
        case Undo():
            return _undo(command, view)
        case NotePacked():
            return [Draft("", (BlobsPacked(command.count, command.size_bytes, command.packed_bytes),))]
        case NoteReclaimed():
            return [Draft("", (BlobsReclaimed(command.count, command.size_bytes),))]
        case NoteRecovery():
            event = RecoveryTruncated(command.segment, command.offset, command.size_bytes, command.quarantine)
            return [Draft("", (event,))]
        case CreateStore():
            # Another process may have been quicker.
            is_new = queries.head(view)[0] == 0
            return [Draft("", (StoreCreated(command.store_id, command.format_version),))] if is_new else []
        case RotateKey():
            return [Draft("", (KeyRotated(command.ed25519, command.ml_dsa_44),))]


def require_loggable(view: View, name: str, kind: str, aliases: Sequence[str] = ()) -> None:
    """Raise Rejected when an artifact of this name and type, with these aliases, could not be logged.

    Asked before any file is copied.
    """
    row = ARTIFACTS.get(view.rows, name)
    if row is not None and row.type != kind:
        raise Rejected(f"artifact {name!r} is a {row.type}; log it with type={row.type!r}, or choose another name")
    for alias in aliases:
        if _points_to(view, name, alias) is not None:
            _require_unprotected(view, name, alias, force=False)


def refuse_empty(name: str) -> NoReturn:
    """Raise Rejected for an artifact with nothing in it."""
    raise Rejected(f"artifact {name!r} has no files or references; add one with add_file, add_dir or add_reference")


def _start_run(command: StartRun, view: View) -> list[Draft]:
    if RUNS.get(view.rows, command.run) is not None:
        raise Conflict(f"run {command.run!r} exists already; start another one")
    event = RunStarted(
        command.run,
        command.project,
        command.name,
        command.config,
        command.tags,
        command.python,
        command.command,
        command.folder,
        command.git_commit,
        command.git_dirty,
    )
    return [Draft(command.run, (event,), is_blankable=True)]


def _finish_run(command: FinishRun, view: View) -> list[Draft]:
    row = queries.run(view, command.run)
    if row.status != RUNNING:
        if row.status == command.status:
            return []
        raise Conflict(f"run {command.run!r} has ended already, as {row.status!r}")
    return [Draft(command.run, (RunFinished(command.run, command.status),))]


def _log_artifact(command: LogArtifact, view: View) -> list[Draft]:
    if not command.pages and not command.references:
        refuse_empty(command.name)
    if command.run is not None:
        queries.run(view, command.run)
    require_loggable(view, command.name, command.type, command.aliases)
    row = ARTIFACTS.get(view.rows, command.name)
    version = row.allotted + 1 if row else 1
    subject = names.spec(command.name, version)
    drafts: list[Draft] = []
    end = queries.head(view)[0]
    page_positions = _place_pages(command, view, end, subject, drafts)
    reference_positions: list[int] = []
    for some in _in_records(command.references):
        reference_positions.append(end + len(drafts))
        drafts.append(Draft(subject, some, is_blankable=True))
    created = VersionCreated(
        command.name,
        command.type,
        version,
        command.run,
        command.digest,
        tuple(page_positions),
        tuple(reference_positions),
        sum(len(page.files) for page in command.pages),
        len(command.references),
        sum(file.size_bytes for page in command.pages for file in page.files),
    )
    set_aliases = [
        AliasSet(command.name, alias, version, _points_to(view, command.name, alias)) for alias in command.aliases
    ]
    drafts.append(Draft(subject, (created, *set_aliases)))
    if details := _details(command, version):
        drafts.append(Draft(subject, tuple(details), is_blankable=True))
    return drafts


def _place_pages(command: LogArtifact, view: View, end: int, subject: str, drafts: list[Draft]) -> list[int]:
    """Return the record of each page, adding a draft for each that no record holds yet."""
    positions: list[int] = []
    added: dict[bytes, int] = {}
    for page in command.pages:
        position = queries.page_position(view, page.digest)
        if position is None:
            position = added.get(page.digest)
        if position is None:
            position = added[page.digest] = end + len(drafts)
            drafts.append(Draft(subject, page.files, is_page=True, is_blankable=True))
        positions.append(position)
    return positions


def _in_records(references: Sequence[ReferenceAdded]) -> Iterator[tuple[ReferenceAdded, ...]]:
    """Yield the references in groups that a record can hold."""
    group: list[ReferenceAdded] = []
    size_bytes = 0
    for reference in references:
        group.append(reference)
        size_bytes += len(reference.uri.encode()) + len(reference.attributes.encode())
        if len(group) == settings.REFERENCES_PER_RECORD or size_bytes >= settings.REFERENCE_BYTES_PER_RECORD:
            yield tuple(group)
            group, size_bytes = [], 0
    if group:
        yield tuple(group)


def _details(command: LogArtifact, version: int) -> list[Event]:
    """Return what a purge would blank, in events of a record of their own."""
    details: list[Event] = []
    if command.metadata != "{}":
        details.append(MetadataChanged(command.name, version, command.metadata))
    if command.tags:
        details.append(TagsChanged(command.name, version, command.tags))
    if command.description is not None:
        details.append(DescriptionChanged(command.name, version, command.description))
    return details


def _use_artifact(command: UseArtifact, view: View) -> list[Draft]:
    queries.run(view, command.run)
    row = queries.resolve(view, command.reference)
    spec = names.spec(row.name, row.version)
    if command.type is not None and row.type != command.type:
        raise Rejected(f"{spec} is a {row.type}, not a {command.type}; ask for type={row.type!r}, or leave it out")
    if queries.has_used(view, command.run, row):
        return []
    return [Draft(spec, (VersionUsed(command.run, row.name, row.version, command.reference.text),))]


def _set_alias(command: SetAlias, view: View) -> list[Draft]:
    row = queries.resolve(view, command.reference)
    previous = _points_to(view, row.name, command.alias)
    if command.expected is not None and command.expected != (previous or 0):
        found = f"points to v{previous}" if previous else "does not exist"
        wanted = f"to point to v{command.expected}" if command.expected else "not to exist"
        raise Conflict(
            f"{row.name}:{command.alias} {found}, and was expected {wanted}; nothing was changed; look again"
        )
    if previous == row.version:
        return []
    if previous is not None:
        _require_unprotected(view, row.name, command.alias, force=command.force)
    event = AliasSet(row.name, command.alias, row.version, previous, command.reason)
    return [Draft(names.spec(row.name, row.version), (event,))]


def _remove_alias(command: RemoveAlias, view: View) -> list[Draft]:
    previous = _points_to(view, command.name, command.alias)
    if previous is None:
        # For its message: which aliases there are.
        queries.resolve(view, Reference(command.name, f"{command.name}:{command.alias}", alias=command.alias))
        raise Unknown(f"{command.name!r} has no alias {command.alias!r}")
    _require_unprotected(view, command.name, command.alias, force=command.force)
    event = AliasRemoved(command.name, command.alias, previous, command.reason)
    return [Draft(names.spec(command.name, previous), (event,))]


def _set_tags(command: SetTags, view: View) -> list[Draft]:
    row = queries.resolve(view, command.reference)
    present = queries.tags(view, row)
    tags = sorted((set(present) | set(command.add)) - set(command.remove))
    if tags == present:
        return []
    if len(tags) > settings.TAGS_MAX:
        spec = names.spec(row.name, row.version)
        raise Rejected(f"{spec} would have {len(tags)} tags, at most {settings.TAGS_MAX} are allowed; remove some")
    return [_detail(row, TagsChanged(row.name, row.version, tuple(tags)))]


def _describe(command: Describe, view: View) -> list[Draft]:
    row = queries.resolve(view, command.reference)
    if command.description == (queries.description(view, row) or ""):
        return []
    return [_detail(row, DescriptionChanged(row.name, row.version, command.description))]


def _set_metadata(command: SetMetadata, view: View) -> list[Draft]:
    row = queries.resolve(view, command.reference)
    present = metadata = queries.metadata(view, row)
    for key in command.remove:
        metadata = dotted.without(metadata, key)
    text = msgspec.json.encode(metadata | queries.json_object(command.changes))
    # As texts: to Python, 1 and 1.0 and true are equal.
    if text == msgspec.json.encode(present):
        return []
    if len(text) > settings.METADATA_BYTES_MAX:
        raise Rejected(
            f"the metadata of {names.spec(row.name, row.version)} would take {len(text)} bytes as JSON, at most "
            f"{settings.METADATA_BYTES_MAX} are allowed; remove keys, or put large values into a file"
        )
    return [_detail(row, MetadataChanged(row.name, row.version, text.decode()))]


def _detail(row: VersionRow, event: Event) -> Draft:
    """Return a record of its own for what a purge of the version forgets."""
    return Draft(names.spec(row.name, row.version), (event,), is_blankable=True)


def _delete_version(command: DeleteVersion, view: View) -> list[Draft]:
    row = queries.resolve(view, command.reference, deleted=True)
    spec = names.spec(row.name, row.version)
    if row.status == DELETED:
        return []
    if not command.force and (reasons := queries.reasons_to_keep(view, row)):
        raise Rejected(f"{spec} is in use: {'; '.join(reasons)}; delete it all the same with force=True (--force)")
    return [Draft(spec, (VersionDeleted(row.name, row.version, command.reason),))]


def _restore_version(command: RestoreVersion, view: View) -> list[Draft]:
    row = queries.resolve(view, command.reference, deleted=True)
    if row.status == READY:
        return []
    event = VersionRestored(row.name, row.version, command.reason)
    return [Draft(names.spec(row.name, row.version), (event,))]


def _purge(command: Purge, view: View) -> list[Draft]:
    found = (queries.find(view, reference) for reference in command.references)
    rows = {(row.name, row.version): row for row in found if row.status != PURGED}
    run = None if command.run is None else queries.run(view, command.run)
    if not command.force:
        reasons = [
            f"{names.spec(*key)}: {reason}"
            for key, row in rows.items()
            if row.status == READY
            for reason in queries.reasons_to_keep(view, row, without=rows.keys())
        ]
        if reasons:
            raise Rejected(f"in use: {'; '.join(reasons)}; purge all the same with force=True (--force)")
    pages = queries.pages_of_only(view, list(rows.values()))
    drafts = [_purged(row, pages[key], command.reason, view) for key, row in rows.items()]
    if run is not None and run.project:
        drafts.append(Draft(run.run, (RunPurged(run.run, (run.position,), command.reason),)))
    return drafts


def _purged(row: VersionRow, pages: Sequence[int], reason: str | None, view: View) -> Draft:
    """Return what is to be recorded of one version that goes; ``pages``: the records of those that go with it."""
    events: list[Event] = [
        AliasRemoved(row.name, alias, row.version, reason)
        for alias in queries.aliases_of(view, row)
        if alias != names.LATEST
    ]
    if row.status == READY:
        events.append(VersionDeleted(row.name, row.version, reason))
    blanked = sorted((*pages, *queries.details(view, row)))
    events.append(VersionPurged(row.name, row.version, tuple(blanked), reason))
    return Draft(names.spec(row.name, row.version), tuple(events))


def _protect_alias(command: ProtectAlias, view: View) -> list[Draft]:
    if queries.is_protected(view, command.alias) == command.is_protected:
        return []
    return [Draft("", (AliasProtected(command.alias, command.is_protected, command.reason),))]


def _require_unprotected(view: View, name: str, alias: str, *, force: bool) -> None:
    if not force and queries.is_protected(view, alias):
        raise Rejected(
            f"{name}:{alias} is protected; move or remove it with force=True (--force), or end the protection with "
            f"`runicorn-es protect {alias} --off`"
        )


def _set_retention(command: SetRetention, view: View) -> list[Draft]:
    selection = command.selection
    if selection.kind == "version":
        queries.version(view, selection.name, selection.version)
    rule = NO_RULE if command.rule is None else msgspec.json.encode(command.rule).decode()
    present = queries.rules(view).get(str(selection))
    if (NO_RULE if present is None else present.rule) == rule:
        return []
    return [Draft("", (RetentionSet(str(selection), rule),))]


def _undo(command: Undo, view: View) -> list[Draft]:
    drafts: list[Draft] = []
    for opposite in undoing.opposites(view, command.index, command.reason, force=command.force):
        drafts += [opposite] if isinstance(opposite, Draft) else decide(opposite, view)
    return drafts


def _points_to(view: View, name: str, alias: str) -> int | None:
    row = ALIASES.get(view.rows, name, alias)
    return None if row is None else row.version
