"""The Python of the user's guide, section by section, on real files."""

from datetime import UTC
from pathlib import Path
import shutil

import pytest

import runicorn_es as rn

# Quick start.


def test_save_a_model(store):
    # Train model
    run = rn.init(project="image_classification", name="resnet50_v1")

    # Create artifact
    model = rn.Artifact("resnet50-model", type="model")
    model.add_file("model.pth")
    model.add_metadata({"architecture": "ResNet50", "val_acc": 0.95, "epochs": 100})

    # Save (automatic version control)
    version = run.log_artifact(model)  # → v1
    text = f"Saved model: resnet50-model:v{version}"

    rn.finish()

    assert text == "Saved model: resnet50-model:v1"
    assert version == 1
    assert (version.name, version.version, version.spec) == ("resnet50-model", 1, "resnet50-model:v1")
    assert [(row.project, row.name, row.status) for row in store.runs()] == [
        ("image_classification", "resnet50_v1", "finished")
    ]


def test_use_a_model_later_and_elsewhere(my_model, store, tmp_path, monkeypatch):
    rn.finish()
    monkeypatch.chdir(tmp_path)

    # Inference run
    run = rn.init(project="inference")

    # Load latest version
    artifact = run.use_artifact("my-model:latest")
    model_path = artifact.download()

    # Use model
    assert (model_path / "model.pth").read_bytes() == b"\x03" * 3000
    rn.finish()
    assert store.get("my-model").used_by() == [run.id]


def test_saving_again_makes_the_next_version():
    for expected in (1, 2, 3):
        with rn.init(project="image_classification") as run:
            model = rn.Artifact("resnet50-model", type="model")
            model.add_file("model.pth")
            assert run.log_artifact(model) == expected


# Adding files.


def test_add_a_single_file(run, store):
    artifact = rn.Artifact("my-model", type="model")

    # Add single file
    artifact.add_file("model.pth")

    # Add with rename
    artifact.add_file("checkpoint.pth", name="other.pth")

    run.log_artifact(artifact)
    assert [file.path for file in store.get("my-model").files()] == ["model.pth", "other.pth"]
    with store.get("my-model").open("other.pth") as file:
        assert file.read() == Path("checkpoint.pth").read_bytes()


def test_a_rename_onto_another_file_is_refused_and_says_which_two():
    """The guide's block adds model.pth and then, as model.pth, another file: one of the two would be lost."""
    artifact = rn.Artifact("my-model", type="model")
    artifact.add_file("model.pth")

    with pytest.raises(rn.Rejected, match=r"'model.pth'.*/model.pth and .*/checkpoint.pth"):
        artifact.add_file("checkpoint.pth", name="model.pth")


def test_a_rename_onto_an_equal_file_is_that_file(run):
    shutil.copy("model.pth", "checkpoint.pth")
    artifact = rn.Artifact("my-model", type="model")
    artifact.add_file("model.pth")
    artifact.add_file("checkpoint.pth", name="model.pth")
    assert list(artifact.staged_files) == ["model.pth"]


def test_add_an_entire_directory(run, store):
    artifact = rn.Artifact("my-model", type="model")

    # Add entire directory
    artifact.add_dir("checkpoints/")

    run.log_artifact(artifact)
    assert [file.path for file in store.get("my-model").files()] == [
        "epoch_1/cache.tmp",
        "epoch_1/weights.pth",
        "optimizer.pth",
        "train.log",
    ]


def test_add_a_directory_with_exclusions(run, store):
    artifact = rn.Artifact("my-model", type="model")

    # Add directory with exclusions
    artifact.add_dir("checkpoints/", exclude_patterns=["*.log", "*.tmp"])

    run.log_artifact(artifact)
    assert [file.path for file in store.get("my-model").files()] == ["epoch_1/weights.pth", "optimizer.pth"]


# Adding metadata.


def test_add_metadata_and_tags(run, store):
    metadata = {
        "architecture": "ResNet50",
        "val_acc": 0.95,
        "val_loss": 0.23,
        "epochs": 100,
        "optimizer": "Adam",
        "learning_rate": 0.001,
        "batch_size": 64,
        "notes": "Best model from hyperparameter sweep",
    }
    artifact = rn.Artifact("my-model", type="model")
    artifact.add_file("model.pth")

    # Add metadata (any JSON data)
    artifact.add_metadata(metadata)

    # Add tags
    artifact.add_tags("production", "resnet", "imagenet")

    run.log_artifact(artifact)
    assert store.get("my-model").metadata == metadata
    assert store.get("my-model").tags == ["imagenet", "production", "resnet"]


# External references.


