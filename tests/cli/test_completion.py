"""What a shell is offered behind the words typed so far."""

import os
from pathlib import Path
import subprocess
import sys

import pytest

from given import version
import runicorn_es as rn
from runicorn_es.cli import main


@pytest.fixture
def three_versions(root):
    with rn.open_store(root) as store:
        version(store, b"1", name="resnet50-model", aliases=["production"])
        version(store, b"2", name="resnet50-model")
        version(store, name="resnet50-tiny")


@pytest.fixture
def offered(root, monkeypatch, capsys):
    """Return what fish is offered for the last word of a line."""

    def ask(line: str) -> list[str]:
        monkeypatch.setenv("_RUNICORN_COMPLETE", "complete_fish")
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        with pytest.raises(SystemExit):
            main([])
        return capsys.readouterr().out.split()

    return ask


@pytest.mark.parametrize("verb", ["show", "files", "get", "alias", "unalias", "lineage", "delete", "restore"])
def test_a_spec_is_completed_with_names(offered, three_versions, verb):
    assert offered(f"runicorn {verb} res") == ["resnet50-model", "resnet50-tiny"]


@pytest.mark.parametrize("verb", ["versions", "add"])
def test_a_name_is_completed_with_names_alone(offered, three_versions, verb):
    assert offered(f"runicorn {verb} resnet50-m") == ["resnet50-model"]
    assert offered(f"runicorn {verb} resnet50-model:") == []


def test_behind_a_colon_a_spec_is_completed_with_aliases_andthree_versions(offered, three_versions):
    all_of_it = [f"resnet50-model:{selector}" for selector in ("latest", "production", "v2", "v1")]
    assert offered("runicorn show resnet50-model:") == all_of_it
    assert offered("runicorn show resnet50-model:p") == ["resnet50-model:production"]
    assert offered("runicorn show resnet50-model") == ["resnet50-model", *all_of_it]


def test_the_store_of_the_line_is_the_one_that_is_asked(offered, root, tmp_path, three_versions):
    with rn.open_store(tmp_path / "other") as other:
        version(other, name="elsewhere")
    assert offered(f"runicorn --store {tmp_path}/other show ") == ["elsewhere"]
    assert offered(f"runicorn show --storage {tmp_path}/other e") == ["elsewhere"]


def test_verbs_and_options_are_completed(offered):
    assert {"list", "lineage"} <= set(offered("runicorn li"))
    assert "--direction" in offered("runicorn lineage --d")


def test_where_there_is_no_store_nothing_is_offered_and_nothing_made(offered, root):
    assert offered("runicorn show ") == []
    assert not root.exists()


def test_where_the_store_is_broken_nothing_is_offered(offered, root, three_versions):
    (root / "store.json").write_text("{")
    assert offered("runicorn show ") == []


BASH = """
set -e
source "$SCRIPT"
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_runicorn_completion runicorn
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "replies"),
    [
        # As bash cuts them: a colon is a word of its own.
        (["show", "resnet50-m"], ["resnet50-model"]),
        (["show", "resnet50-model", ":"], ["latest", "production", "v2", "v1"]),
        (["show", "resnet50-model", ":", "pro"], ["production"]),
        (["alias", "resnet50-model", ":", "v1", "--rea"], ["--reason"]),
    ],
)
def test_bash_which_cuts_words_at_colons_is_answered_all_the_same(
    program, root, tmp_path, three_versions, words, replies
):
    script = tmp_path / "completion.sh"
    shown = program("--show-completion", "bash", env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    script.write_text(shown.stdout)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "SCRIPT": str(script)}

    done = subprocess.run(
        ["bash", "--norc", "-c", BASH, "bash", "runicorn", *words],
        capture_output=True, text=True, check=True, env=environment, timeout=60,
    )  # fmt: skip

    assert done.stdout.split() == replies
    assert done.stderr == ""
