"""Part masks to a label map: the merge of CelebAMask-HQ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from facesynth.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.labels import LabelScheme


def merge(parts: Mapping[str, NDArray[np.bool_]], scheme: LabelScheme) -> NDArray[np.uint8]:
    """Paint part masks over one another in the scheme's order.

    Parameters
    ----------
    parts : mapping of str to (H, W) bool array
        Part masks by part name, all of one size, at least one.
    scheme : LabelScheme
        Its order is the paint order, its ids the values.

    Returns
    -------
    (H, W) uint8 array
        The label map; 0 where no part is.

    Raises
    ------
    InputError
        If there is no part, a part is unknown to ``scheme``, or the sizes differ.

    Examples
    --------
    >>> from facesynth.labels import CELEBAMASK_HQ
    >>> skin, nose = np.ones((1, 3), bool), np.array([[False, True, False]])
    >>> merge({"nose": nose, "skin": skin}, CELEBAMASK_HQ).tolist()
    [[1, 2, 1]]
    """
    if not parts:
        raise InputError("no part mask to merge")
    unknown = sorted(set(parts) - set(scheme.parts))
    if unknown:
        raise InputError(f"part {unknown[0]!r} is not in {scheme.name}, which has: {', '.join(scheme.parts)}")
    shapes = {mask.shape for mask in parts.values()}
    if len(shapes) > 1:
        raise InputError(f"part masks differ in size: {', '.join(f'{w} x {h}' for h, w in sorted(shapes))}")
    labels = np.zeros(shapes.pop(), np.uint8)
    for number, name in enumerate(scheme.classes):
        if name in parts:
            labels[parts[name]] = number
    return labels
