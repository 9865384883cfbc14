"""``diff``: what is different between two versions."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from runicorn_es.cli import completion, late, opening, output, past
from runicorn_es.cli.asked import asked
from runicorn_es.cli.failures import REFUSED, Refused
from runicorn_es.cli.options import AsOf, Limit, Spec

_MARKS = {"added": "+", "removed": "-", "changed": "~", "renamed": ">", "copied": "="}


def diff(
    context: typer.Context,
    old: Spec,
    new: Annotated[
        str | None,
        typer.Argument(
            metavar="[NEW]",
            help="The version to compare it with; without it, SPEC is compared with the one before.",
            autocompletion=completion.specs,
        ),
    ] = None,
    *,
    stat: Annotated[bool, typer.Option("--stat", help="Sums and renamed folders, not every file.")] = False,
    patch: Annotated[
        bool, typer.Option("--patch", "-p", help="Text files line by line, safetensors tensor by tensor.")
    ] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 where they differ.")] = False,
    limit: Limit = None,
    as_of: AsOf = None,
) -> None:
    """Show what is different between two versions: files, metadata, tags, references, what they were made from."""
    if patch and (stat or asked(context).as_json):
        raise Refused("--patch shows lines of files; it goes neither with --stat nor with --json")
    with opening.reading(asked(context)) as store:
        moment = past.moment(store, asked(context), as_of)
        if patch:
            found = store.diff(old, new, limit=1, as_of=moment)
            for line in store.patch(old, new, as_of=moment):
                output.say(output.printable_line(line))
        else:
            found = store.diff(old, new, limit=1 if stat else limit, as_of=moment)
            if asked(context).as_json:
                _show_as_json(found, with_files=not stat, **past.member(moment))
            else:
                output.say(*_lines(found, with_files=not stat))
    if exit_code and not found.is_empty:
        raise typer.Exit(REFUSED)


def _lines(found: "late.queries.Diff", *, with_files: bool) -> Iterator[str]:
    yield output.printable(f"{found.old} → {found.new}")
    yield from _file_lines(found, with_files=with_files)
    if found.metadata:
        yield "metadata"
        for change in found.metadata:
            yield f"  {_MARKS[change.kind]} {output.printable(f'{change.key}: {_values(change)}')}"
    if found.tags_added or found.tags_removed:
        yield "tags"
        yield from (f"  + {output.printable(tag)}" for tag in found.tags_added)
        yield from (f"  - {output.printable(tag)}" for tag in found.tags_removed)
    if found.description is not None:
        yield "description"
        yield from (f"  - {output.printable(line)}" for line in (found.description.old or "").splitlines())
        yield from (f"  + {output.printable(line)}" for line in (found.description.new or "").splitlines())
    if found.references:
        yield "references"
        yield from (f"  {_MARKS[change.kind]} {output.printable(change.uri)}" for change in found.references)
    if found.aliases_old or found.aliases_new:
        yield "aliases"
        yield f"  - {', '.join(found.aliases_old) or 'none'}"
        yield f"  + {', '.join(found.aliases_new) or 'none'}"
    if found.inputs:
        yield "made from"
        for used in found.inputs:
            yield output.printable(f"  {', '.join(used.old) or 'nothing'} → {', '.join(used.new) or 'nothing'}")
    if found.is_empty:
        yield "both have the same files, references, metadata, tags and description"


def _file_lines(found: "late.queries.Diff", *, with_files: bool) -> Iterator[str]:
    counts = found.counts
    words = [
        f"{count:,} {kind}"
        for kind, count in (
            ("added", counts.added),
            ("removed", counts.removed),
            ("changed", counts.changed),
            ("renamed", counts.renamed),
            ("copied", counts.copied),
            ("unchanged", counts.unchanged),
        )
        if count
    ]
    yield (
        f"files: {', '.join(words) or 'none'}; {output.size(counts.old_size)} → {output.size(counts.new_size)}"
        f" ({_delta(found.size_delta)})"
    )
    for folder in found.folders:
        old, new = folder.old or ".", folder.new or "."
        yield output.printable(f"  {old}/ → {new}/  {output.count(folder.file_count, 'file')} renamed")
    if not with_files:
        return
    for change in found.files:
        yield f"  {_MARKS[change.kind]} {output.printable(_file(change))}"
    if found.is_cut:
        yield f"  … {counts.different - len(found.files):,} more"


def _file(change: "late.queries.FileChange") -> str:
    old, new = change.old, change.new
    if old is None or new is None:
        [only] = [file for file in (old, new) if file is not None]
        return f"{only.path}  {output.size(only.size)}"
    said = f"{old.path} → {new.path}" if old.path != new.path else new.path
    if old.digest != new.digest:
        said += f"  {output.size(old.size)} → {output.size(new.size)} ({_delta(change.size_delta)})"
    if change.has_other_mode:
        said += "  executable now" if new.executable else "  no longer executable"
    return said


def _values(change: Any) -> str:
    old, new = (late.msgspec.json.encode(value).decode() for value in (change.old, change.new))
    return {"added": new, "removed": old, "changed": f"{old} → {new}"}[change.kind]


def _delta(size_bytes: int) -> str:
    return f"{'-' if size_bytes < 0 else '+'}{output.size(abs(size_bytes))}"


def _show_as_json(found: "late.queries.Diff", *, with_files: bool, **moment: Any) -> None:
    counts = found.counts
    sums = {name: getattr(counts, name) for name in ("added", "removed", "changed", "renamed", "copied", "unchanged")}
    output.document(
        "runicorn.diff/1",
        old=found.old,
        new=found.new,
        is_empty=found.is_empty,
        counts=sums,
        old_bytes=counts.old_size,
        new_bytes=counts.new_size,
        files=[
            {"kind": change.kind, "path": change.path, "old": _side(change.old), "new": _side(change.new)}
            for change in (found.files if with_files else ())
        ],
        is_cut=found.is_cut,
        folders=found.folders,
        metadata_changes=[
            {"kind": change.kind, "key": change.key, "old": change.old, "new": change.new} for change in found.metadata
        ],
        tags={"added": found.tags_added, "removed": found.tags_removed},
        description=found.description,
        references=[
            {
                "kind": change.kind,
                "uri": change.uri,
                "old": _reference(change.old),
                "new": _reference(change.new),
            }
            for change in found.references
        ],
        aliases={"old": found.aliases_old, "new": found.aliases_new},
        inputs=found.inputs,
        runs={"old": found.old_run, "new": found.new_run},
        **moment,
    )


def _side(file: "late.queries.File | None") -> dict[str, Any] | None:
    if file is None:
        return None
    return {"path": file.path, "size_bytes": file.size, "digest": file.digest, "executable": file.executable}


def _reference(one: "late.queries.ExternalReference | None") -> dict[str, Any] | None:
    if one is None:
        return None
    return {"checksum": one.checksum, "size_bytes": one.size, "attributes": one.attributes}
