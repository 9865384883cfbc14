"""A small durable append with its signature; an alias that moves, alone, from 8 processes, from 16 threads.

Argument: how often (200).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
import os
from pathlib import Path
import subprocess
import sys
import time

from measure import medians, number_argument, report, report_figure, workplace

import runicorn_es as rn
from runicorn_es import durable, merkle
from runicorn_es.aside import aside
from runicorn_es.layout import Layout
from runicorn_es.log import START, Entry, Log
from runicorn_es.signing import Head, Signer
from runicorn_es.signing.keys import Seeds

IN_A_ROW = 20
SLOW_S = 0.002
MOVE = """
import os, sys, time, runicorn_es as rn
from runicorn_es import durable
def sync(descriptor):
    os.fdatasync(descriptor)
    time.sleep(float(sys.argv[4]))
durable.sync = sync
store = rn.open_store(sys.argv[1])
store.alias("m:v1", "warm-" + sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    store.alias(f"m:v{1 + number % 2}", "a-" + sys.argv[2])
"""


def main() -> None:
    """Measure and print the rows of the table."""
    count = number_argument(200)
    with workplace() as folder, rn.open_store(folder / "store") as store:
        (folder / "f").write_bytes(b"x")
        for _ in range(2):
            store.log_artifact(rn.Artifact("m", "model").add_file(folder / "f"))
        store.alias("m:v1", "production")
        segment = store.layout.segment(0)
        before = segment.stat().st_size
        store.alias("m:v2", "production")
        size_bytes = segment.stat().st_size - before
        raw = os.open(folder / "raw", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

        def write_raw(_: int) -> None:
            os.write(raw, b"x" * size_bytes)
            os.fdatasync(raw)

        def move(number: int) -> None:
            store.alias(f"m:v{1 + number % 2}", "production")

        append_signed = _signed_appends(store, size_bytes)
        found = medians({"raw": _in_a_row(write_raw), "ours": _in_a_row(append_signed)}, rounds=count // IN_A_ROW)
        report(
            f"append and sign {IN_A_ROW} batches ({size_bytes} bytes each)",
            found["ours"],
            f"{IN_A_ROW} times write + fdatasync",
            found["raw"],
            1.5,
        )
        found = medians({"raw": _in_a_row(write_raw), "ours": _in_a_row(move)}, rounds=count // IN_A_ROW)
        report(
            f"move an alias {IN_A_ROW} times ({size_bytes} bytes each)",
            found["ours"],
            f"{IN_A_ROW} times write + fdatasync",
            found["raw"],
            1.5,
        )
        for sync_s, words in ((0, ""), (SLOW_S, f", a sync taking {SLOW_S * 1000:.0f} ms more")):
            one_per_s, per_s = (_processes(folder / "store", number, count, sync_s) for number in (1, 8))
            figure = f"{per_s / one_per_s:.2f} times one"
            report_figure(f"8 processes at once{words}", figure, "≥ 2 times", is_met=per_s >= 2 * one_per_s)
        alone_per_s = IN_A_ROW / found["ours"]
        per_s = _threads(store, 16, count)
        report_figure(
            "16 threads at once", f"{per_s / alone_per_s:.2f} times one", "≥ 2 times", is_met=per_s >= 2 * alone_per_s
        )


def _in_a_row(once: Callable[[int], None]) -> Callable[[int], None]:
    """Return what does a thing several times: one alone would mostly measure what the others left in the caches."""

    def several(_: int) -> None:
        for number in range(IN_A_ROW):
            once(number)

    return several


def _signed_appends(store: rn.Store, size_bytes: int) -> Callable[[int], None]:
    """Return what appends a batch of about this size to a log of its own, syncs it and signs the head."""
    layout = Layout(store.layout.root.parent / "bare")
    layout.log.mkdir(parents=True)
    log = Log(layout, bytes(16))
    log.create()
    signer = Signer("runicorn-es/bare", Seeds(os.urandom(32), os.urandom(32)))
    frontier: list[bytes] = []
    position = START

    def append(_: int) -> None:
        nonlocal position
        [record], end = log.append([Entry("m:v1", bytes(size_bytes - 110))], position, time.time_ns())
        merkle.add(frontier, position.index, record.leaf)
        head = Head(end.index, merkle.root_of_frontier(frontier))

        def sign(_: bytes) -> bytes:
            # Signed while the disk writes, as the ledger does.
            signing = aside(lambda: signer.sign(head).encode())
            log.sync(end)
            return signing()

        durable.update_file(layout.checkpoint, sign, wait_s=1)
        position = end

    return append


def _processes(root: Path, processes: int, count: int, sync_s: float) -> float:
    """Return how many aliases a second several processes move together, when a sync takes so much longer."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", MOVE, root, str(number), str(count), str(sync_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    begin = time.perf_counter()
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in started:
        process.communicate()
    return processes * count / (time.perf_counter() - begin)


def _threads(store: rn.Store, threads: int, count: int) -> float:
    """Return how many aliases a second several threads move together."""

    def move(thread: int) -> None:
        for number in range(count):
            store.alias(f"m:v{1 + number % 2}", f"t-{thread}")

    begin = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(move, range(threads)))
    return threads * count / (time.perf_counter() - begin)


if __name__ == "__main__":
    main()
