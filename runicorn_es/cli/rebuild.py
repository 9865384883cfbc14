"""``rebuild``: the tables anew from the log."""

from collections import Counter
from typing import Annotated

import typer

from runicorn_es.cli import late, opening, output
from runicorn_es.cli.asked import asked


def rebuild(
    context: typer.Context,
    *,
    discard: Annotated[
        bool, typer.Option("--discard", help="Throw the old tables away unseen, where looking at them fails.")
    ] = False,
) -> None:
    """Fold the tables anew from the log.

    Says whether they were as they should have been.
    """
    if discard:
        layout = opening.existing(asked(context))
        late.tables.wipe(layout.tables, layout.boot)
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
