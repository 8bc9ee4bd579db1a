"""Protocols of one phrase and one box."""

import dataclasses
from collections.abc import Mapping, Sequence

from rrg.errors import UsageError
from rrg.formats.items import Item
from rrg.metrics import boxes
from rrg.metrics.options import VALUES, TaskOptions
from rrg.metrics.table import FRACTION, Metric, Protocol, Scored


def _metrics(rule: str) -> tuple[Metric, ...]:
    return (
        Metric("iou", FRACTION, f"intersection over union, {rule}"),
        *(Metric(name, FRACTION, f"IoU >= {limit}", hit=True) for name, limit in boxes.THRESHOLDS.items()),
        Metric("center_acc", FRACTION, "centre of the prediction inside the reference", hit=True),
    )


def _declared(options: TaskOptions, native: bool) -> TaskOptions:
    """Our records say what their numbers are; of other files it must be declared, never guessed."""
    if native:
        if (options.box_format or "xyxy", options.box_unit or "pixel") != ("xyxy", "pixel"):
            raise UsageError("records of rrg hold boxes as xyxy, pixel; leave --box-format and --box-unit out")
        return dataclasses.replace(options, box_format="xyxy", box_unit="pixel")
    if options.box_format is None or options.box_unit is None:
        raise UsageError(
            f"refer needs --box-format ({', '.join(VALUES['box_format'])}) and --box-unit "
            f"({', '.join(VALUES['box_unit'])}): the files do not say what their four numbers are"
        )
    return options


def _remarks(_items: Sequence[Item], scored: Sequence[Scored]) -> list[str]:
    return boxes.absent_note(scored)


def _frame(options: TaskOptions) -> dict[str, str]:
    return {"box": f"{options.box_format}-{options.box_unit}"}


_OPTIONS = frozenset({"box_format", "box_unit", "max_out_of_range"})

PROTOCOLS: Mapping[str, Protocol] = {
    "strict": Protocol(
        metrics=_metrics("clipped boxes, thresholds with a slack of 1e-9"),
        source="rrg",
        score=boxes.score_strict,
        options=_OPTIONS,
        declared=_declared,
        check=boxes.check_range,
        remarks=_remarks,
        signature=_frame,
    ),
    "refcoco": Protocol(
        metrics=_metrics("corners as given, plain thresholds"),
        source="EvolvingLMMs-Lab/lmms-eval at 75571cf, tasks/refcoco/utils_rec.py",
        score=boxes.score_refcoco,
        options=_OPTIONS,
        declared=_declared,
        check=boxes.check_range,
        signature=_frame,
    ),
}
"""Protocol -> what it is; the first is the default."""
