"""Blobs in packs: they come out as they went in, share what they have in common, and go when nobody needs them."""

from array import array
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
import io
import os
import random
import sys
import threading

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
import pytest

from cold.conftest import Shelf, digest_of, noise
from runicorn_es import durable, errors
from runicorn_es.layout import Layout
from runicorn_es.pool import create_pool

KIB = 1024
MIB = 1024 * KIB
SIZES = [0, 1, 8 * KIB - 1, 8 * KIB, 64 * KIB, 128 * KIB, 128 * KIB + 1, 1 * MIB, 9 * MIB + 5]


def weights(count: int, seed: int = 0) -> bytes:
    """Return 32-bit floats as a model has them."""
    rng = random.Random(seed)
    return array("f", (rng.gauss(0, 0.02) for _ in range(count))).tobytes()


@pytest.mark.parametrize("size_bytes", SIZES)
def test_what_goes_in_comes_out(packs, size_bytes):
    content = noise(size_bytes)
    [digest] = packs.put(content)
    assert packs.sizes([digest, digest_of(b"another")]) == [size_bytes, None]
    assert packs.whole(digest) == content
    with packs.open(digest) as opened:
        assert opened.read() == content
    assert packs.again().whole(digest) == content


@pytest.mark.parametrize(
    "content",
    [
        b"a" * MIB,
        weights(300_000),
        array("H", range(60_000)).tobytes() * 9,
        b"text, and more text; " * 50_000,
        b"x" * 3,
    ],
    ids=["run", "floats", "halves", "text", "three bytes"],
)
def test_every_encoding_is_undone(packs, content):
    [digest] = packs.put(content)
    assert packs.whole(digest) == content
    assert packs.size_bytes() < len(content) + 500


def test_floats_are_smaller_in_planes_than_by_compression_alone(packs):
    zstandard = pytest.importorskip("zstandard")
    content = weights(300_000)
    packs.put(content)
    assert packs.size_bytes() < 0.96 * len(zstandard.ZstdCompressor(level=1).compress(content))


def test_a_blob_is_read_from_any_place(packs):
    content = noise(3 * MIB)
    [digest] = packs.put(content)
    with packs.open(digest) as opened:
        for at, count in [(2 * MIB, 10), (0, 100_000), (len(content) - 5, 50), (len(content) + 9, 1), (70_000, 0)]:
            assert opened.seek(at) == at
            assert opened.read(count) == content[at : at + count]
        assert opened.seek(-7, io.SEEK_END) == len(content) - 7
        assert opened.read() == content[-7:]
        opened.seek(5)
        assert opened.seek(5, io.SEEK_CUR) == 10
        with pytest.raises(ValueError, match="cannot be read from -1 on"):
            opened.seek(-11, io.SEEK_CUR)
    with pytest.raises(ValueError, match="closed"):
        opened.read(1)


def test_a_blob_that_is_in_no_pack_is_not_there(packs):
    packs.put(b"one")
    with pytest.raises(KeyError):
        packs.open(digest_of(b"another"))
    with pytest.raises(KeyError):
        packs.whole(digest_of(b"another"))


def test_without_packs_nothing_is_there_and_nothing_is_made(packs):
    assert packs.sizes([digest_of(b"")]) == [None]
    assert (packs.size_bytes(), list(packs.blobs()), packs.there_are()) == (0, [], False)
    assert not packs.layout.packs.exists()


def test_a_file_with_other_bytes_than_its_digest_is_not_packed(packs, tmp_path):
    (tmp_path / "f").write_bytes(b"changed")
    with pytest.raises(errors.BlobDamaged, match="has other bytes"):
        packs.add([(digest_of(b"original"), os.fspath(tmp_path / "f"))], lambda _: None)
    assert packs.files() == []
    assert list(packs.layout.incoming.iterdir()) == []


