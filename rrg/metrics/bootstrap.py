"""Intervals: percentile bootstrap over items or clusters, Wilson and Clopper-Pearson for hits. Repeatable bit for bit.

Every interval starts a fresh ``numpy.random.default_rng(seed)``. Up to `MANY` items are drawn as ``choice(n, (draws,
n))`` would, in blocks that fit the cache, so memory does not grow with the number of draws; more items by their values.
"""

from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.metrics import cells
from rrg.metrics.drawing import MANY, Summed, counted, draws

Array = NDArray[np.float64]
Interval = tuple[float, float]
PERCENTILES = (2.5, 97.5)


def percentiles(values: Array) -> Interval | None:
    """The 2.5th and 97.5th percentile; None when a draw is undefined."""
    if not values.size or not np.isfinite(values).all():
        return None
    low, high = np.percentile(values, PERCENTILES)
    return float(low), float(high)


Value = Callable[[Array], Array]
"""(draws, k) sums -> (draws,) values; nan is undefined."""
Part = tuple[Array, Value]
"""(n, k) rows, one an item, and the value of their sums."""


def intervals(
    columns: Sequence[Array], parts: Sequence[Part], samples: int, seed: int
) -> tuple[list[Interval | None], list[Interval | None]]:
    """Intervals of the means of `columns`, each (n,), and of the values of sums over other n items.

    Draws that are undefined (no denominator) are left out. Up to `MANY` items all share their draws: what is drawn are
    places, and the means are numpy's own, to the last bit. Of more items the cells are drawn, of each anew.
    """
    n = len(columns[0]) if columns else len(parts[0][0]) if parts else 0
    if not n or not samples:
        return [None for _ in columns], [None for _ in parts]
    if n <= MANY:
        averages, values = _by_place(columns, parts, samples, seed)
    else:
        averages = [cells.means(column, samples, seed) for column in columns]
        values = _of_many(parts, samples, seed)
    return [percentiles(each) for each in averages], [percentiles(each[~np.isnan(each)]) for each in values]


def _of_many(parts: Sequence[Part], samples: int, seed: int) -> list[Array]:
    """(samples,) values of each part; rows of which few are equal are drawn by their places."""
    known = {id(stats): cells.equal_rows(stats) for stats, _ in parts}
    drawn = {
        key: cells.sums(each, samples, np.random.default_rng(seed)) for key, each in known.items() if each is not None
    }
    rest = iter(_by_place((), [part for part in parts if id(part[0]) not in drawn], samples, seed)[1])
    return [value(drawn[id(stats)]) if id(stats) in drawn else next(rest) for stats, value in parts]


def _by_place(
    columns: Sequence[Array], parts: Sequence[Part], samples: int, seed: int
) -> tuple[list[Array], list[Array]]:
    """(samples,) means of each column and values of each part."""
    if not columns and not parts:
        return [], []
    n = len(columns[0]) if columns else len(parts[0][0])
    own = list({id(stats): stats for stats, _ in parts}.values())  # several values of the same rows share them
    ends = np.cumsum([0, *(stats.shape[1] for stats in own)])
    places = {id(stats): slice(begin, end) for stats, begin, end in zip(own, ends[:-1], ends[1:], strict=True)}
    exact = [k for k, column in enumerate(columns) if (column == np.rint(column)).all()]
    summed = Summed([*(columns[k] for k in exact), *(column for stats in own for column in stats.T)])
    averages: list[list[Array]] = [[] for _ in columns]
    values: list[list[Array]] = [[] for _ in parts]
    for index in draws(n, samples, seed):
        drawn = summed.over(index)
        for k, column in enumerate(columns):
            averages[k].append(drawn[:, exact.index(k)] / n if k in exact else column[index].mean(axis=1))
        for (stats, value), out in zip(parts, values, strict=True):
            out.append(value(drawn[:, len(exact) :][:, places[id(stats)]]))
    return [np.concatenate(each) for each in averages], [np.concatenate(each) for each in values]


