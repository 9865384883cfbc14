"""The invariants of the store, one section each. Every test here fails when the mechanism it names is taken away."""

from concurrent.futures import ThreadPoolExecutor
import errno
import fcntl
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import threading

import lmdb
import pytest

import runicorn_es as rn
from runicorn_es import durable, projections
from runicorn_es.audit import audit
from runicorn_es.log.record import blank_payload
from runicorn_es.pool import BLOB_MTIME_NS, stat_cache
from runicorn_es.projections.rows import ARTIFACTS, VERSIONS

LOG_ONE = """
import sys, runicorn_es as rn
with rn.open_store(sys.argv[1]) as store:
    version = store.log_artifact(rn.Artifact("m", "model").add_file(sys.argv[2], "model.pth"))
    sys.stdout.write(f"ACKNOWLEDGED {version.spec}\\n")
    sys.stdout.flush()
"""
WRITE_OF_LOG = r"pwrite64\(\d+<[^>]*\.seg>"
WRITES = "write,pwrite64,writev,copy_file_range,fsync,fdatasync,syncfs,rename,renameat,renameat2,openat,ftruncate"


@pytest.fixture
def store(tmp_path):
    with rn.open_store(tmp_path / "store") as opened:
        yield opened


def log_file(store: rn.Store, content: bytes, name: str = "m") -> rn.VersionNumber:
    file = store.layout.root.parent / f"{name}.bin"
    file.write_bytes(content)
    return store.log_artifact(rn.Artifact(name, "model").add_file(file, "model.pth"))


def content(store: rn.Store, spec: str) -> bytes:
    with store.get(spec).open("model.pth") as file:
        return file.read()


def rows_of(store: rn.Store) -> dict[bytes, bytes]:
    with store.reading() as view:
        return {key: row for key, row in view.rows.scan(b"") if not key.startswith(stat_cache.PREFIX)}


def traced(
    tmp_path: Path, *strace_options: str, script: str = LOG_ONE
) -> tuple[subprocess.CompletedProcess, list[str]]:
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-y", "-qq", "-o", trace, "-e", f"trace={WRITES}", *strace_options]
    # -P: not the package of the working folder, but the one that the tests run with.
    arguments = [sys.executable, "-P", "-c", script, tmp_path / "store", tmp_path / "new.bin"]
    done = subprocess.run([*command, *arguments], check=False, capture_output=True, text=True, timeout=60)
    return done, trace.read_text().splitlines()


def first(lines: list[str], pattern: str, after: int = -1) -> int:
    for number, line in enumerate(lines):
        if number > after and re.search(pattern, line):
            return number
    raise AssertionError(f"no line matches {pattern!r} after {after}")


def last(lines: list[str], pattern: str) -> int:
    return max(number for number, line in enumerate(lines) if re.search(pattern, line))


# 1. Acknowledged means durable.


def test_a_call_returns_only_after_its_batch_was_synced(tmp_path, store):
    (tmp_path / "new.bin").write_bytes(os.urandom(5000))

    done, lines = traced(tmp_path)

    assert done.stdout == "ACKNOWLEDGED m:v1\n"
    written = last(lines, WRITE_OF_LOG)
    synced = first(lines, r"fdatasync\(\d+<[^>]*\.seg>\) += 0", after=written)
    assert first(lines, r"ACKNOWLEDGED", after=synced) > synced


def test_a_batch_costs_one_write_and_one_sync_of_the_log(tmp_path, store):
    (tmp_path / "new.bin").write_bytes(os.urandom(5000))
    log_file(store, b"so that the store has recovered before")

    _, lines = traced(tmp_path)

    assert len([line for line in lines if re.search(WRITE_OF_LOG, line)]) == 1
    syncs = [line for line in lines if re.search(r"f(data)?sync\(\d+<[^>]*\.seg>", line)]
    assert len(syncs) == 1


