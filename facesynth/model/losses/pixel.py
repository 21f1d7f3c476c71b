"""The terms of pSp's training loss that need no trained network: pictures or latents in, one number out.

Those with one are :mod:`facesynth.model.losses.lpips`, :mod:`facesynth.model.losses.identity` and
:mod:`facesynth.model.losses.moco`; :mod:`facesynth.model.losses.objective` adds all of them up.

Reference: Richardson et al., "Encoding in Style", CVPR 2021, section 3 (loss functions).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth.errors import InputError

_GREY = (0.299, 0.587, 0.114)
_WIDER = 1.6
_CONTRAST = 0.02
"""The difference of Gaussians at which a line is three quarters as strong as it can be."""
_CROPPED_FROM = 256
_CROP_ROWS = (35, 223)
_CROP_COLUMNS = (32, 220)


def l2(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference.

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
    """How far W+ latents are from the average latent: the L2 norm over layers and dimensions, averaged over the batch.

    Parameters
    ----------
    latents
        (N, n_styles, style_dim).
    latent_avg
        (n_styles, style_dim); zero if not given.

    Returns
    -------
    Tensor
        A scalar.
    """
    if latents.ndim != 3:
        raise InputError(f"latents has shape {tuple(latents.shape)}; needed: (N, n_styles, style_dim)")
    offsets = latents if latent_avg is None else latents - latent_avg
    norms: Tensor = torch.linalg.vector_norm(offsets, dim=(1, 2))
    return norms.mean()


def laplacian(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of two batches' Laplacian pyramids, every level weighing the same.

    It sees edges at every scale where L2 sees mostly areas, and needs no trained network.

    Parameters
    ----------
    a, b
        (N, C, H, W), any range; H and W powers of two, at least 8.

    Returns
    -------
    Tensor
        A scalar.

    References
    ----------
    The Lap1 loss of Bojanowski et al., "Optimizing the Latent Space of Generative Networks", ICML 2018, section 3.2, with
    2 x 2 means in place of its Gaussian kernel.
    """
    check_same_shape(a, b)
    difference = a - b  # the pyramid is linear: one of the difference is the difference of two
    total, levels = difference.new_zeros(()), 0
    while difference.shape[-1] > 4:
        coarse = F.avg_pool2d(difference, 2)
        total = total + (difference - F.interpolate(coarse, scale_factor=2.0, mode="nearest")).abs().mean()
        difference, levels = coarse, levels + 1
    return (total + difference.abs().mean()) / (levels + 1)


def lines(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of what a pencil would draw of two batches of pictures.

    Of the grey picture, in [0, 1], a difference of Gaussians is taken, whose standard deviations are 1/128 and 1.6/128 of the
    side, and passed through a hyperbolic tangent: an edge of a contrast of 0.15 counts half as much as one of 0.65, and from
    there on hardly any more, so that contours weigh rather by their length than by the colours beside them. XDoG draws where
    the same difference is below a threshold.

    Parameters
    ----------
    a, b
        (N, 3, S, S) in [-1, 1].

    Returns
    -------
    Tensor
        A scalar, 0 to 2.

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
        grey = (pictures * pictures.new_tensor(_GREY)[:, None, None]).sum(1, keepdim=True) / 2  # contrasts as of [0, 1]
        padded = F.pad(grey, (margin,) * 4, mode="replicate")
        drawn.append((F.conv2d(padded, kernel) / _CONTRAST).tanh())
    return (drawn[0] - drawn[1]).abs().mean()


def _difference_of_gaussians(sigma: float) -> Tensor:
    """(1, 1, K, K): the narrower less the wider one, each of sum 1."""
    margin = math.ceil(3 * _WIDER * sigma)
    places = torch.arange(-margin, margin + 1, dtype=torch.float32)
    narrow, wide = (torch.exp(-(places**2) / (2 * (scale * sigma) ** 2)) for scale in (1.0, _WIDER))
    narrow, wide = narrow / narrow.sum(), wide / wide.sum()
    return (narrow[:, None] * narrow - wide[:, None] * wide)[None, None]


def face_crop(pictures: Tensor) -> Tensor:
    """The face in aligned pictures, without hair and surroundings: rows 35 to 222 and columns 32 to 219 of 256 px.

    Parameters
    ----------
    pictures
        (N, C, S, S), aligned as CelebA-HQ is; for other sizes the crop scales along.

    Returns
    -------
    Tensor
        (N, C, H, H); H is 188 for 256 px.
    """
    if pictures.ndim != 4 or pictures.shape[2] != pictures.shape[3]:
        raise InputError(f"pictures has shape {tuple(pictures.shape)}; needed: (N, C, S, S)")
    scale = pictures.shape[2] / _CROPPED_FROM
    top, bottom, left, right = (round(edge * scale) for edge in (*_CROP_ROWS, *_CROP_COLUMNS))
    return pictures[:, :, top:bottom, left:right]


def check_same_shape(a: Tensor, b: Tensor) -> None:
    """See that two batches of pictures have one shape.

    Raises
    ------
    InputError
        If they don't.
    """
    if a.shape != b.shape:
        raise InputError(f"a has shape {tuple(a.shape)} and b {tuple(b.shape)}; needed: one shape")
