"""The faults happen where and how they say, are counted right, and a fault that did not happen is never a pass."""
# ruff: noqa: PTH101, PTH102, PTH104, PTH106, PTH108, PTH116
# Each call of the C library that is tested is made here by the function that makes this one, and not by a Path.

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
import ctypes
import errno
import os
from pathlib import Path
import signal
import stat
import sys
import time

import lmdb
import pytest

from crash.faults import KILLED, NotReached, Outcome, Server, Shim, build, folder_in_memory, run_program, run_server

FIRST, SECOND = b"first\n", b"second record\n"
OLD_HEAD, NEW_HEAD = b"0", b"2024"
MODE = 0o466  # no umask lets others write

# What AppendLog.operate does, call by call, and what it acknowledges after how many of them.
POINTS = ("write", "fdatasync", "open", "writev", "fsync", "rename", "fsync")
APPEND, SYNC, CREATE, WRITE_HEAD, SYNC_HEAD, RENAME, SYNC_FOLDER = range(1, 8)
ACKNOWLEDGED = {SYNC: "synced", SYNC_FOLDER: "replaced"}

ERRORS = {"eio": errno.EIO, "enospc": errno.ENOSPC, "edquot": errno.EDQUOT, "eintr": errno.EINTR}


class AppendLog:
    """A log in one file, and its head in another, replaced by a rename."""

    def prepare(self, root: Path) -> None:
        (root / "log").write_bytes(FIRST)
        (root / "head").write_bytes(OLD_HEAD)
        (root / "head").chmod(MODE)
        os.link(root / "log", root / "log too")

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        # Not under the root: it is neither counted nor hit.
        (root.parent.parent / "outside").write_bytes(SECOND)
        log = os.open(root / "log", os.O_WRONLY | os.O_APPEND)
        os.write(log, SECOND)
        os.fdatasync(log)
        acknowledge("synced")
        head = os.open(root / "scratch", os.O_WRONLY | os.O_CREAT)
        os.writev(head, [b"20", b"", b"24"])
        os.fsync(head)
        os.rename(root / "scratch", root / "head")
        os.fsync(os.open(root, os.O_RDONLY))
        acknowledge("replaced")


class EveryCall:
    """All calls that are watched, with files named in all ways there are, among calls that are not watched."""

    EXPECTED = (
        *("mkdir", "mkdirat", "open", "openat", "open", "open"),
        *("write", "pwrite", "writev", "pwritev2", "pwritev", "copy_file_range", "sendfile"),
        *("ftruncate", "fallocate", "fsync", "fdatasync", "sync_file_range", "syncfs"),
        *("fchmod", "chmod", "fchmodat", "futimens", "utimensat", "utimensat"),
        *("link", "linkat", "rename", "renameat", "renameat2", "rename", "renameat", "unlink", "unlinkat", "rmdir"),
    )

    def prepare(self, root: Path) -> None:
        (root / "present").write_bytes(b"0123456789")
        (root / "by another name").symlink_to(".")

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        os.chdir(root)
        folder = os.open(root.parent, os.O_RDONLY)
        here = os.open(".", os.O_RDONLY)
        os.mkdir("made")
        os.mkdir(f"{root.name}/made too/", dir_fd=folder)
        file = os.open("by another name/made/one", os.O_RDWR | os.O_CREAT, 0o640)
        acknowledge(oct(os.stat(file).st_mode & 0o777))
        two = os.open("made/two", os.O_RDWR | os.O_CREAT, dir_fd=here)
        os.close(os.open(root / "made/two", os.O_RDWR | os.O_TRUNC))
        os.close(library["__open_2"](b"made/two", os.O_RDWR | os.O_TRUNC))

        # Not watched, as they change nothing, or nothing here.
        present = os.open("present", os.O_RDWR)
        os.read(present, 3)
        os.mkdir("../../elsewhere")
        os.rename("made/../../../elsewhere", f"{root.parent.parent}/elsewhere too")
        os.rmdir(f"{root}/../../elsewhere too")
        reading, writing = os.pipe()
        os.write(writing, b"1")
        os.close(reading)

        os.write(file, b"a")
        os.pwrite(file, b"b", 1)
        os.writev(file, [b"c", b"d"])
        os.pwritev(file, [b"e"], 3)
        assert library.pwritev(file, None, 0, ctypes.c_long(0)) == 0
        os.copy_file_range(present, two, 2)
        os.sendfile(two, present, 0, 2)
        os.ftruncate(file, 4)
        assert library.fallocate(file, 0, ctypes.c_long(0), ctypes.c_long(8)) == 0
        os.fsync(file)
        os.fdatasync(file)
        assert library.sync_file_range(file, ctypes.c_long(0), ctypes.c_long(0), 2) == 0
        assert library.syncfs(file) == 0
        os.fchmod(file, 0o600)
        os.chmod("present", 0o600)
        os.chmod("present", 0o644, dir_fd=here)
        os.utime(file)
        os.utime(root / "present")
        os.utime("present", dir_fd=here)
        os.link("present", "linked")
        os.link("present", "linked too", src_dir_fd=here, dst_dir_fd=here)
        os.rename("linked", "renamed")
        os.rename("renamed", "linked", src_dir_fd=here, dst_dir_fd=here)
        assert library.renameat2(here, b"linked", here, b"made too/linked", 1) == 0
        os.rename("linked too", root.parent.parent / "moved out")
        os.rename("made/two", "../../moved out too", src_dir_fd=here, dst_dir_fd=here)
        os.unlink("made too/linked")
        os.unlink("present", dir_fd=here)
        os.rmdir(f"{root}/made too/")


