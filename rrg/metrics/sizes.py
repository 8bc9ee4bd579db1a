"""Items by the size of their reference: quarters, from the smallest to the largest."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PARTS = 4


def quarters(sizes: Sequence[float] | NDArray[np.float64]) -> dict[str, NDArray[np.int64]]:
    """``N: LOW to HIGH`` -> numbers of the items. Items of one size stay in one quarter; nan and 0 are in none."""
    values = np.asarray(sizes, np.float64)
    known = np.flatnonzero(values > 0)
    if not len(known):
        return {}
    edges = np.unique(np.quantile(values[known], np.arange(1, PARTS) / PARTS, method="inverted_cdf"))
    part = np.searchsorted(edges, values[known], side="left")
    found = [known[part == number] for number in np.unique(part)]
    return {f"{n}: {values[own].min():.6g} to {values[own].max():.6g}": own for n, own in enumerate(found, 1)}
