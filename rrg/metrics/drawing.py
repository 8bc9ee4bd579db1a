"""Bootstrap draws and sums over them, fast: the next draws are made while the last ones are added up."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BLOCK = 1 << 21
"""Draws made at once: eight MiB of indices."""
MANY = 10_000
"""Items beyond which fractions are added up one by one, not pairwise as numpy does: the last digits may differ."""
FEW = 6
"""Columns up to which products with a matrix of ones are faster than counting how often each item is drawn."""


def draws(n: int, samples: int, seed: int) -> Iterator[NDArray[np.int32]]:
    """Blocks of rows of ``default_rng(seed).choice(n, (samples, n))``, each (rows, n)."""
    generator = np.random.default_rng(seed)
    rows = max(1, BLOCK // n)
    sizes = [min(rows, samples - start) for start in range(0, samples, rows)]
    # 32-bit integers are drawn from the same stream as the 64-bit ones of choice() and are twice as fast
    blocks = (generator.integers(0, n, size=(size, n), dtype=np.int32) for size in sizes)
    return ahead(blocks) if len(sizes) > 1 else blocks


def ahead(blocks: Iterator[NDArray[np.int32]]) -> Iterator[NDArray[np.int32]]:
    """The same blocks, each made while the one before is used."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = pool.submit(next, blocks, None)
        while (block := waiting.result()) is not None:
            waiting = pool.submit(next, blocks, None)
            yield block


def counted(index: NDArray[np.int32], n: int) -> NDArray[np.int64]:
    """(rows, n): how often each item is drawn in each row of `index` (rows, m)."""
    flat = index + (np.arange(len(index), dtype=np.int32) * n)[:, None]
    return np.bincount(flat.ravel(), minlength=len(index) * n).reshape(len(index), n)


def column_sums(index: NDArray[np.int32], columns: Sequence[Array]) -> list[Array]:
    """For each column (n,) the (rows,) sums over the items at `index` (rows, m).

    As a product with a sparse matrix of ones, which is several times faster than to gather and to add.
    """
    from scipy.sparse import csr_array

    if not columns:
        return []
    ends = np.arange(len(index) + 1, dtype=np.int32) * index.shape[1]
    matrix = csr_array((np.ones(index.size), index.ravel(), ends), shape=(len(index), len(columns[0])))
    return [np.asarray(matrix @ column) for column in columns]


def row_sums(index: NDArray[np.int32], rows: Array) -> Array:
    """(draws, k) sums of the rows (n, k) at `index` (draws, m)."""
    if rows.shape[1] <= FEW:
        return np.column_stack(column_sums(index, [np.ascontiguousarray(column) for column in rows.T]))
    return counted(index, len(rows)).astype(np.float64) @ rows


class Packed(NamedTuple):
    """Columns of the same items, ready to be summed."""

    columns: list[Array]
    """First those that hold several columns of 0 and 1, then the others."""
    hits: list[list[int]]
    """Which columns are in each of the first ones, the lowest digits first."""
    rest: list[int]
    """Which columns are the others."""
    bits: int
    """Digits of each hit."""


def packed(columns: Sequence[Array]) -> Packed:
    """Columns of 0 and 1 side by side in the digits of one number of at most 53 bits, so that sums stay exact."""
    bits = len(columns[0]).bit_length()
    hits = [k for k, column in enumerate(columns) if np.isin(column, (0.0, 1.0)).all()]
    size = max(1, 53 // bits)
    groups = [hits[start : start + size] for start in range(0, len(hits), size)]
    rest = [k for k in range(len(columns)) if k not in set(hits)]
    made = [np.sum([columns[k] * 2.0 ** (bits * n) for n, k in enumerate(group)], axis=0) for group in groups]
    return Packed([*made, *(columns[k] for k in rest)], groups, rest, bits)


def means(index: NDArray[np.int32], items: Packed) -> list[Array]:
    """For each column, in the order before they were packed, the (rows,) means over the items at `index` (rows, m)."""
    n, first = index.shape[1], len(items.hits)
    made = dict(zip(items.rest, _fraction_means(index, items.columns[first:]), strict=True))
    for members, total in zip(items.hits, column_sums(index, items.columns[:first]), strict=True):
        whole, mask = total.astype(np.int64), (1 << items.bits) - 1
        made |= {k: ((whole >> (items.bits * place)) & mask) / n for place, k in enumerate(members)}
    return [made[k] for k in range(len(made))]


def _fraction_means(index: NDArray[np.int32], columns: Sequence[Array]) -> list[Array]:
    if index.shape[1] > MANY:
        return [total / index.shape[1] for total in column_sums(index, columns)]
    return [column[index].mean(axis=1) for column in columns]