class Misbehaving:
    """An operation that does as the file "behaviour" in its folder says."""

    def prepare(self, root: Path) -> None:
        import colorsys  # noqa: F401

        (root / "behaviour").write_text("raise")

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        behaviour = (root / "behaviour").read_text()
        acknowledge(behaviour)
        if behaviour == "raise":
            raise ValueError("too early")
        if behaviour == "hang":
            time.sleep(60)
        if behaviour == "look for what prepare() imported":
            acknowledge(str("colorsys" in sys.modules))
            (root / "made").mkdir()
        if behaviour == "work elsewhere":
            (root.parent / "prepared/behaviour").write_text("raise")
        if behaviour.startswith("leave"):
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                if behaviour == "leave a stranger":
                    os.setsid()
                os.write(writing, b"1")
                time.sleep(60)
                os._exit(0)
            os.read(reading, 1)
            acknowledge(str(child))
            (root / "made").mkdir()
        if behaviour == "let a child work":
            child = os.fork()
            if child == 0:
                (root / "made").mkdir()
            os.waitpid(child, 0)


class Tables:
    """A commit of LMDB, which is written in C."""

    def prepare(self, root: Path) -> None:
        with lmdb.open(str(root / "tables")) as tables, tables.begin(write=True) as transaction:
            transaction.put(b"first", FIRST)

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        with lmdb.open(str(root / "tables")) as tables:
            with tables.begin(write=True) as transaction:
                transaction.put(b"second", SECOND)
            acknowledge("committed")


class Unprepared(AppendLog):
    """A scenario that cannot begin."""

    def prepare(self, root: Path) -> None:
        raise ValueError(f"no store in {root} today")


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def server(shim: Path) -> Iterator[Server]:
    with folder_in_memory() as folder, run_server(shim, "crash.test_faults:AppendLog", folder / "root") as running:
        yield running


@pytest.fixture(scope="module")
def misbehaving(shim: Path) -> Iterator[Server]:
    with folder_in_memory() as root, run_server(shim, "crash.test_faults:Misbehaving", root) as running:
        yield running


def behaviour(folder: Path, text: str) -> Path:
    (folder / "origin").mkdir()
    (folder / "origin/behaviour").write_text(text)
    return folder / "origin"


def state_after(points: int) -> tuple[bytes, bytes, bytes | None]:
    """Return the log, the head and the scratch file when so many of the calls are done, and no other."""
    scratch = None if points < CREATE or points >= RENAME else b"" if points == CREATE else NEW_HEAD
    return (
        FIRST + SECOND if points >= APPEND else FIRST,
        NEW_HEAD if points >= RENAME else OLD_HEAD,
        scratch,
    )


def state_in(outcome: Outcome) -> tuple[bytes, bytes, bytes | None]:
    scratch = outcome.folder / "scratch"
    return (
        (outcome.folder / "log").read_bytes(),
        (outcome.folder / "head").read_bytes(),
        scratch.read_bytes() if scratch.exists() else None,
    )


