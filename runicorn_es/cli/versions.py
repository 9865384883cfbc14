"""``versions``, ``show``, ``files``, ``delete`` and ``restore``: which versions there are, and what is in one."""

import sys
from typing import Annotated, Any

import typer

from runicorn_es.cli import late, opening, output, past
from runicorn_es.cli.asked import asked
from runicorn_es.cli.options import AsOf, Limit, Name, Reason, Spec
from runicorn_es.cli.questions import require_yes


def versions(
    context: typer.Context,
    name: Name,
    *,
    deleted: Annotated[bool, typer.Option("--deleted", help="Also those that were deleted or purged.")] = False,
    after: Annotated[int | None, typer.Option("--after", metavar="N", help="Only those beyond version N.")] = None,
    limit: Limit = None,
    as_of: AsOf = None,
) -> None:
    """List the versions of an artifact, oldest first."""
    with opening.reading(asked(context)) as store:
        moment = past.moment(store, asked(context), as_of)
        if asked(context).as_json:
            show_versions_as_json(store, name, deleted=deleted, after=after, limit=limit, moment=moment)
            return
        found = store.versions(name, deleted=deleted, after=after, limit=limit, as_of=moment)
        with store.reading(moment) as view:
            aliases = late.queries.aliases_by_version(view, name)
    if not found:
        beyond = "" if after is None else f" beyond v{after}"
        output.complain("hint", f"{name!r} has no live version{beyond}; --deleted lists the deleted ones")
        return
    rows = [
        (
            f"v{row.version}",
            row.status,
            output.local_time(row.created_ns),
            output.size(row.size_bytes),
            f"{row.file_count:,}",
            row.run or "-",
            ", ".join(aliases.get(row.version, ())),
        )
        for row in found
    ]
    head = ("VERSION", "STATUS", "CREATED", "SIZE", "FILES", "RUN", "ALIASES")
    output.say(*output.table(head, rows, numbers=("SIZE", "FILES")))


def show(context: typer.Context, spec: Spec, *, as_of: AsOf = None) -> None:
    """Show what is known of a version, also of a deleted one."""
    with opening.reading(asked(context)) as store:
        wanted, moment = past.meant(store, asked(context), spec, as_of)
        row = find(store, wanted, moment)
        if asked(context).as_json:
            show_as_json(store, row, moment)
            return
        known, references = describe(store, row, moment)
        used_by = store.version_of(row, as_of=moment).used_by()
    output.say(output.printable(late.names.spec(row.name, row.version)))
    about = {
        "type": known.type,
        "status": known.status,
        "created": output.local_time(row.created_ns),
        "deleted": output.local_time(row.deleted_ns) if row.deleted_ns else "",
        "logged by": known.created_by_run or "-",
        "used by": ", ".join(used_by),
        "size": f"{output.size(known.size_bytes)} ({output.count(known.size_bytes, 'byte')})",
        "files": f"{known.num_files:,}",
        "aliases": ", ".join(known.aliases),
        "tags": ", ".join(known.tags),
        "digest": known.digest,
        "description": known.description or "",
    }
    output.say(*(f"  {label:<12} {output.printable(value)}" for label, value in about.items() if value))
    if known.metadata:
        output.say("metadata", *output.values(known.metadata))
    if references:
        output.say("references", *(f"  {reference_line(reference)}" for reference in references))


def files(
    context: typer.Context,
    spec: Spec,
    *,
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="PATH", help="Only files whose path begins so, such as weights/.")
    ] = "",
    as_of: AsOf = None,
) -> None:
    """List the files of a version, by path."""
    with opening.reading(asked(context)) as store:
        wanted, moment = past.meant(store, asked(context), spec, as_of)
        version = store.version_of(find(store, wanted, moment), as_of=moment)
        if asked(context).as_json:
            many = (
                {"path": file.path, "size_bytes": file.size, "digest": file.digest, "executable": file.executable}
                for file in version.files(prefix)
            )
            output.document_of_many("runicorn.files/1", "files", many, spec=version.full_name, **past.member(moment))
            return
        # Lines as they come, not a table: there may be a million of them.
        for file in version.files(prefix):
            output.say(f"{output.size(file.size):>10}  {output.printable(file.path)}")