def test_nothing_is_signed_before_it_is_durable(tmp_path, store):
    (tmp_path / "new.bin").write_bytes(os.urandom(5000))

    _, lines = traced(tmp_path)

    synced = first(lines, r"fdatasync\(\d+<[^>]*\.seg>\) += 0", after=last(lines, WRITE_OF_LOG))
    signed = first(lines, r"pwrite64\(\d+<[^>]*/checkpoint>", after=synced)
    assert first(lines, "ACKNOWLEDGED", after=signed) > signed
    assert not [line for line in lines[:synced] if re.search(r"pwrite64\(\d+<[^>]*/checkpoint>", line)]


def test_an_answer_that_all_is_so_already_is_durable_too(tmp_path, store):
    """What it found may be the batch of a process that died before its sync."""
    log_file(store, b"one")
    script = """
import os, sys, runicorn_es as rn
with rn.open_store(sys.argv[1]) as store:
    store.alias("m", "best")
    os.write(1, b"ACKNOWLEDGED\\n")
    child = os.fork()
    if child == 0:
        store._sync_and_sign = lambda: os._exit(0)
        store.alias("m", "production")
    os.waitpid(child, 0)
    store.alias("m", "production")
    os.write(1, b"ACKNOWLEDGED\\n")
"""

    done, lines = traced(tmp_path, script=script)

    assert done.returncode == 0, done.stderr
    first_answer = first(lines, "ACKNOWLEDGED")
    second_answer = first(lines, "ACKNOWLEDGED", after=first_answer)
    assert first(lines, r"fdatasync\(\d+<[^>]*\.seg>", after=first_answer) < second_answer


# 2. All or nothing.


def test_a_log_cut_at_any_byte_of_a_batch_shows_it_whole_or_not_at_all(tmp_path, store):
    log_file(store, b"one")
    segment = store.layout.segment(0)
    before = segment.stat().st_size
    artifact = rn.Artifact("m", "model", description="second", metadata={"n": 2}).add_tags("t")
    (tmp_path / "two").write_bytes(b"two")
    store.log_artifact(artifact.add_file(tmp_path / "two").add_reference("s3://b/k"), aliases=["production"])
    whole = segment.read_bytes()
    store.close()

    for length in range(before, len(whole)):
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(tmp_path / "store" / "log", copy / "log")
        shutil.copy(tmp_path / "store" / "store.json", copy)
        os.truncate(copy / "log" / segment.name, length)
        with rn.open_store(copy, read_only=True) as cut:
            assert [row.version for row in cut.versions("m")] == [1]
            assert cut.aliases("m") == []


# 3. Blobs first.


def test_the_bytes_and_then_the_name_of_a_blob_are_durable_before_an_event_names_it(tmp_path, store):
    (tmp_path / "new.bin").write_bytes(os.urandom(5000))

    _, lines = traced(tmp_path)

    staged = last(lines, r"write\(\d+<[^>]*/incoming/")
    bytes_synced = first(lines, r"syncfs\(", after=staged)
    named = first(lines, r"rename.*incoming.*pool/[0-9a-f]{2}/[0-9a-f]{64}", after=bytes_synced)
    name_synced = first(lines, r"syncfs\(", after=named)
    assert first(lines, WRITE_OF_LOG, after=name_synced) > name_synced


def test_a_blob_that_is_already_there_is_synced_again_before_it_is_named(tmp_path, store):
    content = os.urandom(5000)
    (tmp_path / "new.bin").write_bytes(content)
    log_file(store, content, name="other")

    _, lines = traced(tmp_path)

    assert not [line for line in lines if re.search(r"rename.*incoming", line)]
    assert first(lines, r"syncfs\(") < first(lines, WRITE_OF_LOG)


# 4. The log is the truth.


@pytest.fixture
def history(store):
    for number in range(6):
        log_file(store, b"%d" % number, name=f"m{number % 2}")
    store.alias("m0:v2", "production")
    store.delete("m1:v3")
    rows = rows_of(store)
    store.close()
    return rows


