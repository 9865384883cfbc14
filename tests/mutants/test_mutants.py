"""The tests, tested: each deliberate fault of our own code must be caught by the test that is there for it.

A mutant is a copy of the package with one text replaced. The table in docs/reference/reliability.md lists them.
"""

import compileall
from importlib.util import cache_from_source
import json
from pathlib import Path
import shutil
import subprocess
import sys
from typing import NamedTuple

import pytest

import runicorn_es

TESTS = Path(__file__).parents[1]
INVARIANTS = "test_invariants.py::"
POWER = "crash/test_power_cuts.py::test_a_power_cut_at_any_moment_loses_nothing_acknowledged"

# Name: file, text, what takes its place, the test that must fail.
MUTANTS = {
    "a batch is not synced": (
        "log/__init__.py",
        "        durable.sync(self._file_for_writing(position).descriptor)\n",
        "        pass\n",
        INVARIANTS + "test_a_call_returns_only_after_its_batch_was_synced",
    ),
    "a batch is not synced (power cut)": (
        "log/__init__.py",
        "        durable.sync(self._file_for_writing(position).descriptor)\n",
        "        pass\n",
        POWER + "[log one file]",
    ),
    "the bytes of blobs are not synced before they are named": (
        "pool/ingest.py",
        "if self._staged:\n                sync_all()",
        "if False:\n                pass",
        INVARIANTS + "test_the_bytes_and_then_the_name_of_a_blob_are_durable_before_an_event_names_it",
    ),
    "the names of blobs are not synced": (
        "pool/ingest.py",
        "self._pool.hashed.learn(digest)\n            sync_all()",
        "self._pool.hashed.learn(digest)",
        POWER + "[log one file]",
    ),
    "a blob that is there is trusted to be durable": (
        "pool/ingest.py",
        "self._pool.hashed.learn(digest)\n            sync_all()",
        """self._pool.hashed.learn(digest)
            if self._staged:
                sync_all()""",
        INVARIANTS + "test_a_blob_that_is_already_there_is_synced_again_before_it_is_named",
    ),
    "an event names a blob before it is there": (
        "pool/ingest.py",
        "            if stored:\n                intake.publish(sync_all)\n            yield stored",
        "            yield stored\n            if stored:\n                intake.publish()",
        POWER + "[log one file]",
    ),
    "a blob is trusted by its name": (
        "pool/__init__.py",
        "                        self._verify_doubtful(paths[number], digest)\n",
        "",
        INVARIANTS + "test_logging_the_same_bytes_again_heals_a_damaged_blob",
    ),
    "a blob is believed whoever touched it": (
        "pool/hashed.py",
        "found.append((at >= 0 and ctime_ns <= ends[at]) or ctime_ns == known_ns)",
        "found.append(True)",
        "crash/test_bit_rot.py::test_a_blob_that_rotted_is_not_handed_out_as_a_link",
    ),
    "a blob is left as it came": (
        "pool/__init__.py",
        "    os.fchmod(descriptor, BLOB_MODE)\n    os.utime(descriptor, ns=(BLOB_MTIME_NS, BLOB_MTIME_NS))",
        "    pass",
        INVARIANTS + "test_a_blob_is_read_only_with_a_fixed_time",
    ),
    "no checksum": (
        "log/record.py",
        "if zlib.crc32(encoded, zlib.crc32(buffer[at : at + _LENGTHS.size])) != checksum:",
        "if False:",
        INVARIANTS + "test_every_flipped_byte_of_an_earlier_batch_is_found_when_the_log_is_folded",
    ),
    "no commitment": (
        "log/record.py",
        "return hashlib.sha256(record.payload).digest() == record.commitment",
        "return True",
        INVARIANTS + "test_every_flipped_byte_of_an_earlier_batch_is_found_when_the_log_is_folded",
    ),
    "no chain": (
        "log/segment.py",
        "if found.index != index or found.previous_leaf != leaf:",
        "if found.index != index:",
        "test_invariants.py::test_a_record_of_another_history_does_not_fit_in",
    ),
    "whatever follows, a bad place is a torn tail": (
        "log/segment.py",
        "if found and found.index > position.index and record.proves_what_is_before_it(found.flags):",
        "if False:",
        INVARIANTS + "test_a_flip_before_a_later_batch_is_damage_also_without_a_checkpoint",
    ),
    "a tail is cut without asking the checkpoint": (
        "log/__init__.py",
        "        if position.index < acknowledged:\n",
        "        if False:\n",
        INVARIANTS + "test_a_flip_in_the_last_acknowledged_record_is_damage_and_not_a_torn_tail",
    ),
    "an unfinished batch counts": (
        "log/__init__.py",
        "        if found.flags & record.COMMIT:\n            yield batch\n            batch = []",
        "        yield batch\n        batch = []",
        INVARIANTS + "test_a_log_cut_at_any_byte_of_a_batch_shows_it_whole_or_not_at_all",
    ),
    "the segment that a dead writer began is overlooked": (
        "ledger.py",
        "        position = self._log.tip(position)\n",
        "",
        POWER + "[begin another segment]",
    ),
    "a new file's name is not synced": (
        "durable.py",
        "    _replace(path, content, mode, is_synced=True)\n    sync_folder(path.parent)\n",
        "    _replace(path, content, mode, is_synced=True)\n",
        POWER + "[begin another segment]",
    ),
    "the cursor stays behind": (
        "projections/__init__.py",
        "    out.put(_CURSOR, msgspec.msgpack.encode(behind))",
        "    out.put(_CURSOR, out.get(_CURSOR) or msgspec.msgpack.encode(behind))",
        INVARIANTS + "test_a_cursor_follows_every_batch",
    ),
    "another boot's tables are believed": (
        "tables.py",
        "if boot is not None and _text_of(boot_file) == wanted and",
        "if",
        INVARIANTS + "test_tables_that_are_lost_or_harmed_come_back_row_by_row[another boot]",
    ),
    "a cut file is mapped": (
        "tables.py",
        "    return size_bytes >= needed",
        "    return True",
        INVARIANTS + "test_tables_that_are_lost_or_harmed_come_back_row_by_row[cut]",
    ),
    "the end of the log is remembered": (
        "log/__init__.py",
        "is_end = found.st_size == position.offset and found.st_ino == file.inode",
        "is_end = True",
        INVARIANTS + "test_a_writer_opened_earlier_goes_on_after_what_others_wrote",
    ),
    "writers do not exclude each other": (
        "durable.py",
        "fcntl.flock(descriptor, kind | fcntl.LOCK_NB)",
        "pass",
        INVARIANTS + "test_a_writer_waits_and_names_the_holder_when_it_gives_up",
    ),
    "a lease is closed, not given up": (
        "durable.py",
        "        fcntl.flock(descriptor, fcntl.LOCK_UN)\n",
        "        pass\n",
        "test_durable.py::test_a_lease_is_over_though_a_program_being_started_still_has_a_copy_of_it",
    ),
    "a child keeps its parent's lock": (
        "durable.py",
        "os.register_at_fork(after_in_child=_let_go_in_child)",
        "",
        INVARIANTS + "test_a_child_does_not_keep_the_lock_of_a_parent_that_died_while_it_wrote",
    ),
    "a failed sync is forgotten": (
        "ledger.py",
        "            self._failure = error\n",
        "            pass\n",
        INVARIANTS + "test_a_failed_sync_is_neither_retried_nor_acknowledged",
    ),
    "what is so already is acknowledged without a sync": (
        "ledger.py",
        "            self._sync_and_sign()\n        finally:",
        "            if self._reached[0] != position:\n                self._sync_and_sign()\n        finally:",
        INVARIANTS + "test_an_answer_that_all_is_so_already_is_durable_too",
    ),
    "an overlapping batch proves what stands before it": (
        "log/record.py",
        "return flags & (FIRST | OVERLAPPING) == FIRST",
        "return flags & FIRST == FIRST",
        INVARIANTS + "test_of_batches_whose_syncs_were_under_way_a_power_cut_may_take_the_first_and_leave_the_next",
    ),
    "no batch says that it overlaps": (
        "ledger.py",
        "is_overlapping = tip.size != (signed.size if signed else 0)",
        "is_overlapping = False",
        "test_store.py::test_a_batch_that_was_written_while_another_was_not_durable_says_so",
    ),
    "every batch says that it overlaps": (
        "ledger.py",
        "is_overlapping = tip.size != (signed.size if signed else 0)",
        "is_overlapping = True",
        INVARIANTS + "test_what_a_later_batch_knew_to_be_durable_is_damage_when_it_is_gone",
    ),
    "a head is signed before it is durable": (
        "witness.py",
        "            try:\n                sync(end)\n            finally:\n                signed = signing()\n",
        """            signed = signing()
            with self._path.open("r+b") as file:
                durable.write_all_at(file.fileno(), signed, 0)
            sync(end)
""",
        INVARIANTS + "test_nothing_is_signed_before_it_is_durable",
    ),
    "what a failed sync left in memory is trusted": (
        "ledger.py",
        "self._log.write_anew(position)",
        "self._log.hold(position)",
        "crash/test_disks.py::test_what_a_failed_sync_left_in_memory_is_not_taken_for_written_when_the_store_is_opened_anew",
    ),
    "of batches written together, none says that it overlaps": (
        "ledger.py",
        "            is_overlapping = True\n",
        "            pass\n",
        "test_store.py::test_of_what_threads_wrote_together_only_the_first_says_that_all_before_it_is_durable",
    ),
    "a failed sync of a full segment is passed over": (
        "log/__init__.py",
        "            self.sync(position)\n            try:\n                position = self._roll(position)",
        "            try:\n                self.sync(position)\n                position = self._roll(position)",
        "log/test_log.py::test_a_full_segment_that_cannot_be_synced_is_not_gone_on_with",
    ),
    "numbers are counted, not allotted": (
        "decisions.py",
        "version = row.allotted + 1 if row else 1",
        "version = row.live + 1 if row else 1",
        INVARIANTS + "test_a_deleted_number_is_never_given_again",
    ),
    "what is overwritten is not kept": (
        "projections/chronicle.py",
        "        if old[-DATE_BYTES:] < self._batch:\n",
        "        if False:\n",
        "projections/test_past.py::test_at_every_moment_the_rows_are_those_of_a_store_that_was_stopped_there",
    ),
    "what was removed is not found in the past": (
        "projections/chronicle.py",
        '                self._out.put(REMOVED + key, b"")\n',
        "                pass\n",
        "projections/test_past.py::test_past_rows_answer_as_the_rows_did_then",
    ),
    "what began later is shown in the past": (
        "projections/past.py",
        "            return value if self._was(value) and len",
        "            return value if len",
        "projections/test_past.py::test_past_rows_answer_as_the_rows_did_then",
    ),
    "what was purged is remembered": (
        "projections/catalog.py",
        "        VERSIONS.bury(out, after, name, number, index=version.position)\n",
        "        VERSIONS.put(out, after, name, number)\n",
        "test_as_of.py::test_what_was_purged_is_a_tombstone_at_every_moment",
    ),
    "a moment shows a part of a batch": (
        "queries/moments.py",
        "        if last.flags & COMMIT:\n",
        "        if True:\n",
        "test_moments.py::test_a_moment_in_the_middle_of_a_batch_is_the_one_before_it",
    ),
    "a sync is believed to cover what was written after it began": (
        "witness.py",
        "claimed is None or claimed.size < head.size:",
        "claimed is None:",
        "test_witness.py::test_a_sync_that_began_before_a_batch_was_written_covers_it_not",
    ),
    "what is written during a sync is signed with it": (
        "witness.py",
        """            end, newest = self._newest(position, head)
            # Signed while the disk writes, and seen by nobody before the disk is done.
            signing = aside(lambda: self._signer().sign(newest).encode())
            try:
                sync(end)
            finally:
                signed = signing()
""",
        """            sync(position)
            _, newest = self._newest(position, head)
            signed = self._signer().sign(newest).encode()
""",
        "test_witness.py::test_a_sync_that_began_before_a_batch_was_written_covers_it_not",
    ),
    "half of a checkpoint is another history": (
        "witness.py",
        "        if self._keys.trust().head_of(text) is not None:\n",
        "        if self.acknowledged():\n",
        "test_witness.py::test_half_of_a_checkpoint_that_is_just_being_written_is_no_other_history",
    ),
    "whatever history is signed": (
        "ledger.py",
        "signed = self._witness.require_continued(tip)\n",
        "signed = None\n",
        INVARIANTS + "test_two_histories_are_never_signed",
    ),
}


