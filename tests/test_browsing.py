"""A folder at a time: what lies directly in it, however the pages are cut."""

from hypothesis import given, settings
from hypothesis import strategies as st

from given import State
from given import given as led_to
from runicorn_es import queries
from runicorn_es.events import Draft, FileAdded, VersionCreated
from runicorn_es.projections.rows import VERSIONS

NAMES = st.text(alphabet="ab-.0", min_size=1, max_size=3).filter(lambda name: name.strip("."))
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
DIGEST = bytes(32)


def version_of(paths: list[str], per_page: int) -> State:
    ordered = sorted(paths, key=str.encode)
    cut = [ordered[begin : begin + per_page] for begin in range(0, len(ordered), per_page)]
    pages = [Draft("m:v1", tuple(FileAdded(path, DIGEST, 1) for path in page), is_page=True) for page in cut]
    created = VersionCreated("m", "model", 1, None, DIGEST, tuple(range(len(pages))), (), len(paths), 0, len(paths))
    return led_to([*pages, Draft("m:v1", (created,))])


@settings(max_examples=150)
@given(st.sets(PATHS, min_size=1, max_size=60), st.integers(1, 5), st.integers(1, 7), st.sampled_from(["", "a", "b/a"]))
def test_a_folder_by_pages_is_what_all_paths_say(paths, per_page, limit, where):
    # A path that is a folder of another one cannot be a file.
    files = [path for path in paths if not any(other.startswith(f"{path}/") for other in paths)]
    above = f"{where}/" if where else ""
    inside = [path[len(above) :] for path in files if path.startswith(above)]
    wanted = sorted({name + slash for name, slash, _ in (path.partition("/") for path in inside)}, key=str.encode)
    view = version_of(files, per_page)
    row = VERSIONS.expect(view.rows, "m", 1)

    found: list[str] = []
    after = None
    while True:
        page = queries.folder(view, row, where, after=after, limit=limit)
        assert len(page.names) <= limit
        assert set(page.files) == {name for name in page.names if not name.endswith("/")}
        found += page.names
        after = page.next
        if after is None:
            break

    assert found == wanted


def test_a_folder_below_is_leapt_over_without_reading_its_pages():
    paths = [f"a/{number:05d}" for number in range(5000)] + ["b"]
    view = version_of(paths, 10)
    read: list[int] = []
    whole = view.page
    view.page = lambda index: read.append(index) or whole(index)

    page = queries.folder(view, VERSIONS.expect(view.rows, "m", 1), limit=10)

    assert page.names == ["a/", "b"]
    assert len(read) < 30
