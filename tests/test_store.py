"""What users ask of a store and have it do."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
import errno
import gc
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
from threading import Barrier, Event, Thread
import time

import pytest

from given import SECOND_NS, content, file, rows, version
import runicorn_es as rn
from runicorn_es import durable, settings
from runicorn_es.ambient import Actor, Ambient
from runicorn_es.commands import SetAlias
from runicorn_es.events import AliasSet, BatchAppended, FileAdded, VersionCreated, VersionDeleted
from runicorn_es.ledger import Request
from runicorn_es.log.record import OVERLAPPING
from runicorn_es.names import parse_reference
from runicorn_es.tables import TablesFailed


def numbers(store: rn.Store, name: str = "m", **options: bool) -> list[int]:
    return [row.version for row in store.versions(name, **options)]


def events(store: rn.Store) -> list[str]:
    return [
        type(event).__name__ for _, found in store.events() for event in found if not isinstance(event, BatchAppended)
    ]


def state_of(root: Path) -> dict[str, tuple[int, int, int]]:
    """Return what stat says of every file and folder."""
    return {
        str(path): (found.st_mtime_ns, found.st_ctime_ns, found.st_size)
        for path in [root, *root.rglob("*")]
        if (found := path.lstat())
    }


# Numbers, latest and aliases.


def test_versions_are_numbered_from_1_on(store):
    assert [version(store, b"%d" % number) for number in range(5)] == [1, 2, 3, 4, 5]
    assert [content(store, f"m:v{number + 1}") for number in range(5)] == [b"%d" % number for number in range(5)]


def test_every_log_is_a_version_also_of_equal_content(store):
    first, second = version(store), version(store)

    assert (first, second) == (1, 2)
    assert first.digest == second.digest == store.get("m").digest
    assert store.stats().pool_bytes == len(b"content")


def test_equal_files_and_references_have_equal_digests_whatever_else_differs(store, tmp_path):
    path = file(tmp_path / "f")
    one = store.log_artifact(rn.Artifact("a", "model", metadata={"x": 1}).add_file(path).add_tags("t"))
    other = store.log_artifact(rn.Artifact("b", "dataset", description="words").add_file(path))
    renamed = store.log_artifact(rn.Artifact("c", "model").add_file(path, "g"))

    assert one.digest == other.digest != renamed.digest
    assert re.fullmatch(r"blake3:[0-9a-f]{64}", one.digest)


def test_a_deleted_number_is_never_given_again(store):
    for _ in range(3):
        version(store)
    store.delete("m:v3")
    store.delete("m")

    assert version(store) == 4
    assert numbers(store) == [1, 4]


def test_latest_always_resolves_to_the_newest_version_that_is_not_deleted(store):
    for _ in range(3):
        version(store)
    found = []
    for spec in ("m:v2", "m:v3", "m:v1"):
        found.append(store.get("m:latest").version)
        store.delete(spec)

    assert found == [3, 3, 1]
    with pytest.raises(rn.Unknown, match="all versions of 'm' are deleted"):
        store.get("m")
    store.restore("m:v2")
    assert store.get("m").version == 2
    assert store.get("m").aliases == ["latest"]


def test_an_alias_is_set_moved_and_removed(store):
    version(store), version(store)
    store.alias("m:v1", "production", reason="first")
    assert store.get("m:production").version == 1

    store.alias("m", "production")
    assert store.get("m:production").version == 2
    assert [(row.alias, row.version) for row in store.aliases("m")] == [("production", 2)]

    store.unalias("m:production")
    assert store.aliases("m") == []
    with pytest.raises(rn.Unknown, match="'m' has no alias 'production'"):
        store.get("m:production")


@pytest.mark.parametrize("given", [("m", "production"), ("m:production",)])
def test_an_alias_is_removed_by_two_spellings(store, given):
    version(store)
    store.alias("m", "production")
    store.unalias(*given)

    assert store.aliases("m") == []


@pytest.mark.parametrize(
    "given", [("m",), ("m:v1",), ("m:latest",), ("m", "latest"), ("m", "v1"), ("m", "a:b"), ("m:a", "b")]
)
def test_what_is_no_alias_is_not_removed(store, given):
    version(store)

    with pytest.raises(rn.Rejected):
        store.unalias(*given)


@pytest.mark.parametrize("alias", ["latest", "v1", "V2", "a b", ""])
def test_an_alias_that_means_something_else_is_not_set(store, alias):
    version(store)

    with pytest.raises(rn.Rejected, match="alias"):
        store.alias("m", alias)


def test_asking_for_what_is_so_already_appends_nothing_and_says_so(store):
    version(store)
    command = SetAlias(parse_reference("m"), "production")

    assert store.execute(command) == (AliasSet("m", "production", 1),)
    assert store.execute(command) == ()
    assert events(store).count("AliasSet") == 1


def test_whatever_artifact_can_be_logged_is_found_by_its_name(store, tmp_path):
    path = file(tmp_path / "f")
    for name in (
        "bert@2024",
        "a@b",
        "a@c0ffee",
        "x y",
        "größe",
        "v3",
        "latest",
        ".m",
        "m" * 128,
        "模" * 128,
        "#1",
        "a+b",
        "%20",
    ):
        try:
            artifact = rn.Artifact(name, "model").add_file(path)
        except rn.Rejected:
            continue
        logged = store.log_artifact(artifact)

        assert store.get(name).full_name == store.get(logged.spec).full_name == f"{name}:v1"
        assert (store.get(name).download() / "f").read_bytes() == b"content"


# Deleting and restoring.


def test_a_deleted_version_is_hidden_and_comes_back_with_all_it_had(store, tmp_path):
    artifact = (
        rn.Artifact("m", "model", "words", {"a": 1})
        .add_tags("t")
        .add_file(file(tmp_path / "f"))
        .add_reference("s3://b/k")
    )
    store.log_artifact(artifact, aliases=["production"])
    before = store.get("m:v1").get_metadata()
    store.delete("m:v1", force=True, reason="by mistake")

    assert store.artifacts() == []
    assert numbers(store) == []
    assert numbers(store, deleted=True) == [1]
    for spec in ("m:v1", "m:production"):
        with pytest.raises(rn.Unknown, match=r"m:v1 is deleted; .*restore m:v1"):
            store.get(spec)

    store.restore("m:v1")
    assert store.get("m:production").get_metadata() == before
    assert [reference.uri for reference in store.get("m").get_manifest().references] == ["s3://b/k"]


def test_a_deleted_version_says_since_when(store):
    version(store)
    held = store.get("m")
    store.delete("m")

    assert (held.get_metadata().status, held.get_metadata().deleted_at is not None) == ("deleted", True)


def test_what_is_in_use_is_not_deleted_unless_forced(store):
    version(store)
    store.alias("m", "production")

    with pytest.raises(rn.Rejected, match=r"m:v1 is in use: alias production points to it; .*force=True"):
        store.delete("m")
    assert numbers(store) == [1]

    store.delete("m", force=True)
    assert numbers(store) == []


def test_deleting_and_restoring_twice_changes_once(store):
    version(store)
    for _ in range(2):
        store.delete("m:v1")
    for _ in range(2):
        store.restore("m:v1")

    assert events(store).count("VersionDeleted") == events(store).count("VersionRestored") == 1


def test_deleting_forgets_no_bytes(store):
    version(store, b"precious")
    store.delete("m")
    store.restore("m:v1")

    assert content(store, "m") == b"precious"


# Refused, and nothing changed.


def test_what_is_refused_leaves_no_trace_in_the_log(store, tmp_path):
    version(store)
    before = list(store.events())
    dataset = rn.Artifact("m", "dataset").add_file(file(tmp_path / "f"))
    gone = rn.Artifact("n", "model").add_file(file(tmp_path / "g"))
    (tmp_path / "g").unlink()
    refused: list[Callable[[], object]] = [
        lambda: store.log_artifact(dataset),
        lambda: store.log_artifact(gone),
        lambda: store.log_artifact(rn.Artifact("n", "model")),
        lambda: store.log_artifact(rn.Artifact("n", "model").add_reference("s3://b"), run="20250901_103015_abc123"),
        lambda: store.alias("m:v2", "production"),
        lambda: store.delete("n"),
        lambda: store.restore("m:v2"),
    ]
    for ask in refused:
        with pytest.raises((rn.Rejected, FileNotFoundError)):
            ask()

    assert list(store.events()) == before
    assert list(store.layout.incoming.iterdir()) == []


def test_a_name_that_belongs_to_another_type_is_refused_before_anything_is_copied(store, tmp_path):
    version(store)
    read = []

    with pytest.raises(rn.Rejected, match="'m' is a model"):
        store.log_artifact(rn.Artifact("m", "dataset").add_file(file(tmp_path / "f")), progress=read.append)
    assert read == []


def test_a_file_that_changes_while_it_is_read_is_an_error_and_nothing_is_logged(store, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "SMALL_FILE_BYTES", 10)
    monkeypatch.setattr(settings, "COPY_STEP_BYTES", 4096)
    source = file(tmp_path / "f", bytes(20_000))

    with pytest.raises(rn.Rejected, match="changed while it was read; nothing was logged"):
        store.log_artifact(rn.Artifact("m", "model").add_file(source), progress=lambda _: file(source, b"other"))

    assert store.artifacts() == []
    assert store.stats().pool_bytes == 0


@pytest.mark.parametrize("reason", [5, b"bytes", "\ud800", ["a"]], ids=range(4))
def test_a_reason_that_cannot_be_stored_is_refused_and_the_store_stays_readable(store, reason):
    version(store)
    for ask in (
        lambda: store.alias("m", "production", reason=reason),
        lambda: store.delete("m", reason=reason),
    ):
        with pytest.raises((TypeError, ValueError)):
            ask()

    assert version(store) == 2
    with rn.open_store(store.layout.root) as again:
        assert numbers(again) == [1, 2]


def test_an_artifact_whose_fields_were_tampered_with_does_not_harm_the_log(store, tmp_path):
    artifact = rn.Artifact("m", "model").add_file(file(tmp_path / "f"))
    artifact.description = 5

    with pytest.raises((TypeError, ValueError)):
        store.log_artifact(artifact)

    assert version(store) == 1


@pytest.mark.parametrize("direction", ["up", "", None])
def test_a_direction_that_does_not_exist_is_refused(store, direction):
    version(store)

    with pytest.raises(ValueError, match="'upstream', 'downstream' or 'both'"):
        store.lineage("m", direction=direction)


def test_a_store_is_not_taken_into_itself(store):
    """As with ``add_dir(".")`` where the store lies in the working folder: its signing key is nobody's data."""
    folder = file(store.layout.root.parent / "train.py").parent

    with suppress(rn.Rejected):
        store.log_artifact(rn.Artifact("m", "code").add_dir(folder))

    for row in store.artifacts():
        assert [found.path for found in store.get(row.name).files()] == ["train.py"]


