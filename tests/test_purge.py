"""What a purge forgets, what it leaves, and that the log still proves what it proved before."""

import os
from pathlib import Path
import shutil
import threading
import warnings

import pytest

from given import content, file, rows, version
import runicorn_es as rn
from runicorn_es import durable, proofs, purge, queries
from runicorn_es.events import VersionPurged
from runicorn_es.pool import leases

SECRETS = (
    b"secret-content",
    b"secret-path",
    b"secret-key",
    b"secret-tag",
    b"secret-description",
    b"secret://",
    b"secret-run",
)


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root) -> rn.Store:
    with rn.open_store(root) as store:
        yield store


def hidden(tmp_path: Path) -> rn.Artifact:
    """Return an artifact with a secret in all that can hold one, and a file that others have, too."""
    artifact = rn.Artifact("hidden", "dataset", "secret-description", {"secret-key": [1, 2]})
    artifact.add_tags("secret-tag").add_reference("secret://bucket", "sha256:0", 1, note="secret://")
    artifact.add_file(file(tmp_path / "a", b"secret-content " * 1000), "secret-path/a.bin")
    return artifact.add_file(file(tmp_path / "shared", b"shared"), "shared.bin")


def left_of(folder: Path, texts: tuple[bytes, ...] = SECRETS) -> list[str]:
    """Return the files below a folder in which one of these texts is left, or that are called so."""
    found = []
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        bytes_found = path.read_bytes() if path.is_file() else b""
        if any(text in bytes_found or text in name.encode() for text in texts):
            found.append(name)
    return found


def test_a_fork_purges_from_the_tables_of_its_parent_too(store, root, tmp_path):
    store.log_artifact(hidden(tmp_path))
    child = os.fork()
    if child == 0:
        try:
            store.purge("hidden:v1")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert [row.status for row in store.versions("hidden", deleted=True)] == ["purged"]
    assert left_of(root) == []
    with rn.open_store(root) as again:
        assert again.audit(tables=True).is_clean
    assert left_of(root) == []


def test_no_byte_of_what_was_purged_is_left_in_any_file_of_the_store(store, root, tmp_path):
    with rn.init("vision", name="train", storage=root) as run:
        run.log_artifact(hidden(tmp_path))
    version(store, b"shared", "other")
    store.get("hidden").download()
    store.checkout("hidden", tmp_path / "out")
    (root / "log" / "quarantine").mkdir(exist_ok=True)
    (root / "log" / "quarantine" / "torn.bin").write_bytes(b"secret-content of a torn tail")
    assert len(left_of(root)) >= 4

    gone = store.purge("hidden:v1", reason="a request")

    assert left_of(root) == []
    assert (gone.versions, gone.count, gone.size_bytes) == (["hidden:v1"], 1, 15_000)


def test_what_others_share_stays(store, tmp_path):
    store.log_artifact(hidden(tmp_path))
    version(store, b"shared", "other")

    store.purge("hidden:v1")

    assert content(store, "other") == b"shared"
    assert store.audit(deep=True, tables=True).findings == []


def test_pages_that_another_version_refers_to_stay_until_that_goes_too(store, root, tmp_path):
    first, second = hidden(tmp_path), hidden(tmp_path).add_metadata({"other": 1})
    second.name = "twin"
    store.log_artifact(first)
    store.log_artifact(second)

    store.purge("hidden:v1")
    assert [one.path for one in store.get("twin").files()] == ["secret-path/a.bin", "shared.bin"]

    store.purge("twin:v1")
    assert left_of(root) == []
    assert store.audit(deep=True, tables=True).findings == []


def test_a_deleted_version_keeps_what_it_shares_with_a_purged_one(store, tmp_path):
    first, second = hidden(tmp_path), hidden(tmp_path)
    second.name = "twin"
    store.log_artifact(first)
    store.log_artifact(second)
    store.delete("twin:v1")

    store.purge("hidden:v1")
    store.restore("twin:v1")

    with store.get("twin").open("secret-path/a.bin") as opened:
        assert opened.read() == b"secret-content " * 1000


def test_number_time_maker_and_reason_stay(store, root, tmp_path):
    with rn.init("vision", storage=root) as run:
        run.log_artifact(hidden(tmp_path))
    created = store.get("hidden").created_at

    store.purge("hidden:v1", reason="a request")

    [row] = store.versions("hidden", deleted=True)
    assert (row.version, row.status, row.run) == (1, "purged", run.id)
    assert row.created_ns // 1000 == int(created.timestamp() * 1_000_000)
    [event] = [event for _, events in store.events() for event in events if isinstance(event, VersionPurged)]
    assert event.reason == "a request"
    assert version(store, name="hidden-2") == 1
    assert store.log_artifact(rn.Artifact("hidden", "dataset").add_reference("s3://b")) == 2


