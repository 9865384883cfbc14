"""``compact``: versions that are seldom asked for, into packs."""

from typing import Annotated

import typer

from runicorn_es.cli import late, opening, output
from runicorn_es.cli.asked import asked
from runicorn_es.cli.progress import shown
from runicorn_es.cli.purging import Specs


def compact(
    context: typer.Context,
    specs: Specs = None,
    *,
    keep_last: Annotated[
        int, typer.Option("--keep-last", metavar="N", min=0, help="Leave the newest N of each artifact as they are.")
    ] = 1,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="SPAN", help="Only those logged longer ago than, such as 90d.")
    ] = "0s",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which versions would go into packs.")] = False,
) -> None:
    """Put versions that are seldom asked for into packs, where what they share is stored once and compressed.

    Without SPEC all but the newest of each artifact and those with an alias. They are read as before.
    """
    with opening.changing(asked(context)) as store, shown("packing", lambda: _size_bytes(store)) as progress:
        found = store.compact(
            specs or None, keep_last=keep_last, older_than=older_than, dry_run=dry_run, progress=progress
        )
    if asked(context).as_json:
        output.document(
            "runicorn.compact/1",
            dry_run=found.is_dry_run,
            versions=found.versions,
            blobs=found.count,
            size_bytes=found.size_bytes,
            packed_bytes=found.packed_bytes,
            held_blobs=found.held_count,
        )
        return
    what = f"{output.count(found.count, 'blob')} of {output.size(found.size_bytes)}"
    versions = output.count(len(found.versions), "version")
    if found.is_dry_run:
        output.say(*(output.printable(spec) for spec in found.versions))
        output.say(f"{what} of {versions} would go into packs")
    else:
        output.say(f"{what} of {versions} went into packs, where they take {output.size(found.packed_bytes)}")
    if found.held_count:
        one = found.held_count == 1
        stays, them = ("stays as it is", "it") if one else ("stay as they are", "them")
        held = output.count(found.held_count, "blob")
        output.complain("hint", f"{held} {stays}, for hard links outside the pool hold {them}")


def _size_bytes(store: "late.store.Store") -> int:
    return store.stats().pool_bytes or 0
