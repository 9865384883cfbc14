"""Metadata as keys and values: ``{"val": {"acc": 0.9}}`` has the key ``val.acc``. Pure."""

from collections.abc import Iterator, Mapping
import re
from typing import Any, Literal

import msgspec

_PLAIN = re.compile(r'[^."\s]+')


class ValueChange(msgspec.Struct, frozen=True):
    """A value of the metadata that is not the same in both; ``old`` or ``new`` is None also where there is none.

    key: the keys from the outermost in, joined by dots; one that has a dot itself is in quotes. path: the same keys,
    each for itself. Lists are values, and so are empty objects.
    """

    kind: Literal["added", "removed", "changed"]
    key: str
    old: Any
    new: Any
    path: tuple[str, ...]


def value_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[ValueChange]:
    """Return which values of two objects differ, in order of their keys."""
    before, after = dict(leaves(old)), dict(leaves(new))
    found: list[ValueChange] = []
    for path in sorted(before.keys() | after.keys()):
        if path not in after:
            found.append(ValueChange("removed", spelled(path), before[path], None, path))
        elif path not in before:
            found.append(ValueChange("added", spelled(path), None, after[path], path))
        elif not _is_same(before[path], after[path]):
            found.append(ValueChange("changed", spelled(path), before[path], after[path], path))
    return found


def leaves(value: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each value of an object that is no object itself, or an empty one, with the keys that lead to it."""
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            yield from leaves(inner, (*above, key))
        else:
            yield (*above, key), inner


def spelled(path: tuple[str, ...]) -> str:
    """Return keys joined by dots, in quotes where they could be misread."""
    return ".".join(key if _PLAIN.fullmatch(key) else msgspec.json.encode(key).decode() for key in path)


def _is_same(old: Any, new: Any) -> bool:
    # As texts: to Python, 1 and 1.0 and true are equal.
    return msgspec.json.encode(old, order="sorted") == msgspec.json.encode(new, order="sorted")
