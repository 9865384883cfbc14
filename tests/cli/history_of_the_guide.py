"""A store with the artifacts of the user's guide: their names, sizes, times and runs, but without bytes."""

from datetime import UTC, datetime
import os
from pathlib import Path

from runicorn_es import Artifact, Store, codec
from runicorn_es.ambient import Actor, Ambient
from runicorn_es.artifact.paging import pages_of
from runicorn_es.commands import LogArtifact, StartRun
from runicorn_es.events import FileAdded

MB = 1024**2
# By name: the type, and for each version its size in MB, when and by which run it was logged.
VERSIONS = {
    "resnet50-model": (
        "model",
        [
            (97.50, "2025-09-01 10:30:15", "20250901_103015_abc123"),
            (98.00, "2025-09-15 14:22:33", "20250915_142233_def456"),
            (98.23, "2025-09-30 16:45:12", "20250930_164512_ghi789"),
        ],
    ),
    "bert-base-finetuned": ("model", [(400.00, "2025-09-02 09:00:00", None), (420.15, "2025-09-03 09:00:00", None)]),
    "old-model": ("model", [(30.00, f"2025-08-0{day} 09:00:00", None) for day in (1, 2, 3)]),
    "imagenet-subset": ("dataset", [(5120.00, "2025-08-20 09:00:00", None)]),
    "voices": ("dataset", [(200.00, f"2025-08-1{day} 09:00:00", None) for day in (1, 2, 3)]),
}
METADATA = {"architecture": "ResNet50", "val_acc": 0.95, "epochs": 100, "optimizer": "AdamW"}
POOL_SHARE = 1 - 0.235
# The one file that the pool has.
LARGEST, ITS_DIGEST = "imagenet-subset", bytes(32)


def write(root: Path) -> None:
    """Make the store. The pool holds one file without blocks, of the size that the guide's figures need."""
    for name, (kind, versions) in VERSIONS.items():
        for number, (megabytes, when, run) in enumerate(versions, 1):
            clock = Clock(when)
            with Store(root, ambient=Ambient(clock.now_ns, os.urandom, lambda: Actor("ana", "lab", 7))) as store:
                if run is not None:
                    store.execute(StartRun(run, "vision", None, "{}", (), "3.11", (), "/", None, None), run=run)
                metadata = METADATA if name == "resnet50-model" and number == 3 else {}
                store.execute(_logged(name, kind, round(megabytes * MB), run, metadata))
    with Store(root) as store:
        store.alias("resnet50-model:v3", "production")
        total = store.stats().total.size_bytes
        blob = Path(store.layout.blob(ITS_DIGEST))
        blob.touch()
        os.truncate(blob, round(total * POOL_SHARE))
        store.pool.usage.forget()


class Clock:
    """A clock that stands still at a time of the wall."""

    def __init__(self, when: str) -> None:
        self._ns = int(datetime.strptime(when, "%Y-%m-%d %H:%M:%S").astimezone(UTC).timestamp()) * 1_000_000_000

    def now_ns(self) -> int:
        """Return the time."""
        return self._ns


def _logged(name: str, kind: str, size_bytes: int, run: str | None, metadata: dict[str, object]) -> LogArtifact:
    file_digest = ITS_DIGEST if name == LARGEST else os.urandom(32)
    pages = tuple(pages_of([FileAdded("model.pth", file_digest, size_bytes)]))
    digest = codec.content_digest([page.digest for page in pages], ())
    encoded = Artifact(name, kind, metadata=metadata).metadata_json()
    return LogArtifact(name, kind, run, pages, (), digest, encoded, (), None, ())
