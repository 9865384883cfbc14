"""What an audit finds, where it says it is, and that it changes nothing."""

import os
from pathlib import Path
import shutil

import pytest

import runicorn_es as rn
from runicorn_es import founding
from runicorn_es.audit import Report, audit
from runicorn_es.audit.reading import LogReading
from runicorn_es.layout import Layout
from runicorn_es.projections.rows import VERSIONS
from runicorn_es.signing import Keys, Signer
from runicorn_es.signing.keys import Seeds


@pytest.fixture
def root(tmp_path) -> Path:
    """A store with two artifacts, shared blobs, references, metadata, aliases, a run, a deletion."""
    for number in range(3):
        (tmp_path / f"{number}.bin").write_bytes(b"content %d" % number)
    with rn.init("p", storage=tmp_path / "store") as run:
        data = rn.Artifact("data", "dataset", description="d").add_file(tmp_path / "0.bin").add_file(tmp_path / "1.bin")
        run.log_artifact(data.add_reference("s3://b/k").add_metadata({"n": 1}).add_tags("t"), aliases=["gold"])
        run.use_artifact("data:gold")
        run.log_artifact(rn.Artifact("model", "model").add_file(tmp_path / "1.bin").add_file(tmp_path / "2.bin"))
        run.log_artifact(rn.Artifact("model", "model").add_file(tmp_path / "2.bin"))
        run.store.delete("model:v2")
    return tmp_path / "store"


def ignore(_: object) -> None:
    """Take what is told, and do nothing."""


def damages(report: Report) -> list[str]:
    return [f"{finding.kind}: {finding.message}" for finding in report.findings if finding.is_damage]


def blob_of(root: Path, spec: str, path: str) -> Path:
    with rn.open_store(root, read_only=True) as store:
        [digest] = [file.digest for file in store.get(spec).files() if file.path == path]
    return root / "pool" / digest[7:9] / digest[7:]


def test_a_sound_store_is_clean_in_every_respect(root):
    report = audit(root, deep=True, with_tables=True, against=root / "checkpoint")

    assert report.findings == []
    assert (report.versions, report.blobs, report.blobs_hashed) == (3, 3, 3)


def test_every_flipped_byte_of_the_log_is_found_and_located(root):
    segment = root / "log" / f"{0:020d}.seg"
    whole = segment.read_bytes()
    with rn.open_store(root, read_only=True) as store:
        ends = [record.offset + record.size_bytes for record, _ in store.events()]
        store_id = store.identity.raw_id

    for at in range(len(whole)):
        segment.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        reading = LogReading(Layout(root), store_id, len(ends), [])
        reading.read(ignore, ignore)
        found = [finding for finding in reading.findings if finding.is_damage and finding.kind == "log"]
        assert found, at
        index = sum(end <= at for end in ends)
        assert any(
            finding.offset <= at < finding.offset + finding.size_bytes and (at < 68 or finding.index == index)
            for finding in found
        ), (at, found)


def test_an_audit_changes_nothing(root):
    with (root / "log" / f"{0:020d}.seg").open("ab") as segment:
        segment.write(b"torn")
    before = {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != "lock.mdb"}

    audit(root, deep=True, with_tables=True)

    after = {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != "lock.mdb"}
    assert after == before


def test_a_torn_tail_is_noted_and_is_not_damage(root):
    with (root / "log" / f"{0:020d}.seg").open("ab") as segment:
        segment.write(b"\x51\x00\x00\x00half")

    report = audit(root)

    assert report.is_clean
    assert [finding.kind for finding in report.findings] == ["tail"]


def test_a_log_that_ends_before_its_checkpoint_is_damaged(root):
    segment = root / "log" / f"{0:020d}.seg"
    with rn.open_store(root, read_only=True) as store:
        last = [record for record, _ in store.events()][-1]
    os.truncate(segment, last.offset)

    assert any("records were lost or removed" in line for line in damages(audit(root)))


