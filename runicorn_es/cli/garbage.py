"""``gc``: remove what takes space for nothing."""

import sys
from typing import Annotated

import typer

from runicorn_es.cli import late, opening, output
from runicorn_es.cli.asked import Asked, asked
from runicorn_es.cli.questions import require_yes


def gc(
    context: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go, and why.")] = False,
    apply_retention: Annotated[
        bool, typer.Option("--apply-retention", help="First delete and purge what the rules of retention say.")
    ] = False,
    downloads_unused: Annotated[
        str | None,
        typer.Option("--downloads-unused", metavar="SPAN", help="How long a download stays unasked for; else 30d."),
    ] = None,
) -> None:
    """Remove what takes space for nothing: blobs that no version names, what killed writers left, unused downloads."""
    collect(asked(context), dry_run=dry_run, apply_retention=apply_retention, downloads_unused=downloads_unused)


def collect(
    asked: Asked, *, dry_run: bool = False, apply_retention: bool = False, downloads_unused: str | None = None
) -> None:
    """Do what ``gc`` does."""
    unused = downloads_unused or f"{late.settings.DOWNLOAD_UNUSED_DAYS}d"
    with opening.changing(asked) as store:
        if apply_retention and not dry_run:
            _ask_about_due(asked, store.due())
        found = store.reclaim(dry_run=dry_run, apply_retention=apply_retention, downloads_unused=unused)
    if asked.as_json:
        output.document(
            "runicorn.gc/1",
            dry_run=dry_run,
            due=[{"spec": one.spec, **_due(one)} for one in found.due],
            items=found.items,
            freed_bytes=found.freed_bytes,
        )
        return
    if dry_run:
        _show_due(found.due)
    for item in found.items:
        line = f"{output.size(item.size_bytes):>10}  {item.kind:<9}  {item.path}  ({item.reason})"
        output.say(output.printable(line))
    done = "would be freed" if dry_run else "freed"
    output.say(f"{output.size(found.freed_bytes)} {done}")
    if dry_run and (found.items or any(one.action != "keep" for one in found.due)):
        output.complain("hint", "without --dry-run it is done")


def _ask_about_due(asked: Asked, due: "list[late.queries.Due]") -> None:
    going = [one for one in due if one.action != "keep"]
    if not going:
        return
    if not asked.as_json:
        _show_due(due)
    purged = sum(one.action == "purge" for one in going)
    deleted = len(going) - purged
    words = [f"delete {output.count(deleted, 'version')}"] if deleted else []
    words += [f"purge {output.count(purged, 'version')} for good"] if purged else []
    question = " and ".join(words)
    require_yes(asked, f"{question[0].upper()}{question[1:]}?", sys.stderr)


def _show_due(due: "list[late.queries.Due]") -> None:
    for one in due:
        line = f"{output.size(one.size_bytes):>10}  {one.action:<9}  {one.spec}  ({one.selection}: {one.reason})"
        output.say(output.printable(line))


def _due(one: "late.queries.Due") -> dict[str, object]:
    return {
        "action": one.action,
        "selection": one.selection,
        "reason": one.reason,
        "size_bytes": one.size_bytes,
    }
