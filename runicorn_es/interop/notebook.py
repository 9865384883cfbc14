"""Small HTML for notebooks: what a cell shows for an object (IPython's ``_repr_html_``).

It brings no colours, scripts or files of its own, so that it reads on light and dark pages and can be kept in a saved
notebook; every text in it is escaped.
"""

from collections.abc import Iterable, Mapping, Sequence

ROWS_MAX = 50
_TEXT_CHARACTERS_MAX = 500
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
_FAINT = "opacity:.7"


def card(title: str, pairs: Mapping[str, object], *more: str) -> str:
    """Return a title, a line for each key and value, and more HTML below."""
    rows = "".join(f"<tr>{_cell(key, 'th', _FAINT)}{_cell(value)}</tr>" for key, value in pairs.items())
    return f"<div><strong>{escaped(title)}</strong><table>{rows}</table>{''.join(more)}</div>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of the first rows, and below it how many there are more."""
    found = list(rows)
    lines = [head, *found[:ROWS_MAX]]
    written = (
        f"<tr>{''.join(_cell(cell, 'td' if number else 'th') for cell in line)}</tr>"
        for number, line in enumerate(lines)
    )
    return f"<table>{''.join(written)}</table>{_more(len(found))}"


def preformatted(text: str) -> str:
    """Return a text line by line as it is, and of a long one its first lines."""
    lines = text.split("\n")
    shown = "\n".join(lines[:ROWS_MAX])
    return f'<pre style="background:none;color:inherit">{escaped(shown)}</pre>{_more(len(lines))}'


def escaped(text: str) -> str:
    """Return a text as HTML shows it, within an element or a quoted attribute."""
    return text.translate(_ESCAPES)


def _cell(content: object, element: str = "td", style: str = "opacity:1") -> str:
    shown = escaped(_shortened(str(content)))
    return f'<{element} style="text-align:left;vertical-align:top;{style}">{shown}</{element}>'


def _more(count: int) -> str:
    return f'<div style="{_FAINT}">and {count - ROWS_MAX:,} more</div>' if count > ROWS_MAX else ""


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT_CHARACTERS_MAX else f"{text[:_TEXT_CHARACTERS_MAX]}…"
