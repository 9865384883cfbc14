"""Writers and readers at once, in processes of their own."""

import subprocess
import sys

import pytest

import runicorn_es as rn
from runicorn_es import settings

WRITERS, EACH = 8, 50

WRITE = """
import os, sys
from pathlib import Path
import runicorn_es as rn
root, me, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sys.stdin.readline()
with rn.open_store(root) as store:
    for number in range(count):
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
import runicorn_es as rn
root, read_only = sys.argv[1], sys.argv[2] == "read only"
sys.stdin.readline()
seen = looks = 0
with rn.open_store(root, read_only=read_only) as store:
    while seen < int(sys.argv[3]):
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


@pytest.fixture
def start():
    """Start programs that wait until they are told to begin, and are killed at the end."""
    programs: list[subprocess.Popen] = []

    def begin(program: str, *arguments: object) -> subprocess.Popen:
        command = [sys.executable, "-c", program, *map(str, arguments)]
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
        program.stdin.write("begin\n")
        program.stdin.flush()
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


def test_writers_that_are_killed_leave_a_store_that_goes_on(start, tmp_path):
    root = tmp_path / "store"
    rn.open_store(root).close()
    acknowledged = []
    for round_ in range(4):
        writers = [start(WRITE, root, f"{round_}{writer}", 1000) for writer in range(2)]
        for writer in writers:
            writer.stdin.write("begin\n")
            writer.stdin.flush()
        acknowledged += [writers[0].stdout.readline() for _ in range(3 + round_)]
        for writer in writers:
            writer.kill()
        for writer in writers:
            acknowledged += writer.communicate()[0].splitlines(keepends=True)

    with rn.open_store(root) as store:
        for line in acknowledged:
            if not line.endswith("\n"):
                continue
            number, own = line.rstrip("\n").split(" ", 1)
            assert store.get(f"m:v{number}").metadata == {"own": own}
        numbers = [row.version for row in store.versions("m")]
        assert numbers == list(range(1, len(numbers) + 1))
        store.log_artifact(rn.Artifact("m", "model").add_reference("s3://b/k"))
        assert store.rebuild() == []
        assert not [finding for finding in store.audit(deep=True).findings if finding.is_damage]
