"""Tiles as C2SP tlog-tiles says: which there are for a size, how they are named, and that a full one never changes."""

import os

import pytest

from runicorn_es import merkle, tiles
from runicorn_es.layout import Layout
from runicorn_es.log import START, Entry, Log
from runicorn_es.signing import Head, Signer
from runicorn_es.signing.keys import Seeds

SIGNER = Signer("runicorn-es/00112233", Seeds(bytes(32), bytes(32)))


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A log of 600 records in batches of 100."""
    layout = Layout(tmp_path_factory.mktemp("log"))
    layout.log.mkdir()
    log = Log(layout, bytes(16))
    log.create()
    position = START
    for _ in range(6):
        _, position = log.append([Entry("m:v1", os.urandom(20), 0) for _ in range(100)], position, 1)
    return log


def exported(log, size, target):
    leaves = log.leaves(size)
    head = Head(size, merkle.root(leaves))
    tiles.export(log, head, SIGNER.sign(head), target)
    return sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()), leaves


@pytest.mark.parametrize(
    ("number", "width", "path"),
    [
        (0, 256, "tile/0/000"),
        (999, 256, "tile/0/999"),
        (1000, 256, "tile/0/x001/000"),
        (1_234_067, 256, "tile/0/x001/x234/067"),
        (5, 3, "tile/0/005.p/3"),
    ],
)
def test_a_tile_is_named_by_its_number_in_groups_of_three_digits(number, width, path):
    assert tiles.path_of("0", number, width) == path


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, []),
        (1, ["0/000.p/1", "entries/000.p/1"]),
        (255, ["0/000.p/255", "entries/000.p/255"]),
        (256, ["0/000", "1/000.p/1", "entries/000"]),
        (257, ["0/000", "0/001.p/1", "1/000.p/1", "entries/000", "entries/001.p/1"]),
        (600, ["0/000", "0/001", "0/002.p/88", "1/000.p/2", "entries/000", "entries/001", "entries/002.p/88"]),
    ],
)
def test_there_is_a_tile_for_what_is_complete(log, tmp_path, size, expected):
    files, _ = exported(log, size, tmp_path / "t")

    assert files == ["checkpoint", *(f"tile/{name}" for name in expected)]


def test_a_hash_of_level_one_is_the_root_of_a_tile_of_level_zero(log, tmp_path):
    _, leaves = exported(log, 600, tmp_path / "t")

    content = (tmp_path / "t" / "tile" / "1" / "000.p" / "2").read_bytes()
    assert content == merkle.root(leaves[:256]) + merkle.root(leaves[256:512])


def test_an_export_that_grew_is_the_same_as_one_made_at_once(log, tmp_path):
    for size in (1, 3, 255, 256, 300, 512, 600):
        grown, _ = exported(log, size, tmp_path / "grown")
    at_once, _ = exported(log, 600, tmp_path / "at once")

    # What was a part of a tile that is not full yet may stay.
    assert set(at_once) <= set(grown)
    for name in at_once:
        assert (tmp_path / "grown" / name).read_bytes() == (tmp_path / "at once" / name).read_bytes()
    assert not [name for name in grown if name.startswith(("tile/0/000.p", "tile/entries/000.p"))]
