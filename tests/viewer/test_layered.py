from itertools import pairwise
import random

from hypothesis import given
from hypothesis import strategies as st

from runicorn_es.viewer.layered import layout
from runicorn_es.viewer.layered.layering import acyclic
from runicorn_es.viewer.layered.places import settle
from runicorn_es.viewer.layered.slots import WAYPOINTS_MAX
from runicorn_es.viewer.shapes import Box, Layout

SIZE = (200.0, 44.0)


@st.composite
def graphs(draw, *, with_cycles=False):
    count = draw(st.integers(0, 25))
    if count < 2:
        return count, []
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    links = draw(st.lists(ends, max_size=60))
    return count, links if with_cycles else [(min(ends), max(ends)) for ends in links if ends[0] != ends[1]]


def laid_out(count, links) -> Layout:
    return layout([SIZE] * count, links)


def overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.right and other.x < one.right and one.y < other.y + other.height and other.y < one.y + one.height
    )


def has_overlaps(boxes: list[Box]) -> bool:
    return any(overlap(one, other) for number, one in enumerate(boxes) for other in boxes[:number])


def random_lineage(count, seed=0):
    """Runs that use some of the newest versions and make new ones."""
    chance = random.Random(seed)
    links, versions, number = [], [0], 1
    while number < count:
        run, number = number, number + 1
        links += [(version, run) for version in set(chance.choices(versions[-40:], k=chance.choice([1, 1, 2, 3])))]
        for _ in range(chance.choice([1, 1, 2])):
            if number < count:
                links.append((run, number))
                versions.append(number)
                number += 1
    return links


@given(graphs())
def test_boxes_do_not_overlap(graph):
    assert not has_overlaps(laid_out(*graph).boxes)


@given(graphs())
def test_every_link_runs_from_left_to_right(graph):
    count, links = graph
    found = laid_out(count, links)
    for (source, target), line in zip(links, found.lines, strict=True):
        assert line[0] == (found.boxes[source].right, found.boxes[source].middle)
        assert line[-1] == (found.boxes[target].x, found.boxes[target].middle)
        assert all(here[0] <= there[0] for here, there in pairwise(line))


@given(graphs())
def test_no_link_runs_through_a_box(graph):
    count, links = graph
    found = laid_out(count, links)
    for line in found.lines:
        for (x, y), (end, level) in pairwise(line):
            level_through = [box for box in found.boxes if y == level and box.x < end and x < box.right]
            assert not any(box.y < y < box.y + box.height for box in level_through)
            if y != level:
                assert not any(box.x < end and x < box.right for box in found.boxes)


@given(graphs(with_cycles=True))
def test_cycles_and_links_to_oneself_are_drawn_as_well(graph):
    count, links = graph
    found = laid_out(count, links)
    assert not has_overlaps(found.boxes)
    assert all(len(line) >= 2 for line in found.lines)


@given(graphs(with_cycles=True))
def test_the_same_graph_looks_the_same(graph):
    assert laid_out(*graph) == laid_out(*graph)


@given(graphs(with_cycles=True))
def test_turning_links_round_leaves_no_cycle(graph):
    count, links = graph
    left = {(source, target) for source, target in acyclic(count, links) if source != target}
    while left:
        ends = {source for source, _ in left} - {target for _, target in left}
        assert ends
        left = {(source, target) for source, target in left if source not in ends}


def test_a_graph_without_a_cycle_keeps_its_links():
    links = random_lineage(200)
    assert acyclic(200, links) == links


def test_a_chain_is_one_straight_line():
    found = laid_out(6, list(pairwise(range(6))))
    assert len({box.y for box in found.boxes}) == 1


def test_a_link_over_several_layers_goes_round_the_boxes_between_and_straight_on():
    found = laid_out(5, [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)])
    levels = {y for _, y in found.lines[-1][1:-1]}
    assert len(levels) == 1
    assert levels != {found.boxes[2].middle}


def test_two_that_would_cross_change_places():
    found = laid_out(4, [(0, 3), (1, 2)])
    assert (found.boxes[0].y < found.boxes[1].y) == (found.boxes[3].y < found.boxes[2].y)


def test_five_thousand_boxes_are_laid_out_without_overlaps():
    found = laid_out(5000, random_lineage(5000))
    by_column = sorted(found.boxes, key=lambda box: (box.x, box.y))
    assert not any(overlap(one, other) for one, other in pairwise(by_column))


def test_where_waypoints_would_be_too_many_the_longest_links_have_none():
    count = 400
    links = [*pairwise(range(count)), *((number, count - 1) for number in range(count - 2))]
    assert sum(target - source - 1 for source, target in links) > WAYPOINTS_MAX
    found = laid_out(count, links)
    assert len(found.lines[count - 1]) == 2
    assert len(found.lines[-1]) > 2


@given(
    st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(0.01, 10), st.floats(0, 100)), max_size=30),
)
def test_what_is_settled_keeps_its_distances(slots):
    offsets = [sum(distance for *_, distance in slots[:number]) for number in range(len(slots))]
    found = settle([want for want, *_ in slots], [weight for _, weight, _ in slots], offsets)
    for (upper, lower), (start, end) in zip(pairwise(found), pairwise(offsets), strict=True):
        assert lower - upper >= end - start - 1e-6


def test_what_is_possible_stays_as_it_is_wanted():
    assert settle([0.0, 50.0, 90.0], [1.0, 1.0, 1.0], [0.0, 40.0, 80.0]) == [0.0, 50.0, 90.0]


def test_what_is_wanted_by_two_is_shared_by_weight():
    assert settle([10.0, 10.0], [3.0, 1.0], [0.0, 40.0]) == [0.0, 40.0]
