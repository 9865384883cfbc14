"""Any name, as Graphviz reads it. Read back by another's parser."""

import re

from hypothesis import given, settings, strategies
import pydot
import pytest

from runicorn_es.interop import dot

# What reads it warns of itself.
pytestmark = pytest.mark.filterwarnings("ignore:.* deprecated - use")

NASTY = [
    "",
    '"',
    "\\",
    'a"b',
    "ends in \\",
    '\\"',
    "&amp;",
    "<b>",
    "a\nb",
    "n0",
    "-> ];",
    "ünï",
    "\\N",
]


def labels_of(text: str) -> list[str]:
    [graph] = pydot.graph_from_dot_data(text)
    return [node.get("label") for node in graph.get_nodes() if node.get_name() != "node"]


def as_shown(label: str) -> str:
    """Return what Graphviz shows for a quoted label."""
    assert label[0] == label[-1] == '"'
    shown = re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), label[1:-1])
    return shown.replace("&amp;", "&")


@pytest.mark.parametrize("name", NASTY)
def test_a_label_shows_the_text_whatever_is_in_it(name):
    [label] = labels_of(dot.digraph([("x", {"label": name})], []))

    assert as_shown(label) == name


@settings(max_examples=30)
@given(strategies.text(strategies.characters(exclude_categories=["C", "Z"]) | strategies.sampled_from('"\\&<\n ')))
def test_every_printable_text_comes_back(name):
    [label] = labels_of(dot.digraph([("x", {"label": name})], []))

    assert as_shown(label) == name


@pytest.mark.parametrize(("name", "shown"), [("\x07", r"\x07"), ("\u202e", r"\u202e")])
def test_what_cannot_be_seen_is_spelled_out(name, shown):
    [label] = labels_of(dot.digraph([("x", {"label": name})], []))

    assert as_shown(label) == shown


def test_edges_join_the_nodes_that_are_meant():
    [graph] = pydot.graph_from_dot_data(dot.digraph([('"', {}), ("\\", {})], [("\\", '"')]))

    assert [(edge.get_source(), edge.get_destination()) for edge in graph.get_edges()] == [("n1", "n0")]