# Answers.


def test_artifacts_are_listed_by_name_and_type(store, tmp_path):
    version(store, name="b"), version(store, name="a")
    store.log_artifact(rn.Artifact("c", "dataset").add_reference("s3://b/k"))

    assert [row.name for row in store.artifacts()] == ["a", "b", "c"]
    assert [row.name for row in store.artifacts(type="dataset")] == ["c"]
    assert store.artifacts("nothing") == []


def test_stats_count_each_blob_once(store):
    version(store, b"x" * 100), version(store, b"x" * 100), version(store, b"y" * 50, name="n")
    store.delete("n")

    stats = store.stats()

    assert (stats.total.artifacts, stats.total.versions, stats.total.size_bytes) == (1, 2, 200)
    assert (stats.total.deleted_versions, stats.total.deleted_bytes, stats.pool_bytes) == (1, 50, 150)
    assert stats.saved_bytes == 100


def test_events_are_the_whole_history_in_order(store, tmp_path):
    version(store)
    store.alias("m", "production")
    store.delete("m", force=True)
    store.restore("m:v1")
    store.unalias("m:production")

    assert events(store) == [
        "StoreCreated",
        "FileAdded",
        "VersionCreated",
        "AliasSet",
        "VersionDeleted",
        "VersionRestored",
        "AliasRemoved",
    ]
    assert [record.index for record, _ in store.events()] == list(range(7))
    assert [record.index for record, _ in store.events(after=4)] == [5, 6]
    assert list(store.events(after=100)) == []


