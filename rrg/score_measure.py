"""Values and intervals of a set of items: means over items, values from sums, values that are computed anew."""

import os
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rrg.formats.items import Item
from rrg.metrics import bootstrap
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import DRAWN_SAMPLES, Block, Drawn, Metric, Protocol, Scored, Sums
from rrg.score_options import Json, Options

Clusters = NDArray[Any] | None
Bools = NDArray[np.bool_]
Found = tuple[float | None, bootstrap.Interval | None]
Column = tuple[NDArray[np.float64], Bools]
"""(items,) scores, nan where there is none, and which items are of the metric's kind."""


def measure(
    protocol: Protocol,
    wanted: Sequence[Metric],
    items: Sequence[Item],
    scored: Sequence[Scored],
    clusters: Clusters,
    options: Options,
    task_options: TaskOptions,
    chosen: NDArray[np.int64] | None = None,
) -> tuple[Json, Block]:
    """Metric objects of a set of items (all, or those at `chosen`), and what depends on that set."""
    if chosen is not None:
        items, scored = [items[n] for n in chosen], [scored[n] for n in chosen]
        clusters = None if clusters is None else clusters[chosen]
    block = protocol.block(items, task_options) if protocol.block else Block()
    wanted = [metric._replace(unit=block.units.get(metric.name, metric.unit)) for metric in wanted]
    flags = flags_of(items, scored)
    whole: dict[str, Sums | Drawn] = {**block.sums, **block.drawn}
    columns = {
        metric.name: column(metric.name, scored, block)
        for metric in wanted
        if metric.name not in whole and metric.name not in block.skipped
    }
    intervals = mean_intervals(columns, clusters, options)
    values = block_values(block.sums, block.drawn, [metric.name for metric in wanted], clusters, options)
    made: Json = {}
    for metric in wanted:
        if metric.name in block.skipped:
            kind = np.ones(len(items), bool)
            made[metric.name] = metric_object(metric, (None, None), ~kind, kind, flags)
            made[metric.name]["skipped"] = block.skipped[metric.name]
        elif metric.name in whole:
            made[metric.name] = block_object(metric, whole[metric.name], values[metric.name], flags, options)
        else:
            made[metric.name] = _mean_object(metric, columns[metric.name], intervals[metric.name], flags, block)
    return made, block


def parts(
    block: Block, items: Sequence[Item], scored: Sequence[Scored], clusters: Clusters, options: Options
) -> dict[str, Any]:
    """Metric objects of a block's own strata: of each label, of each class."""
    flags = flags_of(items, scored)
    return {facet: _parts(members, clusters, flags, options) for facet, members in block.parts.items()}


def _parts(
    members: Mapping[str, Mapping[str, tuple[Metric, Sums | Drawn]]],
    clusters: Clusters,
    flags: tuple[Bools, Bools],
    options: Options,
) -> Json:
    named = {(value, name): each for value, metrics in members.items() for name, each in metrics.items()}
    sums = {key: it for key, (_, it) in named.items() if isinstance(it, Sums)}
    drawn = {key: it for key, (_, it) in named.items() if isinstance(it, Drawn)}
    values = block_values(sums, drawn, list(named), clusters, options)
    made: Json = {value: {} for value in members}
    for (value, name), (metric, it) in named.items():
        made[value][name] = block_object(metric, it, values[value, name], flags, options)
    return made


def flags_of(items: Sequence[Item], scored: Sequence[Scored]) -> tuple[Bools, Bools]:
    """(items,) missing and (items,) unparsed."""
    return np.array([item.missing for item in items], bool), np.array([each.unparsed for each in scored], bool)


def metric_object(metric: Metric, found: Found, counted: Bools, of_kind: Bools, flags: tuple[Bools, Bools]) -> Json:
    """One metric as the result holds it."""
    value, interval = found
    missing, unparsed = flags
    return {
        "value": value,
        "unit": metric.unit,
        "n": int(counted.sum()),
        "n_missing": int((counted & missing).sum()),
        "n_unparsed": int((counted & unparsed).sum()),
        "n_excluded": int((of_kind & ~counted).sum()),
        "ci95": None if interval is None else list(interval),
        **({"note": metric.note} if metric.note else {}),
    }


def block_object(
    metric: Metric, source: Sums | Drawn, found: Found, flags: tuple[Bools, Bools], options: Options
) -> Json:
    """A metric of the whole block."""
    counted = np.ones(len(flags[0]), bool) if source.counted is None else source.counted
    of_kind = source.of_kind if isinstance(source, Sums) and source.of_kind is not None else counted
    made = metric_object(metric, found, counted, of_kind, flags)
    if isinstance(source, Sums) and source.signature:
        made["signature"] = source.signature
    if isinstance(source, Drawn) and found[1] is not None and options.samples > DRAWN_SAMPLES:
        made["samples"] = DRAWN_SAMPLES
    return made


