"""Cold versions: which ones become cold, that they are read as before, and that they go like the others."""

import os
from pathlib import Path
import random
import shutil
import threading

import pytest

from given import content, file, version
import runicorn_es as rn
from runicorn_es.events import BlobsPacked


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root) -> rn.Store:
    with rn.open_store(root) as store:
        yield store


def body(number: int) -> bytes:
    """Return contents of which half is the same for all."""
    return random.Random(0).randbytes(100_000) + random.Random(number).randbytes(100_000)


def loose(store: rn.Store) -> int:
    """Return how many blobs are files of their own."""
    return len(list(store.layout.pool.glob("[0-9a-f][0-9a-f]/*")))


def packs_of(store: rn.Store) -> list[Path]:
    return sorted(store.layout.packs.glob("*.pack"))


@pytest.fixture
def five(store):
    for number in range(1, 6):
        version(store, body(number))
    return store


# Which versions.


def test_all_but_the_newest_and_those_with_an_alias_become_cold(five):
    five.alias("m:v2", "production")
    done = five.compact()
    assert done.versions == ["m:v4", "m:v3", "m:v1"]
    assert (done.count, done.size_bytes, done.held_count) == (3, 600_000, 0)
    assert done.packed_bytes < 500_000
    assert loose(five) == 2


def test_deleted_versions_become_cold_and_can_be_restored(five):
    five.delete("m:v5")
    assert five.compact(keep_last=4).versions == ["m:v5"]
    five.restore("m:v5")
    assert content(five, "m:v5") == body(5)


def test_young_versions_stay(five):
    assert five.compact(older_than="1h").versions == []
    assert five.compact(older_than="0s").versions == ["m:v4", "m:v3", "m:v2", "m:v1"]


def test_single_versions_become_cold_whatever_they_are(five):
    assert five.compact(["m:v5", "m:v1"]).versions == ["m:v5", "m:v1"]
    assert content(five, "m") == body(5)


def test_what_a_warm_version_has_as_well_stays_a_file(store):
    version(store, body(1))
    version(store, body(1), "other")
    done = store.compact("m:v1")
    assert (done.count, loose(store)) == (0, 1)


def test_what_a_hard_link_holds_stays_a_file(five, tmp_path):
    five.get("m:v1").download(tmp_path / "out")
    done = five.compact()
    assert (done.count, done.held_count) == (3, 1)


def test_a_dry_run_changes_nothing(five):
    done = five.compact(dry_run=True)
    assert (done.is_dry_run, done.count, done.packed_bytes) == (True, 4, 0)
    assert loose(five) == 5
    assert packs_of(five) == []


def test_a_second_time_there_is_nothing_to_do(five):
    five.compact()
    before = packs_of(five)
    done = five.compact()
    assert (done.count, packs_of(five)) == (0, before)


def test_it_is_in_the_log(five):
    five.compact()
    [event] = [event for _, events in five.events() for event in events if isinstance(event, BlobsPacked)]
    assert (event.count, event.size_bytes) == (4, 800_000)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"specs": "m:v9"}, rn.Unknown, "no version v9"),
        ({"older_than": "soon"}, rn.Rejected, "not a span of time"),
        ({"keep_last": -1}, rn.Rejected, "keep_last"),
    ],
)
def test_what_cannot_be_chosen_is_refused(five, wrong, error, message):
    with pytest.raises(error, match=message):
        five.compact(**wrong)


def test_an_artifact_is_cold_from_the_start(store, tmp_path):
    artifact = rn.Artifact("m", "model").add_file(file(tmp_path / "f", body(1)), "model.pth")
    with rn.init("p", storage=store.layout.root) as run:
        run.log_artifact(artifact, cold=True)
    assert loose(store) == 0
    assert content(store, "m") == body(1)