def test_without_the_chunker_it_says_what_to_install(packs, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyfastcdc", None)
    with pytest.raises(errors.Rejected, match=r"pip install 'runicorn-es\[chunks\]'"):
        packs.put(b"one")


def test_progress_is_told_every_byte(packs, tmp_path):
    content = noise(20 * MIB)
    (tmp_path / "f").write_bytes(content)
    told: list[int] = []
    packs.add([(digest_of(content), os.fspath(tmp_path / "f"))], told.append)
    assert sum(told) == len(content)


# What blobs have in common.


def test_what_blobs_share_is_stored_once(packs):
    base = noise(4 * MIB)
    changed = base[:MIB] + noise(100 * KIB, 1) + base[MIB + 100 * KIB :]
    packs.put(base)
    before = packs.size_bytes()
    packs.put(changed, base + b"and an end", b"inserted" + base)
    assert packs.size_bytes() - before < 1.2 * MIB


def test_a_blob_that_is_there_is_not_written_again(packs):
    [digest] = packs.put(noise(MIB))
    before = packs.files()
    packs.put(noise(MIB))
    assert packs.files() == before
    assert [one for one, _ in packs.blobs()] == [digest]


@pytest.mark.parametrize("inserts", [False, True], ids=["contiguous changes", "insertions"])
def test_ten_versions_with_a_tenth_changed_take_less_than_two(packs, inserts):
    size_bytes = 32 * MIB
    rng = random.Random(1)
    content = bytearray(noise(size_bytes))
    first = bytes(content)
    versions = [first]
    for _ in range(9):
        at, count = rng.randrange(len(content) - size_bytes // 10), size_bytes // 10
        content[at : at if inserts else at + count] = rng.randbytes(count)
        versions.append(bytes(content))
    digests = packs.put(*versions)
    assert packs.size_bytes() <= 1.95 * len(first)
    assert all(packs.whole(digest) == one for digest, one in zip(digests, versions, strict=True))


# What nobody needs.


def test_a_dropped_blob_leaves_no_byte(packs):
    shared, own = noise(MIB, 1), b"the secret of the first one " * 10_000
    first, second = packs.put(shared + own, shared)
    expected = packs.what_goes({first})

    freed = packs.drop({first}) + packs.sweep(nullcontext, lambda _: None)

    assert packs.sizes([first, second]) == [None, len(shared)]
    assert packs.whole(second) == shared
    assert abs(freed - expected) < 300
    with pytest.raises(KeyError):
        packs.whole(first)
    for path in packs.files():
        assert digest_of(shared + own) not in path.read_bytes()
    assert not any(row.find(first) >= 0 for row in packs.rows._values)
    assert list(packs.verify(contents=True)) == []


def test_nothing_is_left_of_packs_that_nobody_needs(packs):
    packs.put(noise(MIB), b"small", b"")
    packs.keep_only([])
    assert packs.files() == []
    assert list(packs.blobs()) == []


def test_a_sweep_that_is_killed_after_the_recipes_went_is_finished_by_the_next(packs):
    first, second = packs.put(noise(MIB, 1), noise(MIB, 2))
    packs.drop({first})

    assert packs.again().what_goes(set()) > MIB
    assert packs.again().sweep(nullcontext, lambda _: None) > MIB

    assert packs.again().whole(second) == noise(MIB, 2)
    assert packs.again().what_goes(set()) == 0


def test_a_chunk_that_is_used_again_before_its_pack_is_rewritten_stays(packs):
    first, _ = packs.put(noise(MIB, 1), noise(MIB, 2))
    packs.drop({first})

    class MeanwhilePacked:
        def __enter__(self):
            packs.again().put(noise(MIB, 1))

        def __exit__(self, *_):
            pass

    packs.sweep(MeanwhilePacked, lambda _: None)
    assert packs.whole(first) == noise(MIB, 1)


def test_nothing_is_swept_where_a_recipe_cannot_be_read(packs):
    packs.put(noise(MIB, 1))
    first, _ = packs.put(noise(MIB, 2), noise(MIB, 3))
    packs.drop({first})
    before = {path: path.read_bytes() for path in packs.files()}
    recipes = min(before, key=lambda path: len(before[path]))
    content = bytearray(before[recipes])
    content[80] ^= 1
    recipes.chmod(0o644)
    recipes.write_bytes(content)
    with pytest.raises(errors.Damaged, match="a recipe is damaged, so nothing is removed"):
        packs.again().sweep(nullcontext, lambda _: None)
    assert set(packs.files()) == set(before)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 11)),
            st.tuples(st.just("keep"), st.sets(st.integers(0, 11))),
            st.tuples(st.just("new process"), st.booleans()),
        ),
        max_size=12,
    )
)
def test_any_history_of_adding_and_dropping_keeps_what_is_kept(tmp_path_factory, steps):
    layout = Layout(tmp_path_factory.mktemp("packs"))
    create_pool(layout)
    packs = Shelf(layout)
    contents = {
        digest_of(content): content
        for content in (noise(90_000, number // 3) * (1 + number % 3) + bytes([number]) for number in range(12))
    }
    digests = list(contents)
    held: set[bytes] = set()
    for step, value in steps:
        if step == "add":
            held.update(packs.put(contents[digests[value]]))
        elif step == "keep":
            held &= {digests[number] for number in value}
            packs.keep_only(held)
        else:
            packs = packs.again(with_rows=value)
        assert {digest for digest, size in zip(digests, packs.sizes(digests), strict=True) if size is not None} == held
    for digest in held:
        assert packs.whole(digest) == contents[digest]
    assert list(packs.verify(contents=True)) == []


# Others at work, and crashes.


def test_a_reader_reads_on_while_packs_are_rewritten(packs):
    contents = [noise(300_000, number) for number in range(8)]
    digests = packs.put(*contents)
    kept = digests[0]
    is_done = threading.Event()

    def read() -> int:
        reader, count = packs.again(), 0
        while not is_done.is_set():
            assert reader.whole(kept) == contents[0]
            with reader.open(kept) as opened:
                assert opened.read() == contents[0]
            count += 1
        return count

    with ThreadPoolExecutor(2) as pool:
        reading = [pool.submit(read) for _ in range(2)]
        try:
            for digest in digests[1:]:
                packs.drop({digest})
                packs.sweep(nullcontext, lambda _: None)
        finally:
            is_done.set()
        assert all(one.result() > 0 for one in reading)


def test_what_another_process_packed_is_found(packs):
    other = packs.again()
    assert other.sizes([digest_of(b"one")]) == [None]
    packs.put(b"one")
    assert other.sizes([digest_of(b"one")]) == [3]


@pytest.mark.parametrize("name", ["write_all", "sync", "rename", "sync_folder"])
@pytest.mark.parametrize("call", range(4))
def test_what_fails_at_any_step_loses_nothing(packs, monkeypatch, name, call):
    first, second = packs.put(noise(MIB, 1), noise(MIB, 2))
    calls = iter(range(100))
    real = getattr(durable, name)

    def fails(*arguments: object) -> object:
        if next(calls) == call:
            raise OSError(5, "Input/output error")
        return real(*arguments)

    for work in (lambda: packs.put(noise(MIB, 3)), lambda: packs.keep_only([second])):
        with monkeypatch.context() as patched:
            patched.setattr(durable, name, fails)
            with suppress(OSError):
                work()
        again = packs.again()
        assert again.whole(second) == noise(MIB, 2)
        assert again.sizes([first]) == [None] or again.whole(first) == noise(MIB, 1)
        assert list(again.verify(contents=True)) == []
    packs.keep_only([second])
    assert packs.again().what_goes(set()) == 0


def test_rows_that_are_wrong_lead_to_a_look_into_the_packs(packs):
    digests = packs.put(noise(MIB, 1), noise(MIB, 2))
    for key in list(packs.rows._values):
        row = bytearray(packs.rows._values[key])
        if row:
            row[len(row) // 2] ^= 0xFF
            packs.rows._values[key] = bytes(row)
    assert packs.again(with_rows=True).whole(digests[0]) == noise(MIB, 1)


def test_a_recipe_that_names_a_chunk_of_another_pack_is_read(packs):
    base = noise(MIB, 1)
    packs.put(base)
    [digest] = packs.put(base + noise(MIB, 2))
    assert len(packs.files()) == 4
    assert packs.again().whole(digest) == base + noise(MIB, 2)