def test_a_missing_segment_is_damage(root, monkeypatch):
    monkeypatch.setattr("runicorn_es.settings.SEGMENT_BYTES", 200)
    with rn.open_store(root) as store:
        for number in range(3):
            store.alias("data", f"a{number}")
    second = sorted((root / "log").glob("*.seg"))[1]
    second.unlink()

    assert any("missing" in line for line in damages(audit(root)))


def test_a_history_that_was_rewritten_is_told_by_an_older_checkpoint(root, tmp_path):
    shutil.copytree(root, tmp_path / "forged")
    with rn.open_store(root) as store:
        store.alias("data", "one")
    shutil.copy(root / "checkpoint", tmp_path / "kept")
    with rn.open_store(tmp_path / "forged") as store:
        store.alias("data", "another")
        store.alias("data", "yet-another")

    assert audit(tmp_path / "forged").is_clean
    assert any(
        "history was rewritten" in line for line in damages(audit(tmp_path / "forged", against=tmp_path / "kept"))
    )
    assert audit(root, against=tmp_path / "kept").is_clean


def test_a_checkpoint_of_another_key_is_damage(root):
    identity = founding.require(Layout(root))
    head = Keys(root / "keys", identity.origin).trust().head_in(root / "checkpoint")
    (root / "checkpoint").write_text(Signer(identity.origin, Seeds(bytes(32), bytes(32))).sign(head))

    assert any("not signed with this store's key" in line for line in damages(audit(root)))


def test_a_missing_blob_is_found_with_every_version_that_needs_it(root):
    blob_of(root, "model:v1", "1.bin").unlink()

    [finding] = [finding for finding in audit(root).findings if finding.kind == "blob"]
    assert "missing" in finding.message
    assert set(finding.affected) == {"data:v1", "model:v1"}


def test_an_edited_blob_is_found_by_its_stat_and_a_flipped_bit_by_its_digest(root):
    edited, rotten = blob_of(root, "data", "0.bin"), blob_of(root, "data", "1.bin")
    edited.chmod(0o644)
    edited.write_bytes(b"CONTENT 0")
    times = rotten.stat()
    rotten.chmod(0o644)
    rotten.write_bytes(b"content !")
    rotten.chmod(0o444)
    os.utime(rotten, ns=(times.st_atime_ns, times.st_mtime_ns))

    assert [Path(finding.path).name for finding in audit(root).findings] == [edited.name]
    deep = {Path(finding.path).name for finding in audit(root, deep=True).findings}
    assert deep == {edited.name, rotten.name}
    assert edited.exists()


def test_a_touched_blob_with_the_right_bytes_is_no_damage(root):
    blob_of(root, "data", "0.bin").touch()

    report = audit(root)

    assert report.is_clean
    assert report.blobs_hashed == 1


def test_rows_that_differ_from_the_log_are_found_by_comparing_the_tables(root):
    with rn.open_store(root) as store, store._tables.writing() as out:
        VERSIONS.delete(out, "model", 1)

    assert audit(root).is_clean
    assert any("versions" in line for line in damages(audit(root, with_tables=True)))
    with rn.open_store(root) as store:
        assert len(store.rebuild()) == 1
    assert audit(root, with_tables=True).is_clean


def test_lost_tables_are_noted_and_are_not_damage(root):
    shutil.rmtree(root / "projections")

    report = audit(root, with_tables=True)

    assert report.is_clean
    assert [finding.kind for finding in report.findings] == ["tables"]
    assert not (root / "projections").exists()


def test_what_nothing_names_is_noted_and_is_not_damage(root):
    (root / "pool" / "ab" / ("ab" * 32)).write_bytes(b"orphan")
    (root / "pool" / "ab" / "stranger").write_bytes(b"?")
    (root / "pool" / "incoming" / "1-killed").mkdir()

    report = audit(root)

    assert report.is_clean
    assert sorted(Path(finding.path).name for finding in report.findings) == ["1-killed", "ab" * 32, "stranger"]


def test_a_store_answers_an_audit_of_itself(root):
    with rn.open_store(root) as store:
        assert store.audit(deep=True, tables=True, against=root / "checkpoint").is_clean