def test_add_a_reference_to_a_very_large_data_set(run, store):
    # For very large datasets, don't copy, just record reference
    dataset = rn.Artifact("imagenet-full", type="dataset")
    dataset.add_reference(
        uri="s3://my-bucket/imagenet-full",
        checksum="sha256:abc123...",
        size=150_000_000_000,  # 150 GB
    )
    dataset.add_metadata({"num_samples": 1_281_167, "num_classes": 1000})

    run.log_artifact(dataset)

    manifest = store.get("imagenet-full").get_manifest()
    assert manifest.total_files == 0
    [reference] = manifest.references
    assert reference.uri == "s3://my-bucket/imagenet-full"
    assert reference.checksum == "sha256:abc123..."
    assert reference.size == 150_000_000_000
    assert store.stats().pool_bytes == 0


# Query and usage.


@pytest.mark.parametrize(
    ("spec", "version"),
    [("my-model:latest", 3), ("my-model", 3), ("my-model:v3", 3), ("my-model:v1", 1), ("my-model:production", 2)],
)
def test_use_a_specific_version(run, my_model, spec, version):
    artifact = run.use_artifact(spec)
    assert artifact.version == version


def test_download_files(run, my_model):
    # Download to a folder of the store
    artifact = run.use_artifact("my-model:latest")
    model_dir = artifact.download()
    model_file = model_dir / "model.pth"
    assert model_file.read_bytes() == b"\x03" * 3000

    # Download to specific directory
    model_dir = artifact.download(target_dir="./models")
    assert model_dir == Path("models")
    assert Path("models/model.pth").read_bytes() == b"\x03" * 3000


def test_get_metadata(run, my_model):
    artifact = run.use_artifact("my-model:latest")

    # Get metadata object
    metadata = artifact.get_metadata()
    assert f"Accuracy: {metadata.metadata['val_acc']}" == "Accuracy: 0.93"
    assert metadata.created_at.tzinfo is UTC
    assert f"Size: {metadata.size_bytes} bytes" == "Size: 3000 bytes"
    assert metadata.created_by_run == run.id

    # Get file manifest
    manifest = artifact.get_manifest()
    assert f"Files: {manifest.total_files}" == "Files: 1"
    assert [f"  {file.path} ({file.size} bytes)" for file in manifest.files] == ["  model.pth (3000 bytes)"]


# Lineage tracking.


def test_lineage_is_recorded_by_itself(store):
    # Run 1: Prepare dataset
    run1 = rn.init(project="training", name="data_prep")
    dataset = rn.Artifact("my-dataset", type="dataset")
    dataset.add_dir("data/")
    run1.log_artifact(dataset)  # → my-dataset:v1
    rn.finish()

    # Run 2: Train model using dataset
    run2 = rn.init(project="training", name="model_train")
    dataset = run2.use_artifact("my-dataset:v1")  # Automatically recorded
    # Training...
    model = rn.Artifact("my-model", type="model")
    model.add_file("model.pth")
    run2.log_artifact(model)  # → my-model:v1
    rn.finish()

    # System automatically records lineage:
    # my-dataset:v1 → run2 → my-model:v1
    arrows = {(edge.source, edge.target) for edge in store.lineage("my-model:v1").edges}
    assert arrows == {(run1.id, "my-dataset:v1"), ("my-dataset:v1", run2.id), (run2.id, "my-model:v1")}


def test_the_complete_workflow(store):
    # Step 1: Prepare dataset
    run_data = rn.init(project="ml_pipeline", name="data_prep")
    dataset = rn.Artifact("processed-data", type="dataset")
    dataset.add_dir("processed_data/")
    dataset.add_metadata({"num_samples": 10000})
    run_data.log_artifact(dataset)  # → processed-data:v1
    rn.finish()

    # Step 2: Train model
    run_train = rn.init(project="ml_pipeline", name="training")
    dataset = run_train.use_artifact("processed-data:v1")  # Auto-tracked
    data_path = dataset.download()
    assert sorted(path.name for path in data_path.iterdir()) == [f"{number}.txt" for number in range(5)]

    # Training...
    model = rn.Artifact("trained-model", type="model")
    model.add_file("model.pth")
    model.add_metadata({"trained_with": "processed-data:v1"})
    run_train.log_artifact(model)  # → trained-model:v1
    rn.finish()

    # Step 3: Model evaluation
    run_eval = rn.init(project="ml_pipeline", name="evaluation")
    model = run_eval.use_artifact("trained-model:v1")  # Auto-tracked
    # Evaluation...
    rn.finish()

    # Lineage (automatically generated):
    # processed-data:v1 → run_train → trained-model:v1 → run_eval
    lineage = store.lineage("processed-data:v1", direction="downstream")
    assert [(edge.source, edge.target, edge.kind) for edge in lineage.edges] == [
        ("processed-data:v1", run_train.id, "used"),
        (run_train.id, "trained-model:v1", "produced"),
        ("trained-model:v1", run_eval.id, "used"),
    ]
    assert {node.label for node in lineage.nodes if node.kind == "run"} == {"training", "evaluation"}


