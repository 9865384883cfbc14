"""Questions as of the past: every read answers as it would have answered then."""

from datetime import UTC, datetime

from msgspec.structs import replace
import pytest

from given import content, version
import runicorn_es as rn
from runicorn_es.ambient import SYSTEM

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
HOUR_NS = 3600 * 1_000_000_000


class Clock:
    """A clock that somebody else moves: hours since midnight of the first of January 2026, in UTC."""

    hours = 0

    def now_ns(self) -> int:
        return int(MIDNIGHT.timestamp()) * 1_000_000_000 + self.hours * HOUR_NS


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    with rn.Store(tmp_path / "store", ambient=replace(SYSTEM, now_ns=clock.now_ns)) as opened:
        yield opened


def position(store: rn.Store) -> int:
    with store.reading() as view:
        return view.size


# What production was.


def test_an_alias_means_what_it_meant_then(store):
    version(store, b"one", aliases=("production",))
    before = position(store)
    version(store, b"two", aliases=("production",))

    assert store.get("m:production").version == 2
    assert store.get("m:production", as_of=before).version == 1
    assert content(store, f"m:production@{{#{before}}}") == b"one"
    assert [row.version for row in store.aliases("m", as_of=before)] == [1]


def test_a_moment_is_a_time_a_position_or_a_checkpoint_also_in_a_file(store, clock, tmp_path):
    clock.hours = 1
    version(store, b"one")
    kept = store.checkpoint()
    (tmp_path / "kept").write_text(kept)
    clock.hours = 30
    version(store, b"two")

    moments = [
        MIDNIGHT.replace(hour=2),
        "2026-01-01T02:00Z",
        "29 hours ago",
        kept,
        tmp_path / "kept",
        str(tmp_path / "kept"),
        store.moment(kept),
    ]
    assert [store.get("m", as_of=moment).version for moment in moments] == [1] * 7
    assert store.get("m@{2026-01-01T02:00Z}").version == 1
    assert store.get("m", as_of="now").version == 2


def test_a_checkpoint_of_another_store_means_nothing_here(store, tmp_path):
    with rn.open_store(tmp_path / "another") as another:
        foreign = another.checkpoint()

    for moment in (foreign, foreign.replace("\n1\n", "\n2\n"), tmp_path):
        with pytest.raises((rn.Rejected, OSError)):
            store.get("m", as_of=moment)
    with pytest.raises(rn.Rejected, match="no checkpoint that was signed"):
        store.moment(foreign)


def test_what_was_not_there_yet_is_unknown_and_the_moment_is_said(store):
    version(store)

    with pytest.raises(rn.Unknown, match=r"as of #1: no artifact named 'm'"):
        store.get("m", as_of=1)
    assert store.artifacts(as_of=0) == store.artifacts(as_of=1) == []
    with pytest.raises(rn.Rejected, match="in the future"):
        store.artifacts(as_of=99)


# Everything that can be asked.


def test_a_version_that_was_deleted_later_is_there_as_of_before(store, tmp_path):
    version(store, b"one")
    before = position(store)
    store.delete("m")

    assert store.artifacts() == store.versions("m") == []
    assert [row.name for row in store.artifacts(as_of=before)] == ["m"]
    assert [row.status for row in store.versions("m", as_of=before)] == ["ready"]
    assert store.get("m", as_of=before).aliases == ["latest"]
    assert (store.get("m", as_of=before).download(tmp_path / "here") / "model.pth").read_bytes() == b"one"
    assert store.stats(as_of=before).total.versions == 1
    assert store.stats().total.deleted_versions == 1


def test_what_is_returned_tells_of_itself_as_of_then(store):
    version(store, b"one", aliases=("best",))
    before = position(store)
    with rn.init("p", storage=store.layout.root) as run:
        run.use_artifact("m:v1")
    store.unalias("m:best")
    version(store, b"two")

    then = store.get("m:v1", as_of=before)
    assert (then.aliases, then.used_by()) == (["latest", "best"], [])
    assert then.get_metadata().aliases == ["latest", "best"]
    now = store.get("m:v1")
    assert (now.aliases, now.used_by()) == ([], [run.id])