def test_without_the_chunker_nothing_is_logged(store, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyfastcdc", None)
    with pytest.raises(rn.Rejected, match="pip install"):
        store.log_artifact(rn.Artifact("m", "model").add_file(file(tmp_path / "f", b"1")), cold=True)
    assert store.artifacts() == []


# Read as before.


@pytest.mark.parametrize("mode", ["link", "copy", "reflink"])
def test_a_cold_version_is_downloaded_as_a_copy(five, tmp_path, mode):
    five.compact()
    target = five.get("m:v1").download(tmp_path / "out", mode=mode)
    assert (target / "model.pth").read_bytes() == body(1)
    assert (target / "model.pth").stat().st_nlink == 1


def test_a_cold_executable_stays_one(store, tmp_path):
    script = file(tmp_path / "run.sh", b"#!/bin/sh\n")
    script.chmod(0o755)
    store.log_artifact(rn.Artifact("tool", "code").add_file(script), cold=True)
    target = store.get("tool").download(tmp_path / "out")
    assert os.access(target / "run.sh", os.X_OK)


def test_a_second_download_only_looks(five, tmp_path):
    five.compact()
    target = five.get("m:v1").download(tmp_path / "out")
    before = (target / "model.pth").stat().st_ino
    five.get("m:v1").download(tmp_path / "out")
    assert (target / "model.pth").stat().st_ino == before


def test_a_cold_version_is_checked_out(five, tmp_path):
    five.compact()
    five.checkout("m:v1", tmp_path / "out")
    five.checkout("m:v5", tmp_path / "out")
    assert (tmp_path / "out" / "model.pth").read_bytes() == body(5)
    assert five.checkout("m:v1", tmp_path / "out").changed == 1


def test_a_cold_version_is_read_in_a_read_only_store(five, root):
    five.compact()
    with rn.open_store(root, read_only=True) as reader:
        assert content(reader, "m:v1") == body(1)


def test_what_is_logged_again_is_not_stored_again(five):
    five.compact()
    version(five, body(1))
    assert loose(five) == 1
    assert content(five, "m:v6") == body(1)


def test_a_reader_that_knew_the_file_finds_it_in_the_packs(five, root, tmp_path):
    with rn.open_store(root) as other:
        known = other.get("m:v1")
        paths = other.pool.paths([(file.digest, file.size_bytes) for file in known.wanted()])
        assert paths[0] is not None
        other.pool.paths = lambda _: paths
        five.compact()
        assert (known.download(tmp_path / "copied", mode="copy") / "model.pth").read_bytes() == body(1)
        with known.open("model.pth") as opened:
            assert opened.read() == body(1)
        del other.pool.paths
        assert (known.download(tmp_path / "linked") / "model.pth").read_bytes() == body(1)


def test_readers_never_meet_a_gap_while_versions_become_cold(store, root, tmp_path):
    for number in range(12):
        version(store, body(number))
    is_done, problems = threading.Event(), []

    def read(which: int) -> None:
        with rn.open_store(root) as reader:
            while not is_done.is_set():
                for number in range(12):
                    try:
                        target = reader.get(f"m:v{number + 1}").download(tmp_path / f"{which}-{number}", mode="copy")
                        assert (target / "model.pth").read_bytes() == body(number)
                        shutil.rmtree(target)
                    except Exception as error:  # noqa: BLE001
                        problems.append(error)
                        return

    readers = [threading.Thread(target=read, args=(which,)) for which in range(2)]
    for reader in readers:
        reader.start()
    for number in range(12):
        store.compact(f"m:v{number + 1}")
    is_done.set()
    for reader in readers:
        reader.join()
    assert problems == []
    assert loose(store) == 0


# Sums, damage, and what goes.


def test_stats_count_the_packs(five):
    before = five.stats()
    five.compact()
    after = five.stats()
    assert after.packed_bytes == sum(path.stat().st_size for path in packs_of(five))
    assert after.pool_bytes == after.packed_bytes + 200_000
    assert (after.garbage_count, after.total) == (0, before.total)
    assert after.saved_bytes == 1_000_000 - after.pool_bytes


def test_an_audit_reads_the_packs(five, root):
    five.compact()
    assert five.audit(deep=True).findings == []
    biggest = max(packs_of(five), key=lambda path: path.stat().st_size)
    damaged = bytearray(biggest.read_bytes())
    damaged[10_000] ^= 1
    biggest.chmod(0o644)
    biggest.write_bytes(damaged)

    assert five.audit().findings == []
    report = five.audit(deep=True)

    kinds = {finding.kind for finding in report.findings}
    assert kinds == {"pack", "blob"}
    [pack] = [finding for finding in report.findings if finding.kind == "pack"]
    assert pack.path == f"pool/packs/{biggest.name}"
    assert pack.affected
    with pytest.raises(rn.BlobDamaged, match=biggest.name):
        content(five, pack.affected[0])


def test_logging_the_files_again_heals_a_damaged_pack(five, root):
    five.compact()
    for path in packs_of(five):
        # The other one holds the recipes, which name no version when nothing of them is damaged.
        if path.stat().st_size > 15_000:
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[:5000] + bytes(10_000) + path.read_bytes()[15_000:])
    [spec, *_] = five.audit(deep=True).findings[0].affected
    with pytest.raises(rn.BlobDamaged):
        content(five, spec)
    for number in range(1, 5):
        version(five, body(number))
        assert content(five, f"m:v{number}") == body(number)


def test_a_lost_pack_is_missed_by_a_quick_audit_already_and_repaired_from_a_copy(five, root, tmp_path):
    five.compact()
    shutil.copytree(root, tmp_path / "copy")
    max(packs_of(five), key=lambda path: path.stat().st_size).unlink()
    assert {finding.kind for finding in five.audit().findings} == {"pack", "blob"}
    five.close()

    from runicorn_es.repair import repair

    repair(root, tmp_path / "copy")
    with rn.open_store(root) as again:
        for number in range(1, 6):
            assert content(again, f"m:v{number}") == body(number)


def test_a_purge_reaches_into_the_packs(five, root):
    five.compact()
    digests = [file.digest for file in five.get("m:v1").wanted()]

    gone = five.purge("m:v1")

    assert gone.count == 1
    assert 100_000 < gone.size_bytes < 130_000
    for path in root.rglob("*"):
        assert not path.is_file() or digests[0] not in path.read_bytes(), path
    assert five.pool.packs.what_goes(set()) == 0
    assert [content(five, f"m:v{number}") == body(number) for number in range(2, 6)] == [True] * 4
    assert five.audit(deep=True).is_clean


def test_gc_finds_what_packs_hold_for_nothing(five):
    five.compact()
    [digest] = [file.digest for file in five.get("m:v1").wanted()]
    five.pool.packs.drop({digest})

    found = five.reclaim(dry_run=True)

    assert [(item.kind, item.path, item.reason) for item in found.items] == [
        ("pack", "pool/packs", "chunks that no blob needs")
    ]
    assert five.reclaim().freed_bytes == found.freed_bytes > 90_000
    assert five.reclaim().items == []


def test_a_staged_pack_of_a_killed_writer_goes_with_gc(five):
    (five.layout.incoming / "pack-0011223344556677").write_bytes(b"half")
    assert [item.path for item in five.reclaim().items] == ["pool/incoming/pack-0011223344556677"]


def test_explain_knows_a_cold_blob(five):
    five.compact()
    [digest] = [file.digest for file in five.get("m:v1").wanted()]
    found = five.explain(f"blake3:{digest.hex()[:16]}")
    assert (found.status, found.size_bytes, found.needed_by) == ("in the pool, cold", 200_000, ["m:v1 model.pth"])
