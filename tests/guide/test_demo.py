"""tools/demo, but for the installing: the whole pipeline on real data, twice."""

from pathlib import Path
import re
import subprocess
import sys

import runicorn_es as rn

PIPELINE = Path(__file__).parents[2] / "tools" / "demo_pipeline.py"


def test_the_demo_tells_the_truth_and_stores_nothing_twice(tmp_path):
    said = [
        subprocess.run([sys.executable, PIPELINE, tmp_path / "demo"], check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    ]

    assert "digits-classifier:v3: test accuracy 0.775, and 0.775 was recorded" in said[0]
    assert re.search(r"Logged 2,\d{3},\d{3} bytes in 4 versions; the pool grew by 2,\d{3},\d{3} bytes", said[0])
    assert "the pool grew by 0 bytes: 100.0% was there already" in said[1]
    with rn.open_store(tmp_path / "demo") as store:
        accuracies = {
            row.version: store.version_of(row).metadata["test_acc"] for row in store.versions("digits-classifier")
        }
        assert accuracies[1] == accuracies[4] > 0.9
        assert store.get("digits-classifier:production").version == max(accuracies, key=accuracies.__getitem__) + 3
        lineage = store.lineage("digits-classifier:production")
        assert {node.label for node in lineage.nodes} >= {"digits:v2", "train", "prepare", "digits-classifier:v5"}
