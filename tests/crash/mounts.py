"""Real disks, small ones of our own, mounted for the length of a block; and forks that work on them.

Whoever has a file of a disk open keeps it from being unmounted. So whatever is done on one is done in a fork, which
takes its files with it however it ends::

    with tmpfs(tmp_path / "disk", 200 * KIB) as disk:
        acknowledged = in_fork(fill_a_store, disk)
        resize(disk, 4 * MIB)
        in_fork(require_sound, disk, acknowledged)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
import errno
import fcntl
import os
from pathlib import Path
import pickle
import shutil
import struct
import subprocess
import traceback
from typing import Any

KIB, MIB = 1 << 10, 1 << 20

# FS_IOC_SHUTDOWN, or XFS_IOC_GOINGDOWN: the file system stops at once. Without its journal, as when the power goes.
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
_FILLER_BYTES = 64 * KIB


class Died(AssertionError):
    """The fork did not end by itself, but by a signal."""


class Disk:
    """A file system in an image. Mounted at ``folder`` while its block lasts, but for moments."""

    def __init__(self, image: Path, folder: Path, options: str) -> None:
        """Take over an image with a file system in it; mount() comes next."""
        self.image, self.folder, self._options = image, folder, options

    def mount(self) -> None:
        """Mount it, or raise what mount(8) says."""
        _run("mount", "-o", f"loop,{self._options}", self.image, self.folder)

    def remount(self) -> None:
        """Unmount and mount it again: what only the page cache had is gone then."""
        unmount(self.folder)
        self.mount()

    def cut_power(self) -> None:
        """Let nothing more reach the disk, not even what the journal still has to write, and mount it again."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)
        self.remount()

    def device(self) -> str:
        """Return the name of the loop device, such as ``loop0``."""
        for line in Path("/proc/mounts").read_text().splitlines():
            source, folder = line.split(" ")[:2]
            if folder == str(self.folder):
                return Path(source).name
        raise AssertionError(f"{self.folder} is not mounted")


@contextmanager
def tmpfs(folder: Path, size_bytes: int) -> Iterator[Path]:
    """Mount a file system in memory of this size for the length of a block; ``folder`` is made for it."""
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "runicorn-test", folder)
    try:
        yield folder
    finally:
        unmount(folder)


def resize(folder: Path, size_bytes: int) -> None:
    """Change the size of a mounted tmpfs."""
    _run("mount", "-o", f"remount,size={size_bytes}", folder)


@contextmanager
def disk(image: Path, size_bytes: int, *make: str, options: str = "") -> Iterator[Disk]:
    """Make a file system in a sparse image by this command, mounted beside it for the length of a block."""
    folder = image.with_name(f"{image.name}-mounted")
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(size_bytes)
    _run(*make, image)
    made = Disk(image, folder, options)
    made.mount()
    try:
        yield made
    finally:
        unmount(folder)
        image.unlink()


def unmount(folder: Path) -> None:
    """Unmount whatever is mounted there; from sight at once, also where somebody still has a file open."""
    if os.path.ismount(folder):
        done = subprocess.run(["umount", folder], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            _run("umount", "--lazy", folder)
            raise AssertionError(f"{folder} was still in use: {done.stderr}")


def fill(folder: Path) -> None:
    """Take all room that the file system of this folder has left."""
    with (folder / "filler").open("ab", buffering=0) as filler:
        size_bytes = _FILLER_BYTES
        while size_bytes:
            try:
                filler.write(b"\xa5" * size_bytes)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size_bytes //= 2


def make_room(folder: Path) -> None:
    """Give back what ``fill`` took."""
    (folder / "filler").unlink()


def makers(*kinds: str) -> list[str]:
    """Return those kinds of file system which this machine has a ``mkfs`` for; always the first, which must be had."""
    return [kind for kind in kinds if kind == kinds[0] or _program(f"mkfs.{kind}")]


def why_no_mounts(place: Path) -> str | None:
    """Return why this process cannot mount file systems, found by mounting one; None when it can."""
    try:
        with (
            tmpfs(place / "tried tmpfs", MIB),
            disk(place / "tried image", 4 * MIB, "mkfs.ext4", "-qF", options="commit=600"),
        ):
            return None
    except (OSError, subprocess.CalledProcessError) as error:
        return f"loop mounts are not allowed here: {getattr(error, 'stderr', None) or error}"


def in_fork(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function in a fork of this process and return what it returns.

    Raises Died when a signal ended it, AssertionError with its traceback when it raised.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work(function, arguments, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123
        told = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        raise Died(f"{function.__name__}: ended by signal {-status}")
    is_right, answer = pickle.loads(told)
    if not is_right:
        raise AssertionError(f"{function.__name__}: {answer}")
    return answer


def _work(function: Callable[..., Any], arguments: tuple[object, ...], writing: int) -> None:
    try:
        try:
            told = pickle.dumps((True, function(*arguments)))
        except BaseException:  # noqa: BLE001
            told = pickle.dumps((False, traceback.format_exc()))
        with suppress(BrokenPipeError), open(writing, "wb") as pipe:
            pipe.write(told)
    finally:
        # Not sys.exit: what pytest does at its end is not for a fork of it to do.
        os._exit(0)


def _program(name: str) -> str | None:
    # Programs of the administrator, in folders that a user's PATH may not have.
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))


def _run(*command: str | Path) -> None:
    name, *rest = command
    subprocess.run([_program(str(name)) or name, *rest], capture_output=True, text=True, check=True)
