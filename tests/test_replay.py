"""A store that is built as it was: the same answers, a clean audit, and no second history under one key."""

import os

import pytest

from given import content, rows, version
import runicorn_es as rn
from runicorn_es import settings
from runicorn_es.audit import audit
from runicorn_es.layout import Layout


@pytest.fixture(params=[settings.SEGMENT_BYTES, 600], ids=["one segment", "many segments"])
def store(tmp_path, monkeypatch, request):
    monkeypatch.setattr(settings, "SEGMENT_BYTES", request.param)
    with rn.open_store(tmp_path / "store") as opened:
        version(opened, b"one", aliases=("production",))
        version(opened, b"two", aliases=("production",))
        opened.delete("m:v1")
        yield opened


def ends(store: rn.Store) -> list[int]:
    with store.reading() as view:
        return sorted({store.moment(size).position for size in range(1, view.size + 1)})


def test_at_every_moment_the_copy_answers_as_the_store_did_and_audits_clean(store, tmp_path):
    for size in ends(store):
        moment = store.replay_to(size, tmp_path / f"at {size}")

        assert moment.position == size
        assert audit(tmp_path / f"at {size}", deep=True).findings == []
        copied = rn.open_store(tmp_path / f"at {size}", read_only=True)
        with copied as copy, copy.reading() as now, store.reading(size) as then:
            assert now.size == size
            for letter in (b"a", b"v", b"l"):
                assert list(now.rows.scan(letter)) == list(then.rows.scan(letter))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_copy_has_the_files_as_links_and_a_checkpoint_that_the_store_continues(store, tmp_path):
    store.replay_to("now", tmp_path / "copy")

    with rn.open_store(tmp_path / "copy") as copy:
        assert content(copy, "m:production") == b"two"
        assert copy.verifier_keys() == store.verifier_keys()
        proof = store.prove_since((tmp_path / "copy" / "checkpoint").read_text())
        assert proof is not None
        assert copy.rebuild() == []
        assert rows(copy) == rows(store)
    blobs = list((tmp_path / "copy" / "pool").glob("[0-9a-f][0-9a-f]/*"))
    assert len(blobs) == 2
    assert all(blob.samefile(store.layout.pool / blob.parent.name / blob.name) for blob in blobs)


def test_a_copy_that_is_written_to_signs_with_a_key_of_its_own(store, tmp_path):
    store.replay_to("now", tmp_path / "copy")
    assert not (tmp_path / "copy" / "keys" / "signing.key").exists()

    with rn.open_store(tmp_path / "copy") as copy:
        copy.restore("m:v1")
        assert copy.verifier_keys() != store.verifier_keys()
        assert copy.audit(tables=True).findings == []
    with pytest.raises(rn.Rejected, match="not signed with this store's key"):
        store.prove_since((tmp_path / "copy" / "checkpoint").read_text())


def test_blobs_that_cannot_be_linked_are_copied_and_sealed(store, tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", refuse)
        store.replay_to("now", tmp_path / "copy")

    for blob in (tmp_path / "copy" / "pool").glob("[0-9a-f][0-9a-f]/*"):
        assert (blob.stat().st_mode & 0o777, blob.stat().st_mtime_ns) == (0o444, 1_000_000_000)


def test_a_moment_before_a_purge_is_refused_and_leaves_nothing(store, tmp_path):
    before = ends(store)[-1]
    store.purge("m:v1")

    with pytest.raises(rn.Rejected, match="what was purged later is gone from it, too"):
        store.replay_to(before, tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source of m", "store"]
    store.replay_to("now", tmp_path / "copy")
    assert audit(tmp_path / "copy").findings == []


def test_a_folder_with_something_in_it_is_left_alone(store, tmp_path):
    (tmp_path / "copy").mkdir()
    store.replay_to("now", tmp_path / "copy")

    with pytest.raises(rn.Rejected, match="is there already"):
        store.replay_to("now", tmp_path / "copy")
    with pytest.raises(rn.Rejected, match="there was no store yet"):
        store.replay_to(0, tmp_path / "another")


def test_a_store_that_may_not_be_written_is_copied_without_a_checkpoint(store, tmp_path):
    with rn.open_store(store.layout.root, read_only=True) as reader:
        reader.replay_to("now", tmp_path / "copy")

    assert not Layout(tmp_path / "copy").checkpoint.exists()
    assert [finding for finding in audit(tmp_path / "copy").findings if finding.is_damage] == []
