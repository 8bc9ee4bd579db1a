"""Entity graphs of reports by the rewards of radgraph 0.1.18, faults included."""

from collections.abc import Callable, Mapping, Sequence

from rrg.formats.graph_rows import Graph
from rrg.formats.items import Item
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import Scored

EMPTY = "either graph empty scores 0, also when both are"
CASE = "tokens are lower-cased only where there is a relation, so this can exceed simple"


def simple(graph: Graph) -> set[tuple[str, ...]]:
    """(tokens, label) of every entity."""
    return {(each.tokens, each.label) for each in graph}


def partial(graph: Graph) -> set[tuple[str, ...]]:
    """(tokens, label), and a mark on entities with a relation."""
    return {(each.tokens, each.label, *(["related"] if each.relations else [])) for each in graph}


def complete(graph: Graph) -> set[tuple[str, ...]]:
    """(tokens, label) of an entity without relations, else one tuple for each relation, its tokens in lower case."""
    return {(each.tokens, each.label) for each in graph if not each.relations} | {
        (each.tokens.lower(), each.label, kind, target.lower()) for each in graph for kind, target in each.relations
    }


LEVELS: Mapping[str, Callable[[Graph], set[tuple[str, ...]]]] = {
    "simple": simple,
    "partial": partial,
    "complete": complete,
}


def reward(said: Graph, wanted: Graph, level: str) -> float:
    """F1 of the two sets of a level."""
    a, b = LEVELS[level](said), LEVELS[level](wanted)
    shared = len(a & b)
    if not shared:
        return 0.0
    precision, recall = shared / len(a), shared / len(b)
    return 2 * precision * recall / (precision + recall)


def score(items: Sequence[Item], _options: TaskOptions) -> list[Scored]:
    """The three rewards of each report."""
    return [
        Scored(
            scores={level: reward(item.prediction or (), item.reference.value or (), level) for level in LEVELS},
            unparsed=item.prediction is None and not item.missing,
        )
        for item in items
    ]
