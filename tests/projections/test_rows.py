"""How rows are found: keys that never stand for two things, and rows that cannot be."""

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as some
import pytest

from runicorn_es.projections.chronicle import Chronicle
from runicorn_es.projections.rows import (
    ALIASES,
    ARTIFACTS,
    INPUTS,
    OUTPUTS,
    RUNS,
    USES,
    VERSIONS,
    AliasRow,
    ArtifactRow,
    Contradiction,
    EdgeRow,
    VersionRow,
)
from runicorn_es.tables import MemoryTables

FAMILIES = [ALIASES, ARTIFACTS, INPUTS, OUTPUTS, RUNS, USES, VERSIONS]
names = some.text("ab\u00e9\U0001f600", max_size=130) | some.text("a", min_size=110, max_size=130)
parts = some.one_of(
    names.map(lambda name: (name,)),
    some.tuples(names, some.integers(0, 2**63 - 1)),
    some.tuples(names, names),
    some.tuples(names, some.integers(0, 2**63 - 1), names),
)


@given(some.sampled_from(FAMILIES), parts, some.sampled_from(FAMILIES), parts)
def test_different_parts_are_different_keys_that_lmdb_can_hold(family, some_parts, other, other_parts):
    one, two = family.key(*some_parts), other.key(*other_parts)

    assert len(one) <= 511
    if (family, some_parts) == (other, other_parts):
        assert one == two
    elif family is not other or [type(part) for part in some_parts] == [type(part) for part in other_parts]:
        assert one != two


LONGEST = "\U0001f600" * 128


@pytest.mark.parametrize("family", FAMILIES)
def test_the_longest_names_have_keys_that_lmdb_can_hold_and_that_differ_by_any_character(family):
    others = [LONGEST[:-1], LONGEST[:-1] + "x", "x" + LONGEST[1:], LONGEST[:64] + "x" + LONGEST[65:]]
    keys = {family.key(*parts) for name in [LONGEST, *others] for parts in [(name,), (name, name), (name, 2**62, name)]}

    assert len(keys) == 15
    assert all(len(key) <= 511 for key in keys)


@pytest.mark.parametrize("length", [119, 120, 121, 122])
def test_a_name_that_just_fits_is_spelled_out(length):
    is_whole = b"x" * length in VERSIONS.key("x" * length, 1)

    assert is_whole is (length <= 120)


@given(names, names, some.integers(0, 2**63 - 1))
def test_the_rows_of_one_name_are_not_among_those_of_another(name, other, number):
    if name != other:
        assert not VERSIONS.key(other, number).startswith(VERSIONS.key(name))


@given(names, some.integers(0, 2**62), some.integers(0, 2**62))
def test_versions_stand_in_the_order_of_their_numbers(name, one, other):
    assert (VERSIONS.key(name, one) < VERSIONS.key(name, other)) == (one < other)


@examples(max_examples=30)
@given(some.sets(some.integers(1, 600), min_size=1, max_size=20), some.booleans())
def test_a_scan_finds_all_rows_of_a_name_in_order(numbers, reverse):
    rows = MemoryTables()
    with rows.writing() as written:
        out = Chronicle(written)
        for number in numbers:
            edge = EdgeRow("run", "m", number, 0, 0)
            USES.put(out, edge, "m", number, "run")
            USES.put(out, edge, "m", number, "another run")
            USES.put(out, edge, "n", number, "run")

    assert [row.version for row in USES.scan(rows, "m", reverse=reverse)] == sorted([*numbers] * 2, reverse=reverse)
    for number in numbers:
        assert len(list(USES.scan(rows, "m", number))) == 2


def test_a_row_comes_back_as_it_was():
    rows = MemoryTables()
    row = VersionRow("m", "model", 3, "ready", 1, None, bytes(32), 1, 0, 100, 7)
    with rows.writing() as written:
        out = Chronicle(written)
        VERSIONS.put(out, row, "m", 3)
        ALIASES.put(out, AliasRow("production", 3, 7, 1), "m", "production")
        ALIASES.delete(out, "m", "production")

    assert VERSIONS.get(rows, "m", 3) == VERSIONS.expect(rows, "m", 3) == row
    assert VERSIONS.get(rows, "m", 4) is None
    assert ALIASES.get(rows, "m", "production") is None


@pytest.mark.parametrize("value", [b"", b"\xc1", b"\x90", b"\x93\xa1m\xa5model\x01", b"noise"])
def test_a_row_that_cannot_be_read_is_a_contradiction(value):
    rows = MemoryTables()
    with rows.writing() as out:
        out.put(ARTIFACTS.key("m"), value)

    with pytest.raises(Contradiction, match="cannot be read"):
        ARTIFACTS.get(rows, "m")
    with pytest.raises(Contradiction, match="cannot be read"):
        list(ARTIFACTS.scan(rows))


def test_a_row_that_must_be_there_and_is_not_is_a_contradiction():
    with pytest.raises(Contradiction, match="have lost"):
        ARTIFACTS.expect(MemoryTables(), "m")


def test_all_families_have_letters_of_their_own():
    assert len({family.key() for family in FAMILIES}) == len(FAMILIES)
    assert ArtifactRow.__struct_config__.frozen
