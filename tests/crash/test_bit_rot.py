"""Flipped bits in blobs and in the tables: found, named, and never handed out as what was logged.

``--all-flips`` tries many more bits of the tables.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
import os
from pathlib import Path
import random
import shutil

import pytest

from crash.faults import folder_in_memory
from crash.mounts import Died, in_fork
import runicorn_es as rn
from runicorn_es import queries
from runicorn_es.audit import audit

FLIPS, FLIPS_OF_ALL = 1500, 40_000
FLIPS_AT_ONCE = 100
# So few that everything about them can be asked a thousand times.
VERSIONS = 5
# So many rows that there is a tree above them; one question asks for all.
ALIASES = 60
# What may become of a flipped bit: nothing, an error that the next open heals, or one that an audit explains.
RIGHT = {"right", "found", "raised, then right", "raised, then found"}
NAMES = (("data", "dataset"), ("model", "model"))


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder in memory, for a store."""
    with folder_in_memory() as folder:
        yield folder / "store"


# Blobs.


@pytest.fixture
def blob(root) -> Path:
    """The blob of some hundred bytes that ``m:v1`` and ``m:v2`` have as ``weights``; it shares its folder with none."""
    source, other = root.parent / "source", root.parent / "other"
    source.write_bytes(random.Random(1).randbytes(300))
    other.write_bytes(b"other")
    with rn.open_store(root) as store:
        store.log_artifact(rn.Artifact("m", "model").add_file(source, "weights").add_file(other, "other"))
        store.log_artifact(rn.Artifact("m", "model").add_file(source, "weights"))
        [digest] = [file.digest for file in store.get("m:v2").files()]
    return root / "pool" / digest[7:9] / digest[7:]


def rot(file: Path, content: bytes) -> None:
    """Put other bytes in a file as a failing disk does: its mode, its times and its inode stay."""
    before = file.stat()
    file.chmod(0o644)
    file.write_bytes(content)
    file.chmod(before.st_mode)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def every_byte_flipped(file: Path) -> Iterator[int]:
    """Let one bit of each byte of the file be wrong in turn, whichever; yields which byte it is in."""
    whole, bits = file.read_bytes(), random.Random(2)
    for at in range(len(whole)):
        # Whoever finds it may have moved it away.
        if file.exists():
            file.chmod(0o644)
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bits.randrange(8)]) + whole[at + 1 :])
        file.chmod(0o444)
        os.utime(file, ns=(0, 1_000_000_000))
        yield at


def test_every_flipped_byte_of_a_blob_is_found_by_a_deep_audit_with_the_versions_that_have_it(root, blob):
    found = 0
    for at in every_byte_flipped(blob):
        damages = [finding for finding in audit(root, deep=True).findings if finding.is_damage]

        assert [(finding.kind, finding.affected) for finding in damages] == [("blob", ("m:v1", "m:v2"))], at
        assert damages[0].path == str(blob.relative_to(root))
        found += 1
    assert found == 300


def test_a_blob_with_a_flipped_bit_is_never_handed_out_as_a_copy(root, blob):
    with rn.open_store(root) as store:
        for at in every_byte_flipped(blob):
            target = root.parent / "copy"
            with pytest.raises(rn.BlobDamaged, match=r"m:v1, m:v2"):
                store.get("m:v2").download(target, mode="copy")
            assert list(target.iterdir()) == [], at


def test_a_blob_with_a_flipped_bit_is_never_handed_out_opened(root, blob):
    with rn.open_store(root) as store:
        for at in every_byte_flipped(blob):
            handed_out = None
            with pytest.raises(rn.BlobDamaged, match=r"m:v1, m:v2"), store.get("m:v2").open("weights") as opened:
                handed_out = opened.read()
            assert handed_out is None, at


def test_a_store_that_is_opened_read_only_hands_out_no_copy_of_it_either_and_leaves_it_where_it_is(root, blob):
    rot(blob, blob.read_bytes()[:-1] + b"?")

    with rn.open_store(root, read_only=True) as store, pytest.raises(rn.BlobDamaged, match=r"m:v1, m:v2"):
        store.get("m:v2").download(root.parent / "copy", mode="copy")

    assert blob.exists()


def test_a_blob_that_rotted_is_not_handed_out_as_a_link(root, blob):
    whole = blob.read_bytes()
    rot(blob, bytes([whole[0] ^ 1]) + whole[1:])

    with rn.open_store(root) as store:
        with pytest.raises(rn.BlobDamaged, match=r"m:v1, m:v2"):
            store.get("m:v2").download(root.parent / "linked")
        assert not store.audit(deep=True).is_clean
    assert not (root.parent / "linked" / "weights").exists()


# Tables.


