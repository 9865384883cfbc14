"""How far acknowledgement went, in a text that a flipped bit does not deceive, signed by keys that are believed."""

import base64

import pytest

from runicorn_es.signing import Head, Signer, Trust, claimed_head
from runicorn_es.signing.checkpoint import cosigned_message, read_checkpoint
from runicorn_es.signing.keys import Seeds

ORIGIN = "runicorn-es/00112233"
HEAD = Head(12, bytes(range(32)))
SIGNER = Signer(ORIGIN, Seeds(bytes(32), bytes(32)))
OTHER = Signer(ORIGIN, Seeds(b"1" * 32, b"2" * 32))
TRUST = Trust(((SIGNER.ed25519, None),))
POST_QUANTUM = Trust(((SIGNER.ml_dsa_44, None),))
SIGNED = SIGNER.sign(HEAD)
COSIGNED = SIGNED + SIGNER.cosign(HEAD, 1_700_000_000)


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "checkpoint"
    path.write_text(SIGNED)
    return path


def test_a_checkpoint_says_the_head_that_was_signed(checkpoint):
    assert claimed_head(checkpoint.read_bytes(), ORIGIN) == TRUST.head_in(checkpoint) == HEAD


def test_a_cosigned_checkpoint_is_proven_by_either_key():
    assert TRUST.head(COSIGNED) == POST_QUANTUM.head(COSIGNED) == HEAD
    assert POST_QUANTUM.head(SIGNED) is None


def test_a_checkpoint_is_smaller_than_a_sector_so_that_it_is_never_half_written():
    name = f"runicorn-es/{'f' * 32}"
    assert len(Signer(name, Seeds(bytes(32), bytes(32))).sign(Head(2**62, HEAD.root)).encode()) < 512


def test_the_cosigned_message_is_that_of_the_specification():
    assert cosigned_message("w", 1, "log", Head(2, HEAD.root)) == (
        b"subtree/v1\n\x00"
        b"\x01w"
        b"\x00\x00\x00\x00\x00\x00\x00\x01"
        b"\x03log"
        b"\x00\x00\x00\x00\x00\x00\x00\x00"
        b"\x00\x00\x00\x00\x00\x00\x00\x02" + HEAD.root
    )


@pytest.mark.parametrize(("text", "trust"), [(SIGNED, TRUST), (COSIGNED, POST_QUANTUM)], ids=["ed25519", "ml-dsa-44"])
def test_no_flipped_bit_leaves_a_checkpoint_that_proves_anything_else(text, trust):
    content = text.encode()
    # Of the long signature a bit in every byte that matters, of everything else each one.
    places = [*range(230), *range(230, len(content), 1 if trust is TRUST else 29)]
    for at in places:
        for change in (0x01, 0x02, 0x10, 0x80):
            harmed = bytearray(content)
            harmed[at : at + 1] = bytes([content[at] ^ change]) if at < len(content) else b""
            found = trust.head(harmed.decode(errors="replace"))
            assert found in {None, HEAD}, (at, change)


def test_a_checkpoint_cut_anywhere_proves_nothing_else_and_raises_nothing(checkpoint):
    content = SIGNED.encode()
    for length in range(len(content) - 1):
        checkpoint.write_bytes(content[:length])

        assert TRUST.head_in(checkpoint) is None
        assert claimed_head(checkpoint.read_bytes(), ORIGIN) in {None, HEAD}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"\n\n\n", b"x\n1\n\n\n\xe2\x80\x94 x y\n", b"9" * 100_000])
def test_noise_claims_nothing(checkpoint, content):
    checkpoint.write_bytes(content)

    assert claimed_head(checkpoint.read_bytes(), ORIGIN) is None
    assert TRUST.head_in(checkpoint) is None


def test_without_a_file_nothing_is_claimed(tmp_path):
    assert claimed_head(b"", ORIGIN) is None
    assert TRUST.head_in(tmp_path / "missing") is None


def test_a_checkpoint_of_another_store_or_key_proves_nothing(checkpoint):
    assert claimed_head(checkpoint.read_bytes(), "runicorn-es/ffff") is None
    assert Trust(((OTHER.ed25519, None),)).head(SIGNED) is None
    assert TRUST.head(Signer("another/log", Seeds(bytes(32), bytes(32))).sign(HEAD)) is None


def test_a_key_proves_nothing_under_a_log_of_another_name():
    body, _, signatures = OTHER.sign(HEAD).partition("\n\n")
    forged = f"{body}\n\n{signatures}".replace(ORIGIN, "another/log", 1)

    assert Trust(((OTHER.ed25519, None),)).head(forged) is None


def test_a_retired_key_proves_what_it_signed_until_then_and_nothing_beyond():
    trust = TRUST.and_then(OTHER.ed25519, 12)

    assert trust.head(SIGNED) == HEAD
    assert trust.head(SIGNER.sign(Head(13, HEAD.root))) is None
    assert trust.head(OTHER.sign(Head(13, HEAD.root))) == Head(13, HEAD.root)


def test_a_known_key_that_did_not_sign_what_it_is_said_to_have_signed_spoils_the_note():
    both = Trust(((SIGNER.ed25519, None), (SIGNER.ml_dsa_44, None)))
    forged = SIGNED + SIGNER.cosign(Head(13, HEAD.root), 1)

    assert TRUST.head(forged) == HEAD
    assert both.head(forged) is None


def test_a_successor_retires_only_the_key_of_its_own_algorithm():
    both = Trust(((SIGNER.ed25519, None), (SIGNER.ml_dsa_44, None)))
    trust = both.and_then(OTHER.ml_dsa_44, 12)

    assert trust.head(SIGNER.sign(Head(13, HEAD.root))) == Head(13, HEAD.root)


@pytest.mark.parametrize(
    "size", ["-1", "+12", "1_2", " 12", "12.0", "012", "\N{ARABIC-INDIC DIGIT ONE}2", "", "9" * 30]
)
def test_a_size_is_written_in_plain_digits(size):
    origin, _, *rest = SIGNED.split("\n")

    with pytest.raises(ValueError, match=r".+"):
        read_checkpoint("\n".join([origin, size, *rest]))


def test_a_root_that_is_no_hash_is_no_head():
    origin, size, _, *rest = SIGNED.split("\n")
    for root in (bytes(31), bytes(33), b""):
        with pytest.raises(ValueError, match="checkpoint"):
            read_checkpoint("\n".join([origin, size, base64.b64encode(root).decode(), *rest]))
