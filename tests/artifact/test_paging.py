"""Pages: cut where the paths say so, so that a small change of a version is a small change of the log."""

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as some
import pytest

from runicorn_es import settings
from runicorn_es.artifact.paging import pages_of, require_tree
from runicorn_es.errors import Rejected
from runicorn_es.events import FileAdded


def files(*numbers: int, digest: bytes = bytes(32)) -> list[FileAdded]:
    return [FileAdded(f"data/{number:06}.bin", digest, number) for number in numbers]


def digests(some_files: list[FileAdded]) -> list[bytes]:
    return [page.digest for page in pages_of(some_files)]


MANY = files(*range(0, 20_000, 2))


@pytest.fixture(scope="module")
def before():
    return digests(MANY)


def test_pages_hold_all_files_in_order_once():
    assert [file for page in pages_of(MANY) for file in page.files] == MANY


def test_no_files_are_no_pages():
    assert list(pages_of([])) == []


def test_equal_files_are_equal_pages(before):
    assert digests(list(MANY)) == before


def test_there_are_about_256_files_in_a_page(before):
    assert len(MANY) / 512 < len(before) < len(MANY) / 128


@pytest.mark.parametrize("position", [0, 1, 5000, 9998, 9999])
def test_a_file_that_changes_changes_one_page(before, position):
    changed = [*MANY]
    changed[position] = FileAdded(changed[position].path, bytes([1]) * 32, 7)

    after = digests(changed)

    assert len(after) == len(before)
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


@pytest.mark.parametrize("number", [1, 1001, 9999, 19_999])
def test_a_file_more_or_less_changes_at_most_two_pages(before, number):
    more = files(*range(0, number, 2), number, *range(number + 1, 20_000, 2))
    less = [file for file in MANY if file.size_bytes != number - 1]

    for after in (digests(more), digests(less)):
        assert len(set(after) - set(before)) <= 2


@examples(max_examples=30)
@given(some.sets(some.integers(0, 3000), max_size=600), some.integers(0, 3000))
def test_one_path_more_changes_at_most_two_pages_of_any_files(numbers, another):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "PAGE_FILES_MAX", 10_000)
        before = digests(files(*sorted(numbers)))
        after = digests(files(*sorted(numbers | {another})))

    assert len(set(after) - set(before)) <= 2


def paths_that_end_no_page(count: int) -> list[str]:
    found, number = [], 0
    while len(found) < count:
        path = f"{number:09}"
        # Two files of which neither ends a page are in one page.
        if len(list(pages_of([FileAdded(path, b"", 0), FileAdded("~", b"", 0)]))) == 1:
            found.append(path)
        number += 1
    return found


def test_a_page_has_at_most_2048_files():
    paths = paths_that_end_no_page(3 * settings.PAGE_FILES_MAX)

    sizes = [len(page.files) for page in pages_of(FileAdded(path, bytes(32), 1) for path in paths)]

    assert sizes == [settings.PAGE_FILES_MAX] * 3


def test_pages_of_long_paths_fit_into_a_record(store):
    from runicorn_es import codec

    long = "/".join(["x" * 255] * 15)
    noisy = [FileAdded(f"{long}/{number:06}", number.to_bytes(32, "big"), 2**62, True) for number in range(2000)]

    for page in pages_of(noisy):
        payload, is_compressed = codec.encode(page.files, bytes(16))
        assert codec.decode_files(payload, compressed=is_compressed) == page.files


@pytest.mark.parametrize(
    "paths",
    [["a", "b"], ["a/b", "a/c"], ["a", "a-b", "a.b", "ab/c"], ["a/b/c", "a/b/d", "a/c"], []],
)
def test_a_tree_is_a_tree(paths):
    require_tree(paths)


@pytest.mark.parametrize(
    ("paths", "both"),
    [
        (["a", "a/b"], "a"),
        (["a/b", "a"], "a"),
        (["a", "a-", "a/b"], "a"),
        (["a/b", "a/b/c/d"], "a/b"),
        (["a/b/c/d", "a/b"], "a/b"),
        (["x/y/1", "x/y/2", "x/y/2/3"], "x/y/2"),
    ],
)
def test_what_is_a_file_and_a_folder_is_no_tree(paths, both):
    with pytest.raises(Rejected, match=f"'{both}' would be a file and"):
        require_tree(paths)


@given(some.lists(some.sampled_from(["a", "a/b", "a/b/c", "a/c", "ab", "b", "b/a"]), unique=True))
def test_any_paths_are_a_tree_unless_one_is_below_another(paths):
    is_tree = not any(one.startswith(f"{other}/") for one in paths for other in paths)
    if is_tree:
        require_tree(paths)
    else:
        with pytest.raises(Rejected):
            require_tree(paths)
