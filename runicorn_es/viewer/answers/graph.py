"""What a version was made from and what was made with it."""

from typing import Annotated

import msgspec

from runicorn_es import queries
from runicorn_es.queries import Direction, Lineage
from runicorn_es.viewer.answers.versions import version_row
from runicorn_es.viewer.desk import Desk, Moment, Name

DEPTH = 3
_NODES_SHOWN = 200


class LineageAsked(msgspec.Struct, frozen=True):
    """depth: steps from version to version, 0 for all. limit: so many nodes in each direction at most."""

    name: Name
    version: int
    direction: Direction = "both"
    depth: Annotated[int, msgspec.Meta(ge=0, le=1000)] = DEPTH
    limit: Annotated[int, msgspec.Meta(ge=1, le=2000)] = _NODES_SHOWN
    siblings: bool = False
    as_of: Moment | None = None


def lineage(desk: Desk, asked: LineageAsked) -> Lineage:
    """Return the lineage of a version, the nearest first."""
    with desk.reading(asked.as_of) as view:
        row = version_row(view, asked.name, asked.version)
        return queries.lineage(view, row, direction=asked.direction, depth=asked.depth or None, limit=asked.limit)
