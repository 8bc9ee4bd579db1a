"""n-grams of pairs one by one and all at once, and sums over draws: against plain counting."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rrg.metrics import drawing, ngrams

texts = st.lists(st.sampled_from("abcd"), max_size=7)


def grams(words, n):
    return Counter(zip(*(words[k:] for k in range(n)), strict=False))


@settings(max_examples=60, deadline=None)
@given(texts, texts)
def test_matches_are_multiset_intersections(a, b):
    assert ngrams.matches(a, b) == [(grams(a, n) & grams(b, n)).total() for n in (1, 2, 3, 4)]


@settings(max_examples=60, deadline=None)
@given(texts, texts)
def test_longest_common_is_the_table(a, b):
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, x in enumerate(a, 1):
        for j, y in enumerate(b, 1):
            table[i, j] = table[i - 1, j - 1] + 1 if x == y else max(table[i - 1, j], table[i, j - 1])
    assert ngrams.longest_common(a, b) == table[-1, -1]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(texts, texts), max_size=6))
def test_all_pairs_at_once(pairs):
    found = ngrams.pairs([a for a, _ in pairs], [b for _, b in pairs])
    for n, entries in enumerate(found, 1):
        expected = [(grams(a, n), grams(b, n)) for a, b in pairs]
        assert ngrams.clipped(entries, len(pairs)).tolist() == [(a & b).total() for a, b in expected]
        assert entries.said.sum() == sum(a.total() for a, _ in expected)
        assert entries.wanted.sum() == sum(b.total() for _, b in expected)
        in_references = np.bincount(entries.gram, weights=entries.wanted > 0)
        frequency = Counter(gram for _, b in expected for gram in b)
        assert sorted(each for each in in_references.tolist() if each) == sorted(frequency.values())


def test_sums_over_draws():
    rng = np.random.default_rng(0)
    n = 300
    columns = [rng.integers(0, 2, n).astype(float), rng.random(n), rng.integers(0, 10**6, n).astype(float)]
    columns += [columns[0].copy(), -columns[0], *(rng.random(n) for _ in range(drawing.FEW))]
    index = rng.integers(0, n, (7, n), dtype=np.int32)
    found = drawing.Summed(columns).over(index)
    for k, column in enumerate(columns):
        exact = column[index].sum(axis=1)
        whole = (column == np.rint(column)).all()
        assert (found[:, k] == exact).all() if whole else np.allclose(found[:, k], exact, rtol=1e-12)
    assert drawing.Summed([]).over(index).shape == (7, 0)
    assert drawing.counted(index, n).sum() == 7 * n
