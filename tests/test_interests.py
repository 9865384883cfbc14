"""What a follower wants to hear of, and what is wrong with what it wrote."""

import pytest

from golden.samples import SAMPLES
import runicorn_es as rn
from runicorn_es.interests import are_interested, name_in, parse_interest, parse_interests, want_pages


def heard(*texts: str) -> list[str]:
    interests = parse_interests(texts)
    types = {"resnet50-model": "model"}
    return [one.__struct_config__.tag for one in SAMPLES if are_interested(interests, one, types.get)]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["alias:production"], ["alias", "unalias"]),
        (["alias:resnet50-model:production"], ["alias", "unalias"]),
        (["alias:other:production"], []),
        (["event:version"], ["version"]),
        (["event:version", "event:use"], ["version", "use"]),
        (["event:file"], ["file"]),
        (["type:dataset"], []),
    ],
)
def test_only_what_one_of_them_covers_is_heard(texts, expected):
    assert heard(*texts) == expected


@pytest.mark.parametrize("text", ["artifact:resnet50-model", "type:model"])
def test_an_artifact_and_its_type_cover_all_that_happens_to_its_versions(text):
    of_it = [one.__struct_config__.tag for one in SAMPLES if name_in(one) == "resnet50-model"]
    assert heard(text) == of_it
    assert {"version", "alias", "delete", "purge", "metadata"} <= set(of_it)


def test_the_name_of_a_run_is_no_artifacts():
    assert "run" not in heard("artifact:resnet50")


@pytest.mark.parametrize("text", ["alias:production", "alias:m:best", "artifact:m", "type:model", "event:unalias"])
def test_an_interest_is_spelled_as_it_was_read(text):
    assert str(parse_interest(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alais:production", r"^'alais:production' says not .*; did you mean 'alias:production'; write alias:"),
        ("production", r"^'production' says not what to hear of; write alias:production, alias:NAME"),
        ("event:versoin", r"^'event:versoin': there is no event 'versoin'; did you mean 'version'; the events are"),
        ("event:batch", "there is no event 'batch'"),
        ("alias:latest", "^'alias:latest': the alias 'latest' is computed"),
        ("alias:", "^'alias:': alias ''"),
        ("type:Model", "^'type:Model': .*lower-case"),
        ("artifact:", "^'artifact:': .*empty"),
    ],
)
def test_what_is_wrong_with_one_is_said(text, message):
    with pytest.raises(rn.Rejected, match=message):
        parse_interests(["event:version", text])


def test_pages_are_looked_into_only_for_files():
    assert want_pages(())
    assert want_pages(parse_interests(["event:file"]))
    assert not want_pages(parse_interests(["event:version", "artifact:m"]))
