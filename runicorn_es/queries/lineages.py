"""A lineage as an answer: its nodes and edges, and how it reads as a tree, in DOT and in a notebook."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec

from runicorn_es.interop import dot, notebook
from runicorn_es.projections.rows import DELETED, PURGED, READY

Direction = Literal["upstream", "downstream", "both"]
_FAILED = "failed"


class Marks(NamedTuple):
    """What a tree is drawn with, before a branch, before the last one, and below each of them."""

    branch: str
    last_branch: str
    beside: str
    below_last: str


LINES = Marks("├── ", "└── ", "│   ", "    ")
ASCII = Marks("|-- ", "`-- ", "|   ", "    ")


class Node(msgspec.Struct, frozen=True):
    """A version or a run in a lineage. ``id``: ``name:v3`` or the run's id. ``distance``: edges to the focus."""

    id: str
    kind: Literal["artifact", "run"]
    label: str
    type: str
    status: str
    distance: int

    def __str__(self) -> str:
        """Return it in words: a run with its name and how it ended, a version that is not live with its status."""
        if self.kind == "run":
            return f"{self.id} ({self.label}, {self.status})"
        return self.id if self.status == READY else f"{self.id} ({self.status})"


class Edge(msgspec.Struct, frozen=True):
    """An arrow in the direction of the data: from a version to the run that used it, or from a run to what it made."""

    source: str
    target: str
    kind: Literal["used", "produced"]


class Lineage(msgspec.Struct, frozen=True):
    """What a version was made from and what was made with it. ``is_cut``: there is more beyond what was asked for.

    direction: which of the two was asked for.
    """

    focus: str
    nodes: list[Node]
    edges: list[Edge]
    is_cut: bool = False
    direction: Direction = "both"

    def tree(self, marks: Marks = LINES) -> str:
        """Return it as lines to read: what it was ``made from``, and what it was ``used for``.

        What stands below a node is shown where it is first met, and later there is ``(see above)``. marks: what the
        branches are drawn with.

        Example: ``print(store.lineage("m:production").tree())``
        """
        return "\n".join(self.lines(marks))

    def lines(self, marks: Marks = LINES) -> Iterator[str]:
        """Yield the lines of the tree."""
        labels = {node.id: str(node) for node in self.nodes}
        yield labels[self.focus]
        above: defaultdict[str, list[str]] = defaultdict(list)
        below: defaultdict[str, list[str]] = defaultdict(list)
        for edge in self.edges:
            above[edge.target].append(edge.source)
            below[edge.source].append(edge.target)
        # A run that uses what it made leads back to it: a lineage in one direction may have arrows of the other, too.
        for title, next_to, other in (("made from", above, "downstream"), ("used for", below, "upstream")):
            if next_to[self.focus] and self.direction != other:
                yield title
                yield from _branches(self.focus, next_to, labels, marks)

    def to_dot(self) -> str:
        """Return it in DOT, the language of Graphviz: versions as boxes, runs as ellipses, arrows as the data went.

        What is deleted or purged is dashed, a run that failed red, and the focus bold.
        """
        nodes = ((node.id, _look(node, is_focus=node.id == self.focus)) for node in self.nodes)
        return dot.digraph(nodes, ((edge.source, edge.target) for edge in self.edges))

    def _repr_html_(self) -> str:
        counts = {kind: sum(node.kind == kind for node in self.nodes) for kind in ("artifact", "run")}
        cut = " and more" if self.is_cut else ""
        title = f"lineage of {self.focus}: {counts['artifact']} versions, {counts['run']} runs{cut}"
        return notebook.card(title, {}, notebook.preformatted(self.tree()))


def _branches(focus: str, next_to: defaultdict[str, list[str]], labels: dict[str, str], marks: Marks) -> Iterator[str]:
    seen = {focus}
    # A long history is deeper than Python's stack.
    waiting = [(node, "", node == next_to[focus][-1]) for node in reversed(next_to[focus])]
    while waiting:
        node, indent, is_last = waiting.pop()
        is_repeated = node in seen and bool(next_to[node])
        mark = marks.last_branch if is_last else marks.branch
        yield f"{indent}{mark}{labels[node]}{' (see above)' if is_repeated else ''}"
        if node not in seen:
            seen.add(node)
            deeper = indent + (marks.below_last if is_last else marks.beside)
            waiting += [(other, deeper, other == next_to[node][-1]) for other in reversed(next_to[node])]


def _look(node: Node, *, is_focus: bool) -> dict[str, str]:
    look = {"label": f"{node.id}\n{node.label}, {node.status}", "shape": "ellipse"}
    if node.kind == "artifact":
        is_live = node.status == READY
        look = {"label": f"{node.id}\n{node.type}{'' if is_live else f', {node.status}'}"}
    if is_focus:
        look["style"] = "bold"
    if node.status in {DELETED, PURGED}:
        look["style"] = "dashed"
    if node.kind == "run" and node.status == _FAILED:
        look["color"] = "red"
    return look