# Best practices.


@pytest.mark.parametrize(
    ("name", "type"),
    [
        # Good naming
        ("resnet50-imagenet", "model"),
        ("mnist-augmented", "dataset"),
        ("training-config", "config"),
        # To be avoided, and allowed all the same
        ("model", "model"),
        ("final_final_v2", "model"),
    ],
)
def test_names_of_the_guide_are_names(run, name, type):
    assert run.log_artifact(rn.Artifact(name, type=type).add_file("model.pth")).spec == f"{name}:v1"


@pytest.mark.parametrize("type", ["model", "dataset", "config", "code", "custom"])
def test_the_types_of_the_guide_are_types(run, store, type):
    run.log_artifact(rn.Artifact("something", type=type).add_file("model.pth"))
    assert [row.name for row in store.artifacts(type)] == ["something"]


def test_metadata_by_the_standards_of_the_guide(run, store):
    model = rn.Artifact("resnet50-imagenet", type="model").add_file("model.pth")
    dataset = rn.Artifact("mnist-augmented", type="dataset").add_dir("data")

    # Typical model metadata
    model.add_metadata(
        {
            "architecture": "ResNet50",
            "val_acc": 0.95,
            "val_loss": 0.23,
            "epochs": 100,
            "optimizer": "Adam",
            "learning_rate": 0.001,
            "batch_size": 64,
            "dataset": "imagenet-subset:v2",  # Link to dataset
            "framework": "pytorch",
            "framework_version": "2.0.0",
        }
    )

    # Typical dataset metadata
    dataset.add_metadata(
        {
            "num_samples": 50000,
            "num_classes": 10,
            "split_ratio": "0.8/0.2",
            "preprocessing": "normalize + augmentation",
            "augmentation": "flip + crop + color_jitter",
        }
    )

    run.log_artifact(model)
    run.log_artifact(dataset)
    assert store.get("resnet50-imagenet").metadata == model.metadata
    assert store.get("mnist-augmented").metadata["split_ratio"] == "0.8/0.2"


def test_save_often_while_developing_and_mark_what_goes_into_production(store):
    # Development phase: Frequent saves
    run = rn.init(project="dev", name="experiment_123")
    for epoch in range(3):
        Path("checkpoint.pth").write_bytes(bytes([epoch]) * 100)
        model = rn.Artifact("dev-model", type="model")
        model.add_file("checkpoint.pth")
        run.log_artifact(model)  # v1, v2, v3, ...
    rn.finish()

    # Production phase: Use aliases
    store.alias("dev-model:v2", "production")  # Mark production version

    assert [row.version for row in store.versions("dev-model")] == [1, 2, 3]
    assert store.get("dev-model:production").version == 2


def test_a_huge_data_set_is_only_referred_to(run, store):
    # For very large datasets (>10 GB)
    dataset = rn.Artifact("huge-dataset", type="dataset")

    # Method 1: External reference (no download)
    dataset.add_reference("s3://bucket/data", checksum="sha256:...")

    run.log_artifact(dataset)
    assert [reference.uri for reference in store.get("huge-dataset").get_manifest().references] == ["s3://bucket/data"]


# Troubleshooting.


def test_a_missing_file_is_named_and_an_absolute_path_helps(run, monkeypatch, tmp_path):
    artifact = rn.Artifact("my-model", type="model")
    with pytest.raises(FileNotFoundError, match=r"no file 'weights.pth' to add \(looked for .*/work/weights.pth\)"):
        artifact.add_file("weights.pth")

    # Use absolute path
    model_path = Path("model.pth").resolve()
    artifact.add_file(str(model_path))

    monkeypatch.chdir(tmp_path)
    assert run.log_artifact(artifact) == 1


# Performance: deduplication and hard links.


def test_three_versions_with_one_content_are_one_copy_on_disk(store):
    for _ in range(3):
        with rn.init(project="dedup") as run:
            run.log_artifact(rn.Artifact("resnet50-model", type="model").add_file("model.pth"))

    inodes = {(store.get(f"resnet50-model:v{n}").download() / "model.pth").stat().st_ino for n in (1, 2, 3)}

    assert len(inodes) == 1
    stats = store.stats()
    assert (stats.total.size_bytes, stats.pool_bytes) == (60_000, 20_000)
    assert stats.saved_share == pytest.approx(2 / 3)