def acknowledged_after(points: int) -> tuple[str, ...]:
    return tuple(text for point, text in ACKNOWLEDGED.items() if point <= points)


def test_a_rehearsal_counts_every_call_under_the_root_and_no_other(server: Server) -> None:
    outcome = server.rehearse()
    assert outcome.names == POINTS
    assert (outcome.count, outcome.status, outcome.name) == (len(POINTS), 0, None)
    assert state_in(outcome) == state_after(len(POINTS))
    assert outcome.acknowledged == acknowledged_after(len(POINTS))
    assert (outcome.folder.parent.parent / "outside").read_bytes() == SECOND


def test_a_plan_has_torn_and_short_only_where_bytes_are_written(server: Server) -> None:
    assert server.plan("kill") == [("kill", nth) for nth in range(1, len(POINTS) + 1)]
    assert server.plan("torn:1", "short") == [(mode, nth) for mode in ("torn:1", "short") for nth in (1, 4)]


@pytest.mark.parametrize(("mode", "done"), [("kill", 0), ("killafter", 1)])
def test_a_kill_comes_before_the_call_or_after_it(server: Server, mode: str, done: int) -> None:
    for _, nth in server.plan(mode):
        with server.case(mode, nth) as outcome:
            assert (outcome.status, outcome.count, outcome.name) == (KILLED, nth, POINTS[nth - 1])
            assert state_in(outcome) == state_after(nth - 1 + done)
            assert outcome.acknowledged == acknowledged_after(nth - 1)
            assert outcome.raised is None


@pytest.mark.parametrize(
    ("mode", "record", "head"),
    [
        ("torn:0", b"", b""),
        ("torn:3", SECOND[:3], NEW_HEAD[:3]),
        ("torn:1000", SECOND, NEW_HEAD),
        ("torn-half", SECOND[:7], NEW_HEAD[:2]),
        ("torn-allbut1", SECOND[:-1], NEW_HEAD[:-1]),
    ],
)
def test_a_torn_call_writes_its_first_bytes_and_dies(server: Server, mode: str, record: bytes, head: bytes) -> None:
    with server.case(mode, APPEND) as outcome:
        assert outcome.status == KILLED
        assert state_in(outcome) == (FIRST + record, OLD_HEAD, None)
    with server.case(mode, WRITE_HEAD) as outcome:
        assert outcome.status == KILLED
        assert state_in(outcome) == (FIRST + SECOND, OLD_HEAD, head)
        assert outcome.acknowledged == ("synced",)
    with server.case(mode, RENAME) as outcome:
        assert outcome.status == KILLED
        assert state_in(outcome) == state_after(RENAME - 1)


def test_a_short_call_writes_half_and_all_goes_on(server: Server) -> None:
    with server.case("short", APPEND) as outcome:
        assert (outcome.status, outcome.name, outcome.count) == (0, "write", len(POINTS))
        assert state_in(outcome) == (FIRST + SECOND[:7], NEW_HEAD, None)
    with server.case("short", WRITE_HEAD) as outcome:
        assert state_in(outcome) == (FIRST + SECOND, NEW_HEAD[:2], None)
    with pytest.raises(NotReached):
        server.run("short", RENAME)


@pytest.mark.parametrize("mode", ERRORS)
def test_an_error_is_raised_by_a_call_that_is_not_done(server: Server, mode: str) -> None:
    for _, nth in server.plan(mode):
        with server.case(mode, nth) as outcome:
            assert outcome.name == POINTS[nth - 1]
            if mode == "eintr" and outcome.name != "rename":
                # Python tries it again by itself, and finds that it fails only once.
                assert (outcome.status, outcome.count) == (0, len(POINTS) + 1)
                assert state_in(outcome) == state_after(len(POINTS))
            else:
                assert (outcome.status, outcome.count) == (1, nth)
                assert f"[Errno {ERRORS[mode]}]" in str(outcome.raised)
                assert "in operate" in str(outcome.traceback)
                assert state_in(outcome) == state_after(nth - 1)
                assert outcome.acknowledged == acknowledged_after(nth - 1)


def test_an_outcome_says_which_file_was_hit(server: Server) -> None:
    paths = []
    for mode, nth in server.plan("kill"):
        with server.case(mode, nth) as outcome:
            paths.append(str(outcome.path))
    assert paths == ["log", "log", "scratch", "scratch", "scratch", "head", "."]


