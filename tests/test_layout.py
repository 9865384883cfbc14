"""Where everything lies under the root."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as some
import pytest

from runicorn_es.layout import Layout, first_index_of

ROOT = Path("/nowhere/store")
LAYOUT = Layout(ROOT)


def test_all_paths_are_those_of_the_format():
    found = {name: str(path.relative_to(ROOT)) for name, path in vars(LAYOUT).items() if isinstance(path, Path)}

    assert found == {
        "root": ".",
        "identity": "store.json",
        "lock": "lock",
        "log": "log",
        "log_quarantine": "log/quarantine",
        "blanking": "log/blanking",
        "checkpoint": "checkpoint",
        "pool": "pool",
        "incoming": "pool/incoming",
        "packs": "pool/packs",
        "pool_quarantine": "pool/quarantine",
        "projections": "projections",
        "boot": "projections/boot",
        "tables": "projections/tables",
        "recount": "projections/recount",
        "custom": "projections/custom",
        "consumers": "consumers",
        "keys": "keys",
        "downloads": "downloads",
        "checkouts": "downloads/.checkouts",
    }
    assert LAYOUT.segment(7) == ROOT / "log" / "00000000000000000007.seg"
    assert LAYOUT.blob(b"\xab" * 32) == f"{ROOT}/pool/ab/{'ab' * 32}"


@given(some.integers(0, 2**63), some.integers(0, 2**63))
def test_segments_are_named_by_their_first_index_and_sort_by_it(one, other):
    assert first_index_of(LAYOUT.segment(one).name) == one
    assert (LAYOUT.segment(one).name < LAYOUT.segment(other).name) == (one < other)


@pytest.mark.parametrize(
    "name",
    [
        "quarantine",
        "0.seg",
        "0000000000000000000x.seg",
        "00000000000000000000.seg.tmp",
        ".00000000000000000000.seg",
        "00000000000000000000",
        "00000000000000000000.bin",
        "-0000000000000000001.seg",
        "\N{ARABIC-INDIC DIGIT ZERO}" * 20 + ".seg",
    ],
)
def test_what_is_not_named_as_a_segment_is_none(name):
    assert first_index_of(name) is None


@given(some.binary(min_size=32, max_size=32))
def test_every_blob_lies_in_one_of_the_256_folders_made_with_the_store(digest):
    blob = Path(LAYOUT.blob(digest))

    assert blob.parent in LAYOUT.fan_out()
    assert blob.name == digest.hex()


def test_the_fan_out_is_256_folders():
    assert len(set(LAYOUT.fan_out())) == 256


def test_a_download_lies_under_the_name_and_number():
    assert LAYOUT.download("resnet50", 3) == ROOT / "downloads" / "resnet50" / "v3"


@given(some.text("aé模\U0001f600", min_size=1, max_size=128))
def test_the_folder_of_a_download_is_never_too_long_for_a_file_system(name):
    folder = LAYOUT.download(name, 1).parent

    assert folder.parent == ROOT / "downloads"
    assert len(folder.name.encode()) <= 255


def test_long_names_that_differ_only_at_their_end_have_different_folders():
    one, other = "模" * 127 + "a", "模" * 127 + "b"

    assert LAYOUT.download(one, 1) != LAYOUT.download(other, 1)
    assert LAYOUT.download(one, 1) != LAYOUT.download(LAYOUT.download(one, 1).parent.name, 1)


@pytest.mark.parametrize("length", [1, 199, 200])
def test_a_name_that_fits_is_the_folder_itself(length):
    assert LAYOUT.download("x" * length, 1).parent.name == "x" * length


def test_a_cut_name_is_longer_than_any_that_is_not_cut():
    for length in range(201, 512):
        assert len(LAYOUT.download("x" * length, 1).parent.name) > 200
