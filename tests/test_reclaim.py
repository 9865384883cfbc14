"""What takes space for nothing: found, explained, removed; and never anything that somebody needs."""

import os
from pathlib import Path
import threading

from blake3 import blake3
import pytest

from given import content, file, version
import runicorn_es as rn
from runicorn_es import queries, reclaim
from runicorn_es.events import BlobsReclaimed
from runicorn_es.pool import blobs_of, ingest

DAY_S = 86_400


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root) -> rn.Store:
    with rn.open_store(root) as store:
        yield store


def orphan(store: rn.Store, content: bytes = b"orphan") -> Path:
    """Put a blob into the pool that no version names, as a writer leaves one that dies before it appends."""
    blob = Path(store.layout.blob(blake3(content).digest()))
    blob.write_bytes(content)
    store.pool.usage.forget()
    return blob


def kinds(found: rn.Reclaimed) -> list[str]:
    return [item.kind for item in found.items]


def age(path: Path, days: float) -> None:
    then = path.stat().st_mtime - days * DAY_S
    os.utime(path, (then, then))


def test_a_store_without_garbage_has_nothing_to_say(store):
    version(store)

    assert store.reclaim().items == []


def test_blobs_that_no_version_names_go(store, root):
    version(store)
    blob = orphan(store)

    found = store.reclaim()

    [item] = found.items
    assert (item.kind, item.path, item.size_bytes) == ("blob", str(blob.relative_to(root)), 6)
    assert item.reason == "no version names it"
    assert found.freed_bytes == 6
    assert not blob.exists()
    assert content(store, "m") == b"content"
    assert store.audit(deep=True).findings == []


def test_a_dry_run_says_the_same_and_changes_nothing(store, root):
    version(store)
    blob = orphan(store)
    (store.layout.incoming / "1-dead").mkdir()
    file(store.layout.incoming / "1-dead" / "large-0")
    before = sorted(root.rglob("*"))
    with store.reading() as view:
        head = queries.head(view)

    dry = store.reclaim(dry_run=True)

    assert sorted(root.rglob("*")) == before
    with store.reading() as view:
        assert queries.head(view) == head
    wet = store.reclaim()
    assert (dry.items, dry.freed_bytes) == (wet.items, wet.freed_bytes)
    assert not blob.exists()


def test_what_went_is_in_the_log(store):
    orphan(store)
    store.reclaim()

    assert [event for _, events in store.events() for event in events if isinstance(event, BlobsReclaimed)] == [
        BlobsReclaimed(1, 6)
    ]


def test_blobs_of_deleted_versions_stay_until_they_are_purged(store):
    version(store, b"one")
    store.delete("m:v1")

    assert store.reclaim().items == []
    store.restore("m:v1")
    assert content(store, "m:v1") == b"one"


def test_a_blob_that_somebody_else_holds_gives_nothing_back_and_it_says_so(store, tmp_path):
    blob = orphan(store)
    os.link(blob, tmp_path / "mine")

    [item] = store.reclaim().items

    assert item.size_bytes == 0
    assert "1 hard links to it outside the pool" in item.reason
    assert (tmp_path / "mine").read_bytes() == b"orphan"


def test_what_killed_writers_left_goes(store):
    folder = store.layout.incoming / "1-dead"
    folder.mkdir()
    file(folder / "large-0", b"half")
    file(store.layout.incoming / "repair-1-x", b"part")

    found = store.reclaim()

    assert [(item.kind, item.size_bytes) for item in found.items] == [("staging", 4), ("staging", 4)]
    assert list(store.layout.incoming.iterdir()) == []


def test_staging_of_a_writer_at_work_is_waited_for(store, tmp_path, monkeypatch):
    version(store)
    staged = threading.Event()
    go_on = threading.Event()
    publish = ingest._Intake.publish

    def slowly(intake: ingest._Intake, sync_all: object) -> None:
        staged.set()
        go_on.wait(10)
        publish(intake, sync_all)

    monkeypatch.setattr(ingest._Intake, "publish", slowly)
    writer = threading.Thread(target=lambda: version(store, b"new content"))
    writer.start()
    staged.wait(10)
    threading.Timer(0.2, go_on.set).start()

    assert store.reclaim().items == []

    writer.join()
    assert content(store, "m:v2") == b"new content"


def test_a_blob_that_a_writer_names_after_it_was_marked_is_spared(store, tmp_path, monkeypatch):
    blob = orphan(store, b"logged in the last moment")
    mark = reclaim._orphans

    def mark_and_be_overtaken(*given: object) -> object:
        marked = mark(*given)
        version(store, b"logged in the last moment")
        return marked

    monkeypatch.setattr(reclaim, "_orphans", mark_and_be_overtaken)

    assert store.reclaim().items == []

    assert blob.exists()
    assert content(store, "m") == b"logged in the last moment"


