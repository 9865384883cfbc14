"""What a step costs does not depend on how much there is: counted in pages, records, rows and calls, not in seconds."""

from collections import Counter
from itertools import islice
import os
import subprocess
import sys

import pytest

from given import file, rows
import runicorn_es as rn
from runicorn_es import codec, projections, queries
from runicorn_es.artifact.file_list import ReadWhenAsked
from runicorn_es.artifact.paging import pages_of
from runicorn_es.commands import LogArtifact
from runicorn_es.events import FileAdded
from runicorn_es.log.record import PAGE
from runicorn_es.queries import View

FILES = 30_000
CHANGED = 10

LOG_A_LARGE_FILE = """
from pathlib import Path
import sys
import runicorn_es as rn
from runicorn_es import settings

def most_resident_kib():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

settings.COPY_STEP_BYTES = settings.HASH_STEP_BYTES = settings.MIB
root, small, large, mode = sys.argv[1:]
with rn.open_store(root) as store:
    store.log_artifact(rn.Artifact("m", "model").add_file(small, mode=mode))
    before = most_resident_kib()
    store.log_artifact(rn.Artifact("m", "model").add_file(large, mode=mode))
print((most_resident_kib() - before) // 1024)
"""


def many_files(changed: int = 0) -> list[FileAdded]:
    """Return the files of a version; those that changed are spread over all."""
    files = [FileAdded(f"train/{n // 100:04}/{n:06}.png", n.to_bytes(32), 4096) for n in range(FILES)]
    for number in range(changed):
        at = number * FILES // CHANGED + 7
        files[at] = FileAdded(files[at].path, bytes([1] * 32), 4096)
    return files


def log(store: rn.Store, files: list[FileAdded]) -> None:
    """Log a version of such files, without one on the disk: nobody reads them here."""
    pages = tuple(pages_of(files))
    digest = codec.content_digest([page.digest for page in pages], ())
    store.execute(LogArtifact("d", "dataset", None, pages, (), digest, "{}", (), None, ()))


@pytest.fixture(scope="module")
def wide_root(tmp_path_factory):
    """A store with a version of many files."""
    root = tmp_path_factory.mktemp("wide") / "store"
    with rn.open_store(root) as store:
        log(store, many_files())
    return root


@pytest.fixture
def wide(wide_root):
    with rn.open_store(wide_root) as store:
        yield store


@pytest.fixture
def pages_read(monkeypatch):
    """The records of the pages that were read since."""
    found = []
    real = View.page
    monkeypatch.setattr(View, "page", lambda view, index: (found.append(index), real(view, index))[1])
    return found


def test_ten_changed_files_cost_about_ten_pages_of_log_and_of_tables(store):
    log(store, many_files())
    log_bytes, before = store.layout.segment(0).stat().st_size, rows(store)
    count = len(list(store.events()))

    log(store, many_files(CHANGED))

    added = [record for record, _ in islice(store.events(), count, None)]
    assert Counter(bool(record.flags & PAGE) for record in added) == {True: CHANGED, False: 1}
    assert store.layout.segment(0).stat().st_size - log_bytes < 500_000
    grown = {key: row for key, row in rows(store).items() if before.get(key) != row}
    assert sum(len(key) + len(row) for key, row in grown.items()) < 20_000


def test_one_file_of_many_is_found_by_a_few_pages(wide, pages_read):
    with wide.reading() as view:
        assert queries.file(view, queries.version(view, "d", 1), "train/0150/015007.png").size_bytes == 4096

    assert len(pages_read) < 15


def test_the_files_of_one_folder_are_found_by_a_few_pages(wide, pages_read):
    assert len(list(wide.get("d").files("train/0150/"))) == 100

    assert len(pages_read) < 18


@pytest.mark.parametrize("of", ["files", "manifest"])
def test_the_first_of_many_files_takes_one_page(wide, pages_read, of):
    version = wide.get("d")
    files = version.files() if of == "files" else iter(version.get_manifest().files)

    assert next(files).path == "train/0000/000000.png"
    assert len(pages_read) == 1


def test_how_many_files_there_are_takes_no_page(wide, pages_read):
    manifest = wide.get("d").get_manifest()

    assert manifest.total_files == len(manifest.files) == FILES
    assert pages_read == []


@pytest.mark.parametrize(("read_only", "count"), [(False, 0), (True, 1)], ids=["shared tables", "its own tables"])
def test_what_another_wrote_is_caught_up_with_by_that_alone(store, monkeypatch, read_only, count):
    for number in range(50):
        store.log_artifact(rn.Artifact("m", "model").add_reference(f"s3://b/{number}"))
    with rn.open_store(store.layout.root, read_only=read_only) as other:
        store.alias("m:v1", "production")
        folded = []
        real = projections.fold
        monkeypatch.setattr(projections, "fold", lambda records, *rest: (folded.extend(records), real(records, *rest)))

        assert other.get("m:production").version == 1
        assert len(folded) == count


def test_a_tree_of_links_is_one_link_a_file_and_one_folder_a_folder(store, tmp_path, monkeypatch):
    for number in range(60):
        file(tmp_path / "tree" / str(number % 3) / f"{number}", str(number).encode())
    store.log_artifact(rn.Artifact("d", "dataset").add_dir(tmp_path / "tree"))
    calls: Counter[str] = Counter()
    for name in ("link", "mkdir", "rename"):
        real = getattr(os, name)

        def counting(*arguments, _name=name, _real=real, **options):
            calls[_name] += 1
            return _real(*arguments, **options)

        monkeypatch.setattr(os, name, counting)

    store.get("d").download(tmp_path / "out")

    assert calls == {"link": 60, "mkdir": 4}


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_a_file_is_logged_in_bounded_memory_however_large(tmp_path, mode):
    small, large = file(tmp_path / "small", b"x" * 5_000_000), tmp_path / "large"
    with large.open("wb") as opened:
        for number in range(64):
            opened.write(bytes([number]) * (1 << 20))

    done = subprocess.run(
        [sys.executable, "-c", LOG_A_LARGE_FILE, tmp_path / "store", small, large, mode],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert int(done.stdout) < 24


def test_a_sequence_that_is_read_when_asked_is_like_a_list():
    read = []
    numbers = ReadWhenAsked(3, lambda: (read.append(number) or number for number in (1, 2, 3)))

    assert next(iter(numbers)) == 1
    assert read == [1]
    assert (numbers[1], numbers[-1], numbers[1:], len(numbers), 3 in numbers) == (2, 3, [2, 3], 3, True)
    assert (numbers == [1, 2, 3], numbers == [1, 2], numbers == "123") == (True, False, False)
