"""``artifacts --action …``: what the user's guide shows, to the byte."""

import pytest

from cli import history_of_the_guide
import runicorn_es as rn

LIST = """\
Found 5 artifact(s):

Name                           Type       Versions   Size            Latest    \n\
-------------------------------------------------------------------------------------
bert-base-finetuned            model      2          420.15 MB  v2
imagenet-subset                dataset    1          5120.00 MB v1
old-model                      model      3          30.00 MB   v3
resnet50-model                 model      3          98.23 MB   v3
voices                         dataset    3          200.00 MB  v3
"""
VERSIONS = """\
Versions for resnet50-model:

Version    Created                   Size            Files    Run
------------------------------------------------------------------------------------------
v1         2025-09-01 10:30:15       97.50 MB   1        20250901_103015_abc123
v2         2025-09-15 14:22:33       98.00 MB   1        20250915_142233_def456
v3         2025-09-30 16:45:12       98.23 MB   1        20250930_164512_ghi789
"""
INFO = """\
Artifact: resnet50-model:v3
============================================================
Type:         model
Status:       ready
Created:      2025-09-30 16:45:12
Created by:   20250930_164512_ghi789
Size:         98.23 MB
Files:        1
Aliases:      latest, production

Metadata:
  architecture: ResNet50
  val_acc: 0.95
  epochs: 100
  optimizer: AdamW

Files (1):
  model.pth (98.2 MB)
"""
STATS = """\
Artifact Storage Statistics
============================================================
Total Artifacts:  5
Total Versions:   12
Total Size:       6.8 GB
Dedup Enabled:    True

Deduplication Stats:
  Pool Size:      5.2 GB
  Space Saved:    1.6 GB
  Dedup Ratio:    23.5%

By Type:
  Model      3 artifacts, 8 versions, 1.2 GB
  Dataset    2 artifacts, 4 versions, 5.6 GB
"""


@pytest.fixture
def guide(cli, root, _in_kolkata):
    """Run the guide's command on the guide's store."""
    history_of_the_guide.write(root)
    return lambda *arguments, **options: cli("artifacts", *arguments, **options)


def test_list_prints_what_the_guide_shows(guide):
    assert guide("--action", "list") == (0, LIST, "")


def test_list_is_what_the_command_does_unless_told_otherwise(guide):
    assert guide().out == LIST


def test_list_of_one_type_leaves_the_others_out(guide):
    assert [line.split()[0] for line in guide("--type", "dataset").lines()[4:]] == ["imagenet-subset", "voices"]


def test_versions_prints_what_the_guide_shows(guide):
    assert guide("--action", "versions", "--name", "resnet50-model") == (0, VERSIONS, "")


@pytest.mark.parametrize("version", ["3", "v3", "latest", "production"])
def test_info_prints_what_the_guide_shows(guide, version):
    assert guide("--action", "info", "--name", "resnet50-model", "--version", version) == (0, INFO, "")


def test_info_without_a_version_shows_the_latest(guide):
    assert guide("--action", "info", "--name", "resnet50-model").out == INFO


def test_info_of_a_version_without_run_aliases_and_metadata_leaves_their_lines_out(guide):
    shown = guide("--action", "info", "--name", "old-model", "--version", "1").out
    assert "Created by:   -\n" in shown
    assert "Aliases" not in shown
    assert "Metadata" not in shown


def test_info_shows_references(cli, root):
    with rn.open_store(root) as store:
        bucket = rn.Artifact("imagenet-full", "dataset").add_reference("s3://bucket/it", "sha256:abc", 150 * 1024**3)
        store.log_artifact(bucket.add_reference("https://example.org/more"))
    shown = cli("artifacts", "--action", "info", "--name", "imagenet-full").out
    assert shown.endswith(
        "Files:        0\nAliases:      latest\n\n"
        "References (2):\n  s3://bucket/it (150.0 GB, sha256:abc)\n  https://example.org/more\n"
    )


def test_stats_prints_what_the_guide_shows(guide):
    assert guide("--action", "stats") == (0, STATS, "")


def test_stats_says_in_one_more_line_what_could_be_restored(guide):
    guide("--action", "delete", "--name", "imagenet-subset", "--version", "1", "--yes")

    shown = guide("--action", "stats").lines()

    assert shown[-1] == "Deleted:          1 version that can be restored, 5.0 GB"
    assert shown[2:5] == ["Total Artifacts:  4", "Total Versions:   11", "Total Size:       1.8 GB"]


def test_stats_of_a_store_without_artifacts_are_zeros(cli, root):
    rn.open_store(root).close()
    shown = cli("artifacts", "--action", "stats").lines()
    assert "Total Size:       0.0 GB" in shown
    assert shown[-1] == "  Dedup Ratio:    0.0%"


