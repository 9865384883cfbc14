"""Files and zips to be saved, and the log as it grows. No path leads out, however it is written."""

import io
from pathlib import Path
import subprocess
import sys
import zipfile

import anyio
import pytest
from starlette.requests import Request

from given import file
import runicorn_es as rn
from runicorn_es.viewer.app import Viewer
from runicorn_es.viewer.guard import Policy
from viewer.conftest import PNG, viewer_of

FILES = "/artifacts/images/v2"


def test_a_file_is_saved_under_its_name_and_never_shown(shown):
    answer = shown.get(f"{FILES}/download", params={"path": "data/train/rows.csv"})
    assert answer.content.startswith(b"name,value")
    assert answer.headers["content-disposition"].startswith('attachment; filename="rows.csv"')
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("span", "status", "content"),
    [
        ("bytes=0-3", 206, PNG[:4]),
        ("bytes=30-", 206, PNG[30:]),
        ("bytes=30-999", 206, PNG[30:]),
        ("bytes=99-", 416, b""),
        ("bytes=3-1", 416, b""),
        ("bytes=-5", 200, PNG),
        ("lines=1-2", 200, PNG),
    ],
)
def test_a_part_of_a_file_is_had_by_its_range(shown, span, status, content):
    answer = shown.get(f"{FILES}/download?path=picture.png", headers={"range": span})
    assert (answer.status_code, answer.content) == (status, content)


@pytest.mark.parametrize(
    "path",
    [
        "../store.json", "..%2Fstore.json", "%2e%2e/store.json", "..%252fstore.json", "....//store.json", "/etc/passwd",
        "data/../../store.json", "data/./train/rows.csv", "data//train/rows.csv", "..\\store.json", "notes.txt%00",
        "data", "data/train/", "NOTES.TXT", "file:///etc/passwd", "%c0%ae%c0%ae/store.json", "%ef%bc%8e./x", "~", "",
    ],
)  # fmt: skip
def test_only_a_path_of_the_version_is_a_file(shown, path):
    for more in ("download", "image", "preview"):
        assert shown.get(f"{FILES}/{more}?path={path}").status_code in {400, 404}
        assert shown.get(f"/api/v1{FILES}/preview?path={path}").status_code in {400, 404}


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e%2fapp.py", "/artifacts/..%2f..%2fstore.json",
     "/artifacts/%2e%2e/v1/files", "/artifacts/images/v2/../../../store.json", "/static//etc/passwd", "//etc/passwd",
     "/artifacts/images%00/v2"],
)  # fmt: skip
def test_no_address_leads_out(shown, path):
    answer = shown.get(path)
    assert answer.status_code in {400, 404}
    assert "store_id" not in answer.text


def test_only_images_are_shown_as_such_whatever_their_names_say(shown):
    assert shown.get(f"{FILES}/image?path=picture.png").headers["content-type"] == "image/png"
    assert shown.get(f"{FILES}/image?path=notes.txt").status_code == 404


def test_a_zip_holds_every_file_and_reads_as_others_do(shown):
    answer = shown.get(f"{FILES}/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as opened:
        assert opened.testzip() is None
        assert opened.read("picture.png") == PNG
        assert sorted(opened.namelist()) == [
            "config.json", "data/train/rows.csv", "notes.txt", "picture.png", "weights.bin",
        ]  # fmt: skip
    assert answer.headers["content-disposition"].startswith('attachment; filename="images-v2.zip"')


def test_names_in_a_zip_keep_their_letters_and_the_executable_bit(store, tmp_path):
    for name in ("größe/模型.bin", "run.sh"):
        file(tmp_path / "tree" / name, name.encode())
    (tmp_path / "tree" / "run.sh").chmod(0o755)
    store.log_artifact(rn.Artifact("m & größe", "model").add_dir(tmp_path / "tree"))
    answer = viewer_of(store).get("/artifacts/m%20%26%20gr%C3%B6%C3%9Fe/v1/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as opened:
        modes = {one.filename: one.external_attr >> 16 & 0o777 for one in opened.infolist()}
    assert modes == {"größe/模型.bin": 0o644, "run.sh": 0o755}
    assert "gr%C3%B6%C3%9Fe-v1.zip" in answer.headers["content-disposition"]


def test_a_damaged_blob_is_not_handed_out(client, full):
    [damaged] = full.get("images:v2").files("notes.txt")
    blob = Path(full.layout.blob(bytes.fromhex(damaged.digest.removeprefix("blake3:"))))
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[::-1])
    assert client.get(f"{FILES}/download?path=notes.txt").status_code == 500
    with pytest.raises(RuntimeError, match="already started"):  # the connection ends in the middle
        client.get(f"{FILES}/zip")


def test_the_log_is_followed_while_another_process_writes(full):
    """The stream itself, without a server: what a browser would be sent."""
    viewer = Viewer(full, Policy())
    head = viewer.desk.head()
    write = (
        f"import runicorn_es as rn\nwith rn.open_store({str(full.layout.root)!r}) as s: s.alias('model:v1', 'there')"
    )

    async def never():
        await anyio.sleep_forever()

    async def read() -> list[str]:
        request = Request({"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}, never)
        stream = viewer.tail.follow(request, head - 1).body_iterator
        pieces = [await anext(stream)]
        await anyio.to_thread.run_sync(lambda: subprocess.run([sys.executable, "-c", write], check=True))
        pieces.append(await anext(stream))
        viewer.tail.end()
        assert [piece async for piece in stream] == []
        return pieces

    _, news = anyio.run(read)
    assert news.startswith(f"id: {head}\ndata: <tr>")
    assert "there of model points to v1" in news
    assert news.count("\n") == 3
