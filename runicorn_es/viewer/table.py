"""All that can be asked: where, with which parameters, what the answer is, and which page shows it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from runicorn_es.queries import Lineage
from runicorn_es.viewer.answers import catalog, comparison, events, files, graph, health, runs, versions
from runicorn_es.viewer.desk import Desk


class Question(NamedTuple):
    """A question. ``path``: below ``/api/v1``, and of the page, unless ``page`` says another one.

    template: of its page; None: it has none.
    """

    path: str
    summary: str
    asked: type[msgspec.Struct]
    answer: Any
    ask: Callable[[Desk, Any], object]
    template: str | None = None
    page: str | None = None


_VERSION = "/artifacts/{name}/v{version:int}"

QUESTIONS = (
    Question("/overview", "Sums, and artifacts as the first page lists them or as a search finds versions",
             catalog.OverviewAsked, catalog.Overview, catalog.overview, "artifacts.html", "/artifacts"),
    Question("/artifacts", "Artifacts by name", catalog.ArtifactsAsked, catalog.Artifacts, catalog.artifacts),
    Question("/stats", "Sums over the store", catalog.TotalsAsked, catalog.Totals, catalog.totals),
    Question("/artifacts/{name}", "The latest version of an artifact",
             versions.VersionAsked, versions.VersionPage, versions.version, "version.html"),
    Question("/artifacts/{name}/versions", "The versions of an artifact, the newest first",
             versions.VersionsAsked, versions.VersionHistory, versions.versions, "history.html"),
    Question(_VERSION, "A version", versions.VersionAsked, versions.VersionPage, versions.version, "version.html"),
    Question(f"{_VERSION}/files", "A folder of a version", files.FilesAsked, files.Files, files.files, "files.html"),
    Question(f"{_VERSION}/preview", "A look into a file of a version",
             files.FileAsked, files.Preview, files.preview, "preview.html"),
    Question(f"{_VERSION}/lineage", "What a version was made from, and what was made with it",
             graph.LineageAsked, Lineage, graph.lineage, "lineage.html"),
    Question("/compare", "What is different between two versions",
             comparison.CompareAsked, comparison.Comparison, comparison.compare, "compare.html"),
    Question("/runs", "Runs, the newest first", runs.RunsAsked, runs.Runs, runs.runs, "runs.html"),
    Question("/runs/{run}", "A run, with what it used and made", runs.RunAsked, runs.RunPage, runs.run, "run.html"),
    Question("/events", "The log, the newest first", events.EventsAsked, events.Events, events.events, "events.html"),
    Question("/events/{index:int}", "One record of the log",
             events.EventAsked, events.RecordPage, events.event, "event.html"),
    Question("/audit", "What the log is signed for, and what the last verification here found",
             health.HealthAsked, health.Audit, health.audit, "audit.html"),
    Question("/storage", "What takes space, and what could be freed",
             health.HealthAsked, health.Storage, health.storage, "storage.html"),
)  # fmt: skip
