"""How things are spelled: names, types, aliases, tags, paths, references."""

import re
import unicodedata

from hypothesis import assume, example, given
from hypothesis import strategies as some
import pytest

from runicorn_es import names
from runicorn_es.errors import Rejected
from runicorn_es.names import Digest, Reference, parse_reference

CONTROLS = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) == "Cc"]


def is_accepted(parse, text):
    try:
        parse(text)
    except Rejected:
        return False
    return True


# Names of artifacts.


@pytest.mark.parametrize(
    "name", ["m", "resnet50-model", "a b", "größe", "模型", "v3", "latest", "a.b", ".hidden", "x@y"]
)
def test_a_name_is_any_text_that_could_be_a_folder(name):
    assert names.parse_name(name) == name


@pytest.mark.parametrize("character", '/\\:*?<>|"\0\n\x7f')
def test_a_name_with_an_invalid_character_is_refused_in_these_words(character):
    with pytest.raises(Rejected, match="invalid characters"):
        names.parse_name(f"a{character}b")


@pytest.mark.parametrize("parse", [names.parse_name, names.parse_path, names.parse_tag, names.parse_project])
def test_no_control_character_is_accepted_anywhere(parse):
    # Also not those beyond ASCII: 0x9b begins a terminal's command, 0x85 ends a line.
    assert [character for character in CONTROLS if is_accepted(parse, f"a{character}b")] == []


def test_a_name_has_at_most_128_characters():
    assert names.parse_name("é" * 128) == "é" * 128
    with pytest.raises(Rejected, match="129 characters"):
        names.parse_name("é" * 129)


@pytest.mark.parametrize("name", ["", " ", "\u3000", ".", "..", " a", "a "])
def test_a_name_that_is_no_name_is_refused(name):
    with pytest.raises(Rejected, match="artifact"):
        names.parse_name(name)


def test_a_name_is_the_same_however_its_accents_are_encoded():
    assert names.parse_name("e\u0301") == names.parse_name("\u00e9") == "\u00e9"


@pytest.mark.parametrize(
    "parse",
    [names.parse_name, names.parse_tag, names.parse_project, names.parse_path],
    ids=lambda parse: parse.__name__,
)
def test_what_is_not_unicode_is_refused(parse):
    with pytest.raises(Rejected, match="UTF-8"):
        parse("bad\udcff")


@given(some.text())
def test_a_name_that_was_accepted_is_accepted_as_it_is_spelled(text):
    assume(is_accepted(names.parse_name, text))
    name = names.parse_name(text)

    assert names.parse_name(name) == name
    assert not set(name) & set('/\\:*?<>|"')
    assert name.encode()


# Types, aliases, tags, projects, ids of runs.


@pytest.mark.parametrize("kind", [*names.TYPES, "checkpoint", "eval-2", "a_b", "x" * 64])
def test_a_type_is_one_of_five_or_another_lower_case_word(kind):
    assert names.parse_type(kind) == kind


@pytest.mark.parametrize("kind", ["", "Model", "my model", "modèle", "2d", "x" * 65, "model\n", "a/b"])
def test_what_is_not_a_lower_case_word_is_no_type(kind):
    with pytest.raises(Rejected, match=r"lower-case word.*model, dataset, config, code, custom"):
        names.parse_type(kind)


@pytest.mark.parametrize("alias", ["production", "v3-candidate", "2024-05", "v", "vx", "3", "a" * 128, "A.b_c+d"])
def test_an_alias_is_a_word(alias):
    assert names.parse_alias(alias) == alias


@pytest.mark.parametrize("alias", ["v3", "V3", "v0", "v00000000000000000000000003"])
def test_an_alias_that_reads_like_a_version_is_refused(alias):
    with pytest.raises(Rejected, match="reads like a version number"):
        names.parse_alias(alias)


def test_latest_cannot_be_set_as_an_alias():
    with pytest.raises(Rejected, match="computed"):
        names.parse_alias("latest")


@pytest.mark.parametrize("alias", ["", "a b", "a/b", "a:b", "-a", "é", "a" * 129, "a\n"])
def test_an_alias_has_no_other_characters(alias):
    with pytest.raises(Rejected, match="invalid characters"):
        names.parse_alias(alias)


@pytest.mark.parametrize("tag", ["production", "two words", "größe", "a/b:c", "x" * 128])
def test_a_tag_is_any_short_text(tag):
    assert names.parse_tag(tag) == tag


@pytest.mark.parametrize("parse", [names.parse_tag, names.parse_project])
@pytest.mark.parametrize("text", ["", "  ", "x" * 129, "line\nline", "\x1b[31mred"])
def test_a_tag_or_project_that_a_terminal_could_stumble_over_is_refused(parse, text):
    with pytest.raises(Rejected, match="1 to 128 characters and no control characters"):
        parse(text)


def test_a_slash_may_group_projects():
    assert names.parse_project("vision/resnet") == "vision/resnet"


