"""Whatever a power cut leaves: nothing acknowledged is lost, nothing is half there, and the store opens and goes on."""

import os
from pathlib import Path
import shutil
import sys
from tempfile import TemporaryDirectory

from blake3 import blake3
import pytest

from crash.power import Recording, explore
import runicorn_es as rn
from runicorn_es import durable
from runicorn_es.audit import audit

PREAMBLE = """
import os, sys
import runicorn_es as rn
from runicorn_es import settings
def say(line):
    os.write(1, line.encode())
def log(store, name, *files):
    artifact = rn.Artifact(name, "model")
    for file in files:
        artifact.add_file(os.path.join(sys.argv[2], file))
    say("version " + store.log_artifact(artifact).spec)
"""
SCENARIOS = {
    "found a store": "with rn.open_store(sys.argv[1]) as store: say('store')",
    "log one file": "with rn.open_store(sys.argv[1]) as store: log(store, 'm', 'new')",
    "log several files, one of them known": (
        "with rn.open_store(sys.argv[1]) as store: log(store, 'm', 'new', 'newer', 'old')"
    ),
    "log what is known": "with rn.open_store(sys.argv[1]) as store: log(store, 'n', 'old')",
    "log twice": "with rn.open_store(sys.argv[1]) as store: log(store, 'm', 'new'); log(store, 'm', 'newer')",
    "alias, delete, restore": """
with rn.open_store(sys.argv[1]) as store:
    store.alias("m:v1", "production"); say("alias production 1")
    store.delete("m:v1", force=True); say("deleted")
    store.restore("m:v1"); say("restored")
""",
    "begin another segment": """
settings.SEGMENT_BYTES = 300
with rn.open_store(sys.argv[1]) as store:
    store.alias("m:v1", "a"); say("alias a 1")
    store.alias("m:v1", "b"); say("alias b 1")
""",
}


@pytest.fixture
def place(tmp_path):
    """A folder with a store that has one version, and files to log."""
    for name in ("old", "new", "newer"):
        (tmp_path / name).write_bytes(name.encode() * 100)
    with rn.open_store(tmp_path / "store") as store:
        store.log_artifact(rn.Artifact("m", "model").add_file(tmp_path / "old"))
    return tmp_path


@pytest.fixture
def scratch(place, monkeypatch):
    monkeypatch.setattr(durable, "boot_id", lambda: "the boot after the power cut")
    # In memory where that can be had: the states are many, and their own syncs prove nothing.
    memory = Path("/dev/shm")
    with TemporaryDirectory(prefix="runicorn-power-", dir=memory if os.access(memory, os.W_OK) else place) as folder:
        yield Path(folder) / "store"


def program(place: Path, script: str) -> list[str | Path]:
    # -P: not the package of the working folder, but the one that the tests run with.
    return [sys.executable, "-B", "-P", "-c", PREAMBLE + script, place / "store", place]


def problem_of(root: Path, said: list[str], *, was_founded: bool = True) -> str | None:
    """Return what is wrong with a store after a power cut, given what had been acknowledged."""
    try:
        with rn.open_store(root) as store:
            for name in [row.name for row in store.artifacts()]:
                for row in store.versions(name):
                    for file in store.get(f"{name}:v{row.version}").files():
                        with store.get(f"{name}:v{row.version}").open(file.path) as content:
                            if f"blake3:{blake3(content.read()).hexdigest()}" != file.digest:
                                return f"{name}:v{row.version} has wrong bytes"
            if was_founded and not store.versions("m", deleted=True):
                return "the first version is gone"
            for line in said:
                match line.split():
                    case ["version", spec]:
                        store.get(spec)
                    case ["alias", alias, version]:
                        if (alias, int(version)) not in {(row.alias, row.version) for row in store.aliases("m")}:
                            return f"{line!r} was acknowledged and is lost"
            if said[-1:] == ["restored"] and not store.versions("m"):
                return "the restored version is deleted"
            if was_founded:
                store.restore("m:v1")
                store.alias("m:v1", "after")
        damage = [finding for finding in audit(root, deep=True).findings if finding.is_damage]
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return f"audit: {damage[0].message}" if damage else None


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_power_cut_at_any_moment_loses_nothing_acknowledged(place, scratch, name):
    is_founding = name == "found a store"
    if is_founding:
        shutil.rmtree(place / "store")
        (place / "store").mkdir()
    recording = Recording(place / "store", ignore=("projections", "downloads"))
    done = recording.run(program(place, SCENARIOS[name]))
    assert done.returncode == 0, done.stderr

    count, wrong = explore(recording, scratch, lambda said: problem_of(scratch, said, was_founded=not is_founding))

    assert wrong == []
    assert count > 20


@pytest.mark.parametrize("call", ["rename", "write", "syncfs", "fdatasync", "utimensat"])
def test_a_kill_then_a_restart_then_a_power_cut_loses_nothing_acknowledged(place, scratch, call):
    recording = Recording(place / "store", ignore=("projections", "downloads"))
    killed = recording.run(
        program(place, SCENARIOS["log several files, one of them known"]), "-e", f"inject={call}:signal=KILL:when=2"
    )
    assert killed.returncode == -9
    done = recording.run(program(place, SCENARIOS["log several files, one of them known"]))
    assert done.returncode == 0, done.stderr

    count, wrong = explore(recording, scratch, lambda said: problem_of(scratch, said))

    assert wrong == []
    assert count > 20


def test_a_power_cut_during_the_recovery_from_a_torn_tail_loses_nothing(place, scratch):
    with (place / "store" / "log" / f"{0:020d}.seg").open("ab") as segment:
        segment.write(b"\x55\x00\x00\x00half a record")
    recording = Recording(place / "store", ignore=("projections", "downloads"))
    done = recording.run(program(place, SCENARIOS["log one file"]))
    assert done.returncode == 0, done.stderr

    count, wrong = explore(recording, scratch, lambda said: problem_of(scratch, said))

    assert wrong == []
    assert count > 20
