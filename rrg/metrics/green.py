"""GREEN from a judge's counts: matched findings / (matched + clinically significant errors)."""

from collections.abc import Mapping, Sequence
from typing import Any

from rrg.formats.items import Item
from rrg.formats.judge_counts import Counts
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import Scored

NORMAL = "a pair of normal reports without a matched finding scores 0; so does a judge's answer that has no counts"


def green(counts: Counts) -> float:
    """0 when nothing is matched."""
    return counts.matched / (counts.matched + sum(counts.significant)) if counts.matched else 0.0


def score(items: Sequence[Item], _options: TaskOptions) -> list[Scored]:
    """GREEN of each pair of reports."""
    made = []
    for item in items:
        counts = item.prediction
        extra: Mapping[str, Any] = {}
        if counts is not None:
            extra = {"matched": counts.matched, "significant": list(counts.significant)}
        value = 0.0 if counts is None else green(counts)
        made.append(Scored(scores={"green": value}, unparsed=counts is None and not item.missing, extra=extra))
    return made
