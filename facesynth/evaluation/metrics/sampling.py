"""Uncertainty: bootstrap intervals of means and paired tests between evaluations of the same pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
COVERAGE = 0.95
_FEWEST_PAIRS = 6
"""With fewer pairs no signed-rank test can find anything at 5 %."""


class Interval(NamedTuple):
    """The bounds of a 95 % interval; NaN where there are too few pictures for one."""

    low: float
    high: float


def counts(number: int, seed: int, resamples: int = RESAMPLES) -> NDArray[np.int64]:
    """How often each of ``number`` pictures is drawn in every resampled set: (resamples, number)."""
    rng = np.random.default_rng(seed)
    drawn: NDArray[np.int64] = rng.multinomial(number, np.full(number, 1 / number), resamples)
    return drawn


def sums(values: NDArray[np.float64], seed: int, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """The sums of values (N, …) over every resampled set, (resamples, …); one set at a time, for memory's sake."""
    rng, shares = np.random.default_rng(seed), np.full(len(values), 1 / len(values))
    drawn = (rng.multinomial(len(values), shares).astype(np.float64) for _ in range(resamples))
    return np.stack([np.tensordot(each, values, 1) for each in drawn])


def of_mean(values: NDArray[Any], seed: int, resamples: int = RESAMPLES) -> Interval:
    """The percentile bootstrap interval of a mean; values that are not finite are left out.

    Parameters
    ----------
    values : (N,) array
    seed, resamples : int

    Examples
    --------
    >>> of_mean(np.ones(5), seed=0)
    Interval(low=1.0, high=1.0)
    """
    kept = values[np.isfinite(values)]
    if len(kept) < 2:
        return Interval(np.nan, np.nan)
    rng = np.random.default_rng(seed)
    means = np.array([kept[rng.integers(len(kept), size=len(kept))].mean() for _ in range(resamples)])
    return percentiles(means)


def percentiles(values: NDArray[Any]) -> Interval:
    """The bounds between which 95 % of resampled values are."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Interval(np.nan, np.nan)
    low, high = np.quantile(finite, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Interval(float(low), float(high))


def around(value: float, resampled: Sequence[float], scale: float = 1.0, *, least: float = -np.inf) -> Interval:
    """An interval of 1.96 standard deviations of resampled values around a value, for those that resampling shifts.

    Parameters
    ----------
    value : float
    resampled : sequence of float
    scale : float
        Factor of the standard deviation, where it was found on a smaller set.
    least : float
        Lower bound of what the value can be.
    """
    half = 1.96 * scale * float(np.nanstd(resampled, ddof=1))
    return Interval(max(value - half, least), value + half)


def paired_test(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The p-value of Wilcoxon's signed-rank test that two metrics of the same pictures do not differ.

    Parameters
    ----------
    a, b : (N,) array
        Pairs in which either is not finite are left out.

    Returns
    -------
    float
        1 if all are equal; NaN for fewer than six pairs.
    """
    from scipy.stats import wilcoxon

    kept = np.isfinite(a) & np.isfinite(b)
    differences = a[kept] - b[kept]
    if len(differences) < _FEWEST_PAIRS:
        return float("nan")
    if not differences.any():
        return 1.0
    return float(wilcoxon(differences, method="auto").pvalue)


def corrected(values: Sequence[float]) -> list[float]:
    """P-values by Holm's step-down correction, in their order; NaN stays.

    Examples
    --------
    >>> corrected([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted((index for index, value in enumerate(values) if value == value), key=lambda index: values[index])
    found, highest = list(values), 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, values[index] * (len(order) - place)))
        found[index] = highest
    return found


def difference(a: NDArray[Any], b: NDArray[Any], seed: int) -> tuple[float, Interval]:
    """The mean of a - b over the pairs that are finite, and its interval."""
    both = np.isfinite(a) & np.isfinite(b)
    values = a[both] - b[both]
    return (float(values.mean()) if len(values) else np.nan), of_mean(values, seed)


def resampled(function: Callable[..., float], *weights: NDArray[Any]) -> list[float]:
    """What a function of counts gives for every row of them."""
    return [function(*rows) for rows in zip(*weights, strict=True)]