# Runs tests in children of a process that has imported what they share, which takes longer than most of them.
# One that hangs fails after 100 s, by pytest's own clock.
# A line in: the folder of the package, the file for what pytest says, the tests. A line out: the exit status.
RUNNER = """
import json, os, sys
import hypothesis, numpy, pytest
options = ["-x", "-q", "--assert=plain", "-o", "timeout=100"]
options += [f"-pno:{plugin}" for plugin in ("cacheprovider", "xdist", "faulthandler", "schemathesis")]
for line in sys.stdin:
    folder, said, tests = json.loads(line)
    child = os.fork()
    if not child:
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT), 1)
        os.dup2(1, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ["PYTHONPATH"] = folder
        sys.path.insert(0, folder)
        status = pytest.main([*options, *tests])
        sys.stdout.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Done(NamedTuple):
    """How a run of tests ended, and what it said: all of it, for pytest cuts no line where `CI` is set."""

    status: int
    said: str


@pytest.fixture(scope="session")
def runner():
    arguments = [sys.executable, "-P", "-B", "-c", RUNNER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(arguments, cwd=TESTS.parent, **pipes) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def run_against(runner, tmp_path):
    """Run tests against a copy of the package, in a process of their own."""

    def run(package: Path, *tests: str) -> Done:
        said = tmp_path / "said"
        print(json.dumps([str(package.parent), str(said), [str(TESTS / test) for test in tests]]), file=runner.stdin)
        return Done(int(runner.stdout.readline()), said.read_text())

    return run


@pytest.fixture(scope="session")
def compiled(tmp_path_factory) -> Path:
    """A copy of the package with its byte code, which holds in copies for what they leave unchanged."""
    source = Path(runicorn_es.__file__).parent
    copy = tmp_path_factory.mktemp("compiled") / "runicorn_es"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert compileall.compile_dir(copy, quiet=1)
    return copy


@pytest.fixture
def package(compiled, tmp_path) -> Path:
    """A copy of the package that is found before the installed one."""
    return Path(shutil.copytree(compiled, tmp_path / "runicorn_es"))


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(package, run_against, name):
    file, text, replacement, test = MUTANTS[name]
    source = (package / file).read_text()
    assert source.count(text) == 1, f"{file} no longer holds this text once"
    (package / file).write_text(source.replace(text, replacement))
    Path(cache_from_source(package / file)).unlink()

    done = run_against(package, test)

    # Below 0: the mutant killed the process.
    assert (done.status == 1 and "\nFAILED " in done.said) or done.status < 0, done.said[-2000:]


def test_an_unchanged_copy_passes_all_of_these_tests(package, run_against):
    done = run_against(package, *sorted({mutant[3] for mutant in MUTANTS.values()}))

    assert done.status == 0, done.said[-2000:]


def test_the_table_of_mutants_is_up_to_date():
    page = (TESTS.parent / "docs" / "reference" / "reliability.md").read_text()
    for name, mutant in MUTANTS.items():
        assert f"| {name} | `{mutant[3].split('::')[-1]}` |" in page
    assert f"{len(MUTANTS)} mutants" in page
