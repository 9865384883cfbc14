"""A working folder as the guide's readers have one: real files, a store of its own, nothing of the user's."""

import os
from pathlib import Path

import pytest

import runicorn_es as rn


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    """A folder with the files that the guide adds; RUNICORN_DIR leads to ``store`` beside it."""
    folder = tmp_path / "work"
    (folder / "checkpoints" / "epoch_1").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "processed_data").mkdir()
    for name in ("model.pth", "checkpoint.pth", "checkpoints/epoch_1/weights.pth", "checkpoints/optimizer.pth"):
        (folder / name).write_bytes(os.urandom(20_000))
    (folder / "checkpoints" / "train.log").write_text("epoch 1\n")
    (folder / "checkpoints" / "epoch_1" / "cache.tmp").write_text("scratch\n")
    for number in range(5):
        (folder / "data" / f"{number}.txt").write_text(f"sample {number}\n")
        (folder / "processed_data" / f"{number}.txt").write_text(f"sample {number}, normalized\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RUNICORN_DIR", str(tmp_path / "store"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return folder


@pytest.fixture
def store():
    with rn.open_store() as opened:
        yield opened


@pytest.fixture
def run():
    with rn.init(project="guide") as opened:
        yield opened


@pytest.fixture
def my_model(run):
    """Three versions of ``my-model``, the second one in production."""
    for number in (1, 2, 3):
        Path("model.pth").write_bytes(bytes([number]) * 1000 * number)
        model = rn.Artifact("my-model", type="model", metadata={"val_acc": 0.9 + number / 100})
        run.log_artifact(model.add_file("model.pth"), aliases=["production"] if number == 2 else None)
    return "my-model"
