"""IoU by the size of the reference: quarters of the items, from the smallest to the largest."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from rrg.metrics.bootstrap import mean_intervals
from rrg.metrics.sizes import quarters as parts

FEWEST = 8
"""Items below which there are no quarters."""


class Quarter(NamedTuple):
    """Items whose references are of similar size."""

    size: str
    """Smallest and largest reference: pixels of masks, areas of boxes in the square of their unit."""
    n: int
    iou: float
    interval: tuple[float, float]


def quarters(lines: Iterable[Mapping[str, Any]], samples: int, seed: int) -> list[Quarter]:
    """Mean IoU with its interval, from per-item lines with ``pixels``. Items of one size stay in one quarter.

    Empty without intervals, with few items, and for tasks that have no pixels. References without a pixel are left out.
    """
    found = [
        (line["pixels"]["reference"], float(line["scores"]["iou"]))
        for line in lines
        if line.get("pixels", {}).get("reference") and line["scores"].get("iou") is not None
    ]
    if len(found) < FEWEST or not samples:
        return []
    sizes, ious = (np.array(column) for column in zip(*found, strict=True))
    made = []
    for size, own in parts(sizes).items():
        (interval,) = mean_intervals([ious[own]], samples, seed)
        if interval is not None:
            made.append(Quarter(size.partition(": ")[2], len(own), float(ious[own].mean()), interval))
    return made
