"""Much at once: all of it, in order, or nothing."""

import pytest

from given import content, file
import runicorn_es as rn
from runicorn_es import durable


def artifact(path, name: str = "m") -> rn.Artifact:
    return rn.Artifact(name, "model").add_file(path, "model.pth")


@pytest.fixture
def files(tmp_path):
    return [file(tmp_path / str(number), b"%d" % number) for number in range(5)]


def test_what_was_gathered_is_there_when_the_block_ends(store, files):
    with store.batch() as batch:
        for path in files:
            batch.log_artifact(artifact(path), aliases=["newest"])
        batch.alias("m:v2", "production", expected=0)
        batch.delete("m:v1")
        assert store.artifacts() == []

    assert [number.spec for number in batch.versions] == [f"m:v{number}" for number in range(1, 6)]
    assert [row.version for row in store.versions("m")] == [2, 3, 4, 5]
    assert {row.alias: row.version for row in store.aliases("m")} == {"newest": 5, "production": 2}
    assert content(store, "m:v3") == b"2"
    assert store.audit(deep=True, tables=True).is_clean


def test_an_artifact_knows_its_number_afterwards(store, files):
    one = artifact(files[0])
    with store.batch() as batch:
        batch.log_artifact(one)

    assert one.version == 1


def test_if_one_thing_is_refused_nothing_is_done(store, files):
    before = sum(1 for _ in store.events())
    one = artifact(files[0])

    batch = store.batch()
    batch.log_artifact(one)
    batch.alias("m:v7", "production")
    with pytest.raises(rn.Unknown):
        batch.__exit__(None, None, None)

    assert sum(1 for _ in store.events()) == before
    assert one.version is None
    assert store.artifacts() == []


def test_two_types_of_one_name_are_refused_though_neither_is_there_yet(store, files):
    batch = store.batch()
    batch.log_artifact(artifact(files[0]))
    batch.log_artifact(rn.Artifact("m", "dataset").add_file(files[1]))
    with pytest.raises(rn.Rejected, match="is a model"):
        batch.__exit__(None, None, None)

    assert store.artifacts() == []


def test_a_block_that_ends_with_an_exception_does_nothing(store, files):
    def fail(batch: rn.Batch) -> None:
        with batch:
            batch.log_artifact(artifact(files[0]))
            raise KeyError("mine")

    with pytest.raises(KeyError):
        fail(store.batch())

    assert store.artifacts() == []


def test_an_empty_block_appends_nothing(store):
    before = sum(1 for _ in store.events())
    with store.batch():
        pass

    assert sum(1 for _ in store.events()) == before


def test_however_many_versions_there_are_two_syncs_of_the_files_and_one_of_the_log_are_enough(
    store, files, monkeypatch
):
    synced = []
    for call in ("sync", "sync_filesystem"):
        real = getattr(durable, call)
        monkeypatch.setattr(durable, call, lambda *given, c=call, r=real: (synced.append(c), r(*given)))

    with store.batch() as batch:
        for path in files:
            batch.log_artifact(artifact(path))

    assert synced == ["sync_filesystem", "sync_filesystem", "sync"]


def test_sources_are_moved_when_all_is_done(store, files):
    with store.batch() as batch:
        for path in files:
            batch.log_artifact(rn.Artifact("m", "model").add_file(path, mode="move"))
        assert all(path.exists() for path in files)

    assert not any(path.exists() for path in files)


def test_a_read_only_store_has_no_batches(store, files):
    store.close()
    with rn.open_store(store.layout.root, read_only=True) as reading, pytest.raises(rn.Rejected, match="read-only"):
        reading.batch()


def test_progress_is_told_every_byte(store, files):
    told = []
    with store.batch(progress=told.append) as batch:
        for path in files:
            batch.log_artifact(artifact(path))

    assert sum(told) == sum(path.stat().st_size for path in files)