def test_events_may_be_read_while_others_are_added(store):
    version(store)
    found = []
    for record, _ in store.events():
        found.append(record.index)
        if len(found) == 2:
            store.alias("m", "production")

    assert found == [0, 1, 2, 3]


def test_many_events_are_read_in_portions(store, monkeypatch):
    monkeypatch.setattr(settings, "REFERENCES_PER_RECORD", 1)
    references = rn.Artifact("m", "dataset")
    for number in range(600):
        references.add_reference(f"s3://b/{number}")
    store.log_artifact(references)

    assert [record.index for record, _ in store.events()] == list(range(602))
    assert [record.index for record, _ in store.events(after=100)] == list(range(101, 602))


def test_unchanged_files_are_named_in_the_log_and_not_written_again(store, tmp_path):
    folder = file(tmp_path / "d" / "changing").parent
    for number in range(3000):
        file(folder / f"{number:05}", b"same")
    artifact = rn.Artifact("m", "dataset").add_dir(folder)
    store.log_artifact(artifact)
    before = sum(isinstance(event, FileAdded) for _, found in store.events() for event in found)
    file(folder / "01500", b"other")
    store.log_artifact(artifact)

    added = sum(isinstance(event, FileAdded) for _, found in store.events() for event in found) - before

    assert before == 3001
    assert 1 <= added < 1500
    assert store.get("m:v2").get_manifest().total_files == len(list(store.get("m:v2").files())) == 3001


