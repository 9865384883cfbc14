"""A pool of its own for each test, and what goes in and comes out of it."""

from collections.abc import Callable, Sequence
import os
from pathlib import Path

from blake3 import blake3
import pytest

from runicorn_es.cold import Packs
from runicorn_es.layout import Layout
from runicorn_es.pool import Pool, create_pool
from runicorn_es.pool.hashed import HashedBlobs
from runicorn_es.pool.ingest import Stored, taking_in
from runicorn_es.pool.materialize import Wanted, materialize
from runicorn_es.pool.sources import Source
from runicorn_es.pool.usage import Usage
from runicorn_es.tables import MemoryTables


class NoCache:
    """A stat cache that knows nothing."""

    def find(self, found: Sequence[os.stat_result]) -> list[bytes | None]:
        return [None] * len(found)

    def remember(self, found: os.stat_result, digest: bytes, seen_ns: int) -> None:
        """Forget it."""

    def flush(self) -> None:
        """Do nothing."""


def digest_of(content: bytes) -> bytes:
    return blake3(content).digest()


class Shelf(Pool):
    """A pool with the two ways in and out at hand."""

    def __init__(self, layout: Layout) -> None:
        self.tables = MemoryTables()
        rows = self.tables.reading, self.tables.writing
        super().__init__(layout, HashedBlobs(*rows), Usage(*rows, layout.recount), Packs(layout, *rows))

    def path(self, digest: bytes, size_bytes: int) -> str:
        """Return the path of one blob."""
        return self.paths([(digest, size_bytes)])[0]

    def has(self, digest: bytes, size_bytes: int) -> bool:
        """Return whether one blob is there intact."""
        return self.holds([(digest, size_bytes)])[0]

    def take(
        self, *sources: Path | Source, mode: str = "copy", cache=None, progress: Callable[[int], object] = bool
    ) -> list[Stored]:
        """Take files into the pool."""
        given = [one if isinstance(one, Source) else Source(str(one.parent), one.name, mode) for one in sources]
        with taking_in(self, given, token="t", cache=cache or NoCache(), progress=progress) as stored:
            return stored

    def put(self, content: bytes) -> bytes:
        """Take in a file with this content; returns its digest."""
        source = self.layout.root.parent / f"source-{os.urandom(4).hex()}"
        source.write_bytes(content)
        [stored] = self.take(source)
        return stored.digest

    def blob(self, digest: bytes) -> Path:
        """Return where the blob lies, or would."""
        return Path(self.layout.blob(digest))

    def blobs(self) -> dict[str, bytes]:
        """Return the content of every blob by its name."""
        return {path.name: path.read_bytes() for path in self.layout.pool.glob("[0-9a-f][0-9a-f]/*")}

    def hand_out(
        self,
        target: Path,
        *,
        mode: str = "link",
        overwrite: bool = False,
        progress: Callable[[int], object] = bool,
        **files: bytes | Wanted,
    ) -> Path:
        """Hand out blobs, which the pool has, under these names."""
        wanted = [
            one if isinstance(one, Wanted) else Wanted(name, digest_of(one), len(one), executable=False)
            for name, one in files.items()
        ]
        materialize(self, wanted, target, mode=mode, overwrite=overwrite, progress=progress)
        return target


@pytest.fixture
def pool(tmp_path):
    shelf = Shelf(Layout(tmp_path / "store"))
    shelf.layout.root.mkdir()
    create_pool(shelf.layout)
    return shelf
