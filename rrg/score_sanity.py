"""The sanity table: trivial answers and further prediction files, scored on the same references."""

import dataclasses
from collections.abc import Callable, Sequence

from rrg.errors import RrgError, UsageError
from rrg.formats.items import Item
from rrg.metrics import sanity
from rrg.metrics.table import Protocol, Scored
from rrg.score_join import Joined
from rrg.score_options import Json, Options

Measure = Callable[[Sequence[Item]], Json]
"""Items with other predictions -> metric objects."""


def table(
    task: str,
    protocol: Protocol,
    both: Joined,
    items: Sequence[Item],
    scored: Sequence[Scored],
    options: Options,
    measure: Measure,
) -> Json:
    """Row -> its rule or its file, and its metrics. UsageError where the task has no such row."""
    made: Json = {}
    if options.sanity and task in sanity.ROWS and protocol.rows != "green-counts":
        row = sanity.ROWS[task]
        found = row.predictions(items, scored)
        others = [
            dataclasses.replace(item, prediction=each, missing=False) for item, each in zip(items, found, strict=True)
        ]
        made[row.name] = {"rule": row.rule, "metrics": measure(others)}
    elif options.sanity and not options.baselines:
        raise UsageError(f"--sanity: {task} has no row that needs no file; give --baseline NAME=FILE")
    for name, path in options.baselines:
        if name in made:
            raise UsageError(f"--baseline {name}: the name is taken; choose another")
        if both.again is None:
            raise UsageError(f"--baseline is not for {task}")
        others, source = both.again(path)
        kept = {item.reference.id for item in items}
        chosen = [item for item in others if item.reference.id in kept]
        if not any(not item.missing for item in chosen):
            raise RrgError(f"{path}: no prediction for any of the references that are scored", "E_PREDICTION")
        made[name] = {"input": source, "metrics": measure(chosen)}
    return made