def test_times_never_go_back_though_the_clock_does(tmp_path):
    now_s = [10]
    ambient = Ambient(lambda: now_s[0] * SECOND_NS, os.urandom, lambda: Actor("ada", "lab", 1))
    with rn.Store(tmp_path / "store", ambient=ambient) as store:
        for now_s[0] in (20, 5, 7, 30):
            version(store, name=f"m{now_s[0]}")
        found = [
            record.time_ns // SECOND_NS for record, events in store.events() if isinstance(events[-1], VersionCreated)
        ]

    assert found == [20, 20, 20, 30]


def test_who_acts_is_in_every_batch(tmp_path):
    ambient = Ambient(lambda: SECOND_NS, os.urandom, lambda: Actor("ada", "lab", 4711))
    with rn.Store(tmp_path / "store", ambient=ambient) as store:
        version(store)
        store.alias("m", "production")
        found = [event for _, some in store.events() for event in some if isinstance(event, BatchAppended)]

    assert found == [BatchAppended("ada", "lab", 4711)] * 3


# Closing and reading only.


def test_a_closed_store_answers_no_more_and_says_so(store):
    version(store)
    store.close()
    store.close()

    for ask in (
        store.artifacts,
        store.runs,
        store.rebuild,
        lambda: store.get("m"),
        lambda: store.alias("m", "a"),
        lambda: version(store),
    ):
        with pytest.raises(rn.Rejected, match="was closed"):
            ask()


def test_without_a_path_the_store_is_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNICORN_DIR", str(tmp_path / "exported"))
    with rn.open_store() as store:
        assert store.layout.root == tmp_path / "exported"


def test_a_store_is_closed_by_its_block(tmp_path):
    with rn.open_store(tmp_path / "store") as store:
        pass

    with pytest.raises(rn.Rejected, match="was closed"):
        store.artifacts()


def test_a_read_only_store_answers_all_and_changes_no_file(store, tmp_path):
    for number in range(3):
        version(store, b"%d" % number)
    store.alias("m:v1", "production")
    store.delete("m:v2")
    expected = (
        rows(store),
        numbers(store),
        [row.alias for row in store.aliases("m")],
        store.stats(),
        list(store.events()),
    )
    store.close()
    before = state_of(store.layout.root)

    with rn.open_store(store.layout.root, read_only=True) as reader:
        assert (
            rows(reader),
            numbers(reader),
            [row.alias for row in reader.aliases("m")],
            reader.stats(),
            list(reader.events()),
        ) == expected
        assert content(reader, "m:production") == b"0"
        assert reader.lineage("m").focus == "m:v3"
        assert (reader.get("m").download(tmp_path / "out") / "model.pth").read_bytes() == b"2"
        for ask in (
            lambda: version(reader),
            lambda: reader.alias("m", "a"),
            lambda: reader.delete("m"),
            reader.rebuild,
        ):
            with pytest.raises(rn.Rejected, match="read-only"):
                ask()

    after = state_of(store.layout.root)
    # A hard link is counted in the inode of the blob, which is what downloading is.
    assert {path for path in after if after[path] != before.get(path)} <= {
        path for path in after if re.search(r"pool/../\w{64}$", path)
    }
    assert before.keys() == after.keys()


@pytest.mark.parametrize("harm", [os.utime, lambda blob: blob.write_bytes(b"CONTENT")], ids=["touched", "edited"])
def test_a_read_only_store_changes_not_even_a_blob_that_was_changed(store, harm):
    version(store, b"content")
    store.close()
    [blob] = store.layout.pool.glob("[0-9a-f][0-9a-f]/*")
    blob.chmod(0o644)
    harm(blob)
    before = state_of(store.layout.root)

    with rn.open_store(store.layout.root, read_only=True) as reader, suppress(rn.BlobDamaged):
        assert content(reader, "m") == b"content"

    assert state_of(store.layout.root) == before


