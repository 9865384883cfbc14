"""Any history of commands against a plain model of what they mean."""

from collections.abc import Callable
import hashlib
from itertools import count
import os
from pathlib import Path
import shutil
import tempfile

from hypothesis import settings as examples
from hypothesis import strategies as some
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
import pytest

from given import rows
import runicorn_es as rn
from runicorn_es import durable, settings

NAMES = some.sampled_from(["m", "n"])
ALIASES = some.sampled_from(["production", "best"])
CONTENTS = some.sampled_from([b"", b"one", b"two", b"a longer content"])
RUNS = some.integers(0, 2)


def secret_of(name: str, number: int) -> str:
    """Return a text that stands in one version only: in a path, in a file, and in metadata."""
    return f"secret-of-{name}-{number}-{hashlib.sha256(f'{name}{number}'.encode()).hexdigest()[:16]}-"


class History(RuleBasedStateMachine):
    """A store, and beside it what it should say."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.store = rn.open_store(self.folder / "store")
        # By artifact: the content of each version, in order; and which of them are deleted.
        self.contents: dict[str, list[bytes]] = {}
        self.deleted: set[tuple[str, int]] = set()
        self.purged: set[tuple[str, int]] = set()
        self.aliases: dict[tuple[str, str], int] = {}
        self.runs: list[rn.Run] = []
        self.used: set[tuple[str, str, int]] = set()
        self.made: set[tuple[str, str, int]] = set()
        self.fresh = count()

    # What is done.

    @rule(name=NAMES, content=CONTENTS, alias=some.none() | ALIASES, run=some.none() | RUNS)
    def log(self, name: str, content: bytes, alias: str | None, run: int | None) -> None:
        source = self.folder / f"source{next(self.fresh)}"
        source.write_bytes(content)
        number = len(self.contents.get(name, [])) + 1
        metadata = {"size": len(content), "secret": secret_of(name, number)}
        artifact = rn.Artifact(name, "model", metadata=metadata).add_file(source, "f")
        artifact.add_file(self.secret_file(name, number), f"{secret_of(name, number)}.txt")
        maker = None if run is None else self.run(run)
        chosen = [] if alias is None else [alias]
        number = (
            self.store.log_artifact(artifact, aliases=chosen)
            if maker is None
            else maker.log_artifact(artifact, aliases=chosen)
        )

        self.contents.setdefault(name, []).append(content)
        assert number == len(self.contents[name])
        if alias is not None:
            self.aliases[name, alias] = number
        if maker is not None:
            self.made.add((maker.id, name, number))

    @rule(name=NAMES, number=some.integers(1, 4), alias=ALIASES)
    def alias(self, name: str, number: int, alias: str) -> None:
        if self.is_live(name, number):
            self.store.alias(f"{name}:v{number}", alias)
            self.aliases[name, alias] = number
        else:
            with pytest.raises(rn.Unknown):
                self.store.alias(f"{name}:v{number}", alias)

    @rule(name=NAMES, alias=ALIASES)
    def unalias(self, name: str, alias: str) -> None:
        if self.aliases.pop((name, alias), None):
            self.store.unalias(name, alias)
        else:
            with pytest.raises(rn.Unknown):
                self.store.unalias(name, alias)

    @rule(name=NAMES, number=some.integers(1, 4), force=some.booleans())
    def delete(self, name: str, number: int, force: bool) -> None:
        spec = f"{name}:v{number}"
        if not self.exists(name, number) or (name, number) in self.purged:
            with pytest.raises(rn.Unknown):
                self.store.delete(spec, force=force)
        elif (name, number) not in self.deleted and not force and self.is_needed(name, number):
            with pytest.raises(rn.Rejected, match="in use"):
                self.store.delete(spec)
        else:
            self.store.delete(spec, force=force)
            self.deleted.add((name, number))

    @rule(name=NAMES, number=some.integers(1, 4), force=some.booleans(), dies_at=some.none() | some.integers(1, 12))
    def purge(self, name: str, number: int, force: bool, dies_at: int | None) -> None:
        """It may be killed at one of its writes; then the next who opens the store finishes it, if it was decided."""
        spec = f"{name}:v{number}"
        if not self.exists(name, number):
            with pytest.raises(rn.Unknown):
                self.store.purge(spec, force=force)
        elif self.is_live(name, number) and not force and self.is_needed(name, number):
            with pytest.raises(rn.Rejected, match="in use"):
                self.store.purge(spec)
        else:
            if dies_at is not None:
                self.in_a_process_that_dies(dies_at, lambda store: store.purge(spec, force=force))
                if [row.status for row in self.store.versions(name, deleted=True)][number - 1] != "purged":
                    return
            else:
                self.store.purge(spec, force=force)
            self.purged.add((name, number))
            self.deleted.discard((name, number))
            self.aliases = {key: at for key, at in self.aliases.items() if (key[0], at) != (name, number)}

    @rule(dies_at=some.none() | some.integers(1, 12))
    def reclaim(self, dies_at: int | None) -> None:
        if dies_at is not None:
            self.in_a_process_that_dies(dies_at, lambda store: store.reclaim())
        self.store.reclaim()
        assert self.store.reclaim().items == []

    @rule(keep_last=some.integers(0, 2), dies_at=some.none() | some.integers(1, 12))
    def compact(self, keep_last: int, dies_at: int | None) -> None:
        if dies_at is not None:
            self.in_a_process_that_dies(dies_at, lambda store: store.compact(keep_last=keep_last))
        else:
            self.store.compact(keep_last=keep_last)

    def in_a_process_that_dies(self, at: int, work: Callable[[rn.Store], object]) -> None:
        """Do something in another process, which is killed at its nth write, sync, rename or removal."""
        child = os.fork()
        if child == 0:
            calls = count(1)

            def dying(real: Callable[..., object]) -> Callable[..., object]:
                def call(*arguments: object, **options: object) -> object:
                    if next(calls) == at:
                        os._exit(9)
                    return real(*arguments, **options)

                return call

            try:
                store = rn.open_store(self.folder / "store")
                for name in ("write_all", "write_all_at", "sync", "rename", "sync_folder", "remove_file"):
                    setattr(durable, name, dying(getattr(durable, name)))
                os.unlink = dying(os.unlink)
                work(store)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        self.open_again()

    @rule(name=NAMES, number=some.integers(1, 4))
    def restore(self, name: str, number: int) -> None:
        if (name, number) in self.purged:
            with pytest.raises(rn.RunicornError, match="purged"):
                self.store.restore(f"{name}:v{number}")
        elif self.exists(name, number):
            self.store.restore(f"{name}:v{number}")
            self.deleted.discard((name, number))
        else:
            with pytest.raises(rn.Unknown):
                self.store.restore(f"{name}:v{number}")

    @rule(name=NAMES, alias=some.none() | ALIASES, run=RUNS)
    def use(self, name: str, alias: str | None, run: int) -> None:
        user = self.run(run)
        number = self.latest(name) if alias is None else self.aliases.get((name, alias))
        spec = name if alias is None else f"{name}:{alias}"
        if number and self.is_live(name, number):
            assert user.use_artifact(spec).version == number
            self.used.add((user.id, name, number))
        else:
            with pytest.raises(rn.Unknown):
                user.use_artifact(spec)

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = rn.open_store(self.folder / "store")

    @precondition(lambda self: not self.runs)
    @rule()
    def lose_the_projections(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder / "store" / "projections")
        self.store = rn.open_store(self.folder / "store")

    @rule()
    def rebuild(self) -> None:
        assert self.store.rebuild() == []

    @rule(name=NAMES, number=some.integers(1, 4), alias=ALIASES, dies=some.sampled_from([None, "torn", "unsigned"]))
    def another_process_moves_an_alias(self, name: str, number: int, alias: str, dies: str | None) -> None:
        """It may die with half its batch written, or with all of it and before anybody was told."""
        child = os.fork()
        if child == 0:
            self._move_an_alias_and_exit(name, number, alias, dies)
        os.waitpid(child, 0)
        if self.is_live(name, number) and dies != "torn":
            self.aliases[name, alias] = number

    def _move_an_alias_and_exit(self, name: str, number: int, alias: str, dies: str | None) -> None:
        write = durable.write_all_at

        def tear(descriptor: int, content: bytes, offset: int) -> None:
            write(descriptor, content[: len(content) // 2], offset)
            os._exit(9)

        try:
            store = rn.open_store(self.folder / "store")
            if dies == "torn":
                durable.write_all_at = tear
            elif dies == "unsigned":
                store._sync_and_sign = lambda: os._exit(9)
            store.alias(f"{name}:v{number}", alias)
        finally:
            os._exit(0)

    # What must be so.

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        store = self.store
        assert {row.name for row in store.artifacts()} == {name for name in self.contents if self.latest(name)}
        for name, contents in self.contents.items():
            live = [number for number in range(1, len(contents) + 1) if self.is_live(name, number)]
            assert [row.version for row in store.versions(name)] == live
            assert len(store.versions(name, deleted=True)) == len(contents)
            for number in live:
                version = store.get(f"{name}:v{number}")
                with version.open("f") as file:
                    assert file.read() == contents[number - 1]
                assert version.metadata == {"size": len(contents[number - 1]), "secret": secret_of(name, number)}
                assert set(version.used_by()) == {run for run, *used in self.used if used == [name, number]}
                assert {version.logged_by()} == {run for run, *made in self.made if made == [name, number]} or {None}
            assert {row.alias: row.version for row in store.aliases(name)} == {
                alias: number for (owner, alias), number in self.aliases.items() if owner == name
            }
        sizes = [self.size_of(*key) for key in self.all() if self.is_live(*key)]
        stats, total = store.stats(), store.stats().total
        assert (total.versions, total.size_bytes, total.deleted_versions) == (len(sizes), sum(sizes), len(self.deleted))
        blobs = [path.stat().st_size for path in store.layout.pool.glob("[0-9a-f][0-9a-f]/*")]
        packs = [path.stat().st_size for path in store.layout.packs.glob("*.pack")]
        assert (stats.pool_bytes, stats.packed_bytes) == (sum(blobs) + sum(packs), sum(packs))

    @invariant()
    def nothing_is_left_of_what_was_purged(self) -> None:
        """Neither path nor content nor metadata, by looking at every byte of every file."""
        secrets = [secret_of(*key).encode() for key in self.purged]
        if secrets:
            for path in (self.folder / "store").rglob("*"):
                found = path.read_bytes() if path.is_file() else b""
                assert not any(secret in found for secret in secrets), path

    def teardown(self) -> None:
        # What the killed left is nobody's.
        self.store.reclaim()
        incremental = rows(self.store)
        with rn.open_store(self.folder / "store", read_only=True) as reader:
            assert rows(reader) == incremental
        report = self.store.audit(deep=True, tables=True)
        # What a process left that died in the middle of a write is noted, until somebody writes again.
        assert [finding for finding in report.findings if finding.kind != "tail"] == []
        for run in self.runs:
            run.finish()
        self.store.close()
        shutil.rmtree(self.folder / "store" / "projections")
        with rn.open_store(self.folder / "store") as again:
            assert again.rebuild() == []
        shutil.rmtree(self.folder)

    # The model.

    def run(self, number: int) -> rn.Run:
        """Return one of a few runs, beginning it if need be; no two are current in one thread."""
        while len(self.runs) <= number:
            from runicorn_es import run as runs

            self.runs.append(rn.init("p", storage=self.folder / "store"))
            runs._current.set(None)
        return self.runs[number]

    def exists(self, name: str, number: int) -> bool:
        return 1 <= number <= len(self.contents.get(name, []))

    def is_live(self, name: str, number: int) -> bool:
        return self.exists(name, number) and (name, number) not in self.deleted | self.purged

    def size_of(self, name: str, number: int) -> int:
        return len(self.contents[name][number - 1]) + len(secret_of(name, number)) * 5

    def secret_file(self, name: str, number: int) -> Path:
        path = self.folder / "secret.txt"
        path.write_text(secret_of(name, number) * 5)
        return path

    def is_needed(self, name: str, number: int) -> bool:
        users = {run for run, *used in self.used if used == [name, number]}
        made = any(run in users and self.is_live(*output) for run, *output in self.made)
        return made or any(owner == name and pointed == number for (owner, _), pointed in self.aliases.items())

    def latest(self, name: str) -> int:
        return max((number for owner, number in self.all() if owner == name and self.is_live(name, number)), default=0)

    def all(self) -> list[tuple[str, int]]:
        return [(name, number + 1) for name, contents in self.contents.items() for number in range(len(contents))]


@pytest.mark.parametrize("segment_bytes", [settings.SEGMENT_BYTES, 600], ids=["one segment", "many segments"])
def test_a_store_says_after_any_history_what_a_plain_model_says(monkeypatch, segment_bytes):
    monkeypatch.setattr(settings, "SEGMENT_BYTES", segment_bytes)
    run_state_machine_as_test(History, settings=examples(max_examples=12, stateful_step_count=25))
