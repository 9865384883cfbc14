"""``undo``: take back what a record did."""

from typing import Annotated

import typer

from runicorn_es.cli import late, opening, output
from runicorn_es.cli.asked import asked
from runicorn_es.cli.options import Reason


def undo(
    context: typer.Context,
    index: Annotated[
        int, typer.Argument(metavar="INDEX", min=0, help="The index of a record, as history and events show it.")
    ],
    *,
    reason: Reason = None,
    force: Annotated[
        bool, typer.Option("--force", help="Although the alias is protected, or the version is in use.")
    ] = False,
) -> None:
    """Take back what a record did, by appending its opposite. An undo can be undone."""
    with opening.changing(asked(context)) as store:
        after = store.undo(index, reason=reason, force=force)
    said = [late.telling.describe_event(event) for event in after]
    if asked(context).as_json:
        output.document("runicorn.undo/1", undoes=index, sentences=said)
    else:
        output.say(*said)
