"""Whatever the bytes are: only documented errors, no more memory than they are worth, and nothing else than was said.

    pytest tests/fuzz --fuzz-executions=1000000

tries each reader with as many inputs; without the option it is a matter of seconds.
"""

import json
import os
from pathlib import Path
import struct
import subprocess
import sys
import tracemalloc

import pytest
import zstandard

from fuzz.targets import CHECKPOINT, COMPRESSED, PLAIN, PUBLIC, RETIRED, SALT, SECRET, SIGNED, TARGETS
from runicorn_es import settings

TESTS = Path(__file__).parents[1]
# What a reader may take for each byte of its input, and of what that input may unpack to.
MEMORY_PER_BYTE = 100


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", TARGETS)
def test_no_input_meets_an_error_that_is_not_documented(name, tmp_path, request):
    executions = request.config.getoption("--fuzz-executions")
    command = [sys.executable, "-m", "fuzz.campaign", name, str(executions), str(tmp_path)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd=TESTS,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    )

    found = [path.read_bytes().hex() for path in tmp_path.glob("found-*")]
    assert (done.returncode, found) == (0, []), done.stderr[done.stderr.find("=== Uncaught") :]
    assert f"Done {executions} runs" in done.stderr


# Inputs that once met another error.

A_SIGNATURE_OF_NO_NAME = "\N{EM DASH} ".encode() + b"\xff AAAAAAAA\n"
A_RECORD_OF_NO_SUBJECT = bytes.fromhex(
    "0b0000001900000072e6869596010101a4c42ff5b503d100010304199f973dd37e5c471387405561ca2084c5ef727561"
)

FOUND = [
    ("payload", "a text that is not UTF-8", bytes([PLAIN]) + SALT + b"\x92\x95\xa5bat\xa12\x01"),
    ("payload", "a tag that is not UTF-8", bytes([PLAIN]) + SALT + b"\x92\x91\xa5batch\x91\xa5b/\xafbu"),
    ("records", "a subject that is not UTF-8", A_RECORD_OF_NO_SUBJECT),
    ("key-file", "a public key that is not UTF-8", bytes([PUBLIC]) + b"\xce"),
    ("key-file", "a secret that is not UTF-8", bytes([SECRET]) + b'{"schema": "r\xff\xff",}'),
    ("key-file", "a retired key in arrays in arrays", bytes([RETIRED]) + b'{"x":' + b"[" * 100_000),
    ("key-file", "a checkpoint that is not UTF-8", bytes([CHECKPOINT]) + SIGNED[-1].encode() + A_SIGNATURE_OF_NO_NAME),
]


@pytest.mark.parametrize(("name", "what", "content"), FOUND, ids=[f"{name}: {what}" for name, what, _ in FOUND])
def test_what_was_found_once_is_refused(name, what, content):
    TARGETS[name].check(content)


def _unpacked_to(body: bytes) -> bytes:
    return bytes([COMPRESSED]) + SALT + zstandard.ZstdCompressor(level=3).compress(body)


def _bundle(**fields: object) -> bytes:
    values = {
        "schema": "runicorn.inclusion/1",
        "index": 0,
        "header": "00",
        "payload": None,
        "path": [],
        "checkpoint": "",
    }
    return json.dumps({**values, **fields}).encode()


MANY = 500_000
AN_ARRAY = b"\xdd" + struct.pack(">I", MANY)
A_RUN = b"\x91\x9b\xa3run" + b"\xa0" * 4 + AN_ARRAY + b"\xa0" * MANY + b"\xa0\x90\xa0\xc0\xc0"
A_SIGNATURE = "\N{EM DASH} a AAAAAAAA\n".encode()
A_FRAME = bytes.fromhex("28b52ffde0")
SCRYPT = {"schema": "runicorn.locked-key/1", "cost": 2**62, "block": 2**62, "salt": "", "nonce": "", "box": ""}
HOSTILE = [
    ("payload", "an array that claims four billion events", bytes([PLAIN]) + SALT + b"\xdd\xff\xff\xff\xff"),
    ("payload", "a text that claims four gigabytes", bytes([PLAIN]) + SALT + b"\x91\x92\xa5alias\xdb\xff\xff\xff\xff"),
    ("payload", "a tag that claims four gigabytes", bytes([PLAIN]) + SALT + b"\x91\x92\xdb\xff\xff\xff\xff"),
    ("payload", "arrays in arrays", bytes([PLAIN]) + SALT + b"\x91" * MANY),
    ("payload", "half a million empty arrays, compressed", _unpacked_to(AN_ARRAY + b"\x90" * MANY)),
    ("payload", "a run with half a million tags, compressed", _unpacked_to(A_RUN)),
    ("payload", "a frame beyond the limit", _unpacked_to(bytes(settings.PAYLOAD_BYTES_MAX + 1))),
    ("payload", "a frame that claims a terabyte", bytes([COMPRESSED]) + SALT + A_FRAME + struct.pack("<Q", 1 << 40)),
    ("records", "a record that claims four gigabytes", struct.pack("<III", 100, 2**32 - 1, 0) + bytes(1000)),
    ("records", "a header that claims four gigabytes", struct.pack("<III", 2**32 - 1, 100, 0) + bytes(1000)),
    ("records", "what could begin a record everywhere", b"\x96" * 100_000),
    ("signed-text", "half a million lines", b"\x00" + b"\n" * MANY),
    ("signed-text", "more signatures than a note may have", b"\x00a\n\n" + A_SIGNATURE * 50_000),
    ("signed-text", "a long name", b"\x00" + b"x" * MANY + b"+00000000+AQ=="),
    ("bundle", "arrays in arrays", b"[" * MANY),
    ("bundle", "objects in objects", b'{"endorsements":' * 50_000),
    ("bundle", "many hashes", _bundle(path=["00"] * (MANY // 2))),
    ("bundle", "a long header", _bundle(header="96" * MANY)),
    ("bundle", "a long text", _bundle(checkpoint="\n" * MANY)),
    ("bundle", "more than a bundle may be", b" " * 5_000_000),
    ("key-file", "arrays in arrays", bytes([SECRET]) + b'{"schema":"runicorn.locked-key/1","box":' + b"[" * MANY),
    ("key-file", "more than a gigabyte of scrypt", bytes([SECRET]) + json.dumps(SCRYPT).encode()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "what", "content"), HOSTILE, ids=[f"{name}: {what}" for name, what, _ in HOSTILE])
def test_no_input_takes_more_memory_than_it_is_worth(name, what, content):
    worth = len(content) + (settings.PAYLOAD_BYTES_MAX if "compressed" in what else 64 * settings.KIB)
    tracemalloc.start()
    try:
        TARGETS[name].check(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The buffer that a segment is read into has its size whatever stands there.
    assert peak <= MEMORY_PER_BYTE * worth + (8 * settings.MIB if name == "records" else 0)
