"""One version, and how the versions of an artifact follow each other."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from runicorn_es import names, queries
from runicorn_es.artifact.stored import Metadata, describe, to_datetime
from runicorn_es.events import AliasRemoved, AliasSet
from runicorn_es.projections.rows import READY, VersionRow
from runicorn_es.queries import View
from runicorn_es.viewer.answers.catalog import VersionLine, version_line
from runicorn_es.viewer.desk import Desk, Limit, Moment, Name, Number, Words
from runicorn_es.viewer.plots import Plot, plot

_USES_SHOWN = 50
_PLOTTED_MAX = 500
_COLUMNS_MAX = 8
_STEPS_SEEN = 500
_MOVES_SHOWN = 50


class VersionAsked(msgspec.Struct, frozen=True):
    """Which version; 0: the latest, or the newest where all are deleted."""

    name: Name
    version: int = 0
    as_of: Moment | None = None


class VersionPage(msgspec.Struct, frozen=True):
    """What is known of a version, and where it stands among its neighbours.

    used_by: the runs that used it, the newest first, not all where there are many. kept_for: why it should not be
    deleted. newest: the highest number given so far; latest: the newest live one, 0 if none.
    """

    spec: str
    about: Metadata
    used_by: list[str]
    uses: int
    kept_for: list[str]
    latest: int
    newest: int
    position: int


class VersionsAsked(msgspec.Struct, frozen=True):
    """before: the number below which the page begins. columns: metadata to compare, by commas. plot: what to draw."""

    name: Name
    before: Number | None = None
    limit: Limit = 50
    columns: Words = ""
    plot: Words | None = None
    as_of: Moment | None = None


class VersionInHistory(msgspec.Struct, frozen=True):
    """A version in the history of its artifact, with the chosen metadata as text."""

    line: VersionLine
    values: list[str | None]


class AliasMove(msgspec.Struct, frozen=True):
    """An alias came to point to a version, or (``version`` is None) to none, by the record at ``index``."""

    alias: str
    version: int | None
    previous: int | None
    index: int
    at: datetime
    user: str
    reason: str | None


class VersionHistory(msgspec.Struct, frozen=True):
    """Versions, the newest first. keys: which numbers their metadata have."""

    name: str
    type: str
    latest: int
    newest: int
    versions: list[VersionInHistory]
    columns: list[str]
    keys: list[str]
    plot: Plot | None
    next: int | None
    moves: list[AliasMove] = []


def version(desk: Desk, asked: VersionAsked) -> VersionPage:
    """Return what the page of a version shows."""
    with desk.reading(asked.as_of) as view:
        row = version_row(view, asked.name, asked.version)
        artifact = queries.artifact(view, row.name)
        uses = sorted(queries.used_by(view, row.name, row.version), key=lambda use: use.position, reverse=True)
        return VersionPage(
            names.spec(row.name, row.version),
            describe(view, row),
            [use.run for use in uses[:_USES_SHOWN]],
            len(uses),
            queries.reasons_to_keep(view, row) if row.status == READY else [],
            artifact.latest,
            artifact.allotted,
            row.position,
        )


def version_row(view: View, name: str, number: int) -> VersionRow:
    """Return the row of a version; of the latest for 0. Raises Unknown."""
    if number == 0:
        artifact = queries.artifact(view, name)
        number = artifact.latest or artifact.allotted
    return queries.version(view, name, number)


def versions(desk: Desk, asked: VersionsAsked) -> VersionHistory:
    """Return the versions of an artifact and what of their metadata is to be compared."""
    with desk.reading(asked.as_of) as view:
        artifact = queries.artifact(view, asked.name)
        rows = queries.recent_versions(view, asked.name, before=asked.before, limit=asked.limit + 1)
        aliases = queries.aliases_by_version(view, asked.name)
        shown = rows[: asked.limit]
        known = {row.version: queries.metadata(view, row) for row in shown}
        numbers = {key: None for values in known.values() for key, _ in queries.numbers_in(values)}
        columns = [column for column in asked.columns.split(",") if column][:_COLUMNS_MAX]
        lines = [
            VersionInHistory(
                version_line(view, row, aliases.get(row.version, [])),
                [_value_at(known[row.version], column) for column in columns],
            )
            for row in shown
        ]
        return VersionHistory(
            artifact.name,
            artifact.type,
            artifact.latest,
            artifact.allotted,
            lines,
            columns,
            sorted(numbers),
            _drawn(view, asked),
            shown[-1].version if len(rows) > asked.limit else None,
            list(_moves(view, asked.name)),
        )


def _moves(view: View, name: str) -> Iterator[AliasMove]:
    """Yield where the aliases of an artifact were, the newest first, so many at most."""
    left = _MOVES_SHOWN
    for step in queries.steps(view, name, limit=_STEPS_SEEN):
        match step.event:
            case AliasSet(alias=alias, version=number, previous=previous, reason=reason):
                yield AliasMove(alias, number, previous, step.index, to_datetime(step.time_ns), step.user, reason)
            case AliasRemoved(alias=alias, previous=previous, reason=reason):
                yield AliasMove(alias, None, previous, step.index, to_datetime(step.time_ns), step.user, reason)
            case _:
                continue
        left -= 1
        if not left:
            return


def _drawn(view: View, asked: VersionsAsked) -> Plot | None:
    """Return the drawing of sizes, or of a number in the metadata, over the versions."""
    rows = queries.recent_versions(view, asked.name, limit=_PLOTTED_MAX, deleted=False)
    rows.reverse()
    if asked.plot in {None, "size"}:
        return plot("size", [(row.version, float(row.size_bytes)) for row in rows], is_size=True)
    values = (
        (row.version, dict(queries.numbers_in(queries.metadata(view, row))).get(asked.plot or "")) for row in rows
    )
    return plot(asked.plot or "", [(number, value) for number, value in values if value is not None])


def _value_at(values: dict[str, Any], dotted: str) -> str | None:
    """Return a value of metadata by its dotted name, as text."""
    found: Any = values
    for key in [dotted] if dotted in values else dotted.split("."):
        if not isinstance(found, dict) or key not in found:
            return None
        found = found[key]
    return found if isinstance(found, str) else msgspec.json.encode(found).decode()
