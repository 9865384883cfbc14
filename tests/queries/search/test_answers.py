"""Search against a plain reading of the same queries, version by version, after random histories."""

from contextlib import suppress
from itertools import count
import json
import operator
from typing import Any

from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as some
import pytest

from given import SECOND_NS, State
from projections.test_past import ends, stopped
from runicorn_es import codec, dotted, names, queries, settings
from runicorn_es.commands import (
    Command,
    DeleteVersion,
    Describe,
    LogArtifact,
    Page,
    Purge,
    RemoveAlias,
    RestoreVersion,
    SetAlias,
    SetMetadata,
    SetTags,
    StartRun,
    UseArtifact,
)
from runicorn_es.decisions import decide
from runicorn_es.errors import BadQuery, Rejected
from runicorn_es.events import FileAdded
from runicorn_es.names import Reference
from runicorn_es.projections.rows import VERSIONS, VersionRow
from runicorn_es.queries import View
from runicorn_es.queries.search.grammar import And, Comparison, Not, Or, Words, parse

RUN = "20250901_103015_abc123"
NOW_NS = 1000 * SECOND_NS
NAMES = ("resnet", "bert")
VALUES = some.sampled_from(
    [0, 1, -1, 0.5, 1.0, 2**53 + 1, 10**30, True, False, None, "", "1", "ResNet50", "resnet", "x" * 30, [1, "a"], []]
)
OBJECTS = some.dictionaries(some.sampled_from(["lr", "arch", "type", "n"]), VALUES, max_size=3)
METADATA = some.dictionaries(some.sampled_from(["lr", "train", "train.lr", "tag"]), VALUES | OBJECTS, max_size=3)
TAGS = some.sets(some.sampled_from(["old", "new", "Production"]), max_size=2).map(lambda tags: tuple(sorted(tags)))
TEXTS = some.sampled_from(["", "a fine model", "Old " * 20])
REFERENCES = some.builds(
    lambda name, number: Reference(name, f"{name}:v{number}", version=number),
    some.sampled_from(NAMES),
    some.integers(1, 3),
)
FRESH = count()


def log(name: str, metadata: dict[str, Any], tags: tuple[str, ...], description: str, run: str | None) -> LogArtifact:
    file = FileAdded("f", next(FRESH).to_bytes(32, "big"), len(description))
    page = Page(codec.page_digest((file,)), (file,))
    text = json.dumps(metadata)
    kind = "model" if name == "resnet" else "dataset"
    return LogArtifact(name, kind, run, (page,), (), page.digest, text, tags, description, ())


LOGS = some.builds(log, some.sampled_from(NAMES), METADATA, TAGS, TEXTS, some.sampled_from([None, RUN]))
COMMANDS = some.one_of(
    LOGS,
    some.builds(SetTags, REFERENCES, TAGS, some.just(("old",))),
    some.builds(SetMetadata, REFERENCES, METADATA.map(json.dumps), some.just(("train.lr",))),
    some.builds(Describe, REFERENCES, TEXTS),
    some.builds(DeleteVersion, REFERENCES, some.none(), some.just(True)),
    some.builds(RestoreVersion, REFERENCES),
    some.builds(lambda reference: Purge((reference,), force=True), REFERENCES),
    some.builds(SetAlias, REFERENCES, some.sampled_from(["production", "best"])),
    some.builds(RemoveAlias, some.sampled_from(NAMES), some.just("best")),
    some.builds(UseArtifact, some.just(RUN), REFERENCES, some.none()),
)
# Enough versions for blocks, and then enough changes to have them made anew.
HISTORIES = some.builds(
    operator.add, some.lists(LOGS, min_size=5, max_size=7), some.lists(COMMANDS, min_size=6, max_size=16)
)
KEYS = some.sampled_from(
    ["lr", "arch", "train", "train.lr", "train.arch", "meta.tag", "meta.type", "train.n", "nothing"]
)
WORDS = some.sampled_from(
    ["1", "0.5", "-1", "1e30", str(2**53 + 1), str(10**30), "true", "null", "*", "Res*", "resnet", '"1"', '""']
)
TERMS = some.one_of(
    some.builds("{}{}{}".format, KEYS, some.sampled_from([":", "=", "!=", "~", "<", "<=", ">", ">="]), WORDS),
    some.builds(
        "{}{}{}".format,
        some.sampled_from(["name", "type", "tag", "alias", "description"]),
        some.sampled_from([":", "!=", "~"]),
        some.sampled_from(["resnet", "*e*", "*", "old", "production", '"*"', "model"]),
    ),
    some.builds(
        "{}{}{}".format,
        some.sampled_from(["version", "files", "size"]),
        some.sampled_from([":", "!=", "<", "<=", ">", ">="]),
        some.sampled_from(["1", "2", "12", "0"]),
    ),
    some.sampled_from(
        [
            "status:deleted",
            "status:any",
            "status!=live",
            "status:purged",
            f"run:{RUN}",
            "run:*",
            "run!=x",
            f"used-by:{RUN}",
            "used-by:*",
            "age<990s",
            "age>=995s",
            "created<2030",
            "digest:0",
            "resn",
            "OLD",
            '"fine model"',
        ]
    ),
)
QUERIES = some.recursive(
    TERMS,
    lambda parts: some.one_of(
        some.builds("-({})".format, parts),
        some.builds("({} {})".format, parts, parts),
        some.builds("({} OR {})".format, parts, parts),
    ),
    max_leaves=5,
)


