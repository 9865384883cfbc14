"""``explain``: why something takes space."""

from typing import Annotated

import typer

from runicorn_es.cli import completion, opening, output
from runicorn_es.cli.asked import asked


def explain(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="SPEC|DIGEST",
            help="A version, deleted or not, or a blob: blake3: and the beginning of its digest.",
            autocompletion=completion.specs,
        ),
    ],
) -> None:
    """Say why a version or a blob is kept, what depends on it, and what would be freed without it."""
    with opening.reading(asked(context)) as store:
        found = store.explain(what)
    if asked(context).as_json:
        output.document(
            "runicorn.explain/1",
            subject=found.subject,
            status=found.status,
            size_bytes=found.size_bytes,
            exclusive_bytes=found.exclusive_bytes,
            kept=found.kept,
            needed_by=found.needed_by,
            needed_by_count=found.needed_by_count,
        )
        return
    output.say(output.printable(f"{found.subject} ({found.status}), {output.size(found.size_bytes)}"))
    output.say("  kept because" if found.kept else "  nothing keeps it")
    output.say(*(output.printable(f"    {reason}") for reason in found.kept))
    if found.needed_by:
        output.say("  needed by", *(output.printable(f"    {one}") for one in found.needed_by))
        if more := found.needed_by_count - len(found.needed_by):
            output.say(f"    and {more:,} more")
    output.say(f"  without it {output.size(found.exclusive_bytes)} would be freed")
