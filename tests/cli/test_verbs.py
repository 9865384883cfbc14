"""Today's verbs as a person sees them."""

import json
import os
import re
import stat

import pytest

from given import file, version
import runicorn_es as rn

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


@pytest.fixture
def model(tmp_path):
    return file(tmp_path / "model.pth", b"0123456789")


def matches(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None


# list and versions


def test_list_is_a_table_of_artifacts_by_name(cli, model):
    cli("add", "zebra", model, "--type", "model")
    cli("add", "ant", model, "--type", "dataset")

    head, first, second = cli("list").lines()

    assert head.split() == ["NAME", "TYPE", "VERSIONS", "LATEST", "SIZE", "UPDATED"]
    assert matches(rf"ant    dataset         1  v1      10 B  {TIME}", first)
    assert matches(rf"zebra  model           1  v1      10 B  {TIME}", second)


def test_list_of_a_type_shows_only_that_type(cli, model):
    cli("add", "zebra", model, "--type", "model")
    cli("add", "ant", model, "--type", "dataset")
    assert [line.split()[0] for line in cli("list", "--type", "model").lines()] == ["NAME", "zebra"]


def test_list_of_nothing_says_on_stderr_what_to_do(cli, root):
    rn.open_store(root).close()
    assert cli("list") == (0, "", "hint: there is no artifact; `runicorn add NAME PATH` makes one\n")


def test_list_aligns_wide_characters_by_the_columns_they_take(cli, model):
    cli("add", "模型", model, "--type", "model")
    head, line = cli("list").lines()
    assert head.index("TYPE") == line.index("model") + 2


def test_versions_shows_aliases_and_leaves_deleted_ones_out(cli, model):
    cli("add", "m", model, "--type", "model")
    cli("add", "m", model, "--alias", "production")
    cli("delete", "m:v1", "--yes")

    assert [line.split()[:2] for line in cli("versions", "m").lines()] == [["VERSION", "STATUS"], ["v2", "ready"]]
    assert cli("versions", "m").lines()[1].endswith("latest, production")
    assert [line.split()[:2] for line in cli("versions", "m", "--deleted").lines()[1:]] == [
        ["v1", "deleted"],
        ["v2", "ready"],
    ]


def test_versions_of_which_none_is_left_says_how_to_see_them(cli, model):
    cli("add", "m", model, "--type", "model")
    cli("delete", "m:v1", "--yes")
    assert cli("versions", "m") == (0, "", "hint: 'm' has no live version; --deleted lists the deleted ones\n")


# show and files


def test_show_tells_all_that_is_known(cli, root, model):
    with rn.init("vision", storage=root) as run:
        artifact = rn.Artifact("m", "model", "a model", {"acc": 0.5, "name": "x", "layers": [1, 2], "none": None})
        run.log_artifact(artifact.add_file(model).add_tags("b", "a").add_reference("s3://b/d", size=2048))
        run.log_artifact(rn.Artifact("other", "model").add_file(model))
        run.use_artifact("m")

    shown = cli("show", "m").lines()

    assert shown[0] == "m:v1"
    assert "  type         model" in shown
    assert "  status       ready" in shown
    assert f"  logged by    {run.id}" in shown
    assert f"  used by      {run.id}" in shown
    assert "  size         10 B (10 bytes)" in shown
    assert "  aliases      latest" in shown
    assert "  tags         a, b" in shown
    assert "  description  a model" in shown
    assert any(matches(r"  digest       blake3:[0-9a-f]{64}", line) for line in shown)
    assert shown[shown.index("metadata") + 1 :] == [
        "  acc: 0.5",
        "  name: x",
        "  layers: [1,2]",
        "  none: null",
        "references",
        "  s3://b/d (2.0 KB)",
    ]


def test_show_shows_a_deleted_version_as_deleted(cli, model):
    cli("add", "m", model, "--type", "model")
    cli("delete", "m:v1", "--yes")
    shown = cli("show", "m:v1").lines()
    assert "  status       deleted" in shown
    assert any(matches(f"  deleted      {TIME}", line) for line in shown)


def test_a_text_from_the_store_cannot_rewrite_the_screen(cli, model):
    cli("add", "m", model, "--type", "model", "--description", "\x1b[2Jgone\n\u202eback", "--meta", "note=\x07bell")
    shown = cli("show", "m").out
    assert r"\x1b[2Jgone\n\u202eback" in shown
    assert r"note: \x07bell" in shown


def test_files_lists_paths_with_sizes_below_a_prefix(cli, tmp_path):
    for path, content in {"a/x": b"1", "a/y": b"12" * 1024, "b": b""}.items():
        file(tmp_path / "tree" / path, content)
    cli("add", "d", tmp_path / "tree", "--type", "dataset")

    assert cli("files", "d").lines() == ["       1 B  a/x", "    2.0 KB  a/y", "       0 B  b"]
    assert cli("files", "d:v1", "--prefix", "a/").lines() == ["       1 B  a/x", "    2.0 KB  a/y"]


def test_files_without_any_are_an_empty_list_in_json(cli, root):
    with rn.open_store(root) as store:
        store.log_artifact(rn.Artifact("m", "model").add_reference("s3://b/d"))
    assert cli("files", "m", "--json").json()["files"] == []


# add and get


def test_add_stores_files_and_folders_and_prints_the_spec(cli, root, tmp_path, model):
    file(tmp_path / "tree" / "a" / "x")
    file(tmp_path / "tree" / "a" / "x.log")
    file(tmp_path / "tree" / "cache" / "y")

    done = cli("add", "m", model, tmp_path / "tree", "--type", "model", "--exclude", "*.log", "--exclude", "cache")

    assert done == (0, "m:v1\n", "")
    with rn.open_store(root) as store:
        assert [found.path for found in store.get("m").files()] == ["a/x", "model.pth"]


def test_add_keeps_what_is_said_of_the_version(cli, root, model):
    said = ("--alias", "production", "--alias", "best", "--tag", "t1", "--tag", "t2", "--description", "what it is")
    values = ("--meta", "acc=0.5", "--meta", "note=plain words", "--meta", 'list=["a", 1]', "--meta", "eq=a=b")

    cli("add", "m", model, "--type", "model", *said, *values)

    with rn.open_store(root) as store:
        known = store.get("m").get_metadata()
    assert known.aliases == ["latest", "best", "production"]
    assert (known.tags, known.description) == (["t1", "t2"], "what it is")
    assert known.metadata == {"acc": 0.5, "note": "plain words", "list": ["a", 1], "eq": "a=b"}


def test_add_takes_the_type_from_the_versions_before(cli, root, model):
    cli("add", "m", model, "--type", "checkpoint")
    cli("add", "m", model)
    with rn.open_store(root) as store:
        assert store.get("m:v2").type == "checkpoint"


def test_add_of_a_new_name_without_a_type_is_refused_and_leaves_no_store(cli, root, model):
    done = cli("add", "m", model)
    assert (done.code, done.err.splitlines()[0]) == (2, "error: 'm' would be a new artifact; say of which --type")
    assert not root.exists()


def test_add_of_a_missing_file_leaves_no_store(cli, root, tmp_path):
    done = cli("add", "m", tmp_path / "missing", "--type", "model")
    assert done.code == 1
    assert "no file" in done.err
    assert not root.exists()


def test_add_with_the_same_key_makes_one_version(cli, model):
    assert cli("add", "m", model, "--type", "model", "--key", "job").out == "m:v1\n"
    assert cli("add", "m", model, "--key", "job").out == "m:v1\n"
    assert cli("add", "m", model).out == "m:v2\n"


def test_add_with_mode_link_makes_the_file_itself_a_blob(cli, root, model):
    cli("add", "m", model, "--type", "model", "--mode", "link")
    assert model.stat().st_nlink == 2
    assert stat.S_IMODE(model.stat().st_mode) == 0o444


def test_add_follows_symbolic_links_only_when_told(cli, tmp_path, model):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(model)
    add = ("add", "m", tmp_path / "tree", "--type", "model")
    assert cli(*add).code == 2
    assert cli(*add, "--symlinks", "follow").out == "m:v1\n"


@pytest.mark.parametrize("pair", ["novalue", "=value"])
def test_metadata_that_is_no_pair_is_refused(cli, model, pair):
    done = cli("add", "m", model, "--type", "model", "--meta", pair)
    assert (done.code, done.err.splitlines()[0]) == (2, f"error: --meta {pair!r} is not of the form KEY=VALUE")


def test_get_prints_the_real_path_of_the_files(cli, root, tmp_path, model):
    cli("add", "m", model, "--type", "model")
    (tmp_path / "way").symlink_to(tmp_path)

    assert cli("get", "m").out == f"{root}/downloads/m/v1\n"
    assert cli("get", "m:v1", tmp_path / "way" / "here").out == f"{tmp_path}/here\n"
    assert (tmp_path / "here" / "model.pth").read_bytes() == b"0123456789"


def test_get_makes_links_or_files_of_ones_own(cli, tmp_path, model):
    cli("add", "m", model, "--type", "model")
    cli("get", "m", tmp_path / "linked")
    cli("get", "m", tmp_path / "copied", "--mode", "copy")
    assert (tmp_path / "linked" / "model.pth").stat().st_nlink == 2
    assert os.access(tmp_path / "copied" / "model.pth", os.W_OK)
    assert (tmp_path / "copied" / "model.pth").stat().st_nlink == 1


def test_get_replaces_other_content_only_when_told(cli, tmp_path, model):
    cli("add", "m", model, "--type", "model")
    mine = file(tmp_path / "out" / "model.pth", b"mine")

    assert cli("get", "m", tmp_path / "out").code == 2
    assert mine.read_bytes() == b"mine"
    assert cli("get", "m", tmp_path / "out", "--overwrite").code == 0
    assert mine.read_bytes() == b"0123456789"


# alias and unalias


def test_alias_points_and_moves_and_unalias_removes(cli, model):
    cli("add", "m", model, "--type", "model")
    cli("add", "m", model)

    assert cli("alias", "m:v1", "production").out == "m:production is v1\n"
    assert cli("alias", "m", "production", "--reason", "better").out == "m:production is v2\n"
    assert cli("unalias", "m:production", "--reason", "worse").out == "m:production is removed\n"
    assert cli("show", "m:production").code == 2
    assert [line.split("production of m ")[1] for line in cli("events").lines() if "production" in line] == [
        "points to v1",
        "moved from v1 to v2 (better)",
        "was removed from v2 (worse)",
    ]


@pytest.mark.parametrize("spec", ["m", "m:v1", "m:latest"])
def test_unalias_of_what_is_no_alias_is_refused(cli, model, spec):
    cli("add", "m", model, "--type", "model")
    done = cli("unalias", spec)
    assert (done.code, done.err) == (2, f"error: {spec!r} names no alias\nhint: write m:production, for one\n")


# lineage


def test_lineage_is_a_tree_in_both_directions(cli, root, model):
    prepare, train, evaluate = pipeline(root, model)

    shown = cli("lineage", "model:v1").lines()

    assert shown == [
        "model:v1",
        "made from",
        f"└── {train} (train, finished)",
        "    ├── data:v1",
        f"    │   └── {prepare} (prepare, finished)",
        "    │       └── raw:v1",
        "    └── raw:v1",
        "used for",
        f"└── {evaluate} (evaluate, finished)",
        "    └── report:v1 (deleted)",
    ]


@pytest.mark.parametrize(("direction", "absent"), [("upstream", "used for"), ("downstream", "made from")])
def test_lineage_in_one_direction_leaves_the_other_out(cli, root, model, direction, absent):
    pipeline(root, model)
    shown = cli("lineage", "model", "--direction", direction).lines()
    assert absent not in shown
    assert len(shown) > 2


def test_lineage_goes_as_deep_as_told(cli, root, model):
    _, train, _ = pipeline(root, model)
    assert cli("lineage", "model", "--direction", "upstream", "--depth", "1").lines() == [
        "model:v1",
        "made from",
        f"└── {train} (train, finished)",
        "    ├── data:v1",
        "    └── raw:v1",
    ]
    assert cli("lineage", "model", "--depth", "0").lines() == ["model:v1"]


def test_lineage_shows_a_repeated_subtree_once(cli, root, model):
    with rn.init("p", name="first", storage=root) as first:
        first.log_artifact(rn.Artifact("base", "model").add_file(model))
    for name in ("left", "right"):
        with rn.init("p", name=name, storage=root) as run:
            run.use_artifact("base")
            run.log_artifact(rn.Artifact(name, "model").add_file(model))
    with rn.init("p", name="merge", storage=root) as merge:
        merge.use_artifact("left")
        merge.use_artifact("right")
        merge.log_artifact(rn.Artifact("both", "model").add_file(model))

    shown = cli("lineage", "both").lines()

    assert sum("base:v1" in line for line in shown) == 2
    assert sum(first.id in line for line in shown) == 1
    assert sum(line.endswith("base:v1 (see above)") for line in shown) == 1


def test_lineage_of_a_run_that_uses_what_it_made_comes_to_an_end(cli, root, model):
    with rn.init("p", name="loop", storage=root) as run:
        run.log_artifact(rn.Artifact("m", "model").add_file(model))
        run.use_artifact("m")
    assert [line.strip(" └─") for line in cli("lineage", "m").lines()] == [
        "m:v1",
        "made from",
        f"{run.id} (loop, finished)",
        "m:v1 (see above)",
        "used for",
        f"{run.id} (loop, finished)",
        "m:v1 (see above)",
    ]


def pipeline(root, model) -> tuple[str, str, str]:
    """Make raw → prepare → data; raw and data → train → model → evaluate → report, which is deleted."""
    with rn.open_store(root) as store:
        store.log_artifact(rn.Artifact("raw", "dataset").add_file(model))
    steps = {"prepare": (["raw"], "data"), "train": (["data", "raw"], "model"), "evaluate": (["model"], "report")}
    ids = []
    for name, (used, made) in steps.items():
        with rn.init("p", name=name, storage=root) as run:
            for spec in used:
                run.use_artifact(spec)
            run.log_artifact(rn.Artifact(made, "dataset").add_file(model))
        ids.append(run.id)
    with rn.open_store(root) as store:
        store.delete("report:v1")
    return ids[0], ids[1], ids[2]


# stats, delete, restore, runs, rebuild


def test_stats_counts_and_says_what_is_saved(cli, model):
    cli("add", "m", model, "--type", "model")
    cli("add", "d", model, "--type", "dataset")
    assert cli("stats").lines() == [
        "2 artifacts, 2 versions, 20 B",
        "the pool takes 10 B, which saves 10 B (50.0%)",
        "",
        "TYPE     ARTIFACTS  VERSIONS  SIZE",
        "dataset          1         1  10 B",
        "model            1         1  10 B",
    ]


def test_stats_counts_what_could_be_restored(cli, model):
    cli("add", "m", model, "--type", "model")
    cli("delete", "m:v1", "--yes")
    assert cli("stats").lines() == [
        "0 artifacts, 0 versions, 0 B",
        "1 deleted version that can be restored, 10 B",
        "the pool takes 10 B, which saves 0 B (0.0%)",
    ]


def test_delete_asks_on_stderr_and_says_how_to_restore(cli, model):
    cli("add", "m", model, "--type", "model")
    done = cli("delete", "m", answer="yes\n")
    assert done.out == "m:v1 is deleted\n"
    assert done.err == "Delete m:v1? [y/N] yes\nhint: `runicorn restore m:v1` brings it back\n"
    assert cli("restore", "m:v1", "--reason", "needed").out == "m:v1 is restored\n"
    assert cli("show", "m").code == 0


def test_delete_of_what_is_deleted_asks_nothing_and_is_done(cli, model):
    cli("add", "m", model, "--type", "model")
    cli("delete", "m:v1", "--yes")
    assert cli("delete", "m:v1").out == "m:v1 is deleted\n"


def test_delete_of_what_is_in_use_takes_force(cli, model):
    cli("add", "m", model, "--type", "model", "--alias", "production")
    refused = cli("delete", "m", "--yes")
    assert refused.code == 2
    assert "alias production points to it" in refused.err
    assert cli("delete", "m", "--yes", "--force").code == 0


def test_runs_are_listed_with_state_and_duration(cli, root):
    with rn.init("vision", name="train", storage=root) as run:
        pass
    going = rn.init("speech", storage=root)

    head, *rows = cli("runs").lines()

    shown = {row.partition(" ")[0]: row for row in rows}
    assert head.split() == ["RUN", "PROJECT", "NAME", "STATUS", "STARTED", "TOOK", "BY"]
    assert matches(rf"{run.id}  vision   train  finished  {TIME}  0:00:0\d  \S+@\S+", shown[run.id])
    assert matches(rf"{going.id}  speech   -      running   {TIME}        -  \S+@\S+", shown[going.id])
    assert [line.split()[0] for line in cli("runs", "--project", "speech").lines()] == ["RUN", going.id]


def test_runs_of_which_there_are_none_say_so_on_stderr(cli, root):
    rn.open_store(root).close()
    done = cli("runs")
    assert done.out == ""
    assert done.err.startswith("hint: there is no such run yet")


def test_rebuild_says_that_the_tables_were_equal(cli, model):
    cli("add", "m", model, "--type", "model")
    assert matches(r"folded \d+ records; the tables were equal\n", cli("rebuild").out)


def test_rebuild_says_how_many_rows_of_which_kind_differed(cli, root, model):
    cli("add", "m", model, "--type", "model")
    cli("add", "m", model, "--alias", "production")
    with rn.open_store(root) as store, store._tables.writing() as out:
        for prefix in (b"v", b"l"):
            for key, _ in list(out.scan(prefix)):
                out.delete(key)

    done = cli("rebuild")

    assert matches(r"folded \d+ records; 3 rows differed and were put right: 2 of versions, 1 of aliases\n", done.out)
    assert cli("rebuild", "--json").json()["differing"] == 0
    assert cli("show", "m:production").code == 0


# The global options.


def test_global_options_stand_before_or_behind_the_verb(cli, root, tmp_path, model):
    other = tmp_path / "other"
    for line in (
        ("--storage", other, "add", "m", model, "--type", "model"),
        ("add", "m", model, "--store", other),
        ("--storage", other, "--json", "versions", "m"),
        ("--json", "versions", "m", "--store", other),
    ):
        done = cli(*line)
        assert done.code == 0, done.err
    assert [row["version"] for row in json.loads(done.out)["versions"]] == [1, 2]
    assert not root.exists()


def test_of_two_storage_options_the_one_behind_the_verb_counts(cli, tmp_path, model):
    cli("--storage", tmp_path / "one", "add", "m", model, "--type", "model", "--storage", tmp_path / "two")
    assert not (tmp_path / "one").exists()
    assert (tmp_path / "two" / "store.json").exists()


def test_a_storage_that_is_an_empty_text_is_not_the_usual_one(cli, store, monkeypatch, tmp_path):
    # As `--storage "$UNSET"` in a script.
    version(store)
    monkeypatch.chdir(tmp_path)
    assert cli("delete", "m", "--yes", "--storage", "").code == 2
    assert store.get("m:v1").version == 1


def test_yes_before_the_verb_answers_too(cli, model):
    cli("add", "m", model, "--type", "model")
    assert cli("-y", "delete", "m").code == 0
