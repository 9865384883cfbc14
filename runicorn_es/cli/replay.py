"""``replay``: a store as it was, in a folder of its own."""

from pathlib import Path
from typing import Annotated

import typer

from runicorn_es.cli import opening, output, past
from runicorn_es.cli.asked import asked
from runicorn_es.cli.options import MOMENT


def replay(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder; it must not be there, or be empty.")],
    *,
    to: Annotated[str, typer.Option("--to", metavar="MOMENT", help=f"Which: {MOMENT}")],
) -> None:
    """Build a store as this one was at a moment."""
    with opening.reading(asked(context)) as store:
        moment = store.replay_to(to, folder)
    if asked(context).as_json:
        output.document("runicorn.replay/1", **past.member(moment), path=str(folder))
    else:
        past.say(asked(context), moment)
        output.say(output.printable(str(folder)))
