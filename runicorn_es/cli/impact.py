"""``impact``: what depends on a version."""

from typing import Annotated

import typer

from runicorn_es.cli import late, opening, output, past
from runicorn_es.cli.asked import asked
from runicorn_es.cli.options import AsOf, Spec


def impact(
    context: typer.Context,
    spec: Spec,
    *,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="List at most so many.")] = 100,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="ID", help="List those behind this version or run: the next page."),
    ] = None,
    as_of: AsOf = None,
) -> None:
    """Show what depends on a version: all that was made with it, through which runs, and which aliases that reaches.

    Aliases and counts are those of everything, however much is listed.
    """
    with opening.reading(asked(context)) as store:
        spec, moment = past.meant(store, asked(context), spec, as_of)
        found = store.impact(spec, after=after, limit=limit, as_of=moment)
    if asked(context).as_json:
        output.document("runicorn.impact/1", **past.member(moment), **late.msgspec.structs.asdict(found))
        return
    output.say(*(output.printable(line) for line in _summary(found)))
    if found.nodes:
        rows = [(f"{node.distance:,}", str(node), node.type) for node in found.nodes]
        output.say("", *output.table(("STEPS", "WHAT", "TYPE"), rows, numbers=("STEPS",)))
    if found.is_cut:
        option = f"--after {found.nodes[-1].id}" if found.nodes else "a greater --limit"
        output.complain("hint", f"there is more; {option} shows it")


def _summary(found: "late.queries.Impact") -> list[str]:
    if not found.runs:
        lines = [f"no run used {found.focus}"]
    else:
        versions, runs = output.count(found.versions, "version"), output.count(found.runs, "run")
        gone = f" ({found.gone:,} deleted or purged)" if found.gone else ""
        failed = f" ({found.failed_runs:,} failed)" if found.failed_runs else ""
        lines = [f"{versions}{gone} made with {found.focus}, through {runs}{failed}"]
    return lines + [f"reaches {alias}" for alias in found.aliases]
