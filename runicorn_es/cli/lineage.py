"""``lineage``: what a version was made from and what was made with it, as a tree."""

from collections import defaultdict
from collections.abc import Iterator
import sys
from typing import Annotated, Literal

import typer

from runicorn_es.cli import late, opening, output, past
from runicorn_es.cli.asked import asked
from runicorn_es.cli.options import AsOf, Spec

Direction = Literal["upstream", "downstream", "both"]
_BRANCHES = ("├── ", "└── ", "│   ", "    ")
_PLAIN_BRANCHES = ("|-- ", "`-- ", "|   ", "    ")


def lineage(
    context: typer.Context,
    spec: Spec,
    *,
    direction: Annotated[
        Direction, typer.Option("--direction", help="What it was made from, what was made with it, or both.")
    ] = "both",
    depth: Annotated[
        int | None, typer.Option("--depth", metavar="N", min=0, help="How many steps from version to version.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=0, help="At most so many nodes in each direction.")
    ] = None,
    as_of: AsOf = None,
) -> None:
    """Show what a version was made from and used for, the nearest first."""
    with opening.reading(asked(context)) as store:
        spec, moment = past.meant(store, asked(context), spec, as_of)
        if asked(context).as_json:
            found = store.lineage(spec, direction, depth, limit=limit, as_of=moment)
            output.document(
                "runicorn.lineage/1",
                focus=found.focus,
                **past.member(moment),
                nodes=found.nodes,
                edges=found.edges,
                is_cut=found.is_cut,
            )
            return
        above = None if direction == "downstream" else store.lineage(spec, "upstream", depth, limit=limit, as_of=moment)
        below = None if direction == "upstream" else store.lineage(spec, "downstream", depth, limit=limit, as_of=moment)
    focused = above or below
    assert focused is not None
    output.say(_labels(focused)[focused.focus])
    if above is not None and above.edges:
        output.say("made from", *tree(above, "upstream"))
    if below is not None and below.edges:
        output.say("used for", *tree(below, "downstream"))
    if any(graph is not None and graph.is_cut for graph in (above, below)):
        output.complain("hint", "there is more; a greater --limit shows it")


def tree(graph: "late.queries.Lineage", direction: Literal["upstream", "downstream"]) -> Iterator[str]:
    """Yield the lines of the tree below the focus; what stands below a node is shown where it is first met."""
    next_to: defaultdict[str, list[str]] = defaultdict(list)
    for edge in graph.edges:
        near, far = (edge.target, edge.source) if direction == "upstream" else (edge.source, edge.target)
        next_to[near].append(far)
    marks = _BRANCHES if output.can_say("".join(_BRANCHES), sys.stdout) else _PLAIN_BRANCHES
    labels = _labels(graph)
    seen = {graph.focus}
    # A long history is deeper than Python's stack.
    waiting = [(node, "", node == next_to[graph.focus][-1]) for node in reversed(next_to[graph.focus])]
    while waiting:
        node, indent, is_last = waiting.pop()
        branch, last_branch, beside, below_last = marks
        is_repeated = node in seen and bool(next_to[node])
        yield f"{indent}{last_branch if is_last else branch}{labels[node]}{' (see above)' if is_repeated else ''}"
        if node not in seen:
            seen.add(node)
            deeper = indent + (below_last if is_last else beside)
            waiting += [(other, deeper, other == next_to[node][-1]) for other in reversed(next_to[node])]


def _labels(graph: "late.queries.Lineage") -> dict[str, str]:
    labels: dict[str, str] = {}
    for node in graph.nodes:
        if node.kind == "run":
            label = f"{node.id} ({node.label}, {node.status})"
        else:
            label = node.id if node.status == late.rows.READY else f"{node.id} ({node.status})"
        labels[node.id] = output.printable(label)
    return labels
