"""What all tests share: a home that is nobody's, and a store of their own."""

import itertools
import os

from hypothesis import HealthCheck, settings
import pytest

import runicorn_es as rn
from runicorn_es import run as runs

# The same examples in every run; `--hypothesis-profile=hunt` looks for new ones.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("hunt", settings.get_profile("suite"), derandomize=False, max_examples=2000)
settings.load_profile("suite")


_count = itertools.count()


def pytest_addoption(parser):
    parser.addoption(
        "--all-faults", action="store_true", help="inject every kind of fault at every call, not a choice of them"
    )
    parser.addoption(
        "--fuzz-executions", type=int, default=8_000, metavar="N", help="inputs that each reader of bytes is tried with"
    )
    parser.addoption("--all-states", action="store_true", help="open every kind of state that a power cut may leave")
    parser.addoption(
        "--minute", action="store_true", help="let processes write, read and die for a minute, not seconds"
    )
    parser.addoption(
        "--commits", type=int, default=400, metavar="N", help="what processes log in all while others collect garbage"
    )
    parser.addoption("--all-cuts", action="store_true", help="cut the power of a real file system at more moments")
    parser.addoption("--all-flips", action="store_true", help="flip thousands of bits in the tables, not some hundred")


# What tests that try many cases tell with record_property: how many, and how many of them were wrong.
COUNTED = (
    "fault cases",
    "power-cut states",
    "killed writers",
    "versions beside killed writers",
    "commits beside garbage collection",
)


def pytest_terminal_summary(terminalreporter):
    told = [
        (name, counts)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name, counts in report.user_properties
    ]
    for name in COUNTED:
        if counts := [count for told_name, count in told if told_name == name]:
            cases, wrong = map(sum, zip(*counts, strict=True))
            terminalreporter.write_line(f"{name}: {cases}, wrong: {wrong}")


@pytest.fixture(autouse=True)
def _a_home_of_its_own(tmp_path_factory, monkeypatch):
    # Not made: few tests write there, and those make it.
    home = tmp_path_factory.getbasetemp() / "home" / str(next(_count))
    for variable, folder in (("HOME", ""), ("XDG_DATA_HOME", "data"), ("XDG_CONFIG_HOME", "config")):
        monkeypatch.setenv(variable, os.fspath(home / folder))
    monkeypatch.delenv("RUNICORN_DIR", raising=False)


@pytest.fixture(autouse=True)
def _no_run_is_left_open():
    yield
    runs._current.set(None)
    for run in list(runs._open_runs.values()):
        runs._open_runs.pop(run.id)
        run.store.close()


@pytest.fixture
def store(tmp_path):
    with rn.open_store(tmp_path / "store") as opened:
        yield opened
