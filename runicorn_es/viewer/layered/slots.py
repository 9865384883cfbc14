"""What stands in the layers: boxes, and waypoints of the links that pass."""

from collections.abc import Sequence

from runicorn_es.viewer.shapes import Link, Size

WAYPOINTS_MAX = 30_000
"""Links that would need more than this are drawn straight from end to end, the longest first."""
POLISHED_MAX = 1_500
"""Up to so many slots, there is time for more rounds, and to improve the order pair by pair."""


class Slots:
    """What stands in the layers: the boxes by their places, and behind them the waypoints of long links."""

    def __init__(self, sizes: Sequence[Size], forward: Sequence[Link], layer: list[int]) -> None:
        self.boxes = len(sizes)
        self.layer = list(layer)
        self.width = [width for width, _ in sizes]
        self.height = [height for _, height in sizes]
        self.trunk: dict[int, list[int]] = {}
        self.before: list[list[int]] = [[] for _ in sizes]
        self.after: list[list[int]] = [[] for _ in sizes]
        self.reach = _reach([self.layer[target] - self.layer[source] for source, target in dict.fromkeys(forward)])
        for source, target in dict.fromkeys(forward):
            if source != target and self.layer[target] - self.layer[source] <= self.reach:
                self._join(self._way(source, target), target)

    def way(self, source: int, target: int) -> list[int]:
        """Return the waypoints between two boxes; none for a link that is too long to have any."""
        span = self.layer[target] - self.layer[source]
        return self.trunk.get(source, [])[: span - 1] if span <= self.reach else []

    @property
    def are_few(self) -> bool:
        """Whether there is time to polish."""
        return len(self.layer) <= POLISHED_MAX

    def is_box(self, slot: int) -> bool:
        """Return whether a box stands in a slot, and not only a line that passes by."""
        return slot < self.boxes

    def _way(self, source: int, target: int) -> int:
        """Grow the trunk of a box up to the layer before the target; returns its last slot."""
        needed = self.layer[target] - self.layer[source] - 1
        trunk = self.trunk.setdefault(source, [])
        while len(trunk) < needed:
            slot = len(self.layer)
            self.layer.append(self.layer[source] + len(trunk) + 1)
            self.width.append(0.0)
            self.height.append(0.0)
            self.before.append([])
            self.after.append([])
            self._join(trunk[-1] if trunk else source, slot)
            trunk.append(slot)
        return trunk[needed - 1] if needed else source

    def _join(self, source: int, target: int) -> None:
        self.after[source].append(target)
        self.before[target].append(source)


def _reach(spans: list[int]) -> int:
    """Return how many layers a link may span and still have waypoints, so that there are not too many of them."""
    reach = max(spans, default=1)
    while reach > 1 and sum(span - 1 for span in spans if span <= reach) > WAYPOINTS_MAX:
        reach = max(1, reach * 3 // 4)
    return reach
