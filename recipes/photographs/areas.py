"""Background, flesh, hair and cloth in an aligned photo, by colour models initialised by the mesh and a mask of the person.

Each pixel's chances come from colours (a mixture of Gaussians an area, in Lab), from the mask, and from where it lies;
neighbours of like colours then agree, as in a conditional random field solved by mean field (Krähenbühl and Koltun,
"Efficient Inference in Fully Connected CRFs", NIPS 2011, with a sparse ring of neighbours instead of all). Colour models
are taken anew from the outcome, a few times over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from mesh import CHIN, FOREHEAD, L_EAR, L_EYE, OVAL, R_EAR, R_EYE, features, grown, polygon

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Area = NDArray[np.bool_]
    Floats = NDArray[np.float32]
    Offsets = list[tuple[int, int]]

GROUND, FLESH, HAIR, CLOTH = range(4)
COMPONENTS = (4, 4, 3, 5)
ROUNDS, STEPS = 2, 4
AGREEMENT, LIKENESS = 3.5, 7.0
"""Weight of the neighbours, and the scale of their colour difference in Lab."""
OFFSETS = [
    (round(r * np.sin(a)), round(r * np.cos(a)))
    for r, n in ((1, 4), (2, 8), (4, 8), (7, 8))
    for a in np.arange(n) * 2 * np.pi / n + r
]


class Colours:
    """A mixture of Gaussians over Lab colours; ``None`` for too few pixels."""

    def __init__(self, pixels: Floats, components: int, widen: float = 9.0) -> None:
        if len(pixels) > 4000:
            pixels = pixels[:: len(pixels) // 4000 + 1]
        cv2.setRNGSeed(0)
        criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 12, 0.5)
        count = max(1, min(components, len(pixels) // 40))
        _, which, _ = cv2.kmeans(pixels, count, None, criteria, 1, cv2.KMEANS_PP_CENTERS)
        self.parts = []
        for number in range(count):
            mine = pixels[which[:, 0] == number]
            if len(mine) < 8:
                continue
            spread = np.cov(mine.T) + widen * np.eye(3)
            self.parts.append((len(mine) / len(pixels), mine.mean(0), np.linalg.inv(spread), np.linalg.det(spread)))

    def log_chance(self, lab: Floats) -> Floats:
        """Logarithm of the density at (H, W, 3) colours, never below that of a colour that is anywhere."""
        total = np.full(lab.shape[:2], 1e-7)
        for share, mean, inverse, volume in self.parts:
            away = lab - mean
            far = np.einsum("...i,ij,...j->...", away, inverse, away)
            total += share * np.exp(-0.5 * far) / np.sqrt((2 * np.pi) ** 3 * volume)
        return np.log(total).astype(np.float32)


def to_lab(photo: NDArray[np.uint8]) -> Floats:
    """Slightly smoothed Lab colours, lightness 0 to 100."""
    smooth = cv2.bilateralFilter(photo, 5, 20, 2)
    return cv2.cvtColor(smooth.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _neighbours(lab: Floats, offsets: Offsets) -> Floats:
    weights = []
    for dy, dx in offsets:
        away = lab - np.roll(lab, (dy, dx), (0, 1))
        weights.append(np.exp(-0.5 * (away**2).sum(2) / LIKENESS**2) / np.hypot(dy, dx) ** 0.5)
    return np.stack(weights)


def _agree(unary: Floats, weights: Floats, offsets: Offsets, *, steps: int = STEPS) -> Floats:
    """(4, H, W) probabilities of pixels, smoothed by those of their neighbours."""
    total = weights.sum(0) + 0.3
    chances = _softmax(unary)
    for _ in range(steps):
        heard = np.zeros_like(chances)
        for weight, offset in zip(weights, offsets, strict=True):
            heard += weight * np.roll(chances, offset, (1, 2))
        chances = _softmax(unary + AGREEMENT * heard / total)
    return chances


def _softmax(values: Floats) -> Floats:
    raised = np.exp(values - values.max(0))
    return raised / raised.sum(0)


def places(mesh: Floats, person: Floats) -> tuple[Floats, dict[str, Area]]:
    """(4, H, W) log probabilities by position relative to the mesh, and the areas from which they are computed."""
    size = len(person)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    oval = polygon(mesh[list(OVAL)], size)
    chin, top = mesh[CHIN], mesh[FOREHEAD]
    eyes = (mesh[list(R_EYE)].mean(0) + mesh[list(L_EYE)].mean(0)) / 2
    height = chin[1] - top[1]
    half = (mesh[L_EAR[1], 0] - mesh[R_EAR[1], 0]) / 2
    middle = (mesh[L_EAR[1], 0] + mesh[R_EAR[1], 0]) / 2
    parts = features(mesh, size)
    brows = min(mesh[107, 1], mesh[336, 1])
    lower_face = oval & (y > brows)
    # How far below the chin, and beside the face, in heights and half widths of the face.
    below = (y - chin[1]) / height
    beside = np.abs(x - middle) / half
    out = np.zeros((4, size, size), np.float32)
    never = -12.0
    out[GROUND][grown(oval, -3)] = never
    out[HAIR][lower_face] = never
    out[CLOTH][below < -0.25] = never
    out[CLOTH] += np.clip(below * 12, -3, 0) + np.clip((below - 0.05) * 6, 0, 1.5)
    out[CLOTH][oval] = never
    throat = (below < 0.2) & (beside < 0.6)
    out[CLOTH][throat] -= 1.5
    # Flesh: the face, ears beside it, the neck below it, and a bald head above it.
    out[FLESH][beside > 1.3] = -4
    out[FLESH][(beside > 1.7) | (below > 0.6)] = never
    out[FLESH][lower_face] += 8
    out[FLESH][throat & (below > 0)] += 1.5
    out[FLESH] += np.where(below > 0, -np.clip((beside - 0.75) * 10, 0, 5) - np.clip((below - 0.25) * 14, 0, 5), 0)
    # Hair: above and beside the face; beside the neck only where it is long, which shows in a person wider than the jaw.
    low = y > mesh[R_EAR[2], 1]
    out[HAIR] += np.where(low & (beside < 0.8), -5.0, 0)
    out[HAIR][(below > 0.05) & (beside < 0.6)] = never
    for side in (x < middle, x >= middle):
        band = side & (beside > 1.1) & (beside < 1.4) & (below > -0.35) & (below < -0.1)
        if band.any() and person[band].mean() > 0.5:
            out[FLESH][side & (beside > 1.0) & (below > -0.6)] -= 3
            out[FLESH][side & (beside > 0.8) & (below > -0.3) & ~oval] -= 3
        else:
            out[HAIR] -= np.where(side & (below > -0.4), np.clip((below + 0.4) * 10, 0, 5), 0)
            out[HAIR][side & (below > 0)] = never
    return out, {
        "oval": oval,
        "parts": np.any(list(parts.values()), 0),
        "cheeks": grown(oval, -4) & (y > eyes[1]) & (y < mesh[2, 1] + 0.05 * height),
        "forehead": grown(oval, -4) & (y < brows) & (y > brows - 0.2 * height),
        "crown": (y < eyes[1]) & ~grown(oval, 2) & (beside < 1.6),
        "chest": (below > 0.12) & ((beside > 0.75) | (below > 0.3)),
    }


def find_areas(
    photo: NDArray[np.uint8],
    mesh: Floats,
    person: Floats,
    usual: Floats | None = None,
    before: Floats | None = None,
) -> Floats:
    """Probabilities of ground, flesh, hair and cloth.

    Parameters
    ----------
    photo : (H, H, 3) uint8 array
    mesh : (478, 2) float32 array
        Pixels of the photo.
    person : (H, H) float32 array
        How surely a pixel is of the person, 0 to 1.
    usual : (4, H, H) float32 array, optional
        How often each area is at a place in other photos.
    before : (4, H, H) float32 array, optional
        Initial probabilities.

    Returns
    -------
    (4, H, H) float32 array
        They come to 1 at each pixel.
    """
    size = len(photo)
    lab = to_lab(photo)
    weights = _neighbours(lab, OFFSETS)
    prior, where = places(mesh, person)
    if usual is not None:
        prior = prior + 0.6 * np.log(usual + 0.02)
    sure = np.clip(person, 0.01, 0.99)
    prior[GROUND] += 1.2 * np.log(1 - sure)
    prior[1:] += 1.2 * np.log(sure)
    skin = where["cheeks"] & ~grown(where["parts"], 1)
    flesh = Colours(lab[skin], COMPONENTS[FLESH], 12.0).log_chance(lab)
    likes_skin = flesh > np.percentile(flesh[skin], 5) - 2.5
    seeds = {
        GROUND: person < 0.1,
        FLESH: skin | (where["forehead"] & likes_skin),
        HAIR: where["crown"] & (person > 0.6) & ~likes_skin,
        CLOTH: where["chest"] & (person > 0.7) & ~likes_skin,
    }
    chances = before
    for _ in range(ROUNDS if before is None else 2):
        unary = prior.copy()
        for area, count in enumerate(COMPONENTS):
            mine = seeds[area] if chances is None else (chances[area] > 0.8) & ((area != FLESH) | ~where["parts"])
            if mine.sum() < 0.001 * size**2:
                unary[area] += -12.0
                continue
            unary[area] += Colours(lab[mine], count).log_chance(lab)
        chances = _agree(unary, weights, OFFSETS)
    assert chances is not None
    return chances


def enlarge(chances: Floats, photo: NDArray[np.uint8]) -> Floats:
    """Probabilities at the size of a larger photo, (4, H, H), with borders at its edges."""
    size = len(photo)
    large = np.stack([cv2.resize(each, (size, size), interpolation=cv2.INTER_CUBIC) for each in chances])
    unary = np.log(np.clip(large, 1e-4, 1))
    return _agree(unary, _neighbours(to_lab(photo), OFFSETS[:20]), OFFSETS[:20], steps=1)
