"""A fault at every call that writes: nothing acknowledged is lost, nothing is half there, the store always opens anew.

Each case runs one operation in a fork whose n-th write-type call is killed, torn, cut short or failed. What it leaves
is looked at by a process without faults. ``--all-faults`` tries every kind at every call; it takes some minutes.
"""

import builtins
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
import random
import shutil

from blake3 import blake3
import pytest

from crash.faults import KILLED, NotReached, Outcome, Server, build, drop_idle_folders, folder_in_memory, run_server
import runicorn_es as rn
from runicorn_es import errors, queries, settings
from runicorn_es.pool import stat_cache
from runicorn_es.repair import repair

pytestmark = pytest.mark.timeout(3600)  # --all-faults

MODES = ("kill", "killafter", "torn:1", "torn-half", "torn-allbut1", "short", "eio", "enospc", "edquot", "eintr")
SOME_MODES = ("kill", "torn-half", "short", "eio", "enospc")
SOME_CASES = 24
TOGETHER = 3
SEGMENT = f"{0:020d}.seg"


def content_of(name: str) -> bytes:
    return f"content of {name} ".encode() * (1000 if name == "large" else 100)


class Prepared:
    """A store with one version of ``m`` in ``root/store``, and files to log in ``root/source``."""

    files = 3

    def prepare(self, root: Path) -> None:
        self.make_files(root)
        with rn.open_store(root / "store") as store:
            store.log_artifact(rn.Artifact("m", "model").add_file(root / "source/0.bin"), aliases=["first"])
        drop_idle_folders(root / "store", [content_of(name) for name in self.names()])

    def names(self) -> list[str]:
        return [f"{number}.bin" for number in range(self.files)]

    def make_files(self, root: Path) -> None:
        (root / "source").mkdir()
        for name in self.names():
            (root / "source" / name).write_bytes(content_of(name))


def remember_every_file() -> None:
    """Have the stat cache note files however young they are: else the machine's pace says how many calls there are."""
    stat_cache._GRANULARITY_NS = stat_cache._COARSE_GRANULARITY_NS = -(10**12)


def log(
    root: Path, acknowledge: Callable[[str], None], *names: str, mode: str = "copy", aliases: tuple[str, ...] = ()
) -> None:
    """Log files as the next version of ``m``, and say so with their names."""
    remember_every_file()
    artifact = rn.Artifact("m", "model", metadata={"n": 2})
    for name in names:
        artifact.add_file(root / "source" / name, mode=mode)
    with rn.open_store(root / "store") as store:
        version = store.log_artifact(artifact, aliases=aliases)
        acknowledge(f"version {version.spec} {' '.join(names)}")
        for alias in aliases:
            acknowledge(f"alias {alias}")


class LogOne(Prepared):
    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        log(root, acknowledge, "1.bin")


class LogMany(Prepared):
    files = 50

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        log(root, acknowledge, *self.names(), aliases=("production",))


class LogLarge(Prepared):
    def names(self) -> list[str]:
        return [*super().names(), "large"]

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        settings.SMALL_FILE_BYTES, settings.COPY_STEP_BYTES = 4096, 8192
        log(root, acknowledge, "1.bin", "large")


class Move(Prepared):
    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        log(root, acknowledge, "0.bin", "1.bin", "2.bin", mode="move")


class Link(Prepared):
    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        log(root, acknowledge, "0.bin", "1.bin", "2.bin", mode="link")


class LogTogether(Prepared):
    """Versions of several artifacts, and then an alias. A crash may leave the first of them, each whole."""

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        remember_every_file()
        with rn.open_store(root / "store") as store:
            with store.batch() as batch:
                for number in range(TOGETHER):
                    artifact = rn.Artifact(f"together-{number}", "model").add_file(root / "source" / f"{number}.bin")
                    batch.log_artifact(artifact, aliases=["production"])
                batch.alias("m:v1", "together")
            for number in range(TOGETHER):
                acknowledge(f"version together-{number}:v1 {number}.bin")
            acknowledge("alias together")


class Alias(Prepared):
    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        with rn.open_store(root / "store") as store:
            store.alias("m:v1", "production", expected=0)
            acknowledge("alias production")


