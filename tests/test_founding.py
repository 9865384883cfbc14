"""A store is made whole or not at all, and recognized for what it is."""

from concurrent.futures import ThreadPoolExecutor
import json
import os
from pathlib import Path
import stat
import subprocess
import sys

import pytest

from given import content, file, rows, version
import runicorn_es as rn
from runicorn_es import durable, settings
from runicorn_es.layout import Layout


@pytest.fixture
def closed(tmp_path):
    """The layout of a store with one version, closed."""
    with rn.open_store(tmp_path / "store") as store:
        version(store)
    return store.layout


def test_a_new_store_is_made_where_there_is_none(tmp_path):
    with rn.open_store(tmp_path / "deep" / "er" / "store") as store:
        assert store.artifacts() == []
    identity = json.loads((tmp_path / "deep" / "er" / "store" / "store.json").read_text())

    assert identity["format"] == 1
    assert bytes.fromhex(identity["store_id"])
    assert identity["origin"] == f"runicorn-es/{identity['store_id']}"
    assert identity["hashes"] == {"blobs": "blake3-256", "log": "sha-256"}


def test_a_store_is_made_in_a_folder_that_is_there_already(tmp_path):
    mine = file(tmp_path / "notes.txt", b"mine")

    with rn.open_store(tmp_path) as store:
        version(store)

    assert mine.read_bytes() == b"mine"


def test_every_store_has_an_id_of_its_own(tmp_path):
    with rn.open_store(tmp_path / "a") as one, rn.open_store(tmp_path / "b") as other:
        assert one.identity.store_id != other.identity.store_id


def test_a_store_keeps_its_identity(closed):
    before = closed.identity.read_bytes()
    with rn.open_store(closed.root) as again:
        assert content(again, "m") == b"content"

    assert closed.identity.read_bytes() == before


def test_the_keys_are_the_owners_alone(closed):
    assert stat.S_IMODE(closed.keys.stat().st_mode) == 0o700
    assert stat.S_IMODE((closed.keys / "signing.key").stat().st_mode) == 0o600


def test_all_folders_of_the_pool_are_made_with_the_store(closed):
    assert all(folder.is_dir() for folder in closed.fan_out())


def test_a_store_can_be_moved(closed, tmp_path):
    closed.root.rename(tmp_path / "elsewhere")

    with rn.open_store(tmp_path / "elsewhere") as moved:
        assert content(moved, "m") == b"content"


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_is_no_store(tmp_path, read_only):
    file(tmp_path / "f")

    with pytest.raises(rn.Rejected, match="f"):
        rn.open_store(tmp_path / "f", read_only=read_only)


def test_reading_makes_no_store(tmp_path):
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(rn.Unknown, match=r"there is no store at .*storage="):
            rn.open_store(root, read_only=True)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "identity",
    [
        {"format": 2},
        {"format": 2, "store_id": "another shape", "hashes": ["a", "list"]},
        {"format": 2, "store_id": "00" * 16, "created": "", "hashes": {}, "origin": "", "more": 1},
    ],
    ids=range(3),
)
def test_a_store_of_a_newer_format_is_too_new_and_not_damaged(closed, identity):
    closed.identity.write_text(json.dumps(identity))

    for read_only in (False, True):
        with pytest.raises(rn.TooNew, match=r"has format 2, this release knows 1; upgrade"):
            rn.open_store(closed.root, read_only=read_only)


@pytest.mark.parametrize(
    "identity",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"format": "1"}', b'{"format": 1}', b'{"format": 1, "store_id": "00"}'],
    ids=range(8),
)
def test_an_identity_that_cannot_be_read_is_damage_and_can_be_made_anew(closed, identity):
    whole = json.loads(closed.identity.read_text())
    closed.identity.write_bytes(identity)

    with pytest.raises(rn.Damaged, match=r"store\.json cannot be read .*remove it"):
        rn.open_store(closed.root)
    closed.identity.unlink()

    with rn.open_store(closed.root) as again:
        assert again.identity.store_id == whole["store_id"]
        assert content(again, "m") == b"content"


def test_an_id_that_is_not_of_16_bytes_is_damage(closed):
    identity = json.loads(closed.identity.read_text())
    for wrong in ("", "00", "zz" * 16, identity["store_id"] + "00"):
        closed.identity.write_text(json.dumps({**identity, "store_id": wrong}))

        with pytest.raises(rn.Damaged, match="cannot be read"):
            rn.open_store(closed.root)


def test_an_identity_of_another_store_is_damage(closed):
    identity = json.loads(closed.identity.read_text())
    closed.identity.write_text(json.dumps({**identity, "store_id": "00" * 16}))

    with pytest.raises(rn.Damaged, match="belongs to another store"):
        rn.open_store(closed.root)


def test_a_lost_identity_is_not_made_from_a_log_that_is_none(closed):
    closed.identity.unlink()
    closed.segment(0).write_bytes(b"noise")

    with pytest.raises(rn.Damaged, match="is not a segment of a log"):
        rn.open_store(closed.root)
    assert not closed.identity.exists()


STEPS = ["make_folder", "write_file", "sync_folder"]


@pytest.mark.parametrize("step", STEPS)
def test_a_store_whose_making_broke_off_anywhere_is_made_by_the_next(tmp_path, step):
    """The process dies at each call of the step in turn; what it made so far is found done."""
    number = 0
    while True:
        root = tmp_path / f"{step}{number}"
        with pytest.MonkeyPatch.context() as patch:
            break_off(patch, step, number)
            try:
                rn.open_store(root).close()
            except Died:
                number += 1
            else:
                break
        with rn.open_store(root) as store:
            assert version(store, b"%d" % number) == 1
            assert content(store, "m") == b"%d" % number
    assert number >= 1


class Died(BaseException):
    """The process is gone: nothing that is written for errors runs."""


def break_off(patch: pytest.MonkeyPatch, step: str, number: int) -> None:
    real, calls = getattr(durable, step), iter(range(number))

    def die_at_last(*given, **options):
        if next(calls, None) is None:
            raise Died
        return real(*given, **options)

    patch.setattr(durable, step, die_at_last)


def test_threads_that_make_one_store_make_one(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        stores = list(threads.map(rn.open_store, [tmp_path / "store"] * 8))

    assert len({store.identity.store_id for store in stores}) == 1
    assert [kind(event) for _, events in stores[0].events() for event in events].count("StoreCreated") == 1
    for store in stores:
        store.close()


def kind(event: object) -> str:
    return type(event).__name__


def test_processes_that_make_one_store_make_one(tmp_path):
    program = "import sys, runicorn_es as rn; print(rn.open_store(sys.argv[1]).identity.store_id)"
    command = [sys.executable, "-c", program, tmp_path / "store"]
    made = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]

    assert len({process.communicate(timeout=60)[0] for process in made}) == 1
    with rn.open_store(tmp_path / "store") as store:
        assert len([1 for _, events in store.events() for event in events if kind(event) == "StoreCreated"]) == 1


def test_a_store_with_an_empty_log_is_opened_for_reading(tmp_path):
    with rn.open_store(tmp_path) as store:
        layout = store.layout
    os.truncate(layout.segment(0), 68)
    layout.checkpoint.unlink()

    with rn.open_store(tmp_path, read_only=True) as reader:
        assert reader.artifacts() == []
        assert reader.stats().total.versions == 0
        assert rows(reader) == {}


def test_layout_and_settings_agree_on_the_format():
    assert settings.FORMAT_VERSION == 1
    assert Layout(Path("/s")).segment(0).name == "0" * 20 + ".seg"
