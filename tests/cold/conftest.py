"""Packs of their own for each test, and what goes in and comes out of them."""

from collections.abc import Iterable
from contextlib import nullcontext
import os
from pathlib import Path
import random
import tempfile

from blake3 import blake3
import pytest

from runicorn_es.cold import Packs
from runicorn_es.layout import Layout
from runicorn_es.pool import create_pool
from runicorn_es.tables import MemoryTables


def digest_of(content: bytes) -> bytes:
    return blake3(content).digest()


def noise(size_bytes: int, seed: int = 0) -> bytes:
    """Return bytes that nothing compresses, the same for the same seed."""
    return random.Random(seed).randbytes(size_bytes)


class Shelf(Packs):
    """Packs with the ways in and out at hand."""

    def __init__(self, layout: Layout, rows: MemoryTables | None = None) -> None:
        self.layout = layout
        self.rows = rows or MemoryTables()
        super().__init__(layout, self.rows.reading, self.rows.writing)

    def again(self, *, with_rows: bool = False) -> "Shelf":
        """Return the same packs as another process sees them."""
        return Shelf(self.layout, self.rows if with_rows else None)

    def put(self, *contents: bytes) -> list[bytes]:
        """Pack blobs with these contents; returns their digests."""
        with tempfile.TemporaryDirectory(dir=self.layout.root) as folder:
            blobs = []
            for number, content in enumerate(contents):
                path = Path(folder, str(number))
                path.write_bytes(content)
                blobs.append((digest_of(content), os.fspath(path)))
            self.add(blobs, lambda _: None)
        return [digest for digest, _ in blobs]

    def whole(self, digest: bytes) -> bytes:
        """Return a blob as it is handed out."""
        with tempfile.TemporaryFile(dir=self.layout.root) as out:
            self.fill(digest, out.fileno(), lambda _: None)
            return os.pread(out.fileno(), 1 << 30, 0)

    def keep_only(self, kept: Iterable[bytes]) -> None:
        """Drop all blobs but these, and the chunks that only the others had."""
        self.drop({digest for digest, _ in self.blobs()} - set(kept))
        self.sweep(nullcontext, lambda _: None)

    def files(self) -> list[Path]:
        """Return all pack files."""
        return sorted(self.layout.packs.glob("*"))


@pytest.fixture
def packs(tmp_path):
    layout = Layout(tmp_path / "store")
    layout.root.mkdir()
    create_pool(layout)
    return Shelf(layout)
