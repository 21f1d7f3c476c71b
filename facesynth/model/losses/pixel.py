"""The terms of pSp's training loss that need no trained network: two batches of pictures, or latents, in; a scalar out.

The terms that need a network are in :mod:`facesynth.model.losses.lpips`, :mod:`facesynth.model.losses.identity`,
:mod:`facesynth.model.losses.moco` and :mod:`facesynth.model.losses.parsing`; :mod:`facesynth.model.losses.objective` sums all
terms.

Reference: Richardson et al., "Encoding in Style", CVPR 2021, section 3 (loss functions).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth.errors import InputError

_GREY = (0.299, 0.587, 0.114)
_SIGMA_RATIO = 1.6
_CONTRAST = 0.02
"""The difference of Gaussians at which a line has three quarters of its greatest strength."""
_CROP_REFERENCE = 256
_CROP_ROWS = (35, 223)
_CROP_COLUMNS = (32, 220)


def l2(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference.

    Parameters
    ----------
    a, b
        Pictures of the same shape, any range.

    Returns
    -------
    Tensor
        A scalar, at least 0.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    check_same_shape(a, b)
    return (a - b).square().mean()


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference.

    Parameters
    ----------
    a, b
        Pictures of one shape, any range.

    Returns
    -------
    Tensor
        A scalar.
    """
    check_same_shape(a, b)
    return (a - b).abs().mean()


def w_norm(latents: Tensor, latent_avg: Tensor | None = None) -> Tensor:
    """The distance of W+ latents from the average latent: the L2 norm over layers and dimensions, averaged over the batch.

    Parameters
    ----------
    latents
        (N, n_styles, style_dim).
    latent_avg
        (n_styles, style_dim); zero if not given.

    Returns
    -------
    Tensor
        A scalar, at least 0.

    Raises
    ------
    InputError
        If ``latents`` does not have three axes.

    References
    ----------
    Richardson et al., "Encoding in Style", CVPR 2021, section 3 (loss functions).
    """
    if latents.ndim != 3:
        raise InputError(f"latents has shape {tuple(latents.shape)}; needed: (N, n_styles, style_dim)")
    offsets = latents if latent_avg is None else latents - latent_avg
    norms: Tensor = torch.linalg.vector_norm(offsets, dim=(1, 2))
    return norms.mean()


def laplacian(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the Laplacian pyramids of two batches, with equal weights for all levels.

    It is sensitive to edges at every scale, whereas L2 mainly measures areas, and it needs no trained network.

    Parameters
    ----------
    a, b
        (N, C, H, W), any range; H and W powers of two, at least 8.

    Returns
    -------
    Tensor
        A scalar, at least 0.

    Raises
    ------
    InputError
        If the shapes differ.

    References
    ----------
    The Lap1 loss of Bojanowski et al., "Optimizing the Latent Space of Generative Networks", ICML 2018, section 3.2, with
    2 x 2 means in place of its Gaussian kernel.
    """
    check_same_shape(a, b)
    difference = a - b  # the pyramid is linear: that of the difference is the difference of the pyramids
    total, levels = difference.new_zeros(()), 0
    while difference.shape[-1] > 4:
        coarse = F.avg_pool2d(difference, 2)
        total = total + (difference - F.interpolate(coarse, scale_factor=2.0, mode="nearest")).abs().mean()
        difference, levels = coarse, levels + 1
    return (total + difference.abs().mean()) / (levels + 1)


def lines(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the line drawings of two batches of pictures.

    The drawing of a grey picture, in [0, 1], is the hyperbolic tangent of a difference of Gaussians with standard deviations of
    1/128 and 1.6/128 of the side. An edge with a contrast of 0.15 has half the strength of one with 0.65; for higher contrasts
    the strength hardly increases, so contours count by their length rather than by the colours beside them. XDoG draws a line
    where the same difference is below a threshold.

    Parameters
    ----------
    a, b
        (N, 3, S, S) in [-1, 1].

    Returns
    -------
    Tensor
        A scalar, 0 to 2.

    Raises
    ------
    InputError
        If the shapes differ from each other or from the above.

    References
    ----------
    Winnemöller, Kyprianidis, Olsen, "XDoG: an eXtended difference-of-Gaussians compendium including advanced image
    stylization", Computers & Graphics 36(6), 2012, section 2; here with both signs of the difference and no tones.
    """
    check_same_shape(a, b)
    if a.ndim != 4 or a.shape[1] != 3:
        raise InputError(f"a has shape {tuple(a.shape)}; needed: (N, 3, S, S)")
    kernel = _difference_of_gaussians(a.shape[-1] / 128).to(a)
    margin = kernel.shape[-1] // 2
    drawn = []
    for pictures in (a, b):
        grey = (pictures * pictures.new_tensor(_GREY)[:, None, None]).sum(1, keepdim=True) / 2  # contrasts as in [0, 1]
        padded = F.pad(grey, (margin,) * 4, mode="replicate")
        drawn.append((F.conv2d(padded, kernel) / _CONTRAST).tanh())
    return (drawn[0] - drawn[1]).abs().mean()


def _difference_of_gaussians(sigma: float) -> Tensor:
    """The kernel (1, 1, K, K): the narrow Gaussian minus the wide one, each with sum 1."""
    margin = math.ceil(3 * _SIGMA_RATIO * sigma)
    offsets = torch.arange(-margin, margin + 1, dtype=torch.float32)
    narrow, wide = (torch.exp(-(offsets**2) / (2 * (scale * sigma) ** 2)) for scale in (1.0, _SIGMA_RATIO))
    narrow, wide = narrow / narrow.sum(), wide / wide.sum()
    return (narrow[:, None] * narrow - wide[:, None] * wide)[None, None]


def face_crop(pictures: Tensor) -> Tensor:
    """The face in aligned pictures, without hair and surroundings: rows 35 to 222 and columns 32 to 219 of 256 px.

    Parameters
    ----------
    pictures
        (N, C, S, S), any range, aligned as in CelebA-HQ; the crop scales with S.

    Returns
    -------
    Tensor
        (N, C, H, H), a view; H is 188 for S = 256.

    Raises
    ------
    InputError
        If the pictures are not square.
    """
    if pictures.ndim != 4 or pictures.shape[2] != pictures.shape[3]:
        raise InputError(f"pictures has shape {tuple(pictures.shape)}; needed: (N, C, S, S)")
    scale = pictures.shape[2] / _CROP_REFERENCE
    top, bottom, left, right = (round(edge * scale) for edge in (*_CROP_ROWS, *_CROP_COLUMNS))
    return pictures[:, :, top:bottom, left:right]


def check_same_shape(a: Tensor, b: Tensor) -> None:
    """Check that two batches have the same shape.

    Parameters
    ----------
    a, b
        Tensors of any shape.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    if a.shape != b.shape:
        raise InputError(f"a has shape {tuple(a.shape)} and b {tuple(b.shape)}; needed: one shape")
