"""Values and intervals of a set of items: means over items, values from sums, values that are computed anew."""

import os
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from rrg.formats.items import Item
from rrg.metrics import bootstrap
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import Block, Drawn, Metric, Protocol, Scored, Sums
from rrg.score_options import DRAWN_SAMPLES, Json, Options

Clusters = NDArray[Any] | None
Bools = NDArray[np.bool_]
Found = tuple[float | None, bootstrap.Interval | None]
Column = tuple[NDArray[np.float64], Bools]
"""(items,) scores, nan where there is none, and which items are of the metric's kind."""


class Table(NamedTuple):
    """What all items scored, as columns."""

    columns: Mapping[str, Column]
    """Metric -> its column."""
    missing: Bools
    unparsed: Bools

    def of(self, chosen: NDArray[np.int64]) -> "Table":
        """The rows at `chosen`."""
        columns = {name: (values[chosen], kind[chosen]) for name, (values, kind) in self.columns.items()}
        return Table(columns, self.missing[chosen], self.unparsed[chosen])


def tabulated(wanted: Sequence[Metric], items: Sequence[Item], scored: Sequence[Scored]) -> Table:
    """The scores that do not depend on the set of items."""
    n = len(items)
    columns = {metric.name: (np.full(n, np.nan), np.zeros(n, bool)) for metric in wanted}
    kinds: dict[tuple[str, ...], list[int]] = {}
    for number, each in enumerate(scored):
        kinds.setdefault(tuple(each.scores), []).append(number)
    for names, members in kinds.items():
        # (scores, members); None becomes nan
        rows = np.array([tuple(scored[number].scores.values()) for number in members], np.float64).T
        for name, values in zip(names, rows, strict=True):
            if name in columns:
                own, of_kind = columns[name]
                own[members], of_kind[members] = values, True
    missing, unparsed = [item.missing for item in items], [each.unparsed for each in scored]
    return Table(columns, np.array(missing, bool), np.array(unparsed, bool))


def measure(
    protocol: Protocol,
    wanted: Sequence[Metric],
    items: Sequence[Item],
    table: Table,
    clusters: Clusters,
    options: Options,
    task_options: TaskOptions,
    chosen: NDArray[np.int64] | None = None,
) -> tuple[Json, Block]:
    """Metric objects of a set of items (all, or those at `chosen`), and what depends on that set."""
    if chosen is not None:
        items, table = [items[n] for n in chosen.tolist()], table.of(chosen)
        clusters = None if clusters is None else clusters[chosen]
    block = protocol.block(items, task_options) if protocol.block else Block()
    wanted = [metric._replace(unit=block.units.get(metric.name, metric.unit)) for metric in wanted]
    whole: dict[str, Sums | Drawn] = {**block.sums, **block.drawn}
    columns = {
        metric.name: (block.means[metric.name], ~np.isnan(block.means[metric.name]))
        if metric.name in block.means
        else table.columns[metric.name]
        for metric in wanted
        if metric.name not in whole and metric.name not in block.skipped
    }
    chosen_whole = {metric.name: whole[metric.name] for metric in wanted if metric.name in whole}
    found = values_of({name: values for name, (values, _) in columns.items()}, chosen_whole, clusters, options)
    made: Json = {}
    for metric in wanted:
        if metric.name in block.skipped:
            kind = np.ones(len(items), bool)
            made[metric.name] = metric_object(metric, (None, None), ~kind, kind, table)
            made[metric.name]["skipped"] = block.skipped[metric.name]
        elif metric.name in whole:
            made[metric.name] = block_object(metric, whole[metric.name], found[metric.name], table, options)
        else:
            made[metric.name] = _mean_object(metric, columns[metric.name], found[metric.name], table, block)
    return made, block


def parts(block: Block, table: Table, clusters: Clusters, options: Options) -> dict[str, Any]:
    """Metric objects of a block's own strata: of each label, of each class."""
    return {facet: _parts(members, clusters, table, options) for facet, members in block.parts.items()}


def _parts(
    members: Mapping[str, Mapping[str, tuple[Metric, Sums | Drawn]]],
    clusters: Clusters,
    table: Table,
    options: Options,
) -> Json:
    named = {(value, name): each for value, metrics in members.items() for name, each in metrics.items()}
    values = values_of({}, {key: it for key, (_, it) in named.items()}, clusters, options)
    made: Json = {value: {} for value in members}
    for (value, name), (metric, it) in named.items():
        made[value][name] = block_object(metric, it, values[value, name], table, options)
    return made


def metric_object(metric: Metric, found: Found, counted: Bools, of_kind: Bools, table: Table) -> Json:
    """One metric as the result holds it."""
    value, interval = found
    return {
        "value": value,
        "unit": metric.unit,
        "n": int(counted.sum()),
        "n_missing": int((counted & table.missing).sum()),
        "n_unparsed": int((counted & table.unparsed).sum()),
        "n_excluded": int((of_kind & ~counted).sum()),
        "ci95": None if interval is None else list(interval),
        **({"note": metric.note} if metric.note else {}),
    }


