"""The viewer in this process, asked as a browser would, over a store with something of everything."""

import re
import shutil

import pytest
from starlette.testclient import TestClient

import runicorn_es as rn
from runicorn_es.viewer.app import Viewer
from runicorn_es.viewer.guard import Policy

PNG = b"\x89PNG\r\n\x1a\n" + bytes(24)
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A store with runs, three versions of a model and two of a data set, one of those deleted; nobody changes it."""
    root = tmp_path_factory.mktemp("template") / "store"
    source = root.parent / "source"
    (source / "data" / "train").mkdir(parents=True)
    (source / "data" / "train" / "rows.csv").write_text(f"name,value\n{EVIL},1\n")
    (source / "config.json").write_text('{"a":{"b":[1,2]}}')
    (source / "notes.txt").write_text(f"hello {EVIL}")
    (source / "picture.png").write_bytes(PNG)
    for number in range(3):
        with rn.init("vision", name=f"train {number}", storage=root) as run:
            (source / "weights.bin").write_bytes(bytes([number]) * 2048)
            if number < 2:
                data = rn.Artifact("images", "dataset", metadata={"rows": number}).add_dir(source)
                run.log_artifact(data.add_reference("s3://bucket/rest", "sha256:aa", 9))
            run.use_artifact("images")
            measured = {"accuracy": 0.5 + number / 10, "eval": {"loss": 1 - number / 10}}
            model = rn.Artifact("model", "model", f"What it is {EVIL}", {**measured, EVIL: EVIL})
            run.log_artifact(model.add_file(source / "weights.bin").add_tags("nightly"), ["production"])
    with rn.open_store(root) as store:
        store.delete("images:v1", force=True)
        store.stats()
    return root


@pytest.fixture(scope="module")
def shown(template) -> TestClient:
    """The viewer of that store, for tests that change nothing."""
    with rn.open_store(template) as store:
        yield viewer_of(store)


@pytest.fixture
def full(template, tmp_path):
    """A copy of that store, to be changed."""
    shutil.copytree(template, tmp_path / "full")
    with rn.open_store(tmp_path / "full") as store:
        yield store


@pytest.fixture
def client(full) -> TestClient:
    """The viewer of the copy."""
    return viewer_of(full)


def viewer_of(store, *, is_read_only: bool = False, **policy: object) -> TestClient:
    """Return the viewer of a store under a policy."""
    app = Viewer(store, Policy(**policy), is_read_only=is_read_only).asgi()
    return TestClient(app, base_url="http://127.0.0.1:23300", follow_redirects=False)


def token_in(page: str) -> str:
    """Return the token that the forms of a page carry."""
    return re.search(r'name="token" value="([^"]+)"', page)[1]


def post(client: TestClient, verb: str, **fields: str):
    """Send the form of a change as a browser does."""
    token = token_in(client.get(f"/change/{verb}", params={"spec": fields["spec"]}).text)
    return client.post(f"/change/{verb}", data={"token": token, **fields}, headers={"sec-fetch-site": "same-origin"})
