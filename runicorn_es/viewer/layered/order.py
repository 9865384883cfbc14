"""In which order slots stand in their layers, so that few links cross."""

from bisect import bisect_right, insort

from runicorn_es.viewer.layered.slots import Slots


def ordered(slots: Slots) -> list[list[int]]:
    """Return the layers, each from top to bottom, with few crossings between them."""
    order = _by_walk(slots)
    best, fewest = [list(row) for row in order], _crossings(slots, order)
    sweeps = 12 if slots.are_few else 4
    for sweep in range(sweeps):
        if not fewest:
            break
        rows = range(1, len(order)) if sweep % 2 == 0 else range(len(order) - 2, -1, -1)
        towards = slots.before if sweep % 2 == 0 else slots.after
        place = _places(order, len(slots.layer))
        for row in rows:
            _sort_by_neighbours(order[row], towards, place)
        if slots.are_few and sweep >= sweeps // 2:
            _polish(slots, order)
        crossings = _crossings(slots, order)
        if crossings < fewest:
            best, fewest = [list(row) for row in order], crossings
    return best


def _by_walk(slots: Slots) -> list[list[int]]:
    """Return the layers in the order of a walk in depth, so that what is connected stays together."""
    order: list[list[int]] = [[] for _ in range(max(slots.layer, default=-1) + 1)]
    seen = [False] * len(slots.layer)
    for root in sorted(range(len(slots.layer)), key=slots.layer.__getitem__):
        stack = [root]
        while stack:
            slot = stack.pop()
            if seen[slot]:
                continue
            seen[slot] = True
            order[slots.layer[slot]].append(slot)
            stack += (other for other in reversed(slots.before[slot]) if not seen[other])
            stack += (other for other in reversed(slots.after[slot]) if not seen[other])
    return order


def _places(order: list[list[int]], count: int) -> list[float]:
    place = [0.0] * count
    for row in order:
        for number, slot in enumerate(row):
            place[slot] = number
    return place


def _sort_by_neighbours(row: list[int], towards: list[list[int]], place: list[float]) -> None:
    """Sort a layer by the mean place of neighbours in another; who has none stays where they are."""
    wanted = {
        slot: sum(place[other] for other in towards[slot]) / len(towards[slot]) if towards[slot] else place[slot]
        for slot in row
    }
    row.sort(key=wanted.__getitem__)
    for number, slot in enumerate(row):
        place[slot] = number


def _crossings(slots: Slots, order: list[list[int]]) -> int:
    """Return how many pairs of links cross, all lines taken as straight between neighbouring layers."""
    place = _places(order, len(slots.layer))
    total = 0
    for row in order[:-1]:
        ends: list[float] = []
        for slot in row:
            following = sorted(place[other] for other in slots.after[slot])
            total += sum(len(ends) - bisect_right(ends, end) for end in following)
            for end in following:
                insort(ends, end)
    return total


def _polish(slots: Slots, order: list[list[int]]) -> None:
    """Swap neighbours in a layer wherever that takes crossings away."""
    place = _places(order, len(slots.layer))
    for row in order:
        for _ in range(4):
            has_changed = False
            for number in range(len(row) - 1):
                upper, lower = row[number], row[number + 1]
                if _crossed(slots, upper, lower, place) > _crossed(slots, lower, upper, place):
                    row[number], row[number + 1] = lower, upper
                    place[lower], place[upper] = number, number + 1
                    has_changed = True
            if not has_changed:
                break


def _crossed(slots: Slots, upper: int, lower: int, place: list[float]) -> int:
    return sum(
        place[first] > place[second]
        for side in (slots.before, slots.after)
        for first in side[upper]
        for second in side[lower]
    )
