"""``list``: what artifacts there are."""

from typing import Annotated

import typer

from runicorn_es.cli import late, opening, output, past
from runicorn_es.cli.asked import asked
from runicorn_es.cli.options import AsOf, Limit, Type


def list_artifacts(
    context: typer.Context,
    *,
    type: Type = None,
    after: Annotated[str | None, typer.Option("--after", metavar="NAME", help="Only those beyond this name.")] = None,
    limit: Limit = None,
    as_of: AsOf = None,
) -> None:
    """List the artifacts that have a version, by name.

    SIZE is that of all live versions together.
    """
    with opening.reading(asked(context)) as store:
        moment = past.moment(store, asked(context), as_of)
        if asked(context).as_json:
            show_artifacts_as_json(store, type, after=after, limit=limit, moment=moment)
            return
        found = store.artifacts(type, after=after, limit=limit, as_of=moment)
    if not found:
        of_type = "" if type is None else f" of type {type!r}"
        beyond = "" if after is None else f" beyond {after!r}"
        output.complain("hint", f"there is no artifact{of_type}{beyond}; `runicorn add NAME PATH` makes one")
        return
    rows = [
        (
            row.name,
            row.type,
            str(row.live),
            f"v{row.latest}",
            output.size(row.size_bytes),
            output.local_time(row.updated_ns),
        )
        for row in found
    ]
    head = ("NAME", "TYPE", "VERSIONS", "LATEST", "SIZE", "UPDATED")
    output.say(*output.table(head, rows, numbers=("VERSIONS", "SIZE")))


def latest_sizes(
    store: "late.store.Store", found: "list[late.rows.ArtifactRow]", moment: "late.moments.Moment | None"
) -> list[int]:
    """Return the size of the latest version of each artifact, at a moment."""
    with store.reading(moment) as view:
        return [late.queries.version(view, row.name, row.latest).size_bytes for row in found]


def show_artifacts_as_json(
    store: "late.store.Store",
    type: str | None,
    *,
    after: str | None = None,
    limit: int | None = None,
    moment: "late.moments.Moment | None" = None,
) -> None:
    """Answer as ``list --json`` does."""
    found = store.artifacts(type, after=after, limit=limit, as_of=moment)
    artifacts = [
        {
            "name": row.name,
            "type": row.type,
            "versions": row.live,
            "latest": row.latest,
            "latest_size_bytes": latest_size_bytes,
            "size_bytes": row.size_bytes,
            "created": output.utc_time(row.created_ns),
            "updated": output.utc_time(row.updated_ns),
        }
        for row, latest_size_bytes in zip(found, latest_sizes(store, found, moment), strict=True)
    ]
    output.document("runicorn.list/1", **past.member(moment), artifacts=artifacts)