class Flips:
    """A store with a bit of everything, what it answers, and its tables to flip bits in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._make()
        # Folded at once, so that nearly all of the file is in use.
        shutil.rmtree(root / "projections")
        with rn.open_store(root) as store:
            self.truth = answers(store)
        self._boot = (root / "projections" / "boot").read_bytes()
        self._tables = (root / "projections" / "tables" / "data.mdb").read_bytes()

    def chosen(self, count: int) -> list[int]:
        """Return this many bits of the tables, by number."""
        return random.Random(3).sample(range(8 * len(self._tables)), count)

    def flip(self, bit: int) -> None:
        """Lay the tables as they were, but for one bit."""
        rotten = bytearray(self._tables)
        rotten[bit // 8] ^= 1 << bit % 8
        # No store is open: nobody has them mapped.
        (self.root / "projections" / "tables" / "data.mdb").write_bytes(rotten)
        (self.root / "projections" / "boot").write_bytes(self._boot)

    def _make(self) -> None:
        sources = self.root.parent / "sources"
        sources.mkdir()
        for number in range(VERSIONS):
            (sources / f"{number}").write_bytes(b"content %d" % number * 40)
        with rn.init("p", storage=self.root) as run:
            for number in range(VERSIONS):
                name, kind = NAMES[number % 2]
                artifact = rn.Artifact(name, kind, metadata={"n": number})
                artifact.add_file(sources / f"{number}", "a").add_file(sources / f"{number // 2}", "b/c")
                run.log_artifact(artifact.add_tags(f"t{number}"), aliases=[f"alias-{number}"])
                run.use_artifact(name)
            run.log_artifact(rn.Artifact("data", "dataset", description="d").add_reference("s3://bucket/key"))
            # By version, what was logged: also of the one that is deleted then.
            self.logged = {
                f"content of {name}:v{row.version}": content(run.store, f"{name}:v{row.version}")
                for name, _ in NAMES
                for row in run.store.versions(name)
            }
            run.store.delete("data:v1", force=True)
            for number in range(ALIASES):
                run.store.alias("model:v1", f"another-{number}")


def answers(store: rn.Store) -> dict[str, object]:
    """Ask a store everything that its tables answer, and read every file."""
    told: dict[str, object] = {"artifacts": store.artifacts(), "runs": store.runs()}
    with store.reading() as view:
        told["stats"] = queries.stats(view, 0)
    for name, kind in NAMES:
        told[f"artifacts of type {kind}"] = store.artifacts(kind)
        told[f"aliases of {name}"] = answer(store.aliases, name)
        told[f"versions of {name}"] = answer(lambda name=name: store.versions(name, deleted=True))
        for spec in [name, *(f"{name}:alias-{number}" for number in range(VERSIONS))]:
            told[f"what {spec} means"] = answer(lambda spec=spec: store.get(spec).full_name)
        for number in range(1, VERSIONS):
            spec = f"{name}:v{number}"
            told[f"description of {spec}"] = answer(description, store, spec)
            told[f"content of {spec}"] = answer(content, store, spec)
    told["lineage"] = answer(store.lineage, "data:v1")
    return told


def answer(question: Callable[..., object], *about: object) -> object:
    """Return what is answered; that there is no such thing is an answer too, and that something is damaged is none."""
    try:
        return question(*about)
    except rn.Rejected as error:
        return str(error)


def content(store: rn.Store, spec: str) -> dict[str, bytes]:
    """Return the files of a version as they are handed out."""
    version = store.get(spec)
    handed_out = {}
    for file in version.files():
        with version.open(file.path) as opened:
            handed_out[file.path] = opened.read()
    return handed_out


def description(store: rn.Store, spec: str) -> object:
    """Return what is known of a version."""
    version = store.get(spec)
    return version.get_metadata(), version.get_manifest().references, list(version.files()), version.used_by()


def judged(flips: Flips) -> tuple[str, str]:
    """Open the store and ask it everything; returns what came of it, and how that showed."""
    try:
        with rn.open_store(flips.root) as store:
            told = answers(store)
            wrong = sorted(question for question in told if told[question] != flips.truth[question])
            for question in wrong:
                # Of a version that seems not to be there, nothing is handed out.
                if isinstance(told[question], dict) and told[question] != flips.logged.get(question):
                    return "wrong bytes", question
            if not wrong:
                return "right", ""
            return ("wrong, and an audit is clean" if store.audit(tables=True).is_clean else "found"), ", ".join(wrong)
    except rn.RunicornError as error:
        return "raised", repr(error)
    except Exception as error:  # noqa: BLE001
        return "raised an error that is none of ours", repr(error)


def judged_twice(flips: Flips) -> tuple[str, str]:
    """Do as ``judged``; after an error, the store opened again must be right, or an audit find the damage."""
    first, shown = judged(flips)
    if first != "raised":
        return first, shown
    then, _ = judged(flips)
    if then == "raised":
        then = "an audit is clean" if audit(flips.root, with_tables=True).is_clean else "found"
    return f"raised, then {then}", shown


def judge_each(flips: Flips, bits: list[int], results: Path) -> None:
    """Flip each of these bits alone, and write a line for each, at once: the next may kill us."""
    # What LMDB says of a file that it cannot read.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with results.open("wb", buffering=0) as file:
        for bit in bits:
            flips.flip(bit)
            result, shown = judged_twice(flips)
            file.write(f"{result}\t{shown!r}\n".encode())


def test_flipped_bits_of_the_tables_never_give_wrong_bytes_and_are_found_where_they_change_an_answer(root, request):
    count = FLIPS_OF_ALL if request.config.getoption("--all-flips", default=False) else FLIPS
    flips = in_fork(Flips, root)
    bits = flips.chosen(count)

    became: Counter[str] = Counter()
    example: dict[str, str] = {}
    while bits:
        batch, results = bits[:FLIPS_AT_ONCE], root.parent / "results"
        with suppress(Died):
            in_fork(judge_each, flips, batch, results)
        lines = results.read_text().splitlines()
        if len(lines) < len(batch):
            # LMDB trusts its pages: a wrong pointer in one may lead out of the file.
            lines.append("killed the process\t")
        for bit, line in zip(batch, lines, strict=False):
            result, shown = line.split("\t")
            became[result] += 1
            example.setdefault(result, f"bit {bit}: {shown}")
        bits = bits[len(lines) :]

    print(count, "bits flipped:", dict(became.most_common()))  # noqa: T201
    killed = became.pop("killed the process", 0)
    bad = [f"{became[what]} {what}, as {example[what]}" for what in sorted(became.keys() - RIGHT)]
    assert not bad, "\n".join(bad)
    assert killed <= count // 100
    assert became["found"] > count // 50
