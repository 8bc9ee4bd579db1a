"""One scored item as a page shows it: question, prediction and reference as texts, their boxes and outlines."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rrg.formats import mask_rows
from rrg.formats.items import Item
from rrg.metrics import boxes, grounded
from rrg.metrics.options import TaskOptions
from rrg.metrics.tags import strip_tags
from rrg.outputs.audit import outline_path
from rrg.outputs.cards import Mark, Statement
from rrg.records import Box

TASKS = ("vqa", "report", "refer", "grounded-text", "boxes", "masks")
"""Tasks whose items can be shown."""
Size = tuple[float, float]
"""(columns, rows) of the picture that is shown."""


def statements(task: str, item: Item, options: TaskOptions, size: Size, image: str) -> tuple[Statement, Statement]:
    """(prediction, reference) of an item, places in pixels of a picture of `size` whose id on the page is `image`."""
    said, wanted = (
        Statement(_text(value), tuple(_marks(task, value, item, options, size, image)))
        for value in (None if item.missing else item.prediction, item.reference.value)
    )
    return said, wanted


def natural_size(task: str, item: Item, options: TaskOptions) -> Size:
    """(columns, rows) that stand for the picture of an item when it is not there."""
    if item.reference.frame is not None:
        return item.reference.frame
    if task == "masks":
        mask = _mask(item.reference.value)
        return (float(mask.shape[1]), float(mask.shape[0])) if mask is not None else (512.0, 512.0)
    both = (item.reference.value, item.prediction)
    far = [box[2:] for value in both for _, box in _places(task, value, options)]
    if not far:
        return (512.0, 128.0)
    end = boxes.UNITS.get(options.box_unit or "") or max(max(each) for each in far)
    return (512.0, 512.0) if end <= 1 else (end, end)


def _text(value: Any) -> str:
    return strip_tags(value) if isinstance(value, str) else ""


def _marks(task: str, value: Any, item: Item, options: TaskOptions, size: Size, image: str) -> Iterator[Mark]:
    if task == "masks":
        if (mask := _mask(value)) is not None and mask.any():
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            box = Box(x0=float(columns[0]), y0=float(rows[0]), x1=float(columns[-1]) + 1, y1=float(rows[-1]) + 1)
            yield Mark(None, "", ((image, box),), outline_path(mask))
        return
    x, y = _scale(task, item, options, size)
    for phrase, (x0, y0, x1, y1) in _places(task, value, options):
        left, top, right, bottom = max(x0 * x, 0.0), max(y0 * y, 0.0), min(x1 * x, size[0]), min(y1 * y, size[1])
        if left < right and top < bottom:  # one that lies outside can not be drawn
            yield Mark(None, phrase, ((image, Box(x0=left, y0=top, x1=right, y1=bottom)),))


def _places(task: str, value: Any, options: TaskOptions) -> list[tuple[str, Sequence[float]]]:
    """(phrase, corners in the unit of the file) of one side."""
    if value is None:
        return []
    if task == "refer":
        box = boxes.read(value, options.box_format or "xyxy")
        return [("", box)] if box is not None and boxes.valid(box) else []
    if task == "grounded-text":
        return [(each.phrase, each.box) for each in grounded.phrases(value, options.syntax)]
    if task == "boxes":
        corners = np.hstack([value.xywh[:, :2], value.xywh[:, :2] + value.xywh[:, 2:]]).tolist()
        scores = getattr(value, "score", np.full(len(corners), np.nan))
        return [("" if np.isnan(score) else f"{score:.2f}", box) for score, box in zip(scores, corners, strict=True)]
    return []


def _scale(task: str, item: Item, options: TaskOptions, size: Size) -> Size:
    """Pixels of the shown picture for one unit of the file."""
    end = boxes.UNITS.get(options.box_unit or "") if task == "refer" else None
    if task == "grounded-text" and options.syntax in ("radgrounder", "paligemma"):
        end = 1.0
    frame = (end, end) if end else item.reference.frame
    return (size[0] / frame[0], size[1] / frame[1]) if frame else (1.0, 1.0)


def _mask(value: Any) -> Any:
    """(rows, columns) of a mask; of a volume the slice with most of it; None without one."""
    if value is None:
        return None
    mask, _ = mask_rows.load(value)
    return mask if mask.ndim == 2 else mask[int(mask.sum(axis=(1, 2)).argmax())]