def block_object(metric: Metric, source: Sums | Drawn, found: Found, table: Table, options: Options) -> Json:
    """A metric of the whole block."""
    counted = np.ones(len(table.missing), bool) if source.counted is None else source.counted
    of_kind = source.of_kind if isinstance(source, Sums) and source.of_kind is not None else counted
    made = metric_object(metric, found, counted, of_kind, table)
    if isinstance(source, Sums) and source.signature:
        made["signature"] = source.signature
    if isinstance(source, Drawn) and found[1] is not None and drawn_samples(options) != options.samples:
        made["samples"] = drawn_samples(options)
    return made


def _mean_object(metric: Metric, scores: Column, found: Found, table: Table, block: Block) -> Json:
    values, of_kind = scores
    counted = np.isfinite(values)
    made = metric_object(metric, found, counted, of_kind, table)
    if metric.name in block.signatures:
        made["signature"] = block.signatures[metric.name]
    if metric.hit and counted.any():
        hits, n = round(float(values[counted].sum())), int(counted.sum())
        made["wilson95"] = list(bootstrap.wilson(hits, n))
        made["exact95"] = list(bootstrap.clopper_pearson(hits, n))
    return made


Key = TypeVar("Key", bound=Hashable)


def values_of(
    means: Mapping[Key, NDArray[np.float64]], whole: Mapping[Key, Sums | Drawn], clusters: Clusters, options: Options
) -> dict[Key, Found]:
    """Values and intervals of means, (items,) with nan where there is none, and of what belongs to the block.

    Values over as many items (with clusters: over the same items) share their draws; other sets are drawn in parallel.
    """
    members = {name: np.isfinite(values) for name, values in means.items()}
    members |= {name: _members(it) for name, it in whole.items() if isinstance(it, Sums)}
    groups: dict[Hashable, list[Key]] = {}
    for name, there in members.items():
        groups.setdefault(int(there.sum()) if clusters is None else there.tobytes(), []).append(name)

    def work(names: Sequence[Key]) -> dict[Key, Found]:
        averages = {name: means[name][members[name]] for name in names if name in means}
        sums = {name: it for name in names if isinstance(it := whole.get(name), Sums)}
        return _group(averages, sums, None if clusters is None else clusters[members[names[0]]], options)

    made = {name: drawn_value(it, clusters, options) for name, it in whole.items() if isinstance(it, Drawn)}
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        for found in pool.map(work, groups.values()):
            made |= found
    return made


def _members(source: Sums) -> Bools:
    return np.ones(len(source.stats), bool) if source.counted is None else source.counted


def _group(
    averages: Mapping[Key, NDArray[np.float64]], sums: Mapping[Key, Sums], clusters: Clusters, options: Options
) -> dict[Key, Found]:
    """Values and intervals that share their draws."""
    kept: dict[tuple[int, bytes], NDArray[np.float64]] = {}  # rows that several values share stay one array
    parts: dict[Key, bootstrap.Part] = {}
    for name, it in sums.items():
        there = _members(it)
        parts[name] = kept.setdefault((id(it.stats), there.tobytes()), it.stats[there]), it.value
    distinct = {values.tobytes(): values for values in averages.values()}
    columns, rows = list(distinct.values()), list(parts.values())
    if clusters is None:
        of_means, of_sums = bootstrap.intervals(columns, rows, options.samples, options.seed)
    else:
        of_means = bootstrap.cluster_mean_intervals(columns, options.samples, options.seed, clusters)
        of_sums = bootstrap.sums_intervals(rows, options.samples, options.seed, clusters)
    made: dict[Key, Found] = {}
    drawn = dict(zip(distinct, of_means, strict=True))
    for name, values in averages.items():
        made[name] = (float(values.mean()) if len(values) else None), drawn[values.tobytes()]
    for (name, (stats, value)), interval in zip(parts.items(), of_sums, strict=True):
        made[name] = _whole(sums[name].exact, stats, value), interval
    return made


def _whole(exact: float | None, stats: NDArray[np.float64], value: bootstrap.Value) -> float | None:
    """The value on all items; a count is an integer, an undefined value None."""
    if not len(stats):
        return None
    found = exact if exact is not None else float(value(stats.sum(axis=0)[None, :])[0])
    if np.isnan(found):
        return None
    return int(found) if stats.shape[1] == 1 else found


def drawn_samples(options: Options) -> int:
    """Draws of values that are computed anew: as many as were asked for, else at most `DRAWN_SAMPLES`."""
    return min(options.samples, DRAWN_SAMPLES) if options.drawn_samples is None else options.drawn_samples


def drawn_value(source: Drawn, clusters: Clusters, options: Options) -> Found:
    """A value that is computed anew for each draw, and its interval."""
    members = np.flatnonzero(source.counted)
    if not len(members):
        return None, None
    value = source.value(members)
    samples = drawn_samples(options)
    of = None if clusters is None else clusters[members]
    if source.draws is not None:
        values = source.draws(samples, options.seed, of)
        return None if np.isnan(value) else value, bootstrap.percentiles(values[~np.isnan(values)])
    rows = bootstrap.drawn_items(len(members), samples, options.seed, of)
    values = np.array([source.value(members[row]) for row in rows])
    return None if np.isnan(value) else value, bootstrap.percentiles(values[~np.isnan(values)])
