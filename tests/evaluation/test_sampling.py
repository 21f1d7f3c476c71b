from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from facesynth.evaluation.metrics import sampling


def test_the_interval_of_a_mean_is_scipys():
    values = np.random.default_rng(0).gamma(2, size=60)
    low, high = sampling.of_mean(values, seed=1)
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    width = expected.high - expected.low
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.1 * width)
    assert sampling.of_mean(values, seed=1) == (low, high)


def test_intervals_hold_the_mean_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = [low <= 1 <= high for low, high in (sampling.of_mean(rng.normal(1, 2, 40), 0, 200) for _ in range(300))]
    assert 0.88 < np.mean(held) < 0.98


def test_what_is_missing_is_left_out():
    assert sampling.of_mean(np.array([1.0, np.nan, 1.0]), 0) == (1, 1)
    assert np.isnan(sampling.of_mean(np.array([1.0]), 0)).all()


def test_paired_tests_see_small_differences_of_the_same_pictures():
    rng = np.random.default_rng(0)
    a = rng.normal(0, 10, 50)
    assert sampling.paired_test(a, a - 0.1 + rng.normal(0, 0.05, 50)) < 1e-6
    assert sampling.paired_test(a, a) == 1
    assert np.isnan(sampling.paired_test(a[:5], a[:5] + 1))
    noise = a + rng.normal(0, 1, 50)
    assert sampling.paired_test(a, noise) == pytest.approx(stats.wilcoxon(a, noise).pvalue)


def test_correction_keeps_the_order():
    found = sampling.corrected([0.02, np.nan, 0.001, 0.5])
    assert found[0] == pytest.approx(0.04)
    assert np.isnan(found[1])
    assert found[2:] == pytest.approx([0.003, 0.5])


def test_an_interval_around_a_value_has_the_spread_of_the_resampled_ones():
    resampled = [5.0, 7.0, 9.0, np.nan]
    assert sampling.around(1.0, resampled, 0.5, least=0.0) == (0.0, pytest.approx(1 + 1.96 * 2 * 0.5))


def test_resampled_sums_have_as_many_pictures():
    found = sampling.sums(np.ones((7, 2, 3)), seed=0, resamples=5)
    assert found.shape == (5, 2, 3)
    assert np.allclose(found, 7)
    values = np.random.default_rng(0).normal(5, 1, (400, 1))
    assert np.std(sampling.sums(values, 0) / 400) == pytest.approx(1 / 20, rel=0.15)
