"""Pairs of images that models take for each other: MediConfusion's four rates, in percent."""

from collections.abc import Sequence

from rrg.formats.items import Item
from rrg.formats.pair_rows import texts
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import Scored


def score(items: Sequence[Item], _options: TaskOptions) -> list[Scored]:
    """Confusion is left out where an answer is invalid: two answers that are none can not be the same one."""
    made = []
    for item in items:
        said = item.prediction or (None, None)
        right = [a is not None and a == b for a, b in zip(said, item.reference.value, strict=True)]
        valid = None not in said
        scores: dict[str, float | None] = {
            "set_accuracy": 100.0 * all(right),
            "individual_accuracy": 50.0 * sum(right),
            "confusion": 100.0 * (said[0] == said[1]) if valid else None,
            "invalid": 50.0 * sum(each is None for each in said),
        }
        made.append(
            Scored(
                scores=scores,
                unparsed=not valid and not item.missing,
                prediction_norm=texts(said),
                reference_norm=texts(item.reference.value),
            )
        )
    return made