@pytest.mark.parametrize("text", ["", "x", "20250901_103015", "20250901-103015-abc123", "20250901_103015_ABC123"])
def test_a_run_id_has_one_shape(text):
    assert names.parse_run_id("20250901_103015_abc123") == "20250901_103015_abc123"
    with pytest.raises(Rejected, match="20250901_103015_abc123"):
        names.parse_run_id(text)


# Paths inside an artifact.


@pytest.mark.parametrize("path", ["a", "a/b.c", "größe/模型.bin", "...", ".a", "a..b", "~", "-", "C:x", "x" * 255])
def test_a_path_is_relative_and_made_of_parts(path):
    assert names.parse_path(path) == path


@pytest.mark.parametrize(
    "path", ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "./a", "a/./b", "a\\b", "..\\a", "a\0"]
)
def test_a_path_that_could_lead_out_is_refused(path):
    with pytest.raises(Rejected, match="path"):
        names.parse_path(path)


def test_a_path_part_has_at_most_255_bytes_and_a_path_4096():
    with pytest.raises(Rejected, match="255 bytes"):
        names.parse_path("é" * 128)
    with pytest.raises(Rejected, match="4096 bytes"):
        names.parse_path("/".join(["x" * 255] * 17))
    longest = "/".join(["x" * 255] * 15 + ["x" * 127, "x" * 128])
    assert names.parse_path(longest) == longest
    assert len(longest) == 4096


def test_a_path_is_the_same_however_its_accents_are_encoded():
    assert names.parse_path("e\u0301/e\u0301") == "\u00e9/\u00e9"


@given(some.text(some.sampled_from("ab./\\é\u0301\0\n~"), max_size=12))
@example("a/b")
def test_a_path_that_was_accepted_stays_below_its_folder(text):
    assume(is_accepted(names.parse_path, text))
    path = names.parse_path(text)

    assert names.parse_path(path) == path
    assert all(part not in {"", ".", ".."} for part in path.split("/"))


# References.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m", Reference("m", "m")),
        ("m:latest", Reference("m", "m:latest")),
        ("m:v3", Reference("m", "m:v3", version=3)),
        ("m:V3", Reference("m", "m:V3", version=3)),
        ("m:production", Reference("m", "m:production", alias="production")),
        ("m:3", Reference("m", "m:3", alias="3")),
        ("m@c0ffee", Reference("m", "m@c0ffee", digest_prefix="c0ffee")),
        ("m@blake3:c0ffee", Reference("m", "m@blake3:c0ffee", digest_prefix="c0ffee")),
        ("user@host:v1", Reference("user@host", "user@host:v1", version=1)),
        ("user@host", Reference("user@host", "user@host")),
        ("e\u0301:v1", Reference("\u00e9", "e\u0301:v1", version=1)),
    ],
)
def test_a_reference_says_which_version_is_meant(text, expected):
    assert parse_reference(text) == expected


@pytest.mark.parametrize("text", ["", ":v1", "m:", "m:v1:v2", "m:a b", "a/b:v1", "m: v1", "m:v1 "])
def test_what_names_no_version_is_refused(text):
    with pytest.raises(Rejected):
        parse_reference(text)


def test_a_digest_prefix_of_fewer_than_four_digits_is_a_name():
    assert parse_reference("m@c0f") == Reference("m@c0f", "m@c0f")


@given(some.text(), some.integers(1, 10**17))
def test_how_a_version_is_spelled_is_how_it_is_found(text, number):
    assume(is_accepted(names.parse_name, text))
    name = names.parse_name(text)

    found = parse_reference(names.spec(name, number))

    assert (found.name, found.version, found.alias, found.digest_prefix) == (name, number, None, None)


@given(some.text(), some.from_regex(re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,9}"), fullmatch=True))
def test_an_alias_that_can_be_set_is_how_it_is_found(text, alias):
    assume(is_accepted(names.parse_name, text) and is_accepted(names.parse_alias, alias))
    name = names.parse_name(text)

    found = parse_reference(f"{name}:{alias}")

    assert (found.name, found.version, found.alias, found.digest_prefix) == (name, None, alias, None)


@given(some.binary(min_size=32, max_size=32), some.integers(4, 64))
def test_the_beginning_of_a_digest_is_how_it_is_found(raw, digits):
    prefix = Digest(raw).hex[:digits]

    assert parse_reference(f"m@{prefix}").digest_prefix == prefix
    assert parse_reference(f"m@blake3:{prefix}").digest_prefix == prefix


@given(some.text())
def test_parsing_a_reference_answers_or_rejects(text):
    if is_accepted(parse_reference, text):
        assert parse_reference(text).text == text


def test_digests_and_references_can_be_keys():
    assert {Digest(bytes(32)), Digest(bytes(32))} == {Digest(bytes(32))}
    assert {parse_reference("m:v1"), parse_reference("m:v1")} == {parse_reference("m:v1")}


def test_a_digest_is_spelled_with_its_kind():
    assert str(Digest(bytes(range(32)))) == f"blake3:{bytes(range(32)).hex()}"