def stale_rows_of_another_boot(folder: Path) -> None:
    """What a power cut leaves of tables that are never synced: they open fine, and some rows are not there."""
    with lmdb.open(str(folder / "tables"), lib_version=0) as environment, environment.begin(write=True) as rows:
        rows.delete(VERSIONS.key("m0", 2))
    boot = folder / "boot"
    boot.write_text(boot.read_text().replace(str(durable.boot_id()), "another boot"))


@pytest.mark.parametrize(
    "harm",
    [
        shutil.rmtree,
        lambda folder: (folder / "tables" / "data.mdb").unlink(),
        stale_rows_of_another_boot,
        lambda folder: (folder / "boot").unlink(),
        lambda folder: os.truncate(folder / "tables" / "data.mdb", 8192),
        lambda folder: os.truncate(folder / "tables" / "data.mdb", 0),
        lambda folder: [
            file.write_bytes(os.urandom(max(9000, file.stat().st_size))) for file in folder.rglob("*") if file.is_file()
        ],
        lambda folder: (shutil.rmtree(folder / "tables"), (folder / "tables").write_bytes(b"not a folder")),
    ],
    ids=["deleted", "no data", "another boot", "no boot", "cut", "empty", "noise", "a file"],
)
def test_tables_that_are_lost_or_harmed_come_back_row_by_row(store, history, harm):
    harm(store.layout.projections)

    with rn.open_store(store.layout.root) as again:
        assert rows_of(again) == history


def test_tables_that_are_stale_catch_up_to_the_same_rows(tmp_path, store):
    log_file(store, b"one")
    store.close()
    shutil.copytree(store.layout.projections, tmp_path / "stale")
    with rn.open_store(store.layout.root) as other:
        log_file(other, b"two")
        other.alias("m:v1", "production")
        expected = rows_of(other)
    shutil.rmtree(store.layout.projections)
    shutil.copytree(tmp_path / "stale", store.layout.projections)

    with rn.open_store(store.layout.root) as again:
        assert rows_of(again) == expected
        assert again.rebuild() == []


def test_tables_that_contradict_the_log_are_folded_anew_by_the_next_open(store, history):
    with rn.open_store(store.layout.root) as harmed, harmed._tables.writing() as out:
        ARTIFACTS.delete(out, "m0")
        out.put(projections._CURSOR, b"\xc1")

    with rn.open_store(store.layout.root) as again:
        assert rows_of(again) == history


def test_a_cursor_follows_every_batch(store):
    for number in range(3):
        log_file(store, b"%d" % number)
        with store._tables.reading() as rows:
            cursor = projections.cursor(rows)
        assert cursor.offset == store.layout.segment(0).stat().st_size


# 5. Damage is never answered with silence.


def test_a_torn_tail_is_kept_in_quarantine_and_reported_as_an_event(store):
    log_file(store, b"one")
    store.close()
    with store.layout.segment(0).open("ab") as segment:
        segment.write(b"\x51\x00\x00\x00half a record")

    with rn.open_store(store.layout.root) as again:
        log_file(again, b"two")
        kinds = [type(event).__name__ for _, events in again.events() for event in events]

    [kept] = store.layout.log_quarantine.iterdir()
    assert kept.read_bytes() == b"\x51\x00\x00\x00half a record"
    assert kinds.count("RecoveryTruncated") == 1


@pytest.mark.parametrize("tables", ["kept", "lost"])
def test_a_flip_in_the_last_acknowledged_record_is_damage_and_not_a_torn_tail(store, tables):
    log_file(store, b"one")
    store.close()
    segment = store.layout.segment(0)
    content = bytearray(segment.read_bytes())
    content[-3] ^= 1
    segment.write_bytes(content)
    if tables == "lost":
        shutil.rmtree(store.layout.projections)

    with pytest.raises(rn.Damaged, match=r"record|segment"), rn.open_store(store.layout.root) as again:
        again.rebuild()

    assert segment.read_bytes() == content
    assert list(store.layout.log_quarantine.iterdir()) == []


