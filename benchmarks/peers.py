"""The same work done by us and by others, in turns: many small files and one large one, logged, logged again, got back.

Arguments: how many small files (10000), how many MiB the large one has (1024).

Programs are compared with our program, libraries, which stay in memory, with our library. What we log is on the disk
when we return; where a peer leaves that for later, its row says how much longer a sync then takes. Each peer gets back
files in the cheapest way it has that leaves a usable tree: links where it can.

The peers that are Python packages are installed into an environment each, below ``$BENCHMARK_PEERS`` (else
``~/.cache/runicorn-bench``), the others from Debian where this may be done; a row says which could not be, and why.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
import os
from pathlib import Path
import shutil
import subprocess
import sys
from typing import IO

from measure import medians, random_file, random_tree, report, workplace

from runicorn_es import durable

ROUNDS = 3
CHANGED = 10
FILE_BYTES = 8192
ENVIRONMENTS = Path(os.environ.get("BENCHMARK_PEERS") or Path.home() / ".cache" / "runicorn-bench")

ANSWERING = """
import os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
{script}
print("ready", file=answers, flush=True)
for line in sys.stdin:
    {{"log": log, "get": globals().get("get")}}[line.strip()]()
    print("done", file=answers, flush=True)
"""

OURS = """
import runicorn_es as rn
store = rn.open_store("store")
def log():
    store.log_artifact(rn.Artifact("d", "dataset").add_dir("tree"))
def get():
    store.get("d").download("out")
"""

RUNICORN = """
import runicorn as rn
run = rn.init("p", storage="store", capture_env=False)
def log():
    artifact = rn.Artifact("d", "dataset")
    artifact.add_dir("tree")
    run.log_artifact(artifact)
def get():
    run.use_artifact("d:latest").download("out")
"""

MLFLOW = """
import mlflow
mlflow.set_tracking_uri("file://" + os.path.abspath("store"))
mlflow.set_experiment("p")
def log():
    global logged
    with mlflow.start_run() as run:
        mlflow.log_artifacts("tree", "d")
    logged = run.info.run_id
def get():
    os.mkdir("out")
    mlflow.artifacts.download_artifacts(run_id=logged, artifact_path="d", dst_path="out")
"""

WANDB = """
import wandb
os.mkdir("store")
run = wandb.init(project="p", mode="offline", dir="store", settings=wandb.Settings(silent=True, x_disable_stats=True))
def log():
    artifact = wandb.Artifact("d", "dataset")
    artifact.add_dir("tree")
    run.log_artifact(artifact)
