"""The one place from which the command line imports what takes long to import, at the moment it is first used.

``--help`` and a misspelt option then cost no more than typer, and only what a verb needs is read. To type checkers and
editors these are ordinary imports.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import webbrowser

    import msgspec
    from rich import console, progress

    from runicorn_es import (
        artifact,
        audit,
        durable,
        events,
        export,
        following,
        founding,
        layout,
        location,
        moments,
        names,
        pool,
        projections,
        proofs,
        purge,
        queries,
        repair,
        rules,
        settings,
        signing,
        store,
        tables,
        telling,
        tiles,
    )
    from runicorn_es.artifact import patterns, stored
    from runicorn_es.cli import checkup, handler
    from runicorn_es.projections import rows
    from runicorn_es.signing import checkpoint as signed
    from runicorn_es.signing import note
    from runicorn_es.viewer import serving

__all__ = [
    "artifact",
    "audit",
    "checkup",
    "console",
    "durable",
    "events",
    "export",
    "following",
    "founding",
    "handler",
    "layout",
    "location",
    "moments",
    "msgspec",
    "names",
    "note",
    "patterns",
    "pool",
    "progress",
    "projections",
    "proofs",
    "purge",
    "queries",
    "repair",
    "rows",
    "rules",
    "serving",
    "settings",
    "signed",
    "signing",
    "store",
    "stored",
    "tables",
    "telling",
    "tiles",
    "webbrowser",
]

_MODULES = {
    "artifact": "runicorn_es.artifact",
    "audit": "runicorn_es.audit",
    "checkup": "runicorn_es.cli.checkup",
    "console": "rich.console",
    "durable": "runicorn_es.durable",
    "events": "runicorn_es.events",
    "export": "runicorn_es.export",
    "following": "runicorn_es.following",
    "founding": "runicorn_es.founding",
    "handler": "runicorn_es.cli.handler",
    "layout": "runicorn_es.layout",
    "location": "runicorn_es.location",
    "msgspec": "msgspec",
    "names": "runicorn_es.names",
    "note": "runicorn_es.signing.note",
    "patterns": "runicorn_es.artifact.patterns",
    "pool": "runicorn_es.pool",
    "progress": "rich.progress",
    "projections": "runicorn_es.projections",
    "proofs": "runicorn_es.proofs",
    "purge": "runicorn_es.purge",
    "moments": "runicorn_es.moments",
    "queries": "runicorn_es.queries",
    "repair": "runicorn_es.repair",
    "rows": "runicorn_es.projections.rows",
    "rules": "runicorn_es.rules",
    "serving": "runicorn_es.viewer.serving",
    "settings": "runicorn_es.settings",
    "signed": "runicorn_es.signing.checkpoint",
    "signing": "runicorn_es.signing",
    "store": "runicorn_es.store",
    "stored": "runicorn_es.artifact.stored",
    "tables": "runicorn_es.tables",
    "tiles": "runicorn_es.tiles",
    "telling": "runicorn_es.telling",
    "webbrowser": "webbrowser",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return import_module(_MODULES[name])
