"""How many artifacts and versions there are and how large they are, in all and by type."""

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from runicorn_es.events import VersionCreated, VersionDeleted, VersionPurged, VersionRestored
from runicorn_es.projections.fact import Fact
from runicorn_es.projections.rows import COUNTS, VERSIONS, CountRow
from runicorn_es.tables import Writer

_ALL = ""


class _Change(msgspec.Struct):
    """What is to be added to a row of counts."""

    artifacts: int = 0
    versions: int = 0
    size_bytes: int = 0
    deleted_versions: int = 0
    deleted_bytes: int = 0


def apply(facts: Sequence[Fact], out: Writer) -> None:
    """Fold what these facts change in the sums. Stands behind the catalog, whose rows it looks up."""
    changes: defaultdict[str, _Change] = defaultdict(_Change)
    for fact in facts:
        for event in fact.events:
            match event:
                case VersionCreated():
                    for change in (changes[_ALL], changes[event.type]):
                        change.artifacts += event.version == 1
                        change.versions += 1
                        change.size_bytes += event.size_bytes
                case VersionDeleted():
                    _hide(changes, out, event.name, event.version, 1)
                case VersionRestored():
                    _hide(changes, out, event.name, event.version, -1)
                case VersionPurged():
                    row = VERSIONS.expect(out, event.name, event.version)
                    for change in (changes[_ALL], changes[row.type]):
                        change.deleted_versions -= 1
                        change.deleted_bytes -= row.size_bytes
                case _:
                    pass
    for kind, change in changes.items():
        row_before = COUNTS.get(out, kind) or CountRow()
        row_after = CountRow(
            row_before.artifacts + change.artifacts,
            row_before.versions + change.versions,
            row_before.size_bytes + change.size_bytes,
            row_before.deleted_versions + change.deleted_versions,
            row_before.deleted_bytes + change.deleted_bytes,
        )
        COUNTS.put(out, row_after, kind)


def _hide(changes: defaultdict[str, _Change], out: Writer, name: str, version: int, count: int) -> None:
    """Count a version as deleted (1), or no more (-1)."""
    row = VERSIONS.expect(out, name, version)
    for change in (changes[_ALL], changes[row.type]):
        change.versions -= count
        change.size_bytes -= count * row.size_bytes
        change.deleted_versions += count
        change.deleted_bytes += count * row.size_bytes