def write_without_sync(store, monkeypatch, *aliases):
    """Append batches whose syncs are under way when the power fails: nobody was told, and no checkpoint knows them."""
    kept = store.layout.checkpoint.read_bytes()
    for alias in aliases:
        with monkeypatch.context() as patched:
            patched.setattr(store, "_sync_and_sign", lambda: None)
            store.alias("m", alias)
    assert store.layout.checkpoint.read_bytes() == kept


def test_of_batches_whose_syncs_were_under_way_a_power_cut_may_take_the_first_and_leave_the_next(
    store, tmp_path, monkeypatch
):
    log_file(store, b"one")
    store.alias("m", "acknowledged")
    segment = store.layout.segment(0)
    begin = segment.stat().st_size
    write_without_sync(store, monkeypatch, "first")
    end = segment.stat().st_size
    write_without_sync(store, monkeypatch, "second", "third")
    store.close()
    with segment.open("r+b") as file:
        file.seek(begin)
        file.write(bytes(end - begin))
    monkeypatch.setattr(durable, "boot_id", lambda: "another boot")

    found = audit(store.layout.root)
    assert [finding.kind for finding in found.findings if finding.is_damage] == []
    assert [(finding.kind, finding.offset) for finding in found.findings] == [("tail", begin)]
    with rn.open_store(store.layout.root) as again:
        assert [row.alias for row in again.aliases("m")] == ["acknowledged"]
        again.alias("m", "after")
        assert again.audit(deep=True, tables=True).is_clean
        [kept] = again.layout.log_quarantine.iterdir()
        assert b"third" in kept.read_bytes()


def test_what_a_later_batch_knew_to_be_durable_is_damage_when_it_is_gone(store, monkeypatch):
    log_file(store, b"one")
    segment = store.layout.segment(0)
    begin = segment.stat().st_size
    store.alias("m", "acknowledged")
    end = segment.stat().st_size
    write_without_sync(store, monkeypatch, "first", "second")
    store.close()
    store.layout.checkpoint.unlink()
    with segment.open("r+b") as file:
        file.seek(begin)
        file.write(bytes(end - begin))
    monkeypatch.setattr(durable, "boot_id", lambda: "another boot")

    assert [finding.kind for finding in audit(store.layout.root).findings if finding.kind == "log"]
    with pytest.raises(rn.Damaged, match="acknowledged"):
        rn.open_store(store.layout.root)


def test_a_flip_before_a_later_batch_is_damage_also_without_a_checkpoint(store):
    log_file(store, b"one")
    end = store.layout.segment(0).stat().st_size
    store.alias("m", "production")
    store.close()
    content = bytearray(store.layout.segment(0).read_bytes())
    content[end - 3] ^= 1
    store.layout.segment(0).write_bytes(content)
    shutil.rmtree(store.layout.projections)
    store.layout.checkpoint.unlink()

    with pytest.raises(rn.Damaged, match="others follow"):
        rn.open_store(store.layout.root)


def test_every_flipped_byte_of_an_earlier_batch_is_found_when_the_log_is_folded(store, tmp_path):
    log_file(store, b"one")
    end = store.layout.segment(0).stat().st_size
    log_file(store, b"two")
    store.close()
    whole = store.layout.segment(0).read_bytes()

    for at in range(end):
        harmed = bytearray(whole)
        harmed[at] ^= 0x10
        store.layout.segment(0).write_bytes(harmed)
        with pytest.raises(rn.Damaged):
            rn.open_store(store.layout.root, read_only=True)


