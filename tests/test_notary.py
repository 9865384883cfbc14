"""What a store shows to others: checkpoints that are cosigned, forks, keys that follow each other, the log as tiles."""

import shutil
import struct

import msgspec
import pytest

from given import version
import runicorn_es as rn
from runicorn_es import merkle, proofs
from runicorn_es.ambient import SYSTEM
from runicorn_es.events import KeyRotated
from runicorn_es.signing import Trust
from runicorn_es.signing import keys as signing_keys
from runicorn_es.signing.note import parse_key


@pytest.fixture
def store(tmp_path):
    with rn.open_store(tmp_path / "store") as opened:
        version(opened)
        yield opened


@pytest.fixture
def copy(store, tmp_path):
    """Another copy of the store, open too."""
    shutil.copytree(store.layout.root, tmp_path / "copy")
    with rn.open_store(tmp_path / "copy") as opened:
        yield opened


def trusting(key: str) -> Trust:
    return Trust(((parse_key(key), None),))


def bundle(proof) -> bytes:
    return proofs.encode(proof)


# Checkpoints.


def test_a_checkpoint_is_signed_with_one_key_and_cosigned_with_the_other(store):
    heads = [trusting(key).head(store.checkpoint()) for key in store.verifier_keys()]

    assert heads[0] == heads[1]
    assert heads[0].size == sum(1 for _ in store.events())


def test_a_read_only_store_hands_out_what_was_signed(store):
    with rn.open_store(store.layout.root, read_only=True) as reading:
        assert reading.checkpoint() == store.layout.checkpoint.read_text()
        assert proofs.verify(bundle(reading.prove(0)), store.verifier_keys()[0]).index == 0


def test_the_file_in_the_store_stays_as_small_as_a_sector(store):
    store.checkpoint()
    store.rotate_key()

    assert store.layout.checkpoint.stat().st_size < 512


# Forks.


def test_two_copies_that_both_went_on_are_proven_to_have_forked(store, copy):
    parted = sum(1 for _ in store.events())
    store.alias("m", "here")
    copy.alias("m", "there")
    copy.alias("m", "over-there")

    for proof in (store.prove_fork(copy.layout.root), copy.prove_fork(store.layout.root)):
        proven = proofs.verify(bundle(proof), store.verifier_keys()[0])
        assert (proven.kind, proven.index) == ("fork", parted)
        assert {proven.size, proven.other_size} == {parted + 1, parted + 2}


def test_a_copy_that_only_lags_behind_is_no_fork(store, copy, tmp_path):
    store.alias("m", "here")

    with pytest.raises(rn.Rejected, match="the longer one continues the other"):
        store.prove_fork(copy.layout.root)
    with rn.open_store(tmp_path / "other") as other, pytest.raises(rn.Rejected, match="another store"):
        store.prove_fork(other.layout.root)


def test_a_fork_says_so_where_an_older_checkpoint_is_asked_about(store, copy):
    store.alias("m", "here")
    copy.alias("m", "there")

    with pytest.raises(rn.Damaged, match=r"forked.*prove --fork"):
        store.prove_since(copy.checkpoint())


def test_the_same_record_twice_proves_no_fork(store, copy):
    store.alias("m", "here")
    copy.alias("m", "there")
    proof = store.prove_fork(copy.layout.root)

    for wrong in (msgspec.structs.replace(proof, theirs=proof.ours), proofs.Fork(store.prove(0), store.prove(1))):
        with pytest.raises(rn.Rejected, match="no fork"):
            proofs.verify(bundle(wrong), store.verifier_keys()[0])


# Keys.


def test_whoever_trusts_the_first_key_is_led_to_the_third(store):
    first = store.verifier_keys()
    kept = store.checkpoint()
    store.rotate_key()
    second = store.verifier_keys()
    store.alias("m", "between")
    store.rotate_key()
    store.alias("m", "after")

    for key in (*first, *second, *store.verifier_keys()):
        assert proofs.verify(bundle(store.prove(1)), key).index == 1
    for key in first:
        assert proofs.verify(bundle(store.prove_since(kept)), key).kind == "consistency"
    assert store.audit(deep=True, tables=True).findings == []


def test_a_rotation_is_in_the_log_and_the_old_key_signed_it(store):
    old = store.verifier_keys()
    store.rotate_key()

    [event] = [event for _, events in store.events() for event in events if isinstance(event, KeyRotated)]
    assert (event.ed25519, event.ml_dsa_44) == store.verifier_keys()
    assert set(old).isdisjoint(store.verifier_keys())


def test_a_proof_leads_nobody_to_a_key_that_was_not_named(store, copy):
    """Somebody who has a copy, but not the key, puts a key of their own in its place."""
    trusted = store.verifier_keys()[0]
    copy.close()
    shutil.rmtree(copy.layout.keys)
    copy.layout.keys.mkdir()
    copy.layout.checkpoint.unlink()
    with rn.open_store(copy.layout.root) as forged:
        forged.alias("m", "evil")
        forged.rotate_key()
        proof = forged.prove(1)

    with pytest.raises(rn.Rejected, match="not signed with this key"):
        proofs.verify(bundle(proof), trusted)