def test_a_read_only_store_sees_what_others_write(store):
    version(store)
    with rn.open_store(store.layout.root, read_only=True) as reader:
        assert numbers(reader) == [1]
        version(store)
        assert numbers(reader) == [1, 2]


def test_a_read_only_store_does_not_mind_a_torn_tail_nor_a_lock(store):
    version(store)
    store.close()
    with store.layout.segment(0).open("ab") as segment:
        segment.write(b"torn")
    before = state_of(store.layout.root)

    with (
        durable.locked(store.layout.lock, wait_s=0, holder="a writer at work"),
        rn.open_store(store.layout.root, read_only=True) as reader,
    ):
        assert numbers(reader) == [1]
    assert {path for path, found in state_of(store.layout.root).items() if found != before[path]} <= {
        str(store.layout.lock)
    }


@pytest.mark.parametrize("number", [1, 255])
def test_a_read_only_store_knows_who_used_any_version(store, number):
    """The number of version 255 ends with the highest byte there is."""
    for _ in range(number):
        store.log_artifact(rn.Artifact("m", "model").add_reference("s3://b/k"))
    with rn.init("p", storage=store.layout.root) as run:
        run.use_artifact(f"m:v{number}")

    with rn.open_store(store.layout.root, read_only=True) as reader:
        assert reader.get(f"m:v{number}").used_by() == [run.id]
        assert len(reader.lineage(f"m:v{number}").nodes) == 2


@pytest.mark.timeout(20)
def test_a_store_may_be_forgotten_at_any_moment_also_while_another_is_opened(tmp_path, monkeypatch):
    """Garbage is collected whenever memory is asked for, with whatever locks are held then."""
    forgotten: list[object] = [rn.open_store(tmp_path / "forgotten")]
    forgotten.append(forgotten)
    boot_id = durable.boot_id
    monkeypatch.setattr(durable, "boot_id", lambda: (gc.collect(), boot_id())[1])

    del forgotten
    with rn.open_store(tmp_path / "another") as opened:
        assert version(opened, b"new") == 1


# Threads, processes, forks.


def test_a_lock_that_is_held_too_long_names_its_holder(store):
    version(store)
    with (
        durable.locked(store.layout.lock, wait_s=0, holder="process 1 of ada on lab"),
        rn.Store(store.layout.root, lock_wait_s=0.01) as other,
    ):
        for ask in (lambda: version(other), lambda: other.alias("m", "a"), other.rebuild):
            with pytest.raises(rn.Busy, match=r"held by process 1 of ada on lab; waited 0\.01 s, nothing was changed"):
                ask()
        assert numbers(other) == [1]
    assert version(store) == 2


def test_the_holder_is_the_process_that_writes(store):
    version(store)

    assert re.match(rf"process {os.getpid()} of \S+ on \S+ since 20\d\d-", store.layout.lock.read_text())


def test_a_thread_that_waits_too_long_for_another_is_told(store, tmp_path):
    is_writing, may_go_on = Event(), Event()

    class Slow(rn.Store):
        def _carry_out(self, *given, **options):
            is_writing.set()
            may_go_on.wait(30)
            return super()._carry_out(*given, **options)

    version(store)
    with Slow(store.layout.root, lock_wait_s=0.01) as slow:
        thread = Thread(target=slow.alias, args=("m", "production"))
        thread.start()
        is_writing.wait(30)
        with pytest.raises(rn.Busy, match="other threads have been writing"):
            slow.alias("m", "best")
        assert numbers(slow) == [1]
        may_go_on.set()
        thread.join()

    assert [row.alias for row in store.aliases("m")] == ["production"]


def test_readers_go_on_while_a_writer_holds_the_lock(store):
    version(store)
    with durable.locked(store.layout.lock, wait_s=0, holder="a writer at work"):
        assert content(store, "m") == b"content"
        assert store.stats().total.versions == 1


def test_two_stores_of_one_process_are_one(store):
    with rn.open_store(store.layout.root) as other:
        assert [version(one) for one in (store, other, other, store)] == [1, 2, 3, 4]
        other.delete("m:v2")
        assert numbers(store) == numbers(other) == [1, 3, 4]
    assert version(store) == 5
    assert store.rebuild() == []


