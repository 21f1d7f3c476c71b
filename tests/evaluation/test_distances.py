from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from torch import from_numpy
from torchmetrics.image.kid import poly_mmd

from facesynth.errors import InputError
from facesynth.evaluation.metrics import distances
from facesynth.evaluation.metrics.distances import KernelDistance, Moments


def features(number: int, seed: int, dimensions: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(number, dimensions)) @ rng.normal(size=(dimensions, dimensions)) + rng.normal(
        size=dimensions
    )


def plain_frechet(a: np.ndarray, b: np.ndarray) -> float:
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(first @ second).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * root))


def test_frechet_distance_of_two_gaussians_has_a_closed_form():
    """Of covariances that commute it is the squared distance of the means and of the standard deviations."""
    rng = np.random.default_rng(0)
    turned, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    mean, other, first, second = rng.normal(size=(4, 6))
    one, two = (turned * value**2 @ turned.T for value in (first, second))
    expected = ((mean - other) ** 2).sum() + ((abs(first) - abs(second)) ** 2).sum()
    assert distances.frechet_distance(Moments(mean, one), Moments(other, two)) == pytest.approx(expected, rel=1e-9)
    assert distances.frechet_distance(Moments(mean, one), Moments(mean, one)) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_is_that_of_scipys_root():
    a, b = features(80, 1), features(60, 2)
    assert distances.frechet_distance(Moments.of([a]), Moments.of([b])) == pytest.approx(plain_frechet(a, b), rel=1e-6)


@pytest.mark.parametrize("number", [8, 40])
def test_weighted_distances_are_those_of_repeated_features(number):
    a, b = features(number, 1), features(number + 1, 2)
    rng = np.random.default_rng(3)
    of_a, of_b = rng.multinomial(number, np.full(number, 1 / number)), np.ones(number + 1, int)
    repeated = np.repeat(a, of_a, axis=0)
    expected = distances.frechet_distance(Moments.of([repeated]), Moments.of([b]))
    assert distances.weighted_frechet(a, b, of_a, of_b) == pytest.approx(expected, rel=1e-6)
    assert distances.frechet_to(repeated, Moments.of([b])) == pytest.approx(expected, rel=1e-6)


def test_moments_do_not_depend_on_how_features_arrive():
    a = features(50, 1)
    found = Moments.of([a[:7], a[7:7], a[7:30], a[30:]])
    np.testing.assert_allclose(found.mean, a.mean(0), rtol=1e-10)
    np.testing.assert_allclose(found.covariance, np.cov(a, rowvar=False), rtol=1e-10)
    assert found.count == 50


def test_moments_are_read_and_written_as_pytorch_fid_does(tmp_path):
    a = features(50, 1)
    np.savez_compressed(tmp_path / "theirs.npz", mu=a.mean(0), sigma=np.cov(a, rowvar=False))
    ours = Moments.read(tmp_path / "theirs.npz")
    assert distances.frechet_distance(ours, Moments.of([a])) == pytest.approx(0, abs=1e-9)
    ours.write(tmp_path / "ours.npz")
    with np.load(tmp_path / "ours.npz") as stored:
        assert stored["mu"][:].tolist() == a.mean(0).tolist()
        assert stored["sigma"].shape == (12, 12)


@pytest.mark.parametrize("content", [b"", b"text", {"mu": np.zeros(3)}, {"mu": np.zeros(3), "sigma": np.eye(2)}])
def test_other_files_are_no_statistics(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content) if isinstance(content, bytes) else np.savez(path, **content)
    with pytest.raises(InputError, match=r"a\.npz (cannot be read as statistics|holds mu)") as caught:
        Moments.read(path)
    assert "\n" not in str(caught.value)


def test_kid_is_that_of_torchmetrics():
    a, b = features(40, 1), features(40, 2)
    expected = poly_mmd(from_numpy(a), from_numpy(b))
    assert distances.kid(a, b) == pytest.approx(float(expected), rel=1e-4)


def test_kid_of_samples_of_one_distribution_is_zero_on_average():
    rng = np.random.default_rng(0)
    found = [distances.kid(*rng.normal(size=(2, 30, 4))) for _ in range(200)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(200)


def test_weights_count_features_and_never_with_themselves():
    a, b = features(6, 1, 3), features(5, 2, 3)
    distance = KernelDistance(a, b)
    assert distance() == pytest.approx(distances.kid(a, b))
    some = np.array([1, 1, 1, 0, 1, 1])
    assert distance(some, np.ones(5)) == pytest.approx(distances.kid(a[some > 0], b))


def test_precision_and_recall_count_what_lies_in_balls():
    true = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]])
    made = np.array([[0.1], [0.2], [0.3], [0.4], [50.0]])
    inside, found = distances.precision_recall(made, true)
    assert inside.tolist() == [True, True, True, True, False]
    assert found.tolist() == [True, True, True, True, True]  # the far face's ball reaches over all
    inside, found = distances.precision_recall(made[:4], true)
    assert found.tolist() == [True, False, False, False, False]


def test_the_nearest_may_leave_the_own_one_out():
    a = np.array([[0.0], [5.0]])
    b = np.array([[0.0], [3.0], [9.0]])
    assert distances.nearest(a, b).tolist() == pytest.approx([0, 2])
    assert distances.nearest(a, b, leave_out=np.array([0, 1])).tolist() == pytest.approx([3, 4])


def test_what_cannot_be_compared_is_refused():
    a = features(5, 1)
    with pytest.raises(InputError, match="features of 1 pictures; needed: at least 2"):
        Moments.of([a[:1]])
    with pytest.raises(InputError, match="at least 2 each"):
        distances.kid(a[:1], a)
    with pytest.raises(InputError, match="more than 3 each"):
        distances.precision_recall(a[:3], a)
    a[0, 0] = np.nan
    with pytest.raises(InputError, match="not all finite"):
        Moments.of([a])
    with pytest.raises(InputError, match="12 and 3 dimensions"):
        distances.frechet_distance(Moments.of([features(5, 1)]), Moments.of([features(5, 1, 3)]))
