"""The JSON API: described by a document that it keeps to, whoever asks whatever."""

from hypothesis import HealthCheck, Phase, given, settings
import msgspec
import pytest
import schemathesis

from runicorn_es.viewer.table import QUESTIONS

FIXED = {"name": "model", "version": 3, "index": 3}


def asked(shown, path: str) -> str:
    run = shown.get("/api/v1/runs").json()["runs"][0]["run"]
    path = path.replace(":int}", "}").format(**FIXED, run=run)
    needed = {"/compare": "?old=model:v1&new=model:v3", "/preview": "?path=weights.bin"}
    return f"/api/v1{path}{needed.get(path[path.rindex('/') :], '')}"


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.path)
def test_an_answer_is_what_its_struct_says(shown, question):
    answer = shown.get(asked(shown, question.path))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    msgspec.json.decode(answer.content, type=question.answer)


def test_whatever_is_asked_the_answer_is_one_that_the_document_names(shown):
    schema = schemathesis.openapi.from_dict(shown.get("/api/v1/openapi.json").json())
    found = 0
    for operation in schema.get_all_operations():
        strategy = operation.ok().as_strategy()

        @settings(max_examples=12, phases=[Phase.generate], suppress_health_check=list(HealthCheck), deadline=None)
        @given(strategy)
        def holds(case):
            nonlocal found
            found += 1
            answer = shown.request(case.method, case.formatted_path, params=case.query)
            assert answer.status_code < 500

        holds()
    assert found > 100


def test_artifacts_come_in_pages_that_neither_skip_nor_repeat(shown):
    first = shown.get("/api/v1/artifacts?limit=1").json()
    second = shown.get("/api/v1/artifacts", params={"limit": 1, "after": first["next"]}).json()
    assert [one["artifacts"][0]["name"] for one in (first, second)] == ["images", "model"]
    assert second["next"] is None


def test_an_error_says_what_kind_it_is(shown):
    answer = shown.get("/api/v1/artifacts/nothing")
    assert (answer.status_code, answer.json()["kind"]) == (404, "Unknown")
    assert shown.get("/api/v1/runs?limit=x").json()["status"] == 400
    assert shown.get("/api/v1/nowhere").json()["status"] == 404
    assert shown.post("/api/v1/artifacts", headers={"sec-fetch-site": "same-origin"}).json()["status"] == 405


def test_a_search_finds_versions_by_its_grammar(shown):
    found = shown.get("/api/v1/overview", params={"q": "type:model accuracy>=0.6 tag:nightly"}).json()
    assert [line["spec"] for line in found["versions"]] == ["model:v3", "model:v2"]
    assert shown.get("/api/v1/overview", params={"q": "accuracy>=("}).status_code == 400


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("/api/artifacts/stats", {"total_artifacts", "total_versions", "space_saved_bytes", "dedup_ratio"}),
        ("/api/artifacts/model/v3", {"name", "type", "version", "metadata", "aliases"}),
        ("/api/artifacts/images/v2/files", {"files", "references", "total_files", "total_size"}),
        ("/api/artifacts/model/v3/lineage?max_depth=2", {"nodes", "edges", "root"}),
    ],
)
def test_the_addresses_of_the_first_runicorn_answer(shown, path, keys):
    answer = shown.get(path)
    assert answer.status_code == 200
    assert answer.json().keys() >= keys


def test_the_lists_of_the_first_runicorn_are_lists(shown):
    assert [one["name"] for one in shown.get("/api/artifacts").json()] == ["images", "model"]
    assert [one["version"] for one in shown.get("/api/artifacts/model/versions").json()] == [1, 2, 3]
    assert [one["name"] for one in shown.get("/api/artifacts?type=model").json()] == ["model"]
