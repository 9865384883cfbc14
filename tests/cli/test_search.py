"""``search``, as a person at a terminal sees it."""

import pytest

from given import file


@pytest.fixture(autouse=True)
def _models(cli, tmp_path):
    for number in range(1, 4):
        cli("add", "m", file(tmp_path / "f", b"x" * number), "--type", "model", "--meta", f"acc={number / 10}")


def test_versions_are_listed_the_newest_first(cli):
    done = cli("search", "type:model", "acc>=0.2")
    assert [line.split()[0] for line in done.lines()] == ["VERSION", "m:v3", "m:v2"]
    assert (done.code, done.err) == (0, "")


def test_nothing_found_is_no_error(cli):
    done = cli("search", "acc>1")
    assert (done.code, done.out, done.err) == (0, "", "hint: no version is so\n")


def test_a_page_says_how_to_go_on(cli):
    done = cli("search", "--sort", "acc", "--limit", "2")
    assert [line.split()[0] for line in done.lines()[1:]] == ["m:v1", "m:v2"]
    assert done.err.startswith("hint: 2 of 3; the next page: --after ")

    after = done.err.split()[-1]
    last = cli("search", "--sort", "acc", "--limit", "2", "--after", after)
    assert [line.split()[0] for line in last.lines()[1:]] == ["m:v3"]
    assert last.err == ""


def test_an_error_points_at_the_place(cli):
    done = cli("search", "acc>", "--json")
    assert (done.code, done.out) == (2, "")
    assert "\\n" not in done.err
    assert cli("search", "acc>").err == "error: a value is missing behind 'acc>'\n  acc>\n      ^\n"


def test_what_a_query_shows_of_itself_cannot_rewrite_the_screen(cli):
    assert "\x1b" not in cli("search", "a:\x1b[31m(").err


def test_of_each_artifact_the_newest(cli):
    assert [one["spec"] for one in cli("search", "--newest-of-each", "--json").json()["versions"]] == ["m:v3"]


def test_a_limit_of_none_is_refused(cli):
    assert cli("search", "--limit", "0").code == 2
