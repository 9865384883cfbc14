"""``lineage``: what a version was made from and what was made with it, as a tree, a graph, or events for others."""

from collections.abc import Iterable
import sys
from typing import Annotated, Literal

import typer

from runicorn_es.cli import late, opening, output, past
from runicorn_es.cli.asked import asked
from runicorn_es.cli.failures import Refused
from runicorn_es.cli.options import AsOf, Spec

Direction = Literal["upstream", "downstream", "both"]
Form = Literal["tree", "json", "dot", "openlineage"]


def lineage(
    context: typer.Context,
    spec: Spec,
    *,
    direction: Annotated[
        Direction, typer.Option("--direction", help="What it was made from, what was made with it, or both.")
    ] = "both",
    up: Annotated[bool, typer.Option("--up", help="Only what it was made from: --direction upstream.")] = False,
    down: Annotated[bool, typer.Option("--down", help="Only what was made with it: --direction downstream.")] = False,
    depth: Annotated[
        int | None, typer.Option("--depth", metavar="N", min=0, help="How many steps from version to version.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=0, help="At most so many nodes in each direction.")
    ] = None,
    form: Annotated[
        Form, typer.Option("--format", help="A tree to read, JSON, DOT for Graphviz, or OpenLineage events.")
    ] = "tree",
    as_of: AsOf = None,
) -> None:
    """Show what a version was made from and used for, the nearest first."""
    if form == "dot" and asked(context).as_json:
        raise Refused("--format dot is not JSON; leave out --json, or ask for --format json")
    chosen = _direction(direction, up=up, down=down)
    with opening.reading(asked(context)) as store:
        spec, moment = past.meant(store, asked(context), spec, as_of)
        if form == "openlineage":
            _show_events(store.openlineage(spec, chosen, depth, limit=limit, as_of=moment))
            return
        found = store.lineage(spec, chosen, depth, limit=limit, as_of=moment)
    if form == "dot":
        output.say(found.to_dot().rstrip("\n"))
    elif form == "json" or asked(context).as_json:
        output.document(
            "runicorn.lineage/1",
            focus=found.focus,
            **past.member(moment),
            nodes=found.nodes,
            edges=found.edges,
            is_cut=found.is_cut,
        )
    else:
        marks = late.queries.LINES
        if not output.can_say("".join(marks), sys.stdout):
            marks = late.queries.ASCII
        output.say(*map(output.printable, found.lines(marks)))
    if found.is_cut and form != "json" and not asked(context).as_json:
        output.complain("hint", "there is more; a greater --limit shows it")


def _direction(direction: Direction, *, up: bool, down: bool) -> Direction:
    wanted: set[Direction] = {"upstream"} if up else set()
    wanted |= {"downstream"} if down else set()
    if direction != "both" and wanted - {direction}:
        raise Refused(f"--direction {direction} and {'--up' if up else '--down'} say different things; give one")
    return wanted.pop() if len(wanted) == 1 else direction


def _show_events(events: Iterable[dict[str, object]]) -> None:
    for event in events:
        output.say(late.msgspec.json.encode(event).decode())
