"""Cold versions: what ten versions of one checkpoint take in packs, and how fast they come out. Argument: MiB (256)."""

from collections.abc import Callable
import os
from pathlib import Path
import random
import subprocess

from measure import medians, number_argument, report_figure, workplace

import runicorn_es as rn

VERSIONS = 10
CHANGED_SHARE = 10
SCATTERED_BYTES = 64
MEGABYTE = 1_000_000
Change = Callable[[bytearray, random.Random], None]


def overwrite(content: bytearray, rng: random.Random) -> None:
    """Change a tenth, in one region."""
    count = len(content) // CHANGED_SHARE
    at = rng.randrange(len(content) - count)
    content[at : at + count] = rng.randbytes(count)


def insert(content: bytearray, rng: random.Random) -> None:
    """Insert a tenth of what there was at first, in one place."""
    count = min(len(content), number_argument(256) << 20) // CHANGED_SHARE
    at = rng.randrange(len(content))
    content[at:at] = rng.randbytes(count)


def scatter(content: bytearray, rng: random.Random) -> None:
    """Change one byte in a hundred, in pieces of 64 bytes: what content-defined chunks cannot help with."""
    for _ in range(len(content) // 100 // SCATTERED_BYTES):
        at = rng.randrange(len(content) - SCATTERED_BYTES)
        content[at : at + SCATTERED_BYTES] = rng.randbytes(SCATTERED_BYTES)


def log_versions(store: rn.Store, name: str, folder: Path, change: Change) -> None:
    """Log ten versions of one file, each changed from the one before."""
    rng = random.Random(1)
    # In pieces: random numbers of more than 256 MiB are too many at once for Python.
    content = bytearray(b"".join(rng.randbytes(1 << 20) for _ in range(number_argument(256))))
    file = folder / f"{name}.bin"
    for _ in range(VERSIONS):
        file.write_bytes(content)
        store.log_artifact(rn.Artifact(name, "model").add_file(file, "checkpoint.bin", mode="move"))
        change(content, rng)


def measure_size(question: str, folder: Path, change: Change, goal: float | None) -> rn.Store:
    """Print what ten versions take on disk when all are cold, as multiples of one."""
    store = rn.open_store(folder / "store")
    log_versions(store, "m", folder, change)
    before = store.stats().pool_bytes
    store.compact([f"m:v{number}" for number in range(1, VERSIONS + 1)])
    after = store.stats().pool_bytes
    one = number_argument(256) << 20
    figure = f"{after / one:.2f} times one version (as files: {before / one:.2f})"
    report_figure(
        question, figure, f"≤ {goal:g} times" if goal else "as it is", is_met=goal is None or after <= goal * one
    )
    return store


def main() -> None:
    """Measure and print the rows of the table."""
    size_mib = number_argument(256)
    with workplace() as folder:
        for name, change, goal in (("insertions", insert, 1.95), ("small changes everywhere", scatter, None)):
            (folder / name).mkdir()
            question = f"{VERSIONS} versions of {size_mib} MiB in packs, {name}"
            measure_size(question, folder / name, change, goal).close()
        question = f"{VERSIONS} versions of {size_mib} MiB in packs, a tenth changed in each"
        with measure_size(question, folder, overwrite, 1.95) as store:
            measure_download(store, folder, size_mib)


def measure_download(store: rn.Store, folder: Path, size_mib: int) -> None:
    """Print how fast a cold version is downloaded, beside ``cp`` of a file of that size."""
    plain = folder / "plain.bin"
    plain.write_bytes(os.urandom(size_mib << 20))
    # Each version is read whole once, as after the first download since the machine was started.
    for number in range(1, 6):
        store.get(f"m:v{number}").download(folder / f"first-{number}")
    # What is waiting to be written from before would be counted as the cost of what comes after.
    found = medians(
        {
            "settle": lambda _: os.sync(),
            "cp": lambda number: subprocess.run(["cp", plain, folder / f"copy-{number}"], check=True),
            "settle again": lambda _: os.sync(),
            "cold": lambda number: store.get(f"m:v{number + 1}").download(folder / f"cold-{number}"),
        }
    )
    rate, limit = ((size_mib << 20) / found[way] / MEGABYTE for way in ("cold", "cp"))
    report_figure(
        "download a cold version",
        f"{rate:.0f} MB/s (cp of a file of that size: {limit:.0f} MB/s)",
        "≥ 500 MB/s, or that of cp",
        is_met=rate >= min(500, limit),
    )


if __name__ == "__main__":
    main()
