"""``--as-of``: every verb that asks answers as of then, and says when that was."""

import pytest

from given import version
import runicorn_es as rn


@pytest.fixture
def then(root, tmp_path):
    """A store in which m:production moved from v1 to v2 and more came, after the moment that is returned."""
    with rn.open_store(root) as store:
        version(store, b"one", aliases=("production",))
        with store.reading() as view:
            then = f"#{view.size}"
        version(store, b"four", aliases=("production",))
        version(store, b"five", name="n")
        with rn.init("p", storage=root) as run:
            run.use_artifact("m:v1")
        store.protect("production")
        store.set_retention("*", keep_last=1)
        store.delete("m:v1")
    return then


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("list", lambda answer: [row["name"] for row in answer["artifacts"]] == ["m"]),
        ("artifacts --action list", lambda answer: [row["latest"] for row in answer["artifacts"]] == [1]),
        (
            "versions m",
            lambda answer: (
                [(row["version"], row["aliases"][1:]) for row in answer["versions"]] == [(1, ["production"])]
            ),
        ),
        ("artifacts --action versions --name m", lambda answer: [row["version"] for row in answer["versions"]] == [1]),
        (
            "show m:production",
            lambda answer: (answer["version"], answer["status"]) == (1, "ready"),
        ),
        ("artifacts --action info --name m", lambda answer: answer["version"] == 1),
        ("files m", lambda answer: [file["size_bytes"] for file in answer["files"]] == [3]),
        ("get m:production here", lambda answer: answer["spec"] == "m:v1"),
        ("lineage m:v1", lambda answer: len(answer["nodes"]) == 1),
        ("stats", lambda answer: (answer["versions"], answer["size_bytes"], "pool_bytes" in answer) == (1, 3, False)),
        ("artifacts --action stats", lambda answer: answer["deleted_versions"] == 0),
        ("runs", lambda answer: answer["runs"] == []),
        ("protect", lambda answer: answer["protected"] == []),
        ("retention", lambda answer: answer["rules"] == []),
    ],
)
def test_every_verb_that_asks_answers_as_of_then(cli, then, line, found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    answer = cli(*line.split(), "--as-of", then, "--json").json()

    assert found(answer)
    assert answer["as_of"]["position"] == int(then[1:])
    assert answer["as_of"]["time"].endswith("Z")
    now = cli(*line.replace("here", "there").split(), "--json").json()
    assert "as_of" not in now
    assert not found(now)


def test_people_are_told_which_moment_is_shown(cli, then):
    shown = cli("show", f"m:production@{{{then}}}")

    assert "m:v1\n" in shown.out
    assert shown.err.startswith(f"as of: {then}, 20")


def test_an_alias_is_set_back_to_what_it_was(cli, then):
    cli("restore", "m:v1")

    assert cli("alias", f"m:production@{{{then}}}", "production", "--force").out == "m:production is v1\n"


@pytest.mark.parametrize(
    "line",
    [
        "delete m@{#2} --yes",
        "list --as-of soon",
        "list --as-of #99999",
        "show m@{#2} --as-of #2",
        "protect best --as-of #2",
        "retention clear * --as-of #2",
        "artifacts --action delete --name m --version 1 --as-of #2",
    ],
)
def test_what_cannot_be_meant_is_refused(cli, then, line):
    refused = cli(*line.split())

    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("error: ")
