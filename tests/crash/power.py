"""Power cuts, simulated: what a POSIX file system may leave of a program's writes when the power fails.

The program runs once under strace. Its calls that change the file system become operations on a small model of inodes
and folders. For every moment at which the power could fail, the operations before it are of two kinds: those that a
sync covers, which are on the disk, and the others, each of which may be there or not, in part, or as zeros. We build
many of those states and hand each to a check. What a moment between two syncs can leave, the moment before the second
can leave as well; so only moments at syncs, and around what the program says, are looked at.

After Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014).
"""
# ruff: noqa: PTH102, PTH108, PTH123
# States are laid out by the thousand, and a Path for each file would take as long as the rest.

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
import hashlib
import json
import os
from pathlib import Path
import random
import re
import shutil
import subprocess
import sys
import tempfile
from typing import IO, TypeVar

CALLS = (
    "openat,creat,close,dup,dup2,dup3,fcntl,lseek,write,pwrite64,writev,pwritev,pwritev2,copy_file_range,sendfile,"
    "ftruncate,truncate,fsync,fdatasync,syncfs,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,"
    "mkdir,mkdirat,rmdir,fchmod,chmod,fchmodat,utimensat"
)
STRACE = ("strace", "-f", "-qq", "-xx", "-s", "8000000")
TEARS = (1, 512, 4096)

_CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_RESULT = re.compile(r"^(.*)\) += (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_UNFINISHED = " <unfinished ...>"
_Chosen = TypeVar("_Chosen")


@dataclass(frozen=True)
class Operation:
    """One change of the file system, by inode numbers of the model.

    kind: ``data`` (write at an offset), ``size`` (truncate), ``name`` (an entry of a folder is set to an inode, or
    removed: None), ``mode``, ``sync`` (of one inode, or of all: None), or ``say`` (a line on standard output).
    begun: how many operations there were when a sync began; it covers no later one, though it ends later.
    """

    kind: str
    inode: int | None = None
    offset: int = 0
    content: bytes = b""
    names: tuple[tuple[int, str, int | None], ...] = ()
    mode: int | None = None
    mtime_ns: int | None = None
    begun: int = 0


@dataclass
class Tree:
    """Files and folders by inode number; number 0 is the root."""

    folders: dict[int, dict[str, int]] = field(default_factory=lambda: {0: {}})
    files: dict[int, bytes] = field(default_factory=dict)
    modes: dict[int, tuple[int, int | None]] = field(default_factory=dict)

    def copy(self) -> "Tree":
        """Return a tree that can be changed on its own."""
        return Tree({number: dict(names) for number, names in self.folders.items()}, dict(self.files), dict(self.modes))

    def apply(self, operation: Operation) -> None:
        """Carry out an operation."""
        match operation.kind:
            case "data":
                content = self.files.get(operation.inode, b"")
                end = operation.offset + len(operation.content)
                padded = content.ljust(operation.offset, b"\x00")
                self.files[operation.inode] = padded[: operation.offset] + operation.content + content[end:]
            case "size":
                content = self.files.get(operation.inode, b"")
                self.files[operation.inode] = content[: operation.offset].ljust(operation.offset, b"\x00")
            case "mode":
                mode, mtime_ns = self.modes.get(operation.inode, (0o644, None))
                self.modes[operation.inode] = (
                    mode if operation.mode is None else operation.mode,
                    mtime_ns if operation.mtime_ns is None else operation.mtime_ns,
                )
            case "name":
                for folder, name, inode in operation.names:
                    if folder in self.folders:
                        if inode is None:
                            self.folders[folder].pop(name, None)
                        else:
                            self.folders[folder][name] = inode

    def paths(self) -> Iterator[tuple[str, int]]:
        """Yield every path from the root and its inode, folders before what is in them."""
        pending = [("", 0)]
        while pending:
            prefix, folder = pending.pop()
            for name, inode in sorted(self.folders[folder].items()):
                yield prefix + name, inode
                if inode in self.folders:
                    pending.append((f"{prefix}{name}/", inode))

    def digest(self) -> bytes:
        """Return a hash that is equal for equal trees."""
        hasher = hashlib.blake2b()
        for path, inode in sorted(self.paths()):
            hasher.update(f"{path}\0{inode in self.folders}\0{self.modes.get(inode)}\0".encode())
            hasher.update(hashlib.blake2b(self.files.get(inode, b"")).digest())
        return hasher.digest()


def tree_of(root: Path, ignore: Sequence[str] = ()) -> Tree:
    """Return the model of a folder as it is; paths in ``ignore``, and what is below them, are left out."""
    tree = Tree()
    numbers = {root: 0}
    inodes: dict[tuple[int, int], int] = {}
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders[:] = [name for name in folders if str((here / name).relative_to(root)) not in ignore]
        for name in [*folders, *files]:
            path = here / name
            if str(path.relative_to(root)) in ignore:
                continue
            found = path.stat()
            # A file with two names is one inode.
            number = inodes.setdefault((found.st_dev, found.st_ino), len(inodes) + 1)
            tree.folders[numbers[here]][name] = number
            if name in folders:
                numbers[path] = number
                tree.folders[number] = {}
            else:
                tree.files[number] = path.read_bytes()
                tree.modes[number] = (found.st_mode & 0o777, found.st_mtime_ns)
    return tree


class Recording:
    """The operations of one or more programs on one folder, one after another."""

    def __init__(self, root: Path, ignore: Sequence[str] = ()) -> None:
        self.root = root
        self.ignore = ignore
        self.start = tree_of(root, ignore)
        self.operations: list[Operation] = []
        self._now = self.start.copy()
        self._count = max([0, *self.start.folders, *self.start.files])

    def run(self, tracer: "Tracer", script: str, *, killed_at: int | None = None) -> "Ended":
        """Run a script and add what it does."""
        ended, lines = tracer.run(script, self.root, killed_at)
        _Reader(self).read(lines)
        return ended

    def add(self, operation: Operation) -> None:
        """Add an operation, and carry it out on what the program sees."""
        self.operations.append(operation)
        self._now.apply(operation)

    def new_inode(self, *, is_folder: bool) -> int:
        """Return a number for a new inode."""
        self._count += 1
        if is_folder:
            # An empty folder exists as such; whether it has a name is another matter.
            self.start.folders[self._count] = {}
            self._now.folders[self._count] = {}
        return self._count

    def content(self, inode: int) -> bytes:
        """Return the bytes of a file as the program sees them."""
        return self._now.files.get(inode, b"")

    def find(self, path: str) -> int | None:
        """Return the inode at a path of the model as the program sees it."""
        inode = 0
        for name in path.split("/") if path else []:
            found = self._now.folders.get(inode, {}).get(name)
            if found is None:
                return None
            inode = found
        return inode

    def states(self, *, varied_max: int, seen: set[bytes] | None = None) -> Iterator[tuple[Tree, list[str], str]]:
        """Yield each distinct state that a power cut may leave: the tree, what was said before, how it came about.

        varied_max: of many that may be lost (the 256 folders of a new pool), so many are varied one by one, so many
        pairs, files and folders. seen: the
        states that are known already, such as those of an earlier recording; what is yielded is added.
        """
        seen = set() if seen is None else seen
        covered_at = self._covered_at()
        moments = {len(self.operations)}
        for at, operation in enumerate(self.operations):
            if operation.kind in {"sync", "say"}:
                moments |= {at, at + 1}
        for moment in sorted(moments):
            done = self.operations[:moment]
            said = [operation.content.decode() for operation in done if operation.kind == "say"]
            loose = [
                at
                for at, operation in enumerate(done)
                if operation.kind not in {"sync", "say"} and covered_at[at] >= moment
            ]
            # What is before all that may be lost is there in every state.
            settled, begin = self.start.copy(), loose[0] if loose else moment
            for operation in done[:begin]:
                settled.apply(operation)
            for chosen, how in _survivals(done, loose, begin, varied_max):
                tree = settled.copy()
                for operation in chosen:
                    tree.apply(operation)
                key = hashlib.blake2b(tree.digest() + repr(said).encode()).digest()
                if key not in seen:
                    seen.add(key)
                    yield tree, said, f"after operation {moment}: {how}"

    def _covered_at(self) -> list[int]:
        """Return for each operation where the sync is that makes it durable: of its file for bytes, of its folder for
        names. Without one, a place beyond the end.
        """
        never = len(self.operations)
        covered = [never] * never
        for at, operation in enumerate(self.operations):
            if operation.kind in {"sync", "say"}:
                continue
            missing = {folder for folder, _, _ in operation.names} or {operation.inode}
            for later in range(at + 1, never):
                sync = self.operations[later]
                if sync.kind == "sync" and sync.begun > at:
                    missing = set() if sync.inode is None else missing - {sync.inode}
                    if not missing:
                        covered[at] = later
                        break
        return covered


def _survivals(
    done: Sequence[Operation], loose: Sequence[int], begin: int, varied_max: int
) -> Iterator[tuple[list[Operation], str]]:
    """Yield what may be left of the operations from ``begin`` on: some as they were, some missing, torn, or as zeros.

    ``loose`` are the places of those that no sync covers. They are lost alone, in pairs, by kind, file, and folder.
    """
    everything = set(loose)
    is_loose = everything.__contains__
    kinds = {at: done[at].kind for at in loose}

    def left(kept: AbstractSet[int], changed: Mapping[int, Operation] | None = None) -> list[Operation]:
        changed = changed or {}
        return [
            changed.get(at, done[at])
            for at in range(begin, len(done))
            if done[at].kind not in {"sync", "say"} and (at in kept or not is_loose(at))
        ]

    def of_kind(*wanted: str) -> set[int]:
        return {at for at in loose if kinds[at] in wanted}

    yield left(everything), "everything is there"
    yield left(set()), "nothing that was not synced is there"
    yield left(of_kind("data", "size")), "only bytes, no names"
    yield left(of_kind("name", "mode")), "only names, no bytes"
    yield left(of_kind("data", "size", "mode")), "only bytes and modes, no names"
    yield left(of_kind("name")), "only names, no bytes and no modes"
    yield left(everything - of_kind("mode")), "all but the modes"
    few = random.Random(len(done))

    def some(among: Sequence[_Chosen]) -> list[_Chosen]:
        return list(among) if len(among) <= varied_max else sorted(few.sample(among, varied_max))

    for inode in some(sorted({done[at].inode or 0 for at in of_kind("data", "size")})):
        own = {at for at in loose if done[at].inode == inode}
        bytes_of = {at for at in own if kinds[at] in {"data", "size"}}
        yield left(everything - bytes_of), f"without the bytes of inode {inode}"
        yield left(everything - own), f"without the bytes and the mode of inode {inode}"
        zeros = {at: _with(done[at], bytes(len(done[at].content))) for at in bytes_of if kinds[at] == "data"}
        yield left(everything, zeros), f"inode {inode} as zeros"
        yield left(own), f"of the rest only inode {inode}"
    for folder in some(sorted({folder for at in of_kind("name") for folder, _, _ in done[at].names})):
        own = {at for at in of_kind("name") if any(one == folder for one, _, _ in done[at].names)}
        yield left(everything - own), f"without the names in folder {folder}"
        yield left(own), f"of the rest only the names in folder {folder}"
        yield left(own | of_kind("data", "size", "mode")), f"of the names only those in folder {folder}"
    for at in some(loose):
        one = done[at]
        before = {other for other in loose if other < at}
        yield left(everything - {at}), f"without {_describe(one)}"
        yield left({at}), f"of the rest only {_describe(one)}"
        yield left(before), f"only what came before {_describe(one)}"
        yield left(everything - before), f"without what came before {_describe(one)}"
        if one.kind == "name" and len(one.names) > 1:
            both = {at: replace(one, names=one.names[:1])}
            yield left(everything, both), f"{_describe(one)} and the old name too"
        if one.kind == "data":
            for content, how in _spoiled(one.content):
                spoiled = {at: _with(one, content)}
                yield left(everything, spoiled), f"{_describe(one)} {how}"
                yield left(before | {at}, spoiled), f"{_describe(one)} {how}, and nothing after it"
                yield left({at}, spoiled), f"of the rest only {_describe(one)} {how}"
    pairs = [(first, second) for number, first in enumerate(loose) for second in loose[number + 1 :]]
    for first, second in some(pairs):
        both = f"{_describe(done[first])} and {_describe(done[second])}"
        yield left(everything - {first, second}), f"without {both}"
        yield left({first, second}), f"of the rest only {both}"


def _spoiled(content: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield what may be left of one write in the way of bytes."""
    for length in sorted({*TEARS, len(content) // 2, len(content) - 1}):
        if 0 < length < len(content):
            yield content[:length], f"torn behind {length} bytes"
            yield bytes(length) + content[length:], f"with a hole of {length} bytes"
            yield content[:length] + bytes(len(content) - length), f"as zeros behind {length} bytes"
    yield bytes(len(content)), "as zeros"


def _with(operation: Operation, content: bytes) -> Operation:
    return replace(operation, content=content)


def _describe(operation: Operation) -> str:
    if operation.kind == "name":
        return "the names " + ", ".join(name for _, name, _ in operation.names)
    return f"the {operation.kind} of inode {operation.inode} at {operation.offset}"


def lay_out(tree: Tree, root: Path) -> None:
    """Make a folder look like a tree. Empty folders that are there and belong there are kept."""
    root.mkdir(exist_ok=True)
    wanted = dict(tree.paths())
    prefix = len(str(root)) + 1
    for folder, folders, files in os.walk(root, topdown=False):
        for name in files:
            os.unlink(f"{folder}/{name}")
        for name in folders:
            if wanted.get(f"{folder}/{name}"[prefix:]) not in tree.folders:
                shutil.rmtree(f"{folder}/{name}")
    made: dict[int, str] = {}
    for path, inode in wanted.items():
        place = f"{root}/{path}"
        if inode in tree.folders:
            with suppress(FileExistsError):
                os.mkdir(place)
            continue
        if inode in made:
            os.link(made[inode], place)
            continue
        made[inode] = place
        mode, mtime_ns = tree.modes.get(inode, (0o644, None))
        with open(place, "wb") as file:
            file.write(tree.files.get(inode, b""))
            os.fchmod(file.fileno(), mode)
        if mtime_ns is not None:
            os.utime(place, ns=(mtime_ns, mtime_ns))


def explore(
    recording: Recording,
    scratch: Path,
    check: Callable[[list[str]], str | None],
    *,
    varied_max: int,
    most: int | None = None,
    seen: set[bytes] | None = None,
) -> tuple[int, list[str]]:
    """Lay out each state in a scratch folder and check it; returns how many there were, and what was wrong.

    most: at most so many are checked, chosen evenly over all moments.
    """
    count = 0
    wrong: list[str] = []
    states = recording.states(varied_max=varied_max, seen=seen)
    for tree, said, how in states if most is None else _evenly(list(states), most):
        count += 1
        lay_out(tree, scratch)
        if problem := check(said):
            wrong.append(f"{how}: {problem}")
    return count, wrong


@dataclass(frozen=True)
class Ended:
    """How a script ended: 0, 1 with its traceback, -9; and how many calls it made that change something."""

    status: int
    errors: str
    count: int


class Tracer:
    """A process under strace that has imported what scripts need, and forks for each of them. Made by ``tracing``."""

    def __init__(self, process: "subprocess.Popen[str]", answers: IO[str], trace: IO[str]) -> None:
        """Take over a process just started."""
        self._process, self._answers, self._trace = process, answers, trace

    def run(self, script: str, folder: Path, killed_at: int | None) -> tuple[Ended, list[str]]:
        """Run a script, whose ``place`` is a folder, and return how it ended and what strace saw of it.

        killed_at: the call, from 1, that is not done because the process is killed.
        """
        assert self._process.stdin is not None
        # What was written before is of the server, or of another script.
        self._trace.read()
        self._process.stdin.write(json.dumps([script, str(folder), killed_at]) + "\n")
        self._process.stdin.flush()
        answer = self._answers.readline()
        if not answer:
            raise RuntimeError(f"the traced process ended with status {self._process.wait()}; its stderr says why")
        server, status, errors, count = json.loads(answer)
        lines = self._trace.read().splitlines()
        return Ended(status, errors, count), [line for line in lines if line.split(" ", 1)[0] != str(server)]


@contextmanager
def tracing(shim: Path, folder: Path, preamble: str) -> Iterator[Tracer]:
    """Start a tracer for the length of a block, for scripts that begin with the preamble and work below a folder."""
    reading, writing = os.pipe()
    with tempfile.NamedTemporaryFile("r", prefix="power-", suffix=".trace") as trace, os.fdopen(reading) as answers:
        armed = [f"-E{name}={value}" for name, value in (("LD_PRELOAD", shim), ("CRASH_ROOT", folder))]
        tests = Path(__file__).resolve().parent.parent
        # -P: not the package of the working folder, but the one that the tests run with.
        program = [sys.executable, "-B", "-P", "-c", _SERVER, str(writing), str(tests), preamble]
        process = subprocess.Popen(
            [*STRACE, "-o", trace.name, "-e", f"trace={CALLS}", *armed, *program],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[writing],
            text=True,
        )
        os.close(writing)
        with process:
            try:
                yield Tracer(process, answers, trace)
            finally:
                assert process.stdin is not None
                process.stdin.close()


# Reads scripts, runs each in a fork, and says how it ended. Descriptor 1 is where a script says what it acknowledges.
_SERVER = """
import json, os, sys, tempfile, traceback
answers, tests, preamble = os.fdopen(int(sys.argv[1]), "w"), sys.argv[2], sys.argv[3]
sys.path.append(tests)
from crash.faults import Shim
shim = Shim()
shim.disarm()
# Once here: what it imports need not be imported by each of our children.
exec(preamble, {"place": ""})
for line in sys.stdin:
    script, place, killed_at = json.loads(line)
    errors = tempfile.TemporaryFile("w+")
    shim.arm("count", 0)
    shim.disarm()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            shim.arm("count" if killed_at is None else "kill", killed_at or 0)
            exec(preamble + script, {"place": place})
            status = 0
        except BaseException:
            shim.disarm()
            errors.write(traceback.format_exc())
            errors.flush()
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    errors.seek(0)
    answers.write(json.dumps([os.getpid(), status, errors.read(), shim.count()]) + "\\n")
    answers.flush()
    errors.close()
"""


def _evenly(found: list[_Chosen], most: int) -> list[_Chosen]:
    return found if len(found) <= most else [found[number * len(found) // most] for number in range(most)]


class _Reader:
    """Reads strace's lines into operations."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._root = str(recording.root)
        # Descriptor to path below the root, and inode.
        self._open: dict[int, tuple[str, int]] = {}
        self._offsets: dict[int, int] = {}
        # Descriptor to path of a file that we do not look at, and which nobody writes.
        self._elsewhere: dict[int, str] = {}
        # How many operations there were when the call at hand began.
        self._begun = 0
        self._mask = os.umask(0)
        os.umask(self._mask)

    def read(self, lines: Sequence[str]) -> None:
        unfinished: dict[tuple[str, str], tuple[str, int]] = {}
        for line in lines:
            begun = len(self._recording.operations)
            if call := _CALL.match(line):
                process, name, text = call.groups()
                if text.endswith(_UNFINISHED):
                    text = text.removesuffix(_UNFINISHED)
                    unfinished[process, name] = text, begun
                    if name == "close":
                        # Its number may be another file's before we hear that it is closed.
                        self._open.pop(int(text), None)
                    continue
            elif call := _RESUMED.match(line):
                process, name, text = call.groups()
                text_before, begun = unfinished.pop((process, name))
                text = text_before + text
                if name == "close":
                    continue
            else:
                continue
            result = _RESULT.match(text)
            if result and int(result[2]) >= 0:
                self._begun = begun
                texts = [bytes.fromhex(one.replace("\\x", "")) for one in _TEXT.findall(result[1])]
                handle = getattr(self, f"_on_{name}", None)
                if handle is None:
                    self._refuse(name, result[1], texts)
                else:
                    handle(result[1], texts, int(result[2]))

    def _refuse(self, name: str, arguments: str, texts: list[bytes]) -> None:
        """Raise for a call that we do not know, if it changed what we look at."""
        first = re.match(r"\d+", arguments)
        inside = [text for text in texts if text.startswith(self._root.encode())]
        assert not inside, (name, arguments)
        assert not (first and int(first[0]) in self._open), (name, arguments)

    def _place(self, folder: str, name: bytes) -> str | None:
        """Return a path below the root, or None for one outside or ignored."""
        path = name.decode()
        if not path.startswith("/"):
            number = re.search(r"-?\d+|AT_FDCWD", folder)
            if number is None or number[0] == "AT_FDCWD" or int(number[0]) not in self._open:
                return None
            path = f"{self._root}/{self._open[int(number[0])][0]}/{path}"
        path = os.path.normpath(path)
        if path != self._root and not path.startswith(f"{self._root}/"):
            return None
        relative = path[len(self._root) + 1 :]
        is_ignored = any(f"{relative}/".startswith(f"{one}/") for one in self._recording.ignore)
        return None if is_ignored else relative

    def _named(self, path: str) -> tuple[int, str]:
        folder, _, name = path.rpartition("/")
        inode = self._recording.find(folder)
        assert inode is not None, path
        return inode, name

    def _on_openat(self, arguments: str, texts: list[bytes], result: int) -> None:
        self._open.pop(result, None)
        path = self._place(arguments.split(",", maxsplit=1)[0], texts[0])
        if path is None:
            self._elsewhere[result], self._offsets[result] = os.fsdecode(texts[0]), 0
            return
        inode = self._recording.find(path)
        if inode is None:
            inode = self._recording.new_inode(is_folder=False)
            self._recording.add(Operation("name", names=((*self._named(path), inode),)))
            mode = int(arguments.rsplit(",", 1)[1].strip(), 8)
            self._recording.add(Operation("mode", inode, mode=mode & ~self._mask))
        elif "O_TRUNC" in arguments:
            self._recording.add(Operation("size", inode, 0))
        self._open[result] = (path, inode)
        self._offsets[result] = len(self._recording.content(inode)) if "O_APPEND" in arguments else 0

    def _on_close(self, arguments: str, _texts: list[bytes], _result: int) -> None:
        self._open.pop(int(arguments), None)

    def _on_dup(self, arguments: str, _texts: list[bytes], result: int) -> None:
        self._open.pop(result, None)
        old = int(arguments.split(",", maxsplit=1)[0])
        if old in self._open:
            self._open[result], self._offsets[result] = self._open[old], self._offsets[old]

    _on_dup2 = _on_dup3 = _on_dup

    def _on_fcntl(self, arguments: str, texts: list[bytes], result: int) -> None:
        if "F_DUPFD" in arguments:
            self._on_dup(arguments, texts, result)

    def _on_lseek(self, arguments: str, _texts: list[bytes], result: int) -> None:
        self._offsets[int(arguments.split(",", maxsplit=1)[0])] = result

    def _on_write(self, arguments: str, texts: list[bytes], result: int) -> None:
        descriptor = int(arguments.split(",", maxsplit=1)[0])
        if descriptor == 1:
            self._recording.add(Operation("say", content=texts[0][:result]))
        else:
            self._write(descriptor, None, texts[0][:result])

    def _on_pwrite64(self, arguments: str, texts: list[bytes], result: int) -> None:
        descriptor, offset = arguments.split(",", maxsplit=1)[0], arguments.rsplit(",", 1)[1]
        self._write(int(descriptor), int(offset), texts[0][:result])

    def _on_copy_file_range(self, arguments: str, _texts: list[bytes], result: int) -> None:
        source, at, target, to = arguments.split(", ")[:4]
        self._copy((int(source), _pointed_at(at)), (int(target), _pointed_at(to)), result)

    def _on_sendfile(self, arguments: str, _texts: list[bytes], result: int) -> None:
        target, source, at = arguments.split(", ")[:3]
        self._copy((int(source), _pointed_at(at)), (int(target), None), result)

    def _copy(self, source: tuple[int, int | None], target: tuple[int, int | None], size_bytes: int) -> None:
        """Copy so many bytes, from an offset to an offset; None: that of the descriptor."""
        if target[0] not in self._open:
            return
        if source[0] in self._open:
            content = self._recording.content(self._open[source[0]][1])
        else:
            content = Path(self._elsewhere[source[0]]).read_bytes()
        begin = self._offsets[source[0]] if source[1] is None else source[1]
        if source[1] is None:
            self._offsets[source[0]] = begin + size_bytes
        self._write(*target, content[begin : begin + size_bytes])

    def _write(self, descriptor: int, offset: int | None, content: bytes) -> None:
        if descriptor not in self._open or not content:
            return
        inode = self._open[descriptor][1]
        begin = self._offsets[descriptor] if offset is None else offset
        self._recording.add(Operation("data", inode, begin, content))
        if offset is None:
            self._offsets[descriptor] += len(content)

    def _on_ftruncate(self, arguments: str, _texts: list[bytes], _result: int) -> None:
        descriptor, size = arguments.split(",")
        if int(descriptor) in self._open:
            self._recording.add(Operation("size", self._open[int(descriptor)][1], int(size)))

    def _on_fsync(self, arguments: str, _texts: list[bytes], _result: int) -> None:
        if int(arguments) in self._open:
            self._recording.add(Operation("sync", self._open[int(arguments)][1], begun=self._begun))

    _on_fdatasync = _on_fsync

    def _on_syncfs(self, arguments: str, _texts: list[bytes], _result: int) -> None:
        if int(arguments) in self._open:
            self._recording.add(Operation("sync", None, begun=self._begun))

    def _on_rename(self, arguments: str, texts: list[bytes], _result: int) -> None:
        parts = arguments.split(",")
        source, target = self._place(parts[0], texts[0]), self._place(parts[-2], texts[1])
        if source is None or target is None:
            return
        inode = self._recording.find(source)
        names = ((*self._named(target), inode), (*self._named(source), None))
        self._recording.add(Operation("name", names=names))

    _on_renameat = _on_renameat2 = _on_rename

    def _on_link(self, arguments: str, texts: list[bytes], _result: int) -> None:
        parts = arguments.split(",")
        folders = (parts[0], parts[2]) if len(parts) > 2 else (parts[0], parts[1])
        source, target = self._place(folders[0], texts[0]), self._place(folders[1], texts[1])
        if target is not None:
            # What is linked must be a file that we look at.
            assert source is not None, arguments
            self._recording.add(Operation("name", names=((*self._named(target), self._recording.find(source)),)))

    _on_linkat = _on_link

    def _on_unlink(self, arguments: str, texts: list[bytes], _result: int) -> None:
        path = self._place(arguments.split(",", maxsplit=1)[0], texts[0])
        if path is not None:
            self._recording.add(Operation("name", names=((*self._named(path), None),)))

    _on_unlinkat = _on_rmdir = _on_unlink

    def _on_mkdir(self, arguments: str, texts: list[bytes], _result: int) -> None:
        path = self._place(arguments.split(",", maxsplit=1)[0], texts[0])
        if path is not None:
            inode = self._recording.new_inode(is_folder=True)
            self._recording.add(Operation("name", names=((*self._named(path), inode),)))

    _on_mkdirat = _on_mkdir

    def _on_fchmod(self, arguments: str, _texts: list[bytes], _result: int) -> None:
        descriptor, mode = arguments.split(",")
        if int(descriptor) in self._open:
            self._change(self._open[int(descriptor)][1], mode=int(mode, 8))

    def _on_chmod(self, arguments: str, texts: list[bytes], _result: int) -> None:
        path = self._place(arguments.split(",", maxsplit=1)[0], texts[0])
        if path is not None:
            self._change(self._recording.find(path), mode=int(re.findall(r", (0\d+)", arguments)[0], 8))

    _on_fchmodat = _on_chmod

    def _on_utimensat(self, arguments: str, texts: list[bytes], _result: int) -> None:
        descriptor = arguments.split(",", maxsplit=1)[0]
        if texts:
            path = self._place(descriptor, texts[0])
            inode = None if path is None else self._recording.find(path)
        else:
            inode = self._open.get(int(descriptor), (None, None))[1]
        times = re.findall(r"tv_sec=(\d+), tv_nsec=(\d+)", arguments)
        if inode is not None and len(times) == 2:
            self._change(inode, mtime_ns=int(times[1][0]) * 1_000_000_000 + int(times[1][1]))

    def _change(self, inode: int | None, *, mode: int | None = None, mtime_ns: int | None = None) -> None:
        # That of folders is not looked at.
        if inode is not None and inode not in self._recording.start.folders:
            self._recording.add(Operation("mode", inode, mode=mode, mtime_ns=mtime_ns))


def _pointed_at(text: str) -> int | None:
    """Return the offset that strace shows behind a pointer, as it was before the call; None for NULL."""
    found = re.match(r"\[(\d+)", text)
    return int(found[1]) if found else None
