"""``protect``: aliases that are moved and removed only with force."""

from typing import Annotated

import typer

from runicorn_es.cli import opening, output, past
from runicorn_es.cli.asked import asked
from runicorn_es.cli.failures import Refused
from runicorn_es.cli.options import AsOf, Reason


def protect(
    context: typer.Context,
    alias: Annotated[
        str | None, typer.Argument(metavar="[ALIAS]", help="A word, such as production; without it, list them.")
    ] = None,
    *,
    off: Annotated[bool, typer.Option("--off", help="End the protection.")] = False,
    reason: Reason = None,
    as_of: AsOf = None,
) -> None:
    """Protect an alias, of whatever artifact, from being moved or removed without --force."""
    if alias is None:
        if off:
            raise Refused("--off needs an alias", "`runicorn protect` lists the protected ones")
        _list(context, as_of)
        return
    if as_of is not None:
        raise Refused("the past cannot be changed", "`runicorn protect --as-of MOMENT` lists what was protected then")
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


def _list(context: typer.Context, as_of: str | None) -> None:
    with opening.reading(asked(context)) as store:
        moment = past.moment(store, asked(context), as_of)
        found = store.protected(as_of=moment)
    if asked(context).as_json:
        output.document("runicorn.protect/1", **past.member(moment), protected=found)
        return
    output.say(*map(output.printable, found))
    if not found:
        output.complain("hint", "no alias is protected; `runicorn protect production` protects one")