class AliasFromThreads(Prepared):
    """Threads share batches and syncs: a fault is told to all whom it hit."""

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        with rn.open_store(root / "store") as store, ThreadPoolExecutor(4) as pool:

            def work(alias: str) -> None:
                store.alias("m:v1", alias)
                acknowledge(f"alias {alias}")

            for done in [pool.submit(work, alias) for alias in "abcdefgh"]:
                done.result()


class Delete(Prepared):
    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        with rn.open_store(root / "store") as store:
            store.delete("m:v1", force=True)
            acknowledge("deleted")


class Restore(Prepared):
    def prepare(self, root: Path) -> None:
        super().prepare(root)
        with rn.open_store(root / "store") as store:
            store.delete("m:v1", force=True)

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        with rn.open_store(root / "store") as store:
            store.restore("m:v1")
            acknowledge("restored")


class NewSegment(Prepared):
    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        settings.SEGMENT_BYTES = 300
        with rn.open_store(root / "store") as store:
            for alias in ("a", "b"):
                store.alias("m:v1", alias)
                acknowledge(f"alias {alias}")


class Rebuild(Prepared):
    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        shutil.rmtree(root / "store" / "projections")
        with rn.open_store(root / "store") as store:
            store.rebuild()
            acknowledge("rebuilt")


class Recover(Prepared):
    """The first write after a writer died in the middle of its own."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        with (root / "store" / "log" / SEGMENT).open("ab") as segment:
            segment.write(b"\x55\x00\x00\x00half a record")

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        with rn.open_store(root / "store") as store:
            store.alias("m:v1", "production")
            acknowledge("alias production")


class RecoverUnsigned(Alias):
    """The first write after a writer died between its batch and its checkpoint."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        signed = (root / "store" / "checkpoint").read_bytes()
        with rn.open_store(root / "store") as store:
            store.alias("m:v1", "unsigned")
        (root / "store" / "checkpoint").write_bytes(signed)


class RotateKey(Prepared):
    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        with rn.open_store(root / "store") as store:
            store.rotate_key()
            acknowledge("rotated")
            store.alias("m:v1", "production")
            acknowledge("alias production")


class Repair(Prepared):
    """A damaged store takes what it needs from a copy."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        shutil.copytree(root / "store", root / "copy")
        blob = next((root / "store" / "pool").glob("??/*"))
        for damaged in (root / "store" / "log" / SEGMENT, blob):
            content = bytearray(damaged.read_bytes())
            content[len(content) // 2] ^= 1
            damaged.chmod(0o644)
            damaged.write_bytes(content)

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        assert repair(root / "store", root / "copy").remaining == []
        acknowledge("repaired")


class Found(Prepared):
    """A store is made where there is none."""

    files = 1

    def prepare(self, root: Path) -> None:
        self.make_files(root)

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        log(root, acknowledge, "0.bin")


SECRETS = (b"secret of ", b"secret-path.bin", b"secret value", b"secret tag", b"secret://")


class Purge(Prepared):
    """Forget a version that shares a file with another one, wherever something of it lies."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        secret = root / "secret-path.bin"
        secret.write_bytes(b"secret of " * 100)
        with rn.open_store(root / "store") as store:
            artifact = rn.Artifact("hidden", "model", "secret value", {"key": "secret value"}).add_tags("secret tag")
            artifact.add_file(root / "source" / "0.bin").add_file(secret).add_reference("secret://")
            store.log_artifact(artifact)
            store.get("hidden").download()
            store.checkout("hidden", root / "checked-out")
        shutil.rmtree(root / "checked-out")
        secret.unlink()

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        with rn.open_store(root / "store") as store:
            store.purge("hidden:v1", reason="because")
            acknowledge("purged")


