"""Search among many versions with metadata, and a plain scan in the same run. Argument: versions (100000).

The scan reads a row for each version in the tables, and its metadata and tags from the log, as one would without an
index; it knows what it looks for, and does not parse a query.
"""

from collections.abc import Callable, Iterator
import os
from pathlib import Path

from measure import medians, number_argument, report, report_figure, workplace
import msgspec

import runicorn_es as rn
from runicorn_es import codec, durable, queries
from runicorn_es.artifact.paging import pages_of
from runicorn_es.commands import Command, LogArtifact
from runicorn_es.events import FileAdded
from runicorn_es.projections.rows import VERSIONS, VersionRow
from runicorn_es.queries import View

NAMES = 200
IN_A_BATCH = 5_000
ARCHITECTURES = ("ResNet18", "ResNet50", "ViT-B", "ViT-L", "ConvNeXt")
GOAL_MS = 100
Test = Callable[[View, VersionRow], bool]


def main() -> None:
    """Measure and print the rows of the table."""
    count = number_argument(100_000)
    with workplace() as folder:
        _fill(folder / "store", count)
        with rn.open_store(folder / "store") as store:
            for query, sort in _queries(count):
                found = medians({"search": lambda _, query=query, sort=sort: store.search(query, sort=sort, limit=50)})
                total = store.search(query, limit=50).total
                sorted_by = "" if sort is None else f", by {sort}"
                took_ms = found["search"] * 1000
                report_figure(
                    f"search {query!r}{sorted_by}: 50 of {total:,} among {count:,} versions",
                    f"{took_ms:.1f} ms",
                    f"≤ {GOAL_MS} ms",
                    is_met=took_ms <= GOAL_MS,
                )
            for query, test in _scanned():
                assert store.search(query).total == _scan(store, test)
                found = medians(
                    {
                        "search": lambda _, query=query: store.search(query, limit=50),
                        "scan": lambda _, test=test: _scan(store, test),
                    },
                    rounds=3,
                )
                report(f"search {query!r} among {count:,} versions", found["search"], "plain scan", found["scan"], 0.1)


def _queries(count: int) -> Iterator[tuple[str, str | None]]:
    """Yield what is typically asked, and how it is sorted."""
    yield "", None
    yield "type:model tag:production val_acc>=0.9 name~model-7", None
    yield "tag:production", None
    yield "val_acc>=0.99", None
    yield "val_acc>=0.5", "-val_acc"
    yield "train.lr<0.01 arch=ResNet50", None
    yield "arch:ResNet* -tag:nightly", "size"
    yield "(arch=ViT-L OR arch=ViT-B) epochs>50", "-created"
    yield "size>1GB files<3", None
    yield f"run:{_run(count // 2)}", None
    yield "alias:latest", None
    yield "baseline", None


def _scanned() -> Iterator[tuple[str, Test]]:
    """Yield a few of them with the tests that a scan makes."""

    def is_accurate(view: View, row: VersionRow) -> bool:
        return queries.metadata(view, row)["val_acc"] >= 0.99

    def is_production(view: View, row: VersionRow) -> bool:
        return "production" in queries.tags(view, row)

    yield "val_acc>=0.99", is_accurate
    yield "tag:production", is_production


def _scan(store: rn.Store, test: Test) -> int:
    with store.reading() as view:
        return sum(1 for row in VERSIONS.scan(view.rows) if row.status == "ready" and test(view, row))


def _fill(root: Path, count: int) -> None:
    """Make a store with so many versions, through the same commands as always; only the syncs are left out."""
    synced, durable.sync = durable.sync, lambda _: None
    try:
        with rn.open_store(root) as store:
            for begin in range(0, count, IN_A_BATCH):
                store.execute_all([_log(number) for number in range(begin, min(count, begin + IN_A_BATCH))])
    finally:
        durable.sync = synced


def _log(number: int) -> Command:
    metadata = {
        "val_acc": (number * 7919 % 100_003) / 100_003,
        "epochs": number % 100,
        "arch": ARCHITECTURES[number % len(ARCHITECTURES)],
        "train": {"lr": 10.0 ** -(number % 5), "batch_size": 32 << number % 4, "mixed": number % 2 == 0},
        "data": f"images:v{number // 1000 + 1}",
    }
    tags = ("baseline",) if number % 10 else ("nightly", "production") if number % 1000 == 0 else ("nightly",)
    files = [FileAdded("model.bin", os.urandom(32), number * 40_000 % (1 << 31))]
    pages = tuple(pages_of(files))
    digest = codec.content_digest([page.digest for page in pages], ())
    text = msgspec.json.encode(metadata).decode()
    kind = "model" if number % NAMES % 4 else "dataset"
    return LogArtifact(f"model-{number % NAMES}", kind, None, pages, (), digest, text, tags, None, ())


def _run(number: int) -> str:
    return f"20250901_{number % 1_000_000:06d}_abc123"


if __name__ == "__main__":
    main()
