"""Who is let in: names, origins, tokens, sizes."""

from base64 import b64encode

import pytest

import runicorn_es as rn
from runicorn_es import settings
from runicorn_es.viewer.guard import hosts_for
from viewer.conftest import post, token_in, viewer_of

HEADERS = {"content-security-policy", "x-content-type-options", "referrer-policy", "cross-origin-resource-policy"}
SAME = {"sec-fetch-site": "same-origin"}
TOKEN = "a-token-that-is-long-enough"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:23300", "localhost:1", "[::1]:23300", "LOCALHOST", "localhost."]
)
def test_the_names_of_loopback_are_answered(shown, host):
    assert shown.get("/artifacts", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:23300", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.1@evil", "",
     "0.0.0.0", "192.168.0.5", "2130706433", "127.1", "[::ffff:127.0.0.1]", "127.0.0.1:80:80", "localhost/../x"],
)  # fmt: skip
def test_another_name_is_refused_whatever_is_asked_and_told_the_option(shown, host):
    for path in ("/artifacts", "/api/v1/artifacts", "/static/app.css", "/events/stream", "/nowhere"):
        answer = shown.get(path, headers={"host": host})
        assert (answer.status_code, "--allowed-host" in answer.text) == (421, True)


def test_an_allowed_name_is_answered(full):
    hosts, any_address = hosts_for("127.0.0.1", ["Hub.Example"])
    client = viewer_of(full, hosts=hosts, any_address=any_address)
    assert client.get("/artifacts", headers={"host": "hub.example:8000"}).status_code == 200


def test_bound_to_another_address_numbers_are_answered_and_names_are_not(full):
    hosts, any_address = hosts_for("0.0.0.0", [])
    client = viewer_of(full, hosts=hosts, any_address=any_address, token=TOKEN)
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert client.get("/artifacts", headers={"host": "192.168.0.5:23300", **bearer}).status_code == 200
    assert client.get("/artifacts", headers={"host": "evil.example", **bearer}).status_code == 421


@pytest.fixture(scope="module")
def locked(template):
    with rn.open_store(template) as store:
        yield viewer_of(store, token=TOKEN)


def basic(password: str) -> str:
    return "Basic " + b64encode(f"me:{password}".encode()).decode()


@pytest.mark.parametrize("path", ["/artifacts", "/api/v1/artifacts", "/events/stream", "/static/app.js", "/nowhere"])
@pytest.mark.parametrize(
    "shown",
    [
        None,
        "",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer",
        basic(""),
        basic("x"),
        "Basic !",
        "Basic é",
    ],
)
def test_without_the_token_nothing_is_answered(locked, path, shown):
    answer = locked.get(path, headers={} if shown is None else {"authorization": shown.encode()})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize("shown", [f"Bearer {TOKEN}", f"bearer {TOKEN}", basic(TOKEN)])
def test_with_the_token_the_page_comes(locked, shown):
    assert locked.get("/artifacts", headers={"authorization": shown}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://127.0.0.1:23300.evil.example"},
    ],
)
def test_a_change_from_a_page_that_is_not_ours_is_refused_even_with_the_token(client, full, headers):
    token = token_in(client.get("/change/delete?spec=model:v1").text)
    for path in ("/change/delete", "/audit", "/storage"):
        answer = client.post(path, data={"token": token, "spec": "model:v1", "force": "yes"}, headers=headers)
        assert answer.status_code == 403
    assert full.get("model:v1").get_metadata().status == "ready"


@pytest.mark.parametrize("token", ["", "x", "é" * 43])
def test_a_change_without_the_token_of_the_form_is_refused(client, full, token):
    for path in ("/change/delete", "/audit", "/storage"):
        assert client.post(path, data={"token": token, "spec": "model:v1"}, headers=SAME).status_code == 403
    assert full.get("model:v1").get_metadata().status == "ready"


def test_the_token_of_the_form_may_come_as_a_header(client, full):
    token = token_in(client.get("/change/delete?spec=model:v1").text)
    answer = client.post("/change/delete", data={"spec": "model:v1"}, headers={"x-runicorn-token": token, **SAME})
    assert answer.status_code == 303


@pytest.mark.parametrize("path", ["/change/delete?spec=model:v1&force=yes", "/change/alias?spec=model:v1&alias=x"])
def test_a_link_changes_nothing(client, full, path):
    head = len(list(full.events()))
    assert client.get(path).status_code == 200
    assert len(list(full.events())) == head


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_do_nothing(shown, method):
    for path in ("/artifacts/model/v1", "/api/v1/artifacts/model/v1", "/change/delete"):
        assert shown.request(method, path, headers=SAME).status_code == 405


@pytest.mark.parametrize("path", ["/artifacts", "/nowhere", "/api/v1/artifacts", "/api/v1/nowhere", "/static/app.css",
                                  "/artifacts/model/v3/download?path=weights.bin"])  # fmt: skip
def test_every_answer_says_what_browsers_may_do_with_it(shown, path):
    answer = shown.get(path)
    assert answer.headers.keys() >= HEADERS
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not {name for name in answer.headers if name.startswith("access-control")}
    assert "set-cookie" not in answer.headers


def test_a_refusal_has_those_headers_too(shown):
    assert shown.get("/artifacts", headers={"host": "evil.example"}).headers.keys() >= HEADERS


def test_what_is_too_long_is_refused(shown):
    assert shown.get("/artifacts?q=" + "x" * settings.URL_BYTES_MAX).status_code == 414
    body = b"x" * (settings.REQUEST_BYTES_MAX + 1)
    assert shown.post("/change/delete", content=body, headers=SAME).status_code == 413
    assert shown.post("/change/delete", content=b"", headers={"content-length": "-1", **SAME}).status_code == 413


def test_a_body_that_is_longer_than_it_says_is_not_read(shown):
    def pieces():
        for _ in range(3):
            yield b"x" * (settings.REQUEST_BYTES_MAX // 2)

    answer = shown.post("/change/delete", content=pieces(), headers=SAME)
    assert answer.status_code == 413


def test_a_viewer_that_is_read_only_changes_nothing(full):
    client = viewer_of(full, is_read_only=True)
    page = client.get("/artifacts/model/v3").text
    assert "/change/" not in page
    token = token_in(client.get("/audit").text)
    for verb in ("alias", "unalias", "delete", "restore"):
        assert client.get(f"/change/{verb}?spec=model:v1").status_code == 403
        data = {"token": token, "spec": "model:v1", "alias": "x"}
        assert client.post(f"/change/{verb}", data=data, headers=SAME).status_code == 403
    assert full.get("model:v1").get_metadata().status == "ready"


def test_below_a_proxy_links_and_routes_have_its_path(full):
    client = viewer_of(full, root_path="/user/me/proxy")
    for path in ("/artifacts", "/user/me/proxy/artifacts"):
        page = client.get(path)
        assert page.status_code == 200
        assert 'href="/user/me/proxy/artifacts/model' in page.text
        assert 'href="/artifacts' not in page.text
    assert post(client, "delete", spec="model:v1").headers["location"].startswith("/user/me/proxy/artifacts/model/v1")
