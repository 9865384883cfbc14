"""Healing a store from another copy of it."""

import os
from pathlib import Path
import shutil

import pytest

import runicorn_es as rn
from runicorn_es.repair import repair


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A store whose log has several segments, and beside it a copy."""
    monkeypatch.setattr("runicorn_es.settings.SEGMENT_BYTES", 700)
    with rn.open_store(tmp_path / "store") as store:
        for number in range(5):
            (tmp_path / "f").write_bytes(b"content %d" % number)
            store.log_artifact(rn.Artifact("m", "model").add_file(tmp_path / "f"))
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    return tmp_path / "store"


@pytest.fixture
def copy(root) -> Path:
    return root.parent / "copy"


def segments(root: Path) -> list[Path]:
    return sorted((root / "log").glob("*.seg"))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def test_a_sound_store_takes_nothing(root, copy):
    done = repair(root, copy)

    assert (done.segments, done.blobs, done.remaining) == ([], [], [])


@pytest.mark.parametrize("number", [0, 1, -1])
@pytest.mark.parametrize("harm", ["flipped", "missing", "cut"])
def test_a_harmed_segment_is_taken_from_the_copy(root, copy, number, harm):
    path = segments(root)[number]
    whole = path.read_bytes()
    {"flipped": lambda: flip(path, 200), "missing": path.unlink, "cut": lambda: os.truncate(path, 150)}[harm]()

    done = repair(root, copy)

    assert path.read_bytes() == whole
    assert path.name in done.segments
    assert done.remaining == []
    with rn.open_store(root) as store:
        assert store.audit(deep=True, tables=True).is_clean


def test_missing_and_wrong_blobs_are_taken_from_the_copy(root, copy):
    first, second, *_ = sorted((root / "pool").glob("??/*"))
    first.unlink()
    flip(second, 0)

    done = repair(root, copy)

    assert sorted(done.blobs) == sorted([first.name, second.name])
    assert done.remaining == []
    assert rn.open_store(root, read_only=True).audit(deep=True).is_clean
    assert len(list((root / "pool" / "quarantine").iterdir())) == 1


def test_a_copy_with_wrong_bytes_heals_nothing(root, copy):
    blob = min((root / "pool").glob("??/*"))
    blob.unlink()
    flip(copy / "pool" / blob.parent.name / blob.name, 0)

    done = repair(root, copy)

    assert done.blobs == []
    assert [finding.kind for finding in done.remaining] == ["blob"]
    assert not blob.exists()


def test_a_copy_with_another_history_is_refused_and_nothing_changes(root, copy):
    shutil.rmtree(copy)
    with rn.open_store(root) as store:
        store.alias("m", "production")
    flip(segments(root)[1], 200)
    before = {path.name: path.read_bytes() for path in segments(root)}
    shutil.copytree(root, copy)

    with pytest.raises(rn.Rejected, match="nothing was taken"):
        repair(root, copy)

    assert {path.name: path.read_bytes() for path in segments(root)} == before


def test_another_store_is_refused(root, tmp_path):
    rn.open_store(tmp_path / "other").close()

    with pytest.raises(rn.Rejected, match="another store"):
        repair(root, tmp_path / "other")