def delete(
    context: typer.Context,
    spec: Spec,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Although an alias points to it, or live versions were made from it.")
    ] = False,
    reason: Reason = None,
) -> None:
    """Hide a version; `runicorn restore` brings it back. Its number is never given again."""
    with opening.changing(asked(context)) as store:
        row = find(store, spec)
        chosen = late.names.spec(row.name, row.version)
        if row.status != late.rows.DELETED:
            require_yes(asked(context), f"Delete {chosen}?", sys.stderr)
        store.delete(chosen, reason=reason, force=force)
    if asked(context).as_json:
        output.document("runicorn.delete/1", spec=chosen, status=late.rows.DELETED)
    else:
        output.say(f"{chosen} is deleted")
        output.complain("hint", f"`runicorn restore {chosen}` brings it back")


def restore(context: typer.Context, spec: Spec, *, reason: Reason = None) -> None:
    """Bring a deleted version back, with everything it had."""
    with opening.changing(asked(context)) as store:
        row = find(store, spec)
        chosen = late.names.spec(row.name, row.version)
        store.restore(chosen, reason=reason)
    if asked(context).as_json:
        output.document("runicorn.restore/1", spec=chosen, status=late.rows.READY)
    else:
        output.say(f"{chosen} is restored")


def find(store: "late.store.Store", spec: str, moment: "late.moments.Moment | None" = None) -> "late.rows.VersionRow":
    """Return the row of a version, also of a deleted one. Raises Unknown, naming what exists nearby."""
    with store.reading(moment) as view:
        return late.queries.resolve(view, late.names.parse_reference(spec), deleted=True)


def describe(
    store: "late.store.Store", row: "late.rows.VersionRow", moment: "late.moments.Moment | None" = None
) -> "tuple[late.stored.Metadata, list[late.events.ReferenceAdded]]":
    """Return what is known of a version, and its references."""
    with store.reading(moment) as view:
        return late.stored.describe(view, row), late.queries.references(view, row)


def show_versions_as_json(
    store: "late.store.Store",
    name: str,
    *,
    deleted: bool = False,
    after: int | None = None,
    limit: int | None = None,
    moment: "late.moments.Moment | None" = None,
) -> None:
    """Answer as ``versions --json`` does."""
    found = store.versions(name, deleted=deleted, after=after, limit=limit, as_of=moment)
    with store.reading(moment) as view:
        aliases = late.queries.aliases_by_version(view, name)
    output.document(
        "runicorn.versions/1",
        name=name,
        **past.member(moment),
        versions=[_version(row, aliases.get(row.version, [])) for row in found],
    )


def show_as_json(
    store: "late.store.Store", row: "late.rows.VersionRow", moment: "late.moments.Moment | None" = None
) -> None:
    """Answer as ``show --json`` does."""
    known, references = describe(store, row, moment)
    output.document(
        "runicorn.show/1",
        **past.member(moment),
        name=known.name,
        version=known.version,
        spec=late.names.spec(row.name, row.version),
        type=known.type,
        status=known.status,
        created=known.created_at,
        deleted=known.deleted_at,
        run=known.created_by_run,
        used_by=store.version_of(row, as_of=moment).used_by(),
        size_bytes=known.size_bytes,
        files=known.num_files,
        references=[
            {
                "uri": reference.uri,
                "checksum": reference.checksum,
                "size_bytes": reference.size_bytes,
                "attributes": late.queries.json_object(reference.attributes),
            }
            for reference in references
        ],
        aliases=known.aliases,
        tags=known.tags,
        description=known.description,
        digest=known.digest,
        metadata=known.metadata,
    )


def reference_line(reference: "late.events.ReferenceAdded") -> str:
    """Return a reference in one line: its URI, with size and checksum where they are known."""
    details: list[str] = []
    if reference.size_bytes is not None:
        details.append(output.size(reference.size_bytes))
    if reference.checksum:
        details.append(reference.checksum)
    return output.printable(reference.uri + (f" ({', '.join(details)})" if details else ""))


def _version(row: "late.rows.VersionRow", aliases: list[str]) -> dict[str, Any]:
    return {
        "version": row.version,
        "spec": late.names.spec(row.name, row.version),
        "status": row.status,
        "created": output.utc_time(row.created_ns),
        "deleted": output.utc_time(row.deleted_ns),
        "size_bytes": row.size_bytes,
        "files": row.file_count,
        "references": row.reference_count,
        "run": row.run,
        "digest": str(late.names.Digest(row.digest)),
        "aliases": aliases,
    }
