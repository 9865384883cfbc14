"""``artifacts --action …``: the command of the user's guide, its output frozen to the byte.

Its sizes are in MB of 1024² and GB of 1024³ bytes, its times local; what later releases add has verbs of its own.
"""

import sys
from typing import Annotated, Literal, TextIO

import typer

from runicorn_es.cli import artifacts, garbage, late, opening, output, past, purging, stats, versions
from runicorn_es.cli.asked import Asked, asked
from runicorn_es.cli.failures import Refused
from runicorn_es.cli.options import AsOf
from runicorn_es.cli.questions import require_yes

_MB = 1024**2
_GB = 1024**3


def guide(
    context: typer.Context,
    *,
    action: Annotated[
        Literal["list", "versions", "info", "stats", "delete", "cleanup-dedup"],
        typer.Option("--action", help="What to do."),
    ] = "list",
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Which artifact.")] = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="N", help="Which version: 3 or v3; info: else the latest.")
    ] = None,
    type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only artifacts of this type.")] = None,
    permanent: Annotated[bool, typer.Option("--permanent", help="Delete: forget it for good.")] = False,
    as_of: AsOf = None,
) -> None:
    """The guide's command: list, versions, info, stats, delete and cleanup-dedup."""
    if permanent and action != "delete":
        raise Refused("--permanent is for --action delete")
    if as_of is not None and action in ("delete", "cleanup-dedup"):
        raise Refused("--as-of is for --action list, versions, info and stats")
    if action == "cleanup-dedup":
        garbage.collect(asked(context))
    elif action == "list":
        _list(asked(context), type, as_of)
    elif action == "stats":
        _stats(asked(context), as_of)
    elif name is None:
        raise Refused(f"--action {action} needs --name", "`runicorn list` shows the names")
    elif action == "versions":
        _versions(asked(context), name, type, as_of)
    elif action == "info":
        _info(asked(context), _spec(name, version), type, as_of)
    elif version is None:
        raise Refused("--action delete needs --version", f"`runicorn versions {name}` shows the numbers")
    else:
        _delete(asked(context), _spec(name, version), type, is_permanent=permanent)


def _list(asked: Asked, type: str | None, as_of: str | None) -> None:
    with opening.reading(asked) as store:
        moment = past.moment(store, asked, as_of)
        if asked.as_json:
            artifacts.show_artifacts_as_json(store, type, moment=moment)
            return
        found = store.artifacts(type, as_of=moment)
        sizes = artifacts.latest_sizes(store, found, moment)
    output.say(
        f"Found {len(found)} artifact(s):",
        "",
        f"{'Name':<30} {'Type':<10} {'Versions':<10} {'Size':<15} {'Latest':<10}",
        "-" * 85,
        *(
            f"{output.printable(row.name):<30} {row.type:<10} {row.live:<10} {_megabytes(size_bytes):<10} v{row.latest}"
            for row, size_bytes in zip(found, sizes, strict=True)
        ),
    )


def _versions(asked: Asked, name: str, type: str | None, as_of: str | None) -> None:
    with opening.reading(asked) as store:
        moment = past.moment(store, asked, as_of)
        _require_type(store, name, type)
        if asked.as_json:
            versions.show_versions_as_json(store, name, moment=moment)
            return
        found = store.versions(name, as_of=moment)
    output.say(
        f"Versions for {name}:",
        "",
        f"{'Version':<10} {'Created':<25} {'Size':<15} {'Files':<8} {'Run'}",
        "-" * 90,
        *(
            f"{f'v{row.version}':<10} {output.local_time(row.created_ns):<25} {_megabytes(row.size_bytes):<10} "
            f"{row.file_count:<8} {row.run or '-'}"
            for row in found
        ),
    )


