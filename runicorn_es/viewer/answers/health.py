"""Whether all is as it was written, and what takes space."""

from datetime import datetime
from typing import Any

import msgspec

from runicorn_es import durable, queries
from runicorn_es.artifact.stored import to_datetime
from runicorn_es.audit import Report
from runicorn_es.reclaim import Reclaimed
from runicorn_es.viewer.answers.catalog import Totals, TotalsAsked, VersionLine, totals, version_line
from runicorn_es.viewer.desk import Desk, Job, Moment

_ARTIFACTS_SHOWN = 20
_HIDDEN_SHOWN = 100


class HealthAsked(msgspec.Struct, frozen=True):
    """Which moment."""

    as_of: Moment | None = None


class Verification(msgspec.Struct, frozen=True):
    """The last verification that was asked for here. failure: why it could not be done."""

    is_running: bool
    report: Report | None
    is_clean: bool | None
    finished_at: datetime | None
    failure: str | None


class Audit(msgspec.Struct, frozen=True):
    """What the log is signed for. root: in hexadecimal; keys: with which checkpoints are verified."""

    records: int
    root: str
    checkpoint: str
    keys: list[str]
    origin: str
    verification: Verification


class ArtifactShare(msgspec.Struct, frozen=True):
    """What the live versions of an artifact take, were each file stored as often as it is named."""

    name: str
    type: str
    versions: int
    size_bytes: int
    share: float


class Reclaiming(msgspec.Struct, frozen=True):
    """What ``gc`` would remove, as far as that was looked for here."""

    is_running: bool
    found: Reclaimed | None
    finished_at: datetime | None
    failure: str | None


class Storage(msgspec.Struct, frozen=True):
    """What takes space. deleted: versions that can be restored, not all where there are many."""

    totals: Totals
    largest: list[ArtifactShare]
    deleted: list[VersionLine]
    retention: dict[str, str]
    reclaiming: Reclaiming


def audit(desk: Desk, asked: HealthAsked) -> Audit:
    """Return what the log is signed for, and what the last verification found."""
    with desk.reading(asked.as_of) as view:
        records, root = queries.head(view)
    job = desk.verifying
    report = job.found
    return Audit(
        records,
        root.hex(),
        durable.read_small_file(desk.store.layout.checkpoint).decode(errors="replace"),
        list(desk.store.verifier_keys()),
        desk.store.identity.origin,
        Verification(job.is_running, report, report.is_clean if report else None, _finished(job), job.failure),
    )


def storage(desk: Desk, asked: HealthAsked) -> Storage:
    """Return what takes space. The pool is not looked through for it."""
    said = totals(desk, TotalsAsked(asked.as_of))
    with desk.reading(asked.as_of) as view:
        rows = sorted(queries.artifacts(view), key=lambda row: row.size_bytes, reverse=True)[:_ARTIFACTS_SHOWN]
        hidden = queries.hidden_versions(view, _HIDDEN_SHOWN) if said.deleted_versions else []
        deleted = [version_line(view, row) for row in hidden]
        kept = {selection: row.rule for selection, row in queries.rules(view).items()}
    largest = [
        ArtifactShare(row.name, row.type, row.live, row.size_bytes, row.size_bytes / (said.size_bytes or 1))
        for row in rows
    ]
    job = desk.reclaiming
    return Storage(said, largest, deleted, kept, Reclaiming(job.is_running, job.found, _finished(job), job.failure))


def _finished(job: Job[Any]) -> datetime | None:
    return to_datetime(job.finished_ns) if job.finished_ns else None