def test_sums_are_those_of_then_and_what_the_pool_took_is_not_known(store):
    version(store, b"one")
    version(store, b"four", name="n")
    before = position(store)
    store.delete("m")

    then, now = store.stats(as_of=before), store.stats()
    assert (then.total.versions, then.total.size_bytes, then.by_type["model"].artifacts) == (2, 7, 2)
    assert (now.total.versions, now.total.deleted_bytes) == (1, 3)
    assert (then.pool_bytes, then.saved_bytes, now.pool_bytes) == (None, 0, 7)


def test_lineage_and_runs_are_those_of_then(store):
    version(store, b"data", name="d")
    before = position(store)
    with rn.init("p", storage=store.layout.root) as run:
        run.use_artifact("d")
        during = position(store)
    assert store.runs(as_of=before) == []
    assert [row.status for row in store.runs(as_of=during)] == ["running"]
    assert [row.status for row in store.runs()] == ["finished"]
    assert len(store.lineage("d", as_of=before).nodes) == 1
    assert {node.id for node in store.lineage(f"d@{{#{during}}}").nodes} == {"d:v1", run.id}


def test_rules_and_protection_are_those_of_then(store, clock):
    version(store, b"one")
    version(store, b"two")
    before = position(store)
    store.protect("production")
    clock.hours = 48
    store.set_retention("m", keep_younger="1d")

    assert (store.protected(as_of=before), store.retention(as_of=before), store.due(as_of=before)) == ([], {}, [])
    assert store.protected() == ["production"]
    after = position(store)
    store.set_retention("m")
    store.unprotect("production")
    assert store.protected(as_of=after) == ["production"]
    assert list(store.retention(as_of=after)) == ["artifact:m"]
    # By the clock of then, however late it is asked.
    clock.hours = 20_000
    assert [one.spec for one in store.due(as_of=after)] == ["m:v1"]
    assert store.due() == []


def test_a_reader_that_may_not_write_is_told_the_same(store):
    version(store, b"one", aliases=("production",))
    before = position(store)
    version(store, b"two", aliases=("production",))

    with rn.open_store(store.layout.root, read_only=True) as reader:
        assert reader.get("m:production", as_of=before).version == 1


# Specs with a moment.


def test_a_run_that_uses_what_was_has_used_that_very_version(store):
    version(store, b"one", aliases=("production",))
    before = position(store)
    version(store, b"two", aliases=("production",))

    with rn.init("p", storage=store.layout.root) as run:
        used = run.use_artifact(f"m:production@{{#{before}}}")
        again = run.use_artifact(f"m:production@{{#{before}}}", type="model")

    assert used.version == again.version == 1
    assert store.get("m:v1").used_by() == [run.id]
    assert store.get("m:v2").used_by() == []


def test_an_alias_is_set_back_to_what_it_was(store):
    version(store, b"one", aliases=("production",))
    before = position(store)
    version(store, b"two", aliases=("production",))

    store.alias(f"m:production@{{#{before}}}", "production")

    assert store.get("m:production").version == 1


@pytest.mark.parametrize("change", ["delete", "restore", "purge", "unalias"])
def test_what_is_past_cannot_be_changed(store, change):
    version(store)

    with pytest.raises(rn.Rejected, match="a version of the past, which can be read but not changed"):
        getattr(store, change)("m:production@{#2}")


def test_one_moment_is_enough(store):
    with pytest.raises(rn.Rejected, match="leave out the other moment"):
        store.get("m@{#1}", as_of=1)


@pytest.mark.parametrize("name", ["m@{#1}", "m@{", "a@{b"])
def test_no_artifact_has_a_name_that_reads_like_a_moment(name):
    with pytest.raises(rn.Rejected):
        rn.Artifact(name, "model")


# Purge.


def test_what_was_purged_is_a_tombstone_at_every_moment(store):
    version(store, b"one", aliases=("best",))
    version(store, b"two")
    before = position(store)
    store.purge("m:v1", force=True)

    assert [row.status for row in store.versions("m", deleted=True, as_of=before)] == ["purged", "ready"]
    with pytest.raises(rn.Unknown, match=rf"as of #{before}: m:v1 was purged"):
        store.get("m:best", as_of=before)
    assert store.get("m", as_of=before).version == 2
    assert store.audit(tables=True).findings == []
