"""Run an operation on a store again and again, and each time let another of its calls to the disk die, tear or fail.

A scenario is written down once, in a module that can be imported from the tests folder::

    class Append:
        def prepare(self, root: Path) -> None: ...     # make the store, in its own process
        def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None: ...   # what the faults hit

and every case is a fork of one server process, on its own copy of what ``prepare`` made::

    with folder_in_memory() as root, run_server(build(tmp_path), "crash.test_append:Append", root) as server:
        for mode, nth in server.plan("kill", "torn-half", "eio"):
            with server.case(mode, nth) as outcome:
                assert records(outcome.folder) >= set(outcome.acknowledged)

Modes, each at the nth call that changes something under the root:

- ``kill``, ``killafter``: the process is killed before the call is done, or as soon as it is.
- ``torn:N``, ``torn-half``, ``torn-allbut1``: the call writes the first N bytes, half, or all but one, then the process
  is killed. A call that does not write bytes is not done at all, as with ``kill``.
- ``short``: the call writes half, says so, and all goes on. It happens to calls that write bytes only.
- ``eio``, ``enospc``, ``edquot``, ``eintr``: the call is not done and fails with this error, once.

The faults are those of a process. What the disk loses in a power cut is not tried here, for the page cache survives.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
import ctypes
from dataclasses import asdict, dataclass
import gc
import hashlib
import importlib
import json
import os
from pathlib import Path
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from typing import IO, Any, Protocol
import uuid

from blake3 import blake3

from runicorn_es.layout import Layout

KILLED = -signal.SIGKILL
WRITES = frozenset({"write", "pwrite", "writev", "pwritev", "pwritev2", "copy_file_range", "sendfile"})

_SOURCE = Path(__file__).with_name("shim.c")
_FLAGS = ("-std=gnu11", "-fPIC", "-shared")
_MODE = re.compile(r"kill|killafter|torn:\d+|torn-half|torn-allbut1|short|eio|enospc|edquot|eintr")
_FINISHED, _RAISED = 0, 1
_PR_SET_PDEATHSIG = 1
_CHUNK_BYTES = 1 << 16

_own_symbols = ctypes.CDLL(None)


class Scenario(Protocol):
    """What run_server needs: a store to start from, and an operation on it."""

    def prepare(self, root: Path) -> None:
        """Make the store somewhere in this empty folder. Runs once, without faults, in a process that then ends."""

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        """Do what the faults shall hit, in a copy of that folder, telling at once what is promised to be kept."""


class NotReached(AssertionError):
    """The fault did not happen, so the case has shown nothing: the operation ended before it, or cannot have it."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one case ended."""

    folder: Path  # the copy the operation worked on, as it left it
    status: int  # 0 finished, 1 raised, -9 killed
    acknowledged: tuple[str, ...]  # what reached us whole before the end
    raised: str | None  # the last line of the traceback
    traceback: str | None
    count: int  # calls seen until the end, or until the kill
    name: str | None  # the call that had the fault; None if there was none
    path: Path | None  # what that call was for, relative to the folder
    names: tuple[str, ...]  # every call, in order; only of a rehearsal


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a whole program ended."""

    status: int
    stdout: str
    stderr: str
    count: int
    name: str | None
    path: Path | None


@dataclass(frozen=True)
class _Request:
    step: str  # "prepare" or "operate"
    folder: str
    mode: str
    nth: int
    timeout_s: float


def build(folder: Path) -> Path:
    """Return the shared library to preload, compiled into this folder unless it is there already.

    Several processes may build into one folder at once. The compiler is ``$CC``, or else ``cc``.
    """
    digest = hashlib.sha256(_SOURCE.read_bytes() + " ".join(_FLAGS).encode()).hexdigest()
    library = folder / f"crash-shim-{digest[:16]}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        scratch = folder / f"{uuid.uuid4().hex}.so"
        compiler = os.environ.get("CC", "cc")
        done = subprocess.run(
            [compiler, *_FLAGS, "-o", scratch, _SOURCE, "-ldl"], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{compiler} could not build {_SOURCE}:\n{done.stderr}")
        scratch.replace(library)
    return library


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """Lend a folder for the length of a block, in memory where the system has such a place.

    Nothing waits for a disk there. What a killed process leaves behind is the same as on a disk.
    """
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="runicorn-fault-", dir=place) as folder:
        yield Path(folder)


def drop_idle_folders(store: Path, contents: Iterable[bytes]) -> None:
    """Remove those of a pool's 256 folders in which none of these contents would be.

    A store does without them, and copies of it, one for each case, are made and removed much faster.
    """
    used = {blake3(content).digest()[0] for content in contents}
    for folder in Layout(store).fan_out():
        if int(folder.name, 16) not in used:
            folder.rmdir()


class Shim:
    """The controls of the preloaded library, for a process that was started with it."""

    def __init__(self) -> None:
        """Find the library in this process. Raises RuntimeError where it was not preloaded."""
        library = _own_symbols
        if not hasattr(library, "crash_arm"):
            raise RuntimeError("this process was not started with LD_PRELOAD set to what build() returned")
        library.crash_arm.argtypes = [ctypes.c_char_p, ctypes.c_long]
        library.crash_count.restype = ctypes.c_long
        library.crash_name.argtypes = [ctypes.c_long]
        for text in (library.crash_name, library.crash_last_name, library.crash_last_path):
            text.restype = ctypes.c_char_p
        self._library = library

    def arm(self, mode: str, nth: int) -> None:
        """Count from 0, in this process and its forks, and let the nth call (from 1; 0 for none) have the fault."""
        if self._library.crash_arm(mode.encode(), nth) != 0:
            raise ValueError(f"there is no mode {mode!r}")

    def disarm(self) -> None:
        """Let all calls pass, uncounted. What was counted can still be asked for."""
        self._library.crash_disarm()

    def count(self) -> int:
        """Return how many calls were seen since arming."""
        return int(self._library.crash_count())

    def last_name(self) -> str | None:
        """Return the name of the call that had the fault, or None if no call had it."""
        return os.fsdecode(self._library.crash_last_name()) or None

    def last_path(self) -> str | None:
        """Return the path which that call was for."""
        return os.fsdecode(self._library.crash_last_path()) or None

    def names(self) -> list[str]:
        """Return the names of all calls seen since arming, in order."""
        return [os.fsdecode(self._library.crash_name(nth)) for nth in range(1, self.count() + 1)]


class Server:
    """A process that has imported the scenario and forks a child for each case. Made by run_server."""

    def __init__(self, process: "subprocess.Popen[str]", root: Path, timeout_s: float) -> None:
        """Take over a process just started; prepare() must come next."""
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._requests, self._answers = process, process.stdin, process.stdout
        self._root = root
        self._cases = 0
        self._rehearsal: Outcome | None = None
        self.prepared = root / "prepared"
        self.timeout_s = timeout_s

    def prepare(self) -> None:
        """Let the scenario make the folder all cases start from. Raises RuntimeError if it cannot."""
        self.prepared.mkdir()
        answer = self._ask("prepare", self.prepared, "count", 0)
        if answer["status"] != _FINISHED:
            raise RuntimeError(f"prepare() ended with status {answer['status']}\n{answer['traceback'] or ''}")

    def rehearse(self) -> Outcome:
        """Run the operation once without a fault, and return what it does: ``count`` points, called ``names``.

        Raises RuntimeError if it does not finish. Only the first call runs it; its folder stays.
        """
        if self._rehearsal is None:
            outcome = self._run("count", 0, self.prepared)
            if outcome.status != _FINISHED:
                raise RuntimeError(
                    f"operate() ended with status {outcome.status}, without any fault\n{outcome.traceback or ''}"
                )
            self._rehearsal = outcome
        return self._rehearsal

    def plan(self, *modes: str) -> list[tuple[str, int]]:
        """Return (mode, nth) for each of these modes at every call of the rehearsal.

        Torn and short are left out at calls that do not write bytes: there the one is kill, and the other nothing.
        """
        points = list(enumerate(self.rehearse().names, 1))
        return [
            (mode, nth)
            for mode in modes
            for nth, name in points
            if name in WRITES or not mode.startswith(("torn", "short"))
        ]

    def run(self, mode: str, nth: int, *, origin: Path | None = None) -> Outcome:
        """Let the nth call of the operation have the fault, and return how it ended; the folder is the caller's.

        ``origin`` is the folder to start from a copy of, such as that of an earlier outcome: a fault after a fault.
        Raises NotReached if no call had the fault, and TimeoutError if the operation did not end.
        """
        if not _MODE.fullmatch(mode) or nth < 1:
            raise ValueError(f"no call can have the fault {mode!r} at {nth}")
        outcome = self._run(mode, nth, origin or self.prepared)
        if outcome.name is None:
            shutil.rmtree(outcome.folder)
            raise NotReached(
                f"{mode} at {nth}: no call had this fault; the operation made {outcome.count} calls and ended with "
                f"status {outcome.status}\n{outcome.traceback or ''}"
            )
        if mode.startswith(("kill", "torn")) and outcome.status != KILLED:
            raise RuntimeError(f"{mode} at {nth} killed a child of the operation, which itself lived on")
        return outcome

    @contextmanager
    def case(self, mode: str, nth: int, *, origin: Path | None = None) -> Iterator[Outcome]:
        """Do as run() for the length of a block. The folder is removed after it, but stays if the block raised."""
        outcome = self.run(mode, nth, origin=origin)
        yield outcome
        shutil.rmtree(outcome.folder)

    def _run(self, mode: str, nth: int, origin: Path) -> Outcome:
        self._cases += 1
        folder = self._root / f"case-{self._cases:05}"
        # cp keeps the hard links that the files of a store have among themselves, and copytree does not. Without a
        # umask it keeps the modes as well, in half of the time it takes if asked to, as it then reads access lists.
        subprocess.run(["cp", "-dR", "--preserve=timestamps", "--", origin, folder], check=True, umask=0)
        answer = self._ask("operate", folder, mode, nth)
        if answer["timed_out"]:
            raise TimeoutError(
                f"{mode} at {nth} ({answer['name'] or 'no call had it yet'}): still running after {self.timeout_s:g} s"
            )
        path = answer["path"]
        if path is not None and not Path(path).is_relative_to(folder):
            raise RuntimeError(f"operate() was to work in {folder}, and its call {nth} is for {path}")
        return Outcome(
            folder=folder,
            status=answer["status"],
            acknowledged=tuple(answer["acknowledged"]),
            raised=answer["raised"],
            traceback=answer["traceback"],
            count=answer["count"],
            name=answer["name"],
            path=None if path is None else Path(path).relative_to(folder),
            names=tuple(answer["names"]),
        )

    def _ask(self, step: str, folder: Path, mode: str, nth: int) -> dict[str, Any]:
        with suppress(BrokenPipeError):
            request = _Request(step, str(folder), mode, nth, self.timeout_s)
            self._requests.write(json.dumps(asdict(request)) + "\n")
            self._requests.flush()
        line = self._answers.readline()
        if not line:
            raise RuntimeError(f"the server ended with status {self._process.wait()}; its stderr says why")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def run_server(
    shim: Path, scenario: str, root: Path, *, environment: Mapping[str, str] | None = None, timeout_s: float = 60.0
) -> Iterator[Server]:
    """Start a server for a scenario, prepared, for the length of the block.

    ``scenario`` is "module:function", and the function, or class, called without arguments gives the Scenario. The
    module is imported from the tests folder. ``root`` is a folder for the copies; calls for what is outside of it are
    not counted. ``environment`` adds variables, ``timeout_s`` is for each case.
    """
    root.mkdir(parents=True, exist_ok=True)
    root = root.resolve()
    process = subprocess.Popen(
        # -P: not the package of the working folder, but the one that the tests run with.
        [sys.executable, "-P", "-c", "from crash.faults import _serve; _serve()", scenario],
        env=_environment(shim, root, environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            server = Server(process, root, timeout_s)
            server.prepare()
            yield server
        finally:
            # It has nothing to finish, and may be in the middle of a case that nobody waits for any more.
            process.kill()


def run_program(
    shim: Path,
    command: Sequence[str | Path],
    root: Path,
    mode: str = "count",
    nth: int = 0,
    *,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
) -> Ended:
    """Run a whole program with a fault at its nth call for something under root, or only count its calls.

    Programs that it starts in turn count for themselves, and may have the fault too; the returned numbers are its own.
    Raises NotReached if a fault was asked for and this program did not have it.
    """
    with tempfile.TemporaryDirectory() as elsewhere:
        counts = Path(elsewhere, "counts")
        armed = {"CRASH_MODE": mode, "CRASH_AT": str(nth), "CRASH_COUNT_FILE": str(counts)}
        process = subprocess.Popen(
            command,
            env=_environment(shim, root.resolve(), environment) | armed,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                stdout, stderr = process.communicate(timeout=timeout_s)
            except BaseException:
                process.kill()
                raise
        lines = [line.split(" ", 3) for line in counts.read_text().splitlines()] if counts.exists() else []
    own = [line for line in lines if line[0] == str(process.pid)]
    if not own:
        raise RuntimeError(f"{command[0]} ended with status {process.returncode} without a count\n{stderr}")
    _, count, name, path = own[-1]
    fired = name != "-"
    if nth and not fired:
        raise NotReached(f"{mode} at {nth}: {command[0]} made {count} calls, ended {process.returncode}\n{stderr}")
    return Ended(
        status=process.returncode,
        stdout=stdout,
        stderr=stderr,
        count=int(count),
        name=name if fired else None,
        path=Path(path) if fired else None,
    )


def _environment(shim: Path, root: Path, more: Mapping[str, str] | None) -> dict[str, str]:
    environment = {**os.environ, **(more or {})}
    tests = Path(__file__).resolve().parent.parent
    searched = [str(tests), *filter(None, [environment.get("PYTHONPATH")])]
    preloaded = [str(shim), *filter(None, [environment.get("LD_PRELOAD")])]
    for inherited in ("CRASH_MODE", "CRASH_AT", "CRASH_COUNT_FILE"):
        environment.pop(inherited, None)
    return environment | {
        "CRASH_ROOT": str(root),
        "LD_PRELOAD": ":".join(preloaded),
        "PYTHONPATH": os.pathsep.join(searched),
    }


def _serve() -> None:
    """Answer the requests of a Server until it closes the pipe. This is all the server process does."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    # What the scenario prints must not get among the answers.
    os.dup2(2, 1)
    with open(os.devnull) as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    shim = Shim()
    module, _, function = sys.argv[1].partition(":")
    scenario: Scenario = getattr(importlib.import_module(module), function)()
    for line in requests:
        answer = _fork(shim, scenario, _Request(**json.loads(line)), private=(requests, answers))
        _import(answer.pop("imported"))
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _import(modules: Sequence[str]) -> None:
    """Import what a child had to import while it worked, so that no later one has to."""
    for module in modules:
        # Some names are not of files, and some files are not to be imported by their names.
        with suppress(Exception):
            importlib.import_module(module)
    if modules:
        # Children then write to fewer of the pages they share with us.
        gc.collect()
        gc.freeze()


