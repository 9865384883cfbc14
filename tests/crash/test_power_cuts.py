"""Whatever a power cut leaves: nothing acknowledged is lost, nothing is half there, and the store opens and goes on.

``--all-states`` lays out every kind of state of every scenario, and kills the program at every call before it starts it
anew and cuts the power; it takes some minutes.
"""

from collections.abc import Iterator
from pathlib import Path
import shutil
import signal
import subprocess
from tempfile import TemporaryDirectory

from blake3 import blake3
import pytest

from crash.faults import build, drop_idle_folders, folder_in_memory
from crash.power import Recording, Tracer, explore, tracing
import runicorn_es as rn
from runicorn_es import durable
from runicorn_es.audit import audit
from runicorn_es.layout import Layout
from runicorn_es.repair import repair

pytestmark = pytest.mark.timeout(3600)  # --all-states

# What the tables hold is made anew; what the lock's file says is for messages only.
IGNORED = ("store/projections", "store/downloads", "store/lock", "copy")
MANY = [f"many {number}" for number in range(50)]
CONTENT = {
    "old": b"old" * 100,
    "new": b"new" * 100,
    "newer": b"newer" * 100,
    "large": bytes(range(256)) * 80,
    **{name: name.encode() * 50 for name in MANY},
}
METADATA = {"text": "more than a page of it " * 400, "layers": list(range(300))}

TOGETHER = ["new", "newer", "old"]
OLD = blake3(CONTENT["old"]).digest()

PREAMBLE = f"""
import os, threading
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa
from cryptography.hazmat.primitives.ciphers import aead
import lmdb
import runicorn_es as rn
from runicorn_es import settings
from runicorn_es.repair import repair
from runicorn_es.signing import keys
STORE = place + "/store"
METADATA = {METADATA!r}
TOGETHER = {TOGETHER!r}
def say(line):
    os.write(1, line.encode())
def log(store, name, *files, mode="copy", **options):
    artifact = rn.Artifact(name, "model")
    for file in files:
        artifact.add_file(f"{{place}}/source/{{file}}", mode=mode)
    say("|".join(["version", store.log_artifact(artifact, **options).spec, *files]))
"""
# What is done to a store that has old as m:v1, in lines that say what was acknowledged.
SCENARIOS = {
    "found a store": "with rn.open_store(STORE) as store: say('store')",
    "found a store and log": "with rn.open_store(STORE) as store: log(store, 'm', 'new')",
    "log one file": "with rn.open_store(STORE) as store: log(store, 'm', 'new')",
    "log several files, one of them known": (
        "with rn.open_store(STORE) as store: log(store, 'm', 'new', 'newer', 'old')"
    ),
    "log what is known": "with rn.open_store(STORE) as store: log(store, 'n', 'old')",
    "log twice": "with rn.open_store(STORE) as store: log(store, 'm', 'new'); log(store, 'm', 'newer')",
    "log many files": f"with rn.open_store(STORE) as store: log(store, 'm', *{MANY!r}, aliases=['production'])",
    "log a large file": """
settings.SMALL_FILE_BYTES, settings.COPY_STEP_BYTES = 4096, 8192
with rn.open_store(STORE) as store: log(store, 'm', 'large', 'new')
""",
    "log together": """
with rn.open_store(STORE) as store:
    with store.batch() as batch:
        for name in TOGETHER:
            batch.log_artifact(rn.Artifact(f"with-{name}", "model").add_file(f"{place}/source/{name}"))
        batch.alias("m:v1", "together")
    for name in TOGETHER:
        say(f"version|with-{name}:v1|{name}")
""",
    "move files": "with rn.open_store(STORE) as store: log(store, 'm', 'new', 'newer', 'old', mode='move')",
    "link files": "with rn.open_store(STORE) as store: log(store, 'm', 'new', 'newer', 'old', mode='link')",
    "log references and metadata": """
artifact = rn.Artifact("m", "model", metadata=METADATA, description="what it is").add_tags("good")
for number in range(300):
    artifact.add_reference(f"s3://bucket/{number}", size=number)
artifact.add_file(f"{place}/source/new")
with rn.open_store(STORE) as store:
    say("described|" + store.log_artifact(artifact, key="once").spec)
    say("described|" + store.log_artifact(artifact, key="once").spec)
""",
    "alias, delete, restore": """
with rn.open_store(STORE) as store:
    store.alias("m:v1", "production"); say("alias|production|1")
    store.delete("m:v1", force=True); say("deleted")
    store.restore("m:v1"); say("restored")
""",
    "delete for good": "with rn.open_store(STORE) as store: store.delete('m:v1'); say('gone')",
    "move an alias": """
with rn.open_store(STORE) as store:
    store.alias("m:v1", "best", expected=0); say("alias|best|1")
    log(store, "m", "new")
    store.alias("m:v2", "best", expected=1); say("moved|best|2")
""",
    "begin another segment": """
settings.SEGMENT_BYTES = 300
with rn.open_store(STORE) as store:
    store.alias("m:v1", "a"); say("alias|a|1")
    store.alias("m:v1", "b"); say("alias|b|1")
""",
    "write from several threads": """
with rn.open_store(STORE) as store:
    def work(name):
        for number in range(2):
            store.alias("m:v1", f"{name}{number}"); say(f"alias|{name}{number}|1")
    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
""",
    "rebuild": "with rn.open_store(STORE) as store: store.rebuild(); store.alias('m:v1', 'a'); say('alias|a|1')",
    "rotate the key": """
with rn.open_store(STORE) as store:
    store.rotate_key()
    store.alias("m:v1", "a"); say("alias|a|1")
""",
    "lock and unlock the key": """
keys._SCRYPT_COST = 16
with rn.open_store(STORE) as store:
    os.environ["RUNICORN_KEY_PASSPHRASE"] = "secret"
    store.set_passphrase("secret")
    store.alias("m:v1", "a"); say("alias|a|1")
    store.set_passphrase(None)
    store.alias("m:v1", "b"); say("alias|b|1")
""",
}
REPAIR = """
assert repair(Path(STORE), Path(place) / "copy").remaining == []
say("repaired")
"""
# Killed at so many calls, started again, and then the power is cut.
KILLED = {"log several files, one of them known": 2, "move files": 2, "begin another segment": 2}
KILLED_OF_ALL = (
    *KILLED, "found a store and log", "log many files", "link files", "log together", "log a large file",
    "log what is known", "alias, delete, restore", "move an alias", "log references and metadata", "rotate the key",
)  # fmt: skip
STEPS_OF_ALL = 8
REFUSALS = ("FileNotFoundError", "runicorn_es.errors.Unknown", "runicorn_es.errors.Conflict")


