"""Caption metrics of pycocoevalcap 1.2 on texts split at white space: BLEU-1..4, ROUGE-L, CIDEr."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
ORDERS = 4
TINY, SMALL = 1e-15, 1e-9
"""What pycocoevalcap adds to numerators and denominators of BLEU."""
ROUGE_BETA = 1.2
CIDER_SIGMA = 6.0


def simple(text: str) -> str:
    """Lower case, a blank before every period, blanks collapsed: the preparation of R2Gen-style papers."""
    return " ".join(text.lower().replace(".", " .").split())


def ngrams(words: Sequence[str], n: int) -> "Counter[tuple[str, ...]]":
    """Counts of the n-grams of a text."""
    return Counter(zip(*(words[k:] for k in range(n)), strict=False))


def bleu_stats(predictions: Sequence[str], references: Sequence[str]) -> Array:
    """(texts, 10): words said, words wanted, then matches of orders 1..4, then n-grams said of orders 1..4."""
    rows = np.zeros((len(predictions), 2 + 2 * ORDERS))
    for row, prediction, reference in zip(rows, predictions, references, strict=True):
        said, wanted = prediction.split(), reference.split()
        row[:2] = len(said), len(wanted)
        for n in range(1, ORDERS + 1):
            row[1 + n] = (ngrams(said, n) & ngrams(wanted, n)).total()
            row[1 + ORDERS + n] = max(0, len(said) - n + 1)
    return rows


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
    common = longest_common(said, wanted)
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(wanted)
    return (1 + ROUGE_BETA**2) * precision * recall / (recall + ROUGE_BETA**2 * precision)


def longest_common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence of two lists of words."""
    previous = [0] * (len(b) + 1)
    for word in a:
        current = [0]
        for n, other in enumerate(b):
            current.append(previous[n] + 1 if word == other else max(previous[n + 1], current[n]))
        previous = current
    return previous[-1]


def cider(predictions: Sequence[str], references: Sequence[str]) -> Array:
    """(texts,) CIDEr of each text, 0..10. Document frequencies are those of these references."""
    wanted = [_counts(text) for text in references]
    frequency: Counter[tuple[str, ...]] = Counter()
    for counts in wanted:
        frequency.update(counts.keys())
    size = math.log(len(references)) if references else 0.0
    made = np.zeros(len(predictions))
    for number, (prediction, counts) in enumerate(zip(predictions, wanted, strict=True)):
        said_vectors, said_norms, said_length = _vectors(_counts(prediction), frequency, size)
        ref_vectors, ref_norms, ref_length = _vectors(counts, frequency, size)
        gauss = math.e ** (-((said_length - ref_length) ** 2) / (2 * CIDER_SIGMA**2))
        values = []
        for order in range(ORDERS):
            reference_vector = ref_vectors[order]
            value = math.fsum(
                min(weight, reference_vector.get(gram, 0.0)) * reference_vector.get(gram, 0.0)
                for gram, weight in said_vectors[order].items()
            )
            norm = said_norms[order] * ref_norms[order]
            values.append((value / norm if norm else value) * gauss)
        made[number] = 10.0 * sum(values) / ORDERS
    return made


def _counts(text: str) -> "Counter[tuple[str, ...]]":
    words = text.split()
    counts: Counter[tuple[str, ...]] = Counter()
    for n in range(1, ORDERS + 1):
        counts.update(ngrams(words, n))
    return counts


def _vectors(counts: "Counter[tuple[str, ...]]", frequency: Any, size: float) -> tuple[list[Any], list[float], int]:
    """tf-idf by order, their norms, and the length: the number of bigrams, as pycocoevalcap counts it."""
    vectors: list[dict[tuple[str, ...], float]] = [{} for _ in range(ORDERS)]
    squares, length = [0.0] * ORDERS, 0
    for gram, count in counts.items():
        order = len(gram) - 1
        weight = count * (size - math.log(max(1.0, frequency[gram])))
        vectors[order][gram] = weight
        squares[order] += weight**2
        length += count if order == 1 else 0
    return vectors, [math.sqrt(each) for each in squares], length
