"""How many artifacts and versions there are and how large they are, in all and by type."""

from collections.abc import Sequence

from runicorn_es.events import VersionCreated, VersionDeleted, VersionPurged, VersionRestored
from runicorn_es.projections.fact import Fact
from runicorn_es.projections.rows import COUNTS, VERSIONS, CountRow
from runicorn_es.tables import Writer


def apply(batch: Sequence[Fact], out: Writer) -> None:
    """Fold what a batch changes in the sums. Stands behind the catalog, whose rows it looks up."""
    for fact in batch:
        for event in fact.events:
            match event:
                case VersionCreated():
                    is_first = event.version == 1
                    _add(out, event.type, CountRow(int(is_first), 1, event.size_bytes))
                case VersionDeleted():
                    kind, size_bytes = _kind_and_size(out, event.name, event.version)
                    _add(out, kind, CountRow(0, -1, -size_bytes, 1, size_bytes))
                case VersionRestored():
                    kind, size_bytes = _kind_and_size(out, event.name, event.version)
                    _add(out, kind, CountRow(0, 1, size_bytes, -1, -size_bytes))
                case VersionPurged():
                    kind, size_bytes = _kind_and_size(out, event.name, event.version)
                    _add(out, kind, CountRow(0, 0, 0, -1, -size_bytes))
                case _:
                    pass


def _kind_and_size(out: Writer, name: str, version: int) -> tuple[str, int]:
    row = VERSIONS.expect(out, name, version)
    return row.type, row.size_bytes


def _add(out: Writer, kind: str, change: CountRow) -> None:
    for key in ("", kind):
        row = COUNTS.get(out, key) or CountRow()
        total = CountRow(
            row.artifacts + change.artifacts,
            row.versions + change.versions,
            row.size_bytes + change.size_bytes,
            row.deleted_versions + change.deleted_versions,
            row.deleted_bytes + change.deleted_bytes,
        )
        COUNTS.put(out, total, key)