@pytest.fixture(autouse=True, scope="module")
def _small_blocks():
    """Let a few versions make many blocks, and a few changes make them anew; and let cards hold little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "SEARCH_BLOCK_RECORDS", 7)
        patch.setattr(settings, "SEARCH_CHANGES_PER_BLOCK", 2)
        patch.setattr(settings, "SEARCH_LEAVES_MAX", 3)
        patch.setattr(settings, "SEARCH_DESCRIPTION_BYTES_MAX", 40)
        yield


def state_after(commands: list[Command]) -> State:
    state = State()
    for command in [StartRun(RUN, "p", None, "{}", (), "3", (), "/", None, None), *commands]:
        try:
            drafts = decide(command, state)
        except Rejected:
            continue
        if drafts:
            state.and_then(drafts)
    return state


class Plain:
    """A query read without an index: each version by itself, its details from the log."""

    def __init__(self, view: View, row: VersionRow) -> None:
        self.row = row
        self.tags = queries.tags(view, row)
        self.description = queries.description(view, row) or ""
        self.leaves = list(dotted.leaves(queries.metadata(view, row)))
        self.aliases = queries.aliases_of(view, row)
        self.users = [edge.run for edge in queries.used_by(view, row.name, row.version)]

    def is_meant(self, tree) -> bool:
        match tree:
            case And():
                return all(self.is_meant(part) for part in tree.parts)
            case Or():
                return any(self.is_meant(part) for part in tree.parts)
            case Not():
                return not self.is_meant(tree.part)
            case Words():
                text = tree.word.text.lower()
                return any(text in found.lower() for found in (self.row.name, self.description, *self.tags))
            case Comparison():
                if tree.operator == "!=":
                    there, equal = (
                        Comparison(tree.key, "=", word) for word in (tree.value.__class__("*", 0), tree.value)
                    )
                    return self.is_meant(there) and not self.is_meant(equal)
                return self.compares(tree.key.text, tree.operator, tree.value.text, tree.value.is_quoted)

    def compares(self, key: str, sign: str, text: str, is_quoted: bool) -> bool:
        row = self.row
        texts = {
            "name": [row.name],
            "type": [row.type],
            "tag": self.tags,
            "alias": self.aliases,
            "description": [self.description] * bool(self.description),
            "run": [row.run] * (row.run is not None),
            "used-by": self.users,
            "status": [row.status, "any", *(["live"] if row.status == "ready" else [])],
        }
        numbers = {"version": row.version, "files": row.file_count, "size": row.size_bytes}
        if key in texts:
            return any(self.is_text(found, sign, text, is_quoted) for found in texts[key])
        if key in numbers:
            return text == "*" or compare(numbers[key], sign, int(text))
        match key:
            case "age":
                return compare(NOW_NS - row.created_ns, sign, int(text.removesuffix("s")) * SECOND_NS)
            case "created":
                return True
            case "digest":
                return row.digest.hex().startswith(text)
        found = [value for leaf, value in self.leaves if leaf == key.removeprefix("meta.")]
        return any(self.is_value(value, sign, text, is_quoted) for value in found)

    def is_value(self, value: Any, sign: str, text: str, is_quoted: bool) -> bool:
        if text == "*" and not is_quoted and sign in (":", "="):
            return True
        wanted: Any = text
        if not is_quoted and sign != "~":
            if text in ("true", "null"):
                return sign in (":", "=") and value is {"true": True, "null": None}[text]
            try:
                wanted = int(text)
            except ValueError:
                try:
                    wanted = float(text)
                except ValueError:
                    wanted = text
        if isinstance(wanted, str):
            return isinstance(value, str) and self.is_text(value, sign, text, is_quoted)
        return isinstance(value, int | float) and not isinstance(value, bool) and compare(value, sign, wanted)

    def is_text(self, found: str, sign: str, text: str, is_quoted: bool) -> bool:
        if sign == "~":
            return text.lower() in found.lower()
        if sign not in (":", "=") or is_quoted or "*" not in text:
            return compare(found, sign, text)
        begin, *middle, end = text.split("*")
        return found.startswith(begin) and found.endswith(end) and all(part in found for part in middle)


def compare(found: Any, sign: str, wanted: Any) -> bool:
    signs = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
    return signs.get(sign, operator.eq)(found, wanted)


def plainly(state: State, query: str) -> set[str]:
    tree = parse(query)
    return {
        names.spec(row.name, row.version)
        for row in VERSIONS.scan(state.rows)
        if ("status" in query or row.status == "ready") and Plain(state, row).is_meant(tree)
    }


def specs(found) -> list[str]:
    return [names.spec(row.name, row.version) for row in found.rows]


def search(state: State, query: str, **options: Any):
    return queries.search(state, query, now_ns=NOW_NS, **options)


@examples(max_examples=30, deadline=None)
@given(commands=HISTORIES, asked=some.lists(QUERIES, min_size=1, max_size=8))
def test_an_answer_is_that_of_reading_every_version(commands, asked):
    state = state_after(commands)
    for query in asked:
        try:
            found = search(state, query)
        except BadQuery:
            # Neither is more or less than anything.
            assert "true" in query or "null" in query
            continue
        assert sorted(specs(found)) == sorted(plainly(state, query)), query
        assert found.total == len(found.rows)


@examples(max_examples=15, deadline=None)
@given(commands=HISTORIES, asked=some.lists(QUERIES, min_size=1, max_size=3))
def test_an_answer_as_of_the_past_is_that_of_a_store_that_was_stopped_there(commands, asked):
    state = state_after(commands)
    for size in ends(state):
        past, then = state.as_of(size), stopped(state, size)
        purged = {(row.name, row.version) for row in VERSIONS.scan(state.rows) if row.status == "purged"}
        for query in asked:
            with suppress(BadQuery):
                # What was purged since is a tombstone at every moment.
                wanted = [one for one in search(then, query).rows if (one.name, one.version) not in purged]
                found = search(past, query).rows
                if "status" in query:
                    found = [one for one in found if one.status != "purged"]
                assert found == wanted, (size, query)


@examples(max_examples=25, deadline=None)
@given(
    commands=HISTORIES,
    sort=some.sampled_from(
        [None, "created", "name", "-name", "size", "-version", "lr", "-lr", "train.lr", "-meta.tag"]
    ),
    limit=some.integers(1, 4),
)
def test_pages_together_are_the_whole_in_order(commands, sort, limit):
    state = state_after(commands)
    whole = specs(search(state, "status:any", sort=sort))
    pages: list[str] = []
    after = None
    while True:
        page = search(state, "status:any", sort=sort, limit=limit, after=after)
        assert page.total == len(whole)
        pages += specs(page)
        after = page.next
        if after is None:
            break
    assert pages == whole
    assert len(set(whole)) == len(whole)


@examples(max_examples=100, deadline=None)
@given(
    query=some.text(max_size=40) | some.text('ab:=<>~!-()" *."\\', max_size=25),
    sort=some.none() | some.text(max_size=5),
)
@example(query="created>9999-12-31", sort=None)
@example(query="files>" + "9" * 400, sort=None)
@example(query="size=" + "9" * 18 + "TB", sort=None)
@example(query="age<999999999999y", sort=None)
def test_any_text_is_answered_or_refused_with_a_place(query, sort):
    try:
        search(FEW, query, sort=sort)
    except Rejected as refused:
        place = getattr(refused, "place", None)
        is_placed = place is not None and 0 <= place <= len(query)
        if not is_placed and sort is None:
            raise


@given(after=some.text(max_size=60) | some.binary(max_size=40).map(lambda raw: raw.hex()))
def test_any_text_as_the_end_of_a_page_is_taken_or_refused(after):
    with pytest.raises(Rejected, match="no place to go on from"):
        search(FEW, "", after=after)


FEW = state_after([log("resnet", {"lr": 0.5, "a": [1, "x"]}, ("old",), "a fine model", RUN)])
