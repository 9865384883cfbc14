"""Runs, and what versions were made from and used for."""

from collections.abc import Iterable
from itertools import islice
import math

from runicorn_es import names
from runicorn_es.errors import Unknown
from runicorn_es.events import RunStarted
from runicorn_es.projections.rows import (
    INPUTS,
    OUTPUTS,
    PURGED,
    RUNS,
    RUNS_BY_START,
    USES,
    EdgeRow,
    RunRow,
    VersionRow,
)
from runicorn_es.queries.catalog import version
from runicorn_es.queries.content import event_at
from runicorn_es.queries.lineages import Direction, Edge, Lineage, Node
from runicorn_es.queries.view import View


def runs(view: View, project: str | None = None, *, after: str | None = None, limit: int | None = None) -> list[RunRow]:
    """Return the runs, oldest first; of one project, those begun after another run, and so many, if given."""
    beyond = None if after is None else run(view, after).position
    found = (run(view, row.run) for row in RUNS_BY_START.scan(view.rows, after=beyond))
    return list(islice((row for row in found if project is None or row.project == project), limit))


def run(view: View, run_id: str) -> RunRow:
    """Return a run. Raises Unknown."""
    row = RUNS.get(view.rows, run_id)
    if row is None:
        raise Unknown(f"no run {run_id!r} in this store; `runicorn-es runs` lists them")
    return row


def run_started(view: View, row: RunRow) -> RunStarted:
    """Return the event that started a run, with what it recorded of its surroundings."""
    return event_at(view, row.position, RunStarted)


def used_by(view: View, name: str, number: int) -> list[EdgeRow]:
    """Return which runs used a version, by run."""
    return list(USES.scan(view.rows, name, number))


def inputs(view: View, run_id: str) -> list[EdgeRow]:
    """Return what a run used, by artifact and version."""
    return list(INPUTS.scan(view.rows, run_id))


def outputs(view: View, run_id: str) -> list[EdgeRow]:
    """Return what a run made, by artifact and version."""
    return list(OUTPUTS.scan(view.rows, run_id))


def has_used(view: View, run_id: str, row: VersionRow) -> bool:
    """Return whether a run has used a version already."""
    return INPUTS.get(view.rows, run_id, row.name, row.version) is not None


def lineage(
    view: View,
    row: VersionRow,
    *,
    direction: Direction = "both",
    depth: int | None = None,
    limit: int | None = None,
) -> Lineage:
    """Return the versions and runs that lead to a version and that come from it, the nearest first.

    ``depth`` counts steps from version to version; None means all. ``limit``: so many nodes at most, in each direction.
    A version that was deleted is there and marked.
    """
    focus = names.spec(row.name, row.version)
    nodes = {focus: _version_node(row, 0)}
    edges: dict[Edge, None] = {}
    is_cut = False
    if direction != "downstream":
        is_cut |= _walk(view, row, nodes, edges, depth=depth, most=_sum(len(nodes), limit), upstream=True)
    if direction != "upstream":
        is_cut |= _walk(view, row, nodes, edges, depth=depth, most=_sum(len(nodes), limit), upstream=False)
    return Lineage(focus, list(nodes.values()), list(edges), is_cut, direction)


def _sum(count: int, limit: int | None) -> float:
    return math.inf if limit is None else count + limit


def _walk(
    view: View,
    start: VersionRow,
    nodes: dict[str, Node],
    edges: dict[Edge, None],
    *,
    depth: int | None,
    most: float,
    upstream: bool,
) -> bool:
    """Add what is found to nodes and edges, until there are as many nodes as may be; returns whether it is cut."""
    level = [start]
    distance = 0
    seen_runs: set[str] = set()
    while level and (depth is None or distance < 2 * depth):
        following: list[VersionRow] = []
        for row in level:
            spec = names.spec(row.name, row.version)
            for run_id in _makers(row) if upstream else _users(view, row):
                if run_id not in nodes and len(nodes) >= most:
                    return True
                _add_run(view, run_id, nodes, distance + 1)
                edges[Edge(run_id, spec, "produced") if upstream else Edge(spec, run_id, "used")] = None
                if run_id in seen_runs:
                    continue
                seen_runs.add(run_id)
                for edge in inputs(view, run_id) if upstream else outputs(view, run_id):
                    other = names.spec(edge.name, edge.version)
                    if other not in nodes and len(nodes) >= most:
                        return True
                    edges[Edge(other, run_id, "used") if upstream else Edge(run_id, other, "produced")] = None
                    if other not in nodes:
                        found = version(view, edge.name, edge.version)
                        nodes[other] = _version_node(found, distance + 2)
                        following.append(found)
        level, distance = following, distance + 2
    return False


def _makers(row: VersionRow) -> Iterable[str]:
    return () if row.run is None else (row.run,)


def _users(view: View, row: VersionRow) -> Iterable[str]:
    # One by one: of many thousands, only the first may be asked for.
    return (edge.run for edge in USES.scan(view.rows, row.name, row.version))


def _add_run(view: View, run_id: str, nodes: dict[str, Node], distance: int) -> None:
    if run_id not in nodes:
        row = run(view, run_id)
        # A run always has a project, unless it was purged.
        label = row.name or row.project or PURGED
        nodes[run_id] = Node(run_id, "run", label, row.project, row.status, distance)


def _version_node(row: VersionRow, distance: int) -> Node:
    spec = names.spec(row.name, row.version)
    return Node(spec, "artifact", spec, row.type, row.status, distance)
