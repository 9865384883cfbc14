"""Lineage and impact: any history comes to an end with each node once, and what depends on a version is found."""

from collections import deque

from hypothesis import given as given_some
from hypothesis import strategies
import pydot
import pytest

from given import given
from runicorn_es import queries
from runicorn_es.errors import Unknown
from runicorn_es.events import (
    AliasProtected,
    AliasSet,
    RunFinished,
    RunPurged,
    RunStarted,
    VersionCreated,
    VersionDeleted,
    VersionPurged,
    VersionUsed,
)
from runicorn_es.queries import View

RUNS = [f"20250901_00000{number}_abcdef" for number in range(4)]
NAMES = ["a", "b"]


def started(run: str, name: str | None = None) -> RunStarted:
    return RunStarted(run, "vision", name, "{}", (), "3.11", ("train.py",), "/")


def created(name: str, version: int, run: str | None = None, kind: str = "model") -> VersionCreated:
    return VersionCreated(name, kind, version, run, bytes(32), (), (), 0, 0, 0)


@pytest.fixture
def history() -> View:
    """data:v1 → train → m:v1 (production), m:v2 (deleted); m:v1 → evaluate (failed) → report:v1."""
    return given(
        *[started(run, name) for run, name in zip(RUNS, ["train", "evaluate"], strict=False)],
        created("data", 1, kind="dataset"),
        VersionUsed(RUNS[0], "data", 1, "data"),
        created("m", 1, RUNS[0]),
        created("m", 2, RUNS[0]),
        RunFinished(RUNS[0], "finished"),
        AliasSet("m", "production", 1),
        AliasSet("m", "candidate", 2),
        AliasProtected("production", is_protected=True),
        VersionDeleted("m", 2),
        VersionUsed(RUNS[1], "m", 1, "m:production"),
        created("report", 1, RUNS[1], "custom"),
        AliasSet("report", "shown", 1),
        RunFinished(RUNS[1], "failed"),
    )


def impact(view: View, name: str = "data", **options: object) -> queries.Impact:
    return queries.impact(view, queries.version(view, name, 1), **options)


# Any history.

_STEPS = strategies.lists(
    strategies.tuples(strategies.sampled_from(["use", "make"]), strategies.integers(0, 3), strategies.integers(0, 30)),
    max_size=30,
)


def anything(steps: list[tuple[str, int, int]]) -> tuple[View, list[tuple[str, int]], set[tuple[str, str]]]:
    """Return a history of runs that use and make whatever, also what they made themselves, and its arrows."""
    view = given(*map(started, RUNS), created("a", 1))
    versions, arrows, numbers = [("a", 1)], set(), {"a": 1, "b": 0}
    for verb, run, choice in steps:
        if verb == "use":
            name, version = versions[choice % len(versions)]
            view.and_then(VersionUsed(RUNS[run], name, version, name))
            arrows.add((f"{name}:v{version}", RUNS[run]))
        else:
            name = NAMES[choice % 2]
            numbers[name] += 1
            view.and_then(created(name, numbers[name], RUNS[run]))
            versions.append((name, numbers[name]))
            arrows.add((RUNS[run], f"{name}:v{numbers[name]}"))
    return view, versions, arrows


def reached(start: str, arrows: set[tuple[str, str]]) -> set[str]:
    found, waiting = {start}, deque([start])
    while waiting:
        here = waiting.popleft()
        for target in {target for source, target in arrows if source == here} - found:
            found.add(target)
            waiting.append(target)
    return found


@given_some(_STEPS, strategies.integers(0, 30))
def test_any_history_comes_to_an_end_with_each_node_once_and_none_left_out(steps, choice):
    view, versions, arrows = anything(steps)
    name, version = versions[choice % len(versions)]
    row, focus = queries.version(view, name, version), f"{name}:v{version}"
    backwards = {(target, source) for source, target in arrows}
    expected = {"downstream": reached(focus, arrows), "upstream": reached(focus, backwards)}

    for direction, ids in expected.items():
        found = queries.lineage(view, row, direction=direction)
        assert sorted(node.id for node in found.nodes) == sorted(ids)
        assert {(edge.source, edge.target) for edge in found.edges} <= arrows
        assert len(set(found.edges)) == len(found.edges)
    both = queries.lineage(view, row)
    assert sorted(node.id for node in both.nodes) == sorted(expected["upstream"] | expected["downstream"])