def test_a_record_of_another_history_does_not_fit_in(tmp_path, store):
    """The last batch of a copy, of the same index and sound in itself, behind another batch before it."""
    log_file(store, b"one")
    store.close()
    shutil.copytree(store.layout.root, tmp_path / "copy")
    ends = []
    for root, alias in ((store.layout.root, "here"), (tmp_path / "copy", "them")):
        with rn.open_store(root) as opened:
            opened.alias("m", alias)
            ends.append(opened.layout.segment(0).stat().st_size)
            opened.alias("m", "last")
    assert ends[0] == ends[1]
    segment, other = store.layout.segment(0), tmp_path / "copy" / "log" / store.layout.segment(0).name
    segment.write_bytes(segment.read_bytes()[: ends[0]] + other.read_bytes()[ends[1] :])
    shutil.rmtree(store.layout.projections)

    with pytest.raises(rn.Damaged):
        rn.open_store(store.layout.root)


# 6. One writer at a time, any number of readers.


def test_a_writer_waits_and_names_the_holder_when_it_gives_up(store):
    log_file(store, b"one")
    with store.layout.lock.open("r+") as lock:
        lock.write("process 1 of ada on lab since noon".ljust(200))
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = rn.Store(store.layout.root, lock_wait_s=0.05)

        with pytest.raises(rn.Busy, match="process 1 of ada on lab"):
            waiting.alias("m", "production")

        assert waiting.get("m").aliases == ["latest"]
        waiting.close()


def test_a_writer_waits_while_somebody_has_the_log_to_himself(store):
    log_file(store, b"one")
    with ThreadPoolExecutor(1) as thread:
        with durable.leased(store.layout.log, exclusive=True):
            moved = thread.submit(store.alias, "m", "production")
            with pytest.raises(TimeoutError):
                moved.result(0.05)
        moved.result(60)

    assert store.get("m:production").version == 1


def test_a_read_only_store_answers_and_changes_nothing(store):
    log_file(store, b"one")
    store.close()

    def state() -> dict[str, tuple[int, int]]:
        files = (file for file in store.layout.root.rglob("*") if file.is_file())
        return {str(file): (file.stat().st_mtime_ns, file.stat().st_ctime_ns) for file in files}

    before = state()
    with rn.open_store(store.layout.root, read_only=True) as reader:
        assert content(reader, "m") == b"one"
        assert reader.stats().total.versions == 1
        with pytest.raises(rn.Rejected, match="read-only"):
            reader.alias("m", "production")
    assert state() == before


def test_a_forked_child_reads_and_writes_without_its_parents_handles(store):
    log_file(store, b"one")
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            version = log_file(store, b"from the child")
            os.write(write_end, content(store, "m") + b" as %d" % version)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(write_end)

    with os.fdopen(read_end, "rb") as pipe:
        assert pipe.read() == b"from the child as 2"
    assert log_file(store, b"from the parent") == 3
    assert content(store, "m:v2") == b"from the child"
    assert store.rebuild() == []


def test_a_child_forked_while_its_parent_writes_does_not_keep_the_lock(store):
    log_file(store, b"one")
    wake_read, wake_write = os.pipe()
    with store._writing():
        pid = os.fork()
        if pid == 0:
            os.read(wake_read, 1)
            os._exit(0)
    try:
        with rn.Store(store.layout.root, lock_wait_s=0.5) as other:
            other.alias("m", "production")
    finally:
        os.write(wake_write, b"x")
        os.waitpid(pid, 0)
        os.close(wake_read)
        os.close(wake_write)
    assert store.get("m").aliases == ["latest", "production"]


def test_a_child_does_not_keep_the_lock_of_a_parent_that_died_while_it_wrote(store):
    log_file(store, b"one")
    wake_read, wake_write = os.pipe()
    writer = os.fork()
    if writer == 0:
        with store._writing():
            if os.fork() == 0:
                os.read(wake_read, 1)
            os._exit(0)
    os.waitpid(writer, 0)
    try:
        with rn.Store(store.layout.root, lock_wait_s=0.5) as other:
            other.alias("m", "production")
    finally:
        os.write(wake_write, b"x")
        os.close(wake_read)
        os.close(wake_write)
    assert store.get("m").aliases == ["latest", "production"]


