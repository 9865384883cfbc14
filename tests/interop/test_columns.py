"""Objects become columns, and each column has one type."""

import io
import json

from hypothesis import given, settings, strategies
import pytest

from runicorn_es.interop import columns
from runicorn_es.interop.columns import Spool, flattened, write_json_lines

BIG = 1 << 62
HUGE = 1 << 64


def spooled(*objects: dict) -> tuple[dict[str, str], list[dict]]:
    with Spool(None, {"id": "integer"}, "m.") as spool:
        for number, members in enumerate(objects):
            spool.add([number], members)
        return spool.columns(), list(spool.rows())


@pytest.mark.parametrize(
    ("values", "kind", "shown"),
    [
        ([True, False], "boolean", [True, False]),
        ([1, -BIG], "integer", [1, -BIG]),
        ([1, 0.5], "number", [1.0, 0.5]),
        ([BIG + 1, 0.5], "text", [str(BIG + 1), "0.5"]),
        ([1, HUGE], "text", ["1", str(HUGE)]),
        ([1, True], "text", ["1", "true"]),
        (["a", 1, {}], "text", ["a", "1", "{}"]),
        ([[1, "x"], ["y"]], "text", ['[1,"x"]', '["y"]']),
        ([None, 2], "integer", [None, 2]),
        ([None, None], "text", [None, None]),
    ],
)
def test_a_column_has_the_narrowest_type_that_loses_nothing(values, kind, shown):
    found, rows = spooled(*({"x": value} for value in values))

    assert found == {"id": "integer", "m.x": kind}
    assert [row["m.x"] for row in rows] == shown
    assert list(map(type, (row["m.x"] for row in rows))) == list(map(type, shown))


def test_members_are_columns_by_their_paths():
    assert flattened({"a": {"b": {"c": 1}, "d": {}}, "e": [{"f": 1}]}, "m.") == {
        "m.a.b.c": 1,
        "m.a.d": {},
        "m.e": [{"f": 1}],
    }


def test_of_two_members_at_one_path_none_is_lost():
    assert flattened({"a.b": 1, "a": {"b": 2}}, "") == {"a.b": [1, 2]}


def test_a_row_without_a_member_does_not_have_it():
    _, rows = spooled({"x": 1}, {"y": 2})

    assert rows == [{"id": 0, "m.x": 1}, {"id": 1, "m.y": 2}]


def test_members_beyond_the_most_columns_share_one(monkeypatch):
    monkeypatch.setattr(columns, "COLUMNS_MAX", 2)

    found, rows = spooled({"a": 1, "b": 2, "c": {"d": 3}}, {"b": 4})

    assert found == {"id": "integer", "m.a": "integer", "m.b": "integer", "m": "json"}
    assert rows == [{"id": 0, "m.a": 1, "m.b": 2, "m": {"c.d": 3}}, {"id": 1, "m.b": 4}]


def test_a_spool_leaves_nothing_in_its_folder(tmp_path):
    with Spool(tmp_path, {}, "m.") as spool:
        spool.add([], {"x": 1})
        assert list(tmp_path.iterdir()) == []


_VALUES = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats(allow_nan=False, allow_infinity=False)
    | strategies.text(),
    lambda inner: (
        strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=30)
@given(strategies.lists(strategies.dictionaries(strategies.text(max_size=3), _VALUES, max_size=4), max_size=5))
def test_whatever_is_in_them_can_be_written(objects):
    found, rows = spooled(*objects)
    file = io.BytesIO()

    assert write_json_lines(file, found, rows) == len(objects)

    read = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [row["id"] for row in read] == list(range(len(objects)))
    assert {name for row in read for name in row} <= set(found)
