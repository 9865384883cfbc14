"""The tables of docs/reference/performance.md are replaced one benchmark at a time."""

from pathlib import Path
import sys

import pytest

TOOLS = Path(__file__).parent.parent / "tools"


@pytest.fixture
def bench_page(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    import bench_page

    yield bench_page
    del sys.modules["bench_page"]


def test_the_rows_of_one_benchmark_are_replaced_and_the_others_stay(bench_page):
    both = bench_page.with_section(bench_page.with_section("", "refold", "| old |"), "append", "| kept |")

    page = bench_page.with_section(both, "refold", "| new |")

    assert ("| old |" in page, page.count("| new |"), page.count("| kept |")) == (False, 1, 1)
    assert bench_page.with_section(page, "refold", "| new |") == page


def test_every_table_of_the_page_is_of_a_benchmark_that_is_there(bench_page):
    figures = bench_page.PAGE.read_text().partition(bench_page.BEGIN)[2].partition(bench_page.END)[0]
    programs = [found[1] for found in bench_page.SECTION.finditer(figures)]

    assert programs == sorted(programs)
    assert figures.count("###") == len(programs) > 5
    assert [name for name in programs if not (TOOLS.parent / "benchmarks" / f"{name}.py").exists()] == []
