"""Lineage and lists in a large store: a deep chain and a wide fan of versions and runs. Argument: runs (100000).

Half of the questions ask for a first page, half for all. Each is asked of a store of the full size and of one that is a
tenth of it and has the same chain and fan, so that the ratio says what the rest of a store costs an answer.
"""

from collections.abc import Callable, Iterator
from itertools import count, islice
import os
from pathlib import Path
import time

from measure import medians, number_argument, report_figure, workplace

import runicorn_es as rn
from runicorn_es import codec
from runicorn_es.artifact.paging import pages_of
from runicorn_es.commands import Command, FinishRun, LogArtifact, StartRun, UseArtifact
from runicorn_es.events import FileAdded
from runicorn_es.names import Reference

DEPTH = 1_000
WIDTH = 10_000
NAMES = 200
IN_A_BATCH = 5_000
ASKED = 5
"""How often a question is asked in a row: one alone is too short to time."""


def main() -> None:
    """Measure and print the rows of the table."""
    runs = number_argument(100_000)
    smaller = max(runs // 10, DEPTH + WIDTH + NAMES)
    with workplace() as folder:
        small_s, large_s = _fill(folder / "small", smaller), _fill(folder / "large", runs)
        growth = large_s / runs / (small_s / smaller)
        report_figure(
            f"record {runs:,} runs in bulk, each with an input and a version",
            f"{large_s * 1e6 / runs:.0f} µs a run, {growth:.2f} times that of {smaller:,}",
            "≤ 1.5 times",
            is_met=growth <= 1.5,
        )
        with rn.open_store(folder / "large") as large, rn.open_store(folder / "small") as small:
            for question, ask, goal_ms in _questions():
                found = medians({"small": _asking(small, ask), "large": _asking(large, ask)})
                took_ms = found["large"] / ASKED * 1000
                report_figure(
                    f"{question}, among {runs:,} runs",
                    f"{took_ms:.3f} ms, {found['large'] / found['small']:.2f} times that among {smaller:,}",
                    f"≤ {goal_ms:g} ms",
                    is_met=took_ms <= goal_ms,
                )
            found = medians({"small": lambda _: small.runs(), "large": lambda _: large.runs()})
            growth = found["large"] / runs / (found["small"] / smaller)
            report_figure(
                f"list all {runs:,} runs",
                f"{found['large'] * 1e6 / runs:.1f} µs a run, {growth:.2f} times that among {smaller:,}",
                "≤ 1.5 times",
                is_met=growth <= 1.5,
            )
        for name in ("small", "large"):
            with rn.open_store(folder / name) as store:
                _check(store)


def _questions() -> Iterator[tuple[str, Callable[[rn.Store], object], float]]:
    """Yield what is asked, how, and in how many milliseconds there should be an answer."""
    end, hub, middle = f"chain:v{DEPTH}", "hub:v1", f"chain:v{DEPTH // 2}"
    yield f"a chain of {DEPTH:,}: its first 100", lambda store: store.lineage(end, "upstream", limit=100), 10
    yield f"a chain of {DEPTH:,}: all", lambda store: store.lineage(end, "upstream"), 100
    yield f"a fan of {WIDTH:,}: its first 100", lambda store: store.lineage(hub, "downstream", limit=100), 10
    yield f"a fan of {WIDTH:,}: all", lambda store: store.lineage(hub, "downstream"), 1000
    yield "who used the hub of the fan", lambda store: store.get(hub).used_by(), 100
    yield "lineage of one version, one step", lambda store: store.lineage(middle, depth=1), 10
    yield "the first 50 artifacts", lambda store: store.artifacts(limit=50), 10
    yield f"50 of {WIDTH:,} versions", lambda store: store.versions("fan", after=WIDTH // 2, limit=50), 10
    yield f"all {WIDTH:,} versions", lambda store: store.versions("fan"), 100
    yield "resolve name:alias", lambda store: store.get("fan:production"), 0.05
    yield "resolve name:v3", lambda store: store.get(middle), 0.05
    yield "resolve name@digest", lambda store: store.get(f"fan@{_digest('fan', WIDTH // 2).hex()[:16]}"), 1


def _asking(store: rn.Store, ask: Callable[[rn.Store], object]) -> Callable[[int], None]:
    """Return what asks a question several times."""

    def several(_: int) -> None:
        for _ in range(ASKED):
            ask(store)

    return several


def _check(store: rn.Store) -> None:
    """Make sure that the answers were whole."""
    chain = store.lineage(f"chain:v{DEPTH}", "upstream")
    assert len(chain.nodes) == 2 * DEPTH + 1, len(chain.nodes)
    fan = store.lineage("hub:v1", "downstream")
    assert len(fan.nodes) == 2 * WIDTH + 1, len(fan.nodes)


def _fill(root: Path, runs: int) -> float:
    """Make a store with so many runs: a chain, a fan, and the others among some artifacts. Returns the seconds."""
    begin = time.perf_counter()
    with rn.open_store(root) as store:
        store.execute(_log("hub", None, 1))
        store.execute(_log("base", None, 1))
        steps = _steps(runs)
        while some := list(islice(steps, IN_A_BATCH)):
            store.execute_all([command for step in some for command in step])
        store.alias("fan", "production")
    return time.perf_counter() - begin


def _steps(runs: int) -> Iterator[list[Command]]:
    """Yield what each run does: it takes one version and makes another."""
    number = count(1)
    for version in range(1, DEPTH + 1):
        yield _step(f"run-{next(number)}", "chain" if version > 1 else "base", max(1, version - 1), "chain", version)
    for version in range(1, WIDTH + 1):
        yield _step(f"run-{next(number)}", "hub", 1, "fan", version)
    for other in range(runs - DEPTH - WIDTH):
        name, version = f"filler-{other % NAMES}", other // NAMES + 1
        yield _step(f"run-{next(number)}", name if version > 1 else "base", max(1, version - 1), name, version)


def _step(run: str, source: str, source_version: int, name: str, version: int) -> list[Command]:
    taken = Reference(source, f"{source}:v{source_version}", version=source_version)
    return [
        StartRun(run, "bench", None, '{"lr":0.1}', (), "3.11", ("train.py",), os.sep, None, None),
        UseArtifact(run, taken, None),
        _log(name, run, version),
        FinishRun(run, "finished"),
    ]


def _log(name: str, run: str | None, version: int) -> LogArtifact:
    pages = tuple(pages_of(_files(name, version)))
    return LogArtifact(name, "model", run, pages, (), _digest(name, version), '{"val_acc":0.5}', (), None, ())


def _digest(name: str, version: int) -> bytes:
    return codec.content_digest([page.digest for page in pages_of(_files(name, version))], ())


def _files(name: str, version: int) -> list[FileAdded]:
    """Return a file list of its own for each version, without a file: nobody reads one here."""
    return [FileAdded("model.bin", codec.page_digest([FileAdded(f"{name}:{version}", bytes(32), 1)]), 4096)]


if __name__ == "__main__":
    main()
