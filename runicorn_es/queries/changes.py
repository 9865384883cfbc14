"""What changed in a store between two moments: what each thing was before and after, and each step in between."""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from runicorn_es import names
from runicorn_es.events import (
    AliasProtected,
    AliasRemoved,
    AliasSet,
    DescriptionChanged,
    Event,
    MetadataChanged,
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
from runicorn_es.projections import pages
from runicorn_es.projections.rows import DELETED, PURGED, READY, RUNNING
from runicorn_es.projections.rules import NO_RULE
from runicorn_es.queries.content import json_object
from runicorn_es.queries.steps import Step, steps_of, value_before, was_logged_with
from runicorn_es.queries.view import View

Detail = MetadataChanged | TagsChanged | DescriptionChanged


class VersionChange(msgspec.Struct):
    """A version whose status changed: from ``old``, None if it was not there yet, to ``new``. steps: each change."""

    name: str
    version: int
    old: str | None
    new: str
    steps: list[Step]

    @property
    def spec(self) -> str:
        """Return ``name:v3``."""
        return names.spec(self.name, self.version)


class AliasChange(msgspec.Struct):
    """An alias that was moved: from the version ``old`` to ``new``, None where it did not exist; both may be equal."""

    name: str
    alias: str
    old: int | None
    new: int | None
    steps: list[Step]


class DetailChange(msgspec.Struct):
    """Metadata, tags or description of a version that were changed after it was logged; ``old`` as they were before."""

    name: str
    version: int
    what: Literal["metadata", "tags", "description"]
    old: Any
    new: Any
    steps: list[Step]

    @property
    def spec(self) -> str:
        """Return ``name:v3``."""
        return names.spec(self.name, self.version)


class RunChange(msgspec.Struct):
    """A run that began, ended, used something or was purged. old: its status before, None if it had not begun.

    uses: the specs of the versions that it used.
    """

    run: str
    old: str | None
    new: str
    uses: list[str]
    steps: list[Step]


class ProtectionChange(msgspec.Struct):
    """An alias, whatever the artifact, that became protected or no longer is."""

    alias: str
    old: bool
    new: bool
    steps: list[Step]


class RuleChange(msgspec.Struct):
    """A rule of retention that was set: as JSON, None for none."""

    selection: str
    old: str | None
    new: str | None
    steps: list[Step]


class Changes(msgspec.Struct):
    """What changed between two moments.

    since, until: positions: how many records were there. artifacts: the names that are new. The others in the order in
    which they changed first. others: what else happened, such as blobs that were removed.
    """

    since: int
    until: int
    artifacts: list[str]
    versions: list[VersionChange]
    aliases: list[AliasChange]
    details: list[DetailChange]
    runs: list[RunChange]
    protected: list[ProtectionChange]
    rules: list[RuleChange]
    others: list[Step]


def changes(view: View, since: int, until: int) -> Changes:
    """Return what the records from one position up to another changed. Pages of files are not read."""
    found = _Found(view, Changes(since, until, [], [], [], [], [], [], [], []))
    for step in _steps(view, since, until):
        found.add(step)
    return found.changes


def _steps(view: View, since: int, until: int) -> Iterator[Step]:
    for index in range(since, until):
        if not pages.is_page(view.rows, index):
            yield from steps_of(view, index)


class _Found:
    """What was found so far, and where to find what changed before."""

    def __init__(self, view: View, changes: Changes) -> None:
        self.changes = changes
        self._view = view
        self._known: dict[tuple[object, ...], Any] = {}

    def add(self, step: Step) -> None:
        """Add what one event changed."""
        match step.event:
            case VersionCreated():
                self._change_status(step, step.event, None, READY)
            case VersionDeleted():
                self._change_status(step, step.event, READY, DELETED)
            case VersionRestored():
                self._change_status(step, step.event, DELETED, READY)
            case VersionPurged():
                # One that was not deleted yet is deleted in the same record.
                self._change_status(step, step.event, DELETED, PURGED)
            case AliasSet() | AliasRemoved():
                self._move(step, step.event)
            case MetadataChanged() | TagsChanged() | DescriptionChanged():
                self._change_detail(step, step.event)
            case RunStarted() | RunFinished() | RunPurged() | VersionUsed():
                self._go_on(step, step.event)
            case AliasProtected():
                self._protect(step, step.event)
            case RetentionSet():
                self._set_rule(step, step.event)
            case _:
                self.changes.others.append(step)

    def _change_status(
        self,
        step: Step,
        event: VersionCreated | VersionDeleted | VersionRestored | VersionPurged,
        before: str | None,
        after: str,
    ) -> None:
        if before is None and event.version == 1:
            self.changes.artifacts.append(event.name)
        key = "version", event.name, event.version
        change = self._known.get(key)
        if change is None:
            change = self._known[key] = VersionChange(event.name, event.version, before, after, [])
            self.changes.versions.append(change)
        change.new = after
        change.steps.append(step)

    def _move(self, step: Step, event: AliasSet | AliasRemoved) -> None:
        key = "alias", event.name, event.alias
        change = self._known.get(key)
        if change is None:
            change = self._known[key] = AliasChange(event.name, event.alias, event.previous, None, [])
            self.changes.aliases.append(change)
        change.new = event.version if isinstance(event, AliasSet) else None
        change.steps.append(step)

    def _change_detail(self, step: Step, event: Detail) -> None:
        if was_logged_with(self._view, step.index, event):
            return
        what, new = _detail(event)
        key = what, event.name, event.version
        change = self._known.get(key)
        if change is None:
            before = value_before(self._view, step.index, event)
            old = _NOTHING[what] if before is None else _detail(before)[1]
            change = self._known[key] = DetailChange(event.name, event.version, what, old, new, [])
            self.changes.details.append(change)
        change.new = new
        change.steps.append(step)

    def _go_on(self, step: Step, event: RunStarted | RunFinished | RunPurged | VersionUsed) -> None:
        key = "run", event.run
        change = self._known.get(key)
        if change is None:
            old = None if isinstance(event, RunStarted) else RUNNING
            change = self._known[key] = RunChange(event.run, old, RUNNING, [], [])
            self.changes.runs.append(change)
        match event:
            case RunFinished():
                change.new = event.status
            case RunPurged():
                change.new = PURGED
            case VersionUsed():
                change.uses.append(names.spec(event.name, event.version))
            case _:
                pass
        change.steps.append(step)

    def _protect(self, step: Step, event: AliasProtected) -> None:
        key = "protection", event.alias
        change = self._known.get(key)
        if change is None:
            change = self._known[key] = ProtectionChange(event.alias, not event.is_protected, event.is_protected, [])
            self.changes.protected.append(change)
        change.new = event.is_protected
        change.steps.append(step)

    def _set_rule(self, step: Step, event: RetentionSet) -> None:
        key = "rule", event.selection
        change = self._known.get(key)
        if change is None:
            before = value_before(self._view, step.index, event)
            old = before.rule if isinstance(before, RetentionSet) and before.rule != NO_RULE else None
            change = self._known[key] = RuleChange(event.selection, old, None, [])
            self.changes.rules.append(change)
        change.new = None if event.rule == NO_RULE else event.rule
        change.steps.append(step)


_NOTHING: dict[str, Any] = {"metadata": {}, "tags": [], "description": ""}


def _detail(event: Event) -> tuple[Literal["metadata", "tags", "description"], Any]:
    match event:
        case MetadataChanged():
            return "metadata", json_object(event.metadata)
        case TagsChanged():
            return "tags", list(event.tags)
        case DescriptionChanged():
            return "description", event.description
        case _:
            raise TypeError(f"{event!r} is no detail of a version")
