"""Arrays to tensors and back: one-hot label maps and value ranges, for training and translating alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.model.config.model import Condition

BACKGROUND = {"labels": 0, "sketch": 255, "photo": 0}
"""What lies around a condition that is not square: background, paper, black."""


def to_square(array: NDArray[np.uint8], fill: int) -> NDArray[np.uint8]:
    """The picture centred on a square as wide as its longer side, the rest ``fill``."""
    height, width = array.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    around = [(top, side - height - top), (left, side - width - left)] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, around, constant_values=fill)


def condition_tensor(batch: Tensor, condition: Condition, channels: int) -> Tensor:
    """What the encoder takes, from 8-bit pictures.

    Parameters
    ----------
    batch : (N, H, W) or (N, H, W, 3) uint8 tensor
        Label maps, sketches or photos.
    condition : str
        Which of them.
    channels : int
        Channels wanted: the number of classes for label maps.

    Returns
    -------
    (N, channels, H, W) float tensor
        One-hot label maps, sketches in [0, 1], or photos in [-1, 1].
    """
    if condition == "labels":
        return F.one_hot(batch.long(), channels).permute(0, 3, 1, 2).float()
    if condition == "sketch":
        return batch[:, None].float() / 255
    return photo_tensor(batch)


def photo_tensor(batch: Tensor) -> Tensor:
    """Photos (N, H, W, 3) uint8 as (N, 3, H, W) float in [-1, 1]."""
    return batch.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pictures(faces: Tensor) -> NDArray[np.uint8]:
    """Faces (N, 3, H, W) in [-1, 1], clipped there, as (N, H, W, 3) uint8 pictures."""
    scaled = (faces.detach().float().clamp(-1, 1) + 1) * 127.5
    pictures: NDArray[np.uint8] = scaled.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return pictures
