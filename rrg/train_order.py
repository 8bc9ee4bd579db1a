"""Which sample comes when: draw number n of a stage is a function of n alone, without memory.

Draws walk through the samples, laid out by their weights, in steps of the golden ratio: in every window of draws each
task and each sample comes as often as its weight says, to a few draws (a Kronecker sequence; Niederreiter 1992, 3.1).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rrg.errors import UsageError
from rrg.records import Sample
from rrg.seeds import rng_for
from rrg.train_text import kinds_of

GOLDEN = 0x9E3779B97F4A7C15
"""The golden ratio as a share of 2^64."""
AGAIN = 1 << 40
"""Distance of a draw from the one that stands in where its sample can not be used."""


def draw_weights(
    samples: Sequence[Sample], mix: Mapping[str, float], shares: Mapping[str, float] | None = None
) -> NDArray[np.float64]:
    """(samples,) how often each is drawn, relative to the others: its weight, times that of its kinds in `mix`.

    `shares`: task -> part of all draws, whatever the numbers of samples; tasks that are not named are not drawn.
    UsageError when a named task has no sample, or nothing is left.
    """
    weights = np.array(
        [sample.weight * math.prod(mix.get(kind, 1.0) for kind in kinds_of(sample)) for sample in samples]
    )
    if shares:
        held: Counter[str] = Counter()
        for sample, weight in zip(samples, weights, strict=True):
            held[sample.task] += weight
        for task, share in shares.items():
            if share > 0 and not held[task] > 0:
                raise UsageError(f"--shares {task}: no such task to draw; the data set has {', '.join(sorted(held))}")
        weights *= [shares.get(s.task, 0.0) / held[s.task] if held[s.task] else 0.0 for s in samples]
    if not weights.sum() > 0:
        raise UsageError("no sample has a weight above 0; look at --mix and --shares")
    return weights


class Order:
    """The order of samples by their weights, for one seed."""

    def __init__(self, samples: Sequence[Sample], weights: NDArray[np.float64], seed: int) -> None:
        rng = rng_for(seed, "train", "order")
        mixed = rng.permutation(len(samples))
        self._numbers = mixed[np.argsort([samples[n].task for n in mixed], kind="stable")]
        self._edges = np.cumsum(weights[self._numbers] / weights.sum())
        self._last = int(np.flatnonzero(weights[self._numbers] > 0)[-1])
        self._start = int(rng.integers(0, 1 << 62))

    def sample(self, draw: int, again: int = 0) -> int:
        """Number of the sample of a draw. `again`: 1, 2, ... where the samples before it could not be used."""
        place = (self._start + (draw + again * AGAIN) * GOLDEN) % (1 << 64) / (1 << 64)
        return int(self._numbers[min(int(np.searchsorted(self._edges, place, side="right")), self._last)])
