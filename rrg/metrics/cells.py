"""Bootstrap draws of many items by cells: how often each of a few values is drawn, not which item.

n items drawn out of n with replacement are a multinomial count of each value that they have. A mean over items that
have more values than `CELLS` takes as many steps of equal width: a step counts by the mean of its values, and what the
values in it add is drawn as a normal number of their variance. That is an approximation, tested against draws of single
items; it is coarsest where one item far from all others rules the column.
"""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CELLS = 64
"""Most cells of a mean."""
COST = 40
"""The count of a cell takes as long as so many items drawn one by one."""
BLOCK = 1 << 20
"""Counts made at once."""


class Cells(NamedTuple):
    """Rows that many items have in common."""

    rows: Array
    """(cells, k)."""
    sizes: NDArray[np.int64]
    """(cells,) items that have the row."""


def equal_rows(rows: Array) -> Cells | None:
    """The different ones of `rows` (n, k), in order of first appearance; None when single items are drawn faster."""
    rows = np.ascontiguousarray(rows, np.float64)
    keys: list[Any] = rows.view(np.dtype((np.void, rows.strides[0]))).ravel().tolist()
    members: Counter[bytes] = Counter(keys)
    if len(members) * COST > len(rows):
        return None
    return Cells(np.frombuffer(b"".join(members)).reshape(len(members), -1), np.array([*members.values()]))


def sums(cells: Cells, samples: int, generator: np.random.Generator) -> Array:
    """(samples, k) sums of the rows of as many items as there are, drawn with replacement."""
    n = int(cells.sizes.sum())
    height = max(1, BLOCK // len(cells.sizes))
    blocks = [min(height, samples - start) for start in range(0, samples, height)]
    counts = (generator.multinomial(n, cells.sizes / n, size=size) for size in blocks)
    return np.concatenate([each.astype(np.float64) @ cells.rows for each in counts])  # whole numbers miss BLAS


def means(column: Array, samples: int, seed: int) -> Array:
    """(samples,) means of `column` (n,) over n of its items drawn with replacement."""
    generator = np.random.default_rng(seed)
    values, sizes = np.unique(column, return_counts=True)
    if len(values) <= CELLS:
        return np.asarray(sums(Cells(values[:, None], sizes), samples, generator)[:, 0] / len(column))
    total, variance = sums(_steps(column, values[0], values[-1]), samples, generator).T
    return np.asarray((total + np.sqrt(variance) * generator.standard_normal(samples)) / len(column))


def _steps(column: Array, low: float, high: float) -> Cells:
    """Steps of equal width from `low` to `high` that have items, each a row of their mean and their variance."""
    step = np.minimum((column - low) / (high - low) * CELLS, CELLS - 1).astype(np.int64)
    _, step, sizes = np.unique(step, return_inverse=True, return_counts=True)
    mean = np.bincount(step, column) / sizes
    variance = np.bincount(step, (column - mean[step]) ** 2) / sizes
    return Cells(np.column_stack([mean, variance]), sizes)
