"""``tag``, ``describe`` and ``annotate``: what is said of a version after it was logged."""

from typing import Annotated, Any

import typer

from runicorn_es.cli import late, opening, output
from runicorn_es.cli.asked import asked
from runicorn_es.cli.failures import Refused
from runicorn_es.cli.options import Spec


def tag(
    context: typer.Context,
    spec: Spec,
    tags: Annotated[list[str] | None, typer.Argument(metavar="[TAG...]", help="Tags to add.")] = None,
    *,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="TAG", help="A tag to take away; may be repeated.")
    ] = None,
) -> None:
    """Add tags to a version and take others from it; without any, list them."""
    if tags or remove:
        with opening.changing(asked(context)) as store:
            version = store.get(spec)
            store.set_tags(version.full_name, tags or (), remove or ())
            found = store.get(version.full_name).tags
    else:
        with opening.reading(asked(context)) as store:
            version = store.get(spec)
            found = version.tags
    if asked(context).as_json:
        output.document("runicorn.tag/1", spec=version.full_name, tags=found)
    else:
        output.say(*map(output.printable, found))


def describe(
    context: typer.Context,
    spec: Spec,
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="What the version is.")] = None,
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Take the description away.")] = False,
) -> None:
    """Describe a version in words; without TEXT, show what was said."""
    if text is not None and remove:
        raise Refused("either a description is set, or it is removed", "leave out the text, or --remove")
    if text is not None or remove:
        with opening.changing(asked(context)) as store:
            version = store.get(spec)
            store.describe(version.full_name, text)
            found = store.get(version.full_name).description
    else:
        with opening.reading(asked(context)) as store:
            version = store.get(spec)
            found = version.description
    if asked(context).as_json:
        output.document("runicorn.describe/1", spec=version.full_name, description=found)
    elif found is not None:
        output.say(*map(output.printable, found.splitlines()))


def annotate(
    context: typer.Context,
    spec: Spec,
    pairs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE...]", help="Metadata to set; VALUE is JSON, or else a text."),
    ] = None,
    *,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="KEY", help="A key to take away, inner ones with dots; may be repeated."),
    ] = None,
) -> None:
    """Set keys of a version's metadata and take others away; without any, show it."""
    if pairs or remove:
        changes = metadata_of(pairs or [], "")
        with opening.changing(asked(context)) as store:
            version = store.get(spec)
            store.set_metadata(version.full_name, changes, remove=remove or ())
            found = store.get(version.full_name).metadata
    else:
        with opening.reading(asked(context)) as store:
            version = store.get(spec)
            found = version.metadata
    if asked(context).as_json:
        output.document("runicorn.annotate/1", spec=version.full_name, metadata=found)
    else:
        output.say(*(line.strip() for line in output.values(found)))


def metadata_of(pairs: list[str], option: str) -> dict[str, Any]:
    """Return pairs KEY=VALUE as metadata: a value is JSON, or else a text. ``option``: for messages."""
    metadata: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise Refused(f"{option}{pair!r} is not of the form KEY=VALUE", f"{option}val_acc=0.95, for one")
        try:
            metadata[key] = late.msgspec.json.decode(value)
        except late.msgspec.DecodeError:
            metadata[key] = value
    return metadata
