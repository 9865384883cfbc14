"""``history``: what happened to an artifact, a version, an alias or a run."""

from typing import Annotated, Any

import typer

from runicorn_es.cli import completion, late, opening, output, past
from runicorn_es.cli.asked import asked
from runicorn_es.cli.options import AsOf, Limit


def history(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="An artifact (name), a version (name:v3), an alias (name:production), or the id of a run.",
            autocompletion=completion.specs,
        ),
    ],
    *,
    before: Annotated[
        int | None, typer.Option("--before", metavar="N", min=0, help="Only what was written before record N.")
    ] = None,
    limit: Limit = None,
    as_of: AsOf = None,
) -> None:
    """Show what happened to something, the newest first: when, who, in which run, why.

    Each line begins with the index of the record, by which `runicorn undo` takes it back.
    """
    with opening.reading(asked(context)) as store:
        moment = past.moment(store, asked(context), as_of)
        found = store.history(what, before=before, limit=limit, as_of=moment)
    if asked(context).as_json:
        steps = [as_json(step) for step in found]
        output.document("runicorn.history/1", what=what, steps=steps, **past.member(moment))
        return
    output.say(*(line(step) for step in found))


def line(step: "late.queries.Step") -> str:
    """Return a step in one line."""
    who = f"{step.user}@{step.host}" if step.user else "-"
    said = late.telling.describe_event(step.event)
    during = f", in run {step.run}" if step.run and step.run not in said else ""
    undoes = "" if step.undoes is None else f", which undoes record {step.undoes}"
    return output.printable(f"{step.index:>6}  {output.local_time(step.time_ns)}  {who}  {said}{during}{undoes}")


def as_json(step: "late.queries.Step") -> dict[str, Any]:
    """Return a step as answers in JSON have it."""
    return {
        "index": step.index,
        "time": output.utc_time(step.time_ns),
        "user": step.user,
        "host": step.host,
        "pid": step.pid,
        "run": step.run,
        "undoes": step.undoes,
        "kind": step.kind,
        "reason": step.reason,
        "sentence": late.telling.describe_event(step.event),
        "event": late.telling.members(step.event),
    }