def _info(asked: Asked, spec: str, type: str | None, as_of: str | None) -> None:
    with opening.reading(asked) as store:
        spec, moment = past.meant(store, asked, spec, as_of)
        row = versions.find(store, spec, moment)
        _require_type(store, row.name, type)
        if asked.as_json:
            versions.show_as_json(store, row, moment)
            return
        known, references = versions.describe(store, row, moment)
        output.say(
            f"Artifact: {late.names.spec(row.name, row.version)}",
            "=" * 60,
            f"Type:         {row.type}",
            f"Status:       {row.status}",
            f"Created:      {output.local_time(row.created_ns)}",
            f"Created by:   {row.run or '-'}",
            f"Size:         {_megabytes(row.size_bytes)}",
            f"Files:        {row.file_count}",
        )
        if known.aliases:
            output.say(f"Aliases:      {', '.join(known.aliases)}")
        if known.metadata:
            output.say("", "Metadata:", *output.values(known.metadata))
        if row.file_count:
            output.say("", f"Files ({row.file_count}):")
            for file in store.version_of(row, as_of=moment).files():
                output.say(f"  {output.printable(file.path)} ({file.size / _MB:.1f} MB)")
    if references:
        output.say("", f"References ({len(references)}):")
        output.say(*(f"  {versions.reference_line(reference)}" for reference in references))


def _stats(asked: Asked, as_of: str | None) -> None:
    with opening.reading(asked) as store:
        moment = past.moment(store, asked, as_of)
        found = store.stats(as_of=moment)
    if asked.as_json:
        stats.show_stats_as_json(found, moment)
        return
    total = found.total
    output.say(
        "Artifact Storage Statistics",
        "=" * 60,
        f"Total Artifacts:  {total.artifacts}",
        f"Total Versions:   {total.versions}",
        f"Total Size:       {_gigabytes(total.size_bytes)}",
        "Dedup Enabled:    True",
    )
    if found.pool_bytes is not None:
        output.say(
            "",
            "Deduplication Stats:",
            f"  Pool Size:      {_gigabytes(found.pool_bytes)}",
            f"  Space Saved:    {_gigabytes(found.saved_bytes)}",
            f"  Dedup Ratio:    {found.saved_share:.1%}",
        )
    kinds = [kind for kind in _in_order(found.by_type) if found.by_type[kind].versions]
    if kinds:
        output.say("", "By Type:")
    for kind in kinds:
        row = found.by_type[kind]
        counts = f"{row.artifacts} artifacts, {row.versions} versions, {_gigabytes(row.size_bytes)}"
        output.say(f"  {kind.capitalize():<10} {counts}")
    if total.deleted_versions:
        deleted = output.count(total.deleted_versions, "version")
        output.say(f"Deleted:          {deleted} that can be restored, {_gigabytes(total.deleted_bytes)}")


def _delete(asked: Asked, spec: str, type: str | None, *, is_permanent: bool) -> None:
    # The guide shows question and answer among the output; in JSON there is no place for them.
    stream = sys.stderr if asked.as_json else sys.stdout
    if is_permanent:
        _purge(asked, spec, type, stream)
        return
    with opening.changing(asked) as store:
        # One that is deleted already is not there to be deleted: the message says how it comes back.
        chosen = store.get(spec)
        _require_type(store, chosen.name, type)
        require_yes(asked, f"Delete {chosen.full_name}?", stream)
        store.delete(chosen.full_name)
    if asked.as_json:
        output.document("runicorn.delete/1", spec=chosen.full_name, status=late.rows.DELETED)
        return
    output.say(f"{_mark()}Soft deleted {chosen.full_name}")


def _purge(asked: Asked, spec: str, type: str | None, stream: TextIO) -> None:
    with opening.changing(asked) as store:
        row = versions.find(store, spec)
        chosen = late.names.spec(row.name, row.version)
        _require_type(store, row.name, type)
        require_yes(asked, f"Permanently delete {chosen}?", stream)
        went = store.purge(chosen)
    if asked.as_json:
        purging.show(asked, went)
        return
    output.say(f"{_mark()}Permanently deleted {chosen}")


def _mark() -> str:
    return "✅ " if output.can_say("✅", sys.stdout) else ""


def _spec(name: str, version: str | None) -> str:
    if version is None:
        return name
    return f"{name}:v{version}" if version.isdecimal() else f"{name}:{version}"


def _require_type(store: "late.store.Store", name: str, type: str | None) -> None:
    with store.reading() as view:
        row = late.queries.artifact(view, name)
    if type is not None and row.type != type:
        raise Refused(f"{name!r} is a {row.type}, not a {type}", f"say --type {row.type}, or leave it out")


def _in_order(kinds: dict[str, "late.queries.Counts"]) -> list[str]:
    """Return the types in the guide's order, then those that users named themselves."""
    known = [kind for kind in late.names.TYPES if kind in kinds]
    return known + sorted(kinds.keys() - set(known))


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / _MB:.2f} MB"


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / _GB:.1f} GB"
