"""How the benchmarks measure: ways of doing one thing, interleaved in one run, medians, and ratios between them.

Absolute times mean nothing on a machine that does other things as well; a ratio of two ways that took turns does. Each
round works in fresh folders, and nothing is deleted before the end: a file system makes new files slowly for a while
after many were deleted.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
import gc
import os
from pathlib import Path
import shutil
import statistics
import sys
import tempfile
import time

ROUNDS = 5


@contextmanager
def workplace() -> Iterator[Path]:
    """Lend a folder, removed at the end: on the disk that ``BENCHMARK_DIR`` says, else among the temporary files."""
    folder = Path(tempfile.mkdtemp(prefix="runicorn-bench-", dir=os.environ.get("BENCHMARK_DIR")))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def medians(ways: Mapping[str, Callable[[int], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Return the median seconds of each way; they take turns, and are told the number of the round."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            gc.collect()
            begin = time.perf_counter()
            way(number)
            taken[name].append(time.perf_counter() - begin)
    return {name: statistics.median(times) for name, times in taken.items()}


def report(question: str, ours_s: float, limit: str, limit_s: float, goal: float) -> None:
    """Print one row of the table: the question, our time, that of the limit, the ratio, and the goal for it."""
    ratio = ours_s / limit_s
    verdict = "met" if ratio <= goal else "missed"
    times = f"{ours_s * 1000:.1f} ms | {limit}: {limit_s * 1000:.1f} ms"
    print(f"| {question} | {times} | {ratio:.2f} | ≤ {goal:g} | {verdict} |", flush=True)


def report_figure(question: str, figure: str, goal: str, *, is_met: bool) -> None:
    """Print one row for what is no ratio of two times."""
    print(f"| {question} | {figure} |  |  | {goal} | {'met' if is_met else 'missed'} |", flush=True)


def resident_mib() -> float:
    """Return the most memory that this process has had resident so far, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc/self/status")


def number_argument(default: int) -> int:
    """Return the first argument of the program, a number, or the default: the size of what is measured."""
    return int(sys.argv[1]) if len(sys.argv) > 1 else default


def random_file(path: Path, size_bytes: int) -> None:
    """Make a file of random bytes, and have it on the disk."""
    step = os.urandom(1 << 20)
    with path.open("wb") as file:
        for number in range(0, size_bytes, len(step)):
            file.write(number.to_bytes(8, "big"))
            file.write(step[: min(len(step), size_bytes - number) - 8])
        file.flush()
        os.fsync(file.fileno())


def random_tree(folder: Path, count: int, size_bytes: int, per_folder: int = 256) -> None:
    """Make a tree of files of random bytes."""
    content = bytearray(os.urandom(size_bytes))
    for number in range(count):
        if number % per_folder == 0:
            here = folder / f"{number // per_folder:05d}"
            here.mkdir(parents=True)
        content[:8] = number.to_bytes(8, "big")
        (here / f"{number:08d}.bin").write_bytes(content)
