"""The command line from the first byte to the last, and a question inside a program. Argument: versions (10000)."""

from pathlib import Path
import subprocess
import sys
import time

from measure import medians, number_argument, report, report_figure, workplace
from refold import _fill

import runicorn_es as rn

# The least that a command line made with typer costs: what we add to it is ours.
ONE_EMPTY_COMMAND = """
import typer

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def nothing() -> None:
    pass


app()
"""


def main() -> None:
    """Measure and print the rows of the table."""
    versions = number_argument(10_000)
    runicorn = Path(sys.executable).parent / "runicorn"
    # As pip leaves it: without byte code, every start would compile the package.
    subprocess.run([sys.executable, "-m", "compileall", "-q", Path(rn.__file__).parent], check=True)
    with workplace() as folder:
        root = folder / "store"
        _fill(root, versions)
        with rn.open_store(root) as store:
            store.alias("model-7", "production")
            begin = time.perf_counter()
            for _ in range(2000):
                store.get("model-7:production")
            resolve_s = (time.perf_counter() - begin) / 2000

        floor = folder / "floor.py"
        floor.write_text(ONE_EMPTY_COMMAND)

        def start(*arguments: str | Path) -> None:
            subprocess.run([*arguments], check=True, stdout=subprocess.DEVNULL)

        found = medians(
            {
                "python": lambda _: start(sys.executable, "-c", "pass"),
                "floor": lambda _: start(sys.executable, floor, "--help"),
                "help": lambda _: start(runicorn, "--help"),
                "list": lambda _: start(runicorn, "--storage", root, "list"),
            },
            rounds=15,
        )
    python_ms, help_ms, list_ms = (found[name] * 1000 for name in ("python", "help", "list"))
    base = f"python -c pass: {python_ms:.0f} ms"
    report_figure(f"runicorn --help ({base})", f"{help_ms:.0f} ms", "≤ 100 ms", is_met=help_ms <= 100)
    report_figure(
        f"runicorn list, {versions:,} versions ({base})", f"{list_ms:.0f} ms", "≤ 150 ms", is_met=list_ms <= 150
    )
    report("runicorn --help", found["help"], "typer with one empty command, --help", found["floor"], 1.2)
    report_figure("resolve name:alias in a program", f"{resolve_s * 1e6:.0f} µs", "≤ 50 µs", is_met=resolve_s <= 50e-6)


if __name__ == "__main__":
    main()
