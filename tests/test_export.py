"""Versions, events and runs in formats of others: what is in them, and that files are whole or not there."""

from datetime import UTC, datetime, timedelta
import json
import os
import re
import sys
import uuid

from pyarrow import feather, parquet
import pytest

from given import file
import runicorn_es as rn
from runicorn_es import export, queries
from runicorn_es.errors import Rejected, Unknown


@pytest.fixture
def history(store, tmp_path):
    """data:v1 → train → m:v1 (production), m:v2; m:v1 → evaluate, which failed; old:v1 deleted, gone:v1 purged."""
    source = file(tmp_path / "file")

    def log(run, name, kind, metadata, **options):
        run.log_artifact(rn.Artifact(name, kind, None, metadata).add_file(source), **options)

    root = store.layout.root
    with rn.init("p", name="collect", storage=root) as run:
        for name in ("data", "old", "gone"):
            log(run, name, "dataset", {"rows": 10})
    with rn.init("p", name="train", storage=root) as run:
        run.use_artifact("data")
        log(run, "m", "model", {"acc": 1, "by": {"who": "a"}}, aliases=["production"])
        log(run, "m", "model", {"acc": 0.5, "by": 7})
    with rn.init("p", storage=root) as run:
        run.use_artifact("m:v1")
        run.finish("failed")
    store.delete("old:v1")
    store.purge("gone:v1")
    return store


