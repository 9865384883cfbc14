"""A number over the versions of an artifact, as points in a drawing. Only arithmetic: the template draws."""

from collections.abc import Sequence
import math

import msgspec

from runicorn_es import words

WIDTH, HEIGHT = 640, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 12, 12, 26
_TICKS = 3


class Point(msgspec.Struct, frozen=True):
    """A version in a drawing, and its value as text."""

    version: int
    x: float
    y: float
    value: str


class Tick(msgspec.Struct, frozen=True):
    """A line across the drawing, and what it stands for."""

    y: float
    value: str


class Plot(msgspec.Struct, frozen=True):
    """A number over versions. ``line``: the points as SVG has them, broken where there is none."""

    key: str
    width: int
    height: int
    left: int
    points: list[Point]
    ticks: list[Tick]
    line: str


def plot(key: str, values: Sequence[tuple[int, float]], *, is_size: bool = False) -> Plot | None:
    """Return the drawing of values by version, or None where there is nothing to draw."""
    finite = [(version, value) for version, value in values if math.isfinite(value)]
    if not finite:
        return None
    lowest, highest = min(value for _, value in finite), max(value for _, value in finite)
    if is_size:
        lowest = 0.0
    span = highest - lowest or abs(highest) or 1.0
    if highest == lowest:
        lowest -= span / 2
    first, last = finite[0][0], finite[-1][0]
    across, down = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def x_of(version: int) -> float:
        return round(_LEFT + (across * (version - first) / (last - first) if last > first else across / 2), 1)

    def y_of(value: float) -> float:
        return round(_TOP + down * (1 - (value - lowest) / span), 1)

    def said(value: float) -> str:
        return words.size(int(value)) if is_size else f"{value:.6g}"

    points = [Point(version, x_of(version), y_of(value), said(value)) for version, value in finite]
    steps = [lowest + span * step / _TICKS for step in range(_TICKS + 1)]
    return Plot(
        key,
        WIDTH,
        HEIGHT,
        _LEFT,
        points,
        [Tick(y_of(value), said(value)) for value in steps],
        " ".join(f"{point.x},{point.y}" for point in points),
    )
