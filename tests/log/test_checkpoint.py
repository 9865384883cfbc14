"""How far acknowledgement went, in a file that a flipped bit does not deceive."""

import base64
import stat

import pytest

from runicorn_es.log.checkpoint import Head, Signer, claimed_head, public_key, read_note, verified_head, verified_size

ORIGIN = "runicorn-es/00112233"
HEAD = Head(12, bytes(range(32)))


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "keys"
    folder.mkdir()
    return folder


@pytest.fixture
def checkpoint(tmp_path, keys):
    path = tmp_path / "checkpoint"
    path.write_text(Signer.load(keys, ORIGIN, bytes(32)).sign(HEAD))
    return path


def test_a_checkpoint_says_the_head_that_was_signed(checkpoint, keys):
    assert claimed_head(checkpoint, ORIGIN) == verified_head(checkpoint, keys, ORIGIN) == HEAD
    assert verified_size(checkpoint, keys, ORIGIN) == 12


def test_the_key_is_made_once_and_kept_for_its_owner_alone(keys):
    first = Signer.load(keys, ORIGIN, b"1" * 32)
    again = Signer.load(keys, ORIGIN, b"2" * 32)

    assert first.public == again.public
    assert stat.S_IMODE((keys / "ed25519.seed").stat().st_mode) == 0o600


def test_a_public_key_that_was_lost_is_written_anew(checkpoint, keys):
    (keys / "ed25519.vkey").unlink()
    assert verified_size(checkpoint, keys, ORIGIN) == 0

    Signer.load(keys, ORIGIN, b"unused")

    assert verified_size(checkpoint, keys, ORIGIN) == 12


def test_no_flipped_byte_leaves_a_checkpoint_that_proves_anything_else(checkpoint, keys):
    content = checkpoint.read_bytes()
    for at in range(len(content)):
        for change in (0x01, 0x02, 0x10, 0x80):
            harmed = bytearray(content)
            harmed[at] ^= change
            checkpoint.write_bytes(harmed)

            assert verified_head(checkpoint, keys, ORIGIN) in {None, HEAD}, (at, change)


def test_a_checkpoint_cut_anywhere_proves_nothing_else_and_raises_nothing(checkpoint, keys):
    content = checkpoint.read_bytes()
    for length in range(len(content) - 1):
        checkpoint.write_bytes(content[:length])

        assert verified_head(checkpoint, keys, ORIGIN) is None
        assert claimed_head(checkpoint, ORIGIN) in {None, HEAD}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"\n\n\n", b"x\n1\n\n\n\xe2\x80\x94 x y\n", b"9" * 100_000])
def test_noise_claims_nothing(checkpoint, keys, content):
    checkpoint.write_bytes(content)

    assert claimed_head(checkpoint, ORIGIN) is None
    assert verified_size(checkpoint, keys, ORIGIN) == 0


def test_a_checkpoint_of_another_store_or_key_proves_nothing(checkpoint, keys, tmp_path):
    other = tmp_path / "other keys"
    other.mkdir()
    Signer.load(other, ORIGIN, b"another seed of thirty-two bytes")

    assert verified_size(checkpoint, other, ORIGIN) == 0
    assert verified_size(checkpoint, keys, "runicorn-es/ffff") == 0
    assert claimed_head(checkpoint, "runicorn-es/ffff") is None
    assert read_note(checkpoint.read_text(), public_key(other)) is None


def test_without_files_nothing_is_claimed(tmp_path, keys):
    assert claimed_head(tmp_path / "missing", ORIGIN) is None
    assert verified_size(tmp_path / "missing", keys, ORIGIN) == 0


def test_a_note_is_read_with_nothing_but_the_public_key(checkpoint, keys):
    assert read_note(checkpoint.read_text(), public_key(keys)) == HEAD


def test_a_public_key_that_contradicts_itself_proves_nothing(checkpoint, keys):
    text = checkpoint.read_text()
    name, identifier, key = public_key(keys).split("+", 2)
    raw = base64.b64decode(key)

    def encoded(content: bytes) -> str:
        return base64.b64encode(content).decode()

    for wrong in (
        "",
        name,
        f"{name}+{identifier}",
        f"other+{identifier}+{key}",
        f"{name}+00000000+{key}",
        f"{name}+{identifier}+{encoded(bytes([2]) + raw[1:])}",
        f"{name}+{identifier}+{encoded(raw[:-1])}",
        f"{name}+{identifier}+{encoded(raw + b'more')}",
        f"{name}+{identifier}+{key[:-2]}",
        f"{name}+{identifier}+noise?",
    ):
        assert read_note(text, wrong) is None, wrong


@pytest.mark.parametrize("size", ["-1", "+12", "1_2", " 12", "12.0", "\N{ARABIC-INDIC DIGIT ONE}2", ""])
def test_a_size_is_written_in_plain_digits(checkpoint, size):
    origin, _, *rest = checkpoint.read_text().split("\n")
    checkpoint.write_text("\n".join([origin, size, *rest]))

    assert claimed_head(checkpoint, ORIGIN) is None


def test_a_root_that_is_no_hash_is_no_head(checkpoint):
    origin, size, _, *rest = checkpoint.read_text().split("\n")
    for root in (bytes(31), bytes(33), b""):
        checkpoint.write_text("\n".join([origin, size, base64.b64encode(root).decode(), *rest]))

        assert claimed_head(checkpoint, ORIGIN) is None
