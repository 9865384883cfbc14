"""Questions as of the middle of a history, against the same ones now. Argument: versions (10000)."""

from collections.abc import Callable
import os
from pathlib import Path

from measure import medians, number_argument, report, workplace

import runicorn_es as rn
from runicorn_es import codec, durable
from runicorn_es.artifact.paging import pages_of
from runicorn_es.commands import LogArtifact
from runicorn_es.events import FileAdded
from runicorn_es.moments import Moment

ARTIFACTS = 100
GOAL = 4.0


def main() -> None:
    """Measure and print the rows of the table."""
    versions = number_argument(10_000)
    with workplace() as folder:
        _fill(folder / "store", versions)
        with rn.open_store(folder / "store") as store:
            with store.reading() as view:
                middle = store.moment(view.size // 2)
            for question, ask, times in _questions(store):
                taken = medians({"now": _repeated(ask, None, times), "then": _repeated(ask, middle, times)})
                report(
                    f"{question}, as of the middle of {versions:,} versions", taken["then"], "now", taken["now"], GOAL
                )


def _questions(store: rn.Store) -> list[tuple[str, Callable[[Moment | None], object], int]]:
    """Return what is asked, and how often in one round."""
    return [
        ("where an alias points, which moved with each version", lambda then: store.get("m-7:best", as_of=then), 300),
        ("the newest version", lambda then: store.get("m-7", as_of=then), 300),
        ("list the versions of an artifact", lambda then: store.versions("m-7", as_of=then), 30),
        (f"list {ARTIFACTS} artifacts", lambda then: store.artifacts(as_of=then), 30),
        ("stats", lambda then: store.stats(as_of=then) if then else store.stats(), 30),
    ]


def _repeated(ask: Callable[[Moment | None], object], moment: Moment | None, times: int) -> Callable[[int], None]:
    def run(_: int) -> None:
        for _ in range(times):
            ask(moment)

    return run


def _fill(root: Path, versions: int) -> None:
    """Make a store with so many versions, each of them ``best`` when it is made; only the syncs are left out."""
    synced, durable.sync = durable.sync, lambda _: None
    try:
        with rn.open_store(root) as store:
            for number in range(versions):
                pages = tuple(pages_of([FileAdded("weights.bin", os.urandom(32), 4096)]))
                digest = codec.content_digest([page.digest for page in pages], ())
                name = f"m-{number % ARTIFACTS}"
                store.execute(LogArtifact(name, "model", None, pages, (), digest, '{"a":1}', (), None, ("best",)))
    finally:
        durable.sync = synced


if __name__ == "__main__":
    main()