"""


class CannotInstall(Exception):
    """A peer cannot be had on this machine; the message says why."""


@dataclass(frozen=True)
class Peer:
    """How a peer does the work, in a folder with a ``tree`` in it; commands are for a shell, a script for its Python.

    packages: for pip, into an environment of the peer's own. debian: the package its program is in. clear: what stands
    before ``get`` but is not measured. result: the folder in which the files are then.
    """

    name: str
    packages: tuple[str, ...] = ()
    debian: str = ""
    program: str = ""
    script: str = ""
    begin: str = "true"
    log: str = ""
    again: str = ""
    clear: str = "true"
    get: str = ""
    result: str = "out"
    words: dict[str, str] = field(default_factory=dict)


LIBRARY = Peer("ours", script=OURS, get="get")
PROGRAM = Peer(
    "our program",
    program="runicorn",
    log="runicorn --storage store add d tree --type dataset",
    get="runicorn --storage store get d out",
)
LIBRARIES = (
    Peer("runicorn 0.4.1", ("runicorn==0.4.1",), script=RUNICORN, get="get"),
    Peer("MLflow", ("mlflow",), script=MLFLOW, get="get"),
    Peer("W&B offline", ("wandb",), script=WANDB),
)
PROGRAMS = (
    Peer(
        "DVC",
        ("dvc",),
        program="dvc",
        begin="dvc init -q --no-scm && dvc config cache.type hardlink",
        log="dvc add -q tree",
        clear="rm -rf tree",
        get="dvc checkout -q",
        result="tree",
        words={"log": "dvc add, moves the files", "get": "dvc checkout, links"},
    ),
    Peer(
        "restic",
        debian="restic",
        program="restic",
        begin="restic init -q -r store",
        log="restic backup -q -r store tree",
        get="restic restore -q -r store latest --target out",
        words={"log": "restic backup", "get": "restic restore"},
    ),
    Peer(
        "borg",
        debian="borgbackup",
        program="borg",
        begin="borg init -e none store",
        log="borg create -C none store::first tree",
        again="borg create -C none store::second tree",
        get="mkdir out && cd out && borg extract ../store::second",
        words={"log": "borg create", "get": "borg extract"},
    ),
    Peer(
        "git-annex",
        debian="git-annex",
        program="git-annex",
        begin="git init -q && git annex init -q",
        log="git annex add -q tree && git commit -q --allow-empty -m x",
        clear="rm -rf tree",
        get="git checkout -q -- tree",
        result="tree",
        words={"log": "git annex add + commit, moves the files", "get": "git checkout, symbolic links"},
    ),
    Peer(
        "git-lfs",
        debian="git-lfs",
        program="git-lfs",
        begin="git init -q && git lfs install --local --skip-repo && git lfs track '*.bin'",
        log="git add -A && git commit -q --allow-empty -m x",
        clear="rm -rf tree",
        get="git checkout -q -- tree",
        result="tree",
        words={"log": "git add + commit with git-lfs", "get": "git checkout with git-lfs"},
    ),
)


def main() -> None:
    """Measure and print the rows of the table."""
    count, size_mib = (int(text) for text in [*sys.argv[1:3], *("10000", "1024")[len(sys.argv[1:3]) :]])
    groups = [(ours, list(_installed(peers))) for ours, peers in ((LIBRARY, LIBRARIES), (PROGRAM, PROGRAMS))]
    with workplace() as folder:
        source = folder / "small"
        random_tree(source, count, FILE_BYTES)
        changed = sorted(path.relative_to(source) for path in source.rglob("*.bin"))[:: max(1, count // CHANGED)]
        again = f"log again, {len(changed)} of {count:,} changed"
        for ours, peers in groups:
            files = f"{count:,} files of 8 KiB"
            questions = {"log": f"log {files}", "again": again, "get": f"download {files}"}
            _compare(ours, peers, questions, Work(folder / f"many-{ours.name}", source, changed, count, keeps=True))
        large = folder / "large"
        large.mkdir()
        random_file(large / "checkpoint.bin", size_mib << 20)
        for ours, peers in groups:
            one = f"one file of {size_mib} MiB"
            questions = {"log": f"log {one}", "again": "log it again, unchanged", "get": f"download {one}"}
            _compare(ours, peers, questions, Work(folder / f"one-{ours.name}", large, [], 1, keeps=False))


@dataclass(frozen=True)
class Work:
    """What all are given: the files, which of them change before they are logged again, and how many they are.

    keeps: leave everything until the end, because deleting many files makes the next ones slow; one is no matter.
    """

    folder: Path
    source: Path
    changed: list[Path]
    count: int
    keeps: bool


def _compare(ours: Peer, peers: list[Peer], questions: dict[str, str], work: Work) -> None:
    """Have all do the work in turns, and print how we stand to each."""
    ways: dict[str, Callable[[int], object]] = {}
    for peer in (ours, *peers):
        ways |= {f"{peer.name}: {step}": way for step, way in Worker(peer, work).steps().items()}
    found = medians(ways, ROUNDS)
    for step, question in questions.items():
        for peer in peers:
            if f"{peer.name}: {step}" not in found:
                print(f"| {question} |  | {peer.name} cannot do that |  |  |  |", flush=True)
                continue
            words = peer.words.get("log" if step == "again" else step, peer.name)
            later = found[f"{peer.name}: {step} synced"]
            if later > 0.05:
                words += f" (on the disk {later * 1000:.0f} ms later)"
            report(question, found[f"{ours.name}: {step}"], words, found[f"{peer.name}: {step}"], 1)


class Worker:
    """A peer at work in one round after another, each in a folder of its own."""

    def __init__(self, peer: Peer, work: Work) -> None:
        self._peer = peer
        self._work = work
        self._folder = work.folder
        self._started: subprocess.Popen[bytes] | None = None

    def steps(self) -> dict[str, Callable[[int], object]]:
        """Return what it does in a round, in order; each takes the number of the round."""
        peer = self._peer
        steps: dict[str, Callable[[int], object]] = {
            "begin": self._begin,
            "log": lambda _: self._do("log", peer.log),
            "log synced": self._sync,
            "change": self._change,
            "again": lambda _: self._do("log", peer.again or peer.log),
            "again synced": self._sync,
        }
        if peer.get:
            steps |= {
                "clear": self._clear,
                "get": lambda _: self._do("get", peer.get),
                "get synced": self._sync,
                "check": self._check,
            }
        return steps | {"end": self._end}

    def _begin(self, number: int) -> None:
        self._folder = self._work.folder / self._peer.name.replace(" ", "-") / str(number)
        self._folder.mkdir(parents=True)
        shutil.copytree(self._work.source, self._folder / "tree")
        if self._peer.script:
            python = _bin(self._peer) / "python"
            self._started = subprocess.Popen(
                [python, "-c", ANSWERING.format(script=self._peer.script)],
                cwd=self._folder,
                env=self._surroundings(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log_file(),
            )
            self._await()
        else:
            self._shell(self._peer.begin)
        self._sync(number)

    def _do(self, ask: str, command: str) -> None:
        if self._started is None:
            self._shell(command)
        else:
            assert self._started.stdin is not None
            self._started.stdin.write(f"{ask}\n".encode())
            self._started.stdin.flush()
            self._await()

    def _await(self) -> None:
        assert self._started is not None
        assert self._started.stdout is not None
        if not self._started.stdout.readline():
            raise RuntimeError(f"{self._peer.name} failed: {_end_of(self._folder / 'messages')}")

    def _shell(self, command: str) -> None:
        with self._log_file() as messages:
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=self._folder,
                env=self._surroundings(),
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
                check=False,
            )
        if done.returncode != 0:
            raise RuntimeError(f"{self._peer.name}: `{command}` failed: {_end_of(self._folder / 'messages')}")

    def _log_file(self) -> IO[bytes]:
        return (self._folder / "messages").open("ab")

    def _surroundings(self) -> dict[str, str]:
        """Return the environment: nothing is sent anywhere, and all caches lie in the folder."""
        return {
            "PATH": f"{_bin(self._peer)}:{os.environ['PATH']}",
            "HOME": str(self._folder),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "RESTIC_PASSWORD": "x",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self._folder / "site"),
            "MLFLOW_ALLOW_FILE_STORE": "true",
            "DO_NOT_TRACK": "true",
            "WANDB_CACHE_DIR": str(self._folder / "cache"),
            "WANDB_DATA_DIR": str(self._folder / "data"),
            "GIT_CONFIG_COUNT": "3",
            "GIT_CONFIG_KEY_0": "user.name",
            "GIT_CONFIG_VALUE_0": "bench",
            "GIT_CONFIG_KEY_1": "user.email",
            "GIT_CONFIG_VALUE_1": "bench@localhost",
            "GIT_CONFIG_KEY_2": "gc.auto",
            "GIT_CONFIG_VALUE_2": "0",
        }

    def _change(self, number: int) -> None:
        """Write some files anew; not in place, for a peer may have made links of them."""
        for name in self._work.changed:
            file = self._folder / "tree" / name
            file.unlink()
            file.write_bytes(os.urandom(FILE_BYTES))
        self._sync(number)

    def _clear(self, number: int) -> None:
        self._shell(self._peer.clear)
        self._sync(number)

    def _check(self, _: int) -> None:
        result = self._folder / self._peer.result
        there = sum(path.suffix == ".bin" and path.stat().st_size > 0 for path in result.rglob("*"))
        assert there == self._work.count, f"{self._peer.name} gave back {there} files of {self._work.count}"

    def _end(self, number: int) -> None:
        if self._started is not None:
            self._started.communicate()
            self._started = None
        if not self._work.keeps:
            # git-annex takes the right to delete from its folders.
            subprocess.run(["chmod", "-R", "u+w", self._folder], check=False)
            shutil.rmtree(self._folder)
        self._sync(number)

    def _sync(self, _: int) -> None:
        durable.sync_filesystem(self._work.source)


def _installed(peers: tuple[Peer, ...]) -> Iterator[Peer]:
    """Yield the peers that are there or can be installed, and say of the others why they cannot be."""
    for peer in peers:
        try:
            if peer.packages:
                _require_environment(peer)
            else:
                _require_program(peer)
        except CannotInstall as error:
            print(f"| {peer.name} could not be installed | {error} |  |  |  |  |", flush=True)
        else:
            yield peer


def _bin(peer: Peer) -> Path:
    """Return where the programs of a peer lie; ours with the Python that runs this."""
    return ENVIRONMENTS / peer.packages[0] / "bin" if peer.packages else Path(sys.executable).parent


def _require_environment(peer: Peer) -> None:
    """Have an environment with the packages of a peer."""
    folder = _bin(peer).parent
    if (folder / "whole").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    _install(sys.executable, "-m", "venv", folder)
    _install(_bin(peer) / "python", "-m", "pip", "install", "-q", *peer.packages)
    # Written last: an installation that was broken off is begun anew.
    (folder / "whole").touch()


def _require_program(peer: Peer) -> None:
    """Have the program of a peer, from Debian if it is not there and this user may install it."""
    if shutil.which(peer.program):
        return
    if not shutil.which("apt-get"):
        raise CannotInstall(f"there is no apt-get here to install {peer.debian} with")
    if os.geteuid() != 0:
        raise CannotInstall(f"only root may; run `apt-get install {peer.debian}`")
    _install("apt-get", "install", "-y", "-q", peer.debian)


def _install(*command: str | Path) -> None:
    done = subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise CannotInstall(f"`{' '.join(map(str, command))}`: {lines[-1] if lines else f'exit {done.returncode}'}")


def _end_of(file: Path) -> str:
    """Return the last that a peer said."""
    return " ".join(file.read_text(errors="replace").split())[-500:]


if __name__ == "__main__":
    main()
