"""A program that makes and uses artifacts."""

from concurrent.futures import ThreadPoolExecutor
import gc
import getpass
import os
from pathlib import Path
import re
import shutil
import socket
import subprocess
import sys
from threading import Barrier

import pytest

from given import content, file, version
import runicorn_es as rn
from runicorn_es import names
from runicorn_es.commands import UseArtifact
from runicorn_es.events import BatchAppended, RunStarted
from runicorn_es.program import this_program


@pytest.fixture
def storage(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def model(tmp_path):
    return rn.Artifact("m", type="model").add_file(file(tmp_path / "model.pth", b"weights"))


def status_of(storage, run: rn.Run) -> str:
    with rn.open_store(storage) as store:
        [row] = [row for row in store.runs() if row.run == run.id]
        return row.status


def started(storage, run: rn.Run) -> RunStarted:
    with rn.open_store(storage) as store:
        [found] = [
            event
            for _, events in store.events()
            for event in events
            if isinstance(event, RunStarted) and event.run == run.id
        ]
    return found


# Beginning.


def test_a_run_has_an_id_made_of_its_time_and_chance(storage):
    with rn.init("p", storage=storage) as one:
        pass
    with rn.init("p", storage=storage) as other:
        pass

    assert re.fullmatch(r"20\d{6}_\d{6}_[0-9a-f]{6}", one.id)
    assert names.parse_run_id(one.id) == one.id
    assert one.id != other.id


def test_no_seed_repeats_an_id(storage):
    import random

    ids = []
    for _ in range(2):
        random.seed(0)
        with rn.init("p", storage=storage) as run:
            ids.append(run.id[-6:])

    assert ids[0] != ids[1]


def test_a_run_knows_what_it_was_begun_with(storage):
    with rn.init("vision/cats", name="resnet50", storage=storage) as run:
        assert (run.project, run.name, run.status) == ("vision/cats", "resnet50", "running")
        assert run.id in repr(run)


def test_a_run_records_who_runs_what_where(storage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with rn.init("p", "n", storage=storage, config={"lr": 0.1, "a": [1]}, tags=["b", "a", "b"]) as run:
        pass

    event = started(storage, run)
    with rn.open_store(storage) as store:
        [row] = store.runs()

    assert (event.project, event.name, event.config, event.tags) == ("p", "n", '{"lr":0.1,"a":[1]}', ("a", "b"))
    assert event.folder == str(tmp_path)
    assert event.command == tuple(sys.orig_argv)
    program = this_program()
    assert (event.python, event.git_commit, event.git_dirty) == (program.python, program.git_commit, program.git_dirty)
    assert (row.user, row.host) == (getpass.getuser(), socket.gethostname())


def test_every_batch_of_a_run_says_so(storage, model):
    with rn.init("p", storage=storage) as run:
        run.log_artifact(model)
        run.use_artifact("m")
    with rn.open_store(storage) as store:
        appended = [event for _, events in store.events() for event in events if isinstance(event, BatchAppended)]

    assert [event.run for event in appended] == [None, run.id, run.id, run.id, run.id]
    assert {event.pid for event in appended} == {os.getpid()}


def test_without_storage_the_variable_says_where(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNICORN_DIR", str(tmp_path / "exported"))
    with rn.init("p"):
        pass

    assert (tmp_path / "exported" / "store.json").exists()


@pytest.mark.parametrize(
    "given",
    [
        {"project": ""},
        {"project": "a\nb"},
        {"project": "p", "name": ""},
        {"project": "p", "config": {"lr": float("nan")}},
        {"project": "p", "config": {1: 2}},
        {"project": "p", "tags": [""]},
    ],
)
def test_what_cannot_be_recorded_is_refused_and_nothing_is_made(storage, given):
    with pytest.raises(rn.Rejected):
        rn.init(**given, storage=storage)

    assert not storage.exists()


def test_what_cannot_be_recorded_leaves_the_current_run_open(storage):
    run = rn.init("p", storage=storage)
    with pytest.raises(rn.Rejected):
        rn.init("", storage=storage)

    assert run.status == "running"
    rn.finish()


# Ending.


def test_a_run_ends_as_finished(storage):
    run = rn.init("p", storage=storage)
    assert status_of(storage, run) == "running"
    rn.finish()

    assert run.status == status_of(storage, run) == "finished"


def test_a_run_ends_as_failed_when_it_is_told_so(storage):
    run = rn.init("p", storage=storage)
    rn.finish("failed")

    assert run.status == status_of(storage, run) == "failed"


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_an_exception_marks_a_run_as_failed_and_is_raised(storage, error):
    with pytest.raises(error), rn.init("p", storage=storage) as run:
        raise error

    assert run.status == status_of(storage, run) == "failed"


def test_a_run_ends_once(storage):
    run = rn.init("p", storage=storage)
    run.finish("failed")
    run.finish("finished")

    assert status_of(storage, run) == "failed"


@pytest.mark.parametrize("status", ["done", "running", "", None])
def test_a_run_ends_in_one_of_two_ways(storage, status):
    run = rn.init("p", storage=storage)
    with pytest.raises(ValueError, match="'finished' or 'failed'"):
        run.finish(status)

    assert run.status == "running"
    rn.finish()


def test_where_no_run_is_current_there_is_none_to_finish():
    with pytest.raises(rn.Unknown, match="no current run"):
        rn.finish()


def test_a_run_that_has_ended_does_nothing_more(storage, model):
    run = rn.init("p", storage=storage)
    rn.finish()

    with pytest.raises(rn.Rejected, match=f"run {run.id} has finished; begin another"):
        run.log_artifact(model)
    with pytest.raises(rn.Rejected, match="has finished"):
        run.use_artifact("m")


def test_a_second_init_finishes_the_first_run_with_a_warning(storage, model):
    first = rn.init("p", storage=storage)
    with pytest.warns(UserWarning, match=f"run {first.id} was still open and is finished now") as warned:
        second = rn.init("p", storage=storage)

    assert warned[0].filename == __file__
    assert (first.status, second.status) == ("finished", "running")
    assert second.log_artifact(model) == 1
    rn.finish()
    with pytest.raises(rn.Unknown):
        rn.finish()


def test_after_a_run_was_finished_another_begins_without_a_warning(storage):
    rn.init("p", storage=storage).finish()
    rn.init("p", storage=storage)
    rn.finish()


def test_a_run_whose_store_was_removed_does_not_stand_in_the_way_of_the_next(tmp_path):
    rn.init("p", storage=tmp_path / "removed")
    shutil.rmtree(tmp_path / "removed")

    with pytest.warns(UserWarning, match="still open"):
        run = rn.init("p", storage=tmp_path / "store")

    assert status_of(tmp_path / "store", run) == "running"
    rn.finish()


def test_a_store_that_was_removed_and_made_anew_is_a_new_one(tmp_path, model):
    """As when a notebook starts over while its kernel goes on."""
    rn.init("p", storage=tmp_path / "store").log_artifact(model)
    shutil.rmtree(tmp_path / "store")

    with pytest.warns(UserWarning, match="still open"):
        run = rn.init("p", storage=tmp_path / "store")

    assert run.log_artifact(model) == 1
    rn.finish()
    with rn.open_store(tmp_path / "store") as store:
        assert store.rebuild() == []


AT_EXIT = """
import sys, runicorn_es as rn
run = rn.init("p", storage=sys.argv[1])
print(run.id, flush=True)
{ending}
"""


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("", "finished"),
        ("sys.exit(0)", "finished"),
        ("raise KeyError", "failed"),
        ("import os; os._exit(0)", "running"),
    ],
)
def test_what_a_program_left_open_ends_with_it(storage, ending, status):
    command = [sys.executable, "-c", AT_EXIT.format(ending=ending), storage]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    with rn.open_store(storage) as store:
        [row] = store.runs()
    assert (row.run, row.status) == (done.stdout.strip(), status)


def test_a_forked_child_does_not_finish_its_parents_run(storage):
    ending = "import os\nchild = os.fork()\nif child == 0: sys.exit(0)\nos.waitpid(child, 0); os._exit(0)"
    command = [sys.executable, "-W", "ignore", "-c", AT_EXIT.format(ending=ending), storage]
    subprocess.run(command, check=True, capture_output=True, timeout=60)

    with rn.open_store(storage) as store:
        assert [row.status for row in store.runs()] == ["running"]


def test_a_version_that_a_run_used_answers_also_after_its_end(storage, model):
    with rn.init("p", storage=storage) as run:
        run.log_artifact(model)
        used = run.use_artifact("m")

    assert used.used_by() == [run.id]
    assert (used.download() / "model.pth").read_bytes() == b"weights"


def test_runs_that_are_over_and_forgotten_keep_nothing_open(tmp_path):
    def work(number: int) -> None:
        with rn.init("p", storage=tmp_path / str(number)):
            pass

    work(0)
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(1, 6):
        work(number)
    gc.collect()

    assert len(list(Path("/proc/self/fd").iterdir())) <= before


# Logging.


def test_a_logged_artifact_has_the_next_number_and_knows_it(storage, model):
    with rn.init("p", storage=storage) as run:
        first, second = run.log_artifact(model), run.log_artifact(model)

    assert (first, second) == (1, 2)
    assert (first.name, first.version, first.spec) == ("m", 1, "m:v1")
    assert first.digest == second.digest
    assert f"v{second}" == "v2"
    assert (model.version, model.full_name) == (2, "m:v2")


def test_aliases_are_set_in_the_same_step(storage, model):
    with rn.init("p", storage=storage) as run:
        run.log_artifact(model, aliases=["production", "best", "production", "latest"])
        run.log_artifact(model, aliases="newest")
        with rn.open_store(storage) as store:
            assert store.get("m:v1").aliases == ["best", "production"]
            assert store.get("m:v2").aliases == ["latest", "newest"]


@pytest.mark.parametrize("alias", ["v7", "a b", ""])
def test_an_alias_that_cannot_be_set_is_refused_before_anything_is_stored(storage, model, alias):
    with rn.init("p", storage=storage) as run:
        with pytest.raises(rn.Rejected, match="alias"):
            run.log_artifact(model, aliases=["good", alias])
        assert run.store.artifacts() == []
        assert run.store.stats().pool_bytes == 0


@pytest.mark.parametrize("wrong", [None, "m", {"name": "m"}])
def test_only_an_artifact_is_logged(storage, wrong):
    with rn.init("p", storage=storage) as run, pytest.raises(rn.Rejected, match="takes an Artifact"):
        run.log_artifact(wrong)


def test_a_version_that_was_loaded_is_not_logged(storage, model):
    with rn.init("p", storage=storage) as run:
        run.log_artifact(model)
        with pytest.raises(rn.Rejected, match="takes an Artifact that you made, not ArtifactVersion"):
            run.log_artifact(run.use_artifact("m"))


def test_an_artifact_with_nothing_in_it_is_refused_in_these_words(storage):
    with rn.init("p", storage=storage) as run, pytest.raises(rn.Rejected, match="no files or references"):
        run.log_artifact(rn.Artifact("m", type="model").add_metadata({"a": 1}))


def test_a_version_knows_which_run_made_it_and_which_used_it(storage, model):
    with rn.init("p", storage=storage) as maker:
        maker.log_artifact(model)
    users = []
    for _ in range(2):
        with rn.init("p", storage=storage) as user:
            user.use_artifact("m")
            users.append(user.id)

    with rn.open_store(storage) as store:
        assert store.get("m").logged_by() == store.get("m").get_metadata().created_by_run == maker.id
        assert store.get("m").used_by() == users


def test_the_same_key_twice_is_one_version(storage, model, tmp_path):
    with rn.init("p", storage=storage) as run:
        first = run.log_artifact(model, idempotency_key="job 7")
        file(tmp_path / "model.pth", b"other weights")
        again = run.log_artifact(model, idempotency_key="job 7")
        other = run.log_artifact(model, idempotency_key="job 8")

        assert (first, again, other) == (1, 1, 2)
        assert first.digest == again.digest
        assert content_at(run.store, "m:v1") == b"weights"


def test_a_key_of_another_process_counts_too(storage, model):
    with rn.init("p", storage=storage) as run:
        run.log_artifact(model, idempotency_key="job 7")
    with rn.init("p", storage=storage) as run:
        assert run.log_artifact(model, idempotency_key="job 7") == 1


def test_a_key_that_was_used_for_another_artifact_is_refused(storage, model, tmp_path):
    other = rn.Artifact("n", type="model").add_file(file(tmp_path / "n"))
    with rn.init("p", storage=storage) as run:
        run.log_artifact(model, idempotency_key="job 7")
        with pytest.raises(rn.Rejected, match="key was used"):
            run.log_artifact(other, idempotency_key="job 7")


def content_at(store: rn.Store, spec: str) -> bytes:
    with store.get(spec).open("model.pth") as opened:
        return opened.read()


# Using.


def uses(store: rn.Store) -> int:
    return sum(len(store.get(f"m:v{row.version}").used_by()) for row in store.versions("m", deleted=True))


def test_a_version_used_twice_is_recorded_once_however_it_is_named(storage, model):
    with rn.init("p", storage=storage) as run:
        version = run.log_artifact(model, aliases=["best"])
        for spec in ("m", "m:latest", "m:v1", "m:best", f"m@{version.digest}", f"m@{version.digest[7:15]}"):
            assert run.use_artifact(spec).full_name == "m:v1"
        assert uses(run.store) == 1


def test_use_is_recorded_before_any_byte_is_handed_out(storage, model):
    with rn.init("p", storage=storage) as run:
        run.log_artifact(model)
        run.use_artifact("m")
        with rn.open_store(storage, read_only=True) as reader:
            assert reader.get("m").used_by() == [run.id]


def test_a_type_that_is_asked_for_is_checked_each_time(storage, model):
    with rn.init("p", storage=storage) as run:
        run.log_artifact(model)
        for _ in range(2):
            with pytest.raises(rn.Rejected, match="m:v1 is a model, not a dataset"):
                run.use_artifact("m", type="dataset")
            run.use_artifact("m", type="model")
        assert uses(run.store) == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mm", "did you mean 'm'"),
        ("m:v2", "versions are v1 to v1"),
        ("m:bst", "did you mean 'best'"),
        ("m:", "names no"),
    ],
)
def test_what_is_not_there_is_refused_and_says_what_is(storage, model, spec, message):
    with rn.init("p", storage=storage) as run:
        run.log_artifact(model, aliases=["best"])
        with pytest.raises(ValueError, match=message):
            run.use_artifact(spec)
        assert uses(run.store) == 0