def _mean_object(
    metric: Metric, scores: Column, interval: bootstrap.Interval | None, flags: tuple[Bools, Bools], block: Block
) -> Json:
    values, of_kind = scores
    counted = np.isfinite(values)
    value = float(values[counted].mean()) if counted.any() else None
    made = metric_object(metric, (value, interval), counted, of_kind, flags)
    if metric.name in block.signatures:
        made["signature"] = block.signatures[metric.name]
    if metric.hit and counted.any():
        hits, n = round(float(values[counted].sum())), int(counted.sum())
        made["wilson95"] = list(bootstrap.wilson(hits, n))
        made["exact95"] = list(bootstrap.clopper_pearson(hits, n))
    return made


def column(name: str, scored: Sequence[Scored], block: Block) -> Column:
    """(items,) scores of a metric, nan where there is none, and which items are of its kind."""
    if name in block.means:
        return block.means[name], ~np.isnan(block.means[name])
    values = np.full(len(scored), np.nan)
    of_kind = np.zeros(len(scored), bool)
    for number, each in enumerate(scored):
        if name in each.scores:
            of_kind[number] = True
            if (score := each.scores[name]) is not None:
                values[number] = score
    return values, of_kind


def mean_intervals(
    columns: Mapping[str, Column], clusters: Clusters, options: Options
) -> dict[str, bootstrap.Interval | None]:
    """Intervals of all means. Scores of the same items share their draws; other sets are drawn in parallel."""
    groups: dict[bytes, list[str]] = {}
    for name, (values, _) in columns.items():
        groups.setdefault(np.isfinite(values).tobytes(), []).append(name)

    def work(names: list[str]) -> list[bootstrap.Interval | None]:
        there = np.isfinite(columns[names[0]][0])
        chosen = [columns[name][0][there] for name in names]
        if clusters is None:
            return bootstrap.mean_intervals(chosen, options.samples, options.seed)
        return bootstrap.cluster_mean_intervals(chosen, options.samples, options.seed, clusters[there])

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        found = list(pool.map(work, groups.values()))
    return {
        name: interval
        for names, intervals in zip(groups.values(), found, strict=True)
        for name, interval in zip(names, intervals, strict=True)
    }


Key = TypeVar("Key", bound=Hashable)


def block_values(
    sums: Mapping[Key, Sums], drawn: Mapping[Key, Drawn], wanted: Sequence[Key], clusters: Clusters, options: Options
) -> dict[Key, Found]:
    """Values and intervals of what belongs to the block; sums over the same items share their draws."""
    groups: dict[bytes, list[Key]] = {}
    made: dict[Key, Found] = {}
    for name in wanted:
        if (each := sums.get(name)) is not None:
            groups.setdefault(b"" if each.counted is None else each.counted.tobytes(), []).append(name)
        elif name in drawn:
            made[name] = drawn_value(drawn[name], clusters, options)
    for names in groups.values():
        counted = sums[names[0]].counted
        chosen = clusters if clusters is None or counted is None else clusters[counted]
        each_rows = {id(sums[name].stats): sums[name].stats for name in names}
        if counted is not None:
            each_rows = {key: stats[counted] for key, stats in each_rows.items()}
        rows = [(each_rows[id(sums[name].stats)], sums[name].value) for name in names]
        intervals = bootstrap.sums_intervals(rows, options.samples, options.seed, chosen)
        for name, (stats, value), interval in zip(names, rows, intervals, strict=True):
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


def drawn_value(source: Drawn, clusters: Clusters, options: Options) -> Found:
    """A value that is computed anew for each draw, and its interval from at most `DRAWN_SAMPLES` draws."""
    members = np.flatnonzero(source.counted)
    if not len(members):
        return None, None
    value = source.value(members)
    samples = min(options.samples, DRAWN_SAMPLES)
    of = None if clusters is None else clusters[members]
    if source.draws is not None:
        values = source.draws(samples, options.seed, of)
        return None if np.isnan(value) else value, bootstrap.percentiles(values[~np.isnan(values)])
    rows = bootstrap.drawn_items(len(members), samples, options.seed, of)
    values = np.array([source.value(members[row]) for row in rows])
    return None if np.isnan(value) else value, bootstrap.percentiles(values[~np.isnan(values)])
