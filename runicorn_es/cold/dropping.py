"""What no blob needs any more, out of the packs.

First the recipes of dropped blobs go, then the chunks that no recipe names: a crash in between leaves chunks that take
space for nothing, and never a recipe without its chunks. What is left is found again by looking, so that every step may
be repeated. A pack is rewritten without what goes, and removed when the new one is durable.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
import os

from runicorn_es import durable
from runicorn_es.cold import pack
from runicorn_es.cold.finding import Finder
from runicorn_es.cold.pack import CHUNK, RECIPE, Recipe, Row
from runicorn_es.cold.reading import OpenPacks, Progress
from runicorn_es.cold.writing import PackWriter
from runicorn_es.errors import Damaged
from runicorn_es.layout import Layout

# So many digests of chunks are held in memory at once; for more, the recipes are read several times.
_HELD_MAX = 2_000_000


def drop_recipes(layout: Layout, finder: Finder, digests: Collection[bytes]) -> int:
    """Rewrite the packs with recipes of these blobs; returns the bytes freed. Nobody may be taking blobs in."""
    freed = 0
    for name in sorted(finder.refresh()):
        index = _index(finder, name)
        if any(row.digest in digests for row in pack.rows_of(RECIPE, index.recipes)):
            freed += _rewrite_without(layout, finder, name, RECIPE, digests)
    return freed


def sweep(
    layout: Layout, finder: Finder, exclusively: Callable[[], AbstractContextManager[None]], progress: Progress
) -> int:
    """Rewrite the packs with chunks that no recipe names; returns the bytes freed.

    exclusively: opened for each pack: a block in which nobody takes blobs in.
    """
    freed = 0
    candidates = {name for name, _ in _unused(finder, frozenset())}
    for name in sorted(candidates):
        with exclusively():
            own = {row.digest for row in pack.rows_of(CHUNK, _index(finder, name).chunks)}
            # Somebody may have used one of them again since we looked.
            for recipe in _recipes(finder, frozenset()):
                own.difference_update(recipe.digests)
            if own:
                freed += _rewrite_without(layout, finder, name, CHUNK, own)
        progress(1)
    return freed


def what_goes(finder: Finder, digests: Collection[bytes]) -> int:
    """Return the bytes that dropping these blobs and sweeping would free."""
    goes = 0
    for name in finder.refresh():
        rows = pack.rows_of(RECIPE, _index(finder, name).recipes)
        goes += sum(row.length_bytes for row in rows if row.digest in digests)
    return goes + sum(row.length_bytes for _, row in _unused(finder, digests))


def _unused(finder: Finder, without: Collection[bytes]) -> Iterator[tuple[str, Row]]:
    """Yield the chunks, each with its pack, that no recipe names but those of the blobs left out."""
    names = sorted(finder.refresh())
    count = sum(len(_index(finder, name).chunks) // pack.ROW_BYTES for name in names)
    passes = 1 + count // _HELD_MAX
    for number in range(passes):
        named: set[bytes] = set()
        for recipe in _recipes(finder, without):
            named.update(digest for digest in recipe.digests if digest[0] % passes == number)
        for name in names:
            for row in pack.rows_of(CHUNK, _index(finder, name).chunks):
                if row.digest[0] % passes == number and row.digest not in named:
                    yield name, row


def _recipes(finder: Finder, without: Collection[bytes]) -> Iterator[Recipe]:
    """Yield all recipes but those of these blobs. Raises Damaged where one cannot be read: its chunks are not known."""
    with OpenPacks(finder) as opened:
        for name in sorted(finder.names()):
            for row in pack.rows_of(RECIPE, _index(finder, name).recipes):
                if row.digest in without:
                    continue
                found = opened.read(name, row.offset, row.length_bytes)
                recipe = pack.recipe_in(found, row.digest)
                if recipe is None:
                    raise Damaged(
                        f"{finder.path(name)}, offset {row.offset}: a recipe is damaged, so nothing is removed; "
                        "`runicorn-es audit` says what is affected"
                    )
                yield recipe


def _rewrite_without(layout: Layout, finder: Finder, name: str, kind: int, digests: Collection[bytes]) -> int:
    """Put what stays of a pack into a new one and remove it; returns the bytes freed."""
    path = finder.path(name)
    before = path.stat().st_size
    rows = _index(finder, name).rows()
    writer = PackWriter(layout, finder, None)
    try:
        with OpenPacks(finder) as opened:
            for row in rows:
                if row.kind != kind or row.digest not in digests:
                    writer.copy(row.kind, row.digest, row.size_bytes, opened.read(name, row.offset, row.length_bytes))
        writer.finish()
    finally:
        writer.abandon()
    path.unlink()
    durable.sync_folder(layout.packs)
    finder.forget(name, rows)
    return before - writer.size_bytes


def _index(finder: Finder, name: str) -> pack.Index:
    with suppress(FileNotFoundError):
        descriptor = os.open(finder.path(name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return pack.read_index(descriptor)
        finally:
            os.close(descriptor)
    return pack.Index(b"", b"", 0, is_stored=True)


def blobs(finder: Finder) -> Iterable[tuple[bytes, int]]:
    """Return all blobs that packs hold, with their sizes."""
    found: dict[bytes, int] = {}
    for name in finder.refresh():
        for row in pack.rows_of(RECIPE, _index(finder, name).recipes):
            found[row.digest] = row.size_bytes
    return found.items()
