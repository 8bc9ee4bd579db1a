"""The shapes that protocols are written in: what a metric is, what an item scored, what a block of items scored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.formats.items import Item

Array = NDArray[np.float64]


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
    signature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What depends on the whole set of items, not on one: corpus metrics, document frequencies."""

    means: Mapping[str, Array] = field(default_factory=dict)
    """Name -> (items,) scores that only this block gives its items; nan: not of this kind."""
    sums: Mapping[str, Sums] = field(default_factory=dict)
    signatures: Mapping[str, str] = field(default_factory=dict)
    """The package's own signature of a mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions:
    """Options that only some protocols know; each has the default of the command line."""

    keep_tags: bool = False
    tokenize: str = "13a"
    lowercase: bool = False
    rouge_tokenizer: str = "default"
    box_format: str | None = None
    box_unit: str | None = None
    max_out_of_range: float = 0.05
    syntax: str | None = None
    match: str = "exact"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One way to score a task."""

    metrics: tuple[Metric, ...]
    source: str
    """Which program, at which version, or "rrg"."""
    score: Callable[[Sequence[Item], TextOptions], list[Scored]]
    block: Callable[[Sequence[Item], TextOptions], Block] | None = None
    options: frozenset[str] = frozenset()
    """Names of `TextOptions` that it knows."""
    signature: Callable[[TextOptions], Mapping[str, str]] = lambda _options: {}
    """Further parts of the result's signature."""
    notes: tuple[str, ...] = ()


def each(function: Callable[[Item], Scored]) -> Callable[[Sequence[Item], TextOptions], list[Scored]]:
    """A per-item rule as the `score` of a protocol."""
    return lambda items, _options: [function(item) for item in items]
