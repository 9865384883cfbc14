"""The tables folded anew from the log: a million events, then a million files. Argument: versions (43000)."""

from collections import deque
import os
from pathlib import Path
import shutil
import time

from measure import number_argument, report, report_figure, workplace

import runicorn_es as rn
from runicorn_es import codec, durable, founding
from runicorn_es.artifact.paging import pages_of
from runicorn_es.commands import LogArtifact
from runicorn_es.events import FileAdded
from runicorn_es.layout import Layout
from runicorn_es.log import Log

FILES = 23


def main() -> None:
    """Measure and print the rows of the table."""
    versions = number_argument(43_000)
    with workplace() as folder:
        _fill(folder / "many", versions)
        events = versions * (FILES + 3)
        # In turns: on a machine that is slow today, both are.
        found = [(_refold_s(folder / "many"), _read_s(folder / "many")) for _ in range(5)]
        seconds, read_s = (min(times) for times in zip(*found, strict=True))
        report_figure(
            f"refold {events:,} events ({versions:,} versions of {FILES} files)",
            f"{events / seconds:,.0f} events/s ({seconds:.2f} s)",
            "≥ 500,000 events/s",
            is_met=events / seconds >= 500_000,
        )
        report("refold them", seconds, "reading and checking the log alone", read_s, 5)
        _fill_one(folder / "one", 1_000_000)
        seconds = min(_refold_s(folder / "one") for _ in range(3))
        report_figure("refold a version of 1,000,000 files", f"{seconds:.2f} s", "≤ 1 s", is_met=seconds <= 1)


def _fill(root: Path, versions: int) -> None:
    """Make a store with so many versions, through the same commands as always; only the syncs are left out."""
    synced, durable.sync = durable.sync, lambda _: None
    try:
        with rn.open_store(root) as store:
            for number in range(versions):
                files = [FileAdded(f"layers/{layer:03d}/weights.bin", os.urandom(32), 4096) for layer in range(FILES)]
                store.execute(_command(f"model-{number % 200}", files))
    finally:
        durable.sync = synced


def _fill_one(root: Path, count: int) -> None:
    with rn.open_store(root) as store:
        files = [FileAdded(f"train/{n // 1000:04d}/{n:08d}.png", os.urandom(32), 4096) for n in range(count)]
        store.execute(_command("images", files))


def _command(name: str, files: list[FileAdded]) -> LogArtifact:
    pages = tuple(pages_of(files))
    digest = codec.content_digest([page.digest for page in pages], ())
    return LogArtifact(name, "model", None, pages, (), digest, '{"val_acc":0.5}', ("baseline",), None, ())


def _refold_s(root: Path) -> float:
    shutil.rmtree(root / "projections")
    begin = time.perf_counter()
    rn.open_store(root).close()
    return time.perf_counter() - begin


def _read_s(root: Path) -> float:
    layout = Layout(root)
    log = Log(layout, founding.require(layout).raw_id)
    begin = time.perf_counter()
    deque(log.batches(), maxlen=0)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