FORK = """
import os, sys, threading, traceback
from pathlib import Path
import runicorn_es as rn
store = rn.open_store(sys.argv[1])

def log(content):
    source = store.layout.root.parent / content
    source.write_text(content)
    return store.log_artifact(rn.Artifact("m", "model").add_file(source, "f"))

def content(number):
    with store.get(f"m:v{number}").open("f") as opened:
        return opened.read().decode()

def in_a_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child

def live(number):
    assert content(1) == "before"
    assert content(log(f"child {number}")) == f"child {number}"
    grandchild = in_a_child(lambda: log(f"grandchild {number}"))
    assert os.waitpid(grandchild, 0)[1] == 0
    assert content(log(f"child {number} again")) == f"child {number} again"

log("before")
stop = threading.Event()

def read():
    while not stop.is_set():
        assert content(1) == "before"

readers = [threading.Thread(target=read) for _ in range(2)]
for reader in readers:
    reader.start()
children = []
for number in range(3):
    children.append(in_a_child(lambda: live(number)))
    log(f"parent {number}")
print([os.waitpid(child, 0)[1] for child in children])
stop.set()
for reader in readers:
    reader.join()
print([row.version for row in store.versions("m")] == list(range(1, 14)), store.rebuild())
"""


def test_forked_children_read_and_write_and_so_does_their_parent(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", FORK, tmp_path / "store"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert done.stdout.splitlines() == ["[0, 0, 0]", "True []"], done.stderr


FORK_WHILE_WRITING = """
import os, sys, threading
from pathlib import Path
import runicorn_es as rn
from runicorn_es.ambient import SYSTEM, Ambient
forked = []

def token(count):
    # Asked for under the writer's lock, in the middle of a batch.
    if store and not forked:
        forked.append(0)
        forked[0] = os.fork()
        if forked[0] == 0:
            store.log_artifact(rn.Artifact("m", "model").add_reference("s3://child"))
            assert store.get("m").version in (1, 2)
            os._exit(0)
    return os.urandom(count)

store = None
store = rn.Store(sys.argv[1], ambient=Ambient(SYSTEM.now_ns, token, SYSTEM.actor), lock_wait_s=20)
store.log_artifact(rn.Artifact("m", "model").add_reference("s3://parent"))
print(os.waitpid(forked[0], 0)[1], [row.version for row in store.versions("m")], store.rebuild())
"""


def test_a_child_that_is_forked_in_the_middle_of_a_batch_begins_anew(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", FORK_WHILE_WRITING, tmp_path / "store"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert done.stdout == "0 [1, 2] []\n", done.stderr


def test_a_store_opened_in_a_child_is_its_own(tmp_path):
    program = """
import os, sys, runicorn_es as rn
store = rn.open_store(sys.argv[1])
store.log_artifact(rn.Artifact("m", "model").add_reference("s3://b/k"))
child = os.fork()
if child == 0:
    with rn.open_store(sys.argv[1]) as mine:
        mine.alias("m", "from-the-child")
    os._exit(0)
os.waitpid(child, 0)
store.alias("m", "from-the-parent")
print([row.alias for row in store.aliases("m")], store.rebuild())
"""
    command = [sys.executable, "-W", "ignore", "-c", program, tmp_path / "store"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert done.stdout == "['from-the-child', 'from-the-parent'] []\n", done.stderr


# A disk that fails.


@pytest.fixture
def fails_once(monkeypatch):
    """Have a call of the durable room fail once."""

    def arrange(call: str, number: int = errno.EIO) -> None:
        real = getattr(durable, call)

        def fail(*given, **options):
            monkeypatch.setattr(durable, call, real)
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(durable, call, fail)

    return arrange


@pytest.mark.parametrize("call", ["sync", "write_all_at"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_after_a_failed_write_or_sync_a_store_writes_no_more_but_answers(store, fails_once, call, number):
    version(store, b"one")
    fails_once(call, number)

    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        store.alias("m", "production")

    for ask in (lambda: version(store), lambda: store.delete("m"), store.rebuild):
        with pytest.raises(rn.WriteFailed, match=r"an earlier write .* failed .*open the store anew"):
            ask()
    assert content(store, "m") == b"one"
    assert numbers(store) == [1]

    with rn.open_store(store.layout.root) as again:
        assert version(again, b"two") == 2
        assert again.rebuild() == []


def test_a_failed_sync_of_the_pool_is_final_too(store, fails_once):
    version(store, b"one")
    fails_once("sync_filesystem")

    with pytest.raises(rn.WriteFailed, match="could not be made durable"):
        version(store, b"two")
    with pytest.raises(rn.WriteFailed, match="an earlier write"):
        store.alias("m", "production")

    with rn.open_store(store.layout.root) as again:
        assert version(again, b"two") == 2


def test_a_full_disk_while_files_are_copied_is_no_reason_to_write_no_more(store, fails_once):
    version(store, b"one")
    fails_once("write_all", errno.ENOSPC)

    with pytest.raises(OSError, match="No space left"):
        version(store, b"two")

    assert version(store, b"three") == 2


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_another_store_of_the_process_is_not_stopped_by_the_failure_of_one(store, fails_once):
    version(store)
    with rn.open_store(store.layout.root) as other:
        fails_once("sync")
        with pytest.raises(OSError, match="Input/output error"):
            store.alias("m", "production")

        assert version(other) == 2


def test_who_waited_while_another_thread_failed_is_told_nothing_else(store, monkeypatch):
    is_writing, may_fail = Event(), Event()
    version(store)

    def fail(_):
        is_writing.set()
        may_fail.wait(30)
        raise OSError(errno.EIO, "Input/output error")

    def ask(alias: str, raised: list[type]) -> None:
        try:
            store.alias("m", alias)
        except OSError as error:
            raised.append(type(error))

    kinds: tuple[list[type], list[type]] = ([], [])
    monkeypatch.setattr(durable, "sync", fail)
    first = Thread(target=ask, args=("first", kinds[0]))
    first.start()
    is_writing.wait(30)
    second = Thread(target=ask, args=("second", kinds[1]))
    second.start()
    second.join(0.05)
    may_fail.set()
    first.join()
    second.join()
    monkeypatch.undo()

    assert kinds == ([OSError], [rn.WriteFailed])


def test_threads_share_a_sync_and_none_is_answered_before_one_that_covers_it(store, monkeypatch):
    version(store)
    is_syncing, may_sync, synced = Event(), Event(), []
    sync = durable.sync

    def wait_once_and_sync(descriptor):
        is_syncing.set()
        may_sync.wait(30)
        synced.append(store.layout.segment(0).stat().st_size)
        sync(descriptor)

    answered: list[int] = []

    def ask(alias: str) -> None:
        store.alias("m", alias)
        answered.append(len(synced))

    monkeypatch.setattr(durable, "sync", wait_once_and_sync)
    threads = [Thread(target=ask, args=(f"alias-{number}",)) for number in range(8)]
    threads[0].start()
    is_syncing.wait(30)
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: len(store._turn._waiting) == 7)
    assert answered == []
    may_sync.set()
    for thread in threads:
        thread.join()

    # The first one's, and one for all others, who had written while it was under way.
    assert len(synced) == 2
    assert sorted(answered)[1:] == [2] * 7


def test_of_what_threads_wrote_together_only_the_first_says_that_all_before_it_is_durable(store):
    version(store)
    store.execute_all([SetAlias(parse_reference("m"), alias) for alias in ("one", "two", "three")])

    flags = [bool(record.flags & OVERLAPPING) for record, events in store.events() if isinstance(events[-1], AliasSet)]
    assert flags == [False, True, True]


def test_of_several_commands_none_is_carried_out_if_one_is_refused(store):
    version(store)
    before = sum(1 for _ in store.events())

    with pytest.raises(rn.Unknown):
        store.execute_all([SetAlias(parse_reference("m"), "one"), SetAlias(parse_reference("m:v9"), "two")])

    assert store.aliases("m") == []
    assert sum(1 for _ in store.events()) == before
    store.alias("m", "three")
    assert store.audit(tables=True).is_clean


def test_of_several_threads_requests_only_the_one_that_was_refused_fails(store):
    version(store)
    requests = [Request(SetAlias(parse_reference(spec), "a-" + spec[-1])) for spec in ("m:v1", "m:v9", "m:v1")]
    requests[2].command = SetAlias(parse_reference("m:v1"), "third")

    store._carry_out_durably(requests)

    assert [type(request.refusal) for request in requests] == [type(None), rn.Unknown, type(None)]
    assert [row.alias for row in store.aliases("m")] == ["a-1", "third"]
    assert store.audit(tables=True).is_clean


def test_a_batch_that_was_written_while_another_was_not_durable_says_so(store, monkeypatch):
    version(store)
    flags = {}
    is_syncing, may_sync = Event(), Event()
    monkeypatch.setattr(durable, "sync", lambda _: (is_syncing.set(), may_sync.wait(30)))
    with rn.open_store(store.layout.root) as other:
        may_sync.set()
        other.alias("m", "zeroth")
        may_sync.clear()
        is_syncing.clear()
        first = Thread(target=store.alias, args=("m", "first"))
        first.start()
        is_syncing.wait(30)
        second = Thread(target=other.alias, args=("m", "second"))
        second.start()
        wait_until(lambda: len(store.aliases("m")) == 3)
        may_sync.set()
        first.join()
        second.join()
        store.alias("m", "third")

    for record, events in store.events():
        for event in events:
            if isinstance(event, AliasSet):
                flags[event.alias] = bool(record.flags & OVERLAPPING)
    assert flags == {"zeroth": False, "first": False, "second": True, "third": False}


# The log is the truth.


def test_a_store_whose_empty_folders_were_lost_goes_on(store, tmp_path):
    """As in a copy made by a tool that keeps only files."""
    version(store, b"one")
    store.close()
    for folder in sorted(store.layout.root.rglob("*"), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    assert not store.layout.incoming.exists()

    with rn.open_store(store.layout.root) as again:
        assert [version(again, b"%d" % number) for number in range(5)] == [2, 3, 4, 5, 6]
        damaged = again.get("m:v1").download() / "model.pth"
        damaged.chmod(0o644)
        damaged.write_bytes(b"ONE")
        with pytest.raises(rn.BlobDamaged, match="quarantine"):
            again.get("m:v1").open("model.pth")
    with store.layout.segment(0).open("ab") as segment:
        segment.write(b"torn")
    with rn.open_store(store.layout.root) as again:
        assert version(again, b"six") == 7
        assert len(list(store.layout.log_quarantine.iterdir())) == 1
        assert again.stats().pool_bytes > 0


def test_a_store_that_could_not_be_opened_has_no_tables_open(store, monkeypatch):
    root = store.layout.root
    store.close()

    def fail(view: object) -> None:
        raise TablesFailed("the projections failed")

    monkeypatch.setattr("runicorn_es.queries.unfinished_purges", fail)
    with pytest.raises(TablesFailed):
        rn.open_store(root)

    # Else they would be made anew for nobody in this process.
    held = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    assert [path for path in held if path.is_relative_to(root / "projections")] == []


def payload_of(store: rn.Store, kind: type) -> tuple[int, int]:
    """Return where the payload of the record with such an event stands in its segment, and its size."""
    for record, found in store.events():
        if any(isinstance(event, kind) for event in found):
            return record.offset + record.size_bytes - len(record.payload), len(record.payload)
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", [FileAdded, VersionCreated, VersionDeleted])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_payload_that_was_lost_to_zeros_is_damage_unless_its_version_was_purged(store, kind, read_only):
    """A disk that loses a block often gives zeros for it."""
    version(store, b"one")
    store.delete("m")
    version(store, b"two", name="n")
    offset, size_bytes = payload_of(store, kind)
    store.close()
    with store.layout.segment(0).open("r+b") as segment:
        segment.seek(offset)
        segment.write(bytes(size_bytes))
    shutil.rmtree(store.layout.projections)

    def ask_everything():
        with rn.open_store(store.layout.root, read_only=read_only) as again:
            assert numbers(again, deleted=True) == [1]
            with pytest.raises(rn.Unknown, match="deleted"):
                again.get("m:v1")
            held = again.version_of(again.versions("m", deleted=True)[0])
            assert [found.path for found in held.files()] == ["model.pth"]
            held.download(store.layout.root.parent / "out")

    with pytest.raises(rn.Damaged):
        ask_everything()


def test_a_key_that_several_use_at_once_is_one_version(store, tmp_path):
    paths = [file(tmp_path / str(number), b"%d" % number) for number in range(4)]
    together = Barrier(4)

    def log(path: Path) -> rn.VersionNumber:
        with rn.open_store(store.layout.root) as mine:
            together.wait()
            return mine.log_artifact(rn.Artifact("m", "model").add_file(path, "model.pth"), key="job 7")

    with ThreadPoolExecutor(4) as threads:
        logged = list(threads.map(log, paths))

    assert logged == [1, 1, 1, 1]
    assert {number.digest for number in logged} == {store.get("m").digest}
    assert numbers(store) == [1]


def test_a_key_that_is_repeated_is_answered_without_reading_a_file(store, tmp_path):
    path = file(tmp_path / "f")
    artifact = rn.Artifact("m", "model").add_file(path)
    store.log_artifact(artifact, key="job 7")
    path.unlink()

    assert store.log_artifact(artifact, key="job 7") == 1


def test_an_artifact_counts_as_long_as_one_of_its_versions_is_live(store):
    version(store), version(store, name="n")
    store.delete("m:v1")

    assert store.stats().total.artifacts == len(store.artifacts()) == 1
    store.restore("m:v1")
    assert store.stats().total.artifacts == 2
