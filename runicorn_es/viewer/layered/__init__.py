"""Our own layered layout: from left to right, without overlaps, in time that grows with the number of links.

The four steps of Sugiyama, Tagawa and Toda (1981), each as its simplest sound variant:

1. *Layers*: links that close a cycle are turned round; every box stands one layer behind the last of those before it.
2. *Waypoints*: a link over several layers passes each of those between in a slot of its own, so that boxes make room
   for it. All links of one box share one trunk of waypoints, and branch off where they are needed.
3. *Order* within layers: each slot goes to the mean place of its neighbours, over and back; the best order seen stays.
4. *Places*: each slot wants to be level with its neighbours. What is wanted is made possible, layer by layer, by the
   least sum of squares that keeps order and distances: an isotonic regression, by pooling adjacent violators. What
   follows one on one is then put on one line, where there is room.

The same input has the same layout, always: nothing here is random, and every sort is stable.
"""

from collections.abc import Iterator, Sequence

from runicorn_es.viewer.layered.layering import acyclic, layers
from runicorn_es.viewer.layered.order import ordered
from runicorn_es.viewer.layered.places import placed
from runicorn_es.viewer.layered.slots import Slots
from runicorn_es.viewer.shapes import Box, Layout, Link, Point, Size, around_self

LAYER_GAP = 56.0
LAYER_GAP_MAX = 150.0
STEEPNESS = 6.0
"""Layers stand further apart, so many pixels of height to one of width, where links climb far."""


def layout(sizes: Sequence[Size], links: Sequence[Link]) -> Layout:
    """Return where boxes of these sizes go, and the lines of the links between them.

    Boxes do not overlap, and no line runs through one. A cycle is no error: one of its links runs back.
    """
    forward = acyclic(len(sizes), links)
    slots = Slots(sizes, forward, layers(len(sizes), forward))
    order = ordered(slots)
    y = placed(slots, order)
    columns = _columns(slots, order, y)
    boxes = [
        Box(columns[slots.layer[box]][0], y[box] - height / 2, width, height)
        for box, (width, height) in enumerate(sizes)
    ]
    lines = []
    for (source, target), (start, end) in zip(links, forward, strict=True):
        if source == target:
            lines.append(around_self(boxes[source]))
            continue
        ways = [(columns[slots.layer[way]], y[way]) for way in slots.way(start, end)]
        line = list(_line(boxes[start], columns[slots.layer[start]][1], ways, boxes[end]))
        lines.append(line if (source, target) == (start, end) else line[::-1])
    return Layout(boxes, lines)


def _columns(slots: Slots, order: list[list[int]], y: list[float]) -> list[tuple[float, float]]:
    """Return the left and the right side of each layer."""
    columns = []
    x = 0.0
    for row in order:
        width = max((slots.width[slot] for slot in row), default=0.0)
        columns.append((x, x + width))
        climb = max((abs(y[slot] - y[other]) for slot in row for other in slots.after[slot]), default=0.0)
        x += width + min(LAYER_GAP + climb / STEEPNESS, LAYER_GAP_MAX)
    return columns


def _line(
    source: Box, end_of_layer: float, ways: Sequence[tuple[tuple[float, float], float]], target: Box
) -> Iterator[Point]:
    """Yield the corners of a link: level through each layer, and from layer to layer in the gap between them."""
    yield source.right, source.middle
    if source.right < end_of_layer:
        yield end_of_layer, source.middle
    for (left, right), level in ways:
        yield left, level
        yield right, level
    yield target.x, target.middle
