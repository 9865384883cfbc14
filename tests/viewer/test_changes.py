"""What pages change: each an event, after a form that says what will happen."""

import pytest

from runicorn_es.events import AliasSet, VersionDeleted
from viewer.conftest import post


def last_events(store, kind):
    return [event for _, events in store.events() for event in events if isinstance(event, kind)]


def test_an_alias_is_set_and_the_page_says_so(client, full):
    answer = post(client, "alias", spec="model:v1", alias="stable", reason="tried out")
    assert answer.status_code == 303
    assert "The alias was set." in client.get(answer.headers["location"]).text
    assert last_events(full, AliasSet)[-1] == AliasSet("model", "stable", 1, None, "tried out")


def test_an_alias_that_moved_meanwhile_is_not_moved_again(client, full):
    answer = post(client, "alias", spec="model:v1", alias="production", expected="2")
    assert answer.status_code == 409
    assert full.get("model:production").version == 3


def test_an_alias_is_removed(client, full):
    assert post(client, "unalias", spec="model:v3", alias="production").status_code == 303
    assert full.aliases("model") == []


def test_tags_are_added_and_taken_away(client, full):
    assert post(client, "tag", spec="model:v1", add="checked, by hand", remove="nightly").status_code == 303
    assert full.get("model:v1").tags == ["by hand", "checked"]


def test_a_description_is_changed_from_what_it_was(client, full):
    assert "What it is &lt;script&gt;" in client.get("/change/describe?spec=model:v1").text
    assert post(client, "describe", spec="model:v1", text="Two\r\nlines").status_code == 303
    assert full.get("model:v1").get_metadata().description == "Two\nlines"


def test_a_version_is_deleted_and_restored(client, full):
    assert post(client, "delete", spec="model:v1", reason="old").status_code == 303
    assert last_events(full, VersionDeleted)[-1].reason == "old"
    assert post(client, "restore", spec="model:v1").status_code == 303
    assert full.get("model:v1").get_metadata().status == "ready"


def test_what_is_in_use_is_deleted_only_after_the_reasons_were_read(client, full):
    refused = post(client, "delete", spec="model:v3")
    assert refused.status_code == 400
    assert "alias production points to it" in refused.text
    assert 'name="force"' in refused.text
    assert 'name="force"' not in client.get("/change/delete?spec=model:v3").text
    assert post(client, "delete", spec="model:v3", force="yes").status_code == 303


@pytest.mark.parametrize(
    ("verb", "fields", "status"),
    [
        ("alias", {"spec": "model:v1", "alias": ""}, 400),
        ("alias", {"spec": "model:v1", "alias": "latest"}, 400),
        ("alias", {"spec": "model:v1", "alias": "a b"}, 400),
        ("alias", {"spec": "model:v1", "alias": "x", "expected": "y"}, 400),
        ("alias", {"spec": "model:v9", "alias": "x"}, 404),
        ("alias", {"spec": "model", "alias": "x"}, 400),
        ("unalias", {"spec": "model:v1", "alias": "nothing"}, 404),
        ("restore", {"spec": "model:v1"}, 303),
    ],
)
def test_what_is_refused_comes_back_with_the_form(client, verb, fields, status):
    answer = post(client, verb, **fields)
    assert answer.status_code == status
    if status != 303:
        assert 'role="alert"' in answer.text


@pytest.mark.parametrize("body", [b"\xff\xfe", b"no form at all", b"&" * 70 + b"a=b", b"a=1&" * 100])
def test_what_is_no_form_is_refused(client, body):
    answer = client.post("/change/alias", content=body, headers={"sec-fetch-site": "same-origin"})
    assert answer.status_code in {400, 403}
