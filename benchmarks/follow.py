"""Following: what it costs while nothing happens, and how soon one hears of what does.

Argument: how many events are timed (200).
"""

from collections.abc import Callable
import os
from pathlib import Path
import statistics
import subprocess
import sys
import time

from measure import number_argument, report, report_figure, workplace

import runicorn_es as rn

IDLE_S = 10
# A follower and a bare wait for the file, each in a process of its own; each says when it was woken.
FOLLOW = """
import sys, time, runicorn_es as rn
with rn.open_store(sys.argv[1]) as store:
    following = store.follow()
    print("ready", flush=True)
    for happened in following:
        print(time.monotonic_ns(), flush=True)
"""
BARE = """
import sys, time
from pathlib import Path
from runicorn_es.lookout import Lookout
looking, path = Lookout(Path(sys.argv[1])), Path(sys.argv[1])
known = looking.next(b"", 1)
print("ready", flush=True)
while True:
    known = looking.next(known, 3600)
    print(time.monotonic_ns(), flush=True)
"""


def main() -> None:
    """Measure and print the rows of the table."""
    count = number_argument(200)
    with workplace() as folder, rn.open_store(folder / "store") as store:
        (folder / "f").write_bytes(b"x")
        for _ in range(2):
            store.log_artifact(rn.Artifact("m", "model").add_file(folder / "f"))
        used_s = _idle(store)
        report_figure(
            "follow while nothing happens",
            f"{used_s / IDLE_S * 1000:.3f} ms of processor time a second",
            "≤ 1 ms",
            is_met=used_s <= IDLE_S / 1000,
        )
        small = folder / "small"
        small.write_bytes(b"-1")
        with small.open("r+b", buffering=0) as file:

            def write(number: int) -> int:
                # The other may be awake before the write returns.
                begin_ns = time.monotonic_ns()
                os.pwrite(file.fileno(), b"%d" % number, 0)
                return begin_ns

            def move(number: int) -> int:
                store.alias(f"m:v{1 + number % 2}", "production")
                return time.monotonic_ns()

            told_s, bare_s = _latencies([(FOLLOW, store.layout.root, move), (BARE, small, write)], count)
        report("from acknowledged to told, another process", told_s, "a bare inotify wake-up", bare_s, 5)


def _idle(store: rn.Store) -> float:
    """Return the processor time that a follower uses while it waits."""
    following = store.follow(timeout=IDLE_S)
    begin = time.process_time()
    list(following)
    return time.process_time() - begin


def _latencies(ways: list[tuple[str, Path, Callable[[int], int]]], count: int) -> list[float]:
    """Return the median time from what each way's call returns until another process knows of it; they take turns."""
    waiting = [
        subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True)
        for program, path, _ in ways
    ]
    for process in waiting:
        assert process.stdout is not None
        process.stdout.readline()
    taken: list[list[int]] = [[] for _ in ways]
    for number in range(count):
        for process, (_, _, call), times in zip(waiting, ways, taken, strict=True):
            since_ns = call(number)
            assert process.stdout is not None
            times.append(int(process.stdout.readline()) - since_ns)
    for process in waiting:
        process.terminate()
        process.communicate()
    return [max(statistics.median(times), 0) / 1e9 for times in taken]


if __name__ == "__main__":
    main()
