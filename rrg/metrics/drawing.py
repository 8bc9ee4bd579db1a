"""Bootstrap draws and sums over them, fast: the next draws are made while the last ones are added up."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BLOCK = 1 << 20
"""Draws made at once: four MiB of indices."""
MANY = 10_000
"""Items beyond which an interval draws how often each value occurs, not which item."""
FEW = 8
"""Columns up to which one product for each is faster than one for all."""


def draws(n: int, samples: int, seed: int) -> Iterator[NDArray[np.int32]]:
    """Blocks of rows of ``default_rng(seed).choice(n, (samples, n))``, each (rows, n)."""
    generator = np.random.default_rng(seed)
    rows = max(1, BLOCK // n)
    sizes = [min(rows, samples - start) for start in range(0, samples, rows)]
    # 32-bit integers are drawn from the same stream as the 64-bit ones of choice()
    blocks = (generator.integers(0, n, size=(size, n), dtype=np.int32) for size in sizes)
    return ahead(blocks) if len(sizes) > 1 else blocks


def ahead(blocks: Iterator[NDArray[np.int32]]) -> Iterator[NDArray[np.int32]]:
    """The same blocks, each made while the one before is used."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = pool.submit(next, blocks, None)
        while (block := waiting.result()) is not None:
            waiting = pool.submit(next, blocks, None)
            yield block


def counted(index: NDArray[np.int32], n: int) -> NDArray[np.int8]:
    """(rows, n): how often each of n items is drawn in each row of `index` (rows, n).

    As a sparse matrix of ones, made dense: a histogram in one byte an item, which stays in the cache. One of many
    items is never drawn 128 times (the chance is below 1e-200).
    """
    from scipy.sparse import csr_array

    ends = np.arange(len(index) + 1, dtype=np.int32) * index.shape[1]
    ones = np.ones(index.size, np.int8)
    return np.asarray(csr_array((ones, index.ravel(), ends), shape=(len(index), n)).toarray())


class Summed:
    """Sums of fixed columns of n items over draws of them; exact for whole numbers.

    Hits and small counts are added in single precision, which holds their sums exactly, in half the time.
    """

    def __init__(self, columns: Sequence[Array]) -> None:
        """`columns` are (n,) each."""
        distinct = {column.tobytes(): column for column in columns}
        groups: dict[bool, list[bytes]] = {True: [], False: []}
        for key, column in distinct.items():
            groups[_sums_fit(column)].append(key)
        order = [*groups[True], *groups[False]]
        self._places = [order.index(column.tobytes()) for column in columns]
        self._products = [
            _Product([distinct[key] for key in groups[True]], np.float32),
            _Product([distinct[key] for key in groups[False]], np.float64),
        ]

    def over(self, index: NDArray[np.int32]) -> Array:
        """(rows, columns) sums over the items at `index` (rows, n)."""
        if not self._places:
            return np.empty((len(index), 0))
        counts = counted(index, index.shape[1])
        found = np.hstack([product.by(counts) for product in self._products])
        return np.asarray(found[:, self._places], np.float64)


def _sums_fit(column: Array) -> bool:
    """Whole numbers whose sum over any draw is exact in single precision."""
    return bool((column == np.rint(column)).all() and len(column) * np.abs(column).max(initial=0) < 1 << 24)


class _Product:
    """Counts times columns, in one precision. The room for counts is kept: fresh memory costs as much as the sums."""

    def __init__(self, columns: Sequence[Array], kind: type[np.float32] | type[np.float64]) -> None:
        self._columns = [np.ascontiguousarray(column, dtype=kind) for column in columns]
        self._matrix = np.column_stack(self._columns) if len(columns) > FEW else None
        self._room: NDArray[Any] = np.empty((0, 0), kind)

    def by(self, counts: NDArray[np.int8]) -> NDArray[Any]:
        """(rows, columns) of `counts` (rows, n)."""
        if not self._columns:
            return np.empty((len(counts), 0))
        if self._room.shape != counts.shape:
            self._room = np.empty(counts.shape, self._room.dtype)
        np.copyto(self._room, counts)
        if self._matrix is not None:
            return np.asarray(self._room @ self._matrix)
        return np.column_stack([self._room @ column for column in self._columns])
