"""BLEU of reports as nltk 3.9 computes it on simply prepared text: corpus, corpus smoothed, mean of sentences."""

import sys
from collections.abc import Callable, Sequence

import numpy as np

from rrg.formats.items import Item
from rrg.metrics import captions, ngrams
from rrg.metrics.bootstrap import Array
from rrg.metrics.llava_med import EVEN, sentence_bleus
from rrg.metrics.options import TaskOptions
from rrg.metrics.reports import sides
from rrg.metrics.table import Block, Scored, Sums

ORDERS = ngrams.ORDERS
EPSILON = 0.1
"""What smoothing method 1 puts in the place of no match."""


def prepared(items: Sequence[Item], options: TaskOptions) -> list[tuple[list[str], list[str]]]:
    """(words said, words wanted) of each report."""
    return [
        (captions.simple(said).split(), captions.simple(wanted).split())
        for said, wanted in zip(*sides(items, options), strict=True)
    ]


def score(items: Sequence[Item], options: TaskOptions) -> list[Scored]:
    """Sentence BLEU-1..4 of each report, without smoothing; an empty text scores 0."""
    made = []
    for item, (said, wanted) in zip(items, prepared(items, options), strict=True):
        found = sentence_bleus(said, wanted, EVEN)
        scores = {f"bleu{n}.sentence_mean": value for n, value in enumerate(found, 1)}
        made.append(Scored(scores=scores, unparsed=not said and not item.missing))
    return made


def block(items: Sequence[Item], options: TaskOptions) -> Block:
    """Corpus BLEU-1..4, plain and smoothed by method 1."""
    stats = np.array([row(said, wanted) for said, wanted in prepared(items, options)]).reshape(
        len(items), 2 + 2 * ORDERS
    )
    sums = {f"bleu{n}": Sums(stats=stats, value=corpus(n, 0.0)) for n in range(1, ORDERS + 1)}
    sums |= {f"bleu{n}.method1": Sums(stats=stats, value=corpus(n, EPSILON)) for n in range(1, ORDERS + 1)}
    return Block(sums=sums)


def row(said: Sequence[str], wanted: Sequence[str]) -> list[float]:
    """(10,): words said, words wanted, matches of orders 1..4, n-grams said of orders 1..4, at least one each."""
    matches = map(float, ngrams.matches(said, wanted))
    return [
        float(len(said)),
        float(len(wanted)),
        *matches,
        *(max(1.0, len(said) - n + 1) for n in range(1, ORDERS + 1)),
    ]


def corpus(order: int, epsilon: float) -> Callable[[Array], Array]:
    """Corpus BLEU of an order as a function of (draws, 10) sums.

    Where no n-gram matches stands `epsilon` / n-grams said; with 0 the smallest float.
    """

    def value(sums: Array) -> Array:
        said, wanted = sums[:, 0], sums[:, 1]
        matches, totals = sums[:, 2 : 2 + order], sums[:, 2 + ORDERS : 2 + ORDERS + order]
        nothing = np.maximum(epsilon / totals, sys.float_info.min) if epsilon else sys.float_info.min
        logs = np.log(np.where(matches > 0, matches / totals, nothing)).sum(axis=1) / order
        with np.errstate(divide="ignore"):
            penalty = np.where(said > wanted, 1.0, np.exp(1 - wanted / np.maximum(said, sys.float_info.min)))
        return np.where(sums[:, 2] > 0, penalty * np.exp(logs), 0.0)

    return value
