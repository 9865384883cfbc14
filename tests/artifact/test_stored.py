"""A version as users hold it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
import json
import os
from pathlib import Path
import pickle
import stat
from threading import Barrier

import pytest

from given import content, file, version
import runicorn_es as rn
from runicorn_es import settings


@pytest.fixture
def stored(store, tmp_path):
    """A version with a bit of everything."""
    artifact = (
        rn.Artifact("m", "model", description="words", metadata={"val_acc": 0.95, "layers": [1, 2]})
        .add_file(file(tmp_path / "model.pth", b"weights"), "weights/model.pth")
        .add_file(file(tmp_path / "run.sh", b"#!/bin/sh"))
        .add_file(file(tmp_path / "empty", b""))
        .add_reference("s3://b/k", checksum="sha256:abc", size=5, region="eu")
        .add_tags("b", "a")
    )
    (tmp_path / "run.sh").chmod(0o755)
    store.log_artifact(artifact, aliases=["production"])
    return store.get("m")


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


CONTENT = {"empty": b"", "run.sh": b"#!/bin/sh", "weights/model.pth": b"weights"}


# What is known of it.


def test_a_stored_version_says_what_it_is(stored):
    assert (stored.name, stored.type, stored.version, stored.full_name, stored.is_loaded) == (
        "m",
        "model",
        1,
        "m:v1",
        True,
    )
    assert repr(stored) == "<ArtifactVersion 'm:v1' (model)>"


def test_its_metadata_is_what_was_logged(stored):
    found = stored.get_metadata()

    assert found.metadata == stored.metadata == {"val_acc": 0.95, "layers": [1, 2]}
    assert (found.name, found.type, found.version, found.status) == ("m", "model", 1, "ready")
    assert (found.size_bytes, found.num_files, found.num_references) == (16, 3, 1)
    assert found.aliases == stored.aliases == ["latest", "production"]
    assert found.tags == stored.tags == ["a", "b"]
    assert found.description == "words"
    assert found.created_by_run is stored.logged_by() is found.deleted_at is None
    assert found.digest == stored.digest


def test_it_knows_when_it_was_made_in_utc(stored):
    now = datetime.now(UTC)

    assert stored.created_at == stored.get_metadata().created_at
    assert stored.created_at.tzinfo is UTC
    assert abs((now - stored.created_at).total_seconds()) < 600


def test_its_manifest_is_its_files_and_references(stored):
    manifest = stored.get_manifest()

    assert (manifest.total_files, manifest.total_size) == (3, 16)
    assert [(one.path, one.size, one.executable) for one in manifest.files] == [
        ("empty", 0, False),
        ("run.sh", 9, True),
        ("weights/model.pth", 7, False),
    ]
    assert all(one.digest.startswith("blake3:") for one in manifest.files)
    [reference] = manifest.references
    assert (reference.uri, reference.checksum, reference.size) == ("s3://b/k", "sha256:abc", 5)
    assert reference.attributes == {"region": "eu"}


def test_its_files_are_found_by_prefix(stored):
    assert [one.path for one in stored.files()] == sorted(CONTENT)
    assert [one.path for one in stored.files("weights/")] == ["weights/model.pth"]
    assert list(stored.files(prefix="x")) == []


def test_files_of_many_pages_are_all_found(store, tmp_path):
    folder = file(tmp_path / "d" / "first").parent
    for number in range(1500):
        file(folder / f"{number % 10}" / f"{number:05}", b"same")
    store.log_artifact(rn.Artifact("m", "dataset").add_dir(folder))

    found = [one.path for one in store.get("m").files()]

    assert found == sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert [path for path in found if path.startswith("3/")] == [one.path for one in store.get("m").files("3/")]


def test_it_tells_what_is_so_now_and_not_what_was_when_it_was_got(store, stored):
    store.unalias("m:production")
    version(store)

    assert stored.aliases == []
    assert stored.full_name == "m:v1"


def test_a_version_number_is_an_int_that_says_more(store):
    number = version(store)

    assert isinstance(number, int)
    assert json.dumps({"version": number}) == '{"version": 1}'
    assert (number + 1, f"v{number}", {1: "x"}[number]) == (2, "v1", "x")
    again = pickle.loads(pickle.dumps(number))
    assert (again, again.spec, again.digest) == (1, "m:v1", number.digest)


# Opening a file.


@pytest.mark.parametrize("path", sorted(CONTENT))
def test_a_file_is_opened_from_the_pool(stored, path):
    with stored.open(path) as opened:
        assert opened.read() == CONTENT[path]
        assert not opened.writable()


def test_a_file_it_does_not_have_is_unknown(stored):
    with pytest.raises(rn.Unknown, match=r"m:v1 has no file 'model\.pth'"):
        stored.open("model.pth")


# Downloading.


def test_a_download_is_all_files_and_nothing_else(stored, tmp_path):
    target = stored.download(tmp_path / "out")

    assert target == tmp_path / "out"
    assert files_of(target) == CONTENT
    assert (target / "run.sh").stat().st_mode & 0o111
    assert not (target / "empty").stat().st_mode & 0o111


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["weights"], {"weights/model.pth"}),
        (["*"], {"empty", "run.sh"}),
        (["**/*.pth", "empty"], {"weights/model.pth", "empty"}),
        ("run.sh", {"run.sh"}),
    ],
)
def test_a_part_is_downloaded_by_its_paths(stored, tmp_path, paths, expected):
    assert set(files_of(stored.download(tmp_path / "out", paths=paths))) == expected


def test_a_part_that_has_no_file_is_unknown_and_makes_nothing(stored, tmp_path):
    with pytest.raises(rn.Unknown, match=r"m:v1 has no file at 'weights/\*\.csv'"):
        stored.download(tmp_path / "out", paths=["weights/*.csv"])

    assert not (tmp_path / "out").exists()


def test_without_a_target_it_goes_to_the_same_folder_of_the_store_each_time(store, stored):
    first = stored.download()
    inode = (first / "weights" / "model.pth").stat().st_ino

    assert stored.download() == first == store.layout.downloads / "m" / "v1"
    assert files_of(first) == CONTENT
    assert (first / "weights" / "model.pth").stat().st_ino == inode
    assert ":" not in str(first.relative_to(store.layout.root))


def test_a_second_time_nothing_is_read_again(stored, monkeypatch):
    target = stored.download()
    (target / "run.sh").unlink()

    def refuse(*given):
        raise AssertionError("copied")

    stored.download()
    monkeypatch.setattr(os, "copy_file_range", refuse)
    stored.download()

    assert files_of(target) == CONTENT


def test_a_relative_target_is_below_the_working_folder(stored, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert stored.download("out") == Path("out")
    assert files_of(tmp_path / "out") == CONTENT


def test_a_tilde_in_the_target_is_the_home(stored, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stored.download("~/models")

    assert files_of(Path.home() / "models") == CONTENT
    assert not (tmp_path / "~").exists()


def test_progress_is_told_every_byte(stored, tmp_path):
    told = []
    stored.download(tmp_path / "out", progress=told.append)

    assert sum(told) == 16


@pytest.mark.parametrize("mode", ["hardlink", "Copy", "", None])
def test_a_mode_that_does_not_exist_is_refused(stored, tmp_path, mode):
    with pytest.raises(ValueError, match="'link', 'copy' or 'reflink'"):
        stored.download(tmp_path / "out", mode=mode)

    assert not (tmp_path / "out").exists()


def test_a_copy_can_be_edited_and_the_store_does_not_change(store, stored, tmp_path):
    target = stored.download(tmp_path / "out", mode="copy")
    with (target / "weights" / "model.pth").open("ab") as opened:
        opened.write(b" and more")

    with store.get("m").open("weights/model.pth") as opened:
        assert opened.read() == b"weights"


def test_another_version_takes_the_place_of_one_that_was_linked(store, tmp_path):
    version(store, b"one"), version(store, b"two")
    store.get("m:v1").download(tmp_path / "out")
    store.get("m:v2").download(tmp_path / "out")

    assert files_of(tmp_path / "out") == {"model.pth": b"two"}
    assert content(store, "m:v1") == b"one"


def test_what_the_user_wrote_there_is_replaced_only_on_request(store, tmp_path):
    version(store, b"one")
    mine = file(tmp_path / "out" / "model.pth", b"mine")
    beside = file(tmp_path / "out" / "notes.txt", b"mine as well")

    with pytest.raises(rn.Rejected, match="overwrite=True"):
        store.get("m").download(tmp_path / "out")
    assert mine.read_bytes() == b"mine"

    store.get("m").download(tmp_path / "out", overwrite=True)
    assert (mine.read_bytes(), beside.read_bytes()) == (b"one", b"mine as well")


def test_a_link_in_the_target_is_not_followed(store, tmp_path):
    store.log_artifact(rn.Artifact("m", "model").add_file(file(tmp_path / "f"), "a/f"))
    (tmp_path / "outside").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "outside")

    with pytest.raises(rn.Rejected, match="is not a folder but a link"):
        store.get("m").download(tmp_path / "out")
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_several_may_download_to_one_folder_at_once(stored, tmp_path, mode):
    together = Barrier(4)

    def download(_: int) -> Path:
        together.wait()
        return stored.download(tmp_path / "out", mode=mode)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(download, range(4)))

    assert files_of(tmp_path / "out") == CONTENT


def test_a_version_of_references_alone_is_an_empty_folder(store, tmp_path):
    store.log_artifact(rn.Artifact("m", "dataset").add_reference("s3://b/k"))

    assert files_of(store.get("m").download(tmp_path / "out")) == {}


def test_a_download_of_large_files_is_what_was_logged(store, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "SMALL_FILE_BYTES", 10)
    monkeypatch.setattr(settings, "COPY_STEP_BYTES", 4096)
    noise = os.urandom(100_000)
    version(store, noise)

    for mode in ("link", "copy"):
        assert files_of(store.get("m").download(tmp_path / mode, mode=mode)) == {"model.pth": noise}


# Damage.


@pytest.mark.parametrize("ask", ["open", "link", "copy", "again"])
def test_an_edited_blob_is_named_with_all_versions_that_have_it(store, tmp_path, ask):
    version(store, b"the true bytes"), version(store, b"other"), version(store, b"the true bytes", name="n")
    version(store, b"the true bytes", name="deleted")
    store.delete("deleted")
    edited = store.get("m:v1").download(tmp_path / "out") / "model.pth"
    edited.chmod(0o644)
    edited.write_bytes(b"the false bytes")
    asked = {
        "open": lambda: store.get("n").open("model.pth"),
        "link": lambda: store.get("n").download(tmp_path / "n"),
        "copy": lambda: store.get("n").download(tmp_path / "n", mode="copy"),
        "again": lambda: store.get("m:v1").download(tmp_path / "out"),
    }

    with pytest.raises(rn.BlobDamaged, match=r"affected: deleted:v1, m:v1, n:v1$"):
        asked[ask]()

    assert content(store, "m:v2") == b"other"
    version(store, b"the true bytes")
    assert content(store, "n") == b"the true bytes"


def test_a_missing_blob_is_named_with_all_versions_that_have_it(store, tmp_path):
    version(store, b"one")
    [blob] = store.layout.pool.glob("[0-9a-f][0-9a-f]/*")
    blob.unlink()

    with pytest.raises(rn.BlobDamaged, match=r"is missing from the pool .*affected: m:v1$"):
        store.get("m").download(tmp_path / "out")

    version(store, b"one")
    assert content(store, "m:v1") == b"one"


def test_a_read_only_store_never_hands_out_wrong_bytes_either(store, tmp_path):
    version(store, b"the true bytes")
    [blob] = store.layout.pool.glob("[0-9a-f][0-9a-f]/*")
    blob.chmod(0o644)
    blob.write_bytes(b"the false bytes")

    with rn.open_store(store.layout.root, read_only=True) as reader:
        for mode in ("link", "copy"):
            with pytest.raises(rn.BlobDamaged):
                reader.get("m").download(tmp_path / mode, mode=mode)


def test_what_is_handed_out_by_link_cannot_be_written_by_accident(store, tmp_path):
    version(store)
    handed_out = store.get("m").download(tmp_path / "out") / "model.pth"

    assert not stat.S_IMODE(handed_out.stat().st_mode) & 0o222
