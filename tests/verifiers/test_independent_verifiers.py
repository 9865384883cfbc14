"""Programs that share no code with ours accept what we publish, and refuse it with any single bit changed.

Go's golang.org/x/mod (the packages that check Go's own module database), Node, OpenSSL, Sigstore and an ML-DSA written
in Python each read the same seven logs: checkpoints, proofs and tiles. Go meets every bit of the checkpoints, of the
proofs, and of all files of the two smallest logs; of the tiles and of the entries of the larger ones an evenly spread
sample of ``SAMPLE`` bits each. Node and Sigstore meet every bit of the checkpoints and a tenth of those of the
proofs, OpenSSL a bit in each byte of one signed head, ML-DSA a sample; our own reader every bit of the checkpoints.
"""

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
import fcntl
import hashlib
import json
import os
from pathlib import Path
import shutil
import struct
import subprocess

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from dilithium_py.ml_dsa import ML_DSA_44
import pytest
from sigstore._internal.merkle import verify_merkle_inclusion
from sigstore._internal.rekor.checkpoint import verify_checkpoint
from sigstore._internal.trust import Keyring
from sigstore.errors import VerificationError
from sigstore.models import TransparencyLogEntry
from sigstore_models.common.v1 import PublicKey, PublicKeyDetails
from sigstore_models.rekor import v1 as rekor

from runicorn_es import merkle, tiles
from runicorn_es.layout import Layout
from runicorn_es.log import START, Entry, Log, record
from runicorn_es.signing import Head, Signer, Trust
from runicorn_es.signing.checkpoint import read_checkpoint
from runicorn_es.signing.keys import Seeds
from runicorn_es.signing.note import parse, parse_key

HERE = Path(__file__).parent
SIZES = (1, 2, 255, 256, 257, 65_536, 70_000)
ALL, SAMPLE = 1 << 30, 640
ORIGIN = "runicorn-es/00112233445566778899aabbccddeeff"
SIGNER = Signer(ORIGIN, Seeds(bytes(range(32)), bytes(range(32, 64))))
TIME_S = 1_700_000_000
# How a public key of each kind begins where OpenSSL and its kin read it: RFC 8410.
ED25519_DER = bytes.fromhex("302a300506032b6570032100")


# What is published: the same log at seven sizes.


@pytest.fixture(scope="session")
def cases(tmp_path_factory):
    """The exported logs and the proofs, made once for all processes that run tests."""
    folder = _folder_of_the_session(tmp_path_factory)
    with _alone(folder):
        if not (folder / "cases.json").exists():
            (folder / "making").write_text(json.dumps(_publish(folder)))
            (folder / "making").rename(folder / "cases.json")
    return folder / "cases.json"