def test_threads_that_read_never_move_the_place_where_a_writer_appends(store):
    log_file(store, b"one")
    is_done = threading.Event()
    failures = []

    def read() -> None:
        while not is_done.is_set():
            try:
                store.get("m")
            except Exception as error:  # noqa: BLE001
                failures.append(error)

    def write(number: int) -> None:
        for turn in range(25):
            store.alias("m", f"a{number}-{turn}")

    readers = [threading.Thread(target=read) for _ in range(3)]
    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join()
    is_done.set()
    for thread in readers:
        thread.join()

    assert failures == []
    assert len(store.aliases("m")) == 100
    assert store.rebuild() == []
    assert store.audit(tables=True).is_clean


# 7. A pool blob never changes.


def test_a_blob_is_read_only_with_a_fixed_time(store):
    log_file(store, b"one")
    [blob] = store.layout.pool.glob("??/*")

    assert blob.stat().st_mode & 0o777 == 0o444
    assert blob.stat().st_mtime_ns == BLOB_MTIME_NS


@pytest.mark.parametrize("how", ["download", "open", "copy"])
def test_a_blob_edited_through_a_link_is_never_handed_out_and_every_version_is_named(store, tmp_path, how):
    log_file(store, b"the true bytes")
    log_file(store, b"the true bytes", name="n")
    link = store.get("m").download(tmp_path / "out") / "model.pth"
    link.chmod(0o644)
    with link.open("r+b") as file:
        file.write(b"THE FALSE BYTE")
    ways = {
        "download": lambda: store.get("m").download(tmp_path / "again"),
        "open": lambda: store.get("m").open("model.pth"),
        "copy": lambda: store.get("m").download(tmp_path / "copied", mode="copy"),
    }

    with pytest.raises(rn.BlobDamaged, match=r"m:v1, n:v1"):
        ways[how]()

    [kept] = store.layout.pool_quarantine.iterdir()
    assert kept.read_bytes() == b"THE FALSE BYTE"
    log_file(store, b"the true bytes")
    assert content(store, "n") == b"the true bytes"


def test_logging_the_same_bytes_again_heals_a_damaged_blob(store):
    log_file(store, b"the true bytes")
    [blob] = store.layout.pool.glob("??/*")
    blob.chmod(0o644)
    blob.write_bytes(b"THE FALSE BYTE")

    log_file(store, b"the true bytes", name="n")

    assert content(store, "m") == b"the true bytes"
    assert store.audit(deep=True).is_clean


# 8. Version numbers are allotted under the lock, and never given again.


def test_a_deleted_number_is_never_given_again(store):
    assert [log_file(store, b"%d" % number) for number in range(3)] == [1, 2, 3]
    store.delete("m:v3")
    store.delete("m:v2")

    assert log_file(store, b"next") == 4


def test_a_writer_opened_earlier_goes_on_after_what_others_wrote(store):
    log_file(store, b"one")
    with rn.Store(store.layout.root) as other:
        assert log_file(other, b"two") == 2
        assert log_file(store, b"three") == 3
        assert log_file(other, b"four") == 4
        store.alias("m:v1", "a")
        other.alias("m:v2", "b")
        store.alias("m:v3", "c")
        assert [row.alias for row in other.aliases("m")] == ["a", "b", "c"]
        assert [row.version for row in store.versions("m")] == [1, 2, 3, 4]
        # Nothing is asked in between, which would look behind what is known.
        other.unalias("m:b")
        store.alias("m:v1", "d")
    with rn.Store(store.layout.root) as third:
        assert [row.alias for row in third.aliases("m")] == ["a", "c", "d"]


# 10. A failed write or sync is final.


