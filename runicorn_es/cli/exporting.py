"""``export``: the log for whoever verifies it, versions and events for whoever analyses them."""

from pathlib import Path
import sys
from typing import Annotated

import typer

from runicorn_es.cli import late, opening, output
from runicorn_es.cli.asked import asked
from runicorn_es.cli.failures import Refused

_STANDARD_OUTPUT = "-"


def export(
    context: typer.Context,
    *,
    tiles: Annotated[
        Path | None,
        typer.Option("--tiles", metavar="DIR", help="The log as tiles; what is new is added to what is there."),
    ] = None,
    catalogue: Annotated[
        str | None, typer.Option("--catalogue", metavar="FILE", help="A row for each version, with its metadata.")
    ] = None,
    events: Annotated[str | None, typer.Option("--events", metavar="FILE", help="A row for each event.")] = None,
    after: Annotated[
        int, typer.Option("--after", metavar="N", min=-1, help="Only events that were written behind record N.")
    ] = -1,
) -> None:
    """Write the log as a static transparency log (C2SP tlog-tiles), or versions or events as a table for analysis.

    A table is .jsonl, .parquet or .arrow by the name of its file; `-` is JSON Lines on standard output.
    """
    if [tiles, catalogue, events].count(None) != 2:
        raise Refused("say what to export: --tiles DIR, --catalogue FILE or --events FILE; one of them")
    if after >= 0 and events is None:
        raise Refused("--after N is about --events")
    with opening.reading(asked(context)) as store:
        if tiles is not None:
            _show_tiles(context, store.export_tiles(tiles), tiles)
        elif _STANDARD_OUTPUT in {catalogue, events}:
            _print_rows(store, after, is_catalogue=events is None)
        else:
            path = catalogue or events or ""
            done = store.export_catalogue(path) if events is None else store.export_events(path, after=after)
            _show_table(context, done, path, is_catalogue=events is None)


def _show_tiles(context: typer.Context, done: "late.tiles.Exported", path: Path) -> None:
    if asked(context).as_json:
        output.document("runicorn.tiles/1", path=str(path), **late.msgspec.structs.asdict(done))
    else:
        output.say(f"{output.count(done.size, 'record')} in {path}, {output.count(done.written, 'file')} written")


def _show_table(context: typer.Context, done: "late.export.ExportedTable", path: str, *, is_catalogue: bool) -> None:
    if asked(context).as_json:
        output.document("runicorn.export/1", path=path, rows=done.rows, columns=done.columns)
        return
    what = output.count(done.rows, "version" if is_catalogue else "event")
    output.say(output.printable(f"{what} in {path}, {output.count(len(done.columns), 'column')}"))


def _print_rows(store: "late.store.Store", after: int, *, is_catalogue: bool) -> None:
    sys.stdout.flush()
    if is_catalogue:
        late.export.write_catalogue(store.reading, sys.stdout.buffer, "jsonl")
    else:
        late.export.write_events(store.reading, store.events(after), sys.stdout.buffer, "jsonl")
