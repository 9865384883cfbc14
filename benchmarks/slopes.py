"""How our own costs grow with the number of files in a version. Argument: the largest number (1000000).

From 1,000 files on, ten times as many each time; what counts is the time for one file, and how many times as large it
is at the largest size as at the smallest. Up to 100,000 files medians of three rounds, beyond that one round. The
largest size takes some fifteen GB of disk.
"""

from collections.abc import Callable
import os
from pathlib import Path
import shutil
import subprocess

from log_many_files import scan
from measure import medians, number_argument, random_tree, report_figure, resident_mib, workplace

import runicorn_es as rn
from runicorn_es import durable

SMALLEST = 1_000
FILE_BYTES = 512
CHANGED = 10
WORKS = {
    "log": "log",
    "again": "log again, unchanged",
    "changed": f"log again, {CHANGED} files changed",
    "download": "download as links",
    "download again": "download a second time",
    "refold": "refold",
    "list": "open and list",
}
LIMITS = {"log": ("cp", "cp -r + syncfs"), "again": ("scan", "scan with stat"), "changed": ("scan", "scan with stat")}
"""What the disk itself asks; it, too, may take longer for each file where there are more of them."""
BEGINNINGS = {
    "one": "open one file of a version",
    "prefix": "list one folder of it",
    "first": "the first file of its list",
    "describe": "what is known of it",
}


def main() -> None:
    """Measure and print the rows of the tables."""
    largest = number_argument(1_000_000)
    sizes = [SMALLEST]
    while sizes[-1] * 10 <= largest:
        sizes.append(sizes[-1] * 10)
    with workplace() as folder:
        found = {count: Measured(folder / str(count), count) for count in sizes}
    span = f"{sizes[0]:,} to {sizes[-1]:,} files"
    for work, words in WORKS.items():
        figures, ratio = _growth(found, work)
        if work not in LIMITS:
            report_figure(f"{words}: {span}", figures, "≤ 1.5 times", is_met=ratio <= 1.5)
            continue
        limit, limit_words = LIMITS[work]
        limit_figures, limit_ratio = _growth(found, limit)
        is_met = ratio <= 1.5 * max(1, limit_ratio)
        goal = "≤ 1.5 times the growth of that"
        report_figure(f"{words}: {span}", f"{figures}; {limit_words}: {limit_figures}", goal, is_met=is_met)
    for work, words in BEGINNINGS.items():
        each_ms = [found[count].seconds[work] * 1000 for count in sizes]
        figures = ", ".join(f"{each:.2g}" for each in each_ms)
        report_figure(f"{words}: {span}", f"{figures} ms", "≤ 10 ms", is_met=each_ms[-1] <= 10)
    for room, words in (("log", "the log grows"), ("tables", "the tables grow")):
        grown = ", ".join(f"{found[count].grown[room] / 1024:,.0f}" for count in sizes)
        is_met = found[sizes[-1]].grown[room] <= 1 << 20
        report_figure(f"{words} by, when {CHANGED} files changed: {span}", f"{grown} KiB", "≤ 1024 KiB", is_met=is_met)
    for work in ("log", "list"):
        resident = ", ".join(f"{found[count].resident[work]:.0f}" for count in sizes)
        is_met = found[sizes[-1]].resident[work] <= 600
        report_figure(f"memory, up to {WORKS[work]}: {span}", f"{resident} MiB resident", "≤ 600 MiB", is_met=is_met)


def _growth(found: dict[int, "Measured"], work: str) -> tuple[str, float]:
    """Return the times for one file in words, and how many times the first the last of them is."""
    each_us = [measured.seconds[work] * 1e6 / count for count, measured in found.items()]
    ratio = each_us[-1] / each_us[0]
    return f"{', '.join(f'{each:.3g}' for each in each_us)} µs a file, {ratio:.2f} times", ratio


class Measured:
    """What was measured of one size: seconds by work, bytes by room, and MiB resident."""

    def __init__(self, folder: Path, count: int) -> None:
        self.grown: dict[str, int] = {}
        self.resident: dict[str, float] = {}
        rounds = 3 if count <= 100_000 else 1
        tree = folder / "tree"
        random_tree(tree, count, FILE_BYTES)
        durable.sync_filesystem(folder)
        names = [path.relative_to(tree) for path in _some(tree, count)]

        def store(number: int) -> Path:
            return folder / f"store-{number}"

        def copy(number: int) -> None:
            subprocess.run(["cp", "-r", tree, folder / f"copy-{number}"], check=True)
            durable.sync_filesystem(folder)

        def log(number: int) -> None:
            with rn.open_store(store(number)) as opened:
                opened.log_artifact(rn.Artifact("d", "dataset").add_dir(tree))

        def change(number: int) -> None:
            for name in names:
                (tree / name).write_bytes(os.urandom(FILE_BYTES + number))

        def log_changed(number: int) -> None:
            before = _bytes(store(number))
            log(number)
            self.grown = {room: size - before[room] for room, size in _bytes(store(number)).items()}

        def download(number: int) -> None:
            with rn.open_store(store(number)) as opened:
                opened.get("d").download(folder / f"out-{number}")

        def refold(number: int) -> None:
            shutil.rmtree(store(number) / "projections")
            rn.open_store(store(number)).close()

        def list_all(number: int) -> None:
            with rn.open_store(store(number)) as opened:
                assert sum(1 for _ in opened.get("d").files()) == count

        self.seconds = medians(
            {
                "cp": copy,
                "log": log,
                "resident": lambda _: self._note_resident("log"),
                "scan": lambda _: scan(tree),
                "again": log,
                "change": change,
                "changed": log_changed,
                "download": download,
                "download again": download,
                "refold": refold,
                "list": list_all,
                "resident again": lambda _: self._note_resident("list"),
            },
            rounds,
        )
        self.seconds |= _beginnings(store(0), str(names[-1]))
        shutil.rmtree(folder)
        durable.sync_filesystem(folder.parent)

    def _note_resident(self, work: str) -> None:
        self.resident[work] = resident_mib()


def _beginnings(root: Path, name: str) -> dict[str, float]:
    """Return how long it takes until there is a first answer about a version, in a store that is open."""
    with rn.open_store(root) as store:
        version = store.get("d")
        top = name.partition("/")[0]
        ways: dict[str, Callable[[int], object]] = {
            "one": lambda _: version.open(name).close(),
            "prefix": lambda _: sum(1 for _ in version.files(f"{top}/")),
            "first": lambda _: next(version.files()),
            "describe": lambda _: version.get_metadata(),
        }
        return medians(ways, rounds=15)


def _some(tree: Path, count: int) -> list[Path]:
    """Return as many files as are changed, spread over the whole tree."""
    return sorted(tree.rglob("*.bin"))[:: count // CHANGED][:CHANGED]


def _bytes(root: Path) -> dict[str, int]:
    """Return how many bytes the log and the tables take on the disk."""
    return {
        "log": sum(path.stat().st_size for path in (root / "log").glob("*.seg")),
        "tables": sum(path.stat().st_blocks * 512 for path in (root / "projections").rglob("*")),
    }


if __name__ == "__main__":
    main()