def test_lineage_keeps_a_tombstone(store, root, tmp_path):
    with rn.init("vision", storage=root) as run:
        run.log_artifact(hidden(tmp_path))
    with rn.init("vision", storage=root) as run:
        run.use_artifact("hidden")
        run.log_artifact(rn.Artifact("model", "model").add_file(tmp_path / "shared"))

    store.purge("hidden:v1", force=True)

    nodes = {node.id: node.status for node in store.lineage("model", "upstream").nodes}
    assert nodes["hidden:v1"] == "purged"


def test_earlier_checkpoints_and_proofs_still_verify(store, tmp_path):
    store.log_artifact(hidden(tmp_path))
    kept = tmp_path / "kept"
    kept.write_text(store.checkpoint())
    before = [proofs.encode(store.prove(index)) for index in range(5)]

    store.purge("hidden:v1")

    assert store.audit(against=kept).findings == []
    [key, _] = store.verifier_keys()
    assert proofs.verify(proofs.encode(store.prove_since(kept.read_text())), key).old_size == 5
    for index, bundle in enumerate(before):
        assert proofs.verify(bundle, key).index == index
        # What was blanked is proven to have been there, though not what it said.
        assert proofs.verify(proofs.encode(store.prove(index)), key).index == index


def test_the_tables_are_as_if_they_had_been_folded_from_the_blanked_log(store, tmp_path):
    store.log_artifact(hidden(tmp_path))
    version(store, b"other")

    store.purge("hidden:v1")

    assert store.rebuild() == []
    with rn.open_store(store.layout.root, read_only=True) as reader:
        assert rows(reader) == rows(store)


def test_a_purge_is_refused_with_reasons_and_nothing_changes(store, root, tmp_path):
    with rn.init("vision", storage=root) as run:
        run.log_artifact(hidden(tmp_path), aliases=["production"])
    with rn.init("vision", storage=root) as run:
        run.use_artifact("hidden")
        run.log_artifact(rn.Artifact("model", "model").add_file(tmp_path / "shared"))

    with pytest.raises(
        rn.Rejected, match="hidden:v1: alias production points to it; hidden:v1: made from it: model:v1"
    ):
        store.purge("hidden:v1")

    assert store.get("hidden:production").version == 1


def test_force_takes_the_aliases_along(store, tmp_path):
    store.log_artifact(hidden(tmp_path), aliases=["production"])

    store.purge("hidden:v1", force=True)

    assert store.aliases("hidden") == []


def test_a_purge_twice_is_one(store, tmp_path):
    store.log_artifact(hidden(tmp_path))
    store.purge("hidden:v1")
    with store.reading() as view:
        before = queries.head(view)

    assert store.purge("hidden:v1").versions == []

    with store.reading() as view:
        assert queries.head(view) == before


def test_versions_that_were_made_from_each_other_go_together(store, root, tmp_path):
    with rn.init("vision", storage=root) as run:
        run.log_artifact(hidden(tmp_path))
        run.use_artifact("hidden")
        run.log_artifact(rn.Artifact("model", "model").add_file(tmp_path / "a", "secret-path"))

    with pytest.raises(rn.Rejected, match="made from it: model:v1"):
        store.purge("hidden:v1")
    assert store.purge(["hidden:v1", "model:v1"]).versions == ["hidden:v1", "model:v1"]
    assert left_of(root) == []


def test_a_whole_artifact_goes(store, root, tmp_path):
    for number in range(3):
        store.log_artifact(hidden(tmp_path).add_metadata({"n": number}))
    store.delete("hidden:v2")

    assert store.purge_artifact("hidden").versions == ["hidden:v1", "hidden:v2", "hidden:v3"]

    assert store.artifacts() == []
    assert left_of(root) == []


def test_everything_of_a_run_goes_and_what_it_said_of_itself(store, root, tmp_path):
    with rn.init("secret-run", name="secret-run", storage=root, config={"secret-key": 1}, tags=["secret-tag"]) as run:
        run.log_artifact(hidden(tmp_path))
    with rn.init("vision", storage=root) as other:
        pass

    store.purge_run(run.id, reason="consent withdrawn")

    assert left_of(root) == []
    first, second = store.runs()
    assert (first.run, first.project, first.name, first.user, first.status) == (run.id, "", None, "", "finished")
    assert first.started_ns
    assert second.run == other.id
    assert store.rebuild() == []
    assert store.audit(deep=True, tables=True).findings == []
    assert store.purge_run(run.id).versions == []


