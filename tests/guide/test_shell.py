"""The commands of the user's guide, and what they print, to the byte where the guide shows it."""

import os
from pathlib import Path
import re
import subprocess
import sys

import pytest

from cli import history_of_the_guide
import runicorn_es as rn

COMMAND = Path(sys.executable).with_name("runicorn")

# What the guide shows, as it shows it.
LIST = """\
Found 5 artifact(s):

Name                           Type       Versions   Size            Latest
-------------------------------------------------------------------------------------
resnet50-model                 model      3          98.23 MB   v3
bert-base-finetuned            model      2          420.15 MB  v2
imagenet-subset                dataset    1          5120.00 MB v1
""".replace("Latest\n", "Latest    \n")  # as the guide has it; an editor would remove it
VERSIONS = """\
Versions for resnet50-model:

Version    Created                   Size            Files    Run
------------------------------------------------------------------------------------------
v1         2025-09-01 10:30:15       97.50 MB   1        20250901_103015_abc123
v2         2025-09-15 14:22:33       98.00 MB   1        20250915_142233_def456
v3         2025-09-30 16:45:12       98.23 MB   1        20250930_164512_ghi789
"""
METADATA = """\
Metadata:
  architecture: ResNet50
  val_acc: 0.95
  epochs: 100
  optimizer: AdamW
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


def runicorn(*arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TZ": "UTC", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [COMMAND, *arguments], check=False, input=answer, capture_output=True, text=True, timeout=60, env=environment
    )


@pytest.fixture
def guides_store(tmp_path):
    """The store of which the guide shows the lists: its names, dates and sizes, without its gigabytes."""
    history_of_the_guide.write(tmp_path / "store")


def test_list_all_artifacts(guides_store):
    found = runicorn("artifacts", "--action", "list")

    assert found.returncode == 0, found.stderr
    head, rows = found.stdout.splitlines()[:4], found.stdout.splitlines()[4:]
    # The guide says that there are five, and shows three.
    assert head == LIST.splitlines()[:4]
    assert set(LIST.splitlines()[4:]) < set(rows)
    assert len(rows) == 5


def test_view_version_history(guides_store):
    assert runicorn("artifacts", "--action", "versions", "--name", "resnet50-model").stdout == VERSIONS


def test_view_detailed_information(guides_store):
    info = runicorn("artifacts", "--action", "info", "--name", "resnet50-model", "--version", "3").stdout

    assert info.startswith(
        "Artifact: resnet50-model:v3\n"
        "============================================================\n"
        "Type:         model\n"
        "Status:       ready\n"
        "Created:      2025-09-30 16:45:12\n"
        "Created by:   20250930_164512_ghi789\n"
        "Size:         98.23 MB\n"
        "Files:        1\n"
        "Aliases:      latest, production\n"
    )
    assert info.endswith("\nFiles (1):\n  model.pth (98.2 MB)\n")


def test_metadata_is_shown_in_the_order_in_which_it_was_given(run):
    model = rn.Artifact("resnet50-model", type="model").add_file("model.pth")
    model.add_metadata({"architecture": "ResNet50", "val_acc": 0.95, "epochs": 100, "optimizer": "AdamW"})
    run.log_artifact(model)

    assert METADATA in runicorn("artifacts", "--action", "info", "--name", "resnet50-model", "--version", "1").stdout


def test_view_storage_statistics(guides_store):
    assert runicorn("artifacts", "--action", "stats").stdout == STATS


def old_model(versions: int = 2) -> None:
    with rn.open_store() as store:
        for _ in range(versions):
            store.log_artifact(rn.Artifact("old-model", type="model").add_file("model.pth"))


def test_soft_delete_a_version(store):
    old_model()

    done = runicorn("artifacts", "--action", "delete", "--name", "old-model", "--version", "1", answer="y\n")

    assert done.stdout == "Delete old-model:v1? [y/N] y\n✅ Soft deleted old-model:v1\n"
    assert [row.version for row in store.versions("old-model")] == [2]


def test_a_soft_deleted_version_can_be_recovered(store):
    old_model()
    runicorn("artifacts", "--action", "delete", "--name", "old-model", "--version", "1", answer="y\n")

    assert runicorn("restore", "old-model:v1").returncode == 0
    assert [row.version for row in store.versions("old-model")] == [1, 2]


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_a_version_is_not_deleted_without_a_yes(store, answer):
    old_model()

    done = runicorn("artifacts", "--action", "delete", "--name", "old-model", "--version", "1", answer=answer)

    assert done.returncode != 0
    assert [row.version for row in store.versions("old-model")] == [1, 2]


def test_permanent_deletion_forgets_a_version(store):
    old_model()

    done = runicorn(
        "artifacts", "--action", "delete", "--name", "old-model", "--version", "1", "--permanent", answer="y\n"
    )

    assert done.stdout == "Permanently delete old-model:v1? [y/N] y\n✅ Permanently deleted old-model:v1\n"
    assert [(row.version, row.status) for row in store.versions("old-model", deleted=True)] == [
        (1, "purged"),
        (2, "ready"),
    ]


def test_the_commands_on_the_files_of_the_quick_start():
    run = rn.init(project="image_classification", name="resnet50_v1")
    model = rn.Artifact("resnet50-model", type="model")
    model.add_file("model.pth")
    model.add_metadata({"architecture": "ResNet50", "val_acc": 0.95, "epochs": 100})
    run.log_artifact(model)
    rn.finish()

    assert "resnet50-model                 model      1          0.02 MB    v1\n" in runicorn("artifacts").stdout
    versions = runicorn("artifacts", "--action", "versions", "--name", "resnet50-model").stdout
    assert re.search(rf"^v1 {{9}}[\d-]{{10}} [\d:]{{8}} {{7}}0\.02 MB    1        {run.id}$", versions, re.MULTILINE)
    info = runicorn("artifacts", "--action", "info", "--name", "resnet50-model", "--version", "1").stdout
    assert info.endswith("Files (1):\n  model.pth (0.0 MB)\n")
    assert "Total Versions:   1\n" in runicorn("artifacts", "--action", "stats").stdout


def test_the_lineage_of_the_guide_as_a_tree():
    with rn.init(project="training", name="data_prep") as run1:
        run1.log_artifact(rn.Artifact("my-dataset", type="dataset").add_dir("data/"))
    with rn.init(project="training", name="model_train") as run2:
        run2.use_artifact("my-dataset:v1")
        run2.log_artifact(rn.Artifact("my-model", type="model").add_file("model.pth"))

    # my-dataset:v1 → run2 → my-model:v1
    tree = runicorn("lineage", "my-model:v1").stdout

    places = [tree.index(name) for name in ("my-model:v1", run2.id, "my-dataset:v1", run1.id)]
    assert places == sorted(places)


def test_is_the_package_installed():
    """The one-line check of the guide's troubleshooting."""
    command = [sys.executable, "-c", "import runicorn_es.artifacts; print('OK')"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "OK\n"
