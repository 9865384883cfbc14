"""Version control for models and datasets: an event-sourced, append-only artifact store.

import runicorn_es as rn

run = rn.init(project="image_classification", name="resnet50_v1")
model = rn.Artifact("resnet50-model", type="model").add_file("model.pth")
version = run.log_artifact(model)
rn.finish()
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runicorn_es.artifact import Artifact, ArtifactVersion, File, Manifest, Metadata, VersionNumber
    from runicorn_es.compact import Compacted
    from runicorn_es.consumers import Consumer
    from runicorn_es.custom import Projected, Projection
    from runicorn_es.errors import (
        BadQuery,
        BlobDamaged,
        Busy,
        Conflict,
        Damaged,
        DiskFull,
        Rejected,
        RunicornError,
        TooNew,
        Unknown,
        WriteFailed,
    )
    from runicorn_es.explain import Explanation
    from runicorn_es.following import Following, Happened
    from runicorn_es.purge import Purged
    from runicorn_es.queries import Changes, Diff, Due, Found, Step
    from runicorn_es.reclaim import Reclaimable, Reclaimed
    from runicorn_es.rules import Rule
    from runicorn_es.run import Run, finish, init
    from runicorn_es.store import Batch, Store, open_store

__version__ = "0.1.0"

__all__ = [
    "Artifact",
    "ArtifactVersion",
    "BadQuery",
    "Batch",
    "BlobDamaged",
    "Busy",
    "Changes",
    "Compacted",
    "Conflict",
    "Consumer",
    "Damaged",
    "Diff",
    "DiskFull",
    "Due",
    "Explanation",
    "File",
    "Following",
    "Found",
    "Happened",
    "Manifest",
    "Metadata",
    "Projected",
    "Projection",
    "Purged",
    "Reclaimable",
    "Reclaimed",
    "Rejected",
    "Rule",
    "Run",
    "RunicornError",
    "Step",
    "Store",
    "TooNew",
    "Unknown",
    "VersionNumber",
    "WriteFailed",
    "finish",
    "init",
    "open_store",
]

# Where each name lives. It is imported when it is first asked for (PEP 562): the command line answers `--help` without
# the store, and a program that only catches our errors does not pay for the rest.
_ROOMS = {
    "artifact": ("Artifact", "ArtifactVersion", "File", "Manifest", "Metadata", "VersionNumber"),
    "compact": ("Compacted",),
    "errors": (
        "BadQuery",
        "BlobDamaged",
        "Busy",
        "Conflict",
        "Damaged",
        "DiskFull",
        "Rejected",
        "RunicornError",
        "TooNew",
        "Unknown",
        "WriteFailed",
    ),
    "consumers": ("Consumer",),
    "custom": ("Projected", "Projection"),
    "explain": ("Explanation",),
    "following": ("Following", "Happened"),
    "purge": ("Purged",),
    "queries": ("Changes", "Diff", "Due", "Found", "Step"),
    "reclaim": ("Reclaimable", "Reclaimed"),
    "rules": ("Rule",),
    "run": ("Run", "finish", "init"),
    "store": ("Batch", "Store", "open_store"),
}

if not TYPE_CHECKING:  # for a type checker, a module with __getattr__ has every name

    def __getattr__(name: str) -> object:
        for room, exported in _ROOMS.items():
            if name in exported:
                found = getattr(import_module(f"{__name__}.{room}"), name)
                globals()[name] = found
                return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
