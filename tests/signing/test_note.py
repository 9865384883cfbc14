"""Signed notes: one text for one note, and a key that is the one its text says."""

import base64

import pytest

from runicorn_es.signing.note import ED25519, ML_DSA_44, Note, Signature, VerifierKey, parse, parse_key, signature_line

KEY = VerifierKey("example.org/log", ED25519, bytes(range(32)))
OTHER = VerifierKey("example.org/log", ML_DSA_44, bytes(1312))
BODY = "example.org/log\n7\nanything\n"
TEXT = f"{BODY}\n{signature_line(KEY, b'signed')}{signature_line(OTHER, b'too')}"


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_a_note_is_a_text_and_its_signatures():
    note = parse(TEXT)

    assert note == Note(BODY, (Signature(KEY.name, KEY.key_id, b"signed"), Signature(OTHER.name, OTHER.key_id, b"too")))
    assert (note.signature_of(KEY), note.signature_of(OTHER)) == (b"signed", b"too")


def test_a_key_that_did_not_sign_has_no_signature():
    assert parse(TEXT).signature_of(VerifierKey(KEY.name, ED25519, bytes(32))) is None
    assert parse(TEXT).signature_of(VerifierKey("another", ED25519, KEY.public)) is None


def test_a_text_may_hold_empty_lines():
    body = "a\n\nb\n"
    assert parse(f"{body}\n{signature_line(KEY, b'x')}").body == body


@pytest.mark.parametrize(
    "text",
    [
        "",
        BODY,
        f"{BODY}\n",
        f"{BODY}\nno dash\n",
        TEXT[:-1],
        TEXT + "\n",
        TEXT.replace("\N{EM DASH}", "-"),
        f"{BODY}\n\N{EM DASH}  {encoded(bytes(9))}\n",
        f"{BODY}\n\N{EM DASH} name {encoded(bytes(4))}\n",
        f"{BODY}\n\N{EM DASH} name {encoded(bytes(9))} \n",
        f"{BODY}\n\N{EM DASH} name AAAAAAAB\n".replace("AAAAAAAB", "AAAAAAAA=="),
        f"{BODY}\n" + signature_line(KEY, b"x") * 17,
    ],
)
def test_what_is_no_note_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


@pytest.mark.parametrize("key", [KEY, OTHER, VerifierKey("n", ED25519, b"\xfb" * 32)], ids=["ed", "ml", "plus"])
def test_a_key_is_written_and_read(key):
    assert parse_key(str(key)) == key
    assert parse_key(f"{key}\n") == key


def test_a_key_that_contradicts_itself_is_refused():
    name, identifier, key = str(KEY).split("+", 2)
    raw = base64.b64decode(key)
    for wrong in (
        "",
        name,
        f"{name}+{identifier}",
        f"other+{identifier}+{key}",
        f"{name}+00000000+{key}",
        f"{name}+{identifier}+{encoded(bytes([2]) + raw[1:])}",
        f"{name}+{identifier}+{encoded(bytes([ML_DSA_44]) + raw[1:])}",
        f"{name}+{identifier}+{encoded(raw[:-1])}",
        f"{name}+{identifier}+{encoded(raw + b'more')}",
        f"{name}+{identifier}+{key[:-2]}",
        f"{name}+{identifier}+noise?",
        str(VerifierKey("", ED25519, KEY.public)),
        str(VerifierKey("a name", ED25519, KEY.public)),
        str(VerifierKey("n" * 256, ED25519, KEY.public)),
    ):
        with pytest.raises(ValueError, match=r".+"):
            parse_key(wrong)
