"""One large file: logged durably, moved in, logged again. Argument: its size in MiB (1024)."""

import os
from pathlib import Path
import subprocess

from blake3 import blake3
from measure import medians, number_argument, random_file, report, report_figure, resident_mib, workplace

import runicorn_es as rn


def copy_durably(source: Path, target: Path) -> None:
    """Copy as cp does, and sync the copy."""
    subprocess.run(["cp", source, target], check=True)
    descriptor = os.open(target, os.O_RDONLY)
    os.fdatasync(descriptor)
    os.close(descriptor)


def main() -> None:
    """Measure and print the rows of the table."""
    size_mib = number_argument(1024)
    with workplace() as folder, rn.open_store(folder / "store") as store:
        file = folder / "checkpoint.bin"
        random_file(file, size_mib << 20)

        def change(number: int) -> None:
            with file.open("r+b") as opened:
                opened.write(number.to_bytes(4, "big") + os.urandom(12))
                opened.flush()
                os.fsync(opened.fileno())

        def log(_: int) -> None:
            store.log_artifact(rn.Artifact("m", "model").add_file(file))

        found = medians(
            {
                "change": change,
                "cp": lambda number: copy_durably(file, folder / f"copy-{number}"),
                "ours": log,
                "again": log,
            }
        )
        report(f"log one file of {size_mib} MiB", found["ours"], "cp + fdatasync", found["cp"], 0.8)
        report_figure(
            "log it again, unchanged", f"{found['again'] * 1000:.1f} ms", "≤ 5 ms", is_met=found["again"] <= 0.005
        )
        memory_mib = resident_mib()
        report_figure("memory for it", f"{memory_mib:.0f} MiB resident", "< 250 MiB", is_met=memory_mib < 250)

        def hash_alone(number: int) -> None:
            blake3(max_threads=blake3.AUTO).update_mmap(folder / f"copy-{number}").digest()

        def move(number: int) -> None:
            with (folder / f"copy-{number}").open("r+b") as opened:
                opened.write(os.urandom(16))
            store.log_artifact(rn.Artifact("m", "model").add_file(folder / f"copy-{number}", mode="move"))

        found = medians({"hash": hash_alone, "move": move})
        report("the same with mode='move'", found["move"], "BLAKE3 alone", found["hash"], 1.2)


if __name__ == "__main__":
    main()
