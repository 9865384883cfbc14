"""Runs, and what each used and made."""

from datetime import datetime
from typing import Any

import msgspec

from runicorn_es import names, queries
from runicorn_es.artifact.stored import to_datetime
from runicorn_es.errors import Unknown
from runicorn_es.projections.rows import EdgeRow, RunRow
from runicorn_es.viewer.desk import Desk, Limit, Moment, Name


class RunsAsked(msgspec.Struct, frozen=True):
    """before: the run before which those of the page began, which is ``next`` of the page before."""

    project: Name | None = None
    before: Name | None = None
    limit: Limit = 50
    as_of: Moment | None = None


class RunLine(msgspec.Struct, frozen=True):
    """A run in a list. finished_at: None while it is running."""

    run: str
    project: str
    name: str | None
    status: str
    user: str
    host: str
    started_at: datetime
    finished_at: datetime | None
    duration_s: float | None


class Runs(msgspec.Struct, frozen=True):
    """Runs, the newest first."""

    runs: list[RunLine]
    next: str | None


class RunAsked(msgspec.Struct, frozen=True):
    """Which run."""

    run: Name
    as_of: Moment | None = None


class Taken(msgspec.Struct, frozen=True):
    """A version that a run used or made, when, and how that version is now."""

    spec: str
    name: str
    version: int
    type: str
    status: str
    size_bytes: int
    at: datetime


class RunPage(msgspec.Struct, frozen=True):
    """What is known of a run. What it recorded of itself is empty when that was purged."""

    line: RunLine
    is_purged: bool
    config: dict[str, Any]
    tags: list[str]
    command: list[str]
    python: str
    folder: str
    git_commit: str | None
    git_dirty: bool | None
    used: list[Taken]
    made: list[Taken]


def runs(desk: Desk, asked: RunsAsked) -> Runs:
    """Return a page of the runs."""
    with desk.reading(asked.as_of) as view:
        rows = queries.recent_runs(view, project=asked.project, before=asked.before, limit=asked.limit + 1)
    lines = [_line(row) for row in rows[: asked.limit]]
    return Runs(lines, lines[-1].run if len(rows) > asked.limit else None)


def run(desk: Desk, asked: RunAsked) -> RunPage:
    """Return what the page of a run shows."""
    with desk.reading(asked.as_of) as view:
        row = queries.run(view, asked.run)
        used = [_taken(view, edge) for edge in queries.inputs(view, asked.run)]
        made = [_taken(view, edge) for edge in queries.outputs(view, asked.run)]
        try:
            begun = queries.run_started(view, row)
        except Unknown:
            return RunPage(_line(row), True, {}, [], [], "", "", None, None, used, made)
        return RunPage(
            _line(row),
            False,
            queries.json_object(begun.config),
            list(begun.tags),
            list(begun.command),
            begun.python,
            begun.folder,
            begun.git_commit,
            begun.git_dirty,
            used,
            made,
        )


def _taken(view: queries.View, edge: EdgeRow) -> Taken:
    row = queries.version(view, edge.name, edge.version)
    spec = names.spec(row.name, row.version)
    return Taken(spec, row.name, row.version, row.type, row.status, row.size_bytes, to_datetime(edge.time_ns))


def _line(row: RunRow) -> RunLine:
    return RunLine(
        row.run,
        row.project,
        row.name,
        row.status,
        row.user,
        row.host,
        to_datetime(row.started_ns),
        to_datetime(row.finished_ns) if row.finished_ns else None,
        (row.finished_ns - row.started_ns) / 1_000_000_000 if row.finished_ns else None,
    )
