from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
import pytest

from runicorn_es.queries import Edge, Lineage, Node
from runicorn_es.viewer.layered.layering import acyclic
from runicorn_es.viewer.lineage import cut, draw, path
from runicorn_es.viewer.siblings import groups


def lineage(*steps, focus="data:v1", status=None):
    """Return a lineage of steps: a run's id, what it used, what it made. The focus has to be among them."""
    edges = []
    for run, used, made in steps:
        edges += [Edge(spec, run, "used") for spec in used] + [Edge(run, spec, "produced") for spec in made]
    distance = {focus: 0}
    for near in (line := [focus]):
        for edge in edges:
            for here, there in ((edge.source, edge.target), (edge.target, edge.source)):
                if here == near and there not in distance:
                    distance[there] = distance[here] + 1
                    line.append(there)
    return Lineage(focus, [node(name, distance[name], (status or {}).get(name)) for name in distance], edges)


def node(name, distance, status=None):
    if ":v" in name:
        return Node(name, "artifact", name, "model", status or "ready", distance)
    return Node(name, "run", name.rstrip("0123456789"), "demo", status or "finished", distance)


def drawing(found, *, is_clustered=True):
    return draw(found, link=lambda node: f"/at/{node.id}", all_siblings="?all", is_clustered=is_clustered)


def sweep(count):
    return [(f"sweep{number}", ["data:v1"], [f"model:v{number}"]) for number in range(1, count + 1)]


def test_five_siblings_are_one_shape_that_leads_to_all_of_them():
    shapes = drawing(lineage(*sweep(5))).shapes
    assert [(shape.label, shape.note, shape.href) for shape in shapes] == [
        ("data:v1", "model", "/at/data:v1"),
        ("sweep", "5 runs", "?all"),
        ("model", "5 versions", "?all"),
    ]


def test_four_siblings_stay_what_they_are():
    assert len(drawing(lineage(*sweep(4))).shapes) == 9


def test_asked_for_all_siblings_one_sees_all():
    found = drawing(lineage(*sweep(12)), is_clustered=False)
    assert len(found.shapes) == 25
    assert found.hidden == 0
    assert drawing(lineage(*sweep(12))).hidden == 22


def test_the_sibling_that_something_came_of_keeps_its_path():
    found = drawing(lineage(*sweep(9), ("deploy", ["model:v7"], [])))
    assert [shape.label for shape in found.shapes if shape.size == 1] == ["data:v1", "sweep", "model:v7", "deploy"]
    assert [(shape.label, shape.size) for shape in found.shapes if shape.size > 1] == [("sweep", 8), ("model", 8)]


def test_failed_runs_are_not_hidden_among_finished_ones():
    found = drawing(lineage(*sweep(9), status={"sweep3": "failed"}))
    assert [shape.state for shape in found.shapes if shape.look == "run"] == ["ready", "failed"]


def test_a_chain_of_versions_that_each_come_from_the_last_is_no_group():
    steps = [(f"tune{number}", ["data:v1", f"model:v{number}"], [f"model:v{number + 1}"]) for number in range(1, 9)]
    assert all(len(members) == 1 for members in groups(lineage(*steps)))


runs = st.lists(
    st.tuples(
        st.lists(st.integers(1, 30), max_size=3, unique=True), st.lists(st.integers(2, 30), max_size=2, unique=True)
    ),
    max_size=25,
)


@given(runs)
def test_drawing_siblings_as_one_never_closes_a_cycle(steps):
    found = lineage(
        *(
            (
                f"run{number}",
                [f"data:v{used}" for used in inputs],
                [f"data:v{made}" for made in outputs if made > max(inputs)],
            )
            for number, (inputs, outputs) in enumerate(steps)
            if inputs
        )
    )
    known = {node.id for node in found.nodes}
    found = Lineage(found.focus, found.nodes, [edge for edge in found.edges if edge.source in known])
    together = groups(found)
    group_of = {node.id: number for number, members in enumerate(together) for node in members}
    links = list(dict.fromkeys((group_of[edge.source], group_of[edge.target]) for edge in found.edges))
    assert acyclic(len(together), links) == links


@pytest.mark.parametrize(
    ("status", "state", "note"),
    [("ready", "ready", "model"), ("deleted", "deleted", "model · deleted"), ("purged", "purged", "model · purged")],
)
def test_what_became_of_a_version_is_said_in_words(status, state, note):
    shape = drawing(lineage(("run", ["data:v1"], []), status={"data:v1": status})).shapes[0]
    assert (shape.state, shape.note) == (state, note)
    assert status in shape.title or status == "ready"


@pytest.mark.parametrize(
    ("status", "state"), [("finished", "ready"), ("running", "running"), ("failed", "failed"), ("killed", "failed")]
)
def test_how_a_run_ended_is_said_in_words(status, state):
    shape = drawing(lineage(("run", ["data:v1"], []), status={"run": status})).shapes[1]
    assert shape.state == state
    assert (status in shape.note) == (state != "ready")


def test_the_focus_is_marked_and_nothing_else_is():
    found = drawing(lineage(*sweep(3)))
    assert [shape.is_focus for shape in found.shapes].count(True) == 1
    assert found.focus.is_focus
    assert "this version" in found.focus.title


def test_everything_is_inside_of_the_drawing():
    found = drawing(lineage(*sweep(3), ("merge", ["model:v1", "model:v2", "data:v1"], ["model:v9"])))
    for shape in found.shapes:
        assert 0 < shape.box.x < shape.box.right < found.width
        assert 0 < shape.box.y < shape.box.y + shape.box.height < found.height


def test_the_drawing_in_words_has_every_run_with_what_it_used_and_made():
    steps = drawing(lineage(("train", ["data:v1", "base:v1"], ["model:v1"]), ("evaluate", ["model:v1"], []))).steps
    assert [
        (step.run.label, [shape.label for shape in step.used], [shape.label for shape in step.made]) for step in steps
    ] == [("train", ["data:v1", "base:v1"], ["model:v1"]), ("evaluate", ["model:v1"], [])]


def test_a_version_alone_is_a_drawing_too():
    found = drawing(lineage())
    assert [shape.label for shape in found.shapes] == ["data:v1"]
    assert found.lines == found.steps == []


def test_a_long_name_is_cut_in_the_middle_and_keeps_its_version():
    assert cut("resnet50-imagenet-pretrained:v12", 22) == "resnet50-i…trained:v12"
    assert len(cut("x" * 500, 22)) == 22
    assert cut("short:v1", 22) == "short:v1"


def test_slanted_pieces_swing_and_turns_are_round():
    assert path([(0, 0), (100, 50)]) == "M0.0,0.0C50.0,0.0 50.0,50.0 100.0,50.0"
    assert path([(0, 0), (40, 0), (40, 40)]) == "M0.0,0.0L30.0,0.0Q40.0,0.0 40.0,10.0L40.0,40.0"
    assert path([(0, 0), (50, 0), (100, 0)]) == "M0.0,0.0L50.0,0.0L100.0,0.0"


def test_the_same_lineage_is_the_same_drawing():
    steps = [*sweep(9), *(("merge" + one, [f"model:v{one}", f"model:v{two}"], []) for one, two in pairwise("123456"))]
    assert drawing(lineage(*steps)) == drawing(lineage(*steps))