@pytest.mark.parametrize("call", ["fdatasync", "syncfs"])
def test_a_failed_sync_is_neither_retried_nor_acknowledged(tmp_path, store, call):
    log_file(store, b"one")
    (tmp_path / "new.bin").write_bytes(os.urandom(100))
    script = """
import sys, runicorn_es as rn
store = rn.open_store(sys.argv[1])
for attempt in range(3):
    try:
        store.log_artifact(rn.Artifact("m", "model").add_file(sys.argv[2]))
        print("ACKNOWLEDGED")
    except OSError as error:
        print(type(error).__name__, error.errno)
print(store.get("m").full_name)
"""

    done, lines = traced(tmp_path, "-e", f"inject={call}:error=EIO:when=1", script=script)

    assert done.stdout.splitlines() == [
        f"OSError {errno.EIO}" if call == "fdatasync" else f"WriteFailed {errno.EIO}",
        "WriteFailed None",
        "WriteFailed None",
        "m:v2" if call == "fdatasync" else "m:v1",
    ]
    assert len([line for line in lines if re.search(rf"{call}\(.*INJECTED", line)]) == 1
    assert not [line for line in lines[last(lines, "INJECTED") + 1 :] if re.search(r"f(data)?sync|syncfs", line)]


def test_after_a_failed_write_the_store_opens_anew_and_goes_on(tmp_path, store):
    log_file(store, b"one")
    (tmp_path / "new.bin").write_bytes(os.urandom(100))
    traced(tmp_path, "-e", "inject=fdatasync:error=EIO:when=2")

    with rn.open_store(store.layout.root) as again:
        assert log_file(again, b"after") in {2, 3}
        assert again.rebuild() == []


def test_two_histories_are_never_signed(tmp_path, store):
    log_file(store, b"one")
    store.close()
    shutil.copytree(store.layout.root, tmp_path / "copy")
    with rn.open_store(store.layout.root) as here, rn.open_store(tmp_path / "copy") as there:
        here.alias("m", "here")
        there.alias("m", "there")
    shutil.copy(tmp_path / "copy" / "checkpoint", store.layout.checkpoint)

    with rn.open_store(store.layout.root) as mixed, pytest.raises(rn.Damaged, match="two copies"):
        mixed.alias("m", "again")


def test_a_writer_that_died_before_its_checkpoint_is_no_damage(tmp_path, store):
    log_file(store, b"one")
    shutil.copy(store.layout.checkpoint, tmp_path / "older")
    log_file(store, b"two")
    store.close()
    shutil.copy(tmp_path / "older", store.layout.checkpoint)

    with rn.open_store(store.layout.root) as again:
        assert log_file(again, b"three") == 3
        assert again.audit().is_clean


@pytest.mark.parametrize("kind", ["page", "details", "version"])
@pytest.mark.parametrize("fill", [bytes, blank_payload], ids=["zeros", "blank"])
def test_a_record_that_was_overwritten_without_a_purge_is_damage(store, tmp_path, kind, fill):
    (tmp_path / "f").write_bytes(b"one")
    store.log_artifact(rn.Artifact("m", "model", metadata={"n": 1}).add_file(tmp_path / "f"))
    store.alias("m", "production")
    records = [record for record, _ in store.events()]
    number = {"page": 1, "version": 2, "details": 3}[kind]
    overwritten = records[number]
    store.close()
    with store.layout.segment(0).open("r+b") as segment:
        segment.seek(overwritten.offset + overwritten.size_bytes - len(overwritten.payload))
        segment.write(fill(len(overwritten.payload)))

    def everything() -> None:
        with rn.open_store(store.layout.root) as again:
            version = again.get("m")
            version.get_metadata()
            list(version.get_manifest().files)
            again.rebuild()

    with pytest.raises(rn.Damaged, match="record"):
        everything()
    shutil.rmtree(store.layout.projections)
    with pytest.raises(rn.Damaged, match="record"):
        everything()
    assert not audit(store.layout.root).is_clean
