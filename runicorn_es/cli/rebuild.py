"""``rebuild``: the tables anew from the log."""

from collections import Counter

import typer

from runicorn_es.cli import late, opening, output
from runicorn_es.cli.asked import asked


def rebuild(context: typer.Context) -> None:
    """Fold the tables anew from the log.

    Says whether they were as they should have been.
    """
    with opening.changing(asked(context)) as store:
        differing = store.rebuild()
        with store.reading() as view:
            records, _ = late.queries.head(view)
    kinds = Counter(late.projections.kind_of(key) for key in differing)
    if asked(context).as_json:
        output.document("runicorn.rebuild/1", records=records, differing=len(differing), kinds=dict(kinds))
        return
    folded = f"folded {output.count(records, 'record')}"
    if not differing:
        output.say(f"{folded}; the tables were equal")
        return
    which = ", ".join(f"{number:,} of {kind}" for kind, number in kinds.most_common())
    output.say(f"{folded}; {output.count(len(differing), 'row')} differed and were put right: {which}")
