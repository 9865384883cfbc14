"""Each page, as whoever has no script sees it."""

import re

import pytest

from given import file
import runicorn_es as rn
from viewer.conftest import EVIL, viewer_of

PAGES = [
    "/artifacts",
    "/artifacts?type=model&sort=size",
    "/artifacts?q=model",
    "/artifacts/model",
    "/artifacts/model/v1",
    "/artifacts/images/v1",
    "/artifacts/images/v2/files",
    "/artifacts/images/v2/files?folder=data",
    "/artifacts/images/v2/preview?path=data/train/rows.csv",
    "/artifacts/images/v2/preview?path=notes.txt",
    "/artifacts/images/v2/preview?path=config.json",
    "/artifacts/images/v2/preview?path=picture.png",
    "/artifacts/images/v2/preview?path=weights.bin",
    "/artifacts/model/versions",
    "/artifacts/model/versions?plot=eval.loss&columns=accuracy,eval",
    "/artifacts/model/v3/lineage",
    "/artifacts/model/v3/lineage?depth=0&siblings=true",
    "/compare?old=model:v1&new=model:v3",
    "/compare?old=images:v1&new=model",
    "/events?artifact=model:production",
    "/runs",
    "/runs?project=vision",
    "/events",
    "/events/3",
    "/audit",
    "/storage",
    "/change/alias?spec=model:v3",
    "/change/unalias?spec=model:v3&alias=production",
    "/change/delete?spec=model:v3",
    "/change/restore?spec=images:v1",
]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_whole_and_escapes_what_users_wrote(shown, path):
    answer = shown.get(path)
    assert answer.status_code == 200
    assert answer.text.rstrip().endswith("</html>")
    assert EVIL not in answer.text
    assert not re.search(r"\son[a-z]+=|\sstyle=|javascript:|<script(?! src=| type=\"module\" src=)", answer.text)
    assert answer.text.count("<h1>") == 1
    assert "Undefined" not in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_every_link_of_a_page_leads_somewhere(shown, path):
    for link in set(re.findall(r'(?:href|src)="([^"#]+)"', shown.get(path).text)):
        answer = shown.get(link.replace("&amp;", "&"))
        assert answer.status_code in {200, 307}, link


def test_the_first_page_lists_what_there_is(shown):
    page = shown.get("/artifacts").text
    assert page.index(">images<") < page.index(">model<") or page.index(">model<") < page.index(">images<")
    assert "production" in page
    assert "nightly" in page


def test_an_empty_store_teaches_how_to_begin(store):
    page = viewer_of(store).get("/artifacts").text
    assert "rn.init(" in page
    assert "runicorn add" in page


def test_a_version_shows_what_is_known_of_it(client, full):
    page = client.get("/artifacts/model/v3").text
    assert full.get("model:v3").digest in page
    assert "run.use_artifact(&#34;model:v3&#34;)" in page
    assert "nightly" in page
    assert "production" in page
    assert "0.7" in page


def test_a_deleted_version_says_so_and_offers_to_restore_it(shown):
    page = shown.get("/artifacts/images/v1").text
    assert "This version is deleted" in page
    assert "/change/restore?spec=images%3Av1" in page


def test_a_purged_version_is_a_tombstone(client, full):
    full.purge("images:v1", force=True)
    page = client.get("/artifacts/images/v1").text
    assert "purged" in page
    assert client.get("/artifacts/images/v1/files").status_code == 200
    for more in ("download?path=notes.txt", "zip", "preview?path=notes.txt"):
        assert client.get(f"/artifacts/images/v1/{more}").status_code == 404


def test_an_artifact_that_is_not_there_names_those_that_look_like_it(shown):
    answer = shown.get("/artifacts/modle")
    assert answer.status_code == 404
    assert 'href="/artifacts/model"' in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/runs/nothing",
        "/events/99999",
        "/artifacts/model/v9",
        "/artifacts/model/v0x",
        "/x",
        "/artifacts/images/v2/files?folder=nothing",
        "/static/none.js",
        "/change/explode",
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(shown, path):
    answer = shown.get(path)
    assert answer.status_code == 404
    assert "</html>" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/artifacts?page=x",
        "/artifacts?page=0",
        "/artifacts?sort=colour",
        "/events?before=-1",
        "/artifacts/model/v3/lineage?depth=-1",
        "/change/alias?spec=%00",
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_page(shown, path):
    answer = shown.get(path)
    assert answer.status_code == 400
    assert "</html>" in answer.text


def test_a_list_goes_on_over_pages(store, tmp_path):
    content = file(tmp_path / "file")
    with store.batch() as batch:
        for number in range(60):
            batch.log_artifact(rn.Artifact(f"m{number:02d}", "model").add_file(content))
    client = viewer_of(store)
    seen = [
        name
        for page in (1, 2, 3)
        for name in re.findall(r">(m\d\d)<", client.get(f"/artifacts?sort=name&page={page}").text)
    ]
    assert seen == [f"m{number:02d}" for number in range(60)]


def test_versions_are_drawn_and_compared_by_what_their_metadata_say(shown):
    page = shown.get("/artifacts/model/versions?plot=eval.loss&columns=accuracy").text
    assert page.count("<circle") == 3
    assert "v2: 0.9" in page
    assert ">0.6<" in page


def test_where_an_alias_was_is_a_time_line(shown):
    page = shown.get("/artifacts/model/versions").text
    assert page.count("moved from") == 2
    assert "was set on" in page


def test_two_versions_are_compared_by_files_metadata_and_inputs(shown):
    page = shown.get("/compare?old=model:v1&new=model:v3").text
    assert "<del>0.5</del>" in page
    assert "<ins>0.7</ins>" in page
    assert "weights.bin" in page
    assert "Made from images" in page


def test_the_log_can_be_asked_for_one_thing(shown):
    page = shown.get("/events?artifact=images:v1&limit=1").text
    assert "images:v1 was deleted" in page
    assert "Older events" in page
    assert shown.get("/events?artifact=nothing").status_code == 404


def test_a_run_shows_what_it_used_and_made(client, full):
    run = full.runs()[1].run
    page = client.get(f"/runs/{run}").text
    assert "images:v2" in page
    assert "model:v2" in page


def test_the_log_has_the_newest_first_and_goes_on(client, full):
    head = len(list(full.events()))
    page = client.get("/events?limit=5").text
    assert [int(index) for index in re.findall(r">#(\d+)<", page)] == list(range(head - 1, head - 6, -1))
    assert f"before={head - 5}" in page


def test_a_state_that_another_process_wrote_is_shown_at_once(client, full):
    with rn.open_store(full.layout.root) as other:
        other.alias("model:v1", "elsewhere")
    assert "elsewhere" in client.get("/artifacts/model/v1").text
