"""Intervals repeat numpy's and scipy's own, bit for bit where they must; of many items up to the noise of draws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, ks_2samp, norm
from scipy.stats import bootstrap as bootstrap_of

from rrg.metrics import bootstrap, cells, compare, drawing

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


def many(kind):
    """More values than are drawn by their places; each kind has its own trouble."""
    rng = np.random.default_rng(3)
    n = drawing.MANY + 1
    return {
        "hits": rng.integers(0, 2, n).astype(float),
        "thirds": rng.integers(0, 4, n) / 3,
        "even": rng.random(n),
        "skewed": rng.exponential(size=n) ** 3,
        "an outlier": np.append(rng.random(n - 1), 1e6),
        "equal": np.full(n, 0.1),
    }[kind]


@pytest.mark.parametrize("kind", ["hits", "thirds", "even", "skewed", "an outlier", "equal"])
def test_means_of_many_items_are_as_those_of_single_draws(kind):
    column = many(kind)
    found = cells.means(column, 20_000, SEED)
    index = np.random.default_rng(1).choice(len(column), (1000, len(column)))
    single = column[index].mean(axis=1)
    assert found.mean() == pytest.approx(column.mean(), abs=5 * column.std() / (len(column) * 20_000) ** 0.5 + 1e-12)
    assert found.std() == pytest.approx(column.std() / len(column) ** 0.5, rel=0.03, abs=1e-12)
    assert kind == "equal" or ks_2samp(found, single).pvalue > 0.01


@pytest.mark.parametrize("kind", ["even", "skewed"])
def test_interval_of_many_items_is_scipys_up_to_its_noise(kind):
    column = many(kind)
    made = bootstrap_of(
        (column,), np.mean, n_resamples=1000, method="percentile", batch=100, rng=np.random.default_rng(1)
    )
    (found,) = bootstrap.mean_intervals([column], 10_000, SEED)
    noise = made.standard_error * np.sqrt(0.025 * 0.975 / 1000) / norm.pdf(norm.ppf(0.025))
    assert found == pytest.approx(made.confidence_interval, abs=4 * noise)


def test_interval_of_many_hits_is_that_of_the_binomial_distribution():
    column = many("hits")
    (found,) = bootstrap.mean_intervals([column], 100_000, SEED)
    ends = binom.ppf([0.025, 0.975], len(column), column.mean()) / len(column)
    assert found == pytest.approx(ends, abs=3 / len(column))


def test_intervals_of_many_items_do_not_depend_on_one_another():
    a, b = many("thirds"), many("even")
    assert bootstrap.mean_intervals([a, b], SAMPLES, SEED) == [
        *bootstrap.mean_intervals([a], SAMPLES, SEED),
        *bootstrap.mean_intervals([b], SAMPLES, SEED),
    ]


def test_small_blocks_of_cells_give_the_same_draws(monkeypatch):
    whole = cells.means(many("even"), SAMPLES, SEED)
    monkeypatch.setattr(cells, "BLOCK", 700)
    assert cells.means(many("even"), SAMPLES, SEED) == pytest.approx(whole, rel=1e-12)


def test_sums_of_many_equal_rows_are_drawn_by_cells_and_others_by_places():
    hits, even = many("hits"), many("even")
    equal = np.column_stack([hits, np.ones(len(hits)), 1 - hits])
    assert sorted(cells.equal_rows(equal).sizes) == sorted(np.bincount(hits.astype(int)))
    assert cells.equal_rows(even[:, None]) is None
    alone, both = bootstrap.sums_intervals([(equal, bootstrap.ratio), (even[:, None], sum_of)], 5000, SEED)
    ends = binom.ppf([0.025, 0.975], len(hits), hits.mean()) / len(hits)
    assert alone == pytest.approx(ends, abs=12 / len(hits))
    index = np.random.default_rng(SEED).choice(len(even), (5000, len(even)))
    assert both == pytest.approx(np.percentile([even[row].sum() for row in index], [2.5, 97.5]), rel=1e-12)


def sum_of(drawn):
    return drawn[:, 0]


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
