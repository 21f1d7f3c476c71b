"""Every metric on real photographs, against another implementation."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pytorch_msssim import ms_ssim, ssim
from scipy.linalg import sqrtm
from skimage.metrics import structural_similarity
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index
from torchmetrics.functional.image import peak_signal_noise_ratio
from torchmetrics.image.kid import poly_mmd

from facesynth import images
from facesynth.evaluation.metrics import distances, fidelity
from facesynth.evaluation.metrics.lines import line_scores
from facesynth.evaluation.metrics.regions import iou_by_class, overlaps, pixel_accuracy
from facesynth.evaluation.networks import Missing, Perceptual, SeeingParser
from facesynth.model.losses.lpips import load_lpips
from facesynth.prep.sketches.drawing import draw
from facesynth.prep.sketches.presets import resolve

pytestmark = pytest.mark.real

SAMPLE = Path(os.environ.get("FACESYNTH_REAL_SAMPLE", "/nonexistent"))
SIDE, COUNT, SETS = 176, 6, 48
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    found = sorted((SAMPLE / "photos").glob("*.*"))[:SETS]
    if not found:
        pytest.skip("FACESYNTH_REAL_SAMPLE names no folder with the sample")
    return np.stack([images.resize(images.read_photo(path), (SIDE, SIDE)) for path in found])


@pytest.fixture(scope="module")
def made(photos) -> np.ndarray:
    """The photos through a poor JPEG, darker."""
    poor = [cv2.imdecode(cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 12])[1], 1) for photo in photos]
    return (0.9 * np.stack(poor)).astype(np.uint8)


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.astype(np.float64)).permute(2, 0, 1)[None]


def test_fidelity(photos, made):
    for a, b in zip(made[:COUNT], photos[:COUNT], strict=True):
        x, y = tensor(a), tensor(b)
        difference = (x - y) / 127.5
        assert fidelity.l1(a, b) == pytest.approx(difference.abs().mean().item(), rel=1e-4)
        assert fidelity.l2(a, b) == pytest.approx(difference.square().mean().item(), rel=1e-4)
        assert fidelity.psnr(a, b) == pytest.approx(peak_signal_noise_ratio(x, y, 255.0).item(), rel=1e-4)
        assert fidelity.ssim(a, b) == pytest.approx(ssim(x, y, data_range=255).item(), rel=1e-4)
        assert fidelity.ms_ssim(a, b) == pytest.approx(ms_ssim(x, y, data_range=255).item(), rel=1e-4)
        luminance, contrast = fidelity._terms(a.astype(np.float64), b.astype(np.float64))
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        theirs = structural_similarity(a, b, channel_axis=2, data_range=255, **options)
        assert (luminance * contrast).mean() == pytest.approx(theirs, rel=1e-4)


def test_regions_and_lines(photos, made):
    parser = SeeingParser("photo-parser", CPU)
    true, found = parser.both(photos[:COUNT])[0], parser.both(made[:COUNT])[0]
    n_classes = len(parser.scheme)
    counts = sum(overlaps(a, b, n_classes) for a, b in zip(true, found, strict=True))
    a, b = torch.from_numpy(found), torch.from_numpy(true)
    expected = multiclass_jaccard_index(a, b, n_classes, average="none").numpy()
    present = counts[1] > 0
    np.testing.assert_allclose(iou_by_class(counts)[present], expected[present], rtol=1e-4)
    assert pixel_accuracy(counts) == pytest.approx(
        multiclass_accuracy(a, b, n_classes, average="micro").item(), rel=1e-4
    )

    wanted, own = (draw(each[0], resolve("xdog:ink")) < 128 for each in (photos, made))
    near = [np.argwhere(each).astype(np.float64) for each in (wanted, own)]
    apart = np.sqrt(((near[0][:, None] - near[1][None]) ** 2).sum(2))
    reach = round(SIDE / 64)
    precision, recall = (apart.min(0) <= reach).mean(), (apart.min(1) <= reach).mean()
    assert line_scores(wanted, own)[:2] == pytest.approx((precision, recall), rel=1e-4)


def test_distributions(photos, made):
    parser = SeeingParser("photo-parser", CPU)
    a, b = (parser.describe(each).astype(np.float64) for each in (made, photos))
    assert distances.kid(a, b) == pytest.approx(poly_mmd(torch.from_numpy(a), torch.from_numpy(b)).item(), rel=1e-4)
    small = [each[:, :12] for each in (a, b)]  # fewer dimensions than photos: scipy's root of the others is not exact
    first, second = (np.cov(each, rowvar=False) for each in small)
    root = sqrtm(first @ second).real
    means = ((small[0].mean(0) - small[1].mean(0)) ** 2).sum()
    expected = means + np.trace(first) + np.trace(second) - 2 * np.trace(root)
    moments = [distances.Moments.of([each]) for each in small]
    assert distances.frechet_distance(*moments) == pytest.approx(expected, rel=1e-4)
    ones = np.ones(SETS)
    assert distances.weighted_frechet(*small, ones, ones) == pytest.approx(expected, rel=1e-4)


@pytest.mark.filterwarnings("ignore::UserWarning:torchvision")  # lpips uses an old name of an option
@pytest.mark.parametrize("network", ["alex", "vgg"])
def test_lpips(photos, made, network):
    published = pytest.importorskip("lpips")
    try:
        ours = Perceptual(network, None, CPU)
    except Missing as error:
        pytest.skip(str(error))
    theirs = published.LPIPS(net=network, pretrained=False, pnet_rand=True, verbose=False).eval()
    _fill(theirs, load_lpips(network=network), network)
    x, y = (torch.from_numpy(each[:COUNT]).permute(0, 3, 1, 2).float() / 127.5 - 1 for each in (made, photos))
    with torch.no_grad():
        expected = theirs(x, y)[:, 0, 0, 0].numpy()
    found = ours.between(ours.maps(made[:COUNT]), ours.maps(photos[:COUNT]))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def _fill(theirs: torch.nn.Module, ours: torch.nn.Module, network: str) -> None:
    """The weights of our LPIPS, by the published program's names."""
    own = [layer for layer in ours.features if isinstance(layer, torch.nn.Conv2d)]
    others = [layer for layer in theirs.net.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert len(own) == len(others) == {"alex": 5, "vgg": 13}[network]
    for layer, other in zip(own, others, strict=True):
        other.load_state_dict(layer.state_dict())
    for place, head in enumerate(ours.heads):
        getattr(theirs, f"lin{place}").model[1].weight.data.copy_(head)
