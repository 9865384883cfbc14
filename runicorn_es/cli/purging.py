"""``purge``: forget versions for good."""

import sys
from typing import Annotated

import typer

from runicorn_es.cli import completion, late, opening, output
from runicorn_es.cli.asked import Asked, asked
from runicorn_es.cli.failures import Refused
from runicorn_es.cli.options import Reason
from runicorn_es.cli.questions import require_yes

Specs = Annotated[
    list[str] | None,
    typer.Argument(metavar="SPEC...", help="Versions, deleted or not.", autocompletion=completion.specs),
]


def purge(
    context: typer.Context,
    specs: Specs = None,
    *,
    artifact: Annotated[
        str | None,
        typer.Option(
            "--artifact", metavar="NAME", help="All versions of it.", autocompletion=completion.artifact_names
        ),
    ] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="All that a run logged and told.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Although an alias points to it, or live versions were made from it.")
    ] = False,
    reason: Reason = None,
) -> None:
    """Forget versions for good: files, paths, metadata, tags, descriptions. Nothing brings them back."""
    if sum(map(bool, (specs, artifact, run))) != 1:
        raise Refused("say what to purge: versions, or --artifact NAME, or --run RUN, and one of these only")
    with opening.changing(asked(context)) as store:
        rows = _rows(store, specs or [], artifact, run)
        _ask(asked(context), rows, run)
        if run is not None:
            went = store.purge_run(run, reason=reason, force=force)
        else:
            went = store.purge([late.names.spec(row.name, row.version) for row in rows], reason=reason, force=force)
    show(asked(context), went)


def show(asked: Asked, went: "late.purge.Purged") -> None:
    """Say what a purge removed."""
    if asked.as_json:
        output.document("runicorn.purge/1", purged=went.versions, blobs=went.count, freed_bytes=went.size_bytes)
        return
    output.say(*(f"{output.printable(spec)} is purged" for spec in went.versions))
    output.say(f"{output.count(went.count, 'blob')} removed, {output.size(went.size_bytes)} freed")


def _rows(
    store: "late.store.Store", specs: list[str], artifact: str | None, run: str | None
) -> "list[late.rows.VersionRow]":
    """Return the versions that are meant and not purged yet. Raises Unknown."""
    with store.reading() as view:
        if artifact is not None:
            rows = late.queries.versions(view, artifact, deleted=True)
        elif run is not None:
            late.queries.run(view, run)
            rows = [late.queries.version(view, edge.name, edge.version) for edge in late.queries.outputs(view, run)]
        else:
            rows = [late.queries.find(view, late.names.parse_reference(spec)) for spec in dict.fromkeys(specs)]
    return [row for row in rows if row.status != late.rows.PURGED]


def _ask(asked: Asked, rows: "list[late.rows.VersionRow]", run: str | None) -> None:
    what = output.count(len(rows), "version")
    if len(rows) == 1:
        what = output.printable(late.names.spec(rows[0].name, rows[0].version))
    size = output.size(sum(row.size_bytes for row in rows))
    if run is not None:
        require_yes(asked, f"Purge run {output.printable(run)} and {what} ({size}) for good?", sys.stderr)
    elif rows:
        require_yes(asked, f"Purge {what} ({size}) for good?", sys.stderr)
