"""The terms of pSp's training loss that need no trained network: pictures or latents in, one number out.

Those with one are :mod:`facesynth.model.lpips`, :mod:`facesynth.model.identity` and :mod:`facesynth.model.moco`;
:mod:`facesynth.model.objective` adds all of them up.

Reference: Richardson et al., "Encoding in Style", CVPR 2021, section 3 (loss functions).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth.errors import InputError

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
