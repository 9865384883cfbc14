"""What is different within files."""

import json
import subprocess

from hypothesis import given as for_any
from hypothesis import settings as examples
from hypothesis import strategies as some
import pytest

from given import file
import runicorn_es as rn
from runicorn_es import patches, settings


def logged(store, folder, **contents):
    artifact = rn.Artifact("m", "model")
    for name, content in contents.items():
        path = file(folder / name, content)
        artifact.add_file(path, name.replace("_", "."))
    store.log_artifact(artifact)


def patch(store) -> list[str]:
    return list(store.patch("m:v1", "m:v2"))


def test_a_text_is_compared_line_by_line(store, tmp_path):
    logged(store, tmp_path, a_txt=b"1\n2\n3\n4\n5\n6\n7\n8\n9\nend")
    logged(store, tmp_path, a_txt=b"1\n2\n3\n4\nfive\n6\n7\n8\n9\nend\n")

    assert patch(store) == [
        "diff --git a/a.txt b/a.txt",
        "--- a/a.txt",
        "+++ b/a.txt",
        "@@ -2,9 +2,9 @@",
        " 2",
        " 3",
        " 4",
        "-5",
        "+five",
        " 6",
        " 7",
        " 8",
        " 9",
        "-end",
        "\\ No newline at end of file",
        "+end",
    ]


def test_what_is_no_text_is_said_to_differ(store, tmp_path):
    logged(store, tmp_path, a=b"\x00\x01", b=b"\xff")
    logged(store, tmp_path, a=b"\x00\x02", b=b"text")

    assert [line for line in patch(store) if line.startswith("Binary")] == [
        "Binary files a/a and b/a differ (2 bytes, 2 bytes)",
        "Binary files a/b and b/b differ (1 bytes, 4 bytes)",
    ]


def test_a_text_that_is_too_long_is_not_compared(store, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "PATCH_FILE_BYTES_MAX", 4)
    logged(store, tmp_path, a=b"1234\n")
    logged(store, tmp_path, a=b"1\n")

    assert patch(store)[1:] == ["Binary files a/a and b/a differ (5 bytes, 2 bytes)"]


def test_cold_files_are_read_as_well(store, tmp_path):
    logged(store, tmp_path, a=b"old\n")
    logged(store, tmp_path, a=b"new\n")
    store.compact("m:v1")

    assert patch(store)[-2:] == ["-old", "+new"]


LINES = some.lists(some.sampled_from(["a\n", "b\n", "c\n"]), max_size=14).map("".join)


@examples(max_examples=25)
@for_any(LINES, LINES, some.booleans(), some.booleans(), some.sampled_from([0, 1_000_000]))
def test_patch_makes_the_new_text_of_the_old(tmp_path_factory, old, new, cut_old, cut_new, like):
    """By the program of that name, of GNU; also where lines are too much alike to be paired."""
    old, new = (text.removesuffix("\n") if cut else text for text, cut in ((old, cut_old), (new, cut_new)))
    folder = tmp_path_factory.mktemp("patched")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(patches, "_LIKE_LINES_MAX", like)
        lines = list(patches._hunks(_lines(old), _lines(new)))
    (folder / "f").write_text(old)

    text = "".join(f"{line}\n" for line in ("--- a/f", "+++ b/f", *lines))
    if lines:
        subprocess.run(["git", "apply", "-"], input=text, text=True, check=True, cwd=folder, capture_output=True)

    assert (folder / "f").read_text() == new


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def tensors(data: dict[str, tuple[str, list[int], bytes]], **texts: str) -> bytes:
    header: dict[str, object] = {"__metadata__": texts} if texts else {}
    body = b""
    for name, (dtype, shape, content) in data.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(content)]}
        body += content
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + body


def test_safetensors_are_compared_tensor_by_tensor(store, tmp_path):
    same = ("F32", [2], bytes(8))
    old = {"same": same, "gone": same, "other": same, "cast": same}
    new = {"came": same, "cast": ("BF16", [2], bytes(4)), "other": ("F32", [2], bytes([1] * 8)), "same": same}
    logged(store, tmp_path, w_safetensors=tensors(old, epoch="1"))
    logged(store, tmp_path, w_safetensors=tensors(new, epoch="2"))

    assert patch(store)[3:] == [
        "+tensor came: F32 [2]",
        "-tensor cast: F32 [2]",
        "+tensor cast: BF16 [2]",
        "-tensor gone: F32 [2]",
        "!tensor other: F32 [2], other values",
        "-text epoch: 1",
        "+text epoch: 2",
        " 1 tensors are equal",
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8 + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (3).to_bytes(8, "little") + b"{}",
        tensors({"a": ("F32", [2], bytes(8))})[:-1],
        (200_000).to_bytes(8, "little") + b'{"a":' * 40_000,
    ],
)
def test_what_only_is_called_safetensors_is_compared_as_any_file(store, tmp_path, content):
    logged(store, tmp_path, w_safetensors=content)
    logged(store, tmp_path, w_safetensors=tensors({}))

    assert patch(store)[-1].startswith("Binary files")
