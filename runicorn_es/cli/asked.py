"""The global options of one command line, collected from both sides of the verb."""

from pathlib import Path
from typing import Any, NamedTuple

import typer


class Asked(NamedTuple):
    """storage: None where the line names none. as_json: answer in JSON. yes: ask nothing."""

    storage: Path | None
    as_json: bool
    yes: bool


def asked(context: typer.Context) -> Asked:
    """Return the global options, wherever on the line they stood."""
    noted: dict[str, Any] = context.ensure_object(dict)
    storage = noted.get("storage")
    return Asked(None if storage is None else Path(storage), bool(noted.get("as_json")), bool(noted.get("yes")))


def note(context: typer.Context, option: Any, value: object) -> object:
    """Keep a global option; a callback of typer's. One that is not given must not undo the other side of the verb."""
    if value is not None and value is not False:
        context.ensure_object(dict)[option.name] = value
    return value