def test_temporary_files_go_when_their_writer_has_been_gone_for_long(store, root):
    old, new = file(root / ".store.json.1-abcd.tmp"), file(root / "log" / ".x.seg.2-abcd.tmp")
    age(old, 1)

    found = store.reclaim()

    assert [(item.kind, item.path) for item in found.items] == [("temporary", old.name)]
    assert new.exists()
    assert not old.exists()


def test_downloads_that_nobody_asked_for_lately_go_and_come_back_when_asked(store):
    version(store, b"one")
    folder = store.get("m").download()
    assert store.reclaim().items == []
    age(folder, 31)

    [item] = store.reclaim().items

    assert (item.kind, item.path, item.size_bytes) == ("download", "downloads/m/v1", 0)
    assert item.reason == "1 links, not asked for in 31 days; `download()` makes them again"
    assert not folder.exists()
    assert (store.get("m").download() / "model.pth").read_bytes() == b"one"


def test_a_download_that_is_asked_for_again_is_used(store):
    version(store)
    folder = store.get("m").download()
    age(folder, 31)
    store.get("m").download()

    assert store.reclaim().items == []


def test_how_long_unused_can_be_said(store):
    version(store)
    age(store.get("m").download(), 2)

    assert kinds(store.reclaim(downloads_unused="1d", dry_run=True)) == ["download"]
    assert store.reclaim(downloads_unused="3d").items == []


def test_downloads_of_a_deleted_version_go_at_once(store):
    version(store)
    folder = store.get("m").download()
    store.delete("m:v1")

    [item] = store.reclaim().items

    assert "m:v1 is deleted" in item.reason
    assert not folder.exists()


def test_files_that_a_person_changed_or_put_there_stay(store):
    version(store)
    folder = store.get("m").download()
    file(folder / "notes.txt", b"mine")
    store.delete("m:v1")

    [item] = store.reclaim().items

    assert "1 files of yours in it stay" in item.reason
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_nothing_goes_where_the_files_of_a_version_cannot_be_read(store):
    version(store)
    blob = orphan(store)
    with store.reading() as view:
        [page] = queries.created(view, queries.version(view, "m", 1)).pages
        segment, offset = view.place_of(page)
    path = store.layout.segment(segment)
    damaged = bytearray(path.read_bytes())
    damaged[offset + 200] ^= 1
    path.write_bytes(damaged)

    with pytest.raises(rn.Damaged):
        store.reclaim()

    assert blob.exists()


def test_a_read_only_store_removes_nothing(store, root):
    version(store)
    with rn.open_store(root, read_only=True) as reader, pytest.raises(rn.Rejected, match="read-only"):
        reader.reclaim()


def test_rules_are_applied_when_asked_and_said_before(store):
    for number in range(4):
        version(store, b"content %d" % number)
    store.alias("m:v1", "production")
    store.set_retention("m", keep_last=1, purge_after="0s")

    dry = store.reclaim(apply_retention=True, dry_run=True)

    assert [(one.spec, one.action) for one in dry.due] == [("m:v3", "delete"), ("m:v2", "delete"), ("m:v1", "keep")]
    assert len(store.versions("m")) == 4
    assert store.reclaim().due == []
    assert len(store.versions("m")) == 4

    store.reclaim(apply_retention=True)
    assert [row.version for row in store.versions("m")] == [1, 4]
    assert {one.action for one in store.due()} == {"purge", "keep"}
    store.reclaim(apply_retention=True)
    assert [row.status for row in store.versions("m", deleted=True)] == ["ready", "purged", "purged", "ready"]
    assert len(list(blobs_of(store.layout))) == 2


def test_a_rule_says_why_it_deleted(store):
    version(store, b"1")
    version(store, b"2")
    store.set_retention("type:model", keep_last=1)

    store.reclaim(apply_retention=True)

    [deleted] = [event for _, events in store.events() for event in events if type(event).__name__ == "VersionDeleted"]
    assert deleted.reason == "retention of type:model: 1 version is newer"


def test_a_rule_for_a_version_that_is_not_there_is_refused(store):
    with pytest.raises(rn.Unknown):
        store.set_retention("m:v7", keep_last=1)
    version(store)
    with pytest.raises(rn.Rejected, match="keep_last must be a number of versions"):
        store.set_retention("m", keep_last=-1)


def test_rules_can_be_read_and_ended(store):
    store.set_retention("type:model", keep_last=3, keep_younger="30d", keep_tagged=["b", "a"], purge_after="1w")
    assert {selection: str(rule) for selection, rule in store.retention().items()} == {
        "type:model": "keep last 3, younger than 30d, tagged a or b; purge 1w after deletion"
    }

    store.set_retention("type:model")
    assert store.retention() == {}


# Sums, kept and counted.