def lines_of(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# Versions.


def test_the_catalogue_has_a_row_for_each_version_whatever_became_of_it(history, tmp_path):
    done = history.export_catalogue(tmp_path / "out.jsonl")

    rows = {(row["name"], row["version"]): row for row in lines_of(tmp_path / "out.jsonl")}
    assert done.rows == len(rows) == 5
    assert {spec: row["status"] for spec, row in rows.items()} == {
        ("data", 1): "ready",
        ("gone", 1): "purged",
        ("m", 1): "ready",
        ("m", 2): "ready",
        ("old", 1): "deleted",
    }
    assert "metadata.rows" not in rows["gone", 1]
    assert rows["m", 1]["aliases"] == ["production"]
    assert (rows["m", 1]["metadata.acc"], rows["m", 1]["metadata.by.who"], rows["m", 2]["metadata.by"]) == (1.0, "a", 7)
    assert rows["m", 1]["project"] == "p"
    assert datetime.fromisoformat(rows["m", 1]["created_at"]) == history.get("m:v1").created_at
    assert rows["m", 1]["digest"] == history.get("m:v1").digest


@pytest.mark.parametrize(("suffix", "read"), [("parquet", parquet.read_table), ("arrow", feather.read_table)])
def test_parquet_and_arrow_say_what_json_lines_say(history, tmp_path, suffix, read):
    done = history.export_catalogue(tmp_path / f"out.{suffix}")
    history.export_catalogue(tmp_path / "out.jsonl")

    table = read(tmp_path / f"out.{suffix}")
    assert table.column_names == list(done.columns)
    assert {str(table.schema.field(name).type) for name in ("metadata.acc", "created_at", "tags")} == {
        "double",
        "timestamp[us, tz=UTC]",
        "list<element: string>" if suffix == "parquet" else "list<item: string>",
    }
    for row, line in zip(table.to_pylist(), lines_of(tmp_path / "out.jsonl"), strict=True):
        for name in ("created_at", "deleted_at"):
            line[name] = line[name] and datetime.fromisoformat(line[name])
        assert {name: value for name, value in row.items() if value is not None or name in line} == line


def test_more_versions_and_artifacts_than_are_read_at_once_are_all_there(history, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_AT_ONCE", 1)

    assert history.export_catalogue(tmp_path / "out.jsonl").rows == 5


def test_an_empty_store_gives_a_table_without_rows(store, tmp_path):
    assert store.export_catalogue(tmp_path / "out.parquet").rows == 0
    assert parquet.read_table(tmp_path / "out.parquet").num_rows == 0


def test_all_rows_are_of_one_state_whoever_writes_and_purges_meanwhile(history, tmp_path, monkeypatch):
    history.export_catalogue(tmp_path / "before.jsonl")
    told = export._version_row
    meddled = []

    def meddle(view, row, aliases):
        if not meddled:
            meddled.append(row)
            history.alias("m:v2", "production")
            history.delete("m:v1", force=True)
            history.purge("old:v1")
        return told(view, row, aliases)

    monkeypatch.setattr(export, "_version_row", meddle)
    monkeypatch.setattr(export, "_AT_ONCE", 1)
    history.export_catalogue(tmp_path / "meanwhile.jsonl")

    before = {row["name"]: row for row in lines_of(tmp_path / "before.jsonl") if row["name"] != "old"}
    meanwhile = {row["name"]: row for row in lines_of(tmp_path / "meanwhile.jsonl")}
    assert meanwhile.pop("old")["status"] == "purged"
    assert meanwhile == before


def test_the_past_can_be_exported_and_what_came_later_is_not_in_it(history, tmp_path):
    with history.reading() as view:
        moment = queries.head(view)[0]
    history.export_catalogue(tmp_path / "then.jsonl")
    lineage, impact, events = (ask("data:v1") for ask in (history.lineage, history.impact, history.openlineage))
    with rn.init("p", name="later", storage=history.layout.root) as run:
        run.use_artifact("data")
        run.log_artifact(rn.Artifact("later", "model").add_file(tmp_path / "file"), ["shown"])

    history.export_catalogue(tmp_path / "past.jsonl", as_of=moment)

    assert lines_of(tmp_path / "past.jsonl") == lines_of(tmp_path / "then.jsonl")
    assert history.lineage("data:v1", as_of=moment) == lineage != history.lineage("data:v1")
    assert history.impact("data:v1", as_of=moment) == impact != history.impact("data:v1")
    assert history.openlineage("data:v1", as_of=moment) == events


# Events.


def test_events_are_in_order_with_who_appended_them(history, tmp_path):
    done = history.export_events(tmp_path / "out.jsonl")

    rows = lines_of(tmp_path / "out.jsonl")
    assert done.rows == len(rows)
    assert [row["index"] for row in rows] == sorted(row["index"] for row in rows)
    [alias] = [row for row in rows if row["kind"] == "alias"]
    assert (alias["name"], alias["version"], alias["event"]["alias"]) == ("m", 1, "production")
    assert {row["pid"] for row in rows} == {os.getpid()}
    metadata = [row["event"]["metadata"] for row in rows if row["kind"] == "metadata"]
    assert {"acc": 1, "by": {"who": "a"}} in metadata
    later = history.export_events(tmp_path / "later.jsonl", after=rows[-1]["index"] - 1)
    assert lines_of(tmp_path / "later.jsonl") == [row for row in rows if row["index"] == rows[-1]["index"]]
    assert later.rows == len(lines_of(tmp_path / "later.jsonl"))


def test_events_in_parquet_hold_their_fields_as_json(history, tmp_path):
    history.export_events(tmp_path / "out.parquet")
    history.export_events(tmp_path / "out.jsonl")

    found = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [json.loads(row["event"]) for row in found] == [row["event"] for row in lines_of(tmp_path / "out.jsonl")]


# Files.


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.csv", "does not say in which format"),
        ("out", "does not say in which format"),
        ("no/out.jsonl", "there is no folder"),
        ("pipe.jsonl", "is no file"),
    ],
)
def test_where_no_table_can_be_is_refused_and_nothing_is_left(store, tmp_path, name, message):
    os.mkfifo(tmp_path / "pipe.jsonl")
    before = sorted(tmp_path.iterdir())

    with pytest.raises(Rejected, match=message):
        store.export_catalogue(tmp_path / name)

    assert sorted(tmp_path.iterdir()) == before


def test_an_export_that_fails_leaves_the_file_that_was_there(history, tmp_path, monkeypatch):
    (tmp_path / "out.jsonl").write_text("old")
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(export, "_version_row", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        history.export_catalogue(tmp_path / "out.jsonl")

    assert (tmp_path / "out.jsonl").read_text() == "old"
    assert sorted(tmp_path.iterdir()) == before


def test_a_link_to_a_table_stays_one(store, tmp_path):
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "out.jsonl")

    store.export_catalogue(tmp_path / "link.jsonl")

    assert (tmp_path / "link.jsonl").is_symlink()
    assert (tmp_path / "out.jsonl").is_file()


