"""``tag``, ``describe`` and ``annotate``, as a person at a terminal sees them."""

import pytest

from given import file


@pytest.fixture(autouse=True)
def _model(cli, tmp_path):
    cli("add", "m", file(tmp_path / "f"), "--type", "model", "--tag", "new", "--meta", "lr=0.1")


def test_tags_are_listed_added_and_taken_away(cli):
    assert cli("tag", "m").lines() == ["new"]
    assert cli("tag", "m", "a", "b", "--remove", "new").lines() == ["a", "b"]
    assert cli("tag", "m:v1", "--json").json() == {"schema": "runicorn.tag/1", "spec": "m:v1", "tags": ["a", "b"]}


def test_a_description_is_shown_set_and_taken_away(cli):
    assert cli("describe", "m").out == ""
    assert cli("describe", "m", "one\ntwo\x1b[31m").lines() == ["one", "two\\x1b[31m"]
    assert cli("describe", "m", "--remove", "--json").json()["description"] is None
    assert cli("describe", "m", "text", "--remove").code == 2


def test_metadata_is_shown_set_and_taken_away(cli):
    assert cli("annotate", "m").lines() == ["lr: 0.1"]
    assert cli("annotate", "m", "acc=0.9", "arch=ResNet", "--remove", "lr").lines() == ["acc: 0.9", "arch: ResNet"]
    assert cli("annotate", "m", "--json").json()["metadata"] == {"acc": 0.9, "arch": "ResNet"}


def test_a_pair_that_is_none_is_refused_with_an_example(cli):
    done = cli("annotate", "m", "acc")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: 'acc' is not of the form KEY=VALUE\nhint: val_acc=0.95, for one\n"