def test_a_purged_version_is_named_as_such(store, tmp_path):
    store.log_artifact(hidden(tmp_path))
    loaded = store.get("hidden")

    store.purge("hidden:v1")

    with pytest.raises(rn.Unknown, match="hidden:v1 was purged"):
        store.get("hidden:v1")
    with pytest.raises(rn.Unknown, match="hidden:v1 was purged"):
        loaded.download()
    with pytest.raises(rn.Unknown, match="hidden:v1 was purged"):
        store.restore("hidden:v1")
    assert loaded.get_metadata().metadata == {}


def test_files_of_others_are_theirs(store, tmp_path):
    store.log_artifact(hidden(tmp_path))
    mine = store.get("hidden").download(tmp_path / "mine")

    store.purge("hidden:v1")

    assert (mine / "secret-path" / "a.bin").read_bytes() == b"secret-content " * 1000


def test_a_key_that_was_used_for_what_is_purged_stays_used(store, tmp_path):
    store.log_artifact(hidden(tmp_path), key="once")

    store.purge("hidden:v1")

    assert store.log_artifact(hidden(tmp_path), key="once") == 1


def test_the_same_files_logged_again_are_stored_again(store, tmp_path):
    store.log_artifact(hidden(tmp_path))
    store.purge("hidden:v1")

    assert store.log_artifact(hidden(tmp_path)) == 2

    with store.get("hidden").open("secret-path/a.bin") as opened:
        assert opened.read() == b"secret-content " * 1000
    assert store.audit(deep=True, tables=True).findings == []


def test_what_is_remembered_of_other_files_is_kept(store, tmp_path, monkeypatch):
    many = tmp_path / "many"
    for number in range(5):
        file(many / f"{number}", b"x" * number)
    # A file that was changed just now is read again in any case.
    monkeypatch.setattr("runicorn_es.pool.stat_cache._GRANULARITY_NS", -(10**12))
    monkeypatch.setattr("runicorn_es.pool.stat_cache._COARSE_GRANULARITY_NS", -(10**12))
    store.log_artifact(rn.Artifact("d", "dataset").add_dir(many))
    store.log_artifact(hidden(tmp_path))

    store.purge("hidden:v1")

    read = []
    monkeypatch.setattr("runicorn_es.pool.ingest.open_source", lambda source, _: read.append(source))
    store.log_artifact(rn.Artifact("d", "dataset").add_dir(many))
    assert read == []


def test_a_purge_that_died_is_finished_by_the_next_who_opens_the_store(store, root, tmp_path, monkeypatch):
    store.log_artifact(hidden(tmp_path))
    monkeypatch.setattr(purge, "finish", lambda *_, **__: (0, 0))
    store.purge("hidden:v1")
    store.close()
    assert left_of(root)
    monkeypatch.undo()

    with rn.open_store(root) as again:
        assert left_of(root) == []
        assert again.audit(deep=True, tables=True).findings == []


