"""Intervals repeat numpy's and scipy's own, bit for bit where they must."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from rrg.metrics import bootstrap, compare, drawing

SAMPLES, SEED = 300, 12345


@pytest.mark.parametrize("n", [1, 2, 3, 97, 5000])
def test_draws_are_those_of_choice(n):
    blocks = np.concatenate(list(bootstrap.draws(n, SAMPLES, SEED)))
    assert np.array_equal(blocks, np.random.default_rng(SEED).choice(n, (SAMPLES, n)))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_mean_interval_is_the_documented_one(values):
    x = np.array(values)
    index = np.random.default_rng(SEED).choice(len(x), (SAMPLES, len(x)))
    low, high = np.percentile(x[index].mean(axis=1), [2.5, 97.5])
    assert bootstrap.mean_intervals([x], SAMPLES, SEED) == [(low, high)]


def test_small_blocks_give_the_same_bits(monkeypatch):
    x = np.random.default_rng(0).random(500)
    whole = bootstrap.mean_intervals([x, x**2], SAMPLES, SEED)
    monkeypatch.setattr(drawing, "BLOCK", 700)
    assert bootstrap.mean_intervals([x, x**2], SAMPLES, SEED) == whole


def test_many_items_are_added_in_another_order_and_hits_are_exact():
    rng = np.random.default_rng(3)
    n = drawing.MANY + 1
    columns = [*rng.integers(0, 2, (5, n)).astype(float), rng.random(n)]
    index = np.random.default_rng(SEED).choice(n, (40, n))
    expected = [tuple(np.percentile(column[index].mean(axis=1), [2.5, 97.5])) for column in columns]
    found = bootstrap.mean_intervals(columns, 40, SEED)
    assert found[:5] == expected[:5]
    assert found[5] == pytest.approx(expected[5], rel=1e-12)


def test_no_samples_or_no_items_is_no_interval():
    assert bootstrap.mean_intervals([np.ones(3)], 0, SEED) == [None]
    assert bootstrap.mean_intervals([np.zeros(0)], SAMPLES, SEED) == [None]
    assert bootstrap.sums_intervals([(np.zeros((0, 2)), bootstrap.ratio)], SAMPLES, SEED) == [None]


def test_cluster_interval_draws_sorted_cluster_names():
    values = np.array([1.0, 0.0, 0.0, 1.0, 1.0])
    clusters = np.array(["p2", "p10", "p2", "p1", "p10"])
    names = sorted(set(clusters))
    sums = np.array([values[clusters == name].sum() for name in names])
    counts = np.array([(clusters == name).sum() for name in names])
    index = np.random.default_rng(SEED).choice(3, (SAMPLES, 3))
    expected = np.percentile(sums[index].sum(axis=1) / counts[index].sum(axis=1), [2.5, 97.5])
    (found,) = bootstrap.cluster_mean_intervals([values], SAMPLES, SEED, clusters)
    assert np.allclose(found, expected, rtol=1e-12)


def test_clusters_of_one_item_are_items():
    values = np.random.default_rng(1).random(40)
    names = np.array([f"{n:03}" for n in range(40)])
    (by_item,) = bootstrap.mean_intervals([values], SAMPLES, SEED)
    (by_cluster,) = bootstrap.cluster_mean_intervals([values], SAMPLES, SEED, names)
    assert np.allclose(by_item, by_cluster, rtol=1e-12)


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 30), (7, 30), (30, 30), (196, 272)])
def test_hit_intervals_are_scipys(hits, n):
    test = binomtest(hits, n)
    wilson, exact = test.proportion_ci(method="wilson"), test.proportion_ci(method="exact")
    assert bootstrap.wilson(hits, n) == pytest.approx((wilson.low, wilson.high), abs=1e-9)
    assert bootstrap.clopper_pearson(hits, n) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_sign_flip_is_the_documented_one():
    differences = np.array([1.0, 0.0, 1.0, -1.0, 1.0, 1.0, 0.0, 1.0])
    signs = np.random.default_rng(SEED).choice([-1.0, 1.0], (SAMPLES, 8))
    means = (signs * differences).mean(axis=1)
    hits = (np.abs(means) >= abs(differences.mean()) - 1e-12).sum()
    assert compare.sign_flip_p(differences, SAMPLES, SEED) == (hits + 1) / (SAMPLES + 1)


def test_sign_flip_does_not_undercount_ties():
    """Three of eight items differ, all to one side: the exact p is 0.25; strictly greater alone would give 0.001."""
    p = compare.sign_flip_p(np.array([1.0, 1, 1, 0, 0, 0, 0, 0]), 10_000, SEED)
    assert p == pytest.approx(0.25, abs=0.02)
    assert compare.sign_flip_p(np.zeros(5), 100, SEED) == 1.0


def test_mcnemar_wilcoxon_holm():
    assert compare.mcnemar_p(0, 0) == 1.0
    assert compare.mcnemar_p(1, 9) == pytest.approx(binomtest(1, 10, 0.5).pvalue)
    assert compare.wilcoxon(np.ones(3), np.ones(3)) is None
    assert compare.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert compare.holm([0.5, 0.9]) == [1.0, 1.0]
