"""Runs, what they used and what they made. Edges are facts: they stay when a version is deleted."""

from msgspec.structs import replace

from runicorn_es.events import BatchAppended, RunFinished, RunPurged, RunStarted, VersionCreated, VersionUsed
from runicorn_es.log import Record
from runicorn_es.projections.chronicle import Chronicle
from runicorn_es.projections.fact import Fact
from runicorn_es.projections.rows import INPUTS, OUTPUTS, RUNNING, RUNS, RUNS_BY_START, USES, EdgeRow, RunAtRow, RunRow

CONCERNED = frozenset({RunFinished, RunPurged, RunStarted, VersionCreated, VersionUsed})


def apply(fact: Fact, out: Chronicle) -> None:
    """Fold what this fact says of runs and edges."""
    record = fact.record
    user, host = "", ""
    if fact.is_blank and ":" not in record.subject:
        # What began a run that was purged: its header still says which, and when.
        _put(out, RunRow(record.subject, "", None, RUNNING, record.time_ns, 0, "", "", record.index))
    for event in fact.events:
        match event:
            case BatchAppended():
                user, host = event.user, event.host
            case RunStarted():
                _put(out, _begin(event, record, user, host))
            case RunPurged():
                RUNS.rewrite(out, _purged, event.run)
            case RunFinished():
                row = RUNS.expect(out, event.run)
                RUNS.put(out, replace(row, status=event.status, finished_ns=record.time_ns), event.run)
            case VersionCreated(run=str(run)):
                edge = EdgeRow(run, event.name, event.version, record.index, record.time_ns)
                OUTPUTS.put(out, edge, run, event.name, event.version)
            case VersionUsed():
                edge = EdgeRow(event.run, event.name, event.version, record.index, record.time_ns)
                INPUTS.put(out, edge, event.run, event.name, event.version)
                USES.put(out, edge, event.name, event.version, event.run)
            case _:
                pass


def _put(out: Chronicle, row: RunRow) -> None:
    RUNS.put(out, row, row.run)
    RUNS_BY_START.put(out, RunAtRow(row.run), row.position)


def _begin(event: RunStarted, record: Record, user: str, host: str) -> RunRow:
    return RunRow(event.run, event.project, event.name, RUNNING, record.time_ns, 0, user, host, record.index)


def _purged(row: RunRow) -> RunRow:
    return replace(row, project="", name=None, user="", host="")
