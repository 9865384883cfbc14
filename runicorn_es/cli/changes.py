"""``changes``: what changed in the whole store between two moments."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from runicorn_es.cli import late, opening, output, steps
from runicorn_es.cli.asked import asked
from runicorn_es.cli.options import Until


def changes(
    context: typer.Context,
    *,
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="MOMENT",
            help="2026-01-31, 2026-01-31T18:30, '3 days ago', '#812', or the file of a checkpoint.",
        ),
    ],
    until: Until = None,
) -> None:
    """Show what changed between two moments: what each thing was before, and what it is after."""
    with opening.reading(asked(context)) as store:
        found = store.changes(since, until)
    if asked(context).as_json:
        _show_as_json(found)
    else:
        output.say(*map(output.printable, _lines(found)))


def _lines(found: "late.queries.Changes") -> Iterator[str]:
    yield f"records {found.since:,} to {found.until:,}"
    for version in found.versions:
        yield f"  {version.spec}: {_from_to(version.old or 'new', version.new)}{_who(version.steps)}"
    for alias in found.aliases:
        moved = _from_to(_version(alias.old), _version(alias.new))
        yield f"  {alias.name}:{alias.alias}: {moved}{_who(alias.steps)}"
    for detail in found.details:
        shown = (late.msgspec.json.encode(value).decode() for value in (detail.old, detail.new))
        yield f"  {detail.what} of {detail.spec}: {_from_to(*shown)}{_who(detail.steps)}"
    for run in found.runs:
        used = f", used {', '.join(run.uses)}" if run.uses else ""
        yield f"  run {run.run}: {_from_to(run.old or 'new', run.new)}{used}{_who(run.steps)}"
    for protection in found.protected:
        words = ["protected" if is_so else "not protected" for is_so in (protection.old, protection.new)]
        yield f"  {protection.alias}: {_from_to(*words)}{_who(protection.steps)}"
    for rule in found.rules:
        yield f"  retention of {rule.selection}: {_from_to(rule.old or 'none', rule.new or 'none')}{_who(rule.steps)}"
    for step in found.others:
        yield f"  {late.telling.describe_event(step.event)}{_who([step])}"


def _from_to(old: str, new: str) -> str:
    return f"{old}, as before" if old == new else f"{old} → {new}"


def _version(number: int | None) -> str:
    return "none" if number is None else f"v{number}"


def _who(found: "list[late.queries.Step]") -> str:
    """Return who changed something, how often and why, and in which records."""
    users = ", ".join(dict.fromkeys(f"{step.user}@{step.host}" for step in found if step.user)) or "-"
    reasons = "; ".join(dict.fromkeys(step.reason for step in found if step.reason))
    indices = dict.fromkeys(str(step.index) for step in found)
    where = f"record{'s' if len(indices) > 1 else ''} {', '.join(indices)}"
    return f"  ({users}, {where}{f': {reasons}' if reasons else ''})"


def _show_as_json(found: "late.queries.Changes") -> None:
    def members(change: Any) -> dict[str, Any]:
        plain = {name: value for name, value in late.msgspec.structs.asdict(change).items() if name != "steps"}
        return {**plain, "steps": [steps.as_json(step) for step in change.steps]}

    output.document(
        "runicorn.changes/1",
        since=found.since,
        until=found.until,
        artifacts=found.artifacts,
        versions=[members(change) for change in found.versions],
        aliases=[members(change) for change in found.aliases],
        details=[members(change) for change in found.details],
        runs=[members(change) for change in found.runs],
        protected=[members(change) for change in found.protected],
        rules=[members(change) for change in found.rules],
        others=[steps.as_json(step) for step in found.others],
    )
