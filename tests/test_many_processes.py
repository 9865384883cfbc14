"""Writers and readers at once, in processes of their own. With ``--minute`` they go on for one, not for seconds."""

from contextlib import suppress
import os
from pathlib import Path
import random
import signal
import subprocess
import sys
from threading import Thread
import time

import pytest

import runicorn_es as rn
from runicorn_es import settings
from runicorn_es.events import AliasSet

pytestmark = pytest.mark.timeout(900)  # --minute

WRITERS, EACH = 8, 50

# How many writers are killed, however busy the machine is.
KILLS_LEAST = 4

WRITE = """
import os, sys
from pathlib import Path
import runicorn_es as rn
root, me, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sys.stdin.readline()
with rn.open_store(root) as store:
    for number in range(count):
        if (root.parent / "stop").exists():
            break
        folder = root.parent / f"writer {me}" / str(number)
        folder.mkdir(parents=True)
        own = f"{me} {number}"
        (folder / "own").write_text(own)
        (folder / "shared").write_text("the same for all")
        artifact = rn.Artifact("m", "model", metadata={"own": own}).add_dir(folder)
        version = store.log_artifact(artifact, aliases=[f"{me}-{number}"])
        print(int(version), own, flush=True)
"""

READ = """
import sys
from pathlib import Path
import runicorn_es as rn
root, read_only = sys.argv[1], sys.argv[2] == "read only"
sys.stdin.readline()
seen = looks = 0
with rn.open_store(root, read_only=read_only) as store:
    while seen < int(sys.argv[3]) and not Path(root).with_name("stop").exists():
        try:
            latest = store.get("m")
        except rn.Unknown:
            continue
        looks += 1
        assert latest.version >= seen, (latest.version, seen)
        seen = latest.version
        own = latest.metadata["own"]
        assert [file.path for file in latest.files()] == ["own", "shared"], seen
        with latest.open("own") as file:
            assert file.read().decode() == own, seen
        assert latest.get_metadata().num_files == 2
        assert own.replace(" ", "-") in latest.aliases
        rows = store.versions("m")
        assert [row.version for row in rows] == list(range(1, len(rows) + 1))
        assert store.artifacts()[0].live >= seen
print("whole")
"""

MOVE = """
import sys
import runicorn_es as rn
with rn.open_store(sys.argv[1]) as store:
    for line in sys.stdin:
        target, expected = map(int, line.split())
        try:
            store.alias(f"m:v{target}", "best", expected=expected)
        except rn.Conflict:
            print("conflict", flush=True)
        else:
            print("won", flush=True)
"""

INCREMENT = """
import sys
import runicorn_es as rn
sys.stdin.readline()
with rn.open_store(sys.argv[1]) as store:
    left = int(sys.argv[2])
    while left:
        at = next((row.version for row in store.aliases("m") if row.alias == "counter"), 0)
        try:
            store.alias(f"m:v{at + 1}", "counter", expected=at)
        except rn.Conflict:
            continue
        print(at + 1, flush=True)
        left -= 1
"""


# Logs a few contents again and again, and gives up in between: then blobs are nobody's until somebody logs them again.
LOG_AND_GIVE_UP = """
import random, sys, time
from pathlib import Path
import runicorn_es as rn
root, me, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
chance = random.Random(me)
folder = root.parent / f"writer {me}"
folder.mkdir()
sys.stdin.readline()

class GivenUp(Exception):
    pass

def drawn(number):
    for name in ("a", "b"):
        (folder / name).write_text(f"content {number // 4 + chance.randrange(12)}" * 50)
    return rn.Artifact(me, "model").add_dir(folder)

with rn.open_store(root) as store:
    for number in range(count):
        if chance.random() < 0.3:
            try:
                with store.taken_in([store.wish_for(drawn(number + 8), None, ())], lambda _: None):
                    raise GivenUp
            except GivenUp:
                pass
        version = store.log_artifact(drawn(number))
        print(int(version), (folder / "a").read_text(), (folder / "b").read_text(), sep="|", flush=True)
        if chance.random() < 0.002:
            store.purge(f"{me}:v{chance.randrange(version) + 1}", force=True)
        if chance.random() < 0.02:
            time.sleep(0.02)
"""

COLLECT = """
import sys
from pathlib import Path
import runicorn_es as rn
root = Path(sys.argv[1])
sys.stdin.readline()
removed = packed = 0
with rn.open_store(root) as store:
    while not (root.parent / "stop").exists():
        removed += sum(item.kind == "blob" for item in store.reclaim().items)
        if sys.argv[2] == "pack":
            packed += store.compact(keep_last=20).count
print(removed, packed)
"""