def test_a_stolen_key_signs_nothing_after_it_was_retired(store, copy):
    trusted = store.verifier_keys()[0]
    store.rotate_key()
    copy.alias("m", "evil")
    copy.alias("m", "more-evil")
    forged = msgspec.structs.replace(copy.prove(1), endorsements=store.prove(1).endorsements)

    with pytest.raises(rn.Rejected, match="not signed with this key"):
        proofs.verify(bundle(forged), trusted)


def test_a_bundle_with_thousands_of_endorsements_is_refused_at_once(store):
    key = store.verifier_keys()[0]
    store.rotate_key()
    proof = store.prove(1)
    padded = msgspec.structs.replace(proof, endorsements=proof.endorsements * 65)

    with pytest.raises(rn.Rejected, match="65 endorsements"):
        proofs.verify(bundle(padded), key)


def test_a_rotation_that_died_is_done_again(store, monkeypatch):
    kept = store.checkpoint()
    trusted = store.verifier_keys()[0]

    def die(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(signing_keys.Keys, "succeed", die)
    with pytest.raises(KeyboardInterrupt):
        store.rotate_key()
    monkeypatch.undo()

    with rn.open_store(store.layout.root) as again:
        assert again.verifier_keys()[0] == trusted
        again.alias("m", "meanwhile")
        again.rotate_key()
        assert proofs.verify(bundle(again.prove_since(kept)), trusted).kind == "consistency"
        assert again.audit().findings == []


def test_without_the_passphrase_nothing_is_written_and_everything_read(store, monkeypatch):
    monkeypatch.setattr(signing_keys, "_SCRYPT_COST", 2)
    store.set_passphrase("rosebud")
    size = sum(1 for _ in store.events())

    with rn.open_store(store.layout.root) as other:
        assert [row.version for row in other.versions("m")] == [1]
        with pytest.raises(rn.Rejected, match="RUNICORN_KEY_PASSPHRASE"):
            other.alias("m", "production")
        assert sum(1 for _ in other.events()) == size
        monkeypatch.setenv("RUNICORN_KEY_PASSPHRASE", "rosebud")
        other.alias("m", "production")
    known = msgspec.structs.replace(SYSTEM, passphrase=lambda: "rosebud")
    with rn.Store(store.layout.root, ambient=known) as other:
        other.set_passphrase(None)
    monkeypatch.delenv("RUNICORN_KEY_PASSPHRASE")
    with rn.open_store(store.layout.root) as other:
        other.alias("m", "staging")


# The log as a static transparency log.


def test_the_exported_tiles_have_the_root_that_the_checkpoint_says(store, tmp_path):
    done = store.export_tiles(tmp_path / "tiles")

    content = (tmp_path / f"tiles/tile/0/000.p/{done.size}").read_bytes()
    leaves = [content[at : at + 32] for at in range(0, len(content), 32)]
    head = trusting(store.verifier_keys()[0]).head((tmp_path / "tiles" / "checkpoint").read_text())
    assert (head.size, head.root) == (
        done.size,
        merkle.root(leaves),
    )


def test_the_exported_entries_are_the_headers_of_the_records(store, tmp_path):
    done = store.export_tiles(tmp_path / "tiles")

    content = (tmp_path / f"tiles/tile/entries/000.p/{done.size}").read_bytes()
    headers = []
    while content:
        [length] = struct.unpack_from(">H", content)
        headers.append(content[2 : 2 + length])
        content = content[2 + length :]
    assert [merkle.leaf_hash(header) for header in headers] == [record.leaf for record, _ in store.events()]


def test_an_export_adds_to_what_is_there(store, tmp_path):
    store.export_tiles(tmp_path / "tiles")
    before = store.export_tiles(tmp_path / "tiles")
    store.alias("m", "production")
    after = store.export_tiles(tmp_path / "tiles")

    assert (before.written, after.written, after.size - before.size) == (1, 3, 1)


def test_an_export_over_that_of_another_log_is_refused(store, tmp_path):
    store.export_tiles(tmp_path / "tiles")
    kept = (tmp_path / "tiles" / "checkpoint").read_text()
    with rn.open_store(tmp_path / "other") as other:
        version(other)
        other.alias("m", "a")
        with pytest.raises(rn.Rejected, match="another log"):
            other.export_tiles(tmp_path / "tiles")

    assert (tmp_path / "tiles" / "checkpoint").read_text() == kept


def test_an_export_over_what_is_no_export_or_was_changed_is_refused(store, tmp_path):
    store.export_tiles(tmp_path / "tiles")
    [tile] = (tmp_path / "tiles/tile/0/000.p").iterdir()
    tile.write_bytes(bytes(32))
    with pytest.raises(rn.Rejected, match="was changed"):
        store.export_tiles(tmp_path / "tiles")
    (tmp_path / "tiles" / "checkpoint").write_text("mine")
    with pytest.raises(rn.Rejected, match="cannot be read"):
        store.export_tiles(tmp_path / "tiles")
