"""The one place from which the command line imports what takes long to import, at the moment it is first used.

``--help`` and a misspelt option then cost no more than typer, and only what a verb needs is read. To type checkers and
editors these are ordinary imports.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import msgspec
    from rich import console, progress

    from runicorn_es import artifact, events, founding, layout, location, names, queries, store
    from runicorn_es.artifact import stored
    from runicorn_es.cli import checkup, history
    from runicorn_es.projections import rows

__all__ = [
    "artifact",
    "checkup",
    "console",
    "events",
    "founding",
    "history",
    "layout",
    "location",
    "msgspec",
    "names",
    "progress",
    "queries",
    "rows",
    "store",
    "stored",
]

_MODULES = {
    "artifact": "runicorn_es.artifact",
    "checkup": "runicorn_es.cli.checkup",
    "console": "rich.console",
    "events": "runicorn_es.events",
    "founding": "runicorn_es.founding",
    "history": "runicorn_es.cli.history",
    "layout": "runicorn_es.layout",
    "location": "runicorn_es.location",
    "msgspec": "msgspec",
    "names": "runicorn_es.names",
    "progress": "rich.progress",
    "queries": "runicorn_es.queries",
    "rows": "runicorn_es.projections.rows",
    "store": "runicorn_es.store",
    "stored": "runicorn_es.artifact.stored",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return import_module(_MODULES[name])
