"""What a notebook shows: small, escaped, and nothing from elsewhere."""

from html.parser import HTMLParser
import re

import pytest

from given import file
import runicorn_es as rn
from runicorn_es.interop import notebook

ATTACK = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;"
ALLOWED = {"div", "strong", "table", "tr", "th", "td", "pre"}


class Page(HTMLParser):
    """Which elements and attributes there are, whether they are closed, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.open.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def attacked(store, tmp_path):
    """A store in which every text that may be anything is an attack."""
    with rn.init(ATTACK, name=ATTACK, storage=store.layout.root) as run:
        draft = rn.Artifact("m", "model", ATTACK, {ATTACK: ATTACK, "list": [ATTACK]})
        draft.add_file(file(tmp_path / "file"), "<b>'&.txt").add_tags(ATTACK)
        draft.add_reference("s3://b/<script>", ATTACK)
        run.log_artifact(rn.Artifact("m", "model", metadata={"a": ATTACK}).add_file(tmp_path / "file", "before"))
        run.log_artifact(draft)
        run.use_artifact("m")
    return store


def shown(store) -> dict[str, str]:
    version = store.get("m")
    things = {
        "version": version,
        "metadata": version.get_metadata(),
        "manifest": version.get_manifest(),
        "stats": store.stats(),
        "lineage": store.lineage("m"),
        "impact": store.impact("m"),
        "diff": store.diff("m:v1", "m:v2"),
    }
    return {name: thing._repr_html_() for name, thing in things.items()}


def test_no_text_of_a_store_becomes_markup(attacked):
    for name, html in shown(attacked).items():
        page = Page(html)
        assert set(page.elements) <= ALLOWED, name
        assert page.attributes <= {"style"}, name
        assert page.open == []
    assert ATTACK in Page(shown(attacked)["version"]).text
    assert ATTACK in Page(shown(attacked)["lineage"]).text
    assert ATTACK in Page(shown(attacked)["diff"]).text


def test_a_diff_shows_each_thing_that_differs(store, tmp_path):
    for number, tag in (1, "old"), (2, "new"):
        draft = rn.Artifact("m", "model", f"text {number}", {"acc": number}).add_tags(tag)
        store.log_artifact(draft.add_file(file(tmp_path / f"{number}", b"%d" % number), "weights"))
    text = Page(store.diff("m:v1", "m:v2")._repr_html_()).text
    for shown_text in ("m:v1 → m:v2", "1 changed", "weights", "acc: 1", "acc: 2", "tag added", "tag removed", "text 2"):
        assert shown_text in text


def test_it_brings_no_colour_and_nothing_from_elsewhere(attacked):
    for html in shown(attacked).values():
        styles = " ".join(re.findall(r'style="([^"]*)"', html))
        assert "url(" not in styles
        assert not re.search(r"#[0-9a-f]{3}|rgb|white|black", styles)


def test_of_much_only_the_first_is_shown():
    html = notebook.table(("n",), [(number,) for number in range(10_000)])

    assert Page(html).elements.count("tr") == 1 + notebook.ROWS_MAX
    assert "and 9,950 more" in html
    assert len(notebook.card("x", {"long": "y" * 100_000})) < 2000
    assert "and 50 more" in notebook.preformatted("\n".join("x" * 100))