@pytest.fixture
def start():
    """Start programs that wait until they are told to begin, and are killed at the end."""
    programs: list[subprocess.Popen] = []

    def begin(program: str, *arguments: object) -> subprocess.Popen:
        command = [sys.executable, "-P", "-c", program, *map(str, arguments)]
        programs.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        return programs[-1]

    yield begin
    for program in programs:
        program.kill()
        program.communicate()


@pytest.mark.parametrize("segment_bytes", [settings.SEGMENT_BYTES, 5000], ids=["one segment", "many segments"])
def test_eight_processes_log_versions_of_one_artifact_and_readers_see_each_whole(start, tmp_path, segment_bytes):
    root = tmp_path / "store"
    rn.open_store(root).close()
    small = f"from runicorn_es import settings; settings.SEGMENT_BYTES = {segment_bytes}\n"
    count = EACH if segment_bytes == settings.SEGMENT_BYTES else 4
    readers = [start(READ, root, how, WRITERS * count) for how in ("read only", "read and write")]
    writers = [start(small + WRITE, root, writer, count) for writer in range(WRITERS)]

    for program in readers + writers:
        begin(program)
    written = [writer.communicate(timeout=100) for writer in writers]
    read = [reader.communicate(timeout=100) for reader in readers]

    assert [said for _, said in written] == [""] * WRITERS
    assert read == [("whole\n", "")] * 2
    logged = {int(line.split(" ", 1)[0]): line.split(" ", 1)[1] for out, _ in written for line in out.splitlines()}
    assert sorted(logged) == list(range(1, WRITERS * count + 1))
    assert sorted(logged.values()) == sorted(
        f"{writer} {number}" for writer in range(WRITERS) for number in range(count)
    )
    with rn.open_store(root) as store:
        for number, own in logged.items():
            version = store.get(f"m:v{number}")
            assert version.metadata == {"own": own}
            with version.open("own") as file:
                assert file.read().decode() == own
            assert store.get(f"m:{own.replace(' ', '-')}").version == number
        assert (len(list(store.layout.log.glob("*.seg"))) > 1) is (segment_bytes != settings.SEGMENT_BYTES)
        assert store.rebuild() == []
        assert store.audit(deep=True, tables=True).findings == []


def test_writers_and_readers_go_on_beside_one_that_is_killed_again_and_again(start, tmp_path, request, record_property):
    root = tmp_path / "store"
    rn.open_store(root).close()
    chance = random.Random(0)
    writers = [start(WRITE, root, f"w{number}", 1_000_000) for number in range(3)]
    readers = [start(READ, root, how, 1_000_000) for how in ("read only", "read and write")]
    others = [Reader(program) for program in writers + readers]
    for program in writers + readers:
        begin(program)

    acknowledged, kills = [], 0
    ends_at = time.monotonic() + (60 if request.config.getoption("--minute") else 5)
    waiting = start(WRITE, root, "k0", 1_000_000)
    # A machine that is busy with other things takes longer to kill as many.
    while time.monotonic() < ends_at or kills < KILLS_LEAST:
        victim, waiting = waiting, start(WRITE, root, f"k{kills + 1}", 1_000_000)
        begin(victim)
        acknowledged += [victim.stdout.readline() for _ in range(chance.randrange(4))]
        # In the middle of whatever it does then.
        with suppress(subprocess.TimeoutExpired):
            victim.wait(timeout=chance.uniform(0, 0.03))
        assert victim.poll() is None, victim.stderr.read()
        os.kill(victim.pid, signal.SIGKILL)
        acknowledged += victim.communicate()[0].splitlines(keepends=True)
        assert victim.returncode == -signal.SIGKILL
        kills += 1
    (tmp_path / "stop").touch()
    said = [other.result() for other in others]

    assert [errors for _, errors in said] == [""] * len(said)
    assert [out for out, _ in said[len(writers) :]] == ["whole\n"] * len(readers)
    # What a killed process did not say to its end was not acknowledged.
    lines = [line for out, _ in said[: len(writers)] for line in out.splitlines()]
    lines += [line.rstrip("\n") for line in acknowledged if line.endswith("\n")]
    logged = {int(line.split(" ", 1)[0]): line.split(" ", 1)[1] for line in lines}
    assert len(logged) == len(lines) > kills
    with rn.open_store(root) as store:
        numbers = [row.version for row in store.versions("m")]
        assert numbers == list(range(1, len(numbers) + 1))
        pointed_to = {row.alias: row.version for row in store.aliases("m")}
        for number, own in logged.items():
            version = store.get(f"m:v{number}")
            assert version.metadata == {"own": own}
            with version.open("own") as file:
                assert file.read().decode() == own
            assert pointed_to[own.replace(" ", "-")] == number
        assert store.rebuild() == []
        assert not [finding for finding in store.audit(deep=True, tables=True).findings if finding.is_damage]
        assert store.log_artifact(rn.Artifact("m", "model").add_reference("s3://b/k")) == len(numbers) + 1
    record_property("killed writers", [kills, 0])
    record_property("versions beside killed writers", [len(numbers), 0])


