"""``search``: versions by what is known of them."""

from typing import Annotated

import typer

from runicorn_es.cli import late, opening, output, past
from runicorn_es.cli.asked import asked
from runicorn_es.cli.options import AsOf, Limit


def search(
    context: typer.Context,
    query: Annotated[
        list[str] | None,
        typer.Argument(metavar="[QUERY...]", help="Such as 'type:model tag:production val_acc>=0.9'; quote it."),
    ] = None,
    *,
    sort: Annotated[
        str | None,
        typer.Option("--sort", metavar="KEY", help="A field or a key of metadata; -KEY: the largest first."),
    ] = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="NEXT", help="Go on behind a page, as it said.")
    ] = None,
    limit: Limit = None,
    newest_of_each: Annotated[
        bool, typer.Option("--newest-of-each", help="Of each artifact only the newest version that is meant.")
    ] = False,
    as_of: AsOf = None,
) -> None:
    """Find versions by name, type, tags, aliases, runs, times, sizes, metadata and words.

    The newest comes first. Without QUERY, all live versions.
    """
    with opening.reading(asked(context)) as store:
        moment = past.moment(store, asked(context), as_of)
        found = store.search(
            " ".join(query or ()), sort=sort, after=after, limit=limit, newest_of_each=newest_of_each, as_of=moment
        )
    if asked(context).as_json:
        output.document(
            "runicorn.search/1",
            total=found.total,
            next=found.next,
            hints=found.hints,
            versions=[_as_json(row) for row in found.rows],
            **past.member(moment),
        )
        return
    if found.rows:
        head = ("VERSION", "TYPE", "STATUS", "CREATED", "SIZE", "FILES", "RUN")
        output.say(*output.table(head, map(_cells, found.rows), numbers=("SIZE", "FILES")))
    for hint in found.hints:
        output.complain("hint", output.printable(hint))
    if found.next is not None:
        output.complain("hint", f"{len(found.rows):,} of {found.total:,}; the next page: --after {found.next}")
    elif not found.rows:
        output.complain("hint", "no version is so" if after is None else "there is no more")


def _cells(row: "late.rows.VersionRow") -> tuple[str, ...]:
    return (
        late.names.spec(row.name, row.version),
        row.type,
        row.status,
        output.local_time(row.created_ns),
        output.size(row.size_bytes),
        f"{row.file_count:,}",
        row.run or "-",
    )


def _as_json(row: "late.rows.VersionRow") -> dict[str, object]:
    return {
        "spec": late.names.spec(row.name, row.version),
        "name": row.name,
        "version": row.version,
        "type": row.type,
        "status": row.status,
        "created": output.utc_time(row.created_ns),
        "size_bytes": row.size_bytes,
        "files": row.file_count,
        "run": row.run,
        "digest": str(late.names.Digest(row.digest)),
    }
