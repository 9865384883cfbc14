"""Power cuts, simulated: what a POSIX file system may leave of a program's writes when the power fails.

The program runs once under strace. Its calls that change the file system become operations on a small model of inodes
and folders. For every moment at which the power could fail, the operations before it are of two kinds: those that a
sync covers, which are on the disk, and the others, each of which may be there or not, in part, or as zeros. We build
many of those states and hand each to a check. What a moment between two syncs can leave, the moment before the second
can leave as well; so only moments at syncs, and around what the program says, are looked at.

After Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
import hashlib
import os
from pathlib import Path
import re
import shutil
import subprocess

CALLS = (
    "openat,creat,write,pwrite64,writev,pwritev,copy_file_range,ftruncate,fsync,fdatasync,syncfs,rename,renameat,"
    "renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,fchmod,chmod,fchmodat,utimensat,close,dup,dup2,dup3,fcntl"
)
STRACE = ("strace", "-f", "-qq", "-xx", "-s", "8000000")
TEARS = (1, 512, 4096)
# Of many operations of one kind (the 256 folders of a new pool), so many are varied one by one.
VARIED_MAX = 24

_LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True)
class Operation:
    """One change of the file system, by inode numbers of the model.

    kind: ``data`` (write at an offset), ``size`` (truncate), ``name`` (an entry of a folder is set to an inode, or
    removed: None), ``mode``, ``sync`` (of one inode, or of all: None), or ``say`` (a line on standard output).
    """

    kind: str
    inode: int | None = None
    offset: int = 0
    content: bytes = b""
    names: tuple[tuple[int, str, int | None], ...] = ()
    mode: int | None = None
    mtime_ns: int | None = None


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
    """Return the model of a folder as it is; names in ``ignore`` at its top are left out."""
    tree = Tree()
    numbers = {root: 0}
    count = 0
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        if here == root:
            folders[:] = [name for name in folders if name not in ignore]
        for name in [*folders, *files]:
            count += 1
            numbers[here / name] = count
            tree.folders[numbers[here]][name] = count
            found = (here / name).stat()
            if name in folders:
                tree.folders[count] = {}
            else:
                tree.files[count] = (here / name).read_bytes()
                tree.modes[count] = (found.st_mode & 0o777, found.st_mtime_ns)
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

    def run(self, command: Sequence[str | Path], *strace_options: str) -> subprocess.CompletedProcess[str]:
        """Run a program under strace and add what it does."""
        trace = self.root.parent / "power.trace"
        done = subprocess.run(
            [
                "strace",
                "-f",
                "-qq",
                "-xx",
                "-s",
                "8000000",
                "-o",
                trace,
                "-e",
                f"trace={CALLS}",
                *strace_options,
                *command,
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        _Reader(self).read(trace.read_text().splitlines())
        trace.unlink()
        return done

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

    def find(self, path: str) -> int | None:
        """Return the inode at a path of the model as the program sees it."""
        inode = 0
        for name in path.split("/") if path else []:
            found = self._now.folders.get(inode, {}).get(name)
            if found is None:
                return None
            inode = found
        return inode

    def states(self) -> Iterator[tuple[Tree, list[str], str]]:
        """Yield each distinct state that a power cut may leave: the tree, what was said before, how it came about."""
        seen: set[bytes] = set()
        moments = {len(self.operations)}
        for at, operation in enumerate(self.operations):
            if operation.kind in {"sync", "say"}:
                moments |= {at, at + 1}
        for moment in sorted(moments):
            done = self.operations[:moment]
            said = [operation.content.decode() for operation in done if operation.kind == "say"]
            for chosen, how in _survivals(done):
                tree = self.start.copy()
                for operation in chosen:
                    tree.apply(operation)
                key = tree.digest() + repr(said).encode()
                if key not in seen:
                    seen.add(key)
                    yield tree, said, f"after operation {moment}: {how}"


def _survivals(done: Sequence[Operation]) -> Iterator[tuple[list[Operation], str]]:
    """Yield what may be left of some operations: in order, some as they were, some missing, torn, or as zeros."""
    changing = [operation for operation in done if operation.kind not in {"sync", "say"}]
    loose = [at for at, operation in enumerate(changing) if not _is_covered(operation, done)]

    def with_only(kept: set[int]) -> list[Operation]:
        loose_ones = set(loose)
        return [operation for at, operation in enumerate(changing) if at not in loose_ones or at in kept]

    yield list(changing), "everything is there"
    yield with_only(set()), "nothing that was not synced is there"
    yield with_only({at for at in loose if changing[at].kind in {"data", "size"}}), "only bytes, no names"
    yield with_only({at for at in loose if changing[at].kind not in {"data", "size"}}), "only names, no bytes"
    step = max(1, len(loose) // VARIED_MAX)
    for number, at in list(enumerate(loose))[::step]:
        yield with_only(set(loose) - {at}), f"without {_describe(changing[at])}"
        yield with_only({at}), f"of the rest only {_describe(changing[at])}"
        yield with_only(set(loose[:number])), f"only what came before {_describe(changing[at])}"
        if changing[at].kind == "data":
            content = changing[at].content
            for length in {*TEARS, len(content) // 2, len(content) - 1}:
                if 0 < length < len(content):
                    torn = _replaced(changing, at, content[:length])
                    yield torn, f"{_describe(changing[at])} torn behind {length} bytes"
                    holed = _replaced(changing, at, bytes(length) + content[length:])
                    yield holed, f"{_describe(changing[at])} with a hole of {length} bytes"
            yield _replaced(changing, at, bytes(len(content))), f"{_describe(changing[at])} as zeros"


def _replaced(changing: Sequence[Operation], at: int, content: bytes) -> list[Operation]:
    old = changing[at]
    return [*changing[:at], Operation("data", old.inode, old.offset, content), *changing[at + 1 :]]


def _is_covered(operation: Operation, done: Sequence[Operation]) -> bool:
    """Return whether a later sync makes an operation durable: of its file for bytes, of its folder for names."""
    place = next(at for at, other in enumerate(done) if other is operation)
    synced = [other.inode for other in done[place + 1 :] if other.kind == "sync"]
    if None in synced:
        return True
    if operation.kind == "name":
        return all(folder in synced for folder, _, _ in operation.names)
    return operation.inode in synced


def _describe(operation: Operation) -> str:
    if operation.kind == "name":
        return "the names " + ", ".join(name for _, name, _ in operation.names)
    return f"the {operation.kind} of inode {operation.inode} at {operation.offset}"


def lay_out(tree: Tree, root: Path) -> None:
    """Make a folder look like a tree. Empty folders that are there and belong there are kept."""
    root.mkdir(exist_ok=True)
    wanted = dict(tree.paths())
    for folder, folders, files in os.walk(root, topdown=False):
        here = Path(folder)
        for name in files:
            (here / name).unlink()
        for name in folders:
            if wanted.get(str((here / name).relative_to(root))) not in tree.folders:
                shutil.rmtree(here / name)
    for path, inode in wanted.items():
        place = root / path
        if inode in tree.folders:
            place.mkdir(exist_ok=True)
            continue
        place.write_bytes(tree.files.get(inode, b""))
        mode, mtime_ns = tree.modes.get(inode, (0o644, None))
        place.chmod(mode)
        if mtime_ns is not None:
            os.utime(place, ns=(mtime_ns, mtime_ns))


def explore(recording: Recording, scratch: Path, check: Callable[[list[str]], str | None]) -> tuple[int, list[str]]:
    """Lay out each state in a scratch folder and check it; returns how many there were, and what was wrong."""
    count = 0
    wrong: list[str] = []
    for tree, said, how in recording.states():
        count += 1
        lay_out(tree, scratch)
        if problem := check(said):
            wrong.append(f"{how}: {problem}")
    return count, wrong


class _Reader:
    """Reads strace's lines into operations."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._root = str(recording.root)
        # Descriptor to path below the root, inode, offset, and whether it appends.
        self._open: dict[int, tuple[str, int]] = {}
        self._offsets: dict[int, int] = {}

    def read(self, lines: Sequence[str]) -> None:
        for line in lines:
            match = _LINE.match(line)
            if match and int(match[3]) >= 0:
                texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(match[2])]
                handler = getattr(self, f"_on_{match[1]}", None)
                if handler is not None:
                    handler(match[2], texts, int(match[3]))

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
        return None if relative.split("/")[0] in self._recording.ignore else relative

    def _named(self, path: str) -> tuple[int, str]:
        folder, _, name = path.rpartition("/")
        inode = self._recording.find(folder)
        assert inode is not None, path
        return inode, name

    def _on_openat(self, arguments: str, texts: list[bytes], result: int) -> None:
        self._open.pop(result, None)
        path = self._place(arguments.split(",", maxsplit=1)[0], texts[0])
        if path is None:
            return
        inode = self._recording.find(path)
        if inode is None:
            inode = self._recording.new_inode(is_folder=False)
            self._recording.add(Operation("name", names=((*self._named(path), inode),)))
            mode = int(arguments.rsplit(",", 1)[1].strip(), 8)
            self._recording.add(Operation("mode", inode, mode=mode & ~0o022))
        elif "O_TRUNC" in arguments:
            self._recording.add(Operation("size", inode, 0))
        self._open[result] = (path, inode)
        self._offsets[result] = 0

    def _on_close(self, arguments: str, _texts: list[bytes], _result: int) -> None:
        self._open.pop(int(arguments), None)

    def _on_write(self, arguments: str, texts: list[bytes], result: int) -> None:
        descriptor = int(arguments.split(",", maxsplit=1)[0])
        if descriptor == 1:
            self._recording.add(Operation("say", content=texts[0][:result]))
        elif descriptor in self._open:
            inode = self._open[descriptor][1]
            self._recording.add(Operation("data", inode, self._offset_of(descriptor, inode), texts[0][:result]))
            self._offsets[descriptor] += result

    def _offset_of(self, descriptor: int, inode: int) -> int:
        # lseek is not traced: a writer of the log seeks to its end, everybody else writes from the beginning on.
        if self._offsets[descriptor] == 0 and self._open[descriptor][0].endswith(".seg"):
            self._offsets[descriptor] = len(self._recording._now.files.get(inode, b""))
        return self._offsets[descriptor]

    def _on_pwrite64(self, arguments: str, texts: list[bytes], result: int) -> None:
        descriptor = int(arguments.split(",", maxsplit=1)[0])
        if descriptor in self._open:
            offset = int(arguments.rsplit(",", 1)[1])
            self._recording.add(Operation("data", self._open[descriptor][1], offset, texts[0][:result]))

    def _on_ftruncate(self, arguments: str, _texts: list[bytes], _result: int) -> None:
        descriptor, size = arguments.split(",")
        if int(descriptor) in self._open:
            self._recording.add(Operation("size", self._open[int(descriptor)][1], int(size)))

    def _on_fsync(self, arguments: str, _texts: list[bytes], _result: int) -> None:
        if int(arguments) in self._open:
            self._recording.add(Operation("sync", self._open[int(arguments)][1]))

    _on_fdatasync = _on_fsync

    def _on_syncfs(self, arguments: str, _texts: list[bytes], _result: int) -> None:
        if int(arguments) in self._open:
            self._recording.add(Operation("sync", None))

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
        source, target = self._place(arguments, texts[0]), self._place(arguments, texts[1])
        if source is not None and target is not None:
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
            self._recording.add(Operation("mode", self._open[int(descriptor)][1], mode=int(mode, 8)))

    def _on_utimensat(self, arguments: str, _texts: list[bytes], _result: int) -> None:
        descriptor = arguments.split(",", maxsplit=1)[0]
        times = re.findall(r"tv_sec=(\d+), tv_nsec=(\d+)", arguments)
        if descriptor.isdecimal() and int(descriptor) in self._open and len(times) == 2:
            mtime_ns = int(times[1][0]) * 1_000_000_000 + int(times[1][1])
            self._recording.add(Operation("mode", self._open[int(descriptor)][1], mtime_ns=mtime_ns))
