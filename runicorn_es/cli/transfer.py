"""``add`` and ``get``: files from the shell into a version, and back."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from runicorn_es.cli import late, opening, output, past
from runicorn_es.cli.asked import Asked, asked
from runicorn_es.cli.details import metadata_of
from runicorn_es.cli.failures import Refused
from runicorn_es.cli.options import AsOf, Name, Spec, Type
from runicorn_es.cli.progress import shown
from runicorn_es.errors import Unknown

_Mode = Annotated[
    Literal["link", "copy", "reflink"],
    typer.Option("--mode", help="Read-only links that take no space, or files of one's own to change."),
]


def add(
    context: typer.Context,
    name: Name,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Files, and folders with all that is in them.")
    ],
    *,
    type: Type = None,
    alias: Annotated[
        list[str] | None, typer.Option("--alias", metavar="ALIAS", help="An alias to set on it; may be repeated.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="A tag; may be repeated.")] = None,
    meta: Annotated[
        list[str] | None,
        typer.Option("--meta", metavar="KEY=VALUE", help="Metadata; VALUE is JSON, or else a text; may be repeated."),
    ] = None,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What it is.")] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="PATTERN", help="What to leave out of folders, such as *.log; repeatable."),
    ] = None,
    mode: Annotated[
        Literal["copy", "link", "move"],
        typer.Option("--mode", help="Store copies, or make the files themselves blobs: link keeps them, read-only."),
    ] = "copy",
    symlinks: Annotated[
        Literal["error", "follow"], typer.Option("--symlinks", help="Refuse symbolic links, or store their targets.")
    ] = "error",
    key: Annotated[
        str | None, typer.Option("--key", metavar="KEY", help="The same key twice makes one version, not two.")
    ] = None,
    cold: Annotated[bool, typer.Option("--cold", help="Put them into packs at once, as `compact` does.")] = False,
) -> None:
    """Store files as the next version of an artifact.

    Prints which version it is. Files keep their names, files in folders their paths below the folder.
    """
    kind = type or _type_of(asked(context), name)
    metadata = metadata_of(meta or [], "--meta ")
    artifact = late.artifact.Artifact(name, kind, description, metadata).add_tags(*(tag or []))
    for path in paths:
        if path.is_dir():
            artifact.add_dir(path, exclude_patterns=exclude or [], mode=mode, symlinks=symlinks)
        else:
            artifact.add_file(path, mode=mode, symlinks=symlinks)
    # Only now: what cannot be added must not leave an empty store behind.
    progressing = shown(f"adding {name}", lambda: _size_bytes(artifact))
    with opening.adding(asked(context)) as store, progressing as progress:
        version = store.log_artifact(artifact, aliases=alias or [], key=key, cold=cold, progress=progress)
    if asked(context).as_json:
        output.document(
            "runicorn.add/1", name=version.name, version=version.version, spec=version.spec, digest=version.digest
        )
    else:
        output.say(version.spec)


def get(
    context: typer.Context,
    spec: Spec,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Where to; without it a folder in the store.")
    ] = None,
    *,
    path: Annotated[
        list[str] | None,
        typer.Option("--path", metavar="PATTERN", help="Only these files, such as 'train/**/*.png'; may be repeated."),
    ] = None,
    mode: _Mode = "link",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there with another content.")
    ] = False,
    as_of: AsOf = None,
) -> None:
    """Make the files of a version below a folder.

    Prints where that is.
    """
    with opening.reading(asked(context)) as store:
        if folder is None and store.is_read_only:
            raise Refused(
                f"the store at {store.layout.root} may not be written to, so it has no room for the files",
                f"say where to: runicorn get {spec} DIR",
            )
        wanted, moment = past.meant(store, asked(context), spec, as_of)
        version = store.get(wanted, as_of=moment)
        files, size_bytes = _meant(version, path or [])
        with shown(f"getting {version.full_name}", lambda: size_bytes) as progress:
            target = version.download(folder, paths=path or (), mode=mode, overwrite=overwrite, progress=progress)
    real_path = os.path.realpath(target)
    if asked(context).as_json:
        output.document(
            "runicorn.get/1",
            spec=version.full_name,
            **past.member(moment),
            path=real_path.encode(errors="surrogateescape").decode(errors="replace"),
            files=files,
            size_bytes=size_bytes,
        )
    else:
        output.say(real_path)


def checkout(
    context: typer.Context,
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="One or more versions.")],
    *,
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="The folder; it is made if it is missing.")],
    mode: _Mode = "link",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace and remove files that were changed since, too.")
    ] = False,
) -> None:
    """Make a folder hold the files of versions, and none that an earlier checkout put there.

    Only what differs is touched; other files in the folder stay.
    """
    with opening.changing(asked(context)) as store:
        versions = [store.get(spec) for spec in specs]
        with shown("checking out", lambda: sum(one.get_metadata().size_bytes for one in versions)) as progress:
            done = store.checkout(
                [one.full_name for one in versions], into, mode=mode, overwrite=overwrite, progress=progress
            )
    if asked(context).as_json:
        names = [one.full_name for one in versions]
        output.document("runicorn.checkout/1", specs=names, path=str(into), **late.msgspec.structs.asdict(done))
    else:
        output.say(
            f"{done.added:,} added, {done.changed:,} changed, {done.removed:,} removed, {done.kept:,} as they were"
        )


def _meant(version: "late.stored.ArtifactVersion", paths: list[str]) -> tuple[int, int]:
    """Return how many files of a version are meant, and their bytes."""
    if not paths:
        known = version.get_metadata()
        return known.num_files, known.size_bytes
    patterns = late.patterns.Patterns(paths)
    sizes = [file.size for file in version.files(patterns.prefix) if patterns.matches(file.path)]
    return len(sizes), sum(sizes)


def _type_of(asked: Asked, name: str) -> str:
    try:
        with opening.reading(asked) as store, store.reading() as view:
            return late.queries.artifact(view, name).type
    except Unknown:
        raise Refused(f"{name!r} would be a new artifact; say of which --type", "--type model, for one") from None


def _size_bytes(artifact: "late.artifact.Artifact") -> int:
    return sum(path.stat().st_size for path in artifact.staged_files.values())
