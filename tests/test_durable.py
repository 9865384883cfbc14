"""Files that are the old or the new one, and locks that die with their holder."""

from contextlib import ExitStack
import errno
import fcntl
import os
from pathlib import Path
import stat
import subprocess
import sys
from threading import Event, Thread

import pytest

from runicorn_es import bell, durable
from runicorn_es.errors import Busy

HOLD = """
import sys
from pathlib import Path
from runicorn_es import durable
path = Path(sys.argv[1])
held = durable.leased(path, exclusive=True) if path.is_dir() else durable.locked(path, wait_s=0, holder="holder 4711")
with held:
    print("held", flush=True)
    sys.stdin.read()
"""
FORK_WHILE_HOLDING = """
import os, sys
from pathlib import Path
from runicorn_es import durable
with durable.locked(Path(sys.argv[1]), wait_s=0, holder="the parent"):
    if os.fork() == 0:
        sys.stdin.read()
        os._exit(0)
print("released", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def elsewhere():
    """Start a program, which says a word when it is so far, and is killed at the end."""
    with ExitStack() as stack:

        def start(program: str, path: Path, word: str = "held") -> subprocess.Popen:
            command = [sys.executable, "-c", program, path]
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            assert process.stdout.readline() == f"{word}\n"
            return process

        yield start


def take(path: Path, *, wait_s: float = 0) -> None:
    """Hold a lock for a moment."""
    with durable.locked(path, wait_s=wait_s, holder="somebody else"):
        pass


def lease(folder: Path, *, exclusive: bool = False) -> None:
    """Hold a lease for a moment."""
    with durable.leased(folder, exclusive=exclusive):
        pass


def can_take(path: Path, *, wait_s: float = 0) -> bool:
    """Try to hold a lock for a moment, or an exclusive lease if this is a folder."""
    try:
        if path.is_dir():
            lease(path, exclusive=True)
        else:
            take(path, wait_s=wait_s)
    except Busy:
        return False
    return True


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Files.


def overwrite(path: Path, content: bytes) -> None:
    durable.update_file(path, lambda _: content, wait_s=0)


@pytest.mark.parametrize("write", [durable.write_file, durable.put_file, overwrite])
def test_a_file_is_made_and_replaced_and_nothing_else_stays(tmp_path, write):
    write(tmp_path / "file", b"old and longer")
    write(tmp_path / "file", b"new")

    assert (tmp_path / "file").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_update_is_given_what_is_there_and_may_leave_it(tmp_path):
    path = tmp_path / "file"
    assert durable.read_small_file(path) == b""
    durable.update_file(path, lambda present: present + b"one", wait_s=0)
    durable.update_file(path, lambda present: present + b", two", wait_s=0)
    durable.update_file(path, lambda _: None, wait_s=0)

    assert durable.read_small_file(path) == b"one, two"


def test_of_two_who_update_a_file_the_second_sees_what_the_first_wrote(tmp_path):
    path = tmp_path / "file"
    with durable.locked(path, wait_s=0, holder="somebody"), pytest.raises(Busy):
        durable.update_file(path, lambda _: b"lost", wait_s=0)


def test_a_file_is_given_room_beyond_its_end_without_growing(tmp_path):
    with (tmp_path / "file").open("w+b") as opened:
        opened.write(b"content")
        opened.flush()
        assert not durable.has_room(opened.fileno(), 100_000)
        durable.make_room(opened.fileno(), 100_000)

        assert durable.has_room(opened.fileno(), 100_000)
        assert os.fstat(opened.fileno()).st_size == 7


def test_who_has_the_old_file_open_goes_on_reading_it(tmp_path):
    durable.write_file(tmp_path / "file", b"old")
    with (tmp_path / "file").open("rb") as opened:
        durable.write_file(tmp_path / "file", b"new")

        assert opened.read() == b"old"


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_write_that_fails_leaves_the_old_file_and_no_trace(tmp_path, monkeypatch, call):
    durable.write_file(tmp_path / "file", b"old")
    before = open_descriptors()

    def fail(*arguments):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="no space left"):
        durable.write_file(tmp_path / "file", b"new")

    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert open_descriptors() == before


@pytest.mark.parametrize("call", ["fsync", "the block"])
def test_a_file_that_is_written_in_a_block_takes_its_place_at_the_end_or_not_at_all(tmp_path, monkeypatch, call):
    durable.write_file(tmp_path / "file", b"old")
    with durable.replacing(tmp_path / "file") as opened:
        opened.write(b"new")
        assert (tmp_path / "file").read_bytes() == b"old"
    assert (tmp_path / "file").read_bytes() == b"new"
    before = open_descriptors()

    def fail(*arguments):
        raise OSError(errno.ENOSPC, "no space left")

    def write(within):
        with durable.replacing(tmp_path / "file") as opened:
            opened.write(b"newer")
            within()

    if call == "fsync":
        monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="no space left"):
        write(fail if call == "the block" else lambda: None)

    assert (tmp_path / "file").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert open_descriptors() == before


def test_all_is_written_however_little_the_kernel_takes_at_once(tmp_path, monkeypatch):
    whole = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: whole(descriptor, content[:3]))

    durable.write_file(tmp_path / "file", b"ten bytes!")

    assert (tmp_path / "file").read_bytes() == b"ten bytes!"


def test_a_private_file_is_its_owners_alone(tmp_path):
    durable.write_file(tmp_path / "seed", b"secret", mode=0o600)
    durable.make_folder(tmp_path / "keys", mode=0o700)

    assert mode_of(tmp_path / "seed") == 0o600
    assert mode_of(tmp_path / "keys") == 0o700


@pytest.mark.parametrize(("umask", "mode"), [(0o027, 0o640), (0o000, 0o666), (0o077, 0o600)])
def test_other_files_honour_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        durable.write_file(tmp_path / "file", b"")
        overwrite(tmp_path / "other", b"")
        take(tmp_path / "lock")
    finally:
        os.umask(before)

    assert [mode_of(tmp_path / name) for name in ("file", "other", "lock")] == [mode] * 3


def test_a_folder_is_made_with_its_parents_and_may_be_there(tmp_path):
    durable.make_folder(tmp_path / "a" / "b" / "c")
    durable.make_folder(tmp_path / "a" / "b" / "c")

    assert (tmp_path / "a" / "b" / "c").is_dir()


@pytest.fixture
def synced(monkeypatch):
    """The paths that were synced, in order."""
    paths: list[str] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        paths.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return paths


def test_each_folder_is_synced_in_its_parent_also_when_it_is_there(tmp_path, synced):
    (tmp_path / "a").mkdir()

    durable.make_folder(tmp_path / "a")
    durable.make_folder(tmp_path / "b" / "c")

    assert synced == [str(tmp_path), str(tmp_path), str(tmp_path / "b")]


def test_a_file_is_synced_before_it_has_its_name_and_then_its_name(tmp_path, synced):
    durable.write_file(tmp_path / "file", b"content")

    scratch, folder = synced
    assert Path(scratch).name.endswith(".tmp")
    assert folder == str(tmp_path)


@pytest.mark.parametrize("sync", [durable.sync_folder, durable.sync_filesystem])
def test_a_sync_of_what_is_not_there_fails(tmp_path, sync):
    sync(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "missing")


# Locks.


def test_a_lock_that_another_process_holds_is_busy_and_names_its_holder(tmp_path, elsewhere):
    elsewhere(HOLD, tmp_path / "lock")

    with pytest.raises(Busy, match=r"lock is held by holder 4711; waited 0\.01 s, nothing was changed"):
        take(tmp_path / "lock", wait_s=0.01)


def test_a_lock_dies_with_the_process_that_holds_it(tmp_path, elsewhere):
    process = elsewhere(HOLD, tmp_path / "lock")
    process.kill()
    process.wait()

    assert can_take(tmp_path / "lock")


def test_a_forked_child_does_not_keep_its_parents_lock(tmp_path, elsewhere):
    elsewhere(FORK_WHILE_HOLDING, tmp_path / "lock", "released")

    assert can_take(tmp_path / "lock", wait_s=30)


def test_threads_of_one_process_exclude_each_other(tmp_path):
    with durable.locked(tmp_path / "lock", wait_s=0, holder="the first"), pytest.raises(Busy, match="by the first;"):
        take(tmp_path / "lock")


@pytest.mark.parametrize("can_be_woken", [True, False])
def test_who_waits_gets_the_lock_when_it_is_released(tmp_path, monkeypatch, can_be_woken):
    if not can_be_woken:
        monkeypatch.setattr(bell, "_FUTEX", None)
    is_held, order = Event(), []

    def second():
        is_held.wait()
        take(tmp_path / "lock", wait_s=30)
        order.append("second")

    thread = Thread(target=second)
    thread.start()
    with durable.locked(tmp_path / "lock", wait_s=0, holder="the first"):
        is_held.set()
        thread.join(0.02)
        order.append("first")
    thread.join()

    assert order == ["first", "second"]


def test_many_threads_never_hold_a_lock_at_once(tmp_path):
    holders, counts = [], []

    def work():
        for _ in range(20):
            with durable.locked(tmp_path / "lock", wait_s=30, holder="a thread"):
                holders.append(1)
                counts.append(len(holders))
                holders.pop()

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counts == [1] * 80


def test_who_waits_is_woken_by_the_release_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(durable, "_LOOK_AGAIN_S", 3600)
    counts = []

    def work():
        for _ in range(50):
            with durable.locked(tmp_path / "lock", wait_s=3600, holder="a thread"):
                counts.append(1)

    threads = [Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(counts) == 200


def test_who_waits_for_one_that_dies_gets_the_lock_without_being_woken(tmp_path, elsewhere):
    process = elsewhere(HOLD, tmp_path / "lock")
    thread = Thread(target=take, args=(tmp_path / "lock",), kwargs={"wait_s": 3600}, daemon=True)
    thread.start()
    process.kill()
    process.wait()

    thread.join(60)
    assert not thread.is_alive()


def test_a_lock_is_released_by_an_exception(tmp_path):
    before = open_descriptors()
    with pytest.raises(KeyError), durable.locked(tmp_path / "lock", wait_s=0, holder="me"):
        raise KeyError

    take(tmp_path / "lock")
    assert open_descriptors() == before


def test_waiting_in_vain_keeps_nothing_open(tmp_path):
    with durable.locked(tmp_path / "lock", wait_s=0, holder="me"):
        before = open_descriptors()
        with pytest.raises(Busy):
            take(tmp_path / "lock")
        assert open_descriptors() == before


@pytest.mark.parametrize(
    ("holder", "named"), [("short", "short;"), ("模" * 300, "模" * 60), ("", "an unknown process;")], ids=range(3)
)
def test_a_holder_is_named_as_it_is_now_however_long(tmp_path, holder, named):
    with durable.locked(tmp_path / "lock", wait_s=0, holder="a longer name that was there before"):
        pass
    with durable.locked(tmp_path / "lock", wait_s=0, holder=holder), pytest.raises(Busy, match=f"is held by {named}"):
        take(tmp_path / "lock")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch, number):
    def refuse(descriptor, kind):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="no flock; put the store on a local disk") as raised:
        take(tmp_path / "lock")
    assert raised.value.errno == number


def test_another_failure_to_lock_passes_through(tmp_path, monkeypatch):
    def fail(descriptor, kind):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output error"):
        take(tmp_path / "lock")


# Leases.


def test_a_lease_is_shared_by_any_number_but_not_with_an_exclusive_one(tmp_path):
    with durable.leased(tmp_path):
        lease(tmp_path)
        with pytest.raises(Busy, match="in use by another process"):
            lease(tmp_path, exclusive=True)


def test_an_exclusive_lease_is_alone(tmp_path):
    with durable.leased(tmp_path, exclusive=True):
        with pytest.raises(Busy):
            lease(tmp_path)
        with pytest.raises(Busy):
            lease(tmp_path, exclusive=True)


def test_who_waits_gets_the_lease_when_it_is_released(tmp_path):
    is_leased, order = Event(), []

    def second():
        is_leased.wait()
        with durable.leased(tmp_path, exclusive=True, wait_s=30):
            order.append("second")

    thread = Thread(target=second)
    thread.start()
    with durable.leased(tmp_path):
        is_leased.set()
        thread.join(0.02)
        order.append("first")
    thread.join()

    assert order == ["first", "second"]


def test_a_lease_dies_with_the_process_that_holds_it(tmp_path, elsewhere):
    process = elsewhere(HOLD, tmp_path)
    with pytest.raises(Busy):
        lease(tmp_path)
    process.kill()
    process.wait()

    assert can_take(tmp_path)


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_lease_is_over_though_a_program_being_started_still_has_a_copy_of_it(tmp_path, exclusive):
    with durable.leased(tmp_path, exclusive=exclusive), ExitStack() as copies:
        # What a child has between its fork and its exec.
        copies.callback(os.close, os.dup(_descriptor_of(tmp_path)))
        still_open = copies.pop_all()
    with still_open:
        assert can_take(tmp_path)


def _descriptor_of(path: Path) -> int:
    links = Path("/proc/self/fd").iterdir()
    return next(int(link.name) for link in links if link.is_symlink() and link.readlink() == path)


def test_the_boot_is_named_the_same_all_the_while():
    assert durable.boot_id()
    assert durable.boot_id() == durable.boot_id()
