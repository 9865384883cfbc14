"""Metadata as JSON: what may be in it, said with the key where something may not."""

from collections.abc import Mapping
import math
import numbers
from typing import Any

import msgspec

from runicorn_es import settings
from runicorn_es.errors import Rejected

_DEPTH_MAX = 200


def to_json(values: Mapping[str, Any], what: str) -> str:
    """Return a mapping as the text of a JSON object, its keys in the given order.

    Numbers of other libraries (NumPy's scalars) become plain ones, tuples become lists. Raises Rejected, naming the
    key, for NaN, infinities and what JSON cannot hold. ``what``: for messages, such as ``metadata``.
    """
    return plain_to_json(to_plain(values, what), what)


def to_sorted_json(values: Mapping[str, Any], what: str) -> str:
    """Return a mapping as ``to_json`` does, but with sorted keys: equal values, equal text."""
    return _limited(msgspec.json.encode(to_plain(values, what), order="sorted"), what)


def to_plain(values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return a copy of a mapping made of nothing but what JSON knows. Raises Rejected as ``to_json`` does."""
    plain = _plain(values, what, _DEPTH_MAX)
    assert isinstance(plain, dict)
    return plain


def plain_to_json(plain: dict[str, Any], what: str) -> str:
    """Return what ``to_plain`` returned as the text of a JSON object. Raises Rejected when it is too long."""
    return _limited(msgspec.json.encode(plain), what)


def _limited(text: bytes, what: str) -> str:
    if len(text) > settings.METADATA_BYTES_MAX:
        raise Rejected(
            f"{what} takes {len(text)} bytes as JSON, at most {settings.METADATA_BYTES_MAX} are allowed; "
            "put large values into a file of the artifact"
        )
    return text.decode()


def is_text(value: object) -> bool:
    """Return whether a value is a text that can be stored. Types are said in signatures, and not always kept."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_count(value: object) -> bool:
    """Return whether a value is a number of bytes that can be stored."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _plain(value: object, where: str, depth: int) -> object:
    if depth == 0:
        raise Rejected(f"{where[:80]}… is nested deeper than {_DEPTH_MAX} levels, or contains itself")
    match value:
        case None | bool():
            return value
        case str():
            if not is_text(value):
                raise Rejected(f"{where} is a text that is not valid Unicode; encode it, or leave it out")
            return str(value)
        case numbers.Integral():
            return int(value)
        case numbers.Real():
            return _finite(value, where)
        case Mapping():
            for key in value:
                if not is_text(key):
                    raise Rejected(
                        f"{where} has the key {key!r}, which is not a text; JSON objects have only text keys"
                    )
            return {str(key): _plain(item, f"{where}[{key!r}]", depth - 1) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, f"{where}[{number}]", depth - 1) for number, item in enumerate(value)]
        case _:
            raise Rejected(
                f"{where} is a {type(value).__name__}, which JSON cannot hold; convert it first, "
                "with .item(), .tolist() or str()"
            )


def _finite(value: numbers.Real, where: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Rejected(f"{where} is {number}, which JSON cannot hold; leave it out, or store it as a text")
    return number
