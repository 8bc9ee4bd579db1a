"""One phrase, one box: IoU, Acc@t and the pointing game, strict and as RefCOCO code counts them."""

import math
from collections.abc import Sequence
from typing import Any

from rrg.errors import RrgError
from rrg.formats.fields import box_in_text
from rrg.formats.items import Item, Numbers4
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import Scored

INF = math.inf
THRESHOLDS = {"acc10": 0.1, "acc30": 0.3, "acc50": 0.5, "acc70": 0.7, "acc90": 0.9}
SLACK = 1e-9
"""Strict: two boxes that overlap by exactly a half count at 0.5 although floats say 0.4999999999999999."""
UNITS = {"pixel": None, "norm01": 1.0, "norm1000": 1000.0, "bins512": 512.0, "bins1024": 1024.0}
"""Unit -> upper end of its range; of pixels the image says it."""
NO_BOX: Numbers4 = (0.0, 0.0, 0.0, 0.0)
Box = Numbers4
"""x0, y0, x1, y1 in the declared unit."""


def corners(numbers: Sequence[float], box_format: str) -> Box:
    """Four numbers in a declared order as x0, y0, x1, y1."""
    a, b, c, d = numbers
    if box_format == "xyxy":
        return a, b, c, d
    if box_format == "xywh":
        return a, b, a + c, b + d
    return a - c / 2, b - d / 2, a + c / 2, b + d / 2


def read(value: Any, box_format: str) -> Box | None:
    """The box of a prediction or reference; None when there is none. A text counts by its first ``[a, b, c, d]``."""
    numbers = box_in_text(value) if isinstance(value, str) else value
    return None if numbers is None else corners(numbers, box_format)


def iou(a: Box, b: Box) -> float:
    """Intersection over union in continuous coordinates; 0 for an empty union. Corners count as given."""
    shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union else 0.0


def centre_inside(prediction: Box, reference: Box) -> bool:
    """The centre of the prediction lies in the reference, edges included."""
    x, y = (prediction[0] + prediction[2]) / 2, (prediction[1] + prediction[3]) / 2
    return reference[0] <= x <= reference[2] and reference[1] <= y <= reference[3]


def area(box: Box | None) -> float:
    """In the square of the declared unit; 0 without a box."""
    return 0.0 if box is None else (box[2] - box[0]) * (box[3] - box[1])


def valid(box: Box) -> bool:
    """Finite, with an area."""
    return -INF < box[0] < box[2] < INF and -INF < box[1] < box[3] < INF


def clip(box: Box, frame: tuple[float, float] | None) -> Box:
    """The part of a box inside 0..frame (columns, rows)."""
    if frame is None:
        return box
    x, y = frame
    return min(max(box[0], 0.0), x), min(max(box[1], 0.0), y), min(max(box[2], 0.0), x), min(max(box[3], 0.0), y)


def frame_of(item: Item, unit: str) -> tuple[float, float] | None:
    """(columns, rows) in the declared unit; None when pixels are declared and the file has no image size."""
    end = UNITS[unit]
    return item.reference.frame if end is None else (end, end)


def outside(box: Box, frame: tuple[float, float] | None) -> bool:
    """Some corner lies outside of the declared range (by more than rounding)."""
    if frame is None:
        return False
    reach = 1e-6 * max(frame)
    return (
        min(box) < -reach
        or box[0] > frame[0] + reach
        or box[2] > frame[0] + reach
        or box[1] > frame[1] + reach
        or box[3] > frame[1] + reach
    )


def check_range(items: Sequence[Item], options: TaskOptions) -> list[str]:
    """Warnings on boxes outside of the declared range; RrgError when their share says that the unit is wrong."""
    assert options.box_format is not None
    assert options.box_unit is not None
    warnings: list[str] = []
    frames = [frame_of(item, options.box_unit) for item in items]
    if not any(frames):
        return warnings
    for side in ("prediction", "reference"):
        boxes = [
            (box, frame)
            for item, frame in zip(items, frames, strict=True)
            if (box := read(item.prediction if side == "prediction" else item.reference.value, options.box_format))
        ]
        wild = sum(outside(box, frame) for box, frame in boxes)
        if wild and wild > options.max_out_of_range * len(boxes):
            raise RrgError(
                f"{wild} of {len(boxes)} {side} boxes lie outside of the declared range ({options.box_format}, "
                f"{options.box_unit}); declare the right --box-format and --box-unit, or raise --max-out-of-range"
            )
        if wild:
            warnings.append(f"{wild} of {len(boxes)} {side} boxes lie outside of the declared range")
    return warnings


def score_refcoco(items: Sequence[Item], options: TaskOptions) -> list[Scored]:
    """lmms-eval's arithmetic: corners as given, no box = [0, 0, 0, 0], plain comparisons."""
    assert options.box_format is not None
    made = []
    for item in items:
        said = read(item.prediction, options.box_format)
        wanted = read(item.reference.value, options.box_format) or NO_BOX
        box = said or NO_BOX
        overlap = iou(wanted, box)
        scores: dict[str, float | None] = {"iou": overlap}
        scores |= {name: float(overlap >= limit) for name, limit in THRESHOLDS.items()}
        scores["center_acc"] = float(centre_inside(box, wanted))
        if item.missing:
            scores = dict.fromkeys(scores, 0.0)
        unparsed = not item.missing and said is None and item.prediction is not None
        extra = {"pixels": {"prediction": area(box), "reference": area(wanted)}}
        made.append(Scored(unparsed=unparsed, scores=scores, extra=extra))
    return made


def score_strict(items: Sequence[Item], options: TaskOptions) -> list[Scored]:
    """Boxes without area are unparsed, the rest is clipped to the range. A reference without a box is left out."""
    assert options.box_format is not None
    assert options.box_unit is not None
    limits = [(name, limit - SLACK) for name, limit in THRESHOLDS.items()]
    made = []
    for item in items:
        frame = frame_of(item, options.box_unit)
        wanted = read(item.reference.value, options.box_format)
        said = read(item.prediction, options.box_format)
        good = said is not None and valid(said)
        overlap, centre = 0.0, 0.0
        if wanted is not None:
            if not valid(wanted):
                raise RrgError(f"reference {item.reference.id}: box {wanted} has no area; expected x0 < x1 and y0 < y1")
            wanted = clip(wanted, frame)
            if said is not None and good:
                box = clip(said, frame)
                overlap, centre = (iou(wanted, box) if valid(box) else 0.0), float(centre_inside(box, wanted))
        scores: dict[str, float | None] = {"iou": overlap}
        scores |= {name: 1.0 if overlap >= limit else 0.0 for name, limit in limits}
        scores["center_acc"] = centre
        extra: dict[str, Any] = {}
        if wanted is None:
            scores = dict.fromkeys(scores)
            extra["false_box"] = good
        else:
            extra["pixels"] = {"prediction": area(said) if good else 0.0, "reference": area(wanted)}
        unparsed = not item.missing and not good and item.prediction is not None
        made.append(Scored(unparsed=unparsed, scores=scores, extra=extra))
    return made


def absent_note(scored: Sequence[Scored]) -> list[str]:
    """How often a box was given where the reference has none."""
    absent = [each.extra["false_box"] for each in scored if "false_box" in each.extra]
    if not absent:
        return []
    share = sum(absent) / len(absent)
    return [
        f"{len(absent)} references have no box and are not in the denominators; "
        f"{sum(absent)} of them ({share:.4f}) were given a box all the same"
    ]
