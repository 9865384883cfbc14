"""What a shell may complete: names of artifacts, and versions and aliases behind a colon.

A completion has nobody to complain to: where there is no store, or it cannot be read, there is nothing to complete.
"""

from collections.abc import Callable, MutableMapping
import contextlib
import io
import re
import sys

import typer

from runicorn_es.cli import late, opening
from runicorn_es.cli.asked import asked

_VERSIONS_MAX = 50
_VARIABLE = re.compile(r"_RUNICORN\w*_COMPLETE")


def artifact_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of artifacts that begin so."""
    with contextlib.suppress(Exception), opening.reading(asked(context)) as store:
        return [row.name for row in store.artifacts() if row.name.startswith(incomplete)]
    return []


def specs(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of artifacts that begin so, or behind a colon the versions and aliases of one."""
    name, colon, _ = incomplete.partition(":")
    with contextlib.suppress(Exception), opening.reading(asked(context)) as store:
        found = [] if colon else [row.name for row in store.artifacts() if row.name.startswith(incomplete)]
        if colon or found == [name]:
            found += [spec for spec in _specs_of(store, name) if spec.startswith(incomplete)]
        return found
    return []


def _specs_of(store: "late.store.Store", name: str) -> list[str]:
    versions = [f"v{row.version}" for row in reversed(store.versions(name))][:_VERSIONS_MAX]
    return [f"{name}:{selector}" for selector in ("latest", *(row.alias for row in store.aliases(name)), *versions)]


def for_bash(answer: Callable[[], object], environment: MutableMapping[str, str]) -> bool:
    """Answer bash's question for completions, if that is what we were started for; return whether it was.

    bash cuts words at colons and replaces only what stands behind the last one. So the words are joined again for the
    question, and what stands before the colon is taken off the answer.
    """
    if not any(_VARIABLE.fullmatch(name) and value == "complete_bash" for name, value in environment.items()):
        return False
    words = environment.get("COMP_WORDS", "").split("\n")
    joined, position = _joined(words, int(environment.get("COMP_CWORD", "0")))
    environment["COMP_WORDS"], environment["COMP_CWORD"] = "\n".join(joined), str(position)
    current = joined[position] if position < len(joined) else ""
    kept = current[: current.rfind(":") + 1]
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
        answer()
    sys.stdout.write("".join(f"{line.removeprefix(kept)}\n" for line in written.getvalue().splitlines()))
    return True


def _joined(words: list[str], position: int) -> tuple[list[str], int]:
    """Return the words with those around each colon joined, and where the one at ``position`` is now."""
    joined: list[str] = []
    places: list[int] = []
    for word in words:
        is_cut = joined and (word == ":" or (joined[-1].endswith(":") and len(joined) > 1))
        if is_cut:
            joined[-1] += word
        else:
            joined.append(word)
        places.append(len(joined) - 1)
    return joined, places[position] if position < len(places) else len(joined)
