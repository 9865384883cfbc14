"""A blob is what its name says, or it is not handed out."""

import errno
import os
from pathlib import Path
import stat

import pytest

from runicorn_es import settings
from runicorn_es.errors import BlobDamaged
from runicorn_es.pool import BLOB_MTIME_NS, create_pool, hash_file, size_bytes_of

from .conftest import digest_of


def edit(path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def kept(pool) -> list[bytes]:
    return [path.read_bytes() for path in pool.layout.pool_quarantine.iterdir()]


def test_the_pool_is_made_with_all_its_folders_and_may_be_there(pool):
    create_pool(pool.layout)

    names = {path.name for path in pool.layout.pool.iterdir()}
    assert {f"{number:02x}" for number in range(256)} | {"incoming", "quarantine"} == names


def test_the_folders_of_the_pool_are_durable_in_it(pool, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink()))

    create_pool(pool.layout)

    assert synced[-1] == pool.layout.pool


def test_a_blob_is_opened_for_reading(pool):
    digest = pool.put(b"content")

    with pool.open(digest, 7) as opened:
        assert opened.read() == b"content"
        assert not opened.writable()


@pytest.mark.parametrize("harm", [b"contend", b"conten", b"content and more", b""])
def test_a_blob_that_was_edited_is_moved_away_and_named(pool, harm):
    digest = pool.put(b"content")
    edit(pool.blob(digest), harm)

    with pytest.raises(BlobDamaged, match=f"blake3:{digest.hex()} was changed.*quarantine.*log the original") as raised:
        pool.open(digest, 7)

    assert raised.value.digest == digest
    assert kept(pool) == [harm]
    assert not pool.blob(digest).exists()


def test_a_blob_that_was_edited_and_sealed_again_is_found_by_its_size(pool):
    digest = pool.put(b"content")
    blob = pool.blob(digest)
    edit(blob, b"longer content")
    blob.chmod(0o444)
    os.utime(blob, ns=(BLOB_MTIME_NS, BLOB_MTIME_NS))

    with pytest.raises(BlobDamaged):
        pool.path(digest, 7)


@pytest.mark.parametrize("touch", [lambda blob: blob.chmod(0o644), lambda blob: blob.chmod(0o464), os.utime])
def test_a_blob_that_was_only_touched_is_hashed_and_sealed_again(pool, touch):
    digest = pool.put(b"content")
    blob = pool.blob(digest)
    touch(blob)

    assert pool.path(digest, 7) == str(blob)

    assert stat.S_IMODE(blob.stat().st_mode) == 0o444
    assert blob.stat().st_mtime_ns == BLOB_MTIME_NS
    assert kept(pool) == []


def test_an_untouched_blob_costs_one_stat(pool, monkeypatch):
    digest = pool.put(b"content")

    def refuse(*given, **options):
        raise AssertionError("opened")

    monkeypatch.setattr(os, "open", refuse)
    assert pool.path(digest, 7) == str(pool.blob(digest))


def test_a_blob_that_is_missing_is_named_with_a_remedy(pool):
    with pytest.raises(BlobDamaged, match=r"is missing from the pool .*log the same file again") as raised:
        pool.open(digest_of(b"never there"), 11)

    assert raised.value.digest == digest_of(b"never there")


def test_a_blob_that_was_replaced_by_a_link_is_not_followed(pool, tmp_path):
    digest = pool.put(b"content")
    (tmp_path / "elsewhere").write_bytes(b"content")
    pool.blob(digest).unlink()
    pool.blob(digest).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(BlobDamaged):
        pool.open(digest, 7)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "fifo"])
def test_a_blob_that_was_replaced_by_what_is_no_file_is_damage(pool, make):
    digest = pool.put(b"content")
    pool.blob(digest).unlink()
    make(pool.blob(digest))

    with pytest.raises(BlobDamaged):
        pool.open(digest, 7)
    assert not pool.has(digest, 7)


@pytest.fixture
def read_only_disk(monkeypatch):
    """A disk on which nothing can be changed, as a mounted copy, or another user's store, is."""

    def refuse(*given, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    for call in ("fchmod", "utime", "rename", "mkdir", "unlink", "link"):
        monkeypatch.setattr(os, call, refuse)


def test_a_touched_blob_that_cannot_be_sealed_again_is_handed_out_all_the_same(pool, request):
    """As in a store that was copied without its times, and then mounted."""
    digest = pool.put(b"content")
    os.utime(pool.blob(digest))
    request.getfixturevalue("read_only_disk")

    with pool.open(digest, 7) as opened:
        assert opened.read() == b"content"
    assert pool.has(digest, 7)


def test_wrong_bytes_that_cannot_be_moved_away_are_not_handed_out_either(pool, request):
    digest = pool.put(b"content")
    edit(pool.blob(digest), b"CONTENT")
    request.getfixturevalue("read_only_disk")

    with pytest.raises(BlobDamaged, match=f"blake3:{digest.hex()}"):
        pool.open(digest, 7)


def test_the_pool_says_what_it_holds_intact(pool):
    whole, edited, touched = pool.put(b"whole"), pool.put(b"edited"), pool.put(b"touched")
    edit(pool.blob(edited), b"EDITED")
    os.utime(pool.blob(touched))

    assert pool.has(whole, 5)
    assert pool.has(touched, 7)
    assert not pool.has(edited, 6)
    assert not pool.has(digest_of(b"missing"), 7)
    assert kept(pool) == [b"EDITED"]


def test_a_blob_damaged_twice_is_kept_twice(pool):
    for harm in (b"once", b"again"):
        digest = pool.put(b"content")
        edit(pool.blob(digest), harm)
        pool.has(digest, 7)

    assert sorted(kept(pool)) == [b"again", b"once"]


def test_the_size_of_the_pool_counts_each_blob_once(pool):
    for content in (b"12345", b"12345", b"123", b""):
        pool.put(content)

    assert size_bytes_of(pool.layout) == 8


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 20_000])
def test_a_file_is_hashed_in_steps_as_at_once(tmp_path, monkeypatch, size):
    monkeypatch.setattr(settings, "COPY_STEP_BYTES", 4096)
    content = os.urandom(size)
    (tmp_path / "f").write_bytes(content)

    with (tmp_path / "f").open("rb") as opened:
        assert hash_file(opened.fileno(), size) == digest_of(content)
