"""What a store holds in formats of others: versions and events as tables, a lineage as OpenLineage events.

A table that takes long to read is read in many short views of one moment: one long view would keep the tables from
reusing space, and would meet records that a purge blanked meanwhile as damage.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from itertools import islice
import os
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Literal

import msgspec

from runicorn_es import durable, names, queries
from runicorn_es.errors import Rejected
from runicorn_es.events import BatchAppended, Event
from runicorn_es.interop import openlineage
from runicorn_es.interop.columns import Kind, Row, Spool, to_time, write_json_lines
from runicorn_es.log import Record
from runicorn_es.log.record import FIRST
from runicorn_es.names import Digest
from runicorn_es.projections.rows import ARTIFACTS, PURGED, RUNNING, RUNS, VERSIONS, EdgeRow, RunRow, VersionRow
from runicorn_es.queries import Lineage, View

Reading = Callable[[], AbstractContextManager[View]]
Form = Literal["jsonl", "parquet", "arrow"]

_AT_ONCE = 256
_TOOL = "RUNICORN_ES"
_JSON_FIELDS = frozenset({"metadata", "config", "attributes", "rule"})
_CATALOGUE: dict[str, Kind] = {
    "name": "text",
    "version": "integer",
    "type": "text",
    "status": "text",
    "created_at": "time",
    "deleted_at": "time",
    "run": "text",
    "project": "text",
    "digest": "text",
    "size_bytes": "integer",
    "num_files": "integer",
    "num_references": "integer",
    "aliases": "texts",
    "tags": "texts",
    "description": "text",
}
_EVENTS: dict[str, Kind] = {
    "index": "integer",
    "time": "time",
    "kind": "text",
    "subject": "text",
    "name": "text",
    "version": "integer",
    "user": "text",
    "host": "text",
    "pid": "integer",
    "run": "text",
    "key": "text",
    "event": "json",
}


class ExportedTable(msgspec.Struct, frozen=True):
    """What was written: how many rows, and the columns with their types.

    Types: boolean, integer, number, text, time, texts (a list of them), json.
    """

    rows: int
    columns: dict[str, Kind]


def save_catalogue(reading: Reading, target: str | os.PathLike[str]) -> ExportedTable:
    """Write a table of all versions to a file, whose suffix says how; durable when this returns."""
    path, form = _place(target)
    with durable.replacing(path) as file:
        return write_catalogue(reading, file, form, path.parent)


def save_events(
    reading: Reading, events: Iterable[tuple[Record, tuple[Event, ...]]], target: str | os.PathLike[str]
) -> ExportedTable:
    """Write a table of events to a file, whose suffix says how; durable when this returns."""
    path, form = _place(target)
    with durable.replacing(path) as file:
        return write_events(reading, events, file, form)


def write_catalogue(reading: Reading, file: BinaryIO, form: Form, scratch: Path | None = None) -> ExportedTable:
    """Write a row for each version, by name and number, deleted and purged ones too; metadata in columns of its own.

    scratch: a folder with room for as much as is written; None for the system's.
    """
    with Spool(scratch, _CATALOGUE, "metadata.") as spool:
        for values, metadata in _versions(reading):
            spool.add(values, metadata)
        columns = spool.columns()
        return ExportedTable(_write(form, file, columns, spool.rows()), columns)


def write_events(
    reading: Reading, events: Iterable[tuple[Record, tuple[Event, ...]]], file: BinaryIO, form: Form
) -> ExportedTable:
    """Write a row for each event, in order; who appended it is in the row."""
    return ExportedTable(_write(form, file, _EVENTS, _event_rows(reading, events)), _EVENTS)


def as_plain(event: Event) -> Row:
    """Return the fields of an event as JSON has them: digests spelled, texts that are JSON read."""
    return {name: _member(name, value) for name, value in msgspec.structs.asdict(event).items()}


def run_events(view: View, lineage: Lineage, store_id: str) -> Iterator[Row]:
    """Yield the runs of a lineage as OpenLineage RunEvents, oldest first: of each when it began, and when it ended.

    A run is told with all it used and made, also where the lineage was cut. Artifacts are datasets, named in a
    namespace of this store; a job is a project, or a name in it that runs were given.
    """
    # The package itself names, for type checkers, the rooms above this one; that is no arrow upwards.
    release = import_module("runicorn_es").__version__
    writer = openlineage.Writer(f"urn:runicorn-es:{release}", f"runicorn://{store_id}", _TOOL)
    rows = [queries.run(view, node.id) for node in lineage.nodes if node.kind == "run"]
    for row in sorted(rows, key=lambda row: row.position):
        run, job = writer.run(row.run, _tags_of(row), _python_of(view, row)), writer.job(_job_of(row))
        inputs = [_dataset(writer, _version(view, edge)) for edge in queries.inputs(view, row.run)]
        yield writer.event("START", to_time(row.started_ns), run=run, job=job, inputs=inputs, outputs=[])
        if row.status != RUNNING:
            made = [_version(view, edge) for edge in queries.outputs(view, row.run)]
            outputs = [{**_dataset(writer, one), **writer.statistics(one.size_bytes, one.file_count)} for one in made]
            kind: openlineage.EventType = "COMPLETE" if row.status == "finished" else "FAIL"
            yield writer.event(kind, to_time(row.finished_ns), run=run, job=job, inputs=inputs, outputs=outputs)


def _place(target: str | os.PathLike[str]) -> tuple[Path, Form]:
    """Return where to write and how. Raises Rejected where that cannot be."""
    # A link to a file stays one.
    path = Path(os.path.realpath(Path(target).expanduser()))
    form: Form
    match path.suffix:
        case ".jsonl":
            form = "jsonl"
        case ".parquet":
            form = "parquet"
        case ".arrow":
            form = "arrow"
        case _:
            raise Rejected(f"{path.name!r} does not say in which format; end it in .jsonl, .parquet or .arrow")
    if form != "jsonl":
        _arrow()
    if path.exists() and not path.is_file():
        raise Rejected(f"{path} is no file, and would be replaced by one; choose another name")
    if not path.parent.is_dir():
        raise Rejected(f"there is no folder {path.parent} to write {path.name} to; make it first")
    return path, form


def _write(form: Form, file: BinaryIO, columns: Mapping[str, Kind], rows: Iterable[Row]) -> int:
    if form == "jsonl":
        return write_json_lines(file, columns, rows)
    count: int = _arrow().write(form, file, columns, rows)
    return count


def _arrow() -> ModuleType:
    try:
        # A quarter of a second to import, and only needed here.
        from runicorn_es.interop import arrow  # noqa: PLC0415
    except ImportError as error:
        raise Rejected(
            "Parquet and Arrow files are written by pyarrow, which is not installed; "
            "pip install 'runicorn-es[analysis]', or write .jsonl"
        ) from error
    return arrow


def _versions(reading: Reading) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    for name in _artifacts(reading):
        after: int | None = None
        while True:
            with reading() as view:
                aliases = queries.aliases_by_version(view, name)
                some = list(islice(VERSIONS.scan(view.rows, name, after=after), _AT_ONCE))
                told = [_version_row(view, row, aliases.get(row.version, [])) for row in some]
            yield from told
            if len(some) < _AT_ONCE:
                break
            after = some[-1].version


def _artifacts(reading: Reading) -> Iterator[str]:
    after: str | None = None
    while True:
        with reading() as view:
            some = [row.name for row in islice(ARTIFACTS.scan(view.rows, after=after), _AT_ONCE)]
        yield from some
        if len(some) < _AT_ONCE:
            return
        after = some[-1]


def _version_row(view: View, row: VersionRow, aliases: list[str]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    run = None if row.run is None else RUNS.get(view.rows, row.run)
    details = queries.details_of(view, row)
    values = (
        row.name,
        row.version,
        row.type,
        row.status,
        row.created_ns,
        row.deleted_ns or None,
        row.run,
        None if run is None else run.project or None,
        str(Digest(row.digest)),
        row.size_bytes,
        row.file_count,
        row.reference_count,
        aliases,
        details.tags,
        details.description,
    )
    return values, details.metadata


def _event_rows(reading: Reading, events: Iterable[tuple[Record, tuple[Event, ...]]]) -> Iterator[Row]:
    batch: BatchAppended | None = None
    is_known = False
    for record, said in events:
        if record.flags & FIRST or not is_known:
            with reading() as view:
                batch, is_known = queries.batch_of(view, record.index), True
        by = batch or BatchAppended("", "", 0)
        for event in said:
            if isinstance(event, BatchAppended):
                continue
            yield {
                "index": record.index,
                "time": record.time_ns,
                "kind": event.__struct_config__.tag,
                "subject": record.subject,
                "name": getattr(event, "name", None) if hasattr(event, "version") else None,
                "version": getattr(event, "version", None),
                "user": by.user,
                "host": by.host,
                "pid": by.pid,
                "run": by.run,
                "key": by.key,
                "event": as_plain(event),
            }


def _member(name: str, value: object) -> object:
    if isinstance(value, bytes):
        return str(Digest(value)) if len(value) == names.DIGEST_BYTES else value.hex()
    if name in _JSON_FIELDS and isinstance(value, str):
        return queries.json_object(value)
    return value


def _version(view: View, edge: EdgeRow) -> VersionRow:
    return queries.version(view, edge.name, edge.version)


def _dataset(writer: openlineage.Writer, row: VersionRow) -> Row:
    spec, digest = names.spec(row.name, row.version), str(Digest(row.digest))
    tags = {"spec": spec, "status": row.status, "digest": digest}
    return writer.dataset(row.name, f"v{row.version}", row.type.upper(), tags)


def _tags_of(row: RunRow) -> dict[str, str]:
    tags = {"run": row.run, "status": row.status, "user": row.user, "host": row.host}
    return {key: value for key, value in tags.items() if value}


def _job_of(row: RunRow) -> str:
    return f"{row.project}/{row.name}" if row.name else row.project or PURGED


def _python_of(view: View, row: RunRow) -> str | None:
    # A purged run has no project any more, and said its Python in a record that was blanked.
    return queries.run_started(view, row).python if row.project else None
