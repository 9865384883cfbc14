"""``events``: the log, readably."""

import sys
from typing import Annotated

import typer

from runicorn_es.cli import late, opening, output
from runicorn_es.cli.asked import asked
from runicorn_es.cli.failures import Refused
from runicorn_es.cli.options import Since, Until


def events(
    context: typer.Context,
    *,
    after: Annotated[
        int, typer.Option("--after", metavar="N", min=-1, help="Only what was written behind record N.")
    ] = -1,
    artifact: Annotated[
        str | None,
        typer.Option("--artifact", metavar="WHAT", help="Only about an artifact, name:v3, or name:alias."),
    ] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Only of this run.")] = None,
    actor: Annotated[
        str | None, typer.Option("--actor", metavar="USER", help="Only by this user, such as ada or ada@lab.")
    ] = None,
    since: Since = None,
    until: Until = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more, until Ctrl-C.")] = False,
) -> None:
    """Print the log, oldest first.

    Each line has the index of the record, when, by whom, and what happened.
    """
    chosen = {"artifact": artifact, "run": run, "actor": actor, "since": since, "until": until}
    if follow and any(given is not None for given in chosen.values()):
        raise Refused("--follow tells all that happens", "`runicorn watch --on` waits for what is chosen")
    with opening.reading(asked(context)) as store:
        found = late.telling.followed(store, after) if follow else late.telling.told(store, after, **chosen)
        for one in found:
            _show(one, as_json=asked(context).as_json)
            if follow:
                sys.stdout.flush()


def _show(one: "late.telling.Told", *, as_json: bool) -> None:
    if as_json:
        for members in late.telling.as_json(one):
            output.line_of_stream("runicorn.event/1", **members)
        return
    when = output.local_time(one.record.time_ns)
    who = output.printable(f"{one.batch.user}@{one.batch.host}")
    output.say(*(f"{one.record.index:>6}  {when}  {who}  {said}" for said in late.telling.sentences(one)))
