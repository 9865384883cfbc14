"""Put the rows that a benchmark printed into docs/reference/performance.md. Arguments: its name, the file of rows."""

import ast
from pathlib import Path
import re
import sys

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / "docs" / "reference" / "performance.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->"
HEAD = "| what | ours | against | ratio | goal | |\n|---|---|---|---|---|---|\n"
SECTION = re.compile(r"^### .*?\(`(\w+)`\)\n\n(.*?)(?=^### |\Z)", re.MULTILINE | re.DOTALL)


def main() -> None:
    """Replace the section of one benchmark and keep the others, in the order of their names."""
    program, rows = sys.argv[1], Path(sys.argv[2]).read_text().strip()
    before, _, rest = PAGE.read_text().partition(BEGIN)
    figures, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{with_section(figures, program, rows)}\n{END}{after}")


def with_section(figures: str, program: str, rows: str) -> str:
    """Return the sections of a page with that of one benchmark replaced, or added."""
    tables = {found[1]: found[2].strip() for found in SECTION.finditer(figures)}
    tables[program] = HEAD + rows
    return "\n".join(f"### {title_of(name)} (`{name}`)\n\n{tables[name]}\n" for name in sorted(tables))


def title_of(program: str) -> str:
    """Return in a few words what a benchmark is about: what its first sentence begins with."""
    tree = ast.parse((CHECKOUT / "benchmarks" / f"{program}.py").read_text())
    return re.split(r"[.:;]", ast.get_docstring(tree) or program, maxsplit=1)[0]


if __name__ == "__main__":
    main()
