"""What every verb understands, before its name and after it, and the arguments that several verbs share."""

from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

from runicorn_es.cli import completion
from runicorn_es.cli.asked import note

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The name of an artifact.", autocompletion=completion.artifact_names),
]
Spec = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="A version: name (the latest), name:v3, name:alias, or name@ and the beginning of its digest.",
        autocompletion=completion.specs,
    ),
]
Type = Annotated[
    str | None, typer.Option("--type", metavar="TYPE", help="model, dataset, config, code, custom, or another word.")
]
MOMENT = "2026-01-31, 2026-01-31T18:30, '3 days ago', '#812', or the file of a checkpoint."
Since = Annotated[str | None, typer.Option("--since", metavar="MOMENT", help=f"Only after: {MOMENT}")]
Until = Annotated[str | None, typer.Option("--until", metavar="MOMENT", help="Only up to then, spelled likewise.")]
AsOf = Annotated[str | None, typer.Option("--as-of", metavar="MOMENT", help=f"How it was then: {MOMENT}")]
Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="At most so many.")]
Force = Annotated[bool, typer.Option("--force", help="Although the alias is protected.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; it is kept in the log.")]


class Verb(TyperCommand):
    """A command that also takes the global options."""

    def __init__(self, name: str | None, *, params: list[Any] | None = None, **attributes: Any) -> None:
        super().__init__(name, params=[*(params or []), *global_options()], **attributes)


def global_options() -> list[TyperOption]:
    """Return the options that stand before a verb or behind it."""
    return [
        TyperOption(
            param_decls=["storage", "--storage", "--store"],
            metavar="DIR",
            expose_value=False,
            callback=note,
            help="The folder of the store; else $RUNICORN_DIR, else what the user's configuration says.",
        ),
        _flag("as_json", "--json", help="Answer in JSON."),
        _flag("yes", "--yes", "-y", help="Answer yes to every question."),
    ]


def _flag(*names: str, help: str) -> TyperOption:  # noqa: A002 - as typer calls it
    return TyperOption(param_decls=list(names), is_flag=True, expose_value=False, callback=note, help=help)
