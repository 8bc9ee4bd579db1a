"""Confidence against correctness: calibration errors, Brier score, AUROC, risk at coverage."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rrg.formats.items import Item
from rrg.metrics.bootstrap import Array
from rrg.metrics.options import TaskOptions
from rrg.metrics.table import Block, Drawn, Scored, Sums

BINS = (15, 10)
COVERAGES = (50, 80, 90, 100)
"""Percent."""
Ints = NDArray[np.int64]


def score(items: Sequence[Item], _options: TaskOptions) -> list[Scored]:
    """Squared error of each item; none where the answer was not scored."""
    made = []
    for item in items:
        confidence, correct = item.reference.value
        error = None if correct is None else (confidence - correct) ** 2
        made.append(Scored(scores={"brier": error}, extra={"confidence": confidence, "correct": correct}))
    return made


def block(items: Sequence[Item], _options: TaskOptions) -> Block:
    """Bins from sums, ranks anew for each draw."""
    confidence = np.array([item.reference.value.confidence for item in items])
    correct = np.array([np.nan if (value := item.reference.value.correct) is None else value for item in items])
    there = ~np.isnan(correct)
    correct = np.where(there, correct, 0.0)
    all_ = np.ones(len(items), bool)
    sums = {}
    for bins in BINS:
        stats = binned(confidence, correct, bins)
        sums[f"ece{bins}"] = Sums(stats=stats, value=expected_error, counted=there, of_kind=all_)
        sums[f"mce{bins}"] = Sums(stats=stats, value=largest_error, counted=there, of_kind=all_)
    rules: dict[str, Callable[[Array, Array], float]] = {"auroc": auroc, "aurc": area_under_risk}
    rules |= {f"risk_at_{share}": _risk_at(share) for share in COVERAGES}
    return Block(sums=sums, drawn={name: _drawn(confidence, correct, there, rule) for name, rule in rules.items()})


def binned(confidence: Array, correct: Array, bins: int) -> Array:
    """(n, 2 bins): confidence - correct and 1, in the column of the bin; a value on an inner edge is in the lower."""
    edges = np.arange(1, bins) / bins
    of = np.searchsorted(edges, confidence, side="left")
    stats = np.zeros((len(confidence), 2 * bins))
    stats[np.arange(len(of)), of] = confidence - correct
    stats[np.arange(len(of)), bins + of] = 1
    return stats


def _gaps(sums: Array) -> tuple[Array, Array]:
    """(draws, bins) absolute gaps times the size of the bin, and sizes."""
    bins = sums.shape[1] // 2
    return np.abs(sums[:, :bins]), sums[:, bins:]


def expected_error(sums: Array) -> Array:
    """Mean gap, weighted by the size of the bin."""
    gaps, sizes = _gaps(sums)
    with np.errstate(invalid="ignore"):
        return np.asarray(gaps.sum(axis=1) / sizes.sum(axis=1))


def largest_error(sums: Array) -> Array:
    """Largest gap of a bin that is not empty."""
    gaps, sizes = _gaps(sums)
    return np.asarray(np.divide(gaps, sizes, out=np.zeros_like(gaps), where=sizes > 0).max(axis=1))


def auroc(confidence: Array, correct: Array) -> float:
    """Chance that a right answer is surer than a wrong one, ties a half; nan when all are right or all are wrong."""
    from scipy.stats import rankdata

    right = int(correct.sum())
    wrong = len(correct) - right
    if not (right and wrong):
        return float("nan")
    return float((rankdata(confidence)[correct == 1].sum() - right * (right + 1) / 2) / (right * wrong))


def risks(confidence: Array, correct: Array) -> Array:
    """(n,) share of wrong answers among the surest 1, 2, ... n; ties in file order."""
    order = np.argsort(-confidence, kind="stable")
    return np.asarray(np.cumsum(1 - correct[order]) / np.arange(1, len(order) + 1))


def area_under_risk(confidence: Array, correct: Array) -> float:
    """Mean risk over all coverages."""
    return float(risks(confidence, correct).mean())


def _risk_at(percent: int) -> Callable[[Array, Array], float]:
    """Risk of the surest part: the first ceil(share x n) items."""
    return lambda confidence, correct: float(risks(confidence, correct)[-(-percent * len(correct) // 100) - 1])


def _drawn(confidence: Array, correct: Array, there: NDArray[np.bool_], rule: Callable[[Array, Array], float]) -> Drawn:
    def value(members: Ints) -> float:
        members = np.sort(members)  # ties go by file order in a draw, too
        return rule(confidence[members], correct[members])

    return Drawn(value=value, counted=there)
