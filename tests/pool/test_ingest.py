"""Files into the pool."""

import errno
import mmap
import os
from pathlib import Path
import re
import socket
import stat

import pytest

from given import file
from runicorn_es import durable, settings
from runicorn_es.errors import Busy, Rejected, WriteFailed
from runicorn_es.pool import BLOB_MTIME_NS
from runicorn_es.pool.ingest import taking_in
from runicorn_es.pool.sources import Source

from .conftest import NoCache, digest_of

SIZES = [0, 1, 10, 11, 12, 4096, 5000, 70_000]


@pytest.fixture
def small_steps(monkeypatch):
    """What is large begins at 11 bytes, and is copied in steps of one page."""
    monkeypatch.setattr(settings, "SMALL_FILE_BYTES", 10)
    monkeypatch.setattr(settings, "COPY_STEP_BYTES", 4096)


def content_of(size: int) -> bytes:
    return bytes(number * number % 251 for number in range(size))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def is_sealed(path: Path) -> bool:
    return mode_of(path) == 0o444 and path.stat().st_mtime_ns == BLOB_MTIME_NS


# What is stored.


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("mode", ["copy", "link", "move"])
@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_is_stored_byte_for_byte_under_its_digest(pool, tmp_path, mode, size):
    content = content_of(size)

    [stored] = pool.take(file(tmp_path / "f", content), mode=mode)

    assert (stored.digest, stored.size_bytes, stored.added_bytes) == (digest_of(content), size, size)
    assert pool.blobs() == {stored.digest.hex(): content}
    assert is_sealed(pool.blob(stored.digest))


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("number", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_the_kernel_cannot_copy_a_file_it_is_read_and_written(pool, tmp_path, monkeypatch, number):
    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    content = content_of(70_000)

    [stored] = pool.take(file(tmp_path / "f", content))

    assert pool.blobs() == {stored.digest.hex(): content}


@pytest.mark.usefixtures("small_steps")
def test_a_copy_that_the_kernel_makes_in_small_parts_is_whole(pool, tmp_path, monkeypatch):
    copy = os.copy_file_range
    monkeypatch.setattr(os, "copy_file_range", lambda s, t, count, *at: copy(s, t, min(count, 1000), *at))
    content = content_of(70_000)

    [stored] = pool.take(file(tmp_path / "f", content))

    assert pool.blobs() == {stored.digest.hex(): content}


@pytest.mark.usefixtures("small_steps")
def test_files_are_stored_in_the_order_they_were_given(pool, tmp_path):
    contents = [content_of(size) for size in (70_000, 0, 11, 10, 4096)]
    files = [file(tmp_path / str(number), content) for number, content in enumerate(contents)]

    stored = pool.take(*files)

    assert [one.digest for one in stored] == [digest_of(content) for content in contents]


def many(folder: Path, count: int) -> list[Path]:
    """Make more small files than are read before the first are staged, each with its own content."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:04d}").write_bytes(b"%d" % number)
    return sorted(folder.iterdir())


def test_many_small_files_are_stored_in_order_and_equal_ones_once(pool, tmp_path):
    sources = many(tmp_path / "many", 1000)
    equal = tmp_path / "equal"
    equal.write_bytes(b"7")

    stored = pool.take(*sources, equal)

    assert [one.digest for one in stored] == [digest_of(path.read_bytes()) for path in [*sources, equal]]
    assert stored[7].added_bytes == 1
    assert stored[-1].added_bytes == 0
    assert len(pool.blobs()) == 1000


def test_a_disk_that_is_full_behind_the_reader_ends_it(pool, tmp_path, monkeypatch):
    sources = many(tmp_path / "many", 1000)
    write, written = durable.write_all, []

    def fill(descriptor: int, content: bytes) -> None:
        written.append(content)
        if len(written) == 200:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(descriptor, content)

    monkeypatch.setattr(durable, "write_all", fill)
    with pytest.raises(OSError, match="No space left"):
        pool.take(*sources)

    assert pool.blobs() == {}
    assert list(pool.layout.incoming.iterdir()) == []
    # It did not go on for long.
    assert len(written) < 500


def test_what_cannot_be_read_among_many_ends_it_when_the_disk_is_at_rest(pool, tmp_path):
    sources = many(tmp_path / "many", 1000)
    sources[900].unlink()
    os.mkfifo(sources[900])

    with pytest.raises(Rejected, match="FIFO"):
        pool.take(*sources)

    assert pool.blobs() == {}
    assert list(pool.layout.incoming.iterdir()) == []


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("mode", ["copy", "link", "move"])
@pytest.mark.parametrize("size", [0, 5, 5000])
def test_equal_files_are_one_blob(pool, tmp_path, mode, size):
    files = [file(tmp_path / name, content_of(size)) for name in "abc"]

    stored = pool.take(*files[:2], mode=mode) + pool.take(files[2], mode=mode)

    assert [one.added_bytes for one in stored] == [size, 0, 0]
    assert len({one.digest for one in stored}) == len(pool.blobs()) == 1


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("mode", ["copy", "link"])
def test_the_executable_bit_is_told_and_is_not_the_blobs(pool, tmp_path, mode):
    files = [file(tmp_path / name, content_of(size)) for name, size in (("small", 5), ("large", 5000), ("plain", 6))]
    for path in files[:2]:
        path.chmod(0o755)

    stored = pool.take(*files, mode=mode)

    assert [one.executable for one in stored] == [True, True, False]
    assert all(is_sealed(pool.blob(one.digest)) for one in stored)


@pytest.mark.parametrize("mode", ["copy", "link", "move"])
def test_one_executable_file_given_twice_is_executable_twice(pool, tmp_path, mode):
    source = file(tmp_path / "f")
    source.chmod(0o755)

    assert [one.executable for one in pool.take(source, source, mode=mode)] == [True, True]


@pytest.mark.usefixtures("small_steps")
def test_progress_is_told_every_byte_once(pool, tmp_path):
    told = []

    pool.take(*[file(tmp_path / str(size), content_of(size)) for size in SIZES], progress=told.append)

    assert sum(told) == sum(SIZES)
    assert len(told) > len(SIZES)


# What becomes of the sources.


@pytest.mark.usefixtures("small_steps")
def test_a_copied_file_is_left_as_it_was(pool, tmp_path):
    source = file(tmp_path / "f", content_of(5000))
    before = source.stat()

    pool.take(source)

    after = source.stat()
    assert (before.st_mode, before.st_mtime_ns, before.st_nlink) == (after.st_mode, after.st_mtime_ns, after.st_nlink)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("size", [0, 5, 5000])
def test_a_linked_file_is_the_blob(pool, tmp_path, size):
    source = file(tmp_path / "f", content_of(size))

    [stored] = pool.take(source, mode="link")

    assert source.samefile(pool.blob(stored.digest))
    assert is_sealed(source)


def test_a_linked_file_that_the_pool_has_already_stays_as_it_was(pool, tmp_path):
    pool.put(b"content")
    source = file(tmp_path / "f", b"content")

    pool.take(source, mode="link")

    assert mode_of(source) & 0o200
    assert source.stat().st_nlink == 1


@pytest.mark.parametrize("is_there", [False, True])
def test_a_moved_file_is_gone_and_its_inode_is_the_blob(pool, tmp_path, is_there):
    if is_there:
        pool.put(b"content")
    source = file(tmp_path / "f", b"content")
    inode = source.stat().st_ino

    [stored] = pool.take(source, mode="move")

    assert not source.exists()
    assert (pool.blob(stored.digest).stat().st_ino == inode) is not is_there


def test_a_moved_file_is_removed_only_when_all_went_well(pool, tmp_path):
    source = file(tmp_path / "f", b"content")

    with (
        pytest.raises(KeyError),
        taking_in(pool, [Source(str(tmp_path), "f", "move")], token="t", cache=NoCache(), progress=bool),
    ):
        raise KeyError

    assert source.read_bytes() == b"content"


@pytest.mark.parametrize("is_known", [False, True])
def test_a_file_that_took_the_place_of_a_moved_one_is_not_removed(pool, tmp_path, is_known):
    """As when a program writes its next checkpoint while the last one is logged."""
    if is_known:
        pool.put(b"old")
    source = file(tmp_path / "f", b"old")

    pool.take(source, mode="move", progress=lambda _: file(tmp_path / "next", b"new").replace(source))

    assert source.read_bytes() == b"new"


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP])
@pytest.mark.parametrize("mode", ["link", "move"])
def test_where_no_link_can_be_made_a_copy_is(pool, tmp_path, monkeypatch, mode, number):
    def refuse(*arguments, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    source = file(tmp_path / "f", b"content")

    [stored] = pool.take(source, mode=mode)

    assert pool.blobs() == {stored.digest.hex(): b"content"}
    assert source.exists() is (mode == "link")


def test_a_failure_before_anything_is_published_gives_sources_back_as_they_were(pool, tmp_path):
    source = file(tmp_path / "f", b"content")
    source.chmod(0o640)
    os.utime(source, ns=(5_000_000_000, 6_000_000_000))

    with pytest.raises(Rejected, match="a folder"):
        pool.take(source, tmp_path, mode="link")

    assert mode_of(source) == 0o640
    assert source.stat().st_mtime_ns == 6_000_000_000
    assert source.stat().st_nlink == 1
    assert pool.blobs() == {}


# What is refused.


def append(path: Path) -> None:
    with path.open("ab") as opened:
        opened.write(content_of(4096))


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("mode", ["copy", "link", "move"])
@pytest.mark.parametrize("size", [10, 70_000])
@pytest.mark.parametrize(
    "change",
    [
        lambda source: file(source, content_of(source.stat().st_size)[::-1]),
        lambda source: os.truncate(source, source.stat().st_size // 2),
        lambda source: os.truncate(source, 0),
        lambda source: os.utime(source, ns=(1, 1)),
        append,
    ],
    ids=["rewritten", "halved", "emptied", "touched", "longer"],
)
def test_a_file_that_changes_while_it_is_read_is_refused_and_nothing_stays(pool, tmp_path, mode, size, change):
    source = file(tmp_path / "f", content_of(size))
    os.utime(source, ns=(1_000_000_000, 1_000_000_000))

    with pytest.MonkeyPatch.context() as patch:
        after_the_first_look(patch, source, change)
        with pytest.raises(Rejected, match=r"f changed while it was read; nothing was logged"):
            pool.take(source, mode=mode)

    assert pool.blobs() == {}
    assert list(pool.layout.incoming.iterdir()) == []
    assert mode_of(source) & 0o200


def after_the_first_look(patch: pytest.MonkeyPatch, source: Path, change) -> None:
    """Change a file right after it was opened and looked at."""
    real = os.fstat

    def look_then_change(descriptor):
        found = real(descriptor)
        if os.path.samestat(found, source.stat()):
            patch.setattr(os, "fstat", real)
            change(source)
        return found

    patch.setattr(os, "fstat", look_then_change)


@pytest.mark.usefixtures("small_steps")
def test_a_file_that_grows_all_the_while_is_refused_and_not_read_for_ever(pool, tmp_path):
    source, steps = file(tmp_path / "f", content_of(70_000)), []

    def grow(count):
        steps.append(count)
        assert sum(steps) < 200_000
        append(source)

    with pytest.raises(Rejected, match="changed while it was read"):
        pool.take(source, progress=grow)


@pytest.mark.usefixtures("small_steps")
def test_a_file_that_shrinks_during_its_copy_is_refused(pool, tmp_path):
    source = file(tmp_path / "f", content_of(70_000))

    with pytest.raises(Rejected, match="changed while it was read"):
        pool.take(source, progress=lambda _: os.truncate(source, 100))


@pytest.fixture
def strange(tmp_path):
    """Things that are no files, by what the message calls them."""
    folder = tmp_path / "strange"
    folder.mkdir()
    os.mkfifo(folder / "a FIFO")
    (folder / "a folder (use add_dir)").mkdir()
    (folder / "a symbolic link").symlink_to(file(tmp_path / "target"))
    (folder / "a symbolic link to nothing").symlink_to("nothing")
    bound = socket.socket(socket.AF_UNIX)
    here = os.open(folder, os.O_RDONLY)
    bound.bind(f"/proc/self/fd/{here}/a socket")
    os.close(here)
    yield folder
    bound.close()


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("a FIFO", "a FIFO"),
        ("a folder (use add_dir)", "a folder .use add_dir"),
        ("a symbolic link", "symbolic link; pass symlinks='follow'"),
        ("a symbolic link to nothing", "symbolic link; pass symlinks='follow'"),
        ("a socket", "socket"),
    ],
)
@pytest.mark.parametrize("mode", ["copy", "link", "move"])
def test_what_is_no_file_is_refused_by_its_kind_without_waiting(pool, strange, name, called, mode):
    with pytest.raises(Rejected, match=called):
        pool.take(strange / name, mode=mode)

    assert pool.blobs() == {}
    assert os.path.lexists(strange / name)


def test_a_device_is_refused(pool):
    with pytest.raises(Rejected, match="a character device"):
        pool.take(Path("/dev/zero"))


def test_a_link_is_followed_on_request(pool, tmp_path):
    file(tmp_path / "target", b"content")
    (tmp_path / "link").symlink_to("target")

    [stored] = pool.take(Source(str(tmp_path), "link", follow=True))

    assert pool.blobs() == {stored.digest.hex(): b"content"}


@pytest.mark.parametrize("name", ["a FIFO", "a socket", "a folder (use add_dir)"])
def test_a_link_to_what_is_no_file_is_refused_without_waiting(pool, strange, tmp_path, name):
    (tmp_path / "link").symlink_to(strange / name)

    with pytest.raises(Rejected):
        pool.take(Source(str(tmp_path), "link", follow=True))


def test_a_link_on_the_way_to_a_file_is_not_followed(pool, tmp_path):
    file(tmp_path / "elsewhere" / "f")
    (tmp_path / "top").mkdir()
    (tmp_path / "top" / "link").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(Rejected, match=r"link is not a folder but a link"):
        pool.take(Source(str(tmp_path / "top"), "link/f"))


def test_a_file_that_became_a_link_after_it_was_looked_at_is_not_followed(pool, tmp_path, monkeypatch):
    secret, source = file(tmp_path / "secret", b"secret"), file(tmp_path / "f")
    look = os.stat

    def look_and_swap(*given, **options):
        found = look(*given, **options)
        if given[0] == "f":
            source.unlink()
            source.symlink_to(secret)
        return found

    monkeypatch.setattr(os, "stat", look_and_swap)
    with pytest.raises(Rejected, match="symbolic link"):
        pool.take(source)

    assert pool.blobs() == {}


@pytest.mark.parametrize("mode", ["copy", "link", "move"])
def test_a_file_that_is_gone_is_named(pool, tmp_path, mode):
    with pytest.raises(FileNotFoundError, match=re.escape(f"No such file or directory: '{tmp_path}/missing'")):
        pool.take(tmp_path / "missing", mode=mode)


def test_a_file_that_was_removed_after_it_was_looked_at_is_named(pool, tmp_path, monkeypatch):
    source = file(tmp_path / "f")
    look = os.stat

    def look_and_remove(*given, **options):
        found = look(*given, **options)
        if given[0] == "f":
            source.unlink()
        return found

    monkeypatch.setattr(os, "stat", look_and_remove)
    with pytest.raises(FileNotFoundError, match=re.escape(f"'{source}'")):
        pool.take(source)


def test_staging_is_removed_however_it_ends(pool, tmp_path):
    pool.take(file(tmp_path / "f"))
    with pytest.raises(FileNotFoundError):
        pool.take(file(tmp_path / "g", b"other"), tmp_path / "missing")

    assert list(pool.layout.incoming.iterdir()) == []


# Durability and company.


def test_bytes_are_synced_before_they_are_named_and_names_before_they_are_handed_on(pool, tmp_path, monkeypatch):
    happened = []
    for call in ("sync_filesystem", "rename"):
        real = getattr(durable, call)
        monkeypatch.setattr(durable, call, lambda *given, c=call, r=real: (happened.append(c), r(*given)))
    files = [file(tmp_path / name, name.encode()) for name in "ab"]
    source = [Source(str(tmp_path), path.name) for path in files]

    with taking_in(pool, source, token="t", cache=NoCache(), progress=bool):
        happened.append("handed on")

    assert happened == ["sync_filesystem", "rename", "rename", "sync_filesystem", "handed on"]


def test_a_blob_that_was_there_is_synced_again_before_it_is_handed_on(pool, tmp_path, monkeypatch):
    pool.put(b"content")
    synced = []
    monkeypatch.setattr(durable, "sync_filesystem", lambda folder, _: synced.append(folder))

    pool.take(file(tmp_path / "f", b"content"))

    assert synced == [pool.layout.pool]


def test_a_sync_that_fails_is_final(pool, tmp_path, monkeypatch):
    def fail(*given):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(durable, "sync_filesystem", fail)

    with pytest.raises(WriteFailed, match="could not be made durable"):
        pool.take(file(tmp_path / "f"))

    assert pool.blobs() == {}


def test_a_full_disk_passes_through_and_nothing_stays(pool, tmp_path, monkeypatch):
    def refuse(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", refuse)

    with pytest.raises(OSError, match="No space left") as raised:
        pool.take(file(tmp_path / "f"))

    monkeypatch.undo()
    assert raised.value.errno == errno.ENOSPC
    assert not isinstance(raised.value, WriteFailed)
    assert list(pool.layout.incoming.iterdir()) == []


@pytest.mark.usefixtures("small_steps")
def test_a_failure_to_hash_is_not_lost_in_its_thread(pool, tmp_path, monkeypatch):
    def fail(*given, **options):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", fail)

    with pytest.raises(OSError, match="Cannot allocate memory"):
        pool.take(file(tmp_path / "f", content_of(70_000)))


def test_while_files_are_taken_in_nobody_may_reclaim_staging(pool, tmp_path):
    def reclaim():
        with durable.leased(pool.layout.incoming, exclusive=True):
            pytest.fail("reclaimed")

    file(tmp_path / "f")
    with (
        taking_in(pool, [Source(str(tmp_path), "f")], token="t", cache=NoCache(), progress=bool),
        pytest.raises(Busy),
    ):
        reclaim()

    with durable.leased(pool.layout.incoming, exclusive=True):
        pass


def test_others_may_take_in_files_at_the_same_time(pool, tmp_path):
    one = [Source(str(tmp_path), file(tmp_path / "one", b"same").name)]
    other = [Source(str(tmp_path), file(tmp_path / "other", b"same").name)]

    with (
        taking_in(pool, one, token="t1", cache=NoCache(), progress=bool) as first,
        taking_in(pool, other, token="t2", cache=NoCache(), progress=bool) as second,
    ):
        assert first[0].digest == second[0].digest

    assert pool.blobs() == {first[0].digest.hex(): b"same"}


# Healing.


@pytest.mark.parametrize("mode", ["copy", "link", "move"])
def test_a_damaged_blob_heals_when_its_file_is_taken_in_again(pool, tmp_path, mode):
    digest = pool.put(b"the true bytes")
    blob = pool.blob(digest)
    blob.chmod(0o644)
    blob.write_bytes(b"the false bytes")

    pool.take(file(tmp_path / "f", b"the true bytes"), mode=mode)

    assert pool.blobs() == {digest.hex(): b"the true bytes"}
    assert is_sealed(blob)
    [kept] = pool.layout.pool_quarantine.iterdir()
    assert kept.read_bytes() == b"the false bytes"


def test_a_missing_blob_heals_when_its_file_is_taken_in_again(pool, tmp_path):
    digest = pool.put(b"content")
    pool.blob(digest).unlink()

    [stored] = pool.take(file(tmp_path / "f", b"content"))

    assert stored.added_bytes == 7
    assert pool.blobs() == {digest.hex(): b"content"}