def test_without_pyarrow_it_is_said_how_to_go_on(store, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "runicorn_es.interop.arrow", raising=False)
    monkeypatch.delattr("runicorn_es.interop.arrow", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(Rejected, match=re.escape("runicorn-es[analysis]")):
        store.export_catalogue(tmp_path / "out.parquet")
    assert store.export_catalogue(tmp_path / "out.jsonl").rows == 0


# OpenLineage, against what its schema requires.


def require_facet(facet: dict) -> None:
    assert facet["_producer"].startswith("urn:runicorn-es:")
    assert re.fullmatch(r"https://openlineage\.io/spec/facets/\d-\d-\d/(\w+)\.json#/\$defs/\1", facet["_schemaURL"])


def require_run_event(event: dict) -> None:
    assert event.keys() == {
        "eventType", "eventTime", "run", "job", "inputs", "outputs", "producer", "schemaURL",
    }  # fmt: skip
    assert event["eventType"] in {"START", "COMPLETE", "FAIL"}
    assert abs(datetime.now(UTC) - datetime.fromisoformat(event["eventTime"])) < timedelta(days=1)
    assert event["schemaURL"] == "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
    assert str(uuid.UUID(event["run"]["runId"])) == event["run"]["runId"]
    for dataset in (*event["inputs"], *event["outputs"], event["job"]):
        assert dataset["namespace"].startswith("runicorn://")
        assert dataset["name"]
        for facet in (*dataset["facets"].values(), *dataset.get("outputFacets", {}).values()):
            require_facet(facet)
    for facet in event["run"]["facets"].values():
        require_facet(facet)
    for facets in (event["run"]["facets"], *(one["facets"] for one in (*event["inputs"], *event["outputs"]))):
        assert all(isinstance(tag["key"], str) and isinstance(tag["value"], str) for tag in facets["tags"]["tags"])
    for dataset in (*event["inputs"], *event["outputs"]):
        assert isinstance(dataset["facets"]["version"]["datasetVersion"], str)
        assert isinstance(dataset["facets"]["datasetType"]["datasetType"], str)
    assert event["job"]["facets"]["jobType"].keys() >= {"processingType", "integration"}


def specs(datasets: list[dict]) -> set[str]:
    return {f"{one['name']}:{one['facets']['version']['datasetVersion']}" for one in datasets}


def test_runs_are_told_as_openlineage_requires(history):
    events = json.loads(json.dumps(history.openlineage("m:v1")))

    for event in events:
        require_run_event(event)
    assert [(event["job"]["name"], event["eventType"]) for event in events] == [
        ("p/collect", "START"), ("p/collect", "COMPLETE"),
        ("p/train", "START"), ("p/train", "COMPLETE"),
        ("p", "START"), ("p", "FAIL"),
    ]  # fmt: skip
    train = events[3]
    assert (specs(train["inputs"]), specs(train["outputs"])) == ({"data:v1"}, {"m:v1", "m:v2"})
    assert train["run"]["runId"] == events[2]["run"]["runId"] != events[0]["run"]["runId"]
    made = {one["name"]: one["facets"]["tags"]["tags"] for one in events[1]["outputs"]}
    assert {"key": "status", "value": "purged", "source": "RUNICORN_ES"} in made["gone"]
    assert history.openlineage("m:v1") == history.openlineage("m:v1")


def test_a_run_that_goes_on_has_only_begun_and_a_purged_one_is_told(store, tmp_path):
    with rn.init("p", name="secret", storage=store.layout.root) as run:
        run.log_artifact(rn.Artifact("m", "model").add_file(file(tmp_path / "file")))
        assert [event["eventType"] for event in store.openlineage("m")] == ["START"]
    other = rn.init("p", name="later", storage=store.layout.root)
    other.use_artifact("m")
    other.log_artifact(rn.Artifact("n", "model").add_file(file(tmp_path / "file", b"other")))
    store.purge_run(run.id, force=True)

    events = store.openlineage("n")

    for event in events:
        require_run_event(event)
    assert [event["job"]["name"] for event in events] == ["purged", "purged", "p/later"]
    assert "secret" not in json.dumps(events)
    assert "(purged, finished)" in store.lineage("n").tree()


def test_lineages_of_nothing_are_unknown(store):
    for ask in (store.openlineage, store.impact, store.lineage):
        with pytest.raises(Unknown):
            ask("nothing")
