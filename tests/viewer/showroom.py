"""A store such as a small team has after some weeks, for screenshots and for looking at pages: the same each time."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
import json
from pathlib import Path
import random

from runicorn_es import Artifact, Store
from runicorn_es.ambient import Actor, Ambient
from runicorn_es.commands import StartRun
from runicorn_es.run import Run

BEGIN = datetime(2026, 9, 1, 8, 30, tzinfo=UTC)
PEOPLE = ("mei", "jonas", "amara")
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763"
    "f8ffff3f0005fe02fea1399e1e0000000049454e44ae426082"
)
ATTACK = "<script>document.title='stolen'</script>\"'><img src=x onerror=alert(1)>"
"""What somebody might write into a text, in the hope that a page runs it."""
LONG_NAME = "segmentation-encoder-" + "very-" * 18 + "long"


class Showroom:
    """Fills a store, with a clock and an entropy of its own."""

    def __init__(self, root: Path, begin: datetime = BEGIN) -> None:
        self._now_s = int(begin.timestamp())
        self._chance = random.Random(7)
        self._person = PEOPLE[0]
        self._files = root.parent / f"{root.name} sources"
        self.store = Store(
            root,
            ambient=Ambient(
                now_ns=lambda: self._now_s * 1_000_000_000,
                token=self._chance.randbytes,
                actor=lambda: Actor(self._person, "workstation", 4242),
            ),
        )

    def pass_by(self, hours: float) -> None:
        """Let time pass."""
        self._now_s += int(hours * 3600)

    @contextmanager
    def run(self, name: str, project: str = "vision", person: int = 0, **settings: object) -> Iterator[Run]:
        """Begin a run of somebody, and finish it."""
        self._person = PEOPLE[person % len(PEOPLE)]
        self.pass_by(self._chance.uniform(2, 20))
        begun = datetime.fromtimestamp(self._now_s, UTC)
        run_id = f"{begun:%Y%m%d_%H%M%S}_{self._chance.randbytes(3).hex()}"
        self.store.execute(
            StartRun(
                run_id,
                project,
                name,
                json.dumps(settings),
                (),
                "3.12.4",
                ("python", f"{name}.py"),
                f"/home/{self._person}/vision",
                self._chance.randbytes(20).hex(),
                git_dirty=self._chance.random() < 0.3,
            ),
            run=run_id,
        )
        run = Run(self.store, run_id, project, name)
        yield run
        self.pass_by(self._chance.uniform(0.2, 3))
        run.finish()

    def artifact(
        self,
        name: str,
        type: str,
        files: Mapping[str, int | bytes],
        *,
        description: str | None = None,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] = (),
    ) -> Artifact:
        """Return a draft with files of these sizes, filled by chance, or of this content."""
        draft = Artifact(name, type, description=description)
        folder = self._files / f"{name} {self._chance.randrange(1 << 40):x}"
        for path, content in files.items():
            source = folder / path
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_bytes(content if isinstance(content, bytes) else self._chance.randbytes(content))
            draft.add_file(source, path)
        return draft.add_metadata(metadata or {}).add_tags(*tags)

    def fill(self) -> None:
        """Do some weeks of work."""
        self._prepare()
        self._train()
        self._sweep()
        self._bring_out()

    def _prepare(self) -> None:
        with self.run("collect", person=2) as run:
            for number in range(2):
                self.pass_by(30)
                raw = self.artifact(
                    "street-scenes-raw",
                    "dataset",
                    {
                        f"shard-{shard:03}.tar": random.Random(shard).randbytes(160_000)
                        for shard in range(6 + 2 * number)
                    },
                    description="Photos of crossings, by permission of the city.",
                    metadata={"photos": 12_000 + 4_000 * number, "licence": "CC-BY-4.0"},
                )
                raw.add_reference(f"s3://city-archive/crossings/2026-0{7 + number}/", size=84_000_000_000)
                run.log_artifact(raw)
        with self.run("fetch-weights") as run:
            run.log_artifact(
                self.artifact(
                    "resnet50-imagenet", "model", {"weights.safetensors": 900_000, "LICENSE": b"Apache-2.0\n"}
                )
            )
        for number in range(3):
            with self.run("clean", person=number) as run:
                run.use_artifact(f"street-scenes-raw:v{min(number, 1) + 1}")
                run.log_artifact(self._clean(number))

    def _clean(self, number: int) -> Artifact:
        labels = "photo,label\n" + "".join(f"{photo:05}.jpg,{photo % 7}\n" for photo in range(40))
        files: dict[str, int | bytes] = {f"train/{part:02}.npz": 60_000 + 900 * part for part in range(6)}
        files |= {f"test/{part:02}.npz": bytes([part]) * 90_000 for part in range(6)}
        files |= {"labels.csv": labels.encode(), "preview.png": PIXEL, "README.md": b"# Street scenes\n\nCleaned.\n"}
        return self.artifact(
            "street-scenes",
            "dataset",
            files,
            description="Faces and number plates are blurred.",
            metadata={"photos": 11_480 + 1_900 * number, "classes": 7, "split": {"train": 0.8, "test": 0.2}},
            tags=["gdpr-checked"] if number else [],
        )

    def _train(self) -> None:
        for number in range(8):
            with self.run("train", person=number, learning_rate=0.1 / (number + 1), epochs=30) as run:
                run.use_artifact(f"street-scenes:v{min(number // 3, 2) + 1}")
                run.use_artifact("resnet50-imagenet" if number < 4 else f"crossing-classifier:v{number - 1}")
                if number == 4:
                    run.finish("failed")
                    continue
                accuracy = 0.871 + 0.014 * number - 0.0011 * number * number
                run.log_artifact(
                    self.artifact(
                        "crossing-classifier",
                        "model",
                        {
                            "model.safetensors": 420_000 + 1_000 * number,
                            "config.json": json.dumps({"layers": 50, "dropout": 0.1 + number / 100}).encode(),
                            "labels.txt": b"car\nbicycle\nbus\ntram\npedestrian\nlorry\nother\n",
                        },
                        description="Which vehicle is on the photo.",
                        metadata={
                            "accuracy": round(accuracy, 4),
                            "loss": round(0.42 - 0.03 * number, 3),
                            "optimizer": {"name": "adamw", "learning_rate": 0.1 / (number + 1)},
                        },
                        tags=["baseline"] if not number else ["resnet50"],
                    )
                )
        for version in (3, 5, 7):
            with self.run("evaluate", person=1) as run:
                run.use_artifact(f"crossing-classifier:v{version}")
                run.use_artifact("street-scenes:latest")
                report = {"confusion": [[9, 1], [2, 8]], "f1": 0.9 + version / 100}
                run.log_artifact(
                    self.artifact("evaluation", "custom", {"report.json": json.dumps(report, indent=2).encode()})
                )

    def _sweep(self) -> None:
        for number in range(14):
            with self.run("sweep", project="research", person=1, dropout=number / 50) as run:
                run.use_artifact("street-scenes:v3")
                run.log_artifact(
                    self.artifact(
                        "sweep-candidate",
                        "model",
                        {"model.safetensors": 40_000},
                        metadata={"accuracy": round(0.8 + self._chance.random() / 10, 4)},
                    )
                )
        with self.run("report", project="research", person=1) as run:
            run.use_artifact("sweep-candidate:v9")
            run.log_artifact(self.artifact("sweep-summary", "custom", {"summary.md": b"# The best of fourteen\n"}))

    def _bring_out(self) -> None:
        store = self.store
        for version in (2, 5, 6):
            self.pass_by(40)
            store.alias(f"crossing-classifier:v{version}", "production", reason=f"evaluation {version // 2} passed")
        store.alias("crossing-classifier:v7", "candidate")
        store.alias("street-scenes:v3", "reviewed")
        store.protect("production")
        with self.run("quantize", person=2) as run:
            run.use_artifact("crossing-classifier:v6")
            run.log_artifact(self.artifact("crossing-classifier-int8", "model", {"model.onnx": 110_000}), ["edge"])
        store.delete("crossing-classifier:v1", reason="superseded", force=True)
        store.delete("sweep-candidate:v2", reason="superseded", force=True)
        store.purge("sweep-candidate:v2", reason="asked by the city")
        with self.run("tidy", project="infrastructure") as run:
            run.log_artifact(self.artifact("training-config", "config", {"config.yaml": b"epochs: 30\n"}))
            run.log_artifact(self.artifact("augmentations", "code", {"augment.py": b"def flip(photo): ...\n"}))


def fill(root: Path, begin: datetime = BEGIN) -> Store:
    """Make the store and return it."""
    showroom = Showroom(root, begin)
    showroom.fill()
    return showroom.store


def fill_with_trouble(root: Path) -> Store:
    """Make a store whose texts attack a page or burst it, and return it."""
    showroom = Showroom(root)
    with showroom.run(ATTACK[:60]) as run:
        run.log_artifact(
            showroom.artifact(
                "attacked",
                "model",
                {
                    "a&b'\"<i>.html": ATTACK.encode(),
                    "image.svg": b"<svg onload='alert(1)'/>",
                    "page.html": ATTACK.encode(),
                },
                description=ATTACK,
                metadata={ATTACK: ATTACK, "url": "javascript:alert(1)", "nested": {"deep": [ATTACK, "x" * 900]}},
                tags=["<b>bold</b>"],
            ).add_reference("javascript:alert(document.domain)")
        )
    with showroom.run("long") as run:
        run.use_artifact("attacked")
        run.log_artifact(
            showroom.artifact(
                LONG_NAME, "model", {"/".join(["a-folder-with-a-long-name"] * 9) + "/weights.bin": 2_000}
            ),
            ["an-alias-that-is-rather-long-as-well-and-does-not-end-soon"],
        )
    return showroom.store


def fill_with_many(root: Path, runs: int = 150) -> Store:
    """Make a store with a lineage of two nodes for each run, and return it; its focus is ``wide:v1``."""
    showroom = Showroom(root)
    chance = random.Random(1)
    with showroom.run("begin") as run:
        run.log_artifact(showroom.artifact("wide", "dataset", {"data": 10}))
    made = ["wide:v1"]
    for number in range(runs - 1):
        with showroom.run(f"step-{number % 4}") as run:
            for spec in {chance.choice(made[-30:]) for _ in range(1 + number % 2)}:
                run.use_artifact(spec)
            made.append(run.log_artifact(showroom.artifact(f"product-{number % 5}", "model", {"data": 10})).spec)
    return showroom.store