def recount(store: rn.Store) -> tuple[int, int, int]:
    """Return bytes of the pool and count and bytes of its garbage, by looking at all of it."""
    sizes = {digest: entry.stat().st_size for digest, entry in blobs_of(store.layout)}
    garbage = dict(sizes)
    reclaim.without_live(store, garbage)
    return sum(sizes.values()), len(garbage), sum(garbage.values())


def kept(store: rn.Store) -> tuple[int, int, int]:
    stats = store.stats()
    return stats.pool_bytes, stats.garbage_count, stats.garbage_bytes


def test_the_sums_that_are_kept_are_those_of_a_recount(store, tmp_path, monkeypatch):
    version(store, b"one")
    assert kept(store) == recount(store) == (3, 0, 0)
    monkeypatch.setattr(reclaim, "blobs_of", lambda _: pytest.fail("counted again"))
    version(store, b"three")
    version(store, b"one", "other")
    store.delete("m:v1", force=True)
    assert kept(store) == recount(store) == (8, 0, 0)
    store.purge("other:v1")
    store.purge("m:v1")
    assert kept(store) == recount(store) == (5, 0, 0)


def test_garbage_is_known_and_is_garbage_no_more_once_it_is_named(store):
    version(store, b"one")
    orphan(store, b"named soon")
    assert kept(store) == recount(store) == (13, 1, 10)

    version(store, b"named soon")
    assert kept(store) == recount(store) == (13, 0, 0)


def test_a_log_that_is_refused_after_its_files_were_taken_in_leaves_garbage_that_is_known(store, tmp_path):
    version(store, b"one")
    store.stats()
    store.protect("production")
    batch = store.batch()
    batch.log_artifact(rn.Artifact("n", "model").add_file(file(tmp_path / "f", b"left over")))
    batch.alias("nothing:v9", "production")
    with pytest.raises(rn.Unknown):
        batch.__exit__(None, None, None)

    assert kept(store) == recount(store) == (12, 1, 9)
    assert store.reclaim().freed_bytes == 9
    assert kept(store) == recount(store) == (3, 0, 0)


def test_threads_that_log_the_same_at_once_leave_no_wrong_sums(store, tmp_path):
    version(store, b"first")
    store.stats()
    sources = [file(tmp_path / f"{number}", b"the same %d" % (number % 2)) for number in range(8)]
    threads = [
        threading.Thread(
            target=lambda source=source: store.log_artifact(rn.Artifact("t", "model").add_file(source, "f"))
        )
        for source in sources
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert kept(store) == recount(store)


# Why something is kept.


def test_a_blob_is_explained_by_who_names_it(store):
    version(store, b"one")
    version(store, b"one", "other")
    store.delete("other:v1")
    digest = next(store.get("m").files()).digest

    found = store.explain(digest)

    assert found.subject == digest
    assert (found.status, found.size_bytes, found.exclusive_bytes, found.needed_by_count) == ("in the pool", 3, 0, 2)
    assert found.kept == [
        "1 live version names it",
        "1 deleted version names it, and can be restored until purged",
    ]
    assert found.needed_by == ["m:v1 model.pth", "other:v1 model.pth"]
    assert store.explain(digest[: len("blake3:") + 8]).subject == digest


def test_a_blob_that_nobody_needs_would_be_freed(store):
    digest = orphan(store).name

    found = store.explain(digest)

    assert (found.kept, found.exclusive_bytes) == ([], 6)


def test_a_version_is_explained_by_what_depends_on_it_and_what_it_has_alone(store, root, tmp_path):
    store.log_artifact(
        rn.Artifact("data", "dataset").add_file(file(tmp_path / "a", b"x" * 100)).add_file(file(tmp_path / "b", b"y"))
    )
    store.log_artifact(rn.Artifact("part", "dataset").add_file(tmp_path / "a"), aliases=["best"])
    with rn.init("p", storage=root) as run:
        run.use_artifact("data")
        run.log_artifact(rn.Artifact("model", "model").add_file(tmp_path / "b"))
    store.set_retention("type:dataset", keep_last=3)

    data, part = store.explain("data"), store.explain("part:best")

    assert (data.size_bytes, data.exclusive_bytes, data.needed_by) == (101, 0, ["model:v1"])
    assert data.kept == ["made from it: model:v1", "it is the latest", "the rule for type:dataset: keep last 3"]
    assert part.kept[0] == "alias best points to it"
    store.purge("model:v1", force=True)
    assert store.explain("data").exclusive_bytes == 1
    assert store.explain("model:v1").status == "purged"


@pytest.mark.parametrize("what", ["blake3:0000000000", "nothing", "m:v9"])
def test_what_is_not_there_cannot_be_explained(store, what):
    version(store)
    with pytest.raises(rn.Unknown):
        store.explain(what)
