"""Conversions between 8-bit arrays and the networks' float tensors, used by both training and inference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth import images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.model.config.model import Condition

BACKGROUND = {"labels": 0, "sketch": 255, "photo": 0}
"""Padding values for conditions that are not square: background, paper, black."""


def to_square(array: NDArray[np.uint8], fill: int) -> NDArray[np.uint8]:
    """A picture padded to a square, centred.

    Parameters
    ----------
    array : (H, W) or (H, W, C) uint8 array
    fill : int
        The padding's value, 0 to 255.

    Returns
    -------
    (S, S) or (S, S, C) uint8 array
        S is the larger of H and W.
    """
    height, width = array.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    padding = [(top, side - height - top), (left, side - width - left)] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, padding, constant_values=fill)


NARROW = 8
"""A picture more than this many times as long as it is wide is resized before it is padded: a square would take much memory."""


def square_at(array: NDArray[np.uint8], fill: int, size: int, *, labels: bool = False) -> NDArray[np.uint8]:
    """A picture padded to a square, centred, and resized.

    Parameters
    ----------
    array : (H, W) or (H, W, C) uint8 array
    fill : int
        The padding's value, 0 to 255.
    size : int
        Height and width of the result, pixels.
    labels : bool
        The values are class ids, which must not be averaged.

    Returns
    -------
    (size, size) or (size, size, C) uint8 array
    """
    height, width = array.shape[:2]
    longer = max(height, width)
    if longer > NARROW * min(height, width):
        fitted = max(1, round(height * size / longer)), max(1, round(width * size / longer))
        array = images.resize(array, fitted, labels=labels)
    return images.resize(to_square(array, fill), (size, size), labels=labels)


def condition_tensor(batch: Tensor, condition: Condition, channels: int) -> Tensor:
    """The encoder's input from a batch of 8-bit conditions.

    Parameters
    ----------
    batch : (N, H, W) or (N, H, W, 3) uint8 tensor
        Label maps, sketches or photos.
    condition : str
        labels, sketch or photo.
    channels : int
        Channels of the result; for label maps the number of classes. Not used otherwise.

    Returns
    -------
    (N, channels, H, W) float32 tensor
        One-hot label maps, sketches in [0, 1], or photos in [-1, 1].
    """
    if condition == "labels":
        return F.one_hot(batch.long(), channels).permute(0, 3, 1, 2).float()
    if condition == "sketch":
        return batch[:, None].float() / 255
    return photo_tensor(batch)


def photo_tensor(batch: Tensor) -> Tensor:
    """Photos, (N, H, W, 3) uint8, as a (N, 3, H, W) float32 tensor in [-1, 1]."""
    return batch.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pictures(faces: Tensor) -> NDArray[np.uint8]:
    """Faces, (N, 3, H, W) float, clipped to [-1, 1], as (N, H, W, 3) uint8 pictures."""
    scaled = (faces.detach().float().clamp(-1, 1) + 1) * 127.5
    pictures: NDArray[np.uint8] = scaled.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return pictures