def mean_intervals(columns: Sequence[Array], samples: int, seed: int) -> list[Interval | None]:
    """Intervals of the means of several scores of n items, each (n,)."""
    return intervals(columns, (), samples, seed)[0]


def sums_intervals(
    parts: Sequence[Part], samples: int, seed: int, clusters: NDArray[Any] | None = None
) -> list[Interval | None]:
    """Intervals of values computed from sums over the same n items.

    With `clusters` (n,) whole clusters are drawn, in the order of their sorted names; one cluster alone has no
    interval.
    """
    if clusters is not None and len(clusters):
        known = {id(stats): cluster_sums(stats, clusters) for stats, _ in parts}
        parts = [(known[id(stats)], value) for stats, value in parts]
        if any(len(stats) == 1 for stats, _ in parts):
            return [None for _ in parts]
    return intervals((), parts, samples, seed)[1]


def drawn_counts(n: int, samples: int, seed: int, clusters: NDArray[Any] | None = None) -> Iterator[NDArray[np.int64]]:
    """Blocks of draws, each (rows, n): how often each item is drawn. With `clusters` (n,) whole clusters are drawn, in
    the order of their sorted names; one cluster alone gives no draws."""
    names, member = (None, None) if clusters is None else np.unique(clusters, return_inverse=True)
    k = n if names is None else len(names)
    if k == 0 or (names is not None and k == 1):
        return
    for index in draws(k, samples, seed):
        counts = counted(index, k).astype(np.int64)
        yield counts if member is None else counts[:, member]


def drawn_items(n: int, samples: int, seed: int, clusters: NDArray[Any] | None = None) -> Iterator[NDArray[np.int64]]:
    """Numbers of the items of each draw, for values that no sums give. With `clusters` (n,) whole clusters are drawn,
    in the order of their sorted names."""
    if clusters is None:
        members = [np.array([number]) for number in range(n)]
    else:
        names, member = np.unique(clusters, return_inverse=True)
        members = [np.flatnonzero(member == number) for number in range(len(names))]
        if len(members) == 1:
            return
    for block in draws(len(members), samples, seed):
        for row in block:
            yield np.concatenate([members[number] for number in row])


def cluster_sums(stats: Array, clusters: NDArray[Any]) -> Array:
    """(clusters, k) sums of (n, k) item rows, clusters sorted by name."""
    names, member = np.unique(clusters, return_inverse=True)
    return np.column_stack([np.bincount(member, weights=column, minlength=len(names)) for column in stats.T])


def cluster_mean_intervals(
    columns: Sequence[Array], samples: int, seed: int, clusters: NDArray[Any]
) -> list[Interval | None]:
    """Intervals of the means of several scores of the same items when whole clusters are drawn."""
    parts: list[Part] = [(np.column_stack([each, np.ones(len(each))]), ratio) for each in columns]
    return sums_intervals(parts, samples, seed, clusters)


def ratio(drawn: Array) -> Array:
    """Column 0 over column 1; nan without a denominator."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(drawn[:, 1] > 0, drawn[:, 0] / drawn[:, 1], np.nan)


def wilson(hits: int, n: int) -> Interval:
    """95 % Wilson score interval of hits / n."""
    z2 = NormalDist().inv_cdf(0.975) ** 2
    centre = (hits + z2 / 2) / (n + z2)
    half = (z2 * (hits * (n - hits) / n + z2 / 4)) ** 0.5 / (n + z2)
    return max(0.0, centre - half), min(1.0, centre + half)


def clopper_pearson(hits: int, n: int) -> Interval:
    """95 % exact (Clopper-Pearson) interval of hits / n."""
    from scipy.special import betaincinv

    low = float(betaincinv(hits, n - hits + 1, 0.025)) if hits else 0.0
    high = float(betaincinv(hits + 1, n - hits, 0.975)) if hits < n else 1.0
    return low, high