def _folder_of_the_session(tmp_path_factory) -> Path:
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    (folder / "verifiers").mkdir(exist_ok=True)
    return folder / "verifiers"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _publish(folder: Path) -> dict:
    layout = Layout(folder / "store")
    layout.log.mkdir(parents=True)
    log = Log(layout, bytes(16))
    log.create()
    position, records = START, []
    while len(records) < SIZES[-1]:
        # The smaller logs are read from the beginning of the largest one; so the first batches are small.
        count = min(SIZES[-1] - len(records), 257 if len(records) < 1000 else 20_000)
        batch = [Entry(f"model-{(len(records) + one) % 97}:v{one}", b"payload %d" % one) for one in range(count)]
        made, position = log.append(batch, position, TIME_S * 1_000_000_000 + len(records))
        records += made
    leaves = [one.leaf for one in records]
    heads = {size: Head(size, merkle.root(leaves[:size])) for size in SIZES}
    checkpoints = {size: SIGNER.sign(head) for size, head in heads.items()}
    for size, head in heads.items():
        tiles.export(log, head, checkpoints[size] + SIGNER.cosign(head, TIME_S), folder / str(size))
    logs = [
        {
            "folder": str(folder / str(size)),
            "checkpoint": checkpoints[size],
            "changes_max": ALL if size < 3 else SAMPLE,
            "inclusion": [
                {
                    "index": index,
                    "entry": _base64(record.encode_header(records[index])),
                    "path": [_base64(step) for step in merkle.inclusion_proof(leaves[:size], index)],
                }
                for index in sorted({0, 255, 256, size // 3, size - 1} & set(range(size)))
            ],
            "consistency": [
                {
                    "old_checkpoint": checkpoints[old],
                    "path": [_base64(step) for step in merkle.consistency_proof(leaves[:size], old)],
                }
                for old in SIZES
                if old < size
            ],
        }
        for size in SIZES
    ]
    return {"key": str(SIGNER.ed25519), "logs": logs}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing, which checks what we publish independently: install {package}")
    return found


def _output(*command: str | Path, **more: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **more})
    assert done.returncode == 0, done.stderr
    return done.stdout


def _harmed(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _of_each_byte(content: bytes) -> range:
    """Return one bit of every byte, each time another."""
    return range(0, 8 * len(content), 9)


def _says_the_same(checkpoint: str, bit: int) -> bool:
    """Return whether a changed bit only gives another base64 text for the same signature.

    There are such: the last digit has two bits that stand for nothing, and most decoders do not look at them.
    """
    kept, _, encoded = checkpoint.encode().rpartition(b" ")
    found_kept, _, found = _harmed(checkpoint.encode(), bit).rpartition(b" ")
    if kept != found_kept or not found.endswith(b"\n"):
        return False
    try:
        return base64.b64decode(encoded[:-1]) == base64.b64decode(found[:-1], validate=True)
    except binascii.Error:
        return False


# Go.


def test_go_accepts_every_checkpoint_proof_and_tile_and_refuses_each_changed_bit(cases, tmp_path):
    go = _program("go", "golang-go and golang-golang-x-mod-dev")
    places = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(tmp_path / "cache"), "GOFLAGS": ""}
    if not Path(places["GOPATH"], "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.fail("the Go package golang.org/x/mod is missing: install golang-golang-x-mod-dev")
    _output(go, "build", "-o", tmp_path / "verify", HERE / "main.go", **places)

    report = json.loads(_output(tmp_path / "verify", cases))

    assert report["wrongly_refused"] == []
    checkpoints = {one["folder"]: one["checkpoint"] for one in json.loads(cases.read_text())["logs"]}
    assert [
        one
        for one in report["wrongly_accepted"]
        if one["what"] != "checkpoint" or not _says_the_same(checkpoints[one["folder"]], one["bit"])
    ] == []
    assert report["accepted"]["all entries"] == len(SIZES)
    assert report["accepted"]["checkpoint"] == report["accepted"]["published checkpoint"] == len(SIZES)
    assert report["accepted"]["consistency"] == report["accepted"]["consistency from tiles"] == 21
    assert report["accepted"]["inclusion"] == report["accepted"]["inclusion from tiles"] > 20
    assert all(report["refused"][what] > 3_000 for what in ("checkpoint", "inclusion", "consistency", "tile"))
    assert report["refused"]["bundle of entries"] > 3_000


# Node.


def test_node_accepts_every_checkpoint_proof_and_entry_and_refuses_each_changed_bit(cases):
    report = json.loads(_output(_program("node", "nodejs"), HERE / "verify.mjs", cases))

    assert report["wrongly_refused"] == []
    assert report["wrongly_accepted"] == []
    assert report["accepted"]["root of the entries"] == len(SIZES)
    assert report["accepted"]["checkpoint"] == report["accepted"]["published checkpoint"] == len(SIZES)
    assert report["accepted"]["consistency"] == 21
    assert report["accepted"]["inclusion"] > 20
    assert all(report["refused"][what] > 3_000 for what in ("checkpoint", "inclusion", "consistency"))
    assert report["refused"]["bundle of entries"] > 2_000


# OpenSSL.


def test_openssl_accepts_every_signature_and_refuses_a_changed_bit_of_each_byte(cases, tmp_path):
    openssl = _program("openssl", "openssl")
    given = json.loads(cases.read_text())
    (tmp_path / "key").write_bytes(ED25519_DER + base64.b64decode(given["key"].split("+", 2)[2])[1:])

    def is_accepted(body: bytes, signature: bytes) -> bool:
        (tmp_path / "body").write_bytes(body)
        (tmp_path / "signature").write_bytes(signature)
        options = ["-pubin", "-keyform", "DER", "-inkey", "key", "-rawin", "-in", "body", "-sigfile", "signature"]
        done = subprocess.run([openssl, "pkeyutl", "-verify", *options], capture_output=True, check=False, cwd=tmp_path)
        return done.returncode == 0

    signed = []
    for log in given["logs"]:
        body, _, line = log["checkpoint"].rpartition("\n\n")
        signed.append((f"{body}\n".encode(), base64.b64decode(line.split(" ")[2])[4:]))
    assert [is_accepted(*one) for one in signed] == [True] * len(SIZES)

    body, signature = signed[-1]
    assert not any(is_accepted(_harmed(body, bit), signature) for bit in _of_each_byte(body))
    assert not any(is_accepted(body, _harmed(signature, bit)) for bit in _of_each_byte(signature))


# Sigstore, as it reads the entries of Rekor.


def test_sigstore_accepts_every_checkpoint_and_inclusion_and_refuses_each_changed_bit(cases):
    given = json.loads(cases.read_text())
    _, identifier, encoded = given["key"].split("+", 2)
    key = PublicKey(
        raw_bytes=base64.b64encode(ED25519_DER + base64.b64decode(encoded)[1:]),
        key_details=PublicKeyDetails.PKIX_ED25519,
    )
    keyring = Keyring([key])
    refused = 0

    def entry_of(log: dict, proof: dict, checkpoint: str) -> TransparencyLogEntry:
        _, size, root = log["checkpoint"].split("\n")[:3]
        return TransparencyLogEntry(
            rekor.TransparencyLogEntry.from_dict(
                {
                    "logIndex": str(proof["index"]),
                    "logId": {"keyId": _base64(bytes.fromhex(identifier))},
                    "kindVersion": {"kind": "runicorn", "version": "1"},
                    "inclusionProof": {
                        "logIndex": str(proof["index"]),
                        "rootHash": root,
                        "treeSize": size,
                        "hashes": proof["path"],
                        "checkpoint": {"envelope": checkpoint},
                    },
                    "canonicalizedBody": proof["entry"],
                }
            )
        )

    def must_refuse(check, *arguments: object) -> None:
        nonlocal refused
        try:
            check(*arguments)
        except (VerificationError, ValueError):  # a ValueError where base64 or UTF-8 is none
            refused += 1
            return
        pytest.fail(f"{check.__name__} accepted what was changed")

    for log in given["logs"]:
        checkpoint = log["checkpoint"]
        for proof in log["inclusion"]:
            entry = entry_of(log, proof, checkpoint)
            verify_checkpoint(keyring, entry)
            verify_checkpoint(keyring, entry_of(log, proof, Path(log["folder"], "checkpoint").read_text()))
            verify_merkle_inclusion(entry)
            hashes = entry._inner.inclusion_proof.hashes
            for step, content in enumerate(hashes):
                for bit in _of_each_byte(content):
                    hashes[step] = _harmed(content, bit)
                    must_refuse(verify_merkle_inclusion, entry)
                hashes[step] = content
            body = entry._inner.canonicalized_body
            for bit in _of_each_byte(body):
                entry._inner.canonicalized_body = _harmed(body, bit)
                must_refuse(verify_merkle_inclusion, entry)
        for bit in range(8 * len(checkpoint.encode())):
            if not _is_overlooked_by_sigstore(checkpoint, bit):
                changed = _harmed(checkpoint.encode(), bit).decode(errors="replace")
                must_refuse(verify_checkpoint, keyring, entry_of(log, log["inclusion"][0], changed))
    assert refused > 15_000


def _is_overlooked_by_sigstore(checkpoint: str, bit: int) -> bool:
    """Return whether a bit is one that Sigstore does not read: it knows a key by its id and ignores the name there."""
    content = checkpoint.encode()
    first = content.rindex("\N{EM DASH} ".encode()) + len("\N{EM DASH} ".encode())
    return first <= bit // 8 < content.rindex(b" ") or _says_the_same(checkpoint, bit)


# ML-DSA-44, by an implementation in Python.


def test_another_ml_dsa_accepts_every_cosignature_and_refuses_changed_bits(cases):
    name, identifier, encoded = str(SIGNER.ml_dsa_44).split("+", 2)
    material = base64.b64decode(encoded)
    public = material[1:]
    assert (material[0], len(public)) == (0x06, 1312)
    assert hashlib.sha256(name.encode() + b"\n" + material).digest()[:4].hex() == identifier

    signed = []
    for log in json.loads(cases.read_text())["logs"]:
        body, _, lines = Path(log["folder"], "checkpoint").read_text().rpartition("\n\n")
        origin, size, root = body.split("\n")
        dash, cosigner, content = lines.split("\n")[1].split(" ")
        content = base64.b64decode(content)
        assert (dash, cosigner, content[:4].hex()) == ("\N{EM DASH}", name, identifier)
        time_s, signature = struct.unpack(">Q", content[4:12])[0], content[12:]
        assert time_s == TIME_S
        message = (
            b"subtree/v1\n\x00"
            + struct.pack(">B", len(cosigner.encode()))
            + cosigner.encode()
            + struct.pack(">Q", time_s)
            + struct.pack(">B", len(origin.encode()))
            + origin.encode()
            + struct.pack(">QQ", 0, int(size))
            + base64.b64decode(root)
        )
        assert ML_DSA_44.verify(public, message, signature)
        signed.append((message, signature))

    message, signature = signed[-1]
    for bit in _of_each_byte(message)[::3]:
        assert not ML_DSA_44.verify(public, _harmed(message, bit), signature)
    for bit in _of_each_byte(signature)[::49]:
        assert not ML_DSA_44.verify(public, message, _harmed(signature, bit))


def test_what_another_ml_dsa_signs_is_accepted_by_ours():
    public, secret = ML_DSA_44.key_derive(bytes(range(32)))
    message = b"subtree/v1\n\x00"

    MLDSA44PublicKey.from_public_bytes(public).verify(ML_DSA_44.sign(secret, message), message)


# Our own reader.


def test_our_reader_refuses_each_changed_bit_of_every_checkpoint(cases):
    given = json.loads(cases.read_text())
    trust = Trust(((parse_key(given["key"]), None),))
    for log in given["logs"]:
        content = log["checkpoint"].encode()
        assert trust.head(content.decode()) is not None
        changed = (_harmed(content, bit).decode(errors="replace") for bit in range(8 * len(content)))
        assert [text for text in changed if trust.head(text) is not None] == []


# What the specifications print, and Go's package.

EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n"
    "\n"
    "\N{EM DASH} example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
PETER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\N{EM DASH} PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
COSIGNED_EXAMPLE = (
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "\N{EM DASH} example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "\N{EM DASH} witness.example.com/w1 "
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)


@pytest.mark.parametrize(("key", "note"), [(EXAMPLE_KEY, EXAMPLE_NOTE), (PETER_KEY, PETER_NOTE)], ids=["c2sp", "go"])
def test_the_example_of_a_signed_note_is_read_and_its_signature_holds(key, note):
    known, read = parse_key(key), parse(note)

    assert str(known) == key
    assert read.body == note.rpartition("\n\n")[0] + "\n"
    Ed25519PublicKey.from_public_bytes(known.public).verify(read.signature_of(known), read.body.encode())


def test_the_example_of_a_cosigned_checkpoint_is_read():
    origin, head, note = read_checkpoint(COSIGNED_EXAMPLE)

    assert (origin, head.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert head.root.hex() == "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"
    assert [(one.name, one.key_id.hex(), len(one.content)) for one in note.signatures] == [
        ("example.com/behind-the-sofa", "033de0ae", 64),
        ("witness.example.com/w1", "8d66cf3f", 8 + 64),
    ]
    assert int.from_bytes(note.signatures[1].content[:8]) == 1_679_315_147
