"""How high each slot stands, so that lines are straight and nothing overlaps."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
import math
import statistics
from typing import NamedTuple

from runicorn_es.viewer.layered.slots import Slots

BOX_GAP = 20.0
WAY_GAP = 12.0
"""Between boxes in a layer, and beside a waypoint."""
BAND_GAP_MAX = 44.0
"""No empty band from left to right is higher than this."""


def placed(slots: Slots, order: list[list[int]]) -> list[float]:
    """Return the y of the middle of each slot."""
    grid = _Grid(slots, order, [_offsets(slots, row) for row in order])
    y = [0.0] * len(slots.layer)
    for row, offsets in zip(order, grid.offsets, strict=True):
        for slot, least in zip(row, offsets, strict=True):
            y[slot] = least - offsets[-1] / 2
    rounds = 8 if slots.are_few else 3
    rows = range(len(order))
    for number in range(rounds):
        _level(grid, y, rows, (slots.before,))
        _level(grid, y, reversed(rows), (slots.after,))
        if number >= rounds // 2:
            _level(grid, y, rows, (slots.before, slots.after))
    _straighten(slots, order, y)
    return _closed(slots, y)


class _Grid(NamedTuple):
    slots: Slots
    order: list[list[int]]
    offsets: list[list[float]]
    """By layer, how far below its first slot each has to be at least."""


def _offsets(slots: Slots, row: list[int]) -> list[float]:
    """Return how far below the first of a layer each slot has to be at least."""
    offsets = [0.0] if row else []
    for upper, lower in pairwise(row):
        offsets.append(offsets[-1] + _distance(slots, upper, lower))
    return offsets


def _distance(slots: Slots, upper: int, lower: int) -> float:
    """Return how far apart the middles of two neighbours are at least."""
    gap = BOX_GAP if slots.is_box(upper) and slots.is_box(lower) else WAY_GAP
    return (slots.height[upper] + slots.height[lower]) / 2 + gap


def _level(grid: _Grid, y: list[float], rows: Iterable[int], sides: Sequence[list[list[int]]]) -> None:
    """Bring each slot level with its neighbours on these sides, as far as the others in its layer let it."""
    for number in rows:
        wanted, weights = [], []
        for slot in grid.order[number]:
            around = sorted(y[other] for side in sides for other in side[slot])
            middle = len(around) // 2
            wanted.append((around[middle] + around[~middle]) / 2 if around else y[slot])
            # A bend in the middle of nowhere is worse than a box that is a little off.
            weights.append((0.01 if not around else 1.0) if grid.slots.is_box(slot) else 6.0)
        for slot, place in zip(grid.order[number], settle(wanted, weights, grid.offsets[number]), strict=True):
            y[slot] = place


def settle(wanted: Sequence[float], weights: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """Return places nearest to those wanted, by weighted squares, whose distances are at least those of the offsets."""
    blocks: list[tuple[float, float, int]] = []  # mean, weight, members
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, total, members = want - offset, weight, 1
        while blocks and blocks[-1][0] >= mean:
            above, its_weight, its_members = blocks.pop()
            mean = (mean * total + above * its_weight) / (total + its_weight)
            total, members = total + its_weight, members + its_members
        blocks.append((mean, total, members))
    pooled = (mean for mean, _, members in blocks for _ in range(members))
    return [mean + offset for mean, offset in zip(pooled, offsets, strict=True)]


def _straighten(slots: Slots, order: list[list[int]], y: list[float]) -> None:
    """Put each chain on one line, if that is possible without moving anything else."""
    place = [0] * len(slots.layer)
    for row in order:
        for number, slot in enumerate(row):
            place[slot] = number
    for chain in _chains(slots):
        highest, lowest = -math.inf, math.inf
        for slot in chain:
            row, number = order[slots.layer[slot]], place[slot]
            if number:
                highest = max(highest, y[row[number - 1]] + _distance(slots, row[number - 1], slot))
            if number + 1 < len(row):
                lowest = min(lowest, y[row[number + 1]] - _distance(slots, slot, row[number + 1]))
        if highest <= lowest:
            level = min(max(statistics.median(y[slot] for slot in chain), highest), lowest)
            for slot in chain:
                y[slot] = level


def _closed(slots: Slots, y: list[float]) -> list[float]:
    """Return the places with the bands narrowed in which there is nothing at all."""
    closed = [0.0] * len(y)
    end, shift = -math.inf, 0.0
    for slot in sorted(range(len(y)), key=lambda slot: y[slot] - slots.height[slot] / 2):
        empty = y[slot] - slots.height[slot] / 2 - end
        if BAND_GAP_MAX < empty < math.inf:
            shift += empty - BAND_GAP_MAX
        closed[slot] = y[slot] - shift
        end = max(end, y[slot] + slots.height[slot] / 2)
    return closed


def _chains(slots: Slots) -> Iterator[list[int]]:
    """Yield slots that follow each other without a fork; of a trunk, the branches do not count."""
    following = {}
    for slot, after in enumerate(slots.after):
        ways = [other for other in after if not slots.is_box(other)]
        is_trunk = not slots.is_box(slot) and ways
        if is_trunk or (len(after) == 1 and len(slots.before[after[0]]) == 1):
            following[slot] = ways[0] if is_trunk else after[0]
    for start in sorted(following.keys() - set(following.values())):
        chain = [start]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        yield chain
