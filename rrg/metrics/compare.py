"""Two systems on the same items: paired bootstrap, sign flips, McNemar, Wilcoxon, Holm."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rrg.metrics import bootstrap, drawing
from rrg.metrics.bootstrap import Array
from rrg.metrics.compare_texts import STRICT_ONLY
from rrg.metrics.table import Metric

SLACK = 1e-12
"""A flipped difference this close to the observed one counts as equal."""

STRICT = (
    Metric("M.a", "of M", "mean of M in the first file"),
    Metric("M.b", "of M", "mean of M in the second file"),
    Metric("M.diff", "of M", "B - A, paired bootstrap over items"),
    Metric("M.p_sign_flip", "p", "random sign flips of the differences, two-sided, (hits + 1) / (draws + 1)"),
    Metric("M.only_a", "count", "0/1 scores: right in A only"),
    Metric("M.only_b", "count", "0/1 scores: right in B only"),
    Metric("M.p_mcnemar", "p", "0/1 scores: exact two-sided McNemar"),
    Metric("M.wilcoxon", "statistic", "other scores: Wilcoxon signed rank, scipy's default"),
    Metric("M.p_wilcoxon", "p", "of that statistic"),
    Metric("M.p_sign_flip_holm", "p", "Holm over the metrics, when there are several"),
)
ROBUSTNESS = (
    Metric("M.a", "of M", "mean of M in distribution"),
    Metric("M.b", "of M", "mean of M under shift"),
    Metric("M.rr", "fraction", "1 - (a - b) / a; null when a = 0"),
)
_TEXTS = tuple(
    metric
    for name, what in (("bleu4", "corpus BLEU"), ("chrf2", "corpus chrF2"))
    for metric in (Metric(f"{name}.a", "score100", f"{what} of A"), Metric(f"{name}.b", "score100", f"{what} of B"))
)
_BOOTSTRAP = tuple(
    metric
    for name in ("bleu4.a", "bleu4.b", "chrf2.a", "chrf2.b")
    for metric in (
        Metric(f"{name}.bs_mean", "score100", "mean over sacrebleu's draws"),
        Metric(f"{name}.bs_halfwidth", "score100", "half of sacrebleu's 95 % interval"),
    )
)


def _text_tests(test: str, words: str) -> tuple[Metric, ...]:
    note = STRICT_ONLY if test == "ar" else None
    return tuple(Metric(f"{name}.p_{test}", "p", words, note=note) for name in ("bleu4", "chrf2"))


PROTOCOLS: Mapping[str, tuple[str, tuple[Metric, ...]]] = {
    "strict": ("rrg", STRICT),
    "sacrebleu-bs": ("sacrebleu 2.6.0", (*_TEXTS, *_BOOTSTRAP, *_text_tests("bs", "paired bootstrap, 1000 draws"))),
    "sacrebleu-ar": ("sacrebleu 2.6.0", (*_TEXTS, *_text_tests("ar", "approximate randomisation, 10000 draws"))),
    "relative-robustness": ("IML-DKFZ/sure-vqa at 417e886", ROBUSTNESS),
}
"""Protocol -> (source, metrics); M stands for each item score."""


def is_hits(*columns: Array) -> bool:
    """All scores are 0 or 1."""
    return all(np.isin(column, (0.0, 1.0)).all() for column in columns)


def sign_flip_p(differences: Array, samples: int, seed: int, clusters: NDArray[Any] | None = None) -> float | None:
    """Two-sided p of a mean difference under random signs, as ``default_rng(seed).choice([-1., 1.], (draws, n))``.

    With `clusters` the differences of a whole cluster flip together.
    """
    if not samples or not len(differences):
        return None
    observed = abs(float(differences.mean()))
    parts = differences if clusters is None else bootstrap.cluster_sums(differences[:, None], clusters)[:, 0]
    hits = 0
    for signs in _signs(len(parts), samples, seed):
        hits += int((np.abs(signs @ parts) / len(differences) >= observed - SLACK).sum())
    return (hits + 1) / (samples + 1)


def _signs(n: int, samples: int, seed: int) -> Iterator[Array]:
    generator = np.random.default_rng(seed)
    rows = max(1, drawing.BLOCK // n)
    for start in range(0, samples, rows):
        drawn = generator.integers(0, 2, size=(min(rows, samples - start), n), dtype=np.int32)
        yield drawn.astype(np.float64) * 2 - 1


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Exact two-sided McNemar: binomial with one half on the items that only one system has right."""
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0


def wilcoxon(a: Array, b: Array) -> tuple[float, float] | None:
    """Statistic and p of scipy's Wilcoxon signed-rank test; None when no item differs."""
    from scipy.stats import wilcoxon as test

    if not np.any(a != b):
        return None
    found = test(b, a)
    return float(found.statistic), float(found.pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of p-values, in their order."""
    order = sorted(range(len(values)), key=lambda n: values[n])
    adjusted, least = [0.0] * len(values), 0.0
    for rank, n in enumerate(order):
        least = max(least, min(1.0, (len(values) - rank) * values[n]))
        adjusted[n] = least
    return adjusted