def pytest_generate_tests(metafunc):
    if "killed" in metafunc.fixturenames:
        metafunc.parametrize("killed", KILLED_OF_ALL if metafunc.config.getoption("--all-states") else KILLED)


@pytest.fixture
def size(request) -> dict[str, int | None]:
    """How many states are looked at, as ``explore`` is told."""
    return {"varied_max": 150} if request.config.getoption("--all-states") else {"varied_max": 6, "most": 40}


@pytest.fixture
def size_after_kill(request) -> dict[str, int | None]:
    """How many states are looked at for each call at which the program was killed before."""
    return {"varied_max": 8} if request.config.getoption("--all-states") else {"varied_max": 3, "most": 25}


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder where many states are laid out fast."""
    with folder_in_memory() as folder:
        yield folder.resolve()


@pytest.fixture(scope="module")
def tracer(memory) -> Iterator[Tracer]:
    with tracing(build(memory / "shim"), memory, PREAMBLE) as started:
        yield started


@pytest.fixture
def root(memory, monkeypatch) -> Iterator[Path]:
    """An empty folder, on a machine that was started anew since the scripts ran."""
    monkeypatch.setattr(durable, "boot_id", lambda: "the boot after the power cut")
    monkeypatch.setenv("RUNICORN_KEY_PASSPHRASE", "secret")
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def place(root) -> Path:
    """A folder with a store that has one version, and files to log."""
    place = root / "place"
    (place / "source").mkdir(parents=True)
    for name, content in CONTENT.items():
        if not name.startswith("many"):
            (place / "source" / name).write_bytes(content)
    with rn.open_store(place / "store") as store:
        store.log_artifact(rn.Artifact("m", "model").add_file(place / "source" / "old"))
    drop_idle_folders(place / "store", CONTENT.values())
    return place


def prepare(place: Path, name: str) -> None:
    """Do what a scenario needs besides a store."""
    if name.startswith("found"):
        shutil.rmtree(place / "store")
    if "many" in name:
        for file in MANY:
            (place / "source" / file).write_bytes(CONTENT[file])


class Scenario:
    """A scenario by its name, and the place where what a power cut left of it is looked at."""

    def __init__(self, place: Path, name: str) -> None:
        self.place = place
        self.was_founded = not name.startswith("found")
        self.may_move = "move files" in name

    def problem_of(self, said: list[str]) -> str | None:
        """Return what is wrong with the store and the files beside it, given what had been acknowledged."""
        try:
            with rn.open_store(self.place / "store") as store:
                stored, problem = read_all(store)
                problem = problem or problem_of_sources(
                    self.place / "source", set(stored.values()), may_move=self.may_move
                )
                for line in said:
                    problem = problem or problem_of_line(store, line, stored)
                problem = problem or self._problem_of_what_follows(store, said)
            damage = [finding for finding in audit(self.place / "store", deep=True).findings if finding.is_damage]
        except Exception as error:  # noqa: BLE001
            return f"{type(error).__name__}: {error}"
        return problem or (f"audit: {damage[0].message}" if damage else None)

    def _problem_of_what_follows(self, store: rn.Store, said: list[str]) -> str | None:
        """Return whether the store does not go on as if nothing had been."""
        if self.was_founded:
            if not store.versions("m", deleted=True):
                return "the first version is gone"
            # A crash may leave the first of them, each whole.
            together = [row.name for row in store.artifacts() if row.name.startswith("with-")]
            is_whole = len(together) == len(TOGETHER) or "together" not in {row.alias for row in store.aliases("m")}
            if together != [f"with-{name}" for name in TOGETHER[: len(together)]] or not is_whole:
                return f"of what was logged together there is only {together}"
            if said[-1:] == ["restored"] and not store.versions("m"):
                return "the restored version is deleted"
            store.restore("m:v1")
            store.alias("m:v1", "after")
        store.log_artifact(rn.Artifact("m", "model", metadata={"is": "after"}).add_reference("s3://b/k"))
        numbers = [row.version for row in store.versions("m", deleted=True)]
        return None if numbers == list(range(1, len(numbers) + 1)) else f"the versions are {numbers}"


def read_all(store: rn.Store) -> tuple[dict[tuple[str, str], bytes], str | None]:
    """Return the bytes of every live version by spec and path, and what is wrong with them."""
    stored = {}
    for artifact in store.artifacts():
        for row in store.versions(artifact.name):
            spec = f"{artifact.name}:v{row.version}"
            version = store.get(spec)
            for file in version.files():
                with version.open(file.path) as content:
                    stored[spec, file.path] = content.read()
                if f"blake3:{blake3(stored[spec, file.path]).hexdigest()}" != file.digest:
                    return stored, f"{spec} has wrong bytes"
    return stored, None


def problem_of_line(store: rn.Store, line: str, stored: dict[tuple[str, str], bytes]) -> str | None:
    """Return whether something that was acknowledged is lost."""
    match line.split("|"):
        case ["version", spec, *files]:
            if [CONTENT[name] for name in files] != [stored.get((spec, name)) for name in files]:
                return f"{line!r} was acknowledged, and its files are others"
        case ["described", spec]:
            found = store.get(spec)
            sizes = sorted(reference.size for reference in found.get_manifest().references)
            if (found.metadata, found.tags, sizes) != (METADATA, ["good"], list(range(300))):
                return f"{line!r} was acknowledged, and is described otherwise"
            if spec != "m:v2":
                return "one key made two versions"
        case ["alias" | "moved" as verb, alias, version]:
            at = {row.alias: row.version for row in store.aliases("m")}.get(alias)
            if at is None or at < int(version) or (verb == "moved" and at != int(version)):
                return f"{line!r} was acknowledged and is lost"
        case ["gone"]:
            if store.versions("m"):
                return "the deleted version is back"
    return None


def problem_of_sources(folder: Path, stored: set[bytes], *, may_move: bool) -> str | None:
    """Return whether the bytes of a source are nowhere any more. A source that is not moved stays where it is."""
    wanted = {name for name in CONTENT if not name.startswith("many")}
    for name in wanted | {source.name for source in folder.iterdir()}:
        is_there = (folder / name).exists()
        if is_there and (folder / name).read_bytes() != CONTENT[name]:
            return f"the source {name} has other bytes"
        if not is_there and not (may_move and CONTENT[name] in stored):
            return f"the source {name} is lost"
    return None


def tell(record_property, count: int, wrong: list[str]) -> None:
    """Let the end of the run say how many states there were."""
    record_property("power-cut states", [count, len(wrong)])
    assert wrong == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_power_cut_at_any_moment_loses_nothing_acknowledged(root, place, tracer, size, record_property, name):
    prepare(place, name)
    recording = Recording(place, ignore=IGNORED)
    done = recording.run(tracer, SCENARIOS[name])
    assert done.status == 0, done.errors

    scratch = root / "scratch"
    count, wrong = explore(recording, scratch, Scenario(scratch, name).problem_of, **size)

    tell(record_property, count, wrong)
    assert count > 20


def test_a_kill_then_a_restart_then_a_power_cut_loses_nothing_acknowledged(
    root, place, tracer, size_after_kill, record_property, request, killed
):
    prepare(place, killed)
    place.rename(root / "pristine")
    begin_anew(root)
    calls = Recording(place, ignore=IGNORED).run(tracer, SCENARIOS[killed]).count
    steps = STEPS_OF_ALL if request.config.getoption("--all-states") else KILLED[killed]
    scratch, total, wrong, seen = root / "scratch", 0, [], set()
    for nth in sorted({1 + calls * (2 * step + 1) // (2 * steps) for step in range(steps)}):
        begin_anew(root)
        recording = Recording(place, ignore=IGNORED)
        died = recording.run(tracer, SCENARIOS[killed], killed_at=nth)
        assert died.status == -signal.SIGKILL, f"{nth} of {calls}: {died.errors}"
        again = recording.run(tracer, SCENARIOS[killed])
        # What was moved or deleted once is not there to be moved or deleted again.
        is_refused = again.errors.rstrip().rpartition("\n")[2].startswith(REFUSALS)
        assert again.status == 0 or is_refused, again.errors
        checked = Scenario(scratch, killed)
        count, some = explore(recording, scratch, checked.problem_of, seen=seen, **size_after_kill)
        total += count
        wrong += [f"killed at call {nth}, {one}" for one in some]

    tell(record_property, total, wrong)
    assert total > 20


def begin_anew(root: Path) -> None:
    """Make the place as it was prepared, with its links, modes and times."""
    shutil.rmtree(root / "place", ignore_errors=True)
    subprocess.run(["cp", "-a", root / "pristine", root / "place"], check=True)


def test_a_power_cut_during_the_recovery_from_a_torn_tail_loses_nothing(root, place, tracer, size, record_property):
    tail = b"\x55\x00\x00\x00half a record"
    with (place / "store" / "log" / f"{0:020d}.seg").open("ab") as segment:
        segment.write(tail)
    recording = Recording(place, ignore=IGNORED)
    done = recording.run(tracer, SCENARIOS["log one file"])
    assert done.status == 0, done.errors

    scratch = root / "scratch"
    checked = Scenario(scratch, "log one file")

    def problem_after_recovery(said: list[str]) -> str | None:
        problem = checked.problem_of(said)
        kept = [file.read_bytes() for file in Layout(scratch / "store").log_quarantine.iterdir()]
        return problem or (None if tail in kept else "the tail is not in quarantine")

    count, wrong = explore(recording, scratch, problem_after_recovery, **size)

    tell(record_property, count, wrong)
    assert count > 20


def test_a_power_cut_during_a_repair_leaves_what_can_be_repaired(root, place, tracer, size, record_property):
    with rn.open_store(place / "store") as store:
        store.log_artifact(rn.Artifact("m", "model").add_file(place / "source" / "new"))
    shutil.copytree(place / "store", place / "copy")
    for damaged in (place / "store" / "log" / f"{0:020d}.seg", Path(Layout(place / "store").blob(OLD))):
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.chmod(0o644)
        damaged.write_bytes(content)
    recording = Recording(place, ignore=IGNORED)
    done = recording.run(tracer, REPAIR)
    assert done.status == 0, done.errors

    scratch = root / "scratch"
    after = Scenario(scratch, "repair")

    def problem_after_repair(said: list[str]) -> str | None:
        if not said:
            repaired = repair(scratch / "store", place / "copy")
            if repaired.remaining:
                return f"after the repair: {repaired.remaining[0].message}"
        return after.problem_of(["version|m:v1|old", "version|m:v2|new"])

    count, wrong = explore(recording, scratch, problem_after_repair, **size)

    tell(record_property, count, wrong)
    assert count > 20