def test_what_was_recorded_is_what_is_handed_out_though_the_alias_moved_meanwhile(storage, model):
    class MovesMeanwhile(rn.Store):
        def execute(self, command, **options):
            if isinstance(command, UseArtifact):
                with rn.open_store(storage) as other:
                    other.alias("m:v2", "production")
            return super().execute(command, **options)

    with rn.init("p", storage=storage) as run, MovesMeanwhile(storage) as moving:
        run.log_artifact(model, aliases=["production"])
        run.log_artifact(model)

        used = rn.Run(moving, run.id, "p", None).use_artifact("m:production")

        assert used.full_name == "m:v2"
        assert used.used_by() == [run.id]
        assert run.store.get("m:v1").used_by() == []


# Several at once.


def test_each_thread_has_a_current_run_of_its_own(storage, tmp_path):
    together = Barrier(4)

    def work(number: int) -> tuple[str, str]:
        run = rn.init("p", name=str(number), storage=storage)
        together.wait()
        run.log_artifact(rn.Artifact(f"m{number}", type="model").add_file(file(tmp_path / str(number), b"%d" % number)))
        together.wait()
        rn.finish()
        return run.id, run.status

    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(work, range(4)))

    with rn.open_store(storage) as store:
        assert {(row.run, row.status) for row in store.runs()} == {(run_id, "finished") for run_id, _ in done}
        assert [store.get(f"m{number}").logged_by() for number in range(4)] == [run_id for run_id, _ in done]
        assert store.rebuild() == []


def test_threads_of_one_run_log_one_after_the_other(storage, tmp_path):
    with rn.init("p", storage=storage) as run:

        def log(number: int) -> int:
            source = file(tmp_path / str(number), b"%d" % number)
            return run.log_artifact(rn.Artifact("m", type="model").add_file(source, "model.pth"))

        with ThreadPoolExecutor(4) as threads:
            versions = list(threads.map(log, range(20)))

        assert sorted(versions) == list(range(1, 21))
        assert [content(run.store, f"m:v{found}") for found in versions] == [b"%d" % number for number in range(20)]


def test_a_run_and_a_store_of_one_process_see_each_other(storage):
    with rn.init("p", storage=storage) as run, rn.open_store(storage) as store:
        assert version(store) == 1
        assert run.use_artifact("m").full_name == "m:v1"
        assert store.get("m").used_by() == [run.id]
