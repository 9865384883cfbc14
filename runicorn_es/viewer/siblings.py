"""Which nodes of a lineage say the same thing, and can be drawn as one."""

from collections import defaultdict
from collections.abc import Hashable

from runicorn_es.queries import Lineage, Node
from runicorn_es.viewer.layered.layering import acyclic, layers

SIBLINGS_MIN = 5
"""So many are drawn as one: up to four are read faster than a number is understood."""


def groups(lineage: Lineage) -> list[list[Node]]:
    """Return the nodes, with siblings together, each group where its first member was.

    Siblings are versions of one artifact, or runs of one name, of one status, that stand in one layer, come from the
    same and lead to the same: whatever differs from the rest in what became of it stays a node of its own, and with it
    the path through it. Since siblings share a layer, drawing them as one never closes a cycle.
    """
    nodes = lineage.nodes
    place = {node.id: number for number, node in enumerate(nodes)}
    links = [(place[edge.source], place[edge.target]) for edge in lineage.edges]
    layer = layers(len(nodes), acyclic(len(nodes), links))
    inner: list[list[int]] = [[] for _ in nodes]
    outer: list[list[int]] = [[] for _ in nodes]
    for source, target in links:
        for here, there in ((source, target), (target, source)):
            if nodes[there].distance < nodes[here].distance:
                inner[here].append(there)
                outer[there].append(here)
    nearest_first = sorted(range(len(nodes)), key=lambda number: nodes[number].distance)
    kinds: dict[Hashable, int] = {}
    beyond = [0] * len(nodes)
    for number in reversed(nearest_first):
        what = (_kind(nodes[number]), frozenset(beyond[other] for other in outer[number]))
        beyond[number] = kinds.setdefault(what, len(kinds))
    together: dict[Hashable, list[int]] = defaultdict(list)
    group_of: list[Hashable] = [None] * len(nodes)
    for number in nearest_first:
        towards = frozenset(group_of[other] for other in inner[number])
        key = kinds.setdefault((beyond[number], layer[number], towards), len(kinds))
        group_of[number] = key
        together[key].append(number)
    found = []
    for members in together.values():
        members.sort()
        found += [members] if len(members) >= SIBLINGS_MIN else [[number] for number in members]
    return [[nodes[number] for number in members] for members in sorted(found)]


def family(node: Node) -> str:
    """Return what siblings have in common: the name of the artifact, or that of the run."""
    return node.id.rpartition(":v")[0] if node.kind == "artifact" else node.label


def _kind(node: Node) -> tuple[str, str, str]:
    return node.kind, family(node), node.status
