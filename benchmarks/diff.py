"""Two versions of a million files compared: ten files differ, or all were moved to a folder. Argument: their number."""

from collections.abc import Iterator
import hashlib
from pathlib import Path

from measure import medians, number_argument, report, report_figure, workplace

import runicorn_es as rn
from runicorn_es import codec
from runicorn_es.artifact.paging import pages_of
from runicorn_es.commands import LogArtifact
from runicorn_es.events import FileAdded

CHANGED = 10
ALL_MOVED = 100_000


def main() -> None:
    """Measure and print the rows of the table."""
    count = number_argument(1_000_000)
    with workplace() as folder, _filled(folder / "store", count) as store:
        times = medians(
            {
                "ours": lambda _: _require(store.diff("images:v1", "images:v2").counts.changed, CHANGED),
                "reading": lambda _: _require(_differing(store), CHANGED),
            }
        )
        question = f"compare two versions of {count:,} files, {CHANGED} differ"
        report(question, times["ours"], "reading both lists", times["reading"], 0.01)
        report_figure(question, f"{times['ours'] * 1000:.1f} ms", "≤ 10 ms", is_met=times["ours"] <= 0.010)
        moved = min(ALL_MOVED, count)
        times = medians({"ours": lambda _: _require(store.diff("few:v1", "few:v2").counts.renamed, moved)})
        per_file = times["ours"] * 1e6 / moved
        report_figure(
            f"find that {moved:,} files were moved into a folder",
            f"{times['ours'] * 1000:.0f} ms, {per_file:.1f} µs a file",
            "≤ 20 µs a file",
            is_met=per_file <= 20,
        )


def _filled(root: Path, count: int) -> rn.Store:
    """Make a store with two versions of many files, and two of fewer files in another folder; no bytes are needed."""
    store = rn.open_store(root)
    changed = set(range(0, count, count // CHANGED))
    store.execute(_command("images", [_file(number, "") for number in range(count)]))
    store.execute(_command("images", [_file(number, "new" if number in changed else "") for number in range(count)]))
    for folder in ("", "moved/"):
        files = (_file(number, "") for number in range(min(ALL_MOVED, count)))
        store.execute(_command("few", [FileAdded(folder + one.path, one.digest, one.size_bytes) for one in files]))
    return store


def _file(number: int, content: str) -> FileAdded:
    digest = hashlib.sha256(f"{content}{number}".encode()).digest()
    return FileAdded(f"train/{number // 1000:04d}/{number:08d}.png", digest, 4096)


def _command(name: str, files: list[FileAdded]) -> LogArtifact:
    pages = tuple(pages_of(files))
    digest = codec.content_digest([page.digest for page in pages], ())
    return LogArtifact(name, "dataset", None, pages, (), digest, "{}", (), None, ())


def _differing(store: rn.Store) -> int:
    """Count what differs by reading both lists side by side: they have the same paths."""
    sides: list[Iterator[rn.File]] = [store.get(spec).files() for spec in ("images:v1", "images:v2")]
    return sum(one.digest != other.digest for one, other in zip(*sides, strict=True))


def _require(found: int, expected: int) -> None:
    assert found == expected, found


if __name__ == "__main__":
    main()
