"""What depends on a version: everything that was made with it, and which aliases that reaches."""

from collections import Counter
from typing import Literal

import msgspec

from runicorn_es.errors import Unknown
from runicorn_es.interop import notebook
from runicorn_es.names import spec
from runicorn_es.projections.rows import READY, VersionRow
from runicorn_es.queries.catalog import aliases
from runicorn_es.queries.graph import lineage
from runicorn_es.queries.keeping import is_protected
from runicorn_es.queries.lineages import Node
from runicorn_es.queries.view import View

_FAILED: Literal["failed"] = "failed"


class ReachedAlias(msgspec.Struct, frozen=True):
    """An alias that points to the version or to something made with it.

    spec: such as ``resnet:production``. version: where it points. distance: edges from the focus; 0 for its own.
    """

    spec: str
    version: int
    distance: int
    is_protected: bool

    def __str__(self) -> str:
        """Return it in words: ``resnet:production (v7), protected``."""
        return f"{self.spec} (v{self.version}){', protected' if self.is_protected else ''}"


class Impact(msgspec.Struct, frozen=True):
    """What depends on a version. Aliases and counts are always those of all; ``nodes`` may be a part of them.

    nodes: versions and runs, the nearest first. versions: how many versions were made with it, ``by_type`` those that
    are live. gone: how many of them were deleted or purged. runs: how many runs are between, ``failed_runs`` of them
    failed. is_cut: there are more nodes behind these.
    """

    focus: str
    aliases: list[ReachedAlias]
    versions: int
    by_type: dict[str, int]
    gone: int
    runs: int
    failed_runs: int
    nodes: list[Node]
    is_cut: bool = False

    def _repr_html_(self) -> str:
        pairs = {
            "reaches": ", ".join(str(alias) for alias in self.aliases) or "no alias",
            "versions": f"{self.versions:,}, {self.gone:,} of them deleted or purged",
            "runs": f"{self.runs:,}, {self.failed_runs:,} of them failed",
        }
        rows = [(node.distance, node.id, node.type, node.status) for node in self.nodes]
        return notebook.card(
            f"impact of {self.focus}", pairs, notebook.table(("distance", "id", "type", "status"), rows)
        )


def impact(view: View, row: VersionRow, *, after: str | None = None, limit: int | None = None) -> Impact:
    """Return what depends on a version; so many nodes behind the one with this id, if given. Raises Unknown.

    ``latest`` is not among the aliases: it is computed, and of nearly everything it reaches something.
    """
    focus, *nodes = lineage(view, row, direction="downstream").nodes
    versions = [node for node in nodes if node.kind == "artifact"]
    runs = [node for node in nodes if node.kind == "run"]
    first = 0 if after is None else _place_behind(nodes, after, focus.id)
    shown = nodes[first:] if limit is None else nodes[first : first + limit]
    return Impact(
        focus=focus.id,
        aliases=_reached(view, [focus, *versions]),
        versions=len(versions),
        by_type=dict(sorted(Counter(node.type for node in versions if node.status == READY).items())),
        gone=sum(node.status != READY for node in versions),
        runs=len(runs),
        failed_runs=sum(node.status == _FAILED for node in runs),
        nodes=shown,
        is_cut=first + len(shown) < len(nodes),
    )


def _reached(view: View, versions: list[Node]) -> list[ReachedAlias]:
    """Return the aliases of versions: protected ones first, then the nearest."""
    distances = {node.id: node.distance for node in versions}
    names = sorted({node.id.rpartition(":v")[0] for node in versions})
    found = [
        ReachedAlias(f"{name}:{alias.alias}", alias.version, distances[pointed_to], is_protected(view, alias.alias))
        for name in names
        for alias in aliases(view, name)
        if (pointed_to := spec(name, alias.version)) in distances
    ]
    return sorted(found, key=lambda alias: (not alias.is_protected, alias.distance, alias.spec))


def _place_behind(nodes: list[Node], after: str, focus: str) -> int:
    for place, node in enumerate(nodes, 1):
        if node.id == after:
            return place
    raise Unknown(
        f"{after!r} does not depend on {focus}; a page begins behind the id of the last node of the one before"
    )
