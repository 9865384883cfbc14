"""Which artifacts there are, and what the store holds in all."""

from datetime import datetime
from typing import Literal

import msgspec

from runicorn_es import names, queries
from runicorn_es.artifact.stored import to_datetime
from runicorn_es.projections.rows import ArtifactRow, VersionRow
from runicorn_es.queries import View
from runicorn_es.viewer.desk import Desk, Limit, Moment, Name, Number, Words

Sort = Literal["name", "updated", "size", "versions"]
_KEYS = {
    "name": lambda row: row.name,
    "updated": lambda row: row.updated_ns,
    "size": lambda row: row.size_bytes,
    "versions": lambda row: row.live,
}

_SEARCH_SORT = {"name": "name", "size": "-size"}


class Totals(msgspec.Struct, frozen=True):
    """Sums over the store. What concerns the pool is None while it is being counted; sizes in bytes."""

    artifacts: int
    versions: int
    size_bytes: int
    deleted_versions: int
    deleted_bytes: int
    by_type: dict[str, int]
    pool_bytes: int | None = None
    packed_bytes: int | None = None
    garbage_blobs: int | None = None
    garbage_bytes: int | None = None
    saved_bytes: int | None = None
    saved_share: float | None = None


class ArtifactLine(msgspec.Struct, frozen=True):
    """An artifact in a list. size_bytes: of its live versions; tags and aliases: those of the latest, and all."""

    name: str
    type: str
    versions: int
    latest: int
    size_bytes: int
    aliases: list[str]
    tags: list[str]
    created_at: datetime
    updated_at: datetime


class VersionLine(msgspec.Struct, frozen=True):
    """A version in a list."""

    name: str
    version: int
    spec: str
    type: str
    status: str
    size_bytes: int
    num_files: int
    aliases: list[str]
    tags: list[str]
    run: str | None
    digest: str
    created_at: datetime


class OverviewAsked(msgspec.Struct, frozen=True):
    """q: what to search for. page: from 1."""

    q: Words = ""
    type: Name | None = None
    sort: Sort = "updated"
    page: Number = 1
    limit: Limit = 25
    after: Words | None = None
    as_of: Moment | None = None


class Overview(msgspec.Struct, frozen=True):
    """Sums, and a page of the artifacts, or of the versions that were searched for."""

    totals: Totals
    artifacts: list[ArtifactLine]
    versions: list[VersionLine]
    found: int
    pages: int
    next: str | None = None
    hints: list[str] = []


class ArtifactsAsked(msgspec.Struct, frozen=True):
    """after: the name behind which the page begins, which is ``next`` of the page before."""

    type: Name | None = None
    after: Name | None = None
    limit: Limit = 100
    as_of: Moment | None = None


class Artifacts(msgspec.Struct, frozen=True):
    """Artifacts by name."""

    artifacts: list[ArtifactLine]
    next: str | None


class TotalsAsked(msgspec.Struct, frozen=True):
    """Which moment."""

    as_of: Moment | None = None


def overview(desk: Desk, asked: OverviewAsked) -> Overview:
    """Return what the first page shows."""
    if asked.q.strip():
        return _searched(desk, asked)
    with desk.reading(asked.as_of) as view:
        rows = queries.artifacts(view, asked.type)
        rows.sort(key=_KEYS[asked.sort], reverse=asked.sort != "name")
        begin = (asked.page - 1) * asked.limit
        lines = [artifact_line(view, row) for row in rows[begin : begin + asked.limit]]
        return Overview(_totals(desk, view, asked.as_of), lines, [], len(rows), -(-len(rows) // asked.limit))


def artifacts(desk: Desk, asked: ArtifactsAsked) -> Artifacts:
    """Return a page of the artifacts by name."""
    with desk.reading(asked.as_of) as view:
        rows = queries.artifacts(view, asked.type, after=asked.after, limit=asked.limit + 1)
        lines = [artifact_line(view, row) for row in rows[: asked.limit]]
        return Artifacts(lines, lines[-1].name if len(rows) > asked.limit else None)


def totals(desk: Desk, asked: TotalsAsked) -> Totals:
    """Return the sums over the store."""
    with desk.reading(asked.as_of) as view:
        return _totals(desk, view, asked.as_of)


def artifact_line(view: View, row: ArtifactRow) -> ArtifactLine:
    """Return an artifact as lists have it."""
    latest = queries.version(view, row.name, row.latest or row.allotted)
    return ArtifactLine(
        row.name,
        row.type,
        row.live,
        row.latest,
        row.size_bytes,
        [alias.alias for alias in queries.aliases(view, row.name)],
        queries.tags(view, latest),
        to_datetime(row.created_ns),
        to_datetime(row.updated_ns),
    )


def version_line(view: View, row: VersionRow, aliases: list[str] | None = None) -> VersionLine:
    """Return a version as lists have it; ``aliases``: where they are known already."""
    return VersionLine(
        row.name,
        row.version,
        names.spec(row.name, row.version),
        row.type,
        row.status,
        row.size_bytes,
        row.file_count,
        queries.aliases_of(view, row) if aliases is None else aliases,
        queries.tags(view, row),
        row.run,
        str(names.Digest(row.digest)),
        to_datetime(row.created_ns),
    )


def _searched(desk: Desk, asked: OverviewAsked) -> Overview:
    query = asked.q if asked.type is None else f"{asked.q} type:{asked.type}"
    with desk.reading(asked.as_of) as view:
        found = desk.search(view, query, sort=_SEARCH_SORT.get(asked.sort), after=asked.after, limit=asked.limit)
        lines = [version_line(view, row) for row in found.rows]
        totals = _totals(desk, view, asked.as_of)
        return Overview(totals, [], lines, found.total, 1, found.next, list(found.hints))


def _totals(desk: Desk, view: View, as_of: str | None) -> Totals:
    # What lies in the pool is known of now alone.
    used = desk.store.pool.usage.known() if as_of is None else None
    packed_bytes = 0 if used is None else desk.store.pool.packs.size_bytes()
    size_bytes = 0 if used is None else used.size_bytes + packed_bytes
    garbage = (0, 0) if used is None else (used.orphan_count, used.orphan_bytes)
    sums = queries.stats(
        view, size_bytes, packed_bytes=packed_bytes, garbage_count=garbage[0], garbage_bytes=garbage[1]
    )
    total = sums.total
    by_type = {kind: row.artifacts for kind, row in sorted(sums.by_type.items()) if row.artifacts}
    said = Totals(
        total.artifacts, total.versions, total.size_bytes, total.deleted_versions, total.deleted_bytes, by_type
    )
    if used is None:
        if as_of is None:
            desk.counting.start()
        return said
    return msgspec.structs.replace(
        said,
        pool_bytes=sums.pool_bytes,
        packed_bytes=sums.packed_bytes,
        garbage_blobs=sums.garbage_count,
        garbage_bytes=sums.garbage_bytes,
        saved_bytes=sums.saved_bytes,
        saved_share=round(sums.saved_share, 6),
    )