class Reclaim(Prepared):
    """Remove blobs that no version names, what killed writers left, and downloads of a deleted version."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        with rn.open_store(root / "store") as store:
            for number in range(3):
                content = f"orphan {number}".encode()
                blob = Path(store.layout.blob(blake3(content).digest()))
                blob.parent.mkdir(exist_ok=True)
                blob.write_bytes(content)
            (store.layout.incoming / "1-dead").mkdir()
            (store.layout.incoming / "1-dead" / "large-0").write_bytes(b"half of a file")
            store.log_artifact(rn.Artifact("gone", "model").add_file(root / "source" / "1.bin"))
            store.get("gone").download()
            store.delete("gone")

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        with rn.open_store(root / "store") as store:
            store.reclaim()
            acknowledge("reclaimed")


class Compact(Prepared):
    """Put a version into packs that share chunks with one that is in packs already, beside one that is not."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        with rn.open_store(root / "store") as store:
            store.log_artifact(rn.Artifact("m", "model").add_file(root / "source" / "1.bin"))
            store.compact("m:v1")
            store.log_artifact(rn.Artifact("m", "model").add_file(root / "source" / "2.bin"))

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        with rn.open_store(root / "store") as store:
            store.compact()
            acknowledge("compacted")


class PurgeCold(Purge):
    """Forget a version of which all lies in packs."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        with rn.open_store(root / "store") as store:
            store.compact(["hidden:v1", "m:v1"])


SCENARIOS = (
    LogOne, LogMany, LogLarge, LogTogether, Move, Link, Alias, AliasFromThreads, Delete, Restore, NewSegment, Rebuild,
    Recover, RecoverUnsigned, RotateKey, Repair, Found, Purge, Reclaim, Compact, PurgeCold,
)  # fmt: skip


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return build(tmp_path_factory.mktemp("shim"))


def problem_of(server: Server, mode: str, outcome: Outcome, before: Outcome | None = None) -> str | None:
    """Return what is wrong after a case, and after the one before it."""
    acknowledged = outcome.acknowledged + (before.acknowledged if before else ())
    sources = [source.name for source in (server.prepared / "source").iterdir()]
    try:
        if outcome.status == 0:
            # The second time, the version has the next number.
            is_all = len(outcome.acknowledged) == len(server.rehearse().acknowledged)
            assert is_all, "it finished, and has not said all"
            assert not is_failed_sync(mode, outcome), "a sync failed, and it went on"
        elif outcome.status != KILLED:
            assert is_told(outcome.raised), outcome.traceback
        if (outcome.folder / "copy").exists() and "repaired" not in outcome.acknowledged:
            assert repair(outcome.folder / "store", outcome.folder / "copy").remaining == [], "it cannot be repaired"
        require_sound(outcome.folder, acknowledged, sources)
    except Exception as error:  # noqa: BLE001
        return f"{outcome.name} of {outcome.path}, ended with {outcome.status}: {type(error).__name__}: {error}"
    return None


def is_failed_sync(mode: str, outcome: Outcome) -> bool:
    """Return whether the fault was that something could not be made durable which must be.

    The tables need not be, nor a file that has not got its name; and a call that was interrupted is made again.
    """
    path = outcome.path or Path()
    is_needed = path.parts[1:2] in {("log",), ("pool",), ("keys",)} and not path.name.startswith(".")
    return mode in {"eio", "enospc", "edquot"} and outcome.name in {"fsync", "fdatasync", "syncfs"} and is_needed


def is_told(raised: str | None) -> bool:
    """Return whether an operation failed with an error that callers are prepared for."""
    name = str(raised).split(":", maxsplit=1)[0].rpartition(".")[2]
    kind = getattr(errors, name, None) or getattr(builtins, name, AssertionError)
    return issubclass(kind, (OSError, rn.RunicornError))


def require_sound(root: Path, acknowledged: tuple[str, ...], sources: list[str]) -> None:
    """Open the store as the next process would, read everything, write, and audit it."""
    with rn.open_store(root / "store") as store:
        contents = {}
        for artifact in store.artifacts():
            for row in store.versions(artifact.name):
                spec = f"{artifact.name}:v{row.version}"
                for file in store.get(spec).files():
                    with store.get(spec).open(file.path) as opened:
                        contents[spec, file.path] = opened.read()
                    assert f"blake3:{blake3(contents[spec, file.path]).hexdigest()}" == file.digest
        aliases = {row.alias for row in store.aliases("m")} if contents else set()
        for line in acknowledged:
            match line.split():
                case ["version", spec, *names]:
                    assert {name: content_of(name) for name in names} == {
                        path: content for (of, path), content in contents.items() if of == spec
                    }
                case ["alias", alias]:
                    assert alias in aliases
                case ["deleted"]:
                    assert store.versions("m") == []
                case ["restored"]:
                    assert [row.version for row in store.versions("m")] == [1]
                case ["purged"]:
                    assert [row.status for row in store.versions("hidden", deleted=True)] == ["purged"]
                case ["reclaimed"]:
                    assert store.reclaim(dry_run=True).items == []
        # Once it is decided, whoever opens the store next has carried it out.
        hidden = store.versions("hidden", deleted=True) if "hidden" in every_name(store) else []
        if "purged" in {row.status for row in hidden}:
            assert files_with(root / "store", SECRETS) == []
        together = [row.name for row in store.artifacts() if row.name.startswith("together")]
        assert together == [f"together-{number}" for number in range(len(together))]
        assert len(together) == TOGETHER or "together" not in aliases
        for name in sources:
            source = root / "source" / name
            # A file that was moved is in the store, or still where it was.
            assert content_of(name) in (contents.values() if not source.exists() else [source.read_bytes()])
        again = store.log_artifact(rn.Artifact("m", "model").add_reference("s3://bucket/key"))
        assert [row.version for row in store.versions("m", deleted=True)] == list(range(1, again + 1))
        assert store.rebuild() == []
        assert [finding.message for finding in store.audit(deep=True).findings if finding.is_damage] == []


def every_name(store: rn.Store) -> set[str]:
    with store.reading() as view:
        return {row.name for row in queries.all_artifacts(view)}


def files_with(folder: Path, texts: tuple[bytes, ...]) -> list[str]:
    """Return the files in which one of these texts is left."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path.relative_to(folder)) for path in files if any(text in path.read_bytes() for text in texts)]