def test_delete_asks_and_takes_an_answer_from_a_pipe(guide):
    done = guide("--action", "delete", "--name", "old-model", "--version", "1", answer="y\n")

    assert done == (0, "Delete old-model:v1? [y/N] y\n✅ Soft deleted old-model:v1\n", "")
    assert [line.split()[0] for line in guide("--action", "versions", "--name", "old-model").lines()[4:]] == [
        "v2",
        "v3",
    ]


def test_in_json_the_question_stands_on_stderr(guide):
    done = guide("--action", "delete", "--name", "old-model", "--version", "1", "--json", answer="y\n")
    assert done.json() == {"schema": "runicorn.delete/1", "spec": "old-model:v1", "status": "deleted"}
    assert done.err == "Delete old-model:v1? [y/N] y\n"


def test_delete_with_yes_does_not_ask(guide):
    done = guide("--action", "delete", "--name", "old-model", "--version", "v1", "--yes")
    assert done == (0, "✅ Soft deleted old-model:v1\n", "")


@pytest.mark.parametrize("answer", ["n\n", "\n", "maybe\n"])
def test_any_answer_but_yes_deletes_nothing(guide, answer):
    done = guide("--action", "delete", "--name", "old-model", "--version", "1", answer=answer)

    assert done.code == 1
    assert done.err == "error: the answer was not yes; nothing was changed\n"
    assert len(guide("--action", "versions", "--name", "old-model").lines()) == 7


def test_delete_without_anybody_to_answer_is_refused(guide):
    done = guide("--action", "delete", "--name", "old-model", "--version", "1")

    assert done.code == 2
    assert done.err == "error: there was no answer; nothing was changed\nhint: pass --yes to answer beforehand\n"
    assert len(guide("--action", "versions", "--name", "old-model").lines()) == 7


def test_delete_of_what_is_deleted_says_how_it_comes_back(guide):
    delete = ("--action", "delete", "--name", "old-model", "--version", "1", "--yes")
    guide(*delete)

    done = guide(*delete)

    assert done.code == 2
    assert done.err == "error: old-model:v1 is deleted; `runicorn-es restore old-model:v1` brings it back\n"


def test_permanent_deletion_forgets_a_version_that_may_be_deleted_already(guide):
    chosen = ("--action", "delete", "--name", "old-model", "--version", "1")
    guide(*chosen, "--yes")

    done = guide(*chosen, "--permanent", answer="y\n")

    assert done == (0, "Permanently delete old-model:v1? [y/N] y\n✅ Permanently deleted old-model:v1\n", "")
    assert len(guide("--action", "versions", "--name", "old-model").lines()) == 6


def test_permanent_deletion_in_json_says_what_went(guide):
    chosen = ("--action", "delete", "--name", "old-model", "--version", "1", "--permanent", "--yes", "--json")
    assert guide(*chosen).json()["purged"] == ["old-model:v1"]


def test_permanent_deletion_takes_no_for_no(guide):
    done = guide("--action", "delete", "--name", "old-model", "--version", "1", "--permanent", answer="n\n")
    assert done.code == 1
    assert len(guide("--action", "versions", "--name", "old-model").lines()) == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--action", "versions"), "--action versions needs --name"),
        (("--action", "info"), "--action info needs --name"),
        (("--action", "delete", "--name", "old-model"), "--action delete needs --version"),
        (("--action", "clean"), "Invalid value for '--action'"),
        (("--action", "list", "--permanent"), "--permanent is for --action delete"),
        (("--action", "info", "--name", "resnet50-modle"), "did you mean 'resnet50-model'?"),
        (("--action", "info", "--name", "old-model", "--version", "9"), "its versions are v1 to v3"),
        (("--action", "info", "--name", "old-model", "--type", "dataset"), "'old-model' is a model, not a dataset"),
    ],
)
def test_what_the_command_cannot_do_it_says_and_exits_with_2(guide, arguments, message):
    done = guide(*arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


@pytest.mark.parametrize(
    ("action", "schema"), [("list", "list"), ("versions", "versions"), ("info", "show"), ("stats", "stats")]
)
def test_in_json_the_command_answers_as_the_verb_of_today(guide, cli, action, schema):
    named = () if action in {"list", "stats"} else ("resnet50-model",)

    shown = guide("--action", action, *(("--name", *named) if named else ()), "--json")

    assert shown.json()["schema"] == f"runicorn.{schema}/1"
    assert shown.out == cli(schema, *named, "--json").out
