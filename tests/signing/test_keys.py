"""The key of a store: made once, for its owner alone, under a passphrase if so wished, and followed by another."""

import os
import stat

import msgspec
import pytest

from runicorn_es.errors import Damaged, Rejected
from runicorn_es.signing import Head, Keys, Retired
from runicorn_es.signing import keys as room
from runicorn_es.signing.note import ML_DSA_44

ORIGIN = "runicorn-es/00112233"
HEAD = Head(12, bytes(range(32)))


@pytest.fixture(autouse=True)
def _cheap_passphrases(monkeypatch):
    """Not a third of a second for each."""
    monkeypatch.setattr(room, "_SCRYPT_COST", 2)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "keys").mkdir()
    return tmp_path / "keys"


@pytest.fixture
def keys(folder):
    return Keys(folder, ORIGIN)


def signer(keys, passphrase=None):
    return keys.signer(os.urandom, lambda: passphrase)


def retire(keys, size=12, passphrase=None):
    """Have a new key follow; returns the old signer."""
    old = signer(keys, passphrase)
    seeds, _ = keys.successor(os.urandom)
    retired = Retired((str(old.ed25519), str(old.ml_dsa_44)), size, msgspec.Raw(b"{}"))
    keys.succeed(seeds, retired, lambda: passphrase, os.urandom)
    return old


def test_the_key_is_made_once_and_kept_for_its_owner_alone(keys, folder):
    made = signer(keys)

    assert signer(Keys(folder, ORIGIN)).ed25519 == made.ed25519
    assert signer(Keys(folder, ORIGIN)).ml_dsa_44 == made.ml_dsa_44
    assert stat.S_IMODE((folder / "signing.key").stat().st_mode) == 0o600


def test_in_a_store_of_a_group_the_group_signs(keys, folder):
    folder.chmod(0o770)
    old_mask = os.umask(0)
    try:
        signer(keys)
    finally:
        os.umask(old_mask)

    assert stat.S_IMODE((folder / "signing.key").stat().st_mode) == 0o660


@pytest.mark.parametrize("lost", ["ed25519.vkey", "mldsa44.vkey"])
def test_a_public_key_that_was_lost_is_written_anew(keys, folder, lost):
    made = signer(keys)
    (folder / lost).unlink()

    signer(Keys(folder, ORIGIN))

    assert keys.public() == str(made.ed25519)
    assert keys.public(ML_DSA_44) == str(made.ml_dsa_44)


def test_whoever_reads_believes_both_keys(keys):
    made = signer(keys)

    assert keys.trust().keys == ((made.ed25519, None), (made.ml_dsa_44, None))


def test_without_keys_nobody_is_believed(keys):
    assert keys.trust().keys == ()
    assert (keys.has_secret(), keys.retired()) == (False, [])


def test_a_key_under_a_passphrase_signs_for_whoever_knows_it(keys, folder):
    made = signer(keys)
    keys.set_passphrase(lambda: None, "rosebud", os.urandom)

    assert keys.is_locked()
    assert signer(Keys(folder, ORIGIN), "rosebud").ed25519 == made.ed25519
    assert made.ed25519.public not in (folder / "signing.key").read_bytes()
    with pytest.raises(Rejected, match="RUNICORN_KEY_PASSPHRASE"):
        signer(Keys(folder, ORIGIN))
    with pytest.raises(Rejected, match="not the passphrase"):
        signer(Keys(folder, ORIGIN), "rosebed")


def test_a_passphrase_is_changed_and_taken_off_by_whoever_knows_it(keys, folder):
    made = signer(keys)
    keys.set_passphrase(lambda: None, "one", os.urandom)
    keys.set_passphrase(lambda: "one", "two", os.urandom)

    with pytest.raises(Rejected):
        keys.set_passphrase(lambda: "one", None, os.urandom)
    keys.set_passphrase(lambda: "two", None, os.urandom)

    assert not keys.is_locked()
    assert signer(Keys(folder, ORIGIN)).ed25519 == made.ed25519


def test_a_locked_key_of_another_store_is_not_ours(keys, folder):
    signer(keys)
    keys.set_passphrase(lambda: None, "one", os.urandom)

    with pytest.raises(Rejected, match="not the passphrase"):
        signer(Keys(folder, "runicorn-es/ffff"), "one")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"{}",
        b'{"schema":"runicorn.signing-key/1","ed25519":"AA==","ml_dsa_44":"AA=="}',
        b'{"schema":"runicorn.signing-key/9"}',
        b'{"schema":"runicorn.locked-key/1","cost":1099511627776,"block":8,"salt":"AA==","nonce":"AA==","box":"AA=="}',
        b'{"schema":"runicorn.locked-key/1","cost":3,"block":8,"salt":"AA==","nonce":"AA==","box":"AA=="}',
    ],
)
def test_a_secret_that_cannot_be_read_is_damage(keys, folder, content):
    (folder / "signing.key").write_bytes(content)

    with pytest.raises(Damaged, match="put it back from a copy"):
        signer(keys, "x")


def test_a_successor_signs_from_then_on_and_the_old_secret_is_gone(keys, folder):
    before = (folder / "signing.key").read_bytes() if (folder / "signing.key").exists() else b""
    old = retire(keys)

    assert signer(keys).ed25519 != old.ed25519
    assert signer(Keys(folder, ORIGIN)).ed25519 == signer(keys).ed25519
    assert (folder / "signing.key").read_bytes() != before
    trust = Keys(folder, ORIGIN).trust()
    assert trust.head(old.sign(HEAD)) == HEAD
    assert trust.head(old.sign(Head(13, HEAD.root))) is None
    assert trust.head(signer(keys).sign(Head(13, HEAD.root))) == Head(13, HEAD.root)


def test_a_successor_is_under_the_passphrase_of_its_predecessor(keys, folder):
    signer(keys)
    keys.set_passphrase(lambda: None, "rosebud", os.urandom)
    retire(keys, passphrase="rosebud")

    assert Keys(folder, ORIGIN).is_locked()
    assert signer(Keys(folder, ORIGIN), "rosebud").ed25519 == signer(keys, "rosebud").ed25519


def test_another_process_signs_with_the_successor_too(keys, folder):
    elsewhere = Keys(folder, ORIGIN)
    signer(elsewhere)

    retire(keys)

    assert signer(elsewhere).ed25519 == signer(keys).ed25519


def test_a_rotation_that_died_before_its_last_step_retired_nothing(keys, folder):
    present = signer(keys)
    secret = (folder / "signing.key").read_bytes()
    retire(keys)
    (folder / "signing.key").write_bytes(secret)

    again = Keys(folder, ORIGIN)

    assert signer(again).ed25519 == present.ed25519
    assert again.retired() == []
    assert again.trust().head(present.sign(Head(99, HEAD.root))) == Head(99, HEAD.root)


def test_a_retired_key_that_cannot_be_read_is_damage(keys, folder):
    retire(keys)
    [path] = (folder / "retired").iterdir()
    path.write_text("{}")

    with pytest.raises(Damaged, match="take it from a copy"):
        keys.trust()
