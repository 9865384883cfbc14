"""Real disks that are full, fail, lose power or turn read-only: what was acknowledged stays, and nothing is half there.

They are mounted for a test, which needs the right to mount. ``--all-cuts`` cuts the power at every call of a writer.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
import errno
from pathlib import Path
import random
import shutil
import subprocess

import pytest

from crash.faults import NotReached, build, folder_in_memory, run_server
from crash.mounts import KIB, MIB, Disk, disk, fill, in_fork, make_room, makers, resize, tmpfs, why_no_mounts
import runicorn_es as rn
from runicorn_es import durable
from runicorn_es.audit import audit

STEP_BYTES = 8 * KIB
# The sizes are tried until everything fits, and by this one it must.
SIZE_BYTES_MAX = 4 * MIB
POWER_CUTS = 30
# So many that what they write does not fit into the rest of a page that happens to be left.
DELETED = 40
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
NAMES = ("m", "n", "many")

# What a store holds: by version its files, or None for a deleted one, and by artifact and alias a version.
State = tuple[dict[str, dict[str, bytes] | None], dict[tuple[str, str], int]]


@pytest.fixture(scope="module", autouse=True)
def _mounts_are_allowed(tmp_path_factory):
    if reason := why_no_mounts(tmp_path_factory.mktemp("mounts")):
        pytest.skip(reason)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for disks, images and sources, in memory."""
    with folder_in_memory() as folder:
        yield folder


@pytest.fixture
def start_anew(monkeypatch) -> Callable[[], None]:
    """A disk loses what was not synced when its machine starts anew. Ours does not, and has to be told that it did."""
    return lambda: monkeypatch.setattr(durable, "boot_id", lambda: "the boot after")


# What is done to a store, in lines that say what was acknowledged, and what it must hold then.


def files_of(label: str, count: int) -> dict[str, bytes]:
    """Return files of which one knows the bytes by their label."""
    return {f"{number}.bin": random.Random(f"{label} {number}").randbytes(2000) for number in range(count)}


def log(store: rn.Store, sources: Path, name: str, label: str, count: int = 1) -> str:
    """Log files with this label, and return what was acknowledged."""
    artifact = rn.Artifact(name, "model", metadata={"label": label})
    for path, content in files_of(label, count).items():
        source = sources / f"{label} {path}"
        if not source.exists():
            source.write_bytes(content)
        artifact.add_file(source, path)
    return f"version {store.log_artifact(artifact).spec} {label} {count}"


def alias(store: rn.Store, name: str, version: int, alias: str) -> str:
    store.alias(f"{name}:v{version}", alias)
    return f"alias {name} {version} {alias}"


def delete(store: rn.Store, spec: str) -> str:
    store.delete(spec, force=True)
    return f"deleted {spec}"


def restore(store: rn.Store, spec: str) -> str:
    store.restore(spec)
    return f"restored {spec}"


def state_after(lines: list[str]) -> State:
    """Return what a store holds of which this was acknowledged, and nothing else."""
    logged: dict[str, dict[str, bytes]] = {}
    versions: dict[str, dict[str, bytes] | None] = {}
    aliases = {}
    for line in lines:
        match line.split():
            case ["version", spec, label, count]:
                versions[spec] = logged[spec] = files_of(label, int(count))
            case ["alias", name, version, text]:
                aliases[name, text] = int(version)
            case ["deleted", spec]:
                versions[spec] = None
            case ["restored", spec]:
                versions[spec] = logged.get(spec, {})
    return versions, aliases


def state_of(store: rn.Store) -> State:
    """Return what a store holds, every byte of it read."""
    versions: dict[str, dict[str, bytes] | None] = {}
    aliases = {}
    for name in NAMES:
        with suppress(rn.Unknown):
            aliases |= {(name, row.alias): row.version for row in store.aliases(name)}
            for row in store.versions(name, deleted=True):
                spec = f"{name}:v{row.version}"
                versions[spec] = None if row.status == "deleted" else content_of(store.get(spec))
    return versions, aliases


