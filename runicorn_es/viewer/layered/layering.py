"""Which layer each box stands in, once no link closes a cycle any more."""

from collections.abc import Iterable

from runicorn_es.viewer.shapes import Link


def acyclic(count: int, links: Iterable[Link]) -> list[Link]:
    """Return the links with those turned round that would close a cycle, found by a walk in depth."""
    links = list(links)
    after: list[list[int]] = [[] for _ in range(count)]
    for source, target in links:
        after[source].append(target)
    begun, done = [False] * count, [0] * count
    clock = 0
    for root in range(count):
        if begun[root]:
            continue
        begun[root] = True
        path = [(root, iter(after[root]))]
        while path:
            node, rest = path[-1]
            following = next((other for other in rest if not begun[other]), None)
            if following is None:
                path.pop()
                clock += 1
                done[node] = clock
            else:
                begun[following] = True
                path.append((following, iter(after[following])))
    # What is finished later comes before: a link that goes the other way closes a cycle.
    return [(target, source) if done[source] < done[target] else (source, target) for source, target in links]


def layers(count: int, forward: Iterable[Link]) -> list[int]:
    """Return the layer of each box: behind all that lead to it; and one that only leads on, beside its targets."""
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    for source, target in forward:
        if source != target:
            before[target].append(source)
            after[source].append(target)
    missing = [len(sources) for sources in before]
    line = [box for box in range(count) if not missing[box]]
    layer = [0] * count
    for box in line:  # grows while it is walked
        for other in after[box]:
            layer[other] = max(layer[other], layer[box] + 1)
            missing[other] -= 1
            if not missing[other]:
                line.append(other)
    for box in reversed(line):
        if len(after[box]) > len(before[box]):
            layer[box] = min(layer[other] for other in after[box]) - 1
    return layer
