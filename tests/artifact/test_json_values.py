"""Metadata as JSON: kept as it is, or refused with the key named."""

from collections import OrderedDict
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction
import json
import numbers
from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as some
import pytest

from runicorn_es import settings
from runicorn_es.artifact.json_values import to_json, to_sorted_json
from runicorn_es.errors import Rejected

any_json = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=10,
)


class Scalar:
    """A number of another library, as NumPy's are: registered, but no int and no float."""

    def __init__(self, value):
        self.value = value

    def __float__(self):
        return float(self.value)

    def __int__(self):
        return int(self.value)

    __index__ = __int__


@numbers.Real.register
class RealScalar(Scalar):
    pass


@numbers.Integral.register
class IntegralScalar(Scalar):
    pass


class Colour(StrEnum):
    RED = "red"


class Word(str):
    __slots__ = ()


class Level(IntEnum):
    HIGH = 3


@given(some.dictionaries(some.text(), any_json, max_size=4))
def test_json_comes_back_as_it_was(values):
    assert json.loads(to_json(values, "metadata")) == values


@given(some.dictionaries(some.text(), any_json, max_size=4))
def test_equal_values_have_equal_texts_whatever_their_order(values):
    backwards = dict(reversed(values.items()))

    assert to_sorted_json(values, "attributes") == to_sorted_json(backwards, "attributes")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, 2), [1, 2]),
        (RealScalar(0.5), 0.5),
        (IntegralScalar(7), 7),
        (Fraction(1, 4), 0.25),
        (Level.HIGH, 3),
        (Colour.RED, "red"),
        (Word("word"), "word"),
        (True, True),
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        ({Word("key"): 1}, {"key": 1}),
        (2**70, 2**70),
    ],
    ids=range(12),
)
def test_what_stands_for_json_becomes_it(value, expected):
    found = json.loads(to_json({"key": value}, "metadata"))["key"]

    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"loss": float("nan")}, r"metadata\['loss'\] is nan"),
        ({"loss": float("inf")}, r"metadata\['loss'\] is inf"),
        ({"loss": RealScalar(float("-inf"))}, r"metadata\['loss'\] is -inf"),
        ({"a": {"b": [1, {"c": float("nan")}]}}, r"metadata\['a'\]\['b'\]\[1\]\['c'\] is nan"),
        ({"when": Decimal("0.1")}, r"metadata\['when'\] is a Decimal"),
        ({"set": {1}}, r"metadata\['set'\] is a set"),
        ({"raw": b"bytes"}, r"metadata\['raw'\] is a bytes"),
        ({"z": 1j}, r"metadata\['z'\] is a complex"),
        ({1: "one"}, r"metadata has the key 1"),
        ({"a": {None: 1}}, r"metadata\['a'\] has the key None"),
        ({"text": "\ud800"}, r"metadata\['text'\]"),
        ({"\ud800": 1}, r"metadata"),
        ({"huge": Fraction(10) ** 400}, r"metadata\['huge'\]"),
    ],
    ids=range(13),
)
def test_what_json_cannot_hold_is_named_by_its_key(values, where):
    with pytest.raises(Rejected, match=where):
        to_json(values, "metadata")


def test_values_that_contain_themselves_are_refused():
    values = {}
    values["self"] = values

    with pytest.raises(Rejected, match="metadata"):
        to_json(values, "metadata")


def test_values_that_are_nested_too_deep_are_refused():
    values = {}
    for _ in range(10_000):
        values = {"deeper": values}

    with pytest.raises(Rejected, match="metadata"):
        to_json(values, "metadata")


def test_values_nested_as_deep_as_accepted_come_back():
    depth, values = 0, {}
    while True:
        try:
            text = to_json(values, "metadata")
        except Rejected:
            break
        values, depth = {"a": values}, depth + 1
        if depth == 200:
            break

    assert json.loads(text) is not None
    assert depth >= 100


@pytest.mark.parametrize("character", ["x", "é", "模"])
def test_the_limit_counts_bytes(character):
    room = settings.METADATA_BYTES_MAX - len('{"a":""}')
    count = room // len(character.encode())
    to_json({"a": character * count}, "metadata")

    with pytest.raises(Rejected, match=r"metadata takes \d+ bytes as JSON, at most 524288"):
        to_json({"a": character * (count + 1)}, "metadata")
