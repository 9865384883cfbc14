"""Paths with wildcards."""

import pytest

from runicorn_es.artifact.patterns import Patterns
from runicorn_es.errors import Rejected


@pytest.mark.parametrize(
    ("pattern", "meant", "not_meant"),
    [
        ("a.txt", ["a.txt"], ["b/a.txt", "a.txt2", "axtxt"]),
        ("train", ["train", "train/a", "train/b/c"], ["trainer/a", "x/train/a"]),
        ("train/", ["train/a", "train/b/c"], ["trainer/a"]),
        ("./train", ["train/a"], ["a"]),
        ("*.txt", ["a.txt", ".txt"], ["b/a.txt", "a.txt/b"]),
        ("**/*.txt", ["a.txt", "b/a.txt", "b/c/a.txt"], ["a.png"]),
        ("train/**", ["train/a", "train/b/c"], ["train", "trainer/a"]),
        ("train/**/x", ["train/x", "train/a/x", "train/a/b/x"], ["train/ax", "x"]),
        ("a?c", ["abc"], ["a/c", "ac"]),
        ("[a-c]1", ["a1", "c1"], ["d1", "/1"]),
        ("[!a-c]1", ["d1"], ["a1", "/1"]),
        ("a[]]", ["a]"], ["a"]),
        ("a+(b)|c", ["a+(b)|c"], ["aab", "c"]),
        ("größe/*", ["größe/ü"], ["grosse/u"]),
        ("a\nb*", ["a\nb", "a\nbc"], ["a"]),
    ],
)
def test_a_pattern_means_these_and_not_those(pattern, meant, not_meant):
    patterns = Patterns([pattern])

    assert [path for path in meant if not patterns.matches(path)] == []
    assert [path for path in not_meant if patterns.matches(path)] == []
    assert all(path.startswith(patterns.prefix) for path in meant)


def test_several_patterns_mean_what_any_of_them_means():
    patterns = Patterns(["a/*", "b"])

    assert [path for path in ("a/1", "b/2", "c/3", "a/1/2") if patterns.matches(path)] == ["a/1", "b/2"]
    assert patterns.prefix == ""


@pytest.mark.parametrize("pattern", ["", "/", "./"])
def test_nothing_is_no_pattern(pattern):
    with pytest.raises(Rejected, match="empty pattern"):
        Patterns(["a", pattern])
