"""Lineage, impact and export on the command line."""

import json

import pytest

from given import version
import runicorn_es as rn


@pytest.fixture
def train(root, tmp_path) -> str:
    """data:v1 → train → m:v1 (production), and nothing else. Returns the run's id."""
    (tmp_path / "file").write_bytes(b"x")
    with rn.open_store(root) as store:
        version(store, name="data")
        store.protect("production")
    with rn.init("p", name="train", storage=root) as run:
        run.use_artifact("data")
        run.log_artifact(rn.Artifact("m", "model", None, {"acc": 1}).add_file(tmp_path / "file"), ["production"])
    return run.id


def test_up_and_down_are_the_two_directions(cli, train):
    assert cli("lineage", "m", "--up").out == cli("lineage", "m", "--direction", "upstream").out
    assert cli("lineage", "data", "--down").out == cli("lineage", "data", "--direction", "downstream").out
    assert cli("lineage", "m", "--up", "--down").out == cli("lineage", "m").out
    assert cli("lineage", "m", "--up").out != cli("lineage", "m", "--down").out
    assert cli("lineage", "m", "--down", "--direction", "upstream").code == 2


def test_each_format_of_a_lineage_is_what_others_read(cli, train):
    assert cli("lineage", "m", "--format", "json").out == cli("lineage", "m", "--json").out
    assert cli("lineage", "m", "--format", "dot").out.startswith("digraph lineage {\n")
    events = [json.loads(line) for line in cli("lineage", "m", "--format", "openlineage").lines()]
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"]
    assert cli("lineage", "m", "--format", "dot", "--json").code == 2


def test_an_impact_names_protected_aliases_and_counts_all(cli, train):
    assert cli("impact", "data").lines() == [
        "1 version made with data:v1, through 1 run",
        "reaches m:production (v1), protected",
        "",
        "STEPS  WHAT                                      TYPE",
        f"    1  {train} (train, finished)  p",
        "    2  m:v1                                      model",
    ]
    first = cli("impact", "data", "--limit", "1")
    assert (first.code, first.err) == (0, f"hint: there is more; --after {train} shows it\n")
    assert "reaches m:production (v1), protected" in first.lines()
    assert cli("impact", "data", "--after", train).lines()[-1].split() == ["2", "m:v1", "model"]
    assert cli("impact", "m").lines() == ["no run used m:v1", "reaches m:production (v1), protected"]
    assert "a greater --limit" in cli("impact", "data", "--limit", "0").err


def test_an_export_to_standard_output_is_that_to_a_file(cli, train, tmp_path, program):
    for option, noun in (("--catalogue", "versions"), ("--events", "events")):
        done = cli("export", option, tmp_path / "out.jsonl")
        rows = (tmp_path / "out.jsonl").read_text()
        assert done.out.startswith(f"{len(rows.splitlines())} {noun} in {tmp_path}/out.jsonl, ")
        assert program("export", option, "-").stdout == rows


@pytest.mark.parametrize(
    "line",
    ["export", "export --tiles t --events e.jsonl", "export --catalogue c.jsonl --after 3", "export --events e.x"],
)
def test_an_export_of_nothing_or_two_things_is_refused(cli, train, line):
    done = cli(*line.split())

    assert (done.code, done.out) == (2, "")
