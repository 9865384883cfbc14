"""``events``: the log, readably."""

import sys
from typing import Annotated

import typer

from runicorn_es.cli import late, opening, output
from runicorn_es.cli.asked import asked


def events(
    context: typer.Context,
    *,
    after: Annotated[
        int, typer.Option("--after", metavar="N", min=-1, help="Only what was written behind record N.")
    ] = -1,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more, until Ctrl-C.")] = False,
) -> None:
    """Print the log, oldest first.

    Each line has the index of the record, when, by whom, and what happened.
    """
    with opening.reading(asked(context)) as store:
        found = late.telling.followed(store, after) if follow else late.telling.told(store, after)
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
