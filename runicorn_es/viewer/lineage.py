"""From a lineage to a drawing: what is shown as one, how large, how it is marked, and how its lines run.

Nothing here is markup; the template ``lineage.svg`` makes it, and escapes what users wrote.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise

import msgspec

from runicorn_es.queries import Lineage, Node
from runicorn_es.viewer.layered import layout
from runicorn_es.viewer.shapes import Box, Point
from runicorn_es.viewer.siblings import family, groups
from runicorn_es.words import count

WIDTH = 224.0
HEIGHT = 46.0
MARGIN = 24.0
LABEL_CHARACTERS = 22
NOTE_CHARACTERS = 25
"""What fits into a box, in wide letters."""
CORNER = 10.0


class Shape(msgspec.Struct, frozen=True):
    """A box as it is drawn. ``id``: for the page's own use. ``title``: all of it, where ``label`` is cut to fit.

    ``look``: ``version`` or ``run``. ``state``: ``ready``, ``running``, ``failed``, ``deleted`` or ``purged``, which
    ``note`` says in words.
    """

    id: str
    box: Box
    look: str
    state: str
    label: str
    note: str
    title: str
    href: str
    size: int
    is_focus: bool


class Line(msgspec.Struct, frozen=True):
    """A line from shape to shape: the ``d`` of its path, the ids of its ends, and what it means."""

    path: str
    source: str
    target: str
    kind: str


class Step(msgspec.Struct, frozen=True):
    """What one run, or several siblings, used and made: the drawing in words."""

    run: Shape
    used: list[Shape]
    made: list[Shape]


class Drawing(msgspec.Struct, frozen=True):
    """A lineage, ready to be drawn. ``hidden``: how many nodes are in the shapes of others."""

    width: float
    height: float
    shapes: list[Shape]
    lines: list[Line]
    steps: list[Step]
    focus: Shape
    hidden: int
    is_cut: bool


def draw(lineage: Lineage, *, link: Callable[[Node], str], all_siblings: str, is_clustered: bool = True) -> Drawing:
    """Return the drawing of a lineage. The focus is where the data comes from on its left and goes to on its right.

    ``link`` says where a node leads. Five or more siblings are one shape, which leads to ``all_siblings``: the
    page with ``is_clustered=False``.
    """
    together = groups(lineage) if is_clustered else [[node] for node in lineage.nodes]
    number_of = {node.id: number for number, members in enumerate(together) for node in members}
    edges = dict.fromkeys((number_of[edge.source], number_of[edge.target], edge.kind) for edge in lineage.edges)
    found = layout([(WIDTH, HEIGHT)] * len(together), [(source, target) for source, target, _ in edges])
    corners = [(box.x, box.y) for box in found.boxes] + [(box.right, box.y + box.height) for box in found.boxes]
    corners += [point for line in found.lines for point in line]
    left, top = min(x for x, _ in corners) - MARGIN, min(y for _, y in corners) - MARGIN
    shapes = [
        _shape(number, members, box, lineage.focus, all_siblings if len(members) > 1 else link(members[0]))
        for number, (members, box) in enumerate(
            zip(together, (_moved(box, left, top) for box in found.boxes), strict=True)
        )
    ]
    lines = [
        Line(path([(x - left, y - top) for x, y in line]), shapes[source].id, shapes[target].id, kind)
        for (source, target, kind), line in zip(edges, found.lines, strict=True)
    ]
    return Drawing(
        width=round(max(x for x, _ in corners) - left + MARGIN, 1),
        height=round(max(y for _, y in corners) - top + MARGIN, 1),
        shapes=shapes,
        lines=lines,
        steps=_steps(shapes, edges),
        focus=shapes[number_of[lineage.focus]],
        hidden=len(lineage.nodes) - len(shapes),
        is_cut=lineage.is_cut,
    )


def path(line: list[Point]) -> str:
    """Return the ``d`` of an SVG path along these corners: what is slanted swings, turns are rounded."""
    parts = [f"M{_at(line[0])}"]
    for place, (here, there) in enumerate(pairwise(line)):
        if abs(here[0] - there[0]) > 0.5 and abs(here[1] - there[1]) > 0.5:
            middle = (here[0] + there[0]) / 2
            parts.append(f"C{_at((middle, here[1]))} {_at((middle, there[1]))} {_at(there)}")
        elif place + 2 < len(line) and _is_turn(here, there, line[place + 2]):
            reach = min(CORNER, _length(here, there) / 2, _length(there, line[place + 2]) / 2)
            parts.append(
                f"L{_at(_towards(there, here, reach))}Q{_at(there)} {_at(_towards(there, line[place + 2], reach))}"
            )
        else:
            parts.append(f"L{_at(there)}")
    return "".join(parts)


def cut(text: str, characters: int) -> str:
    """Return a text that is at most so long, cut in the middle: the end of a spec, its version, says most."""
    if len(text) <= characters:
        return text
    tail = characters // 2
    return f"{text[: characters - tail - 1]}…{text[-tail:]}"


def _moved(box: Box, left: float, top: float) -> Box:
    return Box(round(box.x - left, 1), round(box.y - top, 1), box.width, box.height)


def _shape(number: int, members: list[Node], box: Box, focus: str, href: str) -> Shape:
    node = members[0]
    look = "version" if node.kind == "artifact" else "run"
    state = _state(node)
    if len(members) > 1:
        label = family(node)
        note = count(len(members), look)
        if state != "ready":
            note += f", {node.status}"
        title = f"{label}: {note}"
    else:
        label = node.label
        note = node.type if state == "ready" else f"{node.type} · {node.status}"
        if look == "run":
            note = node.id if state == "ready" else f"{node.id} · {node.status}"
        title = f"{look} {node.label}, {note}" + (", this version" if node.id == focus else "")
    return Shape(
        id=f"n{number}",
        box=box,
        look=look,
        state=state,
        label=cut(label, LABEL_CHARACTERS),
        note=cut(note, NOTE_CHARACTERS),
        title=title,
        href=href,
        size=len(members),
        is_focus=node.id == focus,
    )


def _state(node: Node) -> str:
    if node.status in {"ready", "finished"}:
        return "ready"
    return node.status if node.status in {"running", "deleted", "purged"} else "failed"


def _steps(shapes: list[Shape], edges: Iterable[tuple[int, int, str]]) -> list[Step]:
    steps = {number: Step(shape, [], []) for number, shape in enumerate(shapes) if shape.look == "run"}
    for source, target, kind in edges:
        if kind == "used":
            steps[target].used.append(shapes[source])
        else:
            steps[source].made.append(shapes[target])
    return sorted(steps.values(), key=lambda step: (step.run.box.x, step.run.box.y))


def _is_turn(before: Point, corner: Point, after: Point) -> bool:
    is_level, goes_on_level = abs(before[1] - corner[1]) <= 0.5, abs(corner[1] - after[1]) <= 0.5
    is_upright, goes_on_upright = abs(before[0] - corner[0]) <= 0.5, abs(corner[0] - after[0]) <= 0.5
    return (is_level and goes_on_upright) or (is_upright and goes_on_level)


def _length(here: Point, there: Point) -> float:
    return abs(here[0] - there[0]) + abs(here[1] - there[1])


def _towards(here: Point, there: Point, reach: float) -> Point:
    part = reach / (_length(here, there) or 1.0)
    return here[0] + (there[0] - here[0]) * part, here[1] + (there[1] - here[1]) * part


def _at(point: Point) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"
