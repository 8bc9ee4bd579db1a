"""The shapes that protocols are written in: what a metric is, what an item scored, what a block of items scored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.formats.items import Item
from rrg.metrics.options import TaskOptions

Array = NDArray[np.float64]
FRACTION, PERCENT, SCORE100, COUNT, MM = "fraction", "percent", "score100", "count", "mm"


class Metric(NamedTuple):
    """A metric of a protocol, as ``rrg score --protocols`` lists it."""

    name: str
    unit: str
    rule: str
    """What is counted, in one line."""
    hit: bool = False
    """A mean of 0/1: Wilson and Clopper-Pearson intervals stand beside the bootstrap's."""
    note: str | None = None
    """The known fault of the published program that this value reproduces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Scores of one item. A score of None leaves the item out of that mean; an absent one is of another kind."""

    scores: Mapping[str, float | None]
    answer_type: str | None = None
    unparsed: bool = False
    prediction_norm: str | None = None
    reference_norm: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of the per-item line: ``rule``, ``raises``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """A value of a whole block that is computed from sums over its items, so that it can be drawn again."""

    stats: Array
    """(items, k): one row for each item of the block."""
    value: Callable[[Array], Array]
    """(draws, k) sums -> (draws,) values; nan is undefined."""
    exact: float | None = None
    """The value by the package that defines it; None: `value` of the sums."""
    counted: NDArray[np.bool_] | None = None
    """(items,): items in the denominator; None: all. The others of the block are excluded."""
    of_kind: NDArray[np.bool_] | None = None
    """(items,): items of the metric's kind, counted or excluded; None: those that are counted."""
    signature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A value of a whole block that must be computed anew for every draw."""

    value: Callable[[NDArray[np.int64]], float]
    """Numbers of items, repeated as drawn -> the value; nan is undefined."""
    counted: NDArray[np.bool_]
    """(items,): items in the denominator."""
    draws: Callable[[int, int, NDArray[Any] | None], Array] | None = None
    """(samples, seed, cluster of each counted item) -> (samples,) values, where all draws together are quicker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What depends on the whole set of items, not on one: corpus metrics, document frequencies."""

    means: Mapping[str, Array] = field(default_factory=dict)
    """Name -> (items,) scores that only this block gives its items; nan: not of this kind."""
    sums: Mapping[str, Sums] = field(default_factory=dict)
    drawn: Mapping[str, Drawn] = field(default_factory=dict)
    signatures: Mapping[str, str] = field(default_factory=dict)
    """The package's own signature of a mean."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Name -> why a metric could not be computed here; its value is then null."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Name -> unit, where the file declares it."""
    parts: Mapping[str, Mapping[str, Mapping[str, tuple[Metric, Sums | Drawn]]]] = field(default_factory=dict)
    """Strata that are not facets of items: ``label`` or ``class`` -> its value -> name -> metric and value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One way to score a task."""

    metrics: tuple[Metric, ...]
    source: str
    """Which program, at which version, or "rrg"."""
    metrics_of: Callable[[TaskOptions], tuple[Metric, ...]] | None = None
    """Metrics whose names depend on options; `metrics` are those of the defaults."""
    score: Callable[[Sequence[Item], TaskOptions], list[Scored]]
    block: Callable[[Sequence[Item], TaskOptions], Block] | None = None
    rows: str | None = None
    """Kind of rows in files of others, as `rrg.formats.values` reads them; None: that of the task."""
    options: frozenset[str] = frozenset()
    """Names of `TaskOptions` that it knows."""
    declared: Callable[[TaskOptions, bool], TaskOptions] = lambda options, _native: options
    """Options, and whether both files are records of ours -> options complete. UsageError: something must be said."""
    check: Callable[[Sequence[Item], TaskOptions], list[str]] = lambda _items, _options: []
    """Warnings about the items, before they are scored. RrgError when they can not be meant."""
    remarks: Callable[[Sequence[Item], Sequence[Scored]], list[str]] = lambda _items, _scored: []
    """Notes that depend on what was scored."""
    metrics_name_scores: bool = False
    """``--metrics`` names the item score that is asked about, not metrics."""
    signature: Callable[[TaskOptions], Mapping[str, str]] = lambda _options: {}
    """Further parts of the result's signature."""
    notes: tuple[str, ...] = ()


def each(function: Callable[[Item], Scored]) -> Callable[[Sequence[Item], TaskOptions], list[Scored]]:
    """A rule for one answer as the `score` of a protocol. Items that differ in id and facets only are scored once."""

    def score(items: Sequence[Item], _options: TaskOptions) -> list[Scored]:
        known: dict[tuple[Any, ...], Scored] = {}
        made = []
        for item in items:
            it = item.reference
            key = (item.prediction, item.missing, it.value, it.answer_type, it.lang, it.question, it.choices)
            found = known.get(key)
            if found is None:
                found = known[key] = function(item)
            made.append(found)
        return made

    return score


def tags(options: TaskOptions) -> dict[str, str]:
    """What was done with inline tags, for the signature."""
    return {"tags": "kept" if options.keep_tags else "removed"}
