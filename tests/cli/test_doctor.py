"""``doctor``: what is well, what is not, and what might be."""

import os
from pathlib import Path
import shutil

import pytest

from given import version
import runicorn_es as rn
from runicorn_es.cli.checkup import file_system_of, is_local
from runicorn_es.layout import Layout


@pytest.fixture
def layout(root) -> Layout:
    """A store with one version, closed."""
    with rn.open_store(root) as store:
        version(store, b"bytes")
        return store.layout


def test_a_healthy_store_is_described_and_exits_with_0(cli, layout):
    done = cli("doctor")

    lines = dict(line.split(maxsplit=1) for line in done.lines() if "  " in line)
    assert (done.code, done.lines()[-1]) == (0, "healthy")
    assert rn.__version__ in lines["versions"]
    assert lines["store"] == str(layout.root)
    assert lines["log"].startswith("3 records, ")
    assert lines["checkpoint"] == "of 3 records"
    assert lines["pool"] == "1 blob, 5 B"
    assert lines["quarantine"] == "empty"
    assert "flock works" in done.out


def test_nothing_is_changed_by_looking(cli, layout):
    before = {path: path.stat().st_mtime_ns for path in layout.root.rglob("*")}
    cli("doctor")
    assert {path: path.stat().st_mtime_ns for path in layout.root.rglob("*")} == before


def test_damage_to_the_log_is_found_though_the_tables_know_better(cli, layout):
    segment = layout.segment(0)
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)

    done = cli("doctor")

    assert done.code == 65
    assert done.lines()[-1] == "not healthy: 1 finding"
    assert "log          unknown records" in done.out
    assert done.err.startswith("error: segment 00000000000000000000.seg")


def test_a_lost_checkpoint_is_found(cli, layout):
    layout.checkpoint.unlink()
    assert_finds(cli, "there is no readable checkpoint")


def test_a_checkpoint_with_another_signature_is_found(cli, layout, tmp_path):
    with rn.open_store(tmp_path / "other") as other:
        version(other)
    (layout.keys / "ed25519.vkey").write_bytes((other.layout.keys / "ed25519.vkey").read_bytes())
    assert_finds(cli, "the checkpoint is not signed with this store's key")


def test_a_log_with_another_history_than_was_signed_is_found(cli, layout):
    copy = layout.root.with_name("copy")
    shutil.copytree(layout.root, copy)
    for root, name in ((layout.root, "one"), (copy, "two")):
        with rn.open_store(root) as store:
            version(store, name=name)
    layout.checkpoint.write_bytes((copy / "checkpoint").read_bytes())

    assert_finds(cli, "records are not those that the checkpoint was signed for")


def test_a_lost_signing_key_is_found(cli, layout):
    (layout.keys / "signing.key").unlink()
    assert_finds(cli, "the signing key is missing")


def test_a_missing_folder_of_the_pool_is_found(cli, layout):
    empty = next(folder for folder in layout.fan_out() if not list(folder.iterdir()))
    empty.rmdir()
    assert_finds(cli, f"folders of the pool are missing: pool/{empty.name}")


def test_a_changed_blob_is_found_until_it_is_healed(cli, layout, tmp_path):
    [blob] = [path for folder in layout.fan_out() for path in folder.iterdir()]
    blob.chmod(0o644)
    blob.write_bytes(b"other")
    assert cli("get", "m", tmp_path / "out").code == 65

    assert_finds(cli, f"blob {blob.name[:16]}… was changed")

    with rn.open_store(layout.root) as store:
        version(store, b"bytes")
    healed = cli("doctor")
    assert healed.code == 0
    assert "quarantine   1 file, 5 B" in healed.out


def test_a_torn_tail_in_quarantine_is_shown_and_is_no_finding(cli, layout):
    (layout.log_quarantine / "00000000000000000000-99-1.bin").write_bytes(b"torn")
    done = cli("doctor")
    assert done.code == 0
    assert "         4 B  log/quarantine/00000000000000000000-99-1.bin" in done.lines()


def test_findings_in_json_come_with_exit_code_65(cli, layout):
    layout.checkpoint.unlink()
    done = cli("doctor", "--json")
    assert (done.code, done.err) == (65, "")
    assert len(done.json()["findings"]) == 1


def assert_finds(cli, message: str) -> None:
    done = cli("doctor")
    assert done.code == 65
    assert message in done.err


MOUNTS = """\
/dev/vda / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/export /home/ana nfs4 rw 0 0
/dev/vdb /home/ana/my\\040disk ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
/dev/vdc /tmp xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/var/store", ("ext4", "/")),
        ("/home/anabel/store", ("ext4", "/")),
        ("/home/ana/store", ("nfs4", "/home/ana")),
        ("/home/ana/my disk/store", ("ext4", "/home/ana/my disk")),
        ("/tmp", ("xfs", "/tmp")),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path, found):
    assert file_system_of(Path(path), MOUNTS) == found


def test_where_the_system_lists_no_mounts_the_file_system_is_unknown():
    assert file_system_of(Path("/var"), "") == ("", "")


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuseblk", "9p", "ceph"])
def test_a_file_system_of_another_machine_is_not_local(kind):
    assert not is_local(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "apfs", ""])
def test_a_file_system_of_this_machine_is_local(kind):
    assert is_local(kind)


def test_the_little_room_that_is_left_is_a_warning(cli, layout, monkeypatch):
    statvfs = os.statvfs

    def nearly_full(path: str) -> os.statvfs_result:
        found = list(statvfs(path))
        found[4] = 1
        return os.statvfs_result(found)

    monkeypatch.setattr(os, "statvfs", nearly_full)
    done = cli("doctor")
    assert done.code == 0
    assert done.err.startswith("warning: only ")
