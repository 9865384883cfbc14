"""Many small files in one version: logged durably, logged again, downloaded. Argument: how many (10000)."""

import os
from pathlib import Path
import shutil
import subprocess

from measure import medians, number_argument, random_tree, report, workplace

import runicorn_es as rn
from runicorn_es import durable


def scan(folder: Path) -> int:
    """Look at every file of a tree, and at nothing in it."""
    count = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                count += scan(Path(entry.path))
            else:
                count += entry.stat().st_size > 0
    return count


def run(*command: str | Path) -> None:
    """Run a program quietly."""
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        env={**os.environ, "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes", "RESTIC_PASSWORD": "x"},
    )


def main() -> None:
    """Measure and print the rows of the table."""
    count = number_argument(10_000)
    with workplace() as folder:

        def make(number: int) -> None:
            random_tree(folder / f"tree-{number}", count, 8192)
            for file in (folder / f"tree-{number}").rglob("*.bin"):
                with file.open("r+b") as opened:
                    opened.seek(16)
                    opened.write(number.to_bytes(8, "big"))
            if shutil.which("borg"):
                run("borg", "init", "-e", "none", folder / f"borg-{number}")
            if shutil.which("restic"):
                # Its key is made to take seconds.
                run("restic", "init", "-r", folder / f"restic-{number}")
            durable.sync_filesystem(folder)

        def copy(number: int) -> None:
            run("cp", "-r", folder / f"tree-{number}", folder / f"copy-{number}")
            durable.sync_filesystem(folder)

        def log(number: int) -> None:
            with rn.open_store(folder / f"store-{number}") as store:
                store.log_artifact(rn.Artifact("d", "dataset").add_dir(folder / f"tree-{number}"))

        ways = {"make": make, "cp -r": copy, "ours": log}
        if shutil.which("borg"):
            ways["borg create"] = lambda number: run(
                "borg", "create", "-C", "none", f"{folder}/borg-{number}::a", folder / f"tree-{number}"
            )
        if shutil.which("restic"):
            ways["restic backup"] = lambda number: run(
                "restic", "backup", "-r", folder / f"restic-{number}", folder / f"tree-{number}"
            )
        found = medians(ways)
        report(f"log {count:,} files of 8 KiB", found["ours"], "cp -r + syncfs", found["cp -r"], 2.5)
        for peer in ("borg create", "restic backup"):
            if peer in found:
                report(f"log {count:,} files of 8 KiB", found["ours"], peer, found[peer], 0.6)

        tree = folder / "tree-0"
        some = sorted(tree.rglob("*.bin"))[:: max(1, count // 10)]
        with rn.open_store(folder / "store-0") as store:

            def change(number: int) -> None:
                for file in some:
                    file.write_bytes(os.urandom(8192 + number))

            def log_again(_: int) -> None:
                store.log_artifact(rn.Artifact("d", "dataset").add_dir(tree))

            found = medians({"change": change, "scan": lambda _: scan(tree), "ours": log_again})
            report(f"log again, {len(some)} of {count:,} changed", found["ours"], "scan with stat", found["scan"], 3)
            version = store.get("d")
            found = medians(
                {
                    "cp -rl": lambda number: run("cp", "-rl", folder / "copy-0", folder / f"links-{number}"),
                    "ours": lambda number: version.download(folder / f"out-{number}"),
                    "again": lambda number: version.download(folder / f"out-{number}"),
                }
            )
            report(f"download {count:,} files as links", found["ours"], "cp -rl", found["cp -rl"], 1.2)
            report("download them a second time", found["again"], "cp -rl", found["cp -rl"], 1.2)


if __name__ == "__main__":
    main()
