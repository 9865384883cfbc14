"""From an answer to a page: the templates, where links lead, and how sizes and times read. All text is escaped."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
import hashlib
from importlib import resources
import time
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
import msgspec

from runicorn_es import words

_TREE_ROWS_MAX = 2000
_TREE_DEPTH_MAX = 24
_VALUE_CHARACTERS = 2000
_STATIC = {
    "app.css": "text/css; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "theme.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


class Asset(msgspec.Struct, frozen=True):
    """A file that pages refer to, and a mark that is another one when it changes."""

    content: bytes
    type: str
    mark: str


class Branch(msgspec.Struct, frozen=True):
    """A line of metadata as a tree: a value, or the beginning (``is_open``) or the end of an object or a list."""

    kind: str
    key: str = ""
    value: str = ""
    count: int = 0


class Links:
    """Where links of one page lead: below the path of the proxy, and to the moment that the page shows."""

    def __init__(self, root_path: str, as_of: str | None = None) -> None:
        self._root_path = root_path
        self._as_of = as_of

    def __call__(self, *parts: str | int, **query: object) -> str:
        """Return the URL of a page; parts of the path and of the query are escaped here, and nowhere else."""
        path = "/".join(quote(str(part), safe="") for part in parts)
        asked = {"as_of": self._as_of, **query}
        given = {key: value for key, value in asked.items() if value not in {None, "", False}}
        return f"{self._root_path}/{path}{'?' if given else ''}{urlencode(given)}"

    def version(self, name: str, version: int, *more: str, **query: object) -> str:
        """Return the URL of a page of a version."""
        return self("artifacts", name, f"v{version}", *more, **query)

    def here(self, path: str, query: Mapping[str, str], changed: Mapping[str, object]) -> str:
        """Return the URL of the same page, asked otherwise in some respects. What was just done is not said again."""
        parts = [part for part in path.split("/") if part]
        return self(*parts, **{**query, "done": None, **changed})

    def now(self, *parts: str | int, **query: object) -> str:
        """Return the URL of a page as of now."""
        return self(*parts, **{**query, "as_of": None})


class Templates:
    """The templates and what they refer to."""

    def __init__(self) -> None:
        self.assets = dict(_assets())
        self._environment = Environment(
            loader=PackageLoader("runicorn_es.viewer"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(
            size=words.size, count=words.count, ago=ago, exact=exact, duration=duration, json=as_json, tree=tree
        )

    def page(self, template: str, links: Links, **names: object) -> str:
        """Return a page."""
        marks = {name: asset.mark for name, asset in self.assets.items()}
        return self._environment.get_template(template).render(to=links, marks=marks, **names)


def ago(when: datetime) -> str:
    """Return how long ago something was, roughly."""
    seconds = int(time.time() - when.timestamp())
    if seconds < 0:
        return "just now"
    for size, unit in ((86_400 * 365, "year"), (86_400 * 30, "month"), (86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{words.count(seconds // size, unit)} ago"
    return "just now" if seconds < 10 else f"{seconds} seconds ago"


def exact(when: datetime) -> str:
    """Return a time to the second, in UTC."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def duration(seconds: float) -> str:
    """Return how long something took."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def as_json(value: object) -> str:
    """Return a value as JSON, for people."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def tree(values: Mapping[str, Any]) -> Iterator[Branch]:
    """Yield the lines of metadata as a tree, so many at most; what is nested very deep is shown as JSON."""
    left = _TREE_ROWS_MAX
    # A stack of what is still to be shown, not a recursion: users nest as deep as they like.
    waiting: list[tuple[str, Any, int] | None] = [(key, value, 1) for key, value in reversed(list(values.items()))]
    while waiting:
        one = waiting.pop()
        if one is None:
            yield Branch("close")
            continue
        left -= 1
        if left < 0:
            yield Branch("cut")
            waiting = [rest for rest in waiting if rest is None]
            continue
        key, value, depth = one
        if isinstance(value, dict | list) and value and depth < _TREE_DEPTH_MAX:
            kind = "object" if isinstance(value, dict) else "list"
            yield Branch("open", key, kind, len(value))
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            waiting.append(None)
            waiting += [(str(inner), item, depth + 1) for inner, item in reversed(list(pairs))]
        else:
            yield Branch("value", key, _shown(value))


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _VALUE_CHARACTERS else f"{text[:_VALUE_CHARACTERS]}…"


def _assets() -> Iterator[tuple[str, Asset]]:
    folder = resources.files("runicorn_es.viewer") / "static"
    for name, kind in _STATIC.items():
        content = (folder / name).read_bytes()
        yield name, Asset(content, kind, hashlib.sha256(content).hexdigest()[:12])
