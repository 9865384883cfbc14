"""``stats``: how much there is, and what the pool saves."""

import typer

from runicorn_es.cli import late, opening, output, past
from runicorn_es.cli.asked import asked
from runicorn_es.cli.options import AsOf


def stats(context: typer.Context, *, as_of: AsOf = None) -> None:
    """Show how much there is, and what the pool saves."""
    with opening.reading(asked(context)) as store:
        moment = past.moment(store, asked(context), as_of)
        found = store.stats(as_of=moment)
    if asked(context).as_json:
        show_stats_as_json(found, moment)
        return
    total = found.total
    output.say(
        f"{output.count(total.artifacts, 'artifact')}, {output.count(total.versions, 'version')}, "
        f"{output.size(total.size_bytes)}"
    )
    if total.deleted_versions:
        deleted = output.count(total.deleted_versions, "deleted version")
        output.say(f"{deleted} that can be restored, {output.size(total.deleted_bytes)}")
    if found.pool_bytes is not None:
        saved = f"{output.size(found.saved_bytes)} ({found.saved_share:.1%})"
        packed = f", {output.size(found.packed_bytes)} of it packed" if found.packed_bytes else ""
        output.say(f"the pool takes {output.size(found.pool_bytes)}{packed}, which saves {saved}")
    if found.garbage_count:
        garbage = f"{output.count(found.garbage_count, 'blob')} of {output.size(found.garbage_bytes)}"
        output.say(f"{garbage} that no version names; `runicorn gc` removes them")
    rows = [
        (kind, f"{row.artifacts:,}", f"{row.versions:,}", output.size(row.size_bytes))
        for kind, row in sorted(found.by_type.items())
        if row.versions
    ]
    if rows:
        head = ("TYPE", "ARTIFACTS", "VERSIONS", "SIZE")
        output.say("", *output.table(head, rows, numbers=("ARTIFACTS", "VERSIONS", "SIZE")))


def show_stats_as_json(found: "late.queries.Stats", moment: "late.moments.Moment | None" = None) -> None:
    """Answer as ``stats --json`` does. What the pool took in the past is not known, and left out."""
    pool: dict[str, object] = {}
    if moment is None:
        pool = {
            "pool_bytes": found.pool_bytes,
            "packed_bytes": found.packed_bytes,
            "garbage_blobs": found.garbage_count,
            "garbage_bytes": found.garbage_bytes,
            "saved_bytes": found.saved_bytes,
            "saved_share": round(found.saved_share, 6),
        }
    by_type = {kind: _counts(row) for kind, row in sorted(found.by_type.items())}
    output.document("runicorn.stats/1", **past.member(moment), **_counts(found.total), **pool, by_type=by_type)


def _counts(row: "late.queries.Counts") -> dict[str, object]:
    return {
        "artifacts": row.artifacts,
        "versions": row.versions,
        "size_bytes": row.size_bytes,
        "deleted_versions": row.deleted_versions,
        "deleted_bytes": row.deleted_bytes,
    }
