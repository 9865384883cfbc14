"""Drawing a lineage: how long the layout takes for 30, 300 and 5,000 versions and runs, and how that grows.

The graph is a pipeline: runs that use one to three of the newest forty versions and make one or two.
"""

import random

from measure import medians, report_figure

from runicorn_es.queries import Edge, Lineage, Node
from runicorn_es.viewer.lineage import draw

GOALS_MS = {30: 20, 300: 300, 5_000: 3_000}


def main() -> None:
    """Measure and print the rows of the table."""
    lineages = {size: _pipeline(size) for size in GOALS_MS}
    took = medians({str(size): lambda _, found=found: _draw(found) for size, found in lineages.items()})
    for size, goal_ms in GOALS_MS.items():
        took_ms = took[str(size)] * 1000
        report_figure(
            f"draw a lineage of {size:,} versions and runs, siblings apart",
            f"{took_ms:.1f} ms, {took_ms * 1000 / size:.0f} µs each",
            f"≤ {goal_ms:,} ms",
            is_met=took_ms <= goal_ms,
        )


def _draw(lineage: Lineage) -> None:
    draw(lineage, link=lambda node: node.id, all_siblings="", is_clustered=False)


def _pipeline(size: int) -> Lineage:
    chance = random.Random(size)
    nodes = [Node("data:v1", "artifact", "data:v1", "dataset", "ready", 0)]
    edges = []
    versions = ["data:v1"]
    while len(nodes) < size:
        run = f"20260901_103015_{len(nodes):06x}"
        nodes.append(Node(run, "run", "train", "demo", "finished", 1))
        edges += [
            Edge(used, run, "used")
            for used in dict.fromkeys(chance.choices(versions[-40:], k=chance.choice([1, 1, 2, 3])))
        ]
        for _ in range(chance.choice([1, 1, 2])):
            made = f"model:v{len(nodes)}"
            nodes.append(Node(made, "artifact", made, "model", "ready", 2))
            versions.append(made)
            edges.append(Edge(run, made, "produced"))
    return Lineage("data:v1", nodes, edges)


if __name__ == "__main__":
    main()