def test_of_all_who_move_an_alias_from_the_same_version_one_succeeds(start, tmp_path, request):
    rounds = 300 if request.config.getoption("--minute") else 20
    root = versions_to_point_to(tmp_path, rounds * WRITERS)
    movers = [start(MOVE, root) for _ in range(WRITERS)]

    at = 0
    for round_ in range(rounds):
        # In every other round each has a target of its own.
        targets = [1 + round_ * WRITERS + (number if round_ % 2 else 0) for number in range(WRITERS)]
        for mover, target in zip(movers, targets, strict=True):
            begin(mover, f"{target} {at}")
        answers = [mover.stdout.readline() for mover in movers]

        assert sorted(answers) == ["conflict\n"] * (WRITERS - 1) + ["won\n"]
        at = targets[answers.index("won\n")]
        with rn.open_store(root, read_only=True) as store:
            assert store.get("m:best").version == at


def test_eight_processes_that_count_with_an_alias_lose_no_count(start, tmp_path, request):
    each = 100 if request.config.getoption("--minute") else 8
    root = versions_to_point_to(tmp_path, WRITERS * each)
    counters = [start(INCREMENT, root, each) for _ in range(WRITERS)]

    for program in counters:
        begin(program)
    said = [program.communicate(timeout=300) for program in counters]

    assert [errors for _, errors in said] == [""] * WRITERS
    counted = [int(line) for out, _ in said for line in out.splitlines()]
    assert sorted(counted) == list(range(1, WRITERS * each + 1))
    with rn.open_store(root) as store:
        moves = [event.version for _, events in store.events() for event in events if isinstance(event, AliasSet)]
        assert moves == list(range(1, WRITERS * each + 1))
        assert store.audit(tables=True).findings == []


def versions_to_point_to(folder: Path, count: int) -> Path:
    """Make a store with so many versions of m; returns its root."""
    with rn.open_store(folder / "store") as store:
        for number in range(count):
            store.log_artifact(rn.Artifact("m", "model").add_reference(f"s3://bucket/{number}"))
    return folder / "store"


def begin(program: subprocess.Popen, line: str = "begin") -> None:
    """Tell a program to begin."""
    program.stdin.write(f"{line}\n")
    program.stdin.flush()


class Reader(Thread):
    """Takes what a program says while it runs: one that nobody listens to would wait for ever."""

    def __init__(self, program: subprocess.Popen) -> None:
        super().__init__(daemon=True)
        self._program = program
        self._out = ""
        self.start()

    def run(self) -> None:
        self._out = self._program.stdout.read()

    def result(self, wait_s: float = 300) -> tuple[str, str]:
        """Return all that the program said, and its errors, once it has ended."""
        self.join(timeout=wait_s)
        errors = self._program.stderr.read()
        self._program.wait(timeout=60)
        return self._out, errors


@pytest.mark.timeout(7000)  # --commits 100000
def test_no_blob_is_lost_while_garbage_is_collected_beside_writers(start, tmp_path, request, record_property):
    root = tmp_path / "store"
    rn.open_store(root).close()
    count = request.config.getoption("--commits") // 3
    writers = [start(LOG_AND_GIVE_UP, root, f"w{number}", count) for number in range(3)]
    collectors = [start(COLLECT, root, what) for what in ("remove", "pack")]
    for program in writers + collectors:
        begin(program)

    # All at once: a writer whose pipe is full waits for whoever reads it.
    said = [Reader(writer) for writer in writers]
    written = [other.result(6000) for other in said]
    (tmp_path / "stop").touch()
    collected = [collector.communicate(timeout=60) for collector in collectors]

    assert [said for _, said in written + collected] == [""] * 5
    assert sum(int(out.split()[0]) for out, _ in collected) > 0
    lost = 0
    with rn.open_store(root) as store:
        for me, (out, _) in enumerate(written):
            contents = {int(line.split("|")[0]): line.split("|")[1:] for line in out.splitlines()}
            assert len(contents) == count
            for row in store.versions(f"w{me}"):
                version = store.get(f"w{me}:v{row.version}")
                for name, expected in zip(("a", "b"), contents[row.version], strict=True):
                    try:
                        with version.open(name) as opened:
                            assert opened.read().decode() == expected
                    except rn.BlobDamaged:
                        lost += 1
        assert store.audit(deep=True, tables=True).is_clean
    record_property("commits beside garbage collection", (3 * count, lost))
    assert lost == 0