def content_of(version: rn.ArtifactVersion) -> dict[str, bytes]:
    found = {}
    for file in version.files():
        with version.open(file.path) as opened:
            found[file.path] = opened.read()
    return found


def difference(found: State, wanted: State) -> str:
    """Return in short how a store differs from what it should hold; empty when it does not."""
    parts = [
        f"{what} {key!r} {'is there' if key not in right else 'is gone' if key not in left else 'differs'}"
        for what, left, right in zip(("version", "alias"), found, wanted, strict=True)
        for key in left.keys() | right.keys()
        if left.get(key, 0) != right.get(key, 0)
    ]
    return ", ".join(sorted(parts))


def what_is_wrong(root: Path, *allowed: list[str], read_only: bool = False) -> str:
    """Open a store and return how it differs from all that it may hold."""
    try:
        with rn.open_store(root, read_only=read_only) as store:
            found = state_of(store)
    except (rn.RunicornError, OSError) as error:
        return f"cannot be read: {error!r}"
    differences = [difference(found, state_after(lines)) for lines in allowed]
    return "" if "" in differences else differences[0]


def what_is_wrong_in_use(root: Path, sources: Path, *allowed: list[str]) -> str:
    """Do as ``what_is_wrong``, then go on writing, and audit the store."""
    if problem := what_is_wrong(root, *allowed):
        return problem
    try:
        with rn.open_store(root) as store:
            versions, aliases = state_of(store)
            line = log(store, sources, "n", "afterwards", 3)
            store.alias("n", "newest")
            number = store.get("n").version
            wanted = versions | state_after([line])[0], aliases | {("n", "newest"): number}
            if problem := difference(state_of(store), wanted):
                return f"does not go on: {problem}"
        damage = [finding for finding in audit(root, deep=True, with_tables=True).findings if finding.is_damage]
    except (rn.RunicornError, OSError) as error:
        return f"does not go on: {error!r}"
    return f"audit: {damage[0].message}" if damage else ""


# Full disks.


