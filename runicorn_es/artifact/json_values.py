"""Metadata as JSON: what may be in it, said with the key where something may not."""

from collections.abc import Mapping
import math
import numbers
from typing import Any

import msgspec

from runicorn_es import settings
from runicorn_es.errors import Rejected


def to_json(values: Mapping[str, Any], what: str) -> str:
    """Return a mapping as the text of a JSON object with sorted keys.

    Numbers of other libraries (NumPy's scalars) become plain ones, tuples become lists. Raises Rejected, naming the
    key, for NaN, infinities and what JSON cannot hold. ``what``: for messages, such as ``metadata``.
    """
    text = msgspec.json.encode(_plain(values, what), order="sorted").decode()
    if len(text) > settings.METADATA_BYTES_MAX:
        raise Rejected(
            f"{what} takes {len(text)} bytes as JSON, at most {settings.METADATA_BYTES_MAX} are allowed; "
            "put large values into a file of the artifact"
        )
    return text


def _plain(value: object, where: str) -> object:
    match value:
        case None | bool() | str():
            return value
        case numbers.Integral():
            return int(value)
        case numbers.Real():
            number = float(value)
            if not math.isfinite(number):
                raise Rejected(f"{where} is {number}, which JSON cannot hold; leave it out, or store it as a text")
            return number
        case Mapping():
            for key in value:
                if not isinstance(key, str):
                    raise Rejected(
                        f"{where} has the key {key!r}, which is not a text; JSON objects have only text keys"
                    )
            return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, f"{where}[{number}]") for number, item in enumerate(value)]
        case _:
            raise Rejected(
                f"{where} is a {type(value).__name__}, which JSON cannot hold; convert it first, "
                "with .item(), .tolist() or str()"
            )
