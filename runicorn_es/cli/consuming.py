"""``consumers``: who follows the store, and how far each is."""

from typing import Annotated, Literal

import typer

from runicorn_es.cli import opening, output
from runicorn_es.cli.asked import asked
from runicorn_es.cli.failures import Refused
from runicorn_es.cli.watching import From, parse_from


def consumers(
    context: typer.Context,
    action: Annotated[Literal["list", "reset", "remove"], typer.Argument(help="What to do.")] = "list",
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The name of a consumer.")] = None,
    *,
    begin: From = None,
) -> None:
    """List the consumers, with the last record each has acknowledged; have one go on elsewhere, or forget it.

    `runicorn watch --consumer NAME` and `Store.consumer` make them.
    """
    if action != "list" and name is None:
        raise Refused(f"`consumers {action}` needs the name of a consumer", "`runicorn consumers` lists them")
    if (begin is None) == (action == "reset"):
        raise Refused(
            "`consumers reset` needs --from, and nothing else takes it",
            "`runicorn consumers reset NAME --from start` has it begin anew, `--from now` skip what is there",
        )
    if action == "list":
        with opening.reading(asked(context)) as store:
            found = store.consumers()
    else:
        with opening.changing(asked(context)) as store:
            if action == "reset":
                store.reset_consumer(name or "", after=parse_from(begin))
            else:
                store.remove_consumer(name or "")
            found = store.consumers()
    shown = found if name is None else [row for row in found if row.name == name]
    if asked(context).as_json:
        output.document("runicorn.consumers/1", consumers=found)
    elif shown:
        lines = [(row.name, str(row.index), str(row.behind), row.holder or "") for row in shown]
        output.say(*output.table(("NAME", "RECORD", "BEHIND", "AT WORK"), lines, numbers=("RECORD", "BEHIND")))
    elif action == "remove":
        output.say(f"there is no consumer {output.printable(name or '')} any more")
    elif name is not None:
        known = ", ".join(row.name for row in found)
        raise Refused(f"there is no consumer {name!r}" + (f"; there are {known}" if known else ""))
    else:
        output.complain("hint", "there is no consumer; `runicorn watch --consumer NAME …` makes one")
