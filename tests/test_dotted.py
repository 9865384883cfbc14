"""Metadata by dotted keys."""

import pytest

from runicorn_es import dotted

NESTED = {"train": {"lr": 0.1, "layers": [{"units": 8}, {"units": 16}]}, "tags": ["a", "b"], "train.lr": 1}


def test_inner_values_stand_under_dotted_keys_and_elements_under_the_key_of_their_list():
    assert list(dotted.leaves(NESTED)) == [
        ("train.lr", 0.1),
        ("train.layers.units", 8),
        ("train.layers.units", 16),
        ("tags", "a"),
        ("tags", "b"),
        ("train.lr", 1),
    ]


def test_what_is_empty_has_no_leaves():
    assert list(dotted.leaves({"a": {}, "b": []})) == []


@pytest.mark.parametrize(
    ("key", "left"),
    [
        ("tags", {"train": {"lr": 1}}),
        ("train.lr", {"train": {}, "tags": ["a"]}),
        ("train", {"tags": ["a"]}),
        ("train.epochs", {"train": {"lr": 1}, "tags": ["a"]}),
        ("nothing", {"train": {"lr": 1}, "tags": ["a"]}),
    ],
)
def test_what_stands_under_a_key_is_left_out(key, left):
    assert dotted.without({"train": {"lr": 1}, "tags": ["a"]}, key) == left


def test_a_key_that_is_spelled_so_goes_first():
    both = {"train.lr": 1, "train": {"lr": 2}}

    assert dotted.without(both, "train.lr") == {"train": {"lr": 2}}
    assert dotted.without(dotted.without(both, "train.lr"), "train.lr") == {"train": {}}


def test_a_key_is_found_behind_an_object_whose_own_key_has_dots():
    assert dotted.without({"a": {"x": 1}, "a.b": {"c": 1}}, "a.b.c") == {"a": {"x": 1}, "a.b": {}}


def test_nothing_of_the_original_changes():
    before = {"train": {"lr": 1}}
    dotted.without(before, "train.lr")
    assert before == {"train": {"lr": 1}}
