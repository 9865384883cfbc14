"""``export``: the log for whoever verifies it, versions and events for whoever analyses them."""

from pathlib import Path
import sys
from typing import Annotated, BinaryIO

import typer

from runicorn_es.cli import late, opening, output, past
from runicorn_es.cli.asked import asked
from runicorn_es.cli.failures import Refused
from runicorn_es.cli.options import AsOf

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
    as_of: AsOf = None,
) -> None:
    """Write the log as a static transparency log (C2SP tlog-tiles), or versions or events as a table for analysis.

    A table is .jsonl, .parquet or .arrow by the name of its file; `-` is JSON Lines on standard output.
    """
    if [tiles, catalogue, events].count(None) != 2:
        raise Refused("say what to export: --tiles DIR, --catalogue FILE or --events FILE; one of them")
    if after >= 0 and events is None:
        raise Refused("--after N is about --events")
    if as_of is not None and catalogue is None:
        raise Refused("--as-of is about --catalogue")
    with opening.reading(asked(context)) as store:
        if tiles is not None:
            _show_tiles(context, store.export_tiles(tiles), tiles)
        elif events is None:
            moment = past.moment(store, asked(context), as_of)
            if catalogue == _STANDARD_OUTPUT:
                late.export.write_catalogue(store.readings(moment), _output(), "jsonl")
            else:
                path = catalogue or ""
                _show_table(context, store.export_catalogue(path, as_of=moment), path, "version", moment)
        elif events == _STANDARD_OUTPUT:
            late.export.write_events(store.reading, store.events(after), _output(), "jsonl")
        else:
            _show_table(context, store.export_events(events, after=after), events, "event")


def _show_tiles(context: typer.Context, done: "late.tiles.Exported", path: Path) -> None:
    if asked(context).as_json:
        output.document("runicorn.tiles/1", path=str(path), **late.msgspec.structs.asdict(done))
    else:
        output.say(f"{output.count(done.size, 'record')} in {path}, {output.count(done.written, 'file')} written")


def _show_table(
    context: typer.Context,
    done: "late.export.ExportedTable",
    path: str,
    noun: str,
    moment: "late.moments.Moment | None" = None,
) -> None:
    if asked(context).as_json:
        output.document("runicorn.export/1", path=path, **past.member(moment), rows=done.rows, columns=done.columns)
    else:
        what = output.count(done.rows, noun)
        output.say(output.printable(f"{what} in {path}, {output.count(len(done.columns), 'column')}"))


def _output() -> BinaryIO:
    sys.stdout.flush()
    return sys.stdout.buffer
