"""The guide's pipeline on the digits data set of scikit-learn: prepare, train three models, evaluate the newest."""

import csv
from pathlib import Path
import sys
import tempfile

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import runicorn_es as rn

PROJECT = "digits"
IMAGE_HEADER = b"P5 8 8 16\n"
HYPERPARAMETERS = ({"C": 1.0, "gamma": 0.0005}, {"C": 10.0, "gamma": 0.01}, {"C": 10.0, "gamma": 0.2})

Examples = tuple[NDArray[np.float64], NDArray[np.int64]]


def main(store: Path) -> None:
    """Run the pipeline in this store and say what each step stored."""
    before_bytes = pool_bytes(store)
    with tempfile.TemporaryDirectory() as scratch:
        logged = [prepare(store, Path(scratch) / "digits")]
        logged += train(store, Path(scratch) / "model")
    evaluate(store)
    with rn.open_store(store) as opened:
        logged_bytes = sum(opened.get(version.spec).get_metadata().size_bytes for version in logged)
    added_bytes = pool_bytes(store) - before_bytes
    print(
        f"\nLogged {logged_bytes:,} bytes in {len(logged)} versions; the pool grew by {added_bytes:,} bytes: "
        f"{1 - added_bytes / logged_bytes:.1%} was there already."
    )


def prepare(store: Path, folder: Path) -> rn.VersionNumber:
    """Write the data set as image files by split and class, and log it."""
    write_digits(folder)
    with rn.init(PROJECT, name="prepare", storage=store) as run:
        dataset = rn.Artifact("digits", type="dataset", description="Handwritten digits, 8 x 8 pixels, 17 grey levels")
        dataset.add_dir(folder)
        dataset.add_metadata({"num_samples": len(list(folder.rglob("*.pgm"))), "num_classes": 10, "image": "8x8 PGM"})
        dataset.add_tags("images", "scikit-learn")
        version = run.log_artifact(dataset)
    print(f"prepared   {version.spec}: {len(dataset.staged_files):,} files")
    return version


def train(store: Path, folder: Path) -> list[rn.VersionNumber]:
    """Train one model for each set of hyper-parameters on the downloaded data set, and log them all."""
    folder.mkdir()
    versions: list[rn.VersionNumber] = []
    scores: list[float] = []
    with rn.init(PROJECT, name="train", storage=store, config={"grid": list(HYPERPARAMETERS)}) as run:
        dataset = run.use_artifact("digits:latest", type="dataset")
        data = dataset.download()
        training, validation, test = (read_split(data / split) for split in ("train", "validation", "test"))
        for hyperparameters in HYPERPARAMETERS:
            classifier: Pipeline = make_pipeline(StandardScaler(), SVC(**hyperparameters)).fit(*training)
            joblib.dump(classifier, folder / "model.joblib")
            scores.append(classifier.score(*validation))
            test_acc = classifier.score(*test)
            model = rn.Artifact("digits-classifier", type="model")
            model.add_file(folder / "model.joblib")
            # The same file in each version: kept once.
            model.add_file(data / "README.md", name="dataset.md")
            model.add_metadata({"architecture": "RBF SVM", **hyperparameters, "val_acc": scores[-1]})
            model.add_metadata({"test_acc": test_acc, "trained_on": dataset.full_name})
            versions.append(run.log_artifact(model))
            print(f"trained    {versions[-1].spec}: {hyperparameters}, test accuracy {test_acc:.3f}")
        best = versions[int(np.argmax(scores))]
        run.store.alias(best.spec, "production", reason="best validation accuracy")
        print(f"promoted   {best.spec} to production")
    return versions


def evaluate(store: Path) -> None:
    """Load the newest model as a stranger would and measure it on the test images."""
    with rn.init(PROJECT, name="evaluate", storage=store) as run:
        model = run.use_artifact("digits-classifier:latest")
        dataset = run.use_artifact("digits")
        classifier: Pipeline = joblib.load(model.download() / "model.joblib")
        accuracy = classifier.score(*read_split(dataset.download() / "test"))
        recorded = model.get_metadata().metadata["test_acc"]
    print(f"evaluated  {model.full_name}: test accuracy {accuracy:.3f}, and {recorded:.3f} was recorded")


def write_digits(folder: Path) -> None:
    """Write the 1,797 images as PGM files ``<split>/<class>/<number>.pgm``, with a table of labels and a README."""
    digits = load_digits()
    numbers = np.arange(len(digits.target))
    rest, test = train_test_split(numbers, test_size=0.2, random_state=0, stratify=digits.target)
    train, validation = train_test_split(rest, test_size=0.2, random_state=0, stratify=digits.target[rest])
    rows: list[tuple[str, int]] = []
    for split, members in (("train", train), ("validation", validation), ("test", test)):
        for number in sorted(members):
            label = int(digits.target[number])
            path = folder / split / str(label) / f"{number:04d}.pgm"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(IMAGE_HEADER + digits.images[number].astype(np.uint8).tobytes())
            rows.append((path.relative_to(folder).as_posix(), label))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    (folder / "README.md").write_text(digits.DESCR)


def read_split(folder: Path) -> Examples:
    """Return the pixels of all images of a split, one row each, and their labels."""
    paths = sorted(folder.glob("*/*.pgm"))
    pixels = [np.frombuffer(path.read_bytes(), np.uint8, offset=len(IMAGE_HEADER)) for path in paths]
    return np.stack(pixels).astype(np.float64), np.array([int(path.parent.name) for path in paths])


def pool_bytes(store: Path) -> int:
    """Return what the pool of the store takes; 0 where there is no store yet."""
    if not (store / "store.json").exists():
        return 0
    with rn.open_store(store, read_only=True) as opened:
        return opened.stats().pool_bytes


if __name__ == "__main__":
    main(Path(sys.argv[1]))
