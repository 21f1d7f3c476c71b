from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from pytorch_msssim import ms_ssim as plain_ms_ssim
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio

from facesynth.errors import InputError
from facesynth.evaluation.metrics import fidelity


def pictures(side: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two smooth pictures that resemble each other."""
    rng = np.random.default_rng(seed)
    first = cv2.resize(
        rng.integers(0, 256, (side // 8, side // 8, 3), np.uint8), (side, side), interpolation=cv2.INTER_CUBIC
    )
    return first, np.clip(first + rng.normal(0, 20, first.shape), 0, 255).astype(np.uint8)


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.astype(np.float64)).permute(2, 0, 1)[None]


def test_differences_are_plain_means():
    a, b = pictures(32)
    difference = a / 127.5 - b / 127.5
    assert fidelity.l1(a, b) == pytest.approx(np.abs(difference).mean(), rel=1e-6)
    assert fidelity.l2(a, b) == pytest.approx((difference**2).mean(), rel=1e-6)
    assert fidelity.psnr(a, b) == pytest.approx(peak_signal_noise_ratio(tensor(a), tensor(b), 255.0).item(), rel=1e-4)
    assert fidelity.psnr(a, a) == math.inf


def plain_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al.'s definition, with sums over every window."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    found = []
    for channel in range(3):
        x, y = (each[..., channel].astype(np.float64) for each in (a, b))
        for row in range(x.shape[0] - 10):
            for column in range(x.shape[1] - 10):
                p, q = (each[row : row + 11, column : column + 11] for each in (x, y))
                mean_p, mean_q = (window * p).sum(), (window * q).sum()
                covariance = (window * (p - mean_p) * (q - mean_q)).sum()
                variances = (window * (p - mean_p) ** 2).sum() + (window * (q - mean_q) ** 2).sum()
                found.append(
                    (2 * mean_p * mean_q + 6.5025)
                    * (2 * covariance + 58.5225)
                    / ((mean_p**2 + mean_q**2 + 6.5025) * (variances + 58.5225))
                )
    return float(np.mean(found))


def test_ssim_is_the_published_definition():
    a, b = pictures(24)
    assert fidelity.ssim(a, b) == pytest.approx(plain_ssim(a, b), rel=1e-4)
    assert fidelity.ssim(a, a) == pytest.approx(1.0)


def test_ms_ssim_is_that_of_another_implementation():
    a, b = pictures(176)
    expected = plain_ms_ssim(tensor(a).float(), tensor(b).float(), data_range=255, size_average=True).item()
    assert fidelity.ms_ssim(a, b) == pytest.approx(expected, rel=1e-4)
    assert fidelity.ms_ssim(a, a) == pytest.approx(1.0)
    assert fidelity.ms_ssim(a, 255 - a) < 0.2


def test_its_scales_are_those_of_ssim():
    a, b = pictures(48)
    luminance, contrast = fidelity._terms(a.astype(np.float64), b.astype(np.float64))
    expected = structural_similarity(
        a, b, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert (luminance * contrast).mean() == pytest.approx(expected, rel=1e-6)


def test_blur_takes_sharpness():
    a, _ = pictures(64)
    assert fidelity.sharpness(cv2.GaussianBlur(a, (0, 0), 2)) < 0.5 * fidelity.sharpness(a)
    assert fidelity.sharpness(np.full((64, 64, 3), 7, np.uint8)) == 0


@pytest.mark.parametrize(("name", "side"), [("l1", 8), ("psnr", 8), ("ssim", 10), ("ms_ssim", 160)])
def test_what_is_too_small_or_of_another_shape_is_refused(name, side):
    function, picture = getattr(fidelity, name), np.zeros((side, side, 3), np.uint8)
    with pytest.raises(InputError, match="needed: one shape"):
        function(picture, picture[:-1])
    if "ssim" in name:
        with pytest.raises(InputError, match="sides of at least"):
            function(picture, picture)
