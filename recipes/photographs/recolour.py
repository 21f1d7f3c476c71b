"""Colours of hair, background, clothes and skin as the last numbers of a style code, and photos recoloured to match them.

A few hundred portraits have few colours: mostly dark hair, suits, and a blue or grey background. So training photos are
recoloured at random, region by region, and the last numbers of a photo's style code say which colours its regions have
(``facesynth.model.data.style_colours``). A model that is trained with these codes gives faces of all these colours.

Regions have soft borders: label maps refined by a guided filter with the photo as its guide (He, Sun and Tang, "Guided Image
Filtering", TPAMI 2013, equations 5 to 8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.data.style_colours import LEAST_AREA, PER_REGION, colour_of, numbers_of, to_lab, to_rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

REGIONS = ("hair", "background", "cloth")
"""The regions that are recoloured. Skin keeps its colour."""
COLOURED = (*REGIONS, "skin")
SIZE = PER_REGION * len(COLOURED)
SHARE = 0.5
"""The fraction of the photos in which a region is recoloured, for each region."""
RADIUS, EPSILON = 3, 1e-3


def mattes(photo: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Soft masks of the regions, (regions, S, S), for a photo (S, S, 3) and its label map (S, S)."""
    guide = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255

    def mean(values: Floats) -> Floats:
        return cv2.blur(values, (2 * RADIUS + 1, 2 * RADIUS + 1))  # type: ignore[return-value]

    centre = mean(guide)
    variance = mean(guide * guide) - centre * centre
    found = []
    for region in REGIONS:
        mask = (labels == CELEBAMASK_HQ.classes.index(region)).astype(np.float32)
        slope = (mean(guide * mask) - centre * mean(mask)) / (variance + EPSILON)
        offset = mean(mask) - slope * centre
        found.append(np.rint(np.clip(mean(slope) * guide + mean(offset), 0, 1) * 255))
    return np.stack(found).astype(np.uint8)


def recolour(
    photo: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    soft: NDArray[np.uint8],
    rng: np.random.Generator,
    share: float = SHARE,
) -> tuple[NDArray[np.uint8], Floats]:
    """A photo with new colours of some regions, and the code (SIZE,) of the colours that it then has.

    Numbers of a region that the photo lacks are random.

    Parameters
    ----------
    photo
        (S, S, 3), uint8.
    labels
        (S, S), its label map.
    soft
        Of :func:`mattes`.
    rng
    share
        Fraction of the photos in which a region is recoloured.
    """
    lab = to_lab(photo)
    code = rng.normal(size=SIZE).astype(np.float32)
    chosen = rng.random(len(REGIONS)) < share
    for place, region in enumerate(COLOURED):
        mask = labels == CELEBAMASK_HQ.classes.index(region)
        own = code[PER_REGION * place : PER_REGION * (place + 1)]
        if mask.mean() < LEAST_AREA:
            continue
        mean = lab[mask].mean(0)
        if region == "skin" or not chosen[place]:
            own[:] = numbers_of(region, mean)
            continue
        wanted = colour_of(region, own)
        gain = min(max((wanted[0] + 20) / (mean[0] + 20), 0.5), 1.8)
        new = np.empty_like(lab)
        new[..., 0] = np.clip(wanted[0] + gain * (lab[..., 0] - mean[0]), 0, 100)
        fuller = np.clip(new[..., 0] / max(float(wanted[0]), 1.0), 0.3, 1.3)[..., None]
        new[..., 1:] = wanted[1:] * fuller + 0.5 * (lab[..., 1:] - mean[1:])
        weight = soft[place][..., None].astype(np.float32) / 255
        lab = lab + weight * (new - lab)
    return (to_rgb(lab) if chosen.any() else photo), code
