"""``alias`` and ``unalias``: names such as production that point to a version."""

from typing import Annotated

import typer

from runicorn_es.cli import late, opening, output
from runicorn_es.cli.asked import asked
from runicorn_es.cli.failures import Refused
from runicorn_es.cli.options import Force, Reason, Spec


def alias(
    context: typer.Context,
    spec: Spec,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="A word, such as production.")],
    *,
    reason: Reason = None,
    expected: Annotated[
        int | None,
        typer.Option("--expected", metavar="N", help="Only if it points to version N now; 0: only if it is new."),
    ] = None,
    force: Force = False,
) -> None:
    """Point an alias at a version, moving it if it is there already."""
    with opening.changing(asked(context)) as store:
        # The version that is meant now, also if an alias in SPEC moves in the meantime.
        version = store.get(spec)
        store.alias(version.full_name, alias, reason=reason, expected=expected, force=force)
    if asked(context).as_json:
        output.document("runicorn.alias/1", name=version.name, alias=alias, version=version.version)
    else:
        output.say(f"{version.name}:{alias} is v{version.version}")


def unalias(context: typer.Context, spec: Spec, *, reason: Reason = None, force: Force = False) -> None:
    """Remove an alias, given as NAME:ALIAS."""
    reference = late.names.parse_reference(spec)
    if reference.alias is None:
        raise Refused(f"{spec!r} names no alias", f"write {reference.name}:production, for one")
    with opening.changing(asked(context)) as store:
        store.unalias(spec, reason=reason, force=force)
    if asked(context).as_json:
        output.document("runicorn.unalias/1", name=reference.name, alias=reference.alias)
    else:
        output.say(f"{reference.name}:{reference.alias} is removed")