def test_a_point_beyond_the_end_is_no_pass(server: Server) -> None:
    # The case before had its fault, and that must not count for this one.
    server.run("kill", len(POINTS))
    with pytest.raises(NotReached, match=f"made {len(POINTS)} calls and ended with status 0"):
        server.run("kill", len(POINTS) + 1)


@pytest.mark.parametrize(("mode", "nth"), [("kil", 1), ("count", 1), ("torn", 1), ("torn:", 1), ("kill", 0)])
def test_a_mode_or_point_that_cannot_be_is_refused(server: Server, mode: str, nth: int) -> None:
    with pytest.raises(ValueError, match="no call can have the fault"):
        server.run(mode, nth)


def test_each_case_works_on_files_of_its_own(server: Server) -> None:
    one, two = server.run("killafter", APPEND), server.run("kill", APPEND)
    folders = (server.prepared, one.folder, two.folder)
    assert len({(folder / "log").stat().st_ino for folder in folders}) == 3
    assert [(folder / "log").read_bytes() for folder in folders] == [FIRST, FIRST + SECOND, FIRST]
    # The links that the store has within itself are part of it, and so are modes and times.
    assert one.folder.joinpath("log too").samefile(one.folder / "log")
    assert stat.S_IMODE((two.folder / "head").stat().st_mode) == MODE
    assert (two.folder / "head").stat().st_mtime_ns == (server.prepared / "head").stat().st_mtime_ns


def test_a_case_may_start_from_where_another_died(server: Server) -> None:
    died = server.run("torn:3", APPEND)
    with server.case("torn:1", APPEND, origin=died.folder) as again:
        assert state_in(again) == (FIRST + SECOND[:3] + SECOND[:1], OLD_HEAD, None)
    assert state_in(died) == (FIRST + SECOND[:3], OLD_HEAD, None)


def test_the_folder_goes_with_the_block_and_stays_for_a_failure(server: Server) -> None:
    with server.case("kill", SYNC) as passed:
        assert passed.folder.is_dir()
    assert not passed.folder.exists()
    with pytest.raises(AssertionError), server.case("kill", SYNC) as failed:
        assert state_in(failed) == state_after(SYNC_FOLDER)
    assert failed.folder.is_dir()


def test_every_watched_call_is_counted_however_the_file_is_named(shim: Path) -> None:
    with folder_in_memory() as folder:
        (folder / "root").mkdir()
        (folder / "alias").symlink_to("root")
        with run_server(shim, "crash.test_faults:EveryCall", folder / "alias") as server:
            outcome = server.rehearse()
            assert outcome.names == EveryCall.EXPECTED
            assert outcome.acknowledged == ("0o640",)
            for mode, nth in server.plan("kill"):
                with server.case(mode, nth) as case:
                    assert (case.name, case.count) == (EveryCall.EXPECTED[nth - 1], nth)


def test_what_lmdb_writes_is_seen_and_its_commit_survives(shim: Path) -> None:
    with folder_in_memory() as root, run_server(shim, "crash.test_faults:Tables", root) as server:
        assert {"pwrite", "fdatasync"} <= set(server.rehearse().names)
        commits = set()
        for mode, nth in server.plan("kill", "torn-half"):
            with (
                server.case(mode, nth) as outcome,
                lmdb.open(str(outcome.folder / "tables")) as tables,
                tables.begin() as transaction,
            ):
                assert transaction.get(b"first") == FIRST
                kept = transaction.get(b"second") == SECOND
                assert kept or not outcome.acknowledged
                commits.add(kept)
        assert False in commits


def test_an_operation_that_fails_by_itself_is_no_rehearsal_and_no_pass(misbehaving: Server) -> None:
    with pytest.raises(RuntimeError, match="too early"):
        misbehaving.rehearse()
    with pytest.raises(NotReached, match="too early"):
        misbehaving.run("kill", 1)


def test_what_is_imported_late_is_imported_once(misbehaving: Server, tmp_path: Path) -> None:
    outcome = misbehaving.run("kill", 1, origin=behaviour(tmp_path, "look for what prepare() imported"))
    assert outcome.acknowledged[1] == "True"


