"""IoU by the size of the reference: quarters of the items, from the smallest to the largest."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from rrg.metrics.bootstrap import mean_intervals

PARTS = 4
FEWEST = 8
"""Items below which there are no quarters."""


class Quarter(NamedTuple):
    """Items whose references are of similar size."""

    low: int
    high: int
    """Pixels of the smallest and the largest reference."""
    n: int
    iou: float
    interval: tuple[float, float]


def quarters(lines: Iterable[Mapping[str, Any]], samples: int, seed: int) -> list[Quarter]:
    """Mean IoU with its interval, from per-item lines with ``pixels``. Items of one size stay in one quarter.

    Empty without intervals, with few items, and for tasks that have no pixels. References without a pixel are left out.
    """
    found = [
        (line["pixels"]["reference"], line["scores"]["iou"])
        for line in lines
        if line.get("pixels", {}).get("reference") and line["scores"].get("iou") is not None
    ]
    if len(found) < FEWEST or not samples:
        return []
    sizes, ious = (np.array(column) for column in zip(*found, strict=True))
    edges = np.unique(np.quantile(sizes, np.arange(1, PARTS) / PARTS, method="inverted_cdf"))
    part = np.searchsorted(edges, sizes, side="left")
    made = []
    for number in np.unique(part):
        own = part == number
        values = ious[own].astype(float)
        (interval,) = mean_intervals([values], samples, seed)
        if interval is not None:
            low, high = int(sizes[own].min()), int(sizes[own].max())
            made.append(Quarter(low, high, len(values), float(values.mean()), interval))
    return made
