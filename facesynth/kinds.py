"""What a picture is: a picture in; label map, sketch, photo, blank sheet, or unsure out, with the reason.

Exact evidence decides first: values that are class ids, colours that are a known table's, a sheet without any mark. All else is
measured on a small copy, by :func:`measure`: areas of one colour, lines beside paper, tones, saturation. A linear classifier
(multinomial logistic regression) decides by these numbers, unless its best answer has too little probability.
``recipes/recognise/fit.py`` fits it to pictures that it makes and writes ``kinds.json``; ``benchmarks/recognise.py`` counts the
errors on others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import cv2
import numpy as np

from facesynth import _png
from facesynth.colour_tables import FEWEST_CLASSES, NEAR, find_table, nearest_colours
from facesynth.decoding import naming, palette_colours, to_flat, to_rgb, with_depth
from facesynth.label_maps import decode_array
from facesynth.labels import CELEBAMASK_HQ

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.images import Picture
    from facesynth.labels import LabelScheme

    RGB = NDArray[np.uint8]
    Floats = NDArray[np.float32]

Kind = Literal["labels", "sketch", "photo", "blank", "unsure"]
NAMES = {"labels": "a label map", "sketch": "a sketch", "photo": "a photo", "blank": "a blank sheet"}
"""The kinds in messages."""

_SMALL = 256
"""The longer side of the copy that is measured, pixels."""
_VOID = 255
"""The value of pixels that an annotation leaves out."""
_MOST_LOSSY = 40
"""A grey picture whose values are all below this holds class ids that a lossy compression changed, or of another scheme."""
_SAMPLE = 1 << 14
"""Pixels by which a picture's colours are compared with the tables'."""
_CERTAIN = 15
"""So many frequent ids need no areas: the noise of a dark sheet has fewer values."""
_FAINTEST = 0.015
"""Difference from its surroundings, as a fraction of their tone, that a mark on a sheet exceeds after a slight blur."""
_NOISE = 0.85
"""The same as a multiple of the mean difference of neighbouring pixels, which is noise on a sheet."""
_DARKEST = 64
"""Tones below this count as this: noise is large beside them."""
_MARKED = 0.002
"""Least share of a sheet that marks cover, with their blur."""


@dataclass(frozen=True)
class Recognised:
    """What a picture is.

    Attributes
    ----------
    kind : str
        labels, sketch, photo, blank or unsure.
    reason : str
        The evidence, for messages.
    """

    kind: Kind
    reason: str


def recognise(picture: Picture, scheme: LabelScheme = CELEBAMASK_HQ) -> Recognised:
    """What a picture is, by its content.

    Parameters
    ----------
    picture : Picture
    scheme : LabelScheme
        Of label maps.

    Raises
    ------
    PictureError
        If it cannot be decoded.

    Examples
    --------
    >>> from facesynth.images import Picture
    >>> recognise(Picture.of(np.full((64, 64), 255, np.uint8))).kind
    'blank'
    >>> recognise(Picture.of(np.repeat(np.arange(4, dtype=np.uint8), 64).reshape(16, 16)))
    Recognised(kind='labels', reason='class ids 0 to 3 in areas')
    """
    if picture.is_array:
        decode_array(picture.data, picture.path)
        return Recognised("labels", "an array of whole numbers")
    with naming(picture.path):
        rgb = _rgb(picture)
        return _exactly(picture, rgb, scheme) or _by_measures(rgb)


def undecided(picture: Picture, scheme: LabelScheme = CELEBAMASK_HQ) -> RGB | None:
    """The picture as the classifier takes it, (H, W, 3); None if exact evidence decides what it is.

    Parameters
    ----------
    picture, scheme
        As for :func:`recognise`.
    """
    rgb = _rgb(picture)
    return None if _exactly(picture, rgb, scheme) else rgb


# ------------------------------------------------------------------------------------------------------ exact evidence


def _exactly(picture: Picture, rgb: RGB, scheme: LabelScheme) -> Recognised | None:
    decoded = with_depth(to_flat(picture.pillow), picture.data)
    return _by_ids(decoded, scheme) or _by_colours(decoded, scheme) or _by_marks(rgb)


def _by_ids(decoded: _png.Decoded, scheme: LabelScheme) -> Recognised | None:
    """Whether a picture holds class ids: whole numbers in one channel, in equal channels, or in a palette of such greys."""
    ids = _single_channel(decoded)
    if ids is None:
        return None
    used, counts = np.unique(ids, return_counts=True)
    classes = used[used != _VOID]
    if len(classes) < 2 or (len(classes) < len(used) and len(classes) < 3):
        return None
    if classes[-1] >= max(len(scheme), _MOST_LOSSY) or classes[0] < 0:
        return None
    if np.count_nonzero(counts > 0.01 * ids.size) < _CERTAIN and not _has_areas(ids.astype(np.uint8)):
        return None
    if classes[-1] < len(scheme):
        void = " and 255 for no class" if len(classes) < len(used) else ""
        return Recognised("labels", f"class ids {classes[0]} to {classes[-1]}{void} in areas")
    if used[-1] < _MOST_LOSSY and decoded.mode[0] != "I":
        return Recognised(
            "labels", f"no value above {used[-1]}: class ids, changed by lossy compression or of another scheme"
        )
    return None


def _single_channel(decoded: _png.Decoded) -> NDArray[np.integer] | None:
    """The values of a picture that may be class ids, (H, W); None if it has colours or was scaled to 8 bits."""
    pixels, mode = decoded.pixels, decoded.mode
    if mode == "P":
        colours = palette_colours(decoded)[:, :3]
        return None if np.ptp(colours[np.unique(pixels)], axis=1).any() else colours[:, 0][pixels]
    if mode == "L" or mode.startswith("I"):
        return pixels
    if mode == "LA":
        return np.asarray(pixels[..., 0])
    if mode in ("RGB", "RGBA") and not np.ptp(pixels[..., :3], axis=2).any():
        return np.asarray(pixels[..., 0])
    return None


def _has_areas(ids: NDArray[np.uint8]) -> bool:
    """Whether values have areas, which noise has not."""
    smooth = cv2.medianBlur(np.ascontiguousarray(ids), 5)
    return bool(np.ptp(smooth)) and 4 * np.count_nonzero(smooth != ids) < ids.size


def _by_colours(decoded: _png.Decoded, scheme: LabelScheme) -> Recognised | None:
    """Whether a picture has the colours of a known table, exactly or nearly so."""
    if decoded.mode not in ("P", "RGB", "RGBA"):
        return None
    step = max(1, int(np.sqrt(decoded.pixels.shape[0] * decoded.pixels.shape[1] / _SAMPLE)))
    pixels = decoded.pixels[::step, ::step]
    if decoded.mode == "P":
        pixels = palette_colours(decoded)[pixels]
    pixels = pixels.reshape(-1, pixels.shape[2])
    if pixels.shape[1] == 4:
        pixels = pixels[pixels[:, 3] > 127]
    table = find_table(pixels[None, :, :3], scheme) if len(pixels) else None
    if table is None:
        return None
    rows, distances = nearest_colours(pixels[:, :3], table)
    exact, near = np.mean(distances == 0), distances <= NEAR**2
    share = exact if exact > 0.9 else np.mean(near)
    seen = np.bincount(rows[near], minlength=len(table.colours)) > 0.001 * len(pixels)
    coloured = int(np.count_nonzero(seen & (np.ptp(table.colours, axis=1) > 0)))
    fewest = 1 if table.name == scheme.name and exact > 0.98 else FEWEST_CLASSES
    if share <= 0.85 or coloured < fewest:  # blue ink on white has colours of some program's table
        return None
    return Recognised("labels", f"{share:.0%} of it in the colours of {table.name}")


def _by_marks(rgb: RGB) -> Recognised | None:
    """Whether a picture is a sheet without a mark: soft slopes of light and noise are none."""
    small = _shrunk(rgb).astype(np.float32)
    fine, coarse = cv2.GaussianBlur(small, (0, 0), 1.5), cv2.GaussianBlur(small, (0, 0), 6)
    tone = np.maximum(coarse.max(axis=2), _DARKEST)
    noise = max(float(np.abs(np.diff(small, axis=axis)).mean()) if small.shape[axis] > 1 else 0.0 for axis in (0, 1))
    change = np.abs(fine - coarse).max(axis=2)
    marked = float((change > np.maximum(_FAINTEST * tone, _NOISE * noise)).mean())
    if marked >= _MARKED:
        return None
    return Recognised("blank", f"no line or area on {1 - marked:.1%} of it")


# ------------------------------------------------------------------------------------------------------ the classifier


class _Classifier(NamedTuple):
    """``sure`` is the least probability of an answer that is not unsure."""

    names: list[str]
    mean: Floats
    scale: Floats
    weights: Floats
    bias: Floats
    kinds: list[Kind]
    sure: float


@lru_cache(maxsize=1)
def _classifier() -> _Classifier:
    stored = json.loads(Path(__file__).with_name("kinds.json").read_text(encoding="utf-8"))
    rows = np.array(list(stored["measures"].values()), np.float32)
    return _Classifier(
        names=list(stored["measures"]),
        mean=rows[:, 0],
        scale=rows[:, 1],
        weights=rows[:, 2:],
        bias=np.array(stored["bias"]),
        kinds=stored["kinds"],
        sure=stored["sure"],
    )


def _by_measures(rgb: RGB) -> Recognised:
    fitted, found = _classifier(), measure(rgb)
    values = np.array([found[name] for name in fitted.names], np.float32)
    scores = np.clip((values - fitted.mean) / fitted.scale, -4, 4) @ fitted.weights + fitted.bias
    chances = np.exp(scores - scores.max())
    chances /= chances.sum()
    first, second = np.argsort(-chances)[:2].tolist()
    kind = fitted.kinds[first]
    if chances[first] < fitted.sure:
        other = NAMES[fitted.kinds[second]]
        return Recognised(
            "unsure", f"{NAMES[kind]} by {chances[first]:.0%} of the evidence, {other} by {chances[second]:.0%}"
        )
    ground = found["near_paper" if found["light"] >= found["dark"] else "near_board"]
    reasons = {
        "labels": f"areas of one colour on {found['flat']:.0%} of it",
        "sketch": f"lines: {ground:.0%} of it is even ground",
        "blank": f"no line: {ground:.0%} of it is even ground",
        "photo": f"soft tones: {found['smooth_mid']:.0%} of it is shaded, {found['coloured']:.0%} coloured",
    }
    return Recognised(kind, reasons[kind])


def _shrunk(rgb: RGB) -> RGB:
    height, width = rgb.shape[:2]
    scale = _SMALL / max(height, width)
    if scale >= 1:
        return rgb
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def _rgb(picture: Picture) -> RGB:
    """The picture upright, on white; grey values of more than 8 bits scaled by the largest."""
    pillow = picture.pillow
    if pillow.mode[0] not in "IF":
        return to_rgb(pillow)
    values = np.nan_to_num(np.asarray(pillow, np.float64), posinf=0, neginf=0)
    low, high = min(0.0, float(values.min(initial=0))), float(values.max(initial=0))
    grey = ((values - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def measure(rgb: RGB) -> dict[str, float]:
    """The numbers by which the classifier decides.

    Parameters
    ----------
    rgb : (H, W, 3) uint8 array

    Returns
    -------
    dict of str to float
        Shares of the picture, 0 to 1, where nothing else is said. Tones are relative to the picture's range of grey.
    """
    small = _shrunk(rgb)
    height, width = small.shape[:2]
    side = max(height, width)
    kernel = np.ones((3, 3), np.uint8)
    spread3 = cv2.subtract(cv2.dilate(small, kernel), cv2.erode(small, kernel)).max(axis=2)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32)
    top = max(float(np.quantile(grey, 0.98)), 8.0)
    low = float(np.quantile(grey, 0.02))
    span = max(top - low, 8.0)
    level = np.clip((grey - low) / span, 0, 1)
    chroma = small.max(axis=2).astype(np.float32) - small.min(axis=2)
    size = grey.size
    flat = spread3 <= 10
    smooth = spread3 <= 0.10 * span
    mid = (level > 0.12) & (level < 0.85)
    # areas of one colour
    median = np.asarray(cv2.medianBlur(small, 3), np.uint8)
    codes = (median >> 5).astype(np.int32) @ np.array([64, 8, 1], np.int32)
    inner = cv2.erode(flat.astype(np.uint8), kernel) > 0
    counts = np.bincount(codes[flat], minlength=512) / size
    counts_inner = np.bincount(codes[inner], minlength=512) / size
    ordered = np.sort(counts)[::-1]
    # colourful flat
    coloured = chroma > 40
    # lines beside paper, both ways
    reach = 2 * round(side / 28) + 1
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    soft = cv2.medianBlur(grey.astype(np.uint8), 3)
    closed = cv2.morphologyEx(soft, cv2.MORPH_CLOSE, element).astype(np.float32)
    opened = cv2.morphologyEx(soft, cv2.MORPH_OPEN, element).astype(np.float32)
    dark_lines = np.clip(closed - grey, 0, None) / span
    light_lines = np.clip(grey - opened, 0, None) / span
    paper = np.asarray(cv2.GaussianBlur(closed, (0, 0), reach / 4), np.float32)
    board = np.asarray(cv2.GaussianBlur(opened, (0, 0), reach / 4), np.float32)
    y, x = np.mgrid[-1 : 1 : complex(height), -1 : 1 : complex(width)].astype(np.float32)
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1).reshape(-1, 6)[::7]

    def rough(tone: Floats) -> float:
        values = tone.reshape(-1)[::7] / span
        fit, *_ = np.linalg.lstsq(terms, values, rcond=None)
        return float(np.sqrt(np.mean((values - terms @ fit) ** 2)))

    gx, gy = cv2.Sobel(grey, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(grey, cv2.CV_32F, 0, 1) / 8
    gradient = np.hypot(gx, gy) / span
    hue = np.arctan2(
        np.sqrt(3) * (small[..., 1].astype(np.float32) - small[..., 2]),
        2.0 * small[..., 0] - small[..., 1].astype(np.float32) - small[..., 2],
    )
    weight = np.where(chroma > 16, chroma, 0)
    total = float(weight.sum())
    concentration = (
        float(np.hypot((weight * np.cos(hue)).sum(), (weight * np.sin(hue)).sum())) / total if total > 0 else 1.0
    )
    tones = np.bincount((level * 15.99).astype(np.int32).reshape(-1), minlength=16) / size
    entropy = float(-(tones[tones > 0] * np.log(tones[tones > 0])).sum())
    edges = gradient > 0.08
    return {
        "flat": float(flat.mean()),
        "smooth": float(smooth.mean()),
        "smooth_mid": float((smooth & mid).mean()),
        "smooth_of_mid": float((smooth & mid).sum() / max(mid.sum(), 0.01 * size)),
        "flat_of_mid": float((flat & mid).sum() / max(mid.sum(), 0.01 * size)),
        "mid": float(mid.mean()),
        "light": float((level >= 0.85).mean()),
        "dark": float((level <= 0.12).mean()),
        "areas": float(np.log1p((counts_inner > 0.003).sum())),
        "first": float(ordered[0]),
        "second": float(ordered[1]),
        "four": float(ordered[:4].sum()),
        "sixteen": float(ordered[:16].sum()),
        "coloured": float(coloured.mean()),
        "coloured_flat": float((coloured & inner).mean()),
        "strong": float((chroma > 120).mean()),
        "chroma": float(chroma.mean() / 255),
        "chroma_spread": float(chroma.std() / 255),
        "one_hue": concentration,
        "entropy": entropy,
        "biggest_tone": float(tones.max()),
        "dark_lines": float((dark_lines > 0.15).mean()),
        "dark_line_mean": float(dark_lines.mean()),
        "light_lines": float((light_lines > 0.15).mean()),
        "light_line_mean": float(light_lines.mean()),
        "paper_rough": rough(paper),
        "board_rough": rough(board),
        "near_paper": float((np.abs(grey - paper) < 0.06 * span).mean()),
        "near_board": float((np.abs(grey - board) < 0.06 * span).mean()),
        "on_paper": float((closed > 0.8 * top).mean()),
        "gradient": float(gradient.mean()),
        "edges": float(edges.mean()),
        "edge_strength": float(gradient[edges].mean()) if edges.any() else 0.0,
        "line_edges": float((np.maximum(dark_lines, 0)[edges] > 0.15).mean()) if edges.any() else 0.0,
        "span": float(span / 255),
        "colours": float(
            np.log2(
                len(
                    np.unique(
                        rgb.reshape(-1, 3)[:: max(1, rgb.size // 3 // 65536)] @ np.array([65536, 256, 1], np.uint32)
                    )
                )
            )
        ),
    }
