"""``protect``: aliases that are moved and removed only with force."""

from typing import Annotated

import typer

from runicorn_es.cli import late, opening, output
from runicorn_es.cli.asked import asked
from runicorn_es.cli.failures import Refused
from runicorn_es.cli.options import Reason


def protect(
    context: typer.Context,
    alias: Annotated[
        str | None, typer.Argument(metavar="[ALIAS]", help="A word, such as production; without it, list them.")
    ] = None,
    *,
    off: Annotated[bool, typer.Option("--off", help="End the protection.")] = False,
    reason: Reason = None,
) -> None:
    """Protect an alias, of whatever artifact, from being moved or removed without --force."""
    if alias is None:
        if off:
            raise Refused("--off needs an alias", "`runicorn protect` lists the protected ones")
        _list(context)
        return
    with opening.changing(asked(context)) as store:
        if off:
            store.unprotect(alias, reason=reason)
        else:
            store.protect(alias, reason=reason)
        found = store.protected()
    if asked(context).as_json:
        output.document("runicorn.protect/1", protected=found)
    else:
        output.say(f"{alias} is {'no longer ' if off else ''}protected")


def _list(context: typer.Context) -> None:
    with opening.reading(asked(context)) as store, store.reading() as view:
        found = late.queries.protected(view)
    if asked(context).as_json:
        output.document("runicorn.protect/1", protected=[row.alias for row in found])
        return
    output.say(*(output.printable(row.alias) for row in found))
    if not found:
        output.complain("hint", "no alias is protected; `runicorn protect production` protects one")
