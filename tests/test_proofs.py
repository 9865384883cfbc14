"""Proof bundles: what they prove with the public key alone, and that no change of one proves anything."""

import json
import shutil

from msgspec.structs import replace
import pytest

import runicorn_es as rn
from runicorn_es import proofs
from runicorn_es.events import VersionCreated
from runicorn_es.proofs import Proven


@pytest.fixture
def store(tmp_path):
    (tmp_path / "model.pth").write_bytes(b"weights")
    with rn.open_store(tmp_path / "store") as opened:
        for _ in range(3):
            opened.log_artifact(rn.Artifact("m", "model").add_file(tmp_path / "model.pth"))
        yield opened


@pytest.fixture
def key(store):
    return store.verifier_keys()[0]


def proves(content: bytes, key: str) -> bool:
    try:
        return isinstance(proofs.verify(content, key), Proven)
    except (rn.Rejected, rn.TooNew):
        return False


def index_of_version(store, version: int) -> int:
    for record, events in store.events():
        if any(isinstance(event, VersionCreated) and event.version == version for event in events):
            return record.index
    raise AssertionError(version)


def test_every_record_can_be_proven_with_either_public_key_alone(store):
    for record, events in store.events():
        bundle = proofs.encode(store.prove(record.index))
        proven, proven_again = (proofs.verify(bundle, key) for key in store.verifier_keys())
        assert proven == proven_again
        assert (proven.index, proven.time_ns, proven.subject) == (record.index, record.time_ns, record.subject)
        assert proven.events == events


def test_a_proof_of_a_version_says_its_content_digest(store, key):
    proven = proofs.verify(proofs.encode(store.prove(index_of_version(store, 2))), key)

    [created] = [event for event in proven.events if isinstance(event, VersionCreated)]
    assert f"blake3:{created.digest.hex()}" == store.get("m:v2").digest


def test_a_log_that_grew_can_be_proven_to_continue_an_older_checkpoint(store, key):
    kept = store.checkpoint()
    store.alias("m", "production")

    proven = proofs.verify(proofs.encode(store.prove_since(kept)), key)

    assert proven.old_size == proven.size - 1


def test_a_log_that_does_not_continue_an_older_checkpoint_proves_nothing(store, key, tmp_path):
    shutil.copytree(store.layout.root, tmp_path / "copy")
    store.alias("m", "here")
    with rn.open_store(tmp_path / "copy") as other:
        other.alias("m", "there")
        continued = other.checkpoint()
        other.alias("m", "over-there")
        bundle = proofs.encode(replace(other.prove_since(continued), old=store.checkpoint()))

    with pytest.raises(rn.Rejected, match="forked"):
        proofs.verify(bundle, key)


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_no_changed_digit_of_a_bundle_proves_anything(store, key, kind):
    if kind == "inclusion":
        content = proofs.encode(store.prove(index_of_version(store, 2)))
    else:
        kept = store.checkpoint()
        store.alias("m", "production")
        content = proofs.encode(store.prove_since(kept))
    values = json.loads(content)
    changed_values = []
    for field, value in values.items():
        texts = value if isinstance(value, list) else [value]
        for number, text in enumerate(texts):
            for at in range(0, len(str(text)), 5):
                digit = str(text)[at]
                if digit.isalnum():
                    other = str(text)[:at] + ("1" if digit != "1" else "2") + str(text)[at + 1 :]
                    changed = int(other) if isinstance(text, int) else other
                    new = [*texts[:number], changed, *texts[number + 1 :]] if isinstance(value, list) else changed
                    changed_values.append({**values, field: new})

    # The note has a signature of each of the two keys, and a change of one of them is the other key's affair.
    for changed in changed_values:
        assert not all(proves(json.dumps(changed).encode(), one) for one in store.verifier_keys()), changed
    assert len(changed_values) > 50


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[" * 100_000, b'{"schema": "runicorn.inclusion/2"}', b"\xff\xfe", b"x" * 5_000_000],
    ids=["empty", "nothing", "deep", "another schema", "not text", "long"],
)
def test_what_is_no_bundle_is_refused(key, content):
    with pytest.raises(rn.Rejected, match="not"):
        proofs.verify(content, key)


def test_another_stores_key_proves_nothing(store, tmp_path):
    with rn.open_store(tmp_path / "other") as other:
        stranger = other.verifier_keys()[0]

    with pytest.raises(rn.Rejected, match="not signed with this key"):
        proofs.verify(proofs.encode(store.prove(0)), stranger)


def test_an_older_checkpoint_of_another_store_is_refused(store, tmp_path):
    with rn.open_store(tmp_path / "other") as other:
        foreign = other.checkpoint()

    with pytest.raises(rn.Rejected, match="not signed with this store's key"):
        store.prove_since(foreign)
