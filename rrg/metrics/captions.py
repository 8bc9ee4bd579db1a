"""Caption metrics of pycocoevalcap 1.2 on texts split at white space: BLEU-1..4, ROUGE-L, CIDEr."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rrg.metrics import ngrams

Array = NDArray[np.float64]
ORDERS = ngrams.ORDERS
TINY, SMALL = 1e-15, 1e-9
"""What pycocoevalcap adds to numerators and denominators of BLEU."""
ROUGE_BETA = 1.2
CIDER_SIGMA = 6.0


def simple(text: str) -> str:
    """Lower case, a blank before every period, blanks collapsed: the preparation of R2Gen-style papers."""
    return " ".join(text.lower().replace(".", " .").split())


class Captions(NamedTuple):
    """Pairs of texts, split at white space."""

    said: list[list[str]]
    wanted: list[list[str]]
    grams: list[ngrams.Pairs]
    """Of orders 1 to 4."""


def captions(predictions: Sequence[str], references: Sequence[str]) -> Captions:
    """Pairs of texts as BLEU and CIDEr take them."""
    said, wanted = [text.split() for text in predictions], [text.split() for text in references]
    return Captions(said, wanted, ngrams.pairs(said, wanted))


def bleu_stats(texts: Captions) -> Array:
    """(texts, 10): words said, words wanted, then matches of orders 1..4, then n-grams said of orders 1..4."""
    lengths = np.array([len(words) for words in texts.said], np.float64)
    expected = np.array([len(words) for words in texts.wanted], np.float64)
    matches = [ngrams.clipped(entries, len(lengths)) for entries in texts.grams]
    totals = [np.maximum(0, lengths - n) for n in range(ORDERS)]
    return np.column_stack([lengths, expected, *matches, *totals])


def bleu_from_sums(sums: Array, order: int) -> Array:
    """Corpus BLEU of an order, 0..1, from (draws, 10) sums of `bleu_stats`."""
    said, wanted = sums[:, 0], sums[:, 1]
    product = np.ones(len(sums))
    for n in range(order):
        product = product * (sums[:, 2 + n] + TINY) / (sums[:, 2 + ORDERS + n] + SMALL)
    ratio = (said + TINY) / (wanted + SMALL)
    penalty = np.exp(np.minimum(0.0, 1 - 1 / ratio))
    return np.asarray(product ** (1 / order) * penalty)


def rouge_l(prediction: str, reference: str) -> float:
    """ROUGE-L F of one text with beta 1.2; split at single blanks, so an empty text is one empty word."""
    said, wanted = prediction.split(" "), reference.split(" ")
    common = ngrams.longest_common(said, wanted)
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(wanted)
    return (1 + ROUGE_BETA**2) * precision * recall / (recall + ROUGE_BETA**2 * precision)


def cider(texts: Captions, chosen: NDArray[np.bool_] | None = None) -> Array:
    """(texts,) CIDEr of each text, 0..10; with `chosen` (texts,) of these, nan elsewhere.

    Document frequencies are those of the references of the chosen ones. The length that is compared is the number of
    bigrams, as in pycocoevalcap.
    """
    n = len(texts.said)
    chosen = np.ones(n, bool) if chosen is None else chosen
    size = np.log(max(1, chosen.sum()))
    total, lengths = np.zeros(n), np.zeros(n)
    for order, all_of_order in enumerate(texts.grams):
        there = chosen[all_of_order.item]
        item, gram, said, wanted = (column[there] for column in all_of_order)
        frequency = np.bincount(gram, weights=wanted > 0)
        rarity = size - np.log(np.maximum(1.0, frequency))[gram]
        said_weight, weight = said * rarity, wanted * rarity
        value = np.bincount(item, np.minimum(said_weight, weight) * weight, n)
        norm = np.sqrt(np.bincount(item, said_weight**2, n)) * np.sqrt(np.bincount(item, weight**2, n))
        total += value / np.where(norm > 0, norm, 1)
        if order == 1:
            lengths = np.asarray(np.bincount(item, said - wanted, n), np.float64)
    made = 10.0 * total * np.exp(-(lengths**2) / (2 * CIDER_SIGMA**2)) / ORDERS
    return np.where(chosen, made, np.nan)