def test_an_operation_that_hangs_is_ended(misbehaving: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(misbehaving, "timeout_s", 0.1)
    with pytest.raises(TimeoutError, match="still running"):
        misbehaving.run("kill", 1, origin=behaviour(tmp_path, "hang"))


def test_an_operation_that_leaves_its_folder_is_found_out(misbehaving: Server, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="was to work in"):
        misbehaving.run("kill", 1, origin=behaviour(tmp_path, "work elsewhere"))


def test_what_a_killed_operation_has_forked_dies_with_it(misbehaving: Server, tmp_path: Path) -> None:
    outcome = misbehaving.run("kill", 1, origin=behaviour(tmp_path, "leave a child"))
    state = Path("/proc", outcome.acknowledged[1], "stat")
    deadline = time.monotonic() + 5
    # Whoever inherits it may take a while to bury it.
    while state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_what_outlives_a_killed_operation_is_not_waited_for(misbehaving: Server, tmp_path: Path) -> None:
    outcome = misbehaving.run("kill", 1, origin=behaviour(tmp_path, "leave a stranger"))
    # Raises if it is no more.
    os.kill(int(outcome.acknowledged[1]), signal.SIGKILL)


def test_a_kill_that_hits_only_a_child_of_the_operation_is_no_pass(misbehaving: Server, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="killed a child"):
        misbehaving.run("kill", 1, origin=behaviour(tmp_path, "let a child work"))


def test_a_scenario_that_cannot_begin_is_an_error(shim: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="no store in"),
        run_server(shim, "crash.test_faults:Unprepared", tmp_path / "a"),
    ):
        pytest.fail("it began")
    with (
        pytest.raises(RuntimeError, match="the server ended with status 1"),
        run_server(shim, "crash.faults:NoSuchScenario", tmp_path / "b"),
    ):
        pytest.fail("it began")


def test_a_whole_program_can_be_counted_and_hit(shim: Path, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    command = [
        sys.executable,
        "-c",
        """
import os, sys
os.chdir(sys.argv[1])
print("begun", flush=True)
file = open("new", "wb", buffering=0)
file.write(b"1234")
os.replace("new", "made")
os._exit(7)
""",
        str(tmp_path / "root"),
    ]
    ended = run_program(shim, command, tmp_path / "root")
    assert (ended.status, ended.count, ended.name, ended.stdout) == (7, 3, None, "begun\n")
    ended = run_program(shim, command, tmp_path / "root", "torn-half", 2)
    assert (ended.status, ended.count, ended.name) == (KILLED, 2, "write")
    assert ended.path == tmp_path / "root/new"
    assert (tmp_path / "root/new").read_bytes() == b"12"
    ended = run_program(shim, command, tmp_path / "root", "enospc", 3)
    assert (ended.status, ended.name) == (1, "rename")
    assert "No space left" in ended.stderr
    with pytest.raises(NotReached, match="made 3 calls"):
        run_program(shim, command, tmp_path / "root", "kill", 4)
    with pytest.raises(RuntimeError, match="without a count"):
        run_program(shim, command, tmp_path / "root", "kil", 1)


def test_a_process_can_arm_itself(shim: Path, tmp_path: Path) -> None:
    script = """
import os, sys
from crash.faults import Shim
shim = Shim()
shim.disarm()
os.mkdir("unseen")
shim.arm("eio", 2)
os.mkdir("seen")
try:
    os.mkdir("refused")
except OSError as error:
    print(error.strerror)
os.rmdir("seen")
shim.disarm()
os.rmdir("unseen")
print(shim.count(), shim.last_name(), shim.last_path(), *shim.names())
shim.arm("count", 0)
print(shim.count(), shim.last_name(), shim.last_path(), shim.names())
try:
    shim.arm("eieio", 1)
except ValueError as error:
    print(error)
"""
    ended = run_program(shim, ["env", "-C", tmp_path, sys.executable, "-c", script], tmp_path)
    assert ended.stdout.splitlines() == [
        "Input/output error",
        f"3 mkdir {tmp_path.resolve()}/refused mkdir mkdir rmdir",
        "0 None None []",
        "there is no mode 'eieio'",
    ]


def test_without_the_preloaded_library_nothing_pretends_to_inject(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="LD_PRELOAD"):
        Shim()


def test_building_twice_at_once_gives_one_library(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        libraries = set(pool.map(build, [tmp_path / "new"] * 2))
    assert list((tmp_path / "new").iterdir()) == list(libraries)


def test_a_compiler_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(RuntimeError, match="false could not build"):
        build(tmp_path)
