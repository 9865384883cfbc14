"""Two versions side by side."""

import msgspec

from runicorn_es import queries, settings
from runicorn_es.names import parse_reference
from runicorn_es.queries import Diff
from runicorn_es.viewer.answers.catalog import VersionLine, version_line
from runicorn_es.viewer.desk import Desk, Limit, Moment, Spec


class CompareAsked(msgspec.Struct, frozen=True):
    """old, new: specs, such as ``name:v3`` or ``name:production``. limit: so many files at most."""

    old: Spec
    new: Spec
    limit: Limit = settings.COMPARED_FILES
    as_of: Moment | None = None


class Comparison(msgspec.Struct, frozen=True):
    """Two versions, and what is different between them."""

    old: VersionLine
    new: VersionLine
    diff: Diff


def compare(desk: Desk, asked: CompareAsked) -> Comparison:
    """Return what is different between two versions; deleted ones can be compared, purged ones not."""
    with desk.reading(asked.as_of) as view:
        old = queries.resolve(view, parse_reference(asked.old), deleted=True)
        new = queries.resolve(view, parse_reference(asked.new), deleted=True)
        found = queries.diff(view, old, new, limit=asked.limit)
        return Comparison(version_line(view, old), version_line(view, new), found)