def tell(record_property, count: int, wrong: list[str]) -> None:
    """Let the end of the run say how many cases there were."""
    record_property("fault cases", [count, len(wrong)])
    assert wrong == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda kind: kind.__name__)
def test_a_fault_at_any_call_loses_nothing_acknowledged(shim, scenario, request, record_property):
    is_long = request.config.getoption("--all-faults")
    with folder_in_memory() as root, run_server(shim, f"crash.test_kill:{scenario.__name__}", root) as server:
        chosen = server.plan(*(MODES if is_long else SOME_MODES))
        if not is_long and len(chosen) > SOME_CASES:
            chosen = sorted(random.Random(scenario.__name__).sample(chosen, SOME_CASES))
        reached, wrong = 0, []
        for mode, nth in chosen:
            # Now and then a run has a call less than the rehearsal: what did not happen is not counted.
            with suppress(NotReached), server.case(mode, nth) as outcome:
                reached += 1
                if problem := problem_of(server, mode, outcome):
                    wrong.append(f"{mode} at {nth}, {problem}")
        tell(record_property, reached, wrong)
        # How many batches threads share is another number each time.
        assert reached >= (0.3 if scenario is AliasFromThreads else 0.9) * len(chosen) > 3


def test_a_fault_during_the_recovery_from_a_fault_loses_nothing_acknowledged(shim, request, record_property):
    is_long = request.config.getoption("--all-faults")
    with folder_in_memory() as root, run_server(shim, "crash.test_kill:LogOne", root) as server:
        calls = server.rehearse().count
        firsts = [("torn-half", nth) for nth in range(2, calls + 1, 1 if is_long else 5)]
        if is_long:
            firsts += [("killafter", nth) for nth in range(1, calls + 1, 2)]
        count, wrong = 0, []
        for mode, nth in firsts:
            with suppress(NotReached), server.case(mode, nth) as before:
                for second, at in faults_after(calls, is_long=is_long):
                    with suppress(NotReached), server.case(second, at, origin=before.folder) as outcome:
                        count += 1
                        if problem := problem_of(server, second, outcome, before):
                            wrong.append(f"{mode} at {nth}, then {second} at {at}, {problem}")
        tell(record_property, count, wrong)
        assert count > 20


def faults_after(calls: int, *, is_long: bool) -> list[tuple[str, int]]:
    """Return the faults to try in the run after one that had a fault: it recovers, and has some calls more."""
    modes = ("kill", "torn-half", "eio", "enospc") if is_long else ("kill",)
    return [(mode, at) for mode in modes for at in range(1, calls + 9, 2 if is_long else 5)]
