"""ROUGE-1, 2, L F as the package `rouge` 1.0.1 computes them: sets of n-grams, sentences end at every period.

These are other numbers than those of rouge-score, and the package's errors are part of what published scripts do.
"""

from collections.abc import Sequence
from itertools import pairwise

SMALL = 1e-8
"""What the package adds to the denominator of F, so that a perfect text scores just below 1."""


def sentences(text: str) -> list[str]:
    """The parts between periods, blanks collapsed; a part of blanks is one empty word."""
    return [" ".join(part.split()) for part in text.split(".") if part]


def rouge(prediction: str, reference: str) -> tuple[float, float, float]:
    """(ROUGE-1, ROUGE-2, ROUGE-L) F of lower-case texts. ValueError with the package's words on an empty side."""
    said, wanted = sentences(prediction), sentences(reference)
    if not said:
        raise ValueError("Hypothesis is empty.")
    if not wanted:
        raise ValueError("Reference is empty.")
    words, expected = _words(said), _words(wanted)
    one, other = set(words), set(expected)
    two, others = set(pairwise(words)), set(pairwise(expected))
    common = _longest(said, wanted) if one & other else set()
    return (
        _f(len(one & other), len(one), len(other)),
        _f(len(two & others), len(two), len(others)),
        _f(len(common), len(one), len(other)),
    )


def _words(parts: Sequence[str]) -> list[str]:
    return [word for part in parts for word in part.split(" ")]


def _longest(said: Sequence[str], wanted: Sequence[str]) -> set[str]:
    """Words of summary-level ROUGE-L: the union of the common subsequences of all pairs of sentences."""
    common: set[str] = set()
    for reference in wanted:
        for part in said:
            common |= common_words(reference.split(" "), part.split(" "))
    return common


def common_words(a: Sequence[str], b: Sequence[str]) -> set[str]:
    """Words of one longest common subsequence, the one the package walks to: on ties it drops the last word of `b`.

    Words of `b` that `a` lacks are on no path, and those that both end with are on all.
    """
    known, found = set(a), set()
    b = [word for word in b if word in known]
    while a and b and a[-1] == b[-1]:
        found.add(a[-1])
        a, b = a[:-1], b[:-1]
    if not a or not b:
        return found
    lengths = [[0] * (len(b) + 1)]
    for word in a:
        row, above = [0], lengths[-1]
        for n, other in enumerate(b):
            row.append(above[n] + 1 if word == other else max(above[n + 1], row[n]))
        lengths.append(row)
    i, j = len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            found.add(a[i - 1])
            i, j = i - 1, j - 1
        elif lengths[i - 1][j] > lengths[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found


def _f(shared: int, said: int, wanted: int) -> float:
    precision = shared / said if said else 0.0
    recall = shared / wanted if wanted else 0.0
    return 2.0 * (precision * recall / (precision + recall + SMALL))
