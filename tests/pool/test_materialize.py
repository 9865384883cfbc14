"""Blobs out of the pool, never outside the target folder."""

import errno
import os
from pathlib import Path
import stat

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as some
import pytest

from given import file
from runicorn_es import settings
from runicorn_es.errors import BlobDamaged, Rejected
from runicorn_es.pool.materialize import Wanted

from .conftest import digest_of


@pytest.fixture
def target(tmp_path):
    return tmp_path / "out"


def content_of(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def wanted(path: str, content: bytes, *, executable: bool = False) -> Wanted:
    return Wanted(path, digest_of(content), len(content), executable)


# Link, copy, reflink.


def test_a_link_is_the_blob_and_takes_no_space(pool, target):
    digest = pool.put(b"content")

    pool.hand_out(target, f=b"content")

    assert (target / "f").samefile(pool.blob(digest))
    assert mode_of(target / "f") == 0o444


@pytest.mark.parametrize("content", [b"", b"content", b"x" * 3_000_000])
def test_a_copy_is_the_users_to_write(pool, target, content):
    digest = pool.put(content)

    pool.hand_out(target, f=content, mode="copy")
    with (target / "f").open("ab") as opened:
        opened.write(b" and more")

    assert (target / "f").read_bytes() == content + b" and more"
    assert pool.blob(digest).read_bytes() == content


def test_a_reflink_is_a_copy_or_a_clear_refusal(pool, target):
    digest = pool.put(b"content")
    try:
        pool.hand_out(target, f=b"content", mode="reflink")
    except Rejected as error:
        assert "mode='copy'" in str(error)  # noqa: PT017
        assert content_of(target) == {}
    else:
        assert content_of(target) == {"f": b"content"}
        assert not (target / "f").samefile(pool.blob(digest))


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_an_executable_file_is_executable_and_the_blob_is_not(pool, target, mode):
    digest = pool.put(b"#!/bin/sh")

    pool.hand_out(target, f=wanted("bin/run", b"#!/bin/sh", executable=True), mode=mode)

    assert mode_of(target / "bin" / "run") & 0o111
    assert not mode_of(pool.blob(digest)) & 0o111


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_folders_are_made_as_paths_need_them(pool, target, mode):
    contents = {path: path.encode() for path in ("a/b/c", "a/b/d", "a/e", "f", "g/h", "größe/模型.bin")}
    files = {path: wanted(path, content) for path, content in contents.items()}
    for content in contents.values():
        pool.put(content)

    pool.hand_out(target / "deep" / "er", mode=mode, **files)

    assert content_of(target / "deep" / "er") == contents


@pytest.mark.parametrize("number", [errno.EMLINK, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP])
def test_where_no_link_can_be_made_a_copy_is_and_is_kept_the_second_time(pool, target, monkeypatch, number):
    link = os.link

    def refuse(source, name, **options):
        # As the kernel does: that the name is taken comes first.
        if name in os.listdir(options["dst_dir_fd"]):  # noqa: PTH208
            return link(source, name, **options)
        raise OSError(number, os.strerror(number))

    digest = pool.put(b"content")
    monkeypatch.setattr(os, "link", refuse)

    pool.hand_out(target, f=b"content")
    first = (target / "f").stat()
    pool.hand_out(target, f=b"content")

    assert content_of(target) == {"f": b"content"}
    assert not (target / "f").samefile(pool.blob(digest))
    assert (target / "f").stat().st_ino == first.st_ino


def test_another_failure_to_link_passes_through(pool, target, monkeypatch):
    def refuse(*given, **options):
        raise OSError(errno.EIO, "Input/output error")

    pool.put(b"content")
    monkeypatch.setattr(os, "link", refuse)

    with pytest.raises(OSError, match="Input/output error"):
        pool.hand_out(target, f=b"content")


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_the_kernel_cannot_copy_a_blob_it_is_read_and_written(pool, target, monkeypatch, number):
    def refuse(*given):
        raise OSError(number, os.strerror(number))

    content = os.urandom(3_000_000)
    pool.put(content)
    monkeypatch.setattr(os, "copy_file_range", refuse)

    pool.hand_out(target, f=content, mode="copy")

    assert content_of(target) == {"f": content}


# What is there already.


@pytest.mark.parametrize("mode", ["link", "copy"])
@pytest.mark.parametrize("first", ["link", "copy"])
def test_a_second_time_the_right_bytes_are_there_again(pool, target, first, mode):
    pool.put(b"content")
    pool.hand_out(target, f=b"content", mode=first)

    pool.hand_out(target, f=b"content", mode=mode)

    assert content_of(target) == {"f": b"content"}
    if mode == "copy":
        assert mode_of(target / "f") & 0o200


@pytest.mark.parametrize("mode", ["link", "copy"])
@pytest.mark.parametrize("large", [False, True])
def test_a_file_of_the_users_with_the_right_bytes_is_kept(pool, target, monkeypatch, mode, large):
    if large:
        monkeypatch.setattr(settings, "SMALL_FILE_BYTES", 3)
    pool.put(b"content")
    mine = file(target / "f", b"content")
    inode = mine.stat().st_ino

    pool.hand_out(target, f=b"content", mode=mode)

    assert mine.stat().st_ino == inode
    assert mode_of(mine) & 0o200


@pytest.mark.parametrize("mode", ["link", "copy"])
@pytest.mark.parametrize("mine", [b"contend", b"", b"longer than the content"])
def test_a_file_of_the_users_with_other_bytes_is_not_replaced(pool, target, mode, mine):
    pool.put(b"content")
    file(target / "f", mine)

    with pytest.raises(Rejected, match=r"f exists with other content; .*overwrite=True"):
        pool.hand_out(target, f=b"content", mode=mode)

    assert content_of(target) == {"f": mine}


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_a_file_of_the_users_with_other_bytes_is_replaced_on_request(pool, target, mode):
    pool.put(b"content")
    file(target / "f", b"mine")

    pool.hand_out(target, f=b"content", mode=mode, overwrite=True)

    assert content_of(target) == {"f": b"content"}


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_a_link_to_another_blob_is_replaced_for_nothing_is_lost(pool, target, mode):
    old = pool.put(b"old version")
    pool.put(b"new version")
    pool.hand_out(target, f=b"old version")

    pool.hand_out(target, f=b"new version", mode=mode)

    assert content_of(target) == {"f": b"new version"}
    assert pool.blob(old).read_bytes() == b"old version"


@pytest.mark.parametrize("mode", ["link", "copy"])
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "make",
    [Path.mkdir, os.mkfifo, lambda place: place.symlink_to("../outside"), lambda place: place.symlink_to("../nothing")],
    ids=["folder", "fifo", "link", "broken link"],
)
def test_what_is_no_file_is_never_replaced_nor_followed(pool, target, make, mode, overwrite):
    pool.put(b"content")
    outside = file(target.parent / "outside", b"mine")
    target.mkdir()
    make(target / "f")

    with pytest.raises(Rejected, match="f exists and is not a regular file"):
        pool.hand_out(target, f=b"content", mode=mode, overwrite=overwrite)

    assert outside.read_bytes() == b"mine"
    assert not (target.parent / "nothing").exists()
    assert [path.name for path in target.iterdir()] == ["f"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("mode", ["link", "copy"])
def test_a_link_on_the_way_is_not_followed_out_of_the_target(pool, target, tmp_path, mode, overwrite):
    pool.put(b"content")
    (tmp_path / "outside").mkdir()
    target.mkdir()
    (target / "a").symlink_to(tmp_path / "outside")

    with pytest.raises(Rejected, match="a is not a folder but a link or a file"):
        pool.hand_out(target, f=wanted("a/f", b"content"), mode=mode, overwrite=overwrite)

    assert list((tmp_path / "outside").iterdir()) == []


def test_a_file_where_a_folder_is_needed_is_not_replaced(pool, target):
    pool.put(b"content")
    file(target / "a", b"mine")

    with pytest.raises(Rejected, match="a is not a folder"):
        pool.hand_out(target, f=wanted("a/f", b"content"), overwrite=True)

    assert content_of(target) == {"a": b"mine"}


def test_the_target_itself_may_be_a_link(pool, target, tmp_path):
    pool.put(b"content")
    (tmp_path / "real").mkdir()
    target.symlink_to(tmp_path / "real")

    pool.hand_out(target, f=b"content")

    assert content_of(tmp_path / "real") == {"f": b"content"}


def test_a_copy_is_hashed_as_it_was_made(pool, target, monkeypatch):
    """A disk may return one thing when it is asked whether all is well, and another when it is copied from."""

    def copy_nothing(*given):
        return 0

    pool.put(b"content")
    monkeypatch.setattr(os, "copy_file_range", copy_nothing)

    with pytest.raises(BlobDamaged, match="not handed out"):
        pool.hand_out(target, f=b"content", mode="copy")

    assert content_of(target) == {}


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_nothing_but_the_files_stays_in_the_target(pool, target, mode):
    pool.put(b"content")
    pool.put(b"other")
    for overwrite in (False, True):
        pool.hand_out(target, f=b"content", g=b"other", mode=mode, overwrite=overwrite)
    file(target / "h", b"mine")
    with pytest.raises(Rejected):
        pool.hand_out(target, h=b"content", mode=mode)

    assert content_of(target) == {"f": b"content", "g": b"other", "h": b"mine"}


@pytest.mark.parametrize(("mode", "expected"), [(0o644, 0o755), (0o640, 0o750), (0o600, 0o700), (0o755, 0o755)])
def test_a_file_of_the_users_that_should_be_executable_is_made_so_for_whoever_may_read_it(pool, target, mode, expected):
    pool.put(b"content")
    mine = file(target / "f", b"content")
    mine.chmod(mode)

    pool.hand_out(target, f=wanted("f", b"content", executable=True))

    assert mode_of(mine) == expected


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_a_failure_leaves_nothing_half_done(pool, target, monkeypatch, mode):
    def fail(*given, **options):
        raise OSError(errno.EIO, "Input/output error")

    pool.put(b"content")
    monkeypatch.setattr(os, "link", fail)
    monkeypatch.setattr(os, "copy_file_range", fail)

    with pytest.raises(OSError, match="Input/output error"):
        pool.hand_out(target, f=b"content", mode=mode)

    assert content_of(target) == {}


def test_progress_is_told_each_file(pool, target):
    for content in (b"12345", b"", b"123"):
        pool.put(content)
    told = []

    pool.hand_out(target, a=b"12345", b=b"", c=b"123", progress=told.append)

    assert told == [5, 0, 3]


# Damage.


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_wrong_bytes_are_never_handed_out(pool, target, mode):
    digest = pool.put(b"content")
    pool.blob(digest).chmod(0o644)
    pool.blob(digest).write_bytes(b"CONTENT")

    with pytest.raises(BlobDamaged) as raised:
        pool.hand_out(target, f=b"content", mode=mode)

    assert raised.value.digest == digest
    assert content_of(target) == {}
    [kept] = pool.layout.pool_quarantine.iterdir()
    assert kept.read_bytes() == b"CONTENT"


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_not_even_a_sealed_forgery_is_handed_out(pool, target, mode):
    digest = pool.put(b"content")
    blob = pool.blob(digest)
    before = blob.stat()
    blob.chmod(0o644)
    blob.write_bytes(b"CONTENT")
    blob.chmod(0o444)
    os.utime(blob, ns=(before.st_mtime_ns, before.st_mtime_ns))

    with pytest.raises(BlobDamaged, match="was changed"):
        pool.hand_out(target, f=b"content", mode=mode)

    assert content_of(target) == {}


def test_a_blob_edited_through_one_download_is_not_handed_to_another(pool, target, tmp_path):
    pool.put(b"content")
    pool.hand_out(target, f=b"content")
    (target / "f").chmod(0o644)
    (target / "f").write_bytes(b"edited!")

    with pytest.raises(BlobDamaged, match="hard link"):
        pool.hand_out(tmp_path / "other", f=b"content")


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_a_missing_blob_is_named(pool, target, mode):
    with pytest.raises(BlobDamaged, match="missing"):
        pool.hand_out(target, f=b"never taken in", mode=mode)


# Any target at all.


@examples(max_examples=40)
@given(
    there=some.dictionaries(
        some.sampled_from(["a", "a/b", "a/b/c", "f"]), some.sampled_from(["file", "folder", "link", "same"]), max_size=3
    ),
    mode=some.sampled_from(["link", "copy"]),
    overwrite=some.booleans(),
)
def test_whatever_is_in_the_target_nothing_outside_it_changes(pool, tmp_path_factory, there, mode, overwrite):
    pool.put(b"content")
    base = tmp_path_factory.mktemp("any")
    outside = file(base / "outside" / "b" / "c", b"mine").parents[1]
    file(outside / "f", b"mine")
    target = base / "target"
    target.mkdir()
    for path, kind in sorted(there.items()):
        place = target / path
        if not place.parent.is_dir() or os.path.lexists(place) or place.parent.resolve() != place.parent:
            continue
        match kind:
            case "folder":
                place.mkdir()
            case "link":
                place.symlink_to(outside)
            case _:
                place.write_bytes(b"content" if kind == "same" else b"the user's")
    before = content_of(outside)
    files = {path: wanted(path, b"content") for path in ("a/b/c", "f")}

    try:
        pool.hand_out(target, mode=mode, overwrite=overwrite, **files)
    except Rejected:
        assert there
    else:
        assert (target / "a/b/c").read_bytes() == (target / "f").read_bytes() == b"content"
    assert content_of(outside) == before
    assert list(target.rglob("*.tmp")) == []
