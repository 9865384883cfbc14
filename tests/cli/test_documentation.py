"""``docs/reference/cli.md`` as a contract: every verb, every option, and the shape of every answer in JSON."""

import json
from pathlib import Path
import re
import shutil

import pytest
import typer

import runicorn_es as rn
from runicorn_es.cli import app

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text()
COMMAND = typer.main.get_command(app)
GLOBAL = {"--storage", "--store", "--json", "--yes", "-y", "--help", "-h"}
BLOCKS = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = {example["schema"]: example for example in map(json.loads, BLOCKS)}
# Objects whose keys are the user's.
FREE = {"metadata", "attributes", "kinds", "by_type", "event", "columns"}


def section_of(verb: str) -> str:
    match = re.search(rf"^### `{verb}`\n.*?(?=^### |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert match, f"no section on {verb}"
    return match[0]


@pytest.mark.parametrize("verb", COMMAND.commands)
def test_every_verb_is_documented_with_its_options_and_an_example(verb):
    section = section_of(verb)
    options = {name for param in COMMAND.commands[verb].params for name in param.opts if name.startswith("-")}
    assert options >= GLOBAL - {"--help", "-h"}
    shown = set(re.findall(r"(?<=`)--?[a-z-]+", "\n".join(re.findall(r"^\| `.*?\|", section, re.MULTILINE))))
    assert shown == options - GLOBAL
    assert re.search(rf"^\$ .*runicorn {verb}\b", section, re.MULTILINE)


def test_every_global_option_is_documented():
    options = {name for param in COMMAND.params for name in param.opts}
    assert options >= GLOBAL - {"--help", "-h"}
    before_the_verbs = PAGE[: PAGE.index("## Commands")]
    for option in options | GLOBAL:
        assert f"`{option}" in before_the_verbs, option


def test_no_verb_is_documented_that_is_not_there():
    assert re.findall(r"^### `(\S+)`$", PAGE, re.MULTILINE) == list(COMMAND.commands)


@pytest.fixture
def full(root, tmp_path):
    """A store with something of everything."""
    file = tmp_path / "model.pth"
    with rn.init("vision", name="train", storage=root, tags=["t"]) as run:
        file.write_bytes(b"one")
        run.log_artifact(
            rn.Artifact("data", "dataset").add_file(file).add_reference("s3://b/d", "sha256:a", 9, kind="x")
        )
        run.use_artifact("data")
        run.log_artifact(rn.Artifact("m", "model", "what it is", {"n": 1}).add_file(file).add_tags("t"), ["production"])
    (root / "log" / "quarantine" / "kept").write_bytes(b"torn")
    with rn.open_store(root) as store:
        store.consumer("deploy", after=-1).close()


@pytest.mark.parametrize(
    "line",
    [
        "list",
        "versions m",
        "show data",
        "files m",
        "search type:model --limit 1",
        "add m model.pth",
        "get m out",
        "checkout m --into work",
        "alias m:v1 staging",
        "unalias m:production",
        "tag m checked",
        "describe m text",
        "annotate m n=2",
        "lineage m",
        "diff data:v1 m:v1",
        "history m",
        "changes --since #0",
        "undo",
        "lineage m --format json",
        "impact data",
        "stats",
        "delete m:v1 --force --yes",
        "restore m:v1",
        "protect production",
        "purge m:v1 --force --yes",
        "gc --apply-retention --yes",
        "retention set m --keep-last 1",
        "explain m:v1",
        "compact m:v1",
        "runs",
        "consumers",
        "watch --from start --on event:version --exec true --timeout 0s",
        "rebuild",
        "doctor",
        "audit",
        "checkpoint",
        "prove m:v1",
        "prove --since kept",
        "verify bundle",
        "prove --fork forked",
        "export --tiles tiles",
        "export --catalogue versions.jsonl",
        "export --events events.jsonl",
        "replay --to #3 as-it-was",
        "key --rotate",
        "repair --from copy",
    ],
)
def test_an_answer_in_json_has_the_documented_shape(cli, full, root, tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").write_text(cli("checkpoint").out)
    (tmp_path / "bundle").write_text(cli("prove", "m:v1").out)
    shutil.copytree(root, tmp_path / "copy")
    if line.startswith("prove --fork"):
        shutil.copytree(root, tmp_path / "forked")
        for storage in (root, tmp_path / "forked"):
            cli("alias", "m:v1", storage.name, "--storage", storage)
    if line == "undo":
        cli("protect", "staging")
        line = f"undo {json.loads(cli('events', '--json').lines()[-1])['index']}"

    answer = cli(*line.split(), "--json")

    assert (answer.code, answer.err) == (0, "")
    answered = json.loads(answer.lines()[0]) if line.startswith("watch") else answer.json()
    require_shape(answered, EXAMPLES[answered["schema"]], line)


def test_each_line_of_events_in_json_has_the_documented_shape(cli, full):
    lines = [json.loads(line) for line in cli("events", "--json").lines()]
    assert {line["kind"] for line in lines} >= {"store", "run", "file", "reference", "version", "use", "run-end"}
    for line in lines:
        require_shape(line, EXAMPLES["runicorn.event/1"], line["kind"])


def test_an_error_in_json_has_the_documented_shape(cli, full):
    require_shape(json.loads(cli("show", "n", "--json").err), EXAMPLES["runicorn.error/1"], "error")


def test_every_documented_shape_is_one_that_is_checked():
    verbs = {"list", "versions", "show", "files", "add", "get", "alias", "unalias", "lineage", "stats", "delete"}
    others = {"restore", "runs", "rebuild", "doctor", "event", "error"}
    others |= {
        "audit",
        "checkpoint",
        "inclusion",
        "consistency",
        "verified",
        "repair",
        "fork",
        "tiles",
        "key",
        "checkout",
    }
    others |= {"search", "tag", "describe", "annotate"}
    others |= {"diff", "history", "changes", "undo"}
    others |= {"protect", "purge", "gc", "retention", "explain", "compact", "impact", "export", "consumers", "watched"}
    others |= {"replay"}
    others |= {"viewer"}  # tests/viewer/test_serving.py
    assert set(EXAMPLES) == {f"runicorn.{name}/1" for name in verbs | others}


def require_shape(found: object, documented: object, where: str) -> None:
    match found, documented:
        case dict(), dict():
            if where.rpartition(".")[2] not in FREE:
                assert found.keys() == documented.keys(), where
            for key in found.keys() & documented.keys():
                require_shape(found[key], documented[key], f"{where}.{key}")
        case list(), list():
            for one in found:
                require_shape(one, (documented or found)[0], f"{where}[]")
        case None, _:
            pass
        case _, None:
            pass
        case _:
            same = type(found) is type(documented) or {type(found), type(documented)} == {int, float}
            assert same, f"{where}: {found!r} is documented as {documented!r}"
