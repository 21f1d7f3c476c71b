"""Distances between sets of pictures, from a network's features of each: arrays (N, D) in, numbers out.

References: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", NeurIPS 2017
(Frechet distance); Binkowski et al., "Demystifying MMD GANs", ICLR 2018 (kernel distance); Kynkaanniemi et al., "Improved
Precision and Recall Metric for Assessing Generative Models", NeurIPS 2019.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facesynth.errors import InputError, reason_of
from facesynth.files import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.float64]

NEIGHBOURS = 3
"""k of precision and recall."""


# ---------------------------------------------------------------------------------------------------------- Frechet distance


@dataclass(frozen=True)
class Moments:
    """Mean (D,) and covariance (D, D) of features, and how many there were; None if a file does not say."""

    mean: Features
    covariance: Features
    count: int | None = None

    @classmethod
    def of(cls, parts: Iterable[NDArray[Any]]) -> Moments:
        """The moments of features that come in several arrays (N_i, D), in memory that does not grow with their number.

        Raises
        ------
        InputError
            If there are fewer than two features, or one is not finite.
        """
        count, mean, scatter = 0, np.zeros(0), np.zeros((0, 0))
        for part in parts:
            if not len(part):
                continue
            features = _finite(np.asarray(part, np.float64))
            own = features.mean(0)
            centred = features - own
            if not count:
                mean, scatter = np.zeros_like(own), np.zeros((own.size, own.size))
            total, shift = count + len(features), own - mean
            scatter += centred.T @ centred + np.outer(shift, shift) * (count * len(features) / total)
            mean, count = mean + shift * (len(features) / total), total
        if count < 2:
            raise InputError(f"there are features of {count} pictures; needed: at least 2")
        return cls(mean, scatter / (count - 1), count)

    @classmethod
    def read(cls, path: Path) -> Moments:
        """The moments in an ``.npz`` file with ``mu`` and ``sigma``, as pytorch-fid writes.

        Raises
        ------
        InputError
            If it holds anything else.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                mean, covariance = (np.asarray(stored[name], np.float64) for name in ("mu", "sigma"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
            raise InputError(
                f"{path} cannot be read as statistics: {reason_of(error)}; needed: .npz with mu and sigma"
            ) from error
        if mean.ndim != 1 or covariance.shape != (mean.size, mean.size) or not np.isfinite(covariance).all():
            raise InputError(
                f"{path} holds mu of shape {mean.shape} and sigma of shape {covariance.shape}; needed: (D,) and (D, D), finite"
            )
        return cls(mean, covariance)

    def write(self, path: Path) -> None:
        """Write them as pytorch-fid does, atomically."""
        with replacing(path) as beside, beside.open("wb") as file:
            np.savez(file, mu=self.mean, sigma=self.covariance)


def frechet_distance(a: Moments, b: Moments) -> float:
    """Squared Frechet distance between two Gaussians.

    The trace of the root of the product is that of the root of a symmetric matrix with the same eigenvalues, so that nothing is
    added to the diagonal and no imaginary part is cut off.

    Parameters
    ----------
    a, b : Moments

    Returns
    -------
    float
        At least 0.

    Raises
    ------
    InputError
        If they are of different networks.
    """
    if a.mean.shape != b.mean.shape:
        raise InputError(
            f"the statistics have {a.mean.size} and {b.mean.size} dimensions; needed: of one network, the same number"
        )
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    crossed = np.sqrt(np.linalg.eigvalsh(root @ b.covariance @ root).clip(0)).sum()
    distance = np.square(a.mean - b.mean).sum() + np.trace(a.covariance) + np.trace(b.covariance) - 2 * crossed
    return max(float(distance), 0.0)


def frechet_to(features: NDArray[Any], moments: Moments) -> float:
    """The Frechet distance of features (N, D) to given moments; fast for fewer features than dimensions.

    Raises
    ------
    InputError
        If there are fewer than two features, or they have another number of dimensions.
    """
    made = _finite(np.asarray(features, np.float64))
    if len(made) < 2 or made.shape[1] != moments.mean.size or len(made) > made.shape[1]:
        return frechet_distance(Moments.of([made]), moments)
    mean = made.mean(0)
    rows = (made - mean) / np.sqrt(len(made) - 1)
    crossed = np.sqrt(np.linalg.eigvalsh(rows @ moments.covariance @ rows.T).clip(0)).sum()
    distance = np.square(mean - moments.mean).sum() + np.square(rows).sum() + np.trace(moments.covariance)
    return max(float(distance - 2 * crossed), 0.0)


def weighted_frechet(a: Features, b: Features, of_a: NDArray[Any], of_b: NDArray[Any]) -> float:
    """The Frechet distance of features of which each counts several times, as in a resampled set.

    Parameters
    ----------
    a, b : (N, D) and (M, D) array
    of_a, of_b : (N,) and (M,) array
        How often each counts.
    """
    terms = []
    for features, counts in ((a, of_a), (b, of_b)):
        kept = counts > 0
        weights = counts[kept] / counts.sum()
        mean = weights @ features[kept]
        scale = np.sqrt(counts[kept] / (counts.sum() - 1))
        terms.append((mean, (features[kept] - mean) * scale[:, None]))
    (mean_a, rows_a), (mean_b, rows_b) = terms
    distance = np.square(mean_a - mean_b).sum() + np.square(rows_a).sum() + np.square(rows_b).sum()
    if min(len(rows_a), len(rows_b)) <= a.shape[1]:  # the same singular values, of a smaller matrix
        return max(float(distance - 2 * np.linalg.svd(rows_a @ rows_b.T, compute_uv=False).sum()), 0.0)
    return frechet_distance(Moments(mean_a, rows_a.T @ rows_a), Moments(mean_b, rows_b.T @ rows_b))


# ----------------------------------------------------------------------------------------------------------- kernel distances


class KernelDistance:
    """The unbiased squared maximum mean discrepancy of two sets, with KID's kernel, ``(x . y / D + 1) ** 3``.

    Parameters
    ----------
    a, b : (N, D) and (M, D) array
        At least two each.

    Raises
    ------
    InputError
        If a set has fewer than two features, they have different numbers of dimensions, or one is not finite.
    """

    def __init__(self, a: NDArray[Any], b: NDArray[Any]) -> None:
        first, second = (_finite(np.asarray(each, np.float64)) for each in (a, b))
        if min(len(first), len(second)) < 2 or first.shape[1] != second.shape[1]:
            raise InputError(
                f"the features have shapes {first.shape} and {second.shape}; needed: at least 2 each, of one dimension"
            )
        self.aa, self.bb, self.ab = _cubic(first, first), _cubic(second, second), _cubic(first, second)

    def __call__(self, of_a: NDArray[Any] | None = None, of_b: NDArray[Any] | None = None) -> float:
        """The distance, where each feature counts once or as often as given; NaN if all are one.

        A feature is never compared with itself.
        """
        a = np.ones(len(self.aa)) if of_a is None else of_a.astype(np.float64)
        b = np.ones(len(self.bb)) if of_b is None else of_b.astype(np.float64)
        within = 0.0
        for kernel, counts in ((self.aa, a), (self.bb, b)):
            pairs = counts.sum() ** 2 - np.square(counts).sum()
            if not pairs:  # resampling drew one picture alone
                return np.nan
            within += float(counts @ kernel @ counts - np.square(counts) @ np.diag(kernel)) / pairs
        return within - 2 * float(a @ self.ab @ b) / float(a.sum() * b.sum())


def kid(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The kernel distance of two sets of features, which is unbiased and may be slightly negative.

    Parameters
    ----------
    a, b : (N, D) and (M, D) array
    """
    return KernelDistance(a, b)()


def _cubic(x: Features, y: Features) -> Features:
    kernel: Features = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel


# ------------------------------------------------------------------------------------------------------ precision and recall


def precision_recall(
    made: NDArray[Any], true: NDArray[Any], k: int = NEIGHBOURS
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which made pictures are among the true ones, and which true pictures are among the made ones.

    A picture is among others if it is no farther from one of them than that one's k-th nearest of its own kind.

    Parameters
    ----------
    made, true : (N, D) and (M, D) array
        More than k each.
    k : int

    Returns
    -------
    (N,) and (M,) bool array
        Their means are precision and recall.

    Raises
    ------
    InputError
        If there are too few.
    """
    a, b = (_finite(np.asarray(each, np.float64)) for each in (made, true))
    if min(len(a), len(b)) <= k:
        raise InputError(f"there are features of {len(a)} and {len(b)} pictures; needed: more than {k} each")
    across = _squared(a, b)
    within = [np.partition(_squared(each, each), k, axis=1)[:, k] for each in (a, b)]
    inside: NDArray[np.bool_] = np.asarray((across <= within[1][None]).any(1))
    found: NDArray[np.bool_] = np.asarray((across <= within[0][:, None]).any(0))
    return inside, found


def nearest(a: NDArray[Any], b: NDArray[Any], *, leave_out: NDArray[Any] | None = None) -> Features:
    """The distance of every feature in ``a`` to the nearest in ``b``.

    Parameters
    ----------
    a, b : (N, D) and (M, D) array
    leave_out : (N,) int array, optional
        For each of ``a`` the index of one of ``b`` that does not count, such as its own photo.

    Returns
    -------
    (N,) float64 array
    """
    found = np.empty(len(a))
    for first in range(0, len(a), 1024):
        squared = _squared(np.asarray(a[first : first + 1024], np.float64), np.asarray(b, np.float64))
        if leave_out is not None:
            squared[np.arange(len(squared)), leave_out[first : first + 1024]] = np.inf
        found[first : first + 1024] = np.sqrt(squared.min(1))
    return found


def _squared(x: Features, y: Features) -> Features:
    """Squared distances (N, M)."""
    squared: Features = (np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T).clip(0)
    if x is y:
        np.fill_diagonal(squared, 0.0)
    return squared


def _finite(features: Features) -> Features:
    if features.ndim != 2 or not np.isfinite(features).all():
        raise InputError(
            f"the features, of shape {features.shape}, are not all finite; the network or a picture is damaged"
        )
    return features
