"""How long the viewer takes: each page over 1,000 artifacts of 20 versions, and a folder among 1,000,000 files."""

from collections.abc import Callable, Iterator
import json
from pathlib import Path
import subprocess
import sys
import time
from urllib.request import urlopen

from lineage import _digest
from measure import medians, number_argument, report_figure, workplace

import runicorn_es as rn
from runicorn_es import codec
from runicorn_es.artifact.paging import pages_of
from runicorn_es.commands import FinishRun, LogArtifact, StartRun, UseArtifact
from runicorn_es.events import FileAdded
from runicorn_es.names import Reference

VERSIONS = 20
FILES = 1_000_000
ROUNDS = 15
GOAL_MS, FOLDER_GOAL_MS, START_GOAL_S, MEMORY_GOAL_MIB = 30, 100, 1.5, 150


def main() -> None:
    """Measure and print the rows of the table."""
    artifacts = number_argument(1_000)
    with workplace() as folder:
        root = folder / "store"
        _fill(root, artifacts)
        begin = time.perf_counter()
        process = subprocess.Popen(
            [Path(sys.executable).parent / "runicorn", "viewer", "--storage", root, "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            address = json.loads(process.stdout.readline())["url"].rstrip("/")
            _asking(address, "/artifacts")(0)
            start_s = time.perf_counter() - begin
            report_figure("viewer: from the command to the first page", f"{start_s:.2f} s", f"≤ {START_GOAL_S} s",
                          is_met=start_s <= START_GOAL_S)  # fmt: skip
            for path in _paths():
                _asking(address, path)(0)
            found = medians({path: _asking(address, path) for path in _paths()}, rounds=ROUNDS)
            for path, taken_s in found.items():
                goal = FOLDER_GOAL_MS if "/huge/" in path else GOAL_MS
                report_figure(f"viewer: {path.partition('&')[0]}", f"{taken_s * 1000:.1f} ms to the first byte",
                              f"≤ {goal} ms", is_met=taken_s * 1000 <= goal)  # fmt: skip
            memory = _resident_mib(process.pid)
            report_figure("viewer: memory after all of it", f"{memory:.0f} MiB resident", f"≤ {MEMORY_GOAL_MIB} MiB",
                          is_met=memory <= MEMORY_GOAL_MIB)  # fmt: skip
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


def _paths() -> Iterator[str]:
    one = "/artifacts/m-0050/v10"
    yield from ("/artifacts", "/artifacts?q=accuracy%3E0.9", one, f"{one}/files", f"{one}/lineage")
    yield from ("/artifacts/m-0050/versions?plot=accuracy&columns=accuracy", "/runs", "/events", "/audit", "/storage")
    yield "/compare?old=m-0050:v1&new=m-0050:v20"
    yield from ("/artifacts/huge/v1/files", "/artifacts/huge/v1/files?folder=folder-0500")


def _asking(address: str, path: str) -> Callable[[int], None]:
    def ask(_: int) -> None:
        with urlopen(f"{address}{path}") as answer:
            answer.read(1)

    return ask


def _resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def _fill(root: Path, artifacts: int) -> None:
    with rn.open_store(root) as store:
        for number in range(artifacts):
            commands = [command for version in range(1, VERSIONS + 1) for command in _step(f"m-{number:04d}", version)]
            store.execute_all(commands)
        paths = (FileAdded(f"folder-{n // 1000:04d}/{n % 1000:04d}.png", bytes(32), 1) for n in range(FILES))
        pages = tuple(pages_of(paths))
        digest = codec.content_digest([page.digest for page in pages], ())
        store.execute(LogArtifact("huge", "dataset", None, pages, (), digest, "{}", (), None, ()))
        store.stats()


def _step(name: str, version: int) -> Iterator[object]:
    run = f"run-{name}-{version}"
    yield StartRun(run, "bench", None, '{"lr":0.1}', (), "3.11", ("train.py",), "/", None, None)
    if version > 1:
        yield UseArtifact(run, Reference(name, f"{name}:v{version - 1}", version=version - 1), None)
    pages = tuple(pages_of([FileAdded("model.bin", _digest(name, version), 4096), FileAdded("x.json", bytes(32), 1)]))
    metadata = json.dumps({"accuracy": version / VERSIONS, "loss": 1 / version})
    digest = codec.content_digest([page.digest for page in pages], ())
    yield LogArtifact(name, "model", run, pages, (), digest, metadata, ("nightly",), None, ("production",))
    yield FinishRun(run, "finished")


if __name__ == "__main__":
    main()