def _fork(shim: Shim, scenario: Scenario, request: _Request, *, private: tuple[IO[str], IO[str]]) -> dict[str, Any]:
    # A case must not be taken for reached because an earlier one was.
    shim.arm("count", 0)
    shim.disarm()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        for descriptor in (reading, *(file.fileno() for file in private)):
            os.close(descriptor)
        _work(shim, scenario, request, writing)
    # Here and in the child, so that it is done by the time either needs it.
    with suppress(OSError):
        os.setpgid(child, child)
    os.close(writing)
    told, timed_out = _listen(child, reading, request.timeout_s)
    os.close(reading)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    # What was cut off in the middle was not acknowledged.
    messages = [json.loads(line) for line in told.split(b"\n")[:-1]]
    last_words = next((text for kind, text in messages if kind == "raised"), (None, None))
    return {
        "status": status,
        "timed_out": timed_out,
        "acknowledged": [text for kind, text in messages if kind == "acknowledged"],
        "raised": last_words[0],
        "traceback": last_words[1],
        "count": shim.count(),
        "name": shim.last_name(),
        "path": shim.last_path(),
        "names": shim.names() if request.mode == "count" else [],
        "imported": [text for kind, text in messages if kind == "imported"],
    }


def _work(shim: Shim, scenario: Scenario, request: _Request, writing: int) -> None:
    def tell(kind: str, text: str | tuple[str, str]) -> None:
        # One write: it is with the server before we return, and does not mix with that of another thread.
        os.write(writing, json.dumps([kind, text]).encode() + b"\n")

    status = _RAISED
    known = set(sys.modules)
    try:
        os.setpgid(0, 0)
        # A caller who gives up kills the server, and means us too.
        _own_symbols.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        folder = Path(request.folder)
        if request.step == "prepare":
            scenario.prepare(folder)
        else:
            shim.arm(request.mode, request.nth)
            scenario.operate(folder, lambda text: tell("acknowledged", text))
        shim.disarm()
        for module in sorted(sys.modules.keys() - known):
            tell("imported", module)
        status = _FINISHED
    except BaseException as error:  # noqa: BLE001
        shim.disarm()
        tell("raised", (traceback.format_exception_only(error)[-1].strip(), traceback.format_exc()))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit: what the server would do at its end is not for its children to do.
        os._exit(status)


def _listen(child: int, reading: int, timeout_s: float) -> tuple[bytes, bool]:
    """Return what a child says until it ends, and whether it had to be killed for being late."""
    deadline = time.monotonic() + timeout_s
    told = bytearray()
    # The end of the pipe is not the end of the child: what it has forked may hold the pipe open.
    ended = os.pidfd_open(child)
    while True:
        ready, _, _ = select.select([reading, ended], [], [], max(0.0, deadline - time.monotonic()))
        if not ready or ended in ready:
            break
        told += os.read(reading, _CHUNK_BYTES)
    os.close(ended)
    # Until someone waits for the child, the number of its group cannot be another's.
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.set_blocking(reading, False)
    with suppress(BlockingIOError):
        while piece := os.read(reading, _CHUNK_BYTES):
            told += piece
    return bytes(told), not ready
