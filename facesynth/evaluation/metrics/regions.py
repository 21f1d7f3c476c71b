"""Agreement of label maps: what a parser sees in faces against the maps that they were made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facesynth.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def overlaps(true: NDArray[np.uint8], found: NDArray[np.uint8], n_classes: int) -> NDArray[np.int64]:
    """Pixels by class: in both maps, in the true one, in the found one.

    Parameters
    ----------
    true, found : (H, W) uint8 array
        Class ids.
    n_classes : int

    Returns
    -------
    (3, n_classes) int64 array

    Raises
    ------
    InputError
        If the shapes differ or an id is too high.

    Examples
    --------
    >>> overlaps(np.array([[0, 1]], np.uint8), np.array([[0, 0]], np.uint8), 2).tolist()
    [[1, 0], [1, 1], [2, 0]]
    """
    if true.shape != found.shape:
        raise InputError(f"the true map has shape {true.shape}, the found one {found.shape}; needed: one shape")
    highest = int(max(true.max(initial=0), found.max(initial=0)))
    if highest >= n_classes:
        raise InputError(f"a label map holds the class id {highest}; needed: less than {n_classes}")
    parts = (true[true == found], true.ravel(), found.ravel())
    return np.stack([np.bincount(part, minlength=n_classes) for part in parts]).astype(np.int64)


def iou_by_class(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union by class; NaN for classes that the true maps do not have.

    Parameters
    ----------
    counts : (..., 3, n_classes) array
        Sums of :func:`overlaps`.

    Returns
    -------
    (..., n_classes) float64 array
    """
    both, true, found = (counts[..., row, :].astype(np.float64) for row in range(3))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(true > 0, both / (true + found - both), np.nan)


def pixel_accuracy(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Share of the pixels whose class is right.

    Parameters
    ----------
    counts : (..., 3, n_classes) array
        Sums of :func:`overlaps`.

    Returns
    -------
    (...) float64 array
    """
    share: NDArray[np.float64] = counts[..., 0, :].sum(-1) / counts[..., 1, :].sum(-1)
    return share
