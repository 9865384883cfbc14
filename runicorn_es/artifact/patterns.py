"""Which of the files of a version are meant: paths with wildcards, as shells with ``**`` have them."""

from collections.abc import Sequence
import re

from runicorn_es.errors import Rejected

_WILD = re.compile(r"\*\*/|\*\*|\*|\?|\[(?:!?\]?[^\]]*)\]")


class Patterns:
    """Paths with wildcards: ``*`` and ``?`` for anything in one part of a path, ``**`` for any number of parts.

    A path without wildcards also means all files below it. ``[a-z]`` is one of these characters, ``[!a-z]`` none.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        cleaned = [pattern.removeprefix("./").rstrip("/") for pattern in patterns]
        if not all(cleaned):
            raise Rejected("an empty pattern means no file; leave it out to get all files")
        self._texts = tuple(cleaned)
        self._matches = re.compile("|".join(map(_regex, cleaned))).fullmatch

    @property
    def prefix(self) -> str:
        """Return the text that the paths of all meant files begin with."""
        if len(self._texts) > 1:
            return ""
        wild = _WILD.search(self._texts[0])
        return self._texts[0] if wild is None else self._texts[0][: wild.start()]

    def matches(self, path: str) -> bool:
        """Return whether a file is meant."""
        return self._matches(path) is not None

    def __str__(self) -> str:
        return ", ".join(map(repr, self._texts))


def _regex(pattern: str) -> str:
    parts: list[str] = []
    at = 0
    for wild in _WILD.finditer(pattern):
        parts.append(re.escape(pattern[at : wild.start()]))
        at = wild.end()
        match wild[0]:
            case "**/":
                parts.append("(?:.*/)?")
            case "**":
                parts.append(".*")
            case "*":
                parts.append("[^/]*")
            case "?":
                parts.append("[^/]")
            case characters:
                inside = characters[1:-1].replace("\\", "\\\\")
                parts.append(f"(?!/)[{f'^{inside[1:]}' if inside.startswith('!') else inside}]")
    parts.append(re.escape(pattern[at:]))
    return f"(?s:{''.join(parts)}(?:/.*)?)" if at == 0 else f"(?s:{''.join(parts)})"