class Attempts:
    """Calls of which each must do what it is to do, or raise what it may."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.ended: list[tuple[str, str]] = []

    def attempt(self, call: str, function: Callable[..., object], *arguments: object) -> object:
        """Call a function and note how it ended. An error that is none of a full disk and none of ours passes."""
        outcome, result = "done", None
        try:
            result = function(*arguments)
        except rn.RunicornError as error:
            outcome = repr(error)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            outcome = "no room"
        self.ended.append((call, outcome))
        if isinstance(result, str):
            self.acknowledged.append(result)
        return result


def fill_up(root: Path, sources: Path) -> tuple[list[str], list[tuple[str, str]]]:
    """Found a store and work with it, whatever fails; returns what was acknowledged, and how each call ended."""
    attempts = Attempts()
    store = attempts.attempt("open", rn.open_store, root)
    if not isinstance(store, rn.Store):
        return attempts.acknowledged, attempts.ended
    attempts.attempt("log one", log, store, sources, "m", "first")
    attempts.attempt("alias", alias, store, "m", 1, "production")
    attempts.attempt("log many", log, store, sources, "many", "many", 50)
    attempts.attempt("delete", delete, store, "m:v1")
    attempts.attempt("log one", log, store, sources, "m", "second")
    attempts.attempt("restore", restore, store, "m:v1")
    attempts.attempt("log several", log, store, sources, "many", "several", 10)
    attempts.attempt("alias", alias, store, "m", 2, "production")
    attempts.attempt("log one", log, store, sources, "m", "third")
    store.close()
    return attempts.acknowledged, attempts.ended


def test_a_disk_of_any_size_is_used_cleanly_read_when_full_and_used_on_when_it_has_grown(place):
    problems: list[str] = []
    ended: Counter[str] = Counter()
    sizes = fitting = 0
    while fitting < 2:
        sizes += 1
        size_bytes = sizes * STEP_BYTES
        assert size_bytes <= SIZE_BYTES_MAX
        with tmpfs(place / "disk", size_bytes) as folder:
            root, acknowledged = folder / "store", list[str]()

            def note(problem: str, size_bytes: int = size_bytes) -> None:
                problems.extend([f"{size_bytes // KIB} KiB: {problem}"] if problem else [])

            try:
                acknowledged, calls = in_fork(fill_up, root, place)
                ended.update(outcome.partition("(")[0] for _, outcome in calls)
                fitting += all(outcome == "done" for _, outcome in calls)
                if calls[0] == ("open", "done"):
                    note(in_fork(what_is_wrong, root, acknowledged))
            except AssertionError as error:
                note(str(error))
            resize(folder, size_bytes + SIZE_BYTES_MAX)
            note(in_fork(what_is_wrong_in_use, root, place, acknowledged))

    print(sizes, "sizes:", dict(ended))  # noqa: T201
    assert not problems, "\n".join(problems)
    assert ended["no room"] > 10 < ended["done"]


def log_some(root: Path, sources: Path, *more: str) -> list[str]:
    """Found a store with three versions, and more."""
    with rn.open_store(root) as store:
        return [log(store, sources, "m", label) for label in ("first", "second", "third", *more)]


def delete_on_a_full_disk(root: Path, sources: Path) -> list[str]:
    """Fill the disk while a store is open; only deleting may work then, and it must, also after what did not."""
    with rn.open_store(root) as store:
        fill(root.parent)
        lines = []
        for number in range(1, DELETED + 1):
            if number % 10 == 2:
                # Much more than was laid by for deleting.
                for log_what in (log_large, log_much):
                    with pytest.raises(OSError) as raised:
                        log_what(store, sources)
                    assert raised.value.errno in NO_ROOM
            lines.append(delete(store, f"m:v{number}"))
        return lines


def test_a_store_that_is_open_on_a_disk_that_fills_up_still_deletes(place):
    with tmpfs(place / "disk", 8 * MIB) as folder:
        lines = in_fork(log_some, folder / "store", place, *["first"] * DELETED)
        lines += in_fork(delete_on_a_full_disk, folder / "store", place)

        assert not in_fork(what_is_wrong, folder / "store", lines)
        make_room(folder)
        assert not in_fork(what_is_wrong_in_use, folder / "store", place, lines)


@pytest.mark.parametrize("boot", ["the same boot", "another boot"])
def test_a_store_that_is_opened_on_a_full_disk_still_deletes(place, boot, start_anew):
    with tmpfs(place / "disk", 8 * MIB) as folder:
        lines = in_fork(log_some, folder / "store", place, *["first"] * DELETED)
        fill(folder)
        if boot == "another boot":
            start_anew()

        lines += in_fork(open_and_delete, folder / "store")

        assert not in_fork(what_is_wrong, folder / "store", lines)
        make_room(folder)
        assert not in_fork(what_is_wrong_in_use, folder / "store", place, lines)


def open_and_delete(root: Path) -> list[str]:
    lines = []
    for number in range(1, DELETED + 1):
        with rn.open_store(root) as store:
            lines.append(delete(store, f"m:v{number}"))
    return lines


def read_many_at_once(root: Path) -> int:
    """Have more readers of the tables at once than had ever been."""
    with rn.open_store(root) as store:
        return read_within(store, 200)


def read_within(store: rn.Store, depth: int) -> int:
    with store.reading():
        return read_within(store, depth - 1) if depth else len(store.versions("m"))


def test_a_full_disk_does_not_kill_more_readers_than_there_had_been(place):
    with tmpfs(place / "disk", 8 * MIB) as folder:
        in_fork(log_some, folder / "store", place)
        fill(folder)

        assert in_fork(read_many_at_once, folder / "store") == 3


# Disks that fail to write.


@pytest.fixture
def failing(place) -> Iterator[Disk]:
    """A disk that has less room than it says: ``fill`` the folder of its image, and writes to new places fail.

    Without a journal, for else it would be the journal that fails first, and the whole file system with it. In blocks
    as large as the pages of memory below: of a write that begins in a page which is there, and goes on in one for which
    there is no room, a loop device says that it went well.
    """
    with (
        tmpfs(place / "below", 24 * MIB) as below,
        disk(below / "image", 64 * MIB, "mkfs.ext4", "-qF", "-b", "4096", "-O", "^has_journal") as made,
    ):
        yield made


def log_much(store: rn.Store, sources: Path) -> str:
    """Log a version of 2 MiB of references, and no file: the log alone is written, and to new places at that."""
    artifact, words = rn.Artifact("n", "model"), random.Random(1)
    for number in range(512):
        artifact.add_reference(f"s3://bucket/{number}", long=words.randbytes(2 * KIB).hex())
    return store.log_artifact(artifact).spec


def log_large(store: rn.Store, sources: Path) -> str:
    """Log a version with a large file: its blob alone is written."""
    (sources / "large").write_bytes(random.Random(1).randbytes(2 * MIB))
    return store.log_artifact(rn.Artifact("n", "model").add_file(sources / "large")).spec


def fail_to(store_what: Callable[[rn.Store, Path], str], root: Path, sources: Path, below: Path) -> None:
    """Let a sync fail, and see that the same store is not persuaded by another that would succeed."""
    with rn.open_store(root) as store:
        fill(below)
        with pytest.raises(OSError, match="Errno"):
            store_what(store, sources)
        make_room(below)
        for _ in range(2):
            with pytest.raises(rn.WriteFailed, match="open the store anew"):
                log(store, sources, "m", "afterwards")
        # It still answers.
        assert [row.version for row in store.versions("m")] == [1, 2, 3]


@pytest.mark.parametrize("store_what", [log_much, log_large])
def test_a_sync_that_failed_is_not_retried_and_what_was_acknowledged_is_there(failing, place, store_what, start_anew):
    root = failing.folder / "store"
    lines = in_fork(log_some, root, place)
    in_fork(durable.sync_filesystem, failing.folder)

    in_fork(fail_to, store_what, root, place, failing.image.parent)
    failing.remount()
    start_anew()

    # "n" of the call that failed is whole, or not there at all.
    assert in_fork(what_is_wrong, root, lines) in {"", "version 'n:v1' is there"}
    assert not in_fork(go_on, root, place, lines)


def go_on(root: Path, sources: Path, lines: list[str]) -> str:
    """Log two versions more; returns what an audit finds, or what is not as acknowledged."""
    with rn.open_store(root) as store:
        lines = [*lines, log(store, sources, "m", "fourth"), alias(store, "m", 4, "production")]
        wanted, (versions, aliases) = state_after(lines), state_of(store)
        if any(versions.get(spec) != files for spec, files in wanted[0].items()) or aliases != wanted[1]:
            return "what was acknowledged is not there"
        return "; ".join(finding.message for finding in store.audit(deep=True).findings if finding.is_damage)


@pytest.mark.parametrize("store_what", [log_much, log_large])
def test_what_a_failed_sync_left_in_memory_is_not_taken_for_written_when_the_store_is_opened_anew(
    failing, place, store_what, start_anew
):
    root = failing.folder / "store"
    lines = in_fork(log_some, root, place)
    in_fork(durable.sync_filesystem, failing.folder)

    in_fork(fail_to, store_what, root, place, failing.image.parent)
    # The next who syncs everything is told of it, once. Then the page cache still has what never reached the disk, and
    # another sync of it succeeds, with nothing to do.
    with suppress(OSError):
        durable.sync_filesystem(failing.folder)
    assert not in_fork(go_on, root, place, lines)
    failing.remount()
    start_anew()

    lines += ["version m:v4 fourth 1", "alias m 4 production"]
    assert in_fork(what_is_wrong, root, lines) in {"", "version 'n:v1' is there"}


def log_while_others_sync(root: Path, sources: Path, below: Path) -> str | None:
    """Log a large file, which cannot be written; of that another process is told, and then there is room again."""

    def sync_elsewhere(_: int) -> None:
        if (below / "filler").exists():
            assert subprocess.run(["sync", "-f", root], capture_output=True, check=False).returncode != 0
            make_room(below)

    (sources / "large").write_bytes(random.Random(1).randbytes(2 * MIB))
    with rn.open_store(root) as store, suppress(OSError):
        fill(below)
        artifact = rn.Artifact("n", "model").add_file(sources / "large", "large")
        return store.log_artifact(artifact, progress=sync_elsewhere).spec
    return None


def test_a_failure_to_write_that_another_process_was_told_of_is_not_overlooked(failing, place):
    root = failing.folder / "store"
    in_fork(log_some, root, place)
    in_fork(durable.sync_filesystem, failing.folder)

    acknowledged = in_fork(log_while_others_sync, root, place, failing.image.parent)
    failing.remount()

    assert in_fork(damage_of, root) == []
    assert acknowledged is None


def damage_of(root: Path) -> list[str]:
    return [finding.message for finding in audit(root, deep=True).findings if finding.is_damage]


# Power cuts.


class Work:
    """What a writer does while its power may go, and a store to do it in."""

    def prepare(self, root: Path) -> None:
        with rn.open_store(root / "store") as store:
            log(store, root, "m", "first")
            alias(store, "m", 1, "production")
        files_of("many", 20)

    def operate(self, root: Path, acknowledge: Callable[[str], None]) -> None:
        # The copy that we work on; it counts as the first call.
        durable.sync_filesystem(root)
        with rn.open_store(root / "store") as store:
            acknowledge(log(store, root, "m", "second"))
            acknowledge(alias(store, "m", 2, "production"))
            acknowledge(log(store, root, "many", "many", 12))
            acknowledge(delete(store, "m:v1"))
            acknowledge(restore(store, "m:v1"))
            acknowledge(log(store, root, "n", "first", 2))


MAKE = {"ext4": ("mkfs.ext4", "-qF"), "xfs": ("mkfs.xfs", "-qf")}
SIZE_BYTES = {"ext4": 64 * MIB, "xfs": 320 * MIB}
OPTIONS = {"ext4": "commit=600", "xfs": "noatime"}
PREPARED = ["version m:v1 first 1", "alias m 1 production"]


@pytest.mark.parametrize("kind", makers("ext4", "xfs"))
def test_a_power_cut_on_a_real_disk_loses_nothing_acknowledged(place, tmp_path, kind, request, start_anew):
    start_anew()
    is_long = request.config.getoption("--all-cuts", default=False)
    problems: list[str] = []
    cuts, acknowledged_at = 0, set()
    with (
        disk(place / "image", SIZE_BYTES[kind], *MAKE[kind], options=OPTIONS[kind]) as made,
        run_server(build(tmp_path), "crash.test_disks:Work", made.folder / "cases") as server,
    ):
        rehearsal = server.rehearse()
        durable.sync_filesystem(made.folder)
        history = [*PREPARED, *rehearsal.acknowledged]
        # Dying at a call, or when it is done, is how the power goes at that moment: nobody writes any more.
        calls = [("kill", nth) for nth in range(2, rehearsal.count + 1)]
        calls = [*calls, ("killafter", rehearsal.count)]
        if is_long:
            calls += [(mode, nth) for mode in ("killafter", "torn-half") for nth in range(2, rehearsal.count)]
        else:
            calls = calls[:: max(1, len(calls) // POWER_CUTS)]
        for mode, nth in calls:
            with suppress(NotReached):
                outcome = server.run(mode, nth)
                made.cut_power()
                cuts += 1
                certain = len(PREPARED) + len(outcome.acknowledged)
                acknowledged_at.add(certain)
                allowed = [history[:count] for count in range(certain, len(history) + 1)]
                if problem := in_fork(what_is_wrong_in_use, outcome.folder / "store", place, *allowed):
                    problems.append(f"{mode} at {nth}, {len(outcome.acknowledged)} acknowledged: {problem}")
                shutil.rmtree(outcome.folder)

    print(kind, cuts, "power cuts")  # noqa: T201
    assert not problems, "\n".join(problems)
    assert cuts >= min(POWER_CUTS, len(calls)) - 2
    assert len(acknowledged_at) > len(rehearsal.acknowledged) // 2


# Disks that turn read-only.


def test_a_store_on_a_read_only_disk_is_read_and_refuses_to_write(place):
    with disk(place / "image", 32 * MIB, "mkfs.ext4", "-qF") as made:
        root = made.folder / "store"
        lines = in_fork(log_some, root, place)
        subprocess.run(["mount", "-o", "remount,ro", made.folder], check=True)

        in_fork(read_only_opens_and_writing_is_refused, root, lines)


def read_only_opens_and_writing_is_refused(root: Path, lines: list[str]) -> None:
    with rn.open_store(root, read_only=True) as store:
        assert not difference(state_of(store), state_after(lines))
        with pytest.raises(rn.Rejected, match="opened read-only"):
            delete(store, "m:v1")
    with pytest.raises((OSError, rn.RunicornError), match=r"[Rr]ead-only"), rn.open_store(root) as store:
        delete(store, "m:v1")
    assert damage_of(root) == []


def lose_the_disk(root: Path, sources: Path, device: str, lines: list[str]) -> None:
    """Let the kernel find an error in the file system of a store that is open."""
    with rn.open_store(root) as store:
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("1")
        for attempt in (delete, restore):
            with pytest.raises((OSError, rn.RunicornError)):
                attempt(store, "m:v1")
        with pytest.raises((OSError, rn.RunicornError)):
            log(store, sources, "m", "fourth")
        # It still answers, and so does who opens it now.
        assert not difference(state_of(store), state_after(lines))
    with rn.open_store(root, read_only=True) as store:
        assert not difference(state_of(store), state_after(lines))


def test_a_disk_on_which_the_kernel_finds_an_error_is_still_read_and_nothing_is_acknowledged(place, start_anew):
    with disk(place / "image", 32 * MIB, "mkfs.ext4", "-qF", options="errors=remount-ro") as made:
        root = made.folder / "store"
        lines = in_fork(log_some, root, place)
        in_fork(durable.sync_filesystem, made.folder)

        in_fork(lose_the_disk, root, place, made.device(), lines)
        made.remount()
        start_anew()

        assert not in_fork(what_is_wrong_in_use, root, place, lines)


# What a purge leaves below the file system.

SECRETS = [b"secret-content-", b"secret-path", b"secret-metadata", b"secret-tag"]


def log_a_secret(root: Path, sources: Path, is_downloaded: bool) -> None:
    secret = sources / "secret-path"
    secret.write_bytes(b"".join(b"secret-content-%d " % number for number in range(3000)))
    with rn.open_store(root) as store:
        artifact = rn.Artifact("hidden", "model", metadata={"key": "secret-metadata"}).add_tags("secret-tag")
        store.log_artifact(artifact.add_file(secret))
        if is_downloaded:
            store.get("hidden").download()
        store.log_artifact(rn.Artifact("m", "model").add_file(sources / "0.bin"))


def purge_the_secret(root: Path) -> None:
    with rn.open_store(root) as store:
        store.purge("hidden:v1")


def secrets_in(image: Path) -> list[bytes]:
    content = image.read_bytes()
    return [secret for secret in SECRETS if secret in content]


@pytest.mark.parametrize("has_journal", [True, False], ids=["journal", "no journal"])
def test_after_a_purge_and_a_discard_the_raw_disk_holds_nothing_of_it(place, has_journal):
    """A journal keeps the names in folders for a while, so there nothing may have been downloaded."""
    (place / "0.bin").write_bytes(b"what stays")
    make = ["mkfs.ext4", "-qF", "-O", "has_journal" if has_journal else "^has_journal"]
    with disk(place / "image", 32 * MIB, *make, options="discard") as made:
        root = made.folder / "store"
        in_fork(log_a_secret, root, place, not has_journal)
        in_fork(durable.sync_filesystem, made.folder)
        made.remount()
        assert secrets_in(made.image) == SECRETS

        in_fork(purge_the_secret, root)
        in_fork(durable.sync_filesystem, made.folder)
        made.remount()
        subprocess.run(["fstrim", made.folder], check=True)
        in_fork(durable.sync_filesystem, made.folder)

        assert secrets_in(made.image) == []
        assert damage_of(root) == []
