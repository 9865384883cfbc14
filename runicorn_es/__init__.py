"""Version control for models and datasets: an event-sourced, append-only artifact store.

import runicorn_es as rn

run = rn.init(project="image_classification", name="resnet50_v1")
model = rn.Artifact("resnet50-model", type="model").add_file("model.pth")
version = run.log_artifact(model)
rn.finish()
"""

from runicorn_es.artifact import Artifact, ArtifactVersion, File, Manifest, Metadata, VersionNumber
from runicorn_es.errors import (
    BlobDamaged,
    Busy,
    Conflict,
    Damaged,
    Rejected,
    RunicornError,
    TooNew,
    Unknown,
    WriteFailed,
)
from runicorn_es.run import Run, finish, init
from runicorn_es.store import Store, open_store

__version__ = "0.1.0"

__all__ = [
    "Artifact",
    "ArtifactVersion",
    "BlobDamaged",
    "Busy",
    "Conflict",
    "Damaged",
    "File",
    "Manifest",
    "Metadata",
    "Rejected",
    "Run",
    "RunicornError",
    "Store",
    "TooNew",
    "Unknown",
    "VersionNumber",
    "WriteFailed",
    "finish",
    "init",
    "open_store",
]
