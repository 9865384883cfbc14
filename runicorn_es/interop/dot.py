"""Graphs in DOT, the language of Graphviz (https://graphviz.org/doc/info/lang.html)."""

from collections.abc import Iterable, Mapping
import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def digraph(nodes: Iterable[tuple[str, Mapping[str, str]]], edges: Iterable[tuple[str, str]]) -> str:
    """Return a directed graph of nodes, each with its attributes, and of edges between them.

    Nodes are called ``n0``, ``n1`` …, and what they are stands in their labels: DOT has no way to write an id that ends
    in a backslash.
    """
    lines = ["digraph lineage {", "  rankdir=LR;", "  node [shape=box];"]
    called: dict[str, str] = {}
    for name, attributes in nodes:
        called[name] = f"n{len(called)}"
        written = ", ".join(f"{key}={quoted(value)}" for key, value in attributes.items())
        lines.append(f"  {called[name]} [{written}];")
    lines += [f"  {called[source]} -> {called[target]};" for source, target in edges]
    return "\n".join([*lines, "}", ""])


def quoted(text: str) -> str:
    r"""Return a text as a string that Graphviz shows as it is; a line end begins a new line, ``\x07`` is spelled out.

    In a label, a backslash begins an escape (https://graphviz.org/docs/attr-types/escString/), and ``&amp;`` is read
    as HTML does, also in a string that is not HTML.
    """
    escaped = text.replace("\\", r"\\").replace('"', r"\"").replace("&", "&amp;").replace("\n", r"\n")
    return f'"{_CONTROL.sub(_spelled_out, escaped)}"'


def _spelled_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode().replace("\\", r"\\")