def test_a_purge_that_died_while_it_blanked_is_finished_and_is_no_damage(store, root, tmp_path, monkeypatch):
    store.log_artifact(hidden(tmp_path))
    write = durable.write_all_at

    def half(descriptor: int, content: bytes, offset: int) -> None:
        if content.startswith(b"BLANKED"):
            write(descriptor, content[: len(content) // 2], offset)
            raise KeyboardInterrupt
        write(descriptor, content, offset)

    monkeypatch.setattr(durable, "write_all_at", half)
    with pytest.raises(KeyboardInterrupt):
        store.purge("hidden:v1")
    store.close()
    monkeypatch.undo()
    shutil.rmtree(root / "projections")

    with pytest.raises(rn.Damaged, match=r"a purge of the store .* was interrupted; open it once for writing"):
        rn.open_store(root, read_only=True)
    with rn.open_store(root) as again:
        assert left_of(root) == []
        assert again.audit(deep=True, tables=True).findings == []


def test_an_audit_says_that_a_purge_is_half_done(store, root, tmp_path, monkeypatch):
    store.log_artifact(hidden(tmp_path))
    monkeypatch.setattr("runicorn_es.log.Log.finish_blanking", lambda _: pytest.fail("stopped"))
    with pytest.raises(pytest.fail.Exception):
        store.purge("hidden:v1")

    found = store.audit().findings

    assert ["a purge was interrupted" in finding.message for finding in found if finding.kind == "tail"] == [True]
    assert not any(finding.is_damage for finding in found)


def test_a_purge_that_cannot_be_finished_does_not_keep_the_store_from_opening(store, root, tmp_path, monkeypatch):
    store.log_artifact(hidden(tmp_path))
    monkeypatch.setattr(purge, "finish", lambda *_, **__: (0, 0))
    store.purge("hidden:v1")
    store.close()

    def fail(*_: object, **__: object) -> None:
        raise PermissionError("not allowed")

    monkeypatch.setattr(purge, "finish", fail)
    with pytest.warns(RuntimeWarning, match="a purge could not be finished: not allowed"):
        rn.open_store(root).close()


def test_a_purge_waits_for_those_who_take_blobs_in_and_says_when_it_cannot(store, tmp_path, monkeypatch):
    store.log_artifact(hidden(tmp_path))
    monkeypatch.setattr("runicorn_es.settings.LOCK_WAIT_S", 0)
    monkeypatch.setattr(purge.finish, "__kwdefaults__", {"wait_s": 0})

    with leases.taking_in(store.layout, wait_s=1), pytest.raises(rn.Busy, match=r"the purge is decided .* purge again"):
        store.purge("hidden:v1")

    assert store.purge("hidden:v1").count == 2


def test_threads_that_read_go_on_while_the_tables_are_made_anew(store, tmp_path):
    for number in range(5):
        version(store, b"content %d" % number)
    store.log_artifact(hidden(tmp_path))
    failures: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                assert len(store.versions("m")) == 5
                assert content(store, "m:v3") == b"content 2"
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    store.purge("hidden:v1")
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []


def test_another_open_store_sees_the_purge_and_never_refers_to_what_is_gone(store, root, tmp_path):
    store.log_artifact(hidden(tmp_path))
    with rn.open_store(root) as other:
        child = os.fork()
        if child == 0:
            try:
                with rn.open_store(root) as purging, warnings.catch_warnings():
                    purging.purge("hidden:v1")
            finally:
                os._exit(0)
        os.waitpid(child, 0)

        assert [row.status for row in other.versions("hidden", deleted=True)] == ["purged"]
        assert other.log_artifact(hidden(tmp_path)) == 2
        assert [one.path for one in other.get("hidden").files()] == ["secret-path/a.bin", "shared.bin"]
    assert store.audit(deep=True).findings == []


def test_a_blank_that_no_purge_names_is_damage(store, root, tmp_path):
    store.log_artifact(hidden(tmp_path))
    version(store, b"other", "other")
    with store.reading() as view:
        row = queries.version(view, "other", 1)
        [page] = queries.created(view, row).pages
        place = view.place_of(page)
    store.purge("hidden:v1")

    store._log.blank([page], [place])

    [finding] = [one for one in store.audit().findings if one.is_damage and one.kind == "log"]
    assert "the payload was blanked, and no purge says so" in finding.message
    assert finding.affected == ("other:v1",)


def test_a_purge_is_refused_where_another_versions_files_cannot_be_read(store, tmp_path):
    store.log_artifact(hidden(tmp_path))
    version(store, b"other", "other")
    with store.reading() as view:
        [page] = queries.created(view, queries.version(view, "other", 1)).pages
        segment, offset = view.place_of(page)
    path = store.layout.segment(segment)
    damaged = bytearray(path.read_bytes())
    damaged[offset + 200] ^= 1
    path.write_bytes(damaged)

    with pytest.raises(rn.Damaged):
        store.purge("hidden:v1")

    assert Path(store.layout.blob(bytes.fromhex(next(iter(_blobs(store, "other")))))).exists()


def _blobs(store: rn.Store, name: str) -> list[str]:
    pool = store.layout.pool
    return [path.name for path in pool.glob("??/*") if path.read_bytes() == name.encode()]


def test_what_was_purged_is_found_no_more_by_what_it_said(store, tmp_path):
    store.log_artifact(hidden(tmp_path))
    version(store, b"other")
    words = ("secret-tag", "tag:secret-tag", "description~secret", '"secret-key":*')
    assert [store.search(query).total for query in words] == [1, 1, 1, 1]

    store.purge("hidden:v1")

    assert [store.search(f"{query} status:any").total for query in words] == [0, 0, 0, 0]
    [row] = store.search("status:purged").rows
    assert (row.name, row.version) == ("hidden", 1)
