"""``runs``: which programs made and used versions."""

from typing import Annotated

import typer

from runicorn_es.cli import opening, output, past
from runicorn_es.cli.asked import asked
from runicorn_es.cli.options import AsOf, Limit


def runs(
    context: typer.Context,
    *,
    project: Annotated[
        str | None, typer.Option("--project", metavar="PROJECT", help="Only those of one project.")
    ] = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="RUN", help="Only those that began after this one.")
    ] = None,
    limit: Limit = None,
    as_of: AsOf = None,
) -> None:
    """List the runs, oldest first."""
    with opening.reading(asked(context)) as store:
        moment = past.moment(store, asked(context), as_of)
        found = store.runs(project, after=after, limit=limit, as_of=moment)
    if asked(context).as_json:
        listed = [
            {
                "run": row.run,
                "project": row.project,
                "name": row.name,
                "status": row.status,
                "started": output.utc_time(row.started_ns),
                "finished": output.utc_time(row.finished_ns),
                "user": row.user,
                "host": row.host,
            }
            for row in found
        ]
        output.document("runicorn.runs/1", **past.member(moment), runs=listed)
        return
    if not found:
        output.complain("hint", "there is no such run yet; a program begins one with runicorn_es.init()")
        return
    rows = [
        (
            row.run,
            row.project,
            row.name or "-",
            row.status,
            output.local_time(row.started_ns),
            _duration(row.started_ns, row.finished_ns),
            f"{row.user}@{row.host}",
        )
        for row in found
    ]
    output.say(*output.table(("RUN", "PROJECT", "NAME", "STATUS", "STARTED", "TOOK", "BY"), rows, numbers=("TOOK",)))


def _duration(started_ns: int, finished_ns: int) -> str:
    """Return how long a run took, as ``1:02:03``; a dash while it is running."""
    if not finished_ns:
        return "-"
    minutes, seconds = divmod((finished_ns - started_ns) // 1_000_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
