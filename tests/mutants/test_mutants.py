"""The tests, tested: each deliberate fault of our own code must be caught by the test that is there for it.

A mutant is a copy of the package with one text replaced. The table in docs/reference/reliability.md lists them.
"""

import os
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

import runicorn_es

TESTS = Path(__file__).parents[1]
INVARIANTS = "test_invariants.py::"
POWER = "crash/test_power_cuts.py::test_a_power_cut_at_any_moment_loses_nothing_acknowledged"

# Name: file, text, what takes its place, the test that must fail.
MUTANTS = {
    "a batch is not synced": (
        "log/__init__.py",
        "durable.sync(descriptor)  # the commit point",
        "pass",
        INVARIANTS + "test_a_call_returns_only_after_its_batch_was_synced",
    ),
    "a batch is not synced (power cut)": (
        "log/__init__.py",
        "durable.sync(descriptor)  # the commit point",
        "pass",
        POWER + "[log one file]",
    ),
    "the bytes of blobs are not synced before they are named": (
        "pool/ingest.py",
        "if self._staged:\n                durable.sync_filesystem(self._layout.pool)",
        "if False:\n                pass",
        INVARIANTS + "test_the_bytes_and_then_the_name_of_a_blob_are_durable_before_an_event_names_it",
    ),
    "the names of blobs are not synced": (
        "pool/ingest.py",
        "self._name(path, self._layout.blob(digest))\n            durable.sync_filesystem(self._layout.pool)",
        "self._name(path, self._layout.blob(digest))",
        POWER + "[log one file]",
    ),
    "a blob that is there is trusted to be durable": (
        "pool/ingest.py",
        "self._name(path, self._layout.blob(digest))\n            durable.sync_filesystem(self._layout.pool)",
        """self._name(path, self._layout.blob(digest))
            if self._staged:
                durable.sync_filesystem(self._layout.pool)""",
        INVARIANTS + "test_a_blob_that_is_already_there_is_synced_again_before_it_is_named",
    ),
    "an event names a blob before it is there": (
        "pool/ingest.py",
        "            if stored:\n                intake.publish()\n            yield stored",
        "            yield stored\n            if stored:\n                intake.publish()",
        POWER + "[log one file]",
    ),
    "a blob is trusted by its name": (
        "pool/__init__.py",
        "        if looks_untouched(found, size_bytes):\n            return True\n        try:",
        "        if True:\n            return True\n        try:",
        INVARIANTS + "test_logging_the_same_bytes_again_heals_a_damaged_blob",
    ),
    "a stat is believed by size alone": (
        "pool/__init__.py",
        "        and not found.st_mode & _WRITE_BITS\n        and found.st_mtime_ns == BLOB_MTIME_NS\n",
        "",
        INVARIANTS + "test_a_blob_edited_through_a_link_is_never_handed_out_and_every_version_is_named",
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
        "if found and found.flags & record.FIRST and found.index > position.index:",
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
        "        raise\n    sync_folder(path.parent)\n",
        "        raise\n",
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
        "ledger.py",
        "return self._catch_up() if self._log.has_more(position) else position",
        "return position",
        INVARIANTS + "test_a_writer_opened_earlier_goes_on_after_what_others_wrote",
    ),
    "writers do not exclude each other": (
        "durable.py",
        "fcntl.flock(descriptor, kind | fcntl.LOCK_NB)",
        "pass",
        INVARIANTS + "test_a_writer_waits_and_names_the_holder_when_it_gives_up",
    ),
    "a child keeps its parent's lock": (
        "durable.py",
        "os.register_at_fork(after_in_child=_let_go_in_child)",
        "",
        INVARIANTS + "test_a_child_forked_while_its_parent_writes_does_not_keep_the_lock",
    ),
    "a failed sync is forgotten": (
        "ledger.py",
        "                self._failure = error\n",
        "                pass\n",
        INVARIANTS + "test_a_failed_sync_is_neither_retried_nor_acknowledged",
    ),
    "what is so already is acknowledged without a sync": (
        "ledger.py",
        "                self._log.sync(position)\n                return ()",
        "                return ()",
        INVARIANTS + "test_an_answer_that_all_is_so_already_is_durable_too",
    ),
    "numbers are counted, not allotted": (
        "decisions.py",
        "version = row.allotted + 1 if row else 1",
        "version = row.live + 1 if row else 1",
        INVARIANTS + "test_a_deleted_number_is_never_given_again",
    ),
    "whatever history is signed": (
        "ledger.py",
        "        self._require_continued()\n",
        "",
        INVARIANTS + "test_two_histories_are_never_signed",
    ),
}


def run_against(package: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """Run tests against a copy of the package, in a process of their own."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:faulthandler"]
    return subprocess.run(
        [sys.executable, "-P", "-B", "-m", "pytest", *options, *(str(TESTS / test) for test in tests)],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
        cwd=TESTS.parent,
        env={**os.environ, "PYTHONPATH": str(package.parent)},
    )


@pytest.fixture
def package(tmp_path) -> Path:
    """A copy of the package that is found before the installed one."""
    source = Path(runicorn_es.__file__).parent
    return Path(shutil.copytree(source, tmp_path / "runicorn_es", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(package, name):
    file, text, replacement, test = MUTANTS[name]
    source = (package / file).read_text()
    assert source.count(text) == 1, f"{file} no longer holds this text once"
    (package / file).write_text(source.replace(text, replacement))

    done = run_against(package, test)

    # 1: a test failed; below 0: the mutant killed the process.
    assert done.returncode == 1 or done.returncode < 0, done.stdout[-2000:]


def test_an_unchanged_copy_passes_all_of_these_tests(package):
    done = run_against(package, *sorted({mutant[3] for mutant in MUTANTS.values()}))

    assert done.returncode == 0, done.stdout[-2000:]


def test_the_table_of_mutants_is_up_to_date():
    page = (TESTS.parent / "docs" / "reference" / "reliability.md").read_text()
    for name, mutant in MUTANTS.items():
        assert f"| {name} | `{mutant[3].split('::')[-1]}` |" in page
    assert f"{len(MUTANTS)} mutants" in page