@given_some(_STEPS, strategies.integers(0, 30), strategies.none() | strategies.integers(0, 3))
def test_the_tree_of_any_history_shows_each_node_with_its_branches_once(steps, choice, limit):
    view, versions, _ = anything(steps)
    row = queries.version(view, *versions[choice % len(versions)])

    for direction in ("upstream", "downstream"):
        found = queries.lineage(view, row, direction=direction, limit=limit)
        lines = found.tree().split("\n")
        assert {node.id for node in found.nodes} == {line.strip(" ├└│─").split(" ")[0] for line in lines} - {
            "made",
            "used",
        }
        # A line for each arrow, the focus, and a title; no arrow is shown twice.
        assert len(lines) <= 2 + len(found.edges)


# As text.


def test_a_tree_is_drawn_in_both_directions_from_one_answer(history):
    assert queries.lineage(history, queries.version(history, "m", 1)).tree().split("\n") == [
        "m:v1",
        "made from",
        f"└── {RUNS[0]} (train, finished)",
        "    └── data:v1",
        "used for",
        f"└── {RUNS[1]} (evaluate, failed)",
        "    └── report:v1",
    ]


def test_what_was_deleted_or_purged_and_how_runs_ended_is_shown(history):
    history.and_then(VersionPurged("report", 1, ()), RunPurged(RUNS[1], ()))

    tree = queries.lineage(history, queries.version(history, "data", 1)).tree(queries.ASCII)

    assert tree.split("\n") == [
        "data:v1",
        "used for",
        f"`-- {RUNS[0]} (train, finished)",
        "    |-- m:v1",
        f"    |   `-- {RUNS[1]} (purged, failed)",
        "    |       `-- report:v1 (purged)",
        "    `-- m:v2 (deleted)",
    ]


@pytest.mark.filterwarnings("ignore:.* deprecated - use")
def test_the_graph_in_dot_has_the_nodes_and_the_arrows(history):
    found = queries.lineage(history, queries.version(history, "data", 1))

    [graph] = pydot.graph_from_dot_data(found.to_dot())

    nodes = {node.get_name(): node for node in graph.get_nodes() if node.get_name() != "node"}
    labels = {name: node.get("label").strip('"').split("\\n")[0] for name, node in nodes.items()}
    assert {(labels[edge.get_source()], labels[edge.get_destination()]) for edge in graph.get_edges()} == {
        (edge.source, edge.target) for edge in found.edges
    }
    looks = {labels[name]: (node.get("style"), node.get("color")) for name, node in nodes.items()}
    assert looks["data:v1"] == ('"bold"', None)
    assert looks["m:v2"] == ('"dashed"', None)
    assert looks[RUNS[1]] == (None, '"red"')


# Impact.


def test_an_impact_is_all_that_was_made_with_a_version_and_the_aliases_it_reaches(history):
    found = impact(history)

    assert [str(alias) for alias in found.aliases] == [
        "m:production (v1), protected",
        "m:candidate (v2)",
        "report:shown (v1)",
    ]
    assert (found.versions, found.gone, found.by_type) == (3, 1, {"custom": 1, "model": 1})
    assert (found.runs, found.failed_runs) == (2, 1)
    assert [node.id for node in found.nodes] == [RUNS[0], "m:v1", "m:v2", RUNS[1], "report:v1"]
    assert not found.is_cut


def test_an_alias_of_the_version_itself_is_reached_and_one_upstream_is_not(history):
    history.and_then(AliasSet("data", "golden", 1))

    assert [(alias.spec, alias.distance) for alias in impact(history, "m").aliases] == [
        ("m:production", 0),
        ("report:shown", 2),
    ]


def test_pages_of_an_impact_follow_each_other_and_its_aliases_stay_whole(history):
    whole = impact(history)
    pages, after = [], None
    while True:
        page = impact(history, after=after, limit=2)
        assert (page.aliases, page.versions, page.runs) == (whole.aliases, whole.versions, whole.runs)
        pages += page.nodes
        if not page.is_cut:
            break
        after = page.nodes[-1].id

    assert pages == whole.nodes
    with pytest.raises(Unknown, match="'x:v1' does not depend on data:v1"):
        impact(history, after="x:v1")


def test_nothing_depends_on_what_nobody_used(history):
    found = impact(history, "report")

    assert (found.versions, found.runs, found.nodes, found.is_cut) == (0, 0, [], False)
