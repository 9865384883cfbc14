"""Metadata by dotted keys: ``train.lr`` is the ``lr`` in the object ``train``. Pure.

A key may itself contain dots, so that one dotted key can lead to several places.
"""

from collections.abc import Iterator, Mapping
from typing import Any


def leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each value that is neither an object nor a list, under its dotted key.

    The elements of a list stand under the key of the list, each on its own.
    """
    # Not recursive: what may be nested is deeper than what Python likes to call.
    waiting: list[tuple[str, Any]] = list(values.items())
    waiting.reverse()
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{key}.{inner}", below) for inner, below in reversed(value.items())]
        elif isinstance(value, list):
            waiting += [(key, element) for element in reversed(value)]
        else:
            yield key, value


def without(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a copy of an object without what stands under a dotted key; the same values if nothing does.

    A key that is spelled so goes first, dots and all. An object that becomes empty stays.
    """
    kept = dict(values)
    if key in kept:
        del kept[key]
        return kept
    for outer, value in values.items():
        if isinstance(value, dict) and key.startswith(f"{outer}."):
            kept[outer] = without(value, key[len(outer) + 1 :])
            if kept[outer] != value:
                return kept
    return kept
