"""Pages as of the past: what was there then, a banner that says so, and nothing to be changed."""

import re

import pytest

from viewer.test_pages import PAGES

MOMENTS = ["#12", "12", "yesterday", "2020-01-31", "x", "#99999", "3 days ago"]


def moment_before(shown, sentence: str) -> str:
    records = shown.get("/api/v1/events?limit=500").json()["records"]
    return f"#{next(one['index'] for one in records if any(sentence in said for said in one['sentences']))}"


def test_a_deleted_version_is_there_before_it_was_deleted(shown):
    before = moment_before(shown, "images:v1 was deleted")
    page = shown.get("/artifacts/images/v1", params={"as_of": before}).text
    assert "This version is deleted" not in page
    assert f"as of {before}" in page
    assert "/change/" not in page
    assert "This version is deleted" in shown.get("/artifacts/images/v1").text


def test_an_alias_is_where_it_was(shown):
    before = moment_before(shown, "production of model moved from v2 to v3")
    asked = {"as_of": before, "old": "model:v1", "new": "model:production"}
    assert shown.get("/api/v1/compare", params=asked).json()["new"]["spec"] == "model:v2"


def test_links_stay_at_the_moment_until_one_goes_back(shown):
    moment = moment_before(shown, "images:v1 was deleted")
    page = shown.get("/artifacts/model/v1", params={"as_of": moment}).text
    links = re.findall(r'href="(/(?:artifacts|runs|events|audit|storage)[^"]*)"', page)
    back = [link for link in links if f"as_of=%23{moment[1:]}" not in link]
    assert len(links) > 8
    assert back == ["/artifacts/model/v1"]


@pytest.mark.parametrize("path", [page for page in PAGES if "/change/" not in page])
def test_every_page_can_be_asked_as_of_any_moment(shown, path):
    head = shown.get("/api/v1/audit").json()["records"]
    for moment in ("#1", f"#{head // 2}", f"#{head}"):
        answer = shown.get(f"{path}{'&' if '?' in path else '?'}as_of=%23{moment[1:]}")
        assert answer.status_code in {200, 404, 400}
        if moment == f"#{head}":
            assert answer.status_code == 200
            assert "as of #" in answer.text


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_names_no_moment_is_refused_and_never_a_failure(shown, moment):
    assert shown.get("/artifacts", params={"as_of": moment}).status_code in {200, 400, 404}
