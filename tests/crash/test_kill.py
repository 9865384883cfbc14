"""A fault at every call that writes: nothing acknowledged is lost, nothing is half there, the store always opens anew.

Each case runs one operation in a fork whose n-th write-type call is killed, torn, cut short or failed. What it leaves
is looked at by a process without faults.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
import shutil

from blake3 import blake3
import pytest

from crash.faults import NotReached, build, folder_in_memory, run_server
import runicorn_es as rn

MODES = ("kill", "killafter", "torn:1", "torn-half", "torn-allbut1", "short", "eio", "enospc", "edquot", "eintr")


def make_files(root: Path, count: int) -> None:
    for number in range(count):
        (root / f"{number}.bin").write_bytes(b"content %d" % number * 300)


class Prepared:
    """A store with one version of ``m`` in ``root/store``, and files to log beside it."""

    files = 3

    def prepare(self, root: Path) -> None:
        make_files(root, self.files)
        with rn.open_store(root / "store") as store:
            store.log_artifact(rn.Artifact("m", "model").add_file(root / "0.bin"), aliases=["first"])


class LogOne(Prepared):
    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        with rn.open_store(root / "store") as store:
            version = store.log_artifact(rn.Artifact("m", "model", metadata={"n": 2}).add_file(root / "1.bin"))
            acknowledge(f"version {version.spec}")


class LogMany(Prepared):
    files = 20

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        with rn.open_store(root / "store") as store:
            artifact = rn.Artifact("m", "model")
            for number in range(self.files):
                artifact.add_file(root / f"{number}.bin")
            version = store.log_artifact(artifact, aliases=["production"])
            acknowledge(f"version {version.spec}")


class Alias(Prepared):
    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        with rn.open_store(root / "store") as store:
            store.alias("m:v1", "production")
            acknowledge("alias production")


class DeleteAndRestore(Prepared):
    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        with rn.open_store(root / "store") as store:
            store.delete("m:v1", force=True)
            acknowledge("deleted")
            store.restore("m:v1")
            acknowledge("restored")


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
        with (root / "store" / "log" / f"{0:020d}.seg").open("ab") as segment:
            segment.write(b"\x55\x00\x00\x00half a record")

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        with rn.open_store(root / "store") as store:
            store.alias("m:v1", "production")
            acknowledge("alias production")


class Found:
    """A store is made where there is none."""

    def prepare(self, root: Path) -> None:
        make_files(root, 1)

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        with rn.open_store(root / "store") as store:
            version = store.log_artifact(rn.Artifact("m", "model").add_file(root / "0.bin"))
            acknowledge(f"version {version.spec}")


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return build(tmp_path_factory.mktemp("shim"))


def require_sound(root: Path, acknowledged: list[str]) -> None:
    """Open the store as the next process would, read everything, write, and audit it."""
    with rn.open_store(root / "store") as store:
        for artifact in store.artifacts():
            for row in store.versions(artifact.name):
                version = store.get(f"{artifact.name}:v{row.version}")
                for file in version.files():
                    with version.open(file.path) as content:
                        assert f"blake3:{blake3(content.read()).hexdigest()}" == file.digest
        for line in acknowledged:
            match line.split():
                case ["version", spec]:
                    store.get(spec)
                case ["alias", alias]:
                    assert alias in {row.alias for row in store.aliases("m")}
        if acknowledged[-1:] == ["restored"]:
            assert [row.version for row in store.versions("m")] == [1]
        again = store.log_artifact(rn.Artifact("m", "model").add_file(root / "0.bin"))
        assert [row.version for row in store.versions("m", deleted=True)] == list(range(1, again + 1))
        assert store.rebuild() == []
        assert [finding.message for finding in store.audit(deep=True).findings if finding.is_damage] == []


@pytest.mark.parametrize(
    "scenario", [LogOne, LogMany, Alias, DeleteAndRestore, Rebuild, Recover, Found], ids=lambda kind: kind.__name__
)
def test_a_fault_at_any_call_loses_nothing_acknowledged(shim, scenario, request):
    is_long = request.config.getoption("--all-faults")
    modes = MODES if is_long else ("kill", "torn-half", "short", "eio", "enospc")
    with folder_in_memory() as root, run_server(shim, f"crash.test_kill:{scenario.__name__}", root) as server:
        plan = server.plan(*modes)
        # Making a store makes 256 folders, one much like another.
        step = 1 if is_long else max(1, len(plan) // 60)
        chosen, reached = plan[::step], 0
        for mode, nth in chosen:
            # Now and then a run has a call less than the rehearsal.
            with suppress(NotReached), server.case(mode, nth) as outcome:
                require_sound(outcome.folder, outcome.acknowledged)
                reached += 1
        assert reached >= 0.9 * len(chosen) > 9


def test_a_fault_during_the_recovery_from_a_fault_loses_nothing_acknowledged(shim):
    with folder_in_memory() as root, run_server(shim, "crash.test_kill:LogOne", root) as server:
        count, count_of_cases = server.rehearse().count, 0
        for first in range(2, count + 1, 4):
            with server.case("torn-half", first) as before:
                for second in range(1, count + 1, 5):
                    # The second run may have fewer calls: what the first had done is not done again.
                    with suppress(NotReached), server.case("kill", second, origin=before.folder) as outcome:
                        require_sound(outcome.folder, before.acknowledged + outcome.acknowledged)
                        count_of_cases += 1
        assert count_of_cases > 10
