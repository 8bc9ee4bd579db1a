"""Protocols of entity graphs."""

from collections.abc import Mapping, Sequence

from rrg.formats.items import Item
from rrg.metrics import english, graphs
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import FRACTION, Metric, Protocol


def _check(items: Sequence[Item], options: TaskOptions) -> list[str]:
    return english.check(items, options, "RadGraph")


PROTOCOLS: Mapping[str, Protocol] = {
    "radgraph": Protocol(
        metrics=(
            Metric("simple", FRACTION, "F1 of (tokens, label), mean over reports", note=graphs.EMPTY),
            Metric("partial", FRACTION, "the same with a mark on entities with a relation", note=graphs.EMPTY),
            Metric("complete", FRACTION, "F1 of (tokens, label, relation, target)", note=graphs.CASE),
        ),
        source="rewards of radgraph 0.1.18, on graphs from a file",
        score=graphs.score,
        options=frozenset({"force"}),
        check=_check,
        signature=english.signature,
    ),
}
"""Protocol -> what it is; the first is the default."""
