"""The addresses under which the first Runicorn answered, in its shapes; for scripts that ask there."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from runicorn_es import queries
from runicorn_es.artifact.stored import describe, to_datetime
from runicorn_es.queries import File, to_file
from runicorn_es.viewer.answers.catalog import TotalsAsked, totals
from runicorn_es.viewer.answers.graph import LineageAsked, lineage
from runicorn_es.viewer.answers.versions import version_row
from runicorn_es.viewer.desk import Desk, Name

_FILES_MAX = 100_000


class ListAsked(msgspec.Struct, frozen=True):
    """Which type."""

    type: Name | None = None


class OneAsked(msgspec.Struct, frozen=True):
    """Which artifact, which version, how deep."""

    name: Name
    version: int = 0
    max_depth: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3


def artifacts(desk: Desk, asked: ListAsked) -> list[dict[str, Any]]:
    """Return the artifacts: ``GET /api/artifacts?type=``."""
    with desk.reading() as view:
        return [
            {
                "name": row.name,
                "type": row.type,
                "num_versions": row.live,
                "latest_version": row.latest,
                "size_bytes": row.size_bytes,
                "created_at": row.created_ns / 1e9,
                "updated_at": row.updated_ns / 1e9,
                "aliases": {alias.alias: alias.version for alias in queries.aliases(view, row.name)},
            }
            for row in queries.artifacts(view, asked.type)
        ]


def versions(desk: Desk, asked: OneAsked) -> list[dict[str, Any]]:
    """Return the live versions of an artifact, oldest first: ``GET /api/artifacts/{name}/versions``."""
    with desk.reading() as view:
        aliases = queries.aliases_by_version(view, asked.name)
        return [
            {
                "version": row.version,
                "created_at": row.created_ns / 1e9,
                "size_bytes": row.size_bytes,
                "num_files": row.file_count,
                "num_references": row.reference_count,
                "status": row.status,
                "created_by_run": row.run,
                "aliases": aliases.get(row.version, []),
            }
            for row in queries.versions(view, asked.name)
        ]


def version(desk: Desk, asked: OneAsked) -> dict[str, Any]:
    """Return what is known of a version: ``GET /api/artifacts/{name}/v{n}``."""
    with desk.reading() as view:
        return msgspec.structs.asdict(describe(view, version_row(view, asked.name, asked.version)))


def files(desk: Desk, asked: OneAsked) -> dict[str, Any]:
    """Return the files and references of a version, so many at most: ``GET /api/artifacts/{name}/v{n}/files``."""
    with desk.reading() as view:
        row = version_row(view, asked.name, asked.version)
        found: list[File] = []
        for file in queries.files(view, row):
            if len(found) == _FILES_MAX:
                break
            found.append(to_file(file))
        references = [msgspec.structs.asdict(one) for one in queries.references(view, row)]
        return {
            "files": found,
            "references": references,
            "total_files": row.file_count,
            "total_size": row.size_bytes,
            "created_at": to_datetime(row.created_ns),
        }


def lineage_graph(desk: Desk, asked: OneAsked) -> dict[str, Any]:
    """Return nodes and edges: ``GET /api/artifacts/{name}/v{n}/lineage?max_depth=``."""
    found = lineage(desk, LineageAsked(asked.name, asked.version, depth=asked.max_depth))
    edges = [{"source": edge.source, "target": edge.target, "type": edge.kind} for edge in found.edges]
    nodes = [{"id": node.id, "type": node.kind, "label": node.label, "status": node.status} for node in found.nodes]
    return {"root": found.focus, "nodes": nodes, "edges": edges, "is_cut": found.is_cut}


def stats(desk: Desk, _: ListAsked) -> dict[str, Any]:
    """Return sums: ``GET /api/artifacts/stats``."""
    said = totals(desk, TotalsAsked())
    pool_bytes = said.size_bytes if said.pool_bytes is None else said.pool_bytes
    return {
        "total_artifacts": said.artifacts,
        "total_versions": said.versions,
        "total_size_bytes": said.size_bytes,
        "by_type": said.by_type,
        "dedup_enabled": True,
        "pool_size_bytes": pool_bytes,
        "space_saved_bytes": said.saved_bytes or 0,
        "dedup_ratio": said.saved_share or 0.0,
    }


ADDRESSES: dict[str, tuple[type[msgspec.Struct], Callable[[Desk, Any], object]]] = {
    "/api/artifacts": (ListAsked, artifacts),
    "/api/artifacts/stats": (ListAsked, stats),
    "/api/artifacts/{name}/versions": (OneAsked, versions),
    "/api/artifacts/{name}/v{version:int}": (OneAsked, version),
    "/api/artifacts/{name}/v{version:int}/files": (OneAsked, files),
    "/api/artifacts/{name}/v{version:int}/lineage": (OneAsked, lineage_graph),
}
