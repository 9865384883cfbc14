"""What a laid out graph consists of: boxes, and lines between them. In pixels; y grows downwards."""

from typing import TypeAlias

import msgspec

Size: TypeAlias = tuple[float, float]
Point: TypeAlias = tuple[float, float]
Link: TypeAlias = tuple[int, int]
"""From one box to another, by their places in the list."""


class Box(msgspec.Struct, frozen=True):
    """A rectangle, by its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The x of the right side."""
        return self.x + self.width

    @property
    def middle(self) -> float:
        """The y half-way down."""
        return self.y + self.height / 2


class Layout(msgspec.Struct, frozen=True):
    """Where everything is: a box for each size, and for each link its corners from source to target, in their order."""

    boxes: list[Box]
    lines: list[list[Point]]


def around_self(box: Box) -> list[Point]:
    """Return the line from a box to itself: out on the right, over the top, back in."""
    out, above, inside = box.right + 14.0, box.y - 10.0, box.right - 14.0
    return [(box.right, box.middle), (out, box.middle), (out, above), (inside, above), (inside, box.y)]
