"""Drawn portraits with exact part masks: the sample dataset that needs no pictures.

:func:`draw_portrait` makes one portrait from a seed and an index. A person is drawn by lot and turned into outlines
(:mod:`facesynth.prep._portrait_shapes`, in units of the picture); those outlines are then used twice: rasterised from
back to front as part masks, and painted in the same order as the photo. So photo and masks share one geometry, and the
same portrait comes out at any size.

Soft shading (skin, cloth, hair) is computed on a small fixed grid, by lighting a height field, and scaled up; edges and
fine detail are painted at the photo's own size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facesynth.errors import InputError
from facesynth.labels import CELEBAMASK_HQ
from facesynth.prep._portrait_shapes import build_figure, mouth_line
from facesynth.prep._portrait_traits import surface

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facesynth.prep._portrait_hair import Lock
    from facesynth.prep._portrait_shapes import Figure, Layer
    from facesynth.prep._portrait_traits import Points, Traits

SIZES = (64, 1024)
"""Smallest and largest side of photo and masks."""

REACHES_UNDER: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "skin": frozenset({"nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip"}),
        "nose": frozenset({"eye_g"}),
        "eye_g": frozenset({"l_eye", "r_eye", "l_brow", "r_brow"}),
        "l_ear": frozenset({"ear_r"}),
        "r_ear": frozenset({"ear_r"}),
        "hair": frozenset({"hat", "ear_r"}),
    }
)
"""Where a part's mask goes on under the parts that cover it. Each of those is painted later into a merged map, so the
merged map shows what the photo shows."""

Field = NDArray[np.float32]
"""A (H, W) or (H, W, 3) float32 picture, mostly in 0..1."""

GRID = 128
"""Side of the grid on which soft shading is computed."""

# fmt: off
_SKIN = np.array([
    (250, 222, 203), (243, 206, 180), (229, 182, 149), (208, 155, 117), (178, 124, 86), (143, 94, 64), (108, 70, 49),
    (80, 52, 40),
], np.float32) / 255
_HAIR = np.array([
    (28, 23, 23), (45, 31, 25), (72, 46, 31), (104, 68, 42), (142, 98, 60), (186, 144, 92), (218, 186, 134),
    (146, 66, 34), (168, 92, 52), (196, 92, 132), (64, 98, 158), (112, 68, 140), (52, 128, 122),
], np.float32) / 255
_IRIS = np.array([
    (64, 40, 26), (96, 60, 34), (126, 88, 46), (98, 118, 72), (84, 128, 166), (112, 134, 146),
], np.float32) / 255
_FABRIC = np.array([
    (44, 52, 74), (236, 232, 224), (58, 58, 62), (154, 62, 58), (78, 110, 92), (196, 168, 130), (110, 140, 176),
    (206, 132, 96), (132, 98, 138), (222, 196, 120), (88, 70, 60), (206, 150, 160), (60, 116, 130),
], np.float32) / 255
# fmt: on
_METAL = np.array([(222, 180, 96), (206, 208, 214), (214, 160, 130)], np.float32) / 255
_FRAME = np.array([(34, 32, 34), (86, 56, 36), (120, 36, 42), (44, 58, 92), (168, 148, 108)], np.float32) / 255


@dataclass(frozen=True)
class Portrait:
    """A drawn portrait.

    Attributes
    ----------
    photo : (size, size, 3) uint8 array
        RGB picture, 0..255.
    parts : mapping of str to (mask_size, mask_size) bool array
        Mask of each part that occurs, by its name in :data:`facesynth.labels.CELEBAMASK_HQ`, in that order. Painted in
        that order they give the merged label map.
    """

    photo: NDArray[np.uint8]
    parts: Mapping[str, NDArray[np.bool_]]


def draw_portrait(seed: int, index: int, *, size: int = 512, mask_size: int = 512) -> Portrait:
    """One portrait and its part masks.

    Parameters
    ----------
    seed, index : int
        Which portrait: the same pair gives the same portrait, at every size and in any order of calls. At least 0.
    size : int
        Side of the photo in pixels, 64..1024.
    mask_size : int
        Side of the masks in pixels, 64..1024.

    Returns
    -------
    Portrait
        The photo, (size, size, 3) uint8, and its masks, (mask_size, mask_size) bool.

    Raises
    ------
    InputError
        If an argument is not a whole number in its range.

    Examples
    --------
    >>> portrait = draw_portrait(0, 3, size=128, mask_size=256)
    >>> portrait.photo.shape, portrait.parts["skin"].shape
    ((128, 128, 3), (256, 256))
    """
    _check("seed", seed, 0, None)
    _check("index", index, 0, None)
    _check("size", size, *SIZES)
    _check("mask_size", mask_size, *SIZES)
    figure = build_figure(np.random.default_rng([int(seed), int(index)]))
    photo = _paint(figure, np.random.default_rng([int(seed), int(index), 1]), int(size))
    return Portrait(photo, MappingProxyType(_part_masks(figure.layers, int(mask_size))))


def _check(name: str, value: int, low: int, high: int | None) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        need = f"a whole number from {low} to {high}" if high is not None else f"a whole number of at least {low}"
        raise InputError(f"{name} is {value!r}; give {need}")


# ---------------------------------------------------------------------------------------------------------------------
# Masks
# ---------------------------------------------------------------------------------------------------------------------


def _part_masks(layers: Sequence[Layer], size: int) -> dict[str, NDArray[np.bool_]]:
    names = CELEBAMASK_HQ.parts
    seen = np.zeros((size, size), np.uint8)  # id of what the viewer sees at each pixel
    reach: dict[str, NDArray[np.bool_]] = {}
    for layer in layers:
        box, cover = _cover(layer.polygons, size, cut=layer.cut)
        inside = cover > 127
        np.copyto(seen[box], np.uint8(1 + names.index(layer.part)), where=inside)
        whole = reach.setdefault(layer.part, np.zeros((size, size), np.bool_))
        whole[box] |= inside
    parts = {}
    for name in (name for name in names if name in reach):
        own = 1 + names.index(name)
        allowed = np.zeros(256, np.uint8)
        allowed[[own, *(1 + names.index(other) for other in REACHES_UNDER.get(name, ()))]] = 1
        if (seen == own).any():
            parts[name] = reach[name] & cv2.LUT(seen, allowed).view(np.bool_)
    return parts


# ---------------------------------------------------------------------------------------------------------------------
# Rasterising and compositing
# ---------------------------------------------------------------------------------------------------------------------

Box = tuple[slice, slice]


def _cover(
    polygons: Sequence[Points],
    size: int,
    *,
    within: Sequence[Points] = (),
    cut: Sequence[Points] = (),
    blur: float = 0.0,
) -> tuple[Box, NDArray[np.uint8]]:
    """How much of each pixel polygons cover (0..255), and the box of the picture it was computed for.

    Counts the union of ``polygons``, inside the union of ``within`` if there is one, less the union of ``cut``.
    ``blur`` is the spread, in picture units, of a Gaussian blur of the polygons.
    """
    margin = 2 + int(3 * blur * size)
    corners = np.concatenate(polygons) * size
    low = np.clip(np.floor(corners.min(0)) - margin, 0, size).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + margin, 0, size).astype(int)
    box = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
    if (high <= low).any():
        return box, np.zeros((max(high[1] - low[1], 0), max(high[0] - low[0], 0)), np.uint8)
    cover = _raster(polygons, cut, low, high, size)
    if blur:
        cover = cast("NDArray[np.uint8]", cv2.GaussianBlur(cover, (0, 0), max(blur * size, 0.3)))
    if within:
        limit = _raster(within, (), low, high, size)
        cover = cast("NDArray[np.uint8]", cv2.multiply(cover, limit, scale=1 / 255))
    return box, cover


def _raster(
    polygons: Sequence[Points], cut: Sequence[Points], low: NDArray[np.int_], high: NDArray[np.int_], size: int
) -> NDArray[np.uint8]:
    """Coverage (0..255) of the pixels from ``low`` to ``high`` (x, y), from a finer raster."""
    fine = 4 if size <= 128 else 3 if size <= 256 else 2
    width, height = (int(v) for v in high - low)
    raster = np.zeros((height * fine, width * fine), np.uint8)
    for pieces, value in ((polygons, 255), (cut, 0)):
        if pieces:
            at = np.round(((np.concatenate(pieces) * size - low) * fine - 0.5) * 16).astype(np.int32)
            start = 0
            for piece in pieces:
                cv2.fillPoly(raster, [at[start : start + len(piece)]], value, shift=4)
                start += len(piece)
    return cast("NDArray[np.uint8]", cv2.resize(raster, (width, height), interpolation=cv2.INTER_AREA))


def _over(canvas: Field, box: Box, cover: NDArray[np.uint8], colour: Field, *, alpha: float = 1.0) -> None:
    """Lay a colour (3,) or a picture of the canvas's size over the canvas, as far as ``cover`` says."""
    under = canvas[box]
    share = np.multiply(cover, np.float32(alpha / 255), dtype=np.float32)[..., None]
    under += share * ((colour if colour.ndim == 1 else colour[box]) - under)


def _fill(
    canvas: Field,
    polygons: Sequence[Points],
    colour: Field,
    *,
    alpha: float = 1.0,
    blur: float = 0.0,
    within: Sequence[Points] = (),
) -> None:
    """Paint polygons, where there are any, in one colour."""
    if polygons and alpha > 0:
        box, cover = _cover(polygons, canvas.shape[0], within=within, blur=blur)
        _over(canvas, box, cover, np.asarray(colour, np.float32), alpha=alpha)


def _soft(polygons: Sequence[Points], spread: float, *, shift: tuple[float, float] = (0.0, 0.0)) -> Field:
    """The union of polygons, shifted and blurred, on the shading grid (0..1)."""
    raster = np.zeros((GRID, GRID), np.uint8)
    for piece in polygons:
        at = np.round(((piece + shift) * GRID - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(raster, [at], 255, shift=4, lineType=cv2.LINE_AA)
    return cast("Field", cv2.GaussianBlur(raster.astype(np.float32) / 255, (0, 0), max(spread * GRID, 0.3)))


def _grow(field: Field, size: int) -> Field:
    """A field of the shading grid at the photo's size."""
    return cast("Field", cv2.resize(field, (size, size), interpolation=cv2.INTER_CUBIC))


def _lit(height: Field, directions: Sequence[Sequence[float]], steep: float) -> list[Field]:
    """How far a height field of the shading grid faces each of some directions (1 straight on, below 0 away)."""
    scale = 0.5 * GRID * steep
    dx, dy = (cv2.Sobel(height, cv2.CV_32F, *order, ksize=1, scale=scale) for order in ((1, 0), (0, 1)))
    norm = np.sqrt(dx * dx + dy * dy + 1)
    return [cast("Field", (np.float32(z) - dx * np.float32(x) - dy * np.float32(y)) / norm) for x, y, z in directions]


def _ramp(value: Field, stops: Sequence[float], colours: Sequence[NDArray[np.float32]]) -> Field:
    """Colours by value (-0.25..1.25): ``colours[i]`` at ``stops[i]``, mixed in between."""
    steps = np.linspace(-0.25, 1.25, 512)
    table = np.stack([np.interp(steps, stops, [colour[k] for colour in colours]) for k in range(3)], -1)
    at = np.clip((value + np.float32(0.25)) * np.float32(511 / 1.5), 0, 511).astype(np.int32)
    return np.asarray(table.astype(np.float32)[at])


def _tint(colour: NDArray[np.float32], *factors: float) -> NDArray[np.float32]:
    return np.clip(colour * np.array(factors, np.float32), 0, 1).astype(np.float32)


# ---------------------------------------------------------------------------------------------------------------------
# Shading
# ---------------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _grid_points() -> Points:
    at = (np.arange(GRID) + 0.5) / GRID
    points = np.stack(np.meshgrid(at, at), -1).reshape(-1, 2)
    points.flags.writeable = False
    return points


@dataclass(frozen=True)
class _Palette:
    """The colours of one portrait."""

    skin: NDArray[np.float32]
    hair: NDArray[np.float32]
    brow: NDArray[np.float32]
    lip: NDArray[np.float32]
    iris: NDArray[np.float32]
    cloth: NDArray[np.float32]
    accent: NDArray[np.float32]
    hat: NDArray[np.float32]
    metal: NDArray[np.float32]
    frame: NDArray[np.float32]
    backdrop: NDArray[np.float32]


def _palette(t: Traits, rng: np.random.Generator) -> _Palette:
    skin = np.array([np.interp(t.tone * 7, range(8), _SKIN[:, k]) for k in range(3)], np.float32)
    skin = _tint(
        skin,
        1 + 0.012 * t.undertone,
        1 - 0.012 * t.undertone,
        1 - 0.045 * t.undertone * (t.undertone > 0) - 0.05 * t.undertone,
    )
    hair = _HAIR[t.hair_colour] * np.float32(rng.uniform(0.9, 1.12))
    hair = hair * (1 - 0.85 * t.grey) + np.array([0.66, 0.65, 0.64], np.float32) * 0.85 * t.grey
    natural = _HAIR[min(t.hair_colour, 3)] if t.hair_colour > 8 else hair
    brow = 0.72 * natural + 0.12 * skin * np.array([0.9, 0.7, 0.6], np.float32)
    rose = np.array([0.72, 0.30, 0.32], np.float32)
    lip = skin * np.array([0.93, 0.66, 0.64], np.float32)
    lip = lip + (rose * (0.75 + 0.4 * (1 - t.tone)) - lip) * np.float32(0.12 + 0.55 * t.makeup**2)
    fabric = rng.permutation(len(_FABRIC))
    hue = rng.random()
    backdrop = np.array(
        cv2.cvtColor(
            np.array([[[hue * 360, rng.uniform(0.08, 0.34), rng.uniform(0.42, 0.86)]]], np.float32), cv2.COLOR_HSV2RGB
        )[0, 0]
    )
    return _Palette(
        skin=skin,
        hair=np.asarray(hair, np.float32),
        brow=np.asarray(brow, np.float32),
        lip=np.asarray(lip, np.float32),
        iris=_IRIS[t.eye_colour],
        cloth=_FABRIC[fabric[0]],
        accent=_FABRIC[fabric[1]],
        hat=_FABRIC[fabric[2]],
        metal=_METAL[int(rng.integers(len(_METAL)))],
        frame=_FRAME[int(rng.integers(len(_FRAME)))],
        backdrop=backdrop.astype(np.float32),
    )


def _relief(t: Traits, face: Points) -> tuple[Field, Field]:
    """Height of the face over the shading grid, and the share of each of its points in shadowed hollows."""
    pose = t.pose
    at = pose.unplace(_grid_points())
    x, y = (at[:, k].reshape(GRID, GRID).astype(np.float32) for k in (0, 1))

    def bump(px: float, py: float, sx: float, sy: float, *, lift: float = 0.0) -> Field:
        local = np.array([[px, py]])
        cx, cy = pose.turn(local, surface(local) + lift)[0]
        return cast("Field", np.exp(-0.5 * (((x - np.float32(cx)) / sx) ** 2 + ((y - np.float32(cy)) / sy) ** 2)))

    def pair(px: float, py: float, sx: float, sy: float, *, lift: float = 0.0) -> Field:
        return bump(px, py, sx, sy, lift=lift) + bump(-px, py, sx, sy, lift=lift)

    rim = pose.unplace(face)
    middle = np.array([pose.turn(np.zeros((1, 2)), 0.06)[0, 0], 0.0])
    polar = np.arctan2(rim[:, 1] - middle[1], rim[:, 0] - middle[0])
    order = np.argsort(polar)
    reach = np.hypot(*(rim - middle).T)[order]
    angle = np.arctan2(y - middle[1], x - middle[0])
    share = np.hypot(x - middle[0], y - middle[1]) / np.interp(angle, polar[order], reach, period=2 * np.pi)
    height = 0.20 * np.clip(1 - np.minimum(share, 0.995) ** 2.3, 0, 1) ** 0.62

    my, ny, nw = mouth_line(t), t.nose_y, t.nose_width
    ys = np.linspace(-0.05, ny + 0.05, 40)
    spine = pose.turn(np.stack([0 * ys, ys], 1), 0.19 + np.interp(ys, [-0.05, ny], [0.0, 0.045]))
    along = np.interp(y, spine[:, 1], ys)
    centre = np.interp(y, spine[:, 1], spine[:, 0])
    lift = np.interp(along, [-0.05, -0.01, ny - 0.02, ny + 0.004, ny + 0.022], [0, 0.014, 0.042, 0.034, 0])
    wide = np.interp(along, [-0.05, 0.02, ny], [0.022, 0.0195, 0.026])
    height += lift * np.exp(-0.5 * ((x - centre) / wide) ** 2)
    height += 0.014 * bump(0, ny - 0.018, 0.02, 0.018, lift=0.045)
    height += 0.017 * pair(nw * 0.72, ny - 0.012, 0.014, 0.013, lift=0.025)
    height -= 0.022 * pair(t.eye_x - 0.006, -0.006, 0.046, 0.028)
    height += 0.013 * pair(t.eye_x, 0.0, 0.03, 0.02)
    height += (0.007 + 0.006 * t.masculine) * pair(0.085, -t.brow_lift - 0.006, 0.055, 0.016)
    height += (0.013 + 0.008 * max(t.smile, 0)) * pair(0.135, 0.075 - 0.01 * t.smile, 0.05, 0.042)
    height += 0.012 * bump(0, my - 0.005, 0.075, 0.05)
    height += 0.007 * bump(0, my - 0.014, 0.05, 0.009) + 0.010 * bump(0, my + 0.016 + 0.7 * t.gap, 0.038, 0.011)
    height -= 0.008 * bump(0, my + 0.047 + 0.6 * t.gap, 0.04, 0.012)
    height += 0.016 * bump(0, t.chin_y - 0.038, 0.045, 0.028)
    height -= 0.003 * bump(0, 0.5 * (ny + my) + 0.002, 0.008, 0.016)
    hollow = 0.5 * pair(t.eye_x - 0.03, -0.02, 0.032, 0.02) + 0.25 * pair(t.eye_x, 0.028, 0.035, 0.008)
    hollow += 0.55 * bump(0, ny + 0.026, 0.036, 0.011, lift=0.03) + 0.35 * bump(
        0, my + 0.046 + 0.6 * t.gap, 0.04, 0.011
    )
    hollow += 0.3 * pair(nw + 0.012, ny - 0.005, 0.011, 0.014, lift=0.02)
    return height.astype(np.float32), hollow.astype(np.float32)


def _paint_face_base(figure: Figure, colours: _Palette) -> Field:
    """Colour of the bare face over the shading grid."""
    t, shapes = figure.traits, figure.shapes
    height, hollow = _relief(t, shapes["face"][0])
    half = np.array(t.light) + np.array([0, 0, 1])  # between light and viewer: what faces it, shines
    half /= np.linalg.norm(half)
    facing, mirrored = _lit(cast("Field", cv2.GaussianBlur(height, (0, 0), 1.2)), (t.light, half), 1.0)
    mirrored = np.maximum(mirrored, 0)
    value = 0.62 * facing + 0.26 - 0.26 * hollow
    over = [lock.outline for lock in figure.front_hair] + list(shapes.get("hat", ()))
    if over:
        value -= 0.20 * _soft(over, 0.016, shift=(-0.012 * t.light[0], 0.018))
    if "hat" in shapes:
        value -= 0.14 * _soft(shapes["hat"], 0.02, shift=(-0.03 * t.light[0], 0.05))
    skin = colours.skin
    deep = _tint(skin**1.25, 0.66, 0.52, 0.50)
    dark = _tint(skin**1.08, 0.87, 0.76, 0.72)
    bright = skin + (np.array([1.0, 0.965, 0.91], np.float32) - skin) * np.float32(0.34 - 0.14 * t.tone)
    base = _ramp(cast("Field", value), [0.02, 0.42, 0.74, 0.98], [deep, dark, skin, bright])
    shine = mirrored**22 * np.float32(0.05 + 0.05 * t.tone) + mirrored**80 * np.float32(0.05 + 0.05 * t.tone)
    base += shine[..., None] * np.array([1.0, 0.96, 0.9], np.float32)
    flush = _soft(_cheeks(t), 0.03) * np.float32(0.34 * t.blush)
    rosy = _tint(skin, 1.0, 0.66, 0.64)
    base += flush[..., None] * (rosy - skin)
    if t.makeup > 0.45:
        lids = shapes["l_lid"] + shapes["r_lid"]
        tint = 0.55 * colours.accent + 0.45 * _tint(skin, 0.7, 0.5, 0.5)
        base += (_soft(lids, 0.008) * np.float32(0.55 * t.makeup))[..., None] * (tint - base) * np.float32(0.6)
    if t.beard:
        shade = _soft(shapes["beard"], 0.014)
        strength = np.float32(0.62 * t.beard if t.beard < 0.5 else 0.82)
        tint = 0.7 * colours.brow + (0.16 if t.beard < 0.5 else 0.05) * skin
        lit = np.clip(value, 0.2, 0.9)[..., None] * np.float32(0.9) + np.float32(0.35)
        base += (shade * strength)[..., None] * (tint * lit - base)
    return base


def _cheeks(t: Traits) -> list[Points]:
    at = np.array([[-0.135, 0.085], [0.135, 0.085]])
    turn = np.linspace(0, 2 * np.pi, 16)
    rim = np.stack([0.035 * np.cos(turn), 0.024 * np.sin(turn)], 1)
    return [t.pose.place(centre + rim, surface(centre + rim)) for centre in at]


def _puff(polygons: Sequence[Points], spread: float, light: tuple[float, float, float], steep: float) -> Field:
    """Diffuse light on a cushion with the given outlines, about 0.85 where it faces the viewer."""
    height = 0.6 * _soft(polygons, spread) + 0.4 * _soft(polygons, 0.45 * spread)
    return _lit(cast("Field", height), [light], steep * spread)[0]


# ---------------------------------------------------------------------------------------------------------------------
# Painting
# ---------------------------------------------------------------------------------------------------------------------


def _paint(figure: Figure, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    t, shapes = figure.traits, figure.shapes
    colours = _palette(t, rng)
    canvas = _backdrop(t, colours, rng, size)
    hair_field = _hair_field(figure, colours, size)
    back = [lock.outline for lock in figure.back_hair]
    if back:
        gloom = 0.5 + 0.5 * (1 - _soft(shapes["face"] + shapes["neck"], 0.045, shift=(0, 0.03)))
        _over(canvas, *_cover(back, size), hair_field * _grow(cast("Field", gloom), size)[..., None])
    _paint_neck(canvas, figure, colours)
    _paint_jewels(canvas, shapes["necklace"], colours, pearls=t.necklace == "beads")
    _paint_cloth(canvas, figure, colours, rng)
    for name in ("l_ear", "r_ear"):
        _paint_ear(canvas, figure, colours, name)
    face = _grow(_paint_face_base(figure, colours), size)
    _over(canvas, *_cover(shapes["face"], size), face)
    _paint_marks(canvas, figure, colours)
    _paint_nose(canvas, figure, colours)
    _paint_beard(canvas, figure, colours, rng)
    _paint_mouth(canvas, figure, colours)
    for side in ("l", "r"):
        _paint_eye(canvas, figure, colours, side)
        _paint_brow(canvas, figure, colours, side, rng)
    _paint_glasses(canvas, figure, colours)
    _paint_front_hair(canvas, figure, hair_field)
    _paint_hat(canvas, figure, colours)
    _paint_jewels(canvas, shapes["earrings"], colours, pearls=False)
    return _finish(canvas, rng)


def _backdrop(t: Traits, colours: _Palette, rng: np.random.Generator, size: int) -> Field:
    at = _grid_points().reshape(GRID, GRID, 2)[1::3, 1::3].astype(np.float32)
    base = np.empty((*at.shape[:2], 3), np.float32)
    base[:] = colours.backdrop
    if t.background == "graded":
        angle = rng.uniform(0, 2 * np.pi)
        ramp = (at[..., 0] - 0.5) * np.cos(angle) + (at[..., 1] - 0.5) * np.sin(angle)
        base *= (1 + 0.5 * ramp)[..., None].astype(np.float32)
    elif t.background == "blobs":
        for _ in range(9):
            x, y = rng.uniform(-0.1, 1.1, 2)
            r = rng.uniform(0.05, 0.28)
            colour = np.clip(colours.backdrop * rng.uniform(0.55, 1.45) + rng.uniform(-0.09, 0.09, 3), 0.05, 0.97)
            disc = np.clip((r - np.hypot(at[..., 0] - x, at[..., 1] - y)) / (0.35 * r) + 0.5, 0, 1)
            base += (disc * rng.uniform(0.35, 0.8))[..., None].astype(np.float32) * (colour.astype(np.float32) - base)
        base = cast("Field", cv2.GaussianBlur(base, (0, 0), 1.4))
    glow = np.exp(-((at[..., 0] - 0.5 - 0.3 * t.light[0]) ** 2 + (at[..., 1] - 0.4) ** 2) / 0.18)
    return _grow(np.clip(base * (0.9 + 0.16 * glow)[..., None], 0, 1).astype(np.float32), size)


def _skin_ramp(value: Field, skin: NDArray[np.float32]) -> Field:
    deep, dark = _tint(skin**1.3, 0.6, 0.46, 0.44), _tint(skin**1.1, 0.85, 0.73, 0.70)
    return _ramp(value, [0.05, 0.42, 0.78, 1.0], [deep, dark, skin, np.minimum(skin * np.float32(1.12), 1)])


def _paint_neck(canvas: Field, figure: Figure, colours: _Palette) -> None:
    t, shapes, size = figure.traits, figure.shapes, canvas.shape[0]
    value = 0.72 * _puff(shapes["neck"], 0.05, t.light, 2.2) + 0.13
    value -= 0.40 * _soft(shapes["face"], 0.022, shift=(-0.05 * t.light[0], 0.045))
    value -= 0.14 * _soft(shapes["cloth"], 0.012, shift=(0, -0.01))
    w, body = t.neck_width, t.pose.body
    for s in (-1, 1):
        cord = np.array(
            [(s * w * 0.8, 0.3), (s * w * 0.35, 0.42), (s * 0.02, 0.475), (s * 0.01, 0.475), (s * w * 0.25, 0.42)]
        )
        value -= 0.05 * _soft([body(cord)], 0.01)
    _over(canvas, *_cover(shapes["neck"], size), _grow(_skin_ramp(cast("Field", value), colours.skin), size))


def _paint_ear(canvas: Field, figure: Figure, colours: _Palette, name: str) -> None:
    shapes, light, size = figure.shapes, figure.traits.light, canvas.shape[0]
    if name not in shapes:
        return
    value = 0.75 * _puff(shapes[name], 0.016, light, 5.0) + 0.08
    value -= 0.22 * _soft(shapes[name + "_rim"], 0.007) + 0.25 * _soft(shapes["face"], 0.012)
    skin = _tint(colours.skin, 1.0, 0.94, 0.93)
    _over(canvas, *_cover(shapes[name], size), _grow(_skin_ramp(cast("Field", value), skin), size))


def _paint_cloth(canvas: Field, figure: Figure, colours: _Palette, rng: np.random.Generator) -> None:
    t, shapes, size = figure.traits, figure.shapes, canvas.shape[0]
    at = _grid_points().reshape(GRID, GRID, 2).astype(np.float32)
    value = 0.8 * _puff(shapes["cloth_body"], 0.05, t.light, 2.0) + 0.2
    phase, lean = rng.uniform(0, 6, 2), rng.uniform(4, 9)
    folds = np.sin(lean * 5 * np.abs(at[..., 0] - 0.5) + 14 * at[..., 1] + phase[0]) * np.sin(
        17 * at[..., 0] + phase[1]
    )
    value += 0.045 * folds
    value -= 0.25 * _soft(
        shapes["face"] + tuple(lock.outline for lock in figure.front_hair), 0.025, shift=(-0.03 * t.light[0], 0.04)
    )
    cloth = np.empty((GRID, GRID, 3), np.float32)
    cloth[:] = colours.cloth
    pattern = rng.random()
    if pattern < 0.22 and t.neckline != "jacket":
        stripe = 1 / (1 + np.exp(-14 * np.sin(at[..., 1] * rng.uniform(100, 170) + 1.5 * np.abs(at[..., 0] - 0.5))))
        cloth += stripe[..., None].astype(np.float32) * np.float32(0.8) * (colours.accent - cloth)
    lit = np.clip(value * 1.12, 0.3, 1.2)[..., None].astype(np.float32)
    _over(canvas, *_cover(shapes["cloth"], size), _grow(np.clip(cloth * lit, 0, 1), size))
    if shapes["cloth_pieces"]:
        piece = (
            _tint(colours.cloth, 0.8, 0.8, 0.82)
            if t.neckline != "shirt"
            else np.minimum(colours.cloth * np.float32(1.08), 1)
        )
        _fill(
            canvas,
            shapes["cloth_pieces"],
            _tint(colours.cloth, 0.4, 0.4, 0.42),
            alpha=0.45,
            blur=0.006,
            within=shapes["cloth"],
        )
        edge = np.clip(0.4 + 0.75 * _puff(shapes["cloth_pieces"], 0.015, t.light, 2.0), 0, 1.15)
        _over(
            canvas,
            *_cover(shapes["cloth_pieces"], size),
            _grow(np.clip(edge[..., None] * piece, 0, 1).astype(np.float32), size),
        )


def _paint_marks(canvas: Field, figure: Figure, colours: _Palette) -> None:
    """Freckles and wrinkles."""
    t, shapes = figure.traits, figure.shapes
    mark = _tint(colours.skin, 0.62, 0.45, 0.40)
    _fill(canvas, shapes["freckles"], mark, alpha=0.5)
    old = max(t.age - 0.35, 0.0)
    _fill(canvas, shapes["folds"], mark, alpha=min(0.05 + 0.25 * max(t.smile, 0) + 0.5 * old, 0.55), blur=0.004)
    _fill(canvas, shapes["mouth_corners"], mark, alpha=0.55, blur=0.0015)
    for side in ("l", "r"):
        _fill(canvas, shapes[side + "_bag"], mark, alpha=0.14 + 0.55 * old, blur=0.003)
        _fill(canvas, shapes[side + "_crow"], mark, alpha=0.75 * old, blur=0.0012)


def _paint_nose(canvas: Field, figure: Figure, colours: _Palette) -> None:
    shapes = figure.shapes
    dark = _tint(colours.skin**1.2, 0.5, 0.32, 0.28)
    _fill(canvas, shapes["nose_base"], dark, alpha=0.35, blur=0.004)
    _fill(canvas, shapes["wings"], dark, alpha=0.42, blur=0.0025)
    _fill(canvas, shapes["nostrils"], dark * np.float32(0.6), alpha=0.8, blur=0.0016)


def _paint_mouth(canvas: Field, figure: Figure, colours: _Palette) -> None:
    shapes, lip = figure.shapes, colours.lip
    if "mouth" in shapes:
        _fill(canvas, shapes["mouth"], np.array([0.25, 0.08, 0.08], np.float32))
        _fill(
            canvas,
            shapes["tongue"],
            np.array([0.66, 0.32, 0.32], np.float32),
            alpha=0.8,
            blur=0.003,
            within=shapes["mouth"],
        )
        _fill(canvas, shapes["teeth"], np.array([0.93, 0.91, 0.86], np.float32), blur=0.001, within=shapes["mouth"])
        _fill(
            canvas,
            shapes["lip_line"],
            np.array([0.3, 0.12, 0.1], np.float32),
            alpha=0.6,
            blur=0.005,
            within=shapes["mouth"],
        )
    _fill(canvas, shapes["u_lip"], _tint(lip, 0.86, 0.80, 0.80), alpha=0.86)
    _fill(canvas, shapes["l_lip"], lip, alpha=0.82)
    _fill(
        canvas,
        shapes["lip_line"],
        _tint(lip, 0.55, 0.35, 0.35),
        alpha=0.5,
        blur=0.006,
        within=shapes["u_lip"] + shapes["l_lip"],
    )
    if "mouth" not in shapes:
        _fill(canvas, shapes["lip_line"], _tint(lip, 0.45, 0.3, 0.3), alpha=0.85, blur=0.0008)
    shine = np.float32(1) - (1 - lip) * np.float32(0.45)
    _fill(canvas, shapes["lip_gloss"], shine, alpha=0.35 + 0.3 * figure.traits.makeup, blur=0.003)


def _paint_eye(canvas: Field, figure: Figure, colours: _Palette, side: str) -> None:
    t = figure.traits
    get = {
        key: figure.shapes[f"{side}_{key}"]
        for key in ("ball", "lash", "lower", "crease", "duct", "iris", "iris_mid", "iris_low", "pupil")
    }
    ball, iris = get["ball"], colours.iris
    line = _tint(colours.brow, 0.45, 0.38, 0.38)
    _fill(canvas, get["crease"], _tint(colours.skin**1.2, 0.5, 0.34, 0.30), alpha=0.55, blur=0.0018)
    _fill(canvas, ball, np.array([0.93, 0.91, 0.895], np.float32) * np.float32(0.97 - 0.05 * t.tone))
    _fill(canvas, get["duct"], np.array([0.82, 0.52, 0.48], np.float32), alpha=0.8, blur=0.001, within=ball)
    _fill(canvas, get["iris"], _tint(iris, 0.42, 0.42, 0.45), within=ball)
    _fill(canvas, get["iris_mid"], iris, blur=0.0015, within=ball)
    _fill(
        canvas,
        get["iris_low"],
        np.minimum(iris * np.float32(1.45) + np.float32(0.06), 1),
        alpha=0.75,
        blur=0.003,
        within=ball,
    )
    _fill(canvas, get["pupil"], np.array([0.04, 0.03, 0.03], np.float32), within=ball)
    shift = np.array([0.0, 0.006]) * t.pose.scale
    _fill(
        canvas,
        [piece + shift for piece in get["lash"]],
        np.array([0.18, 0.12, 0.12], np.float32),
        alpha=0.5,
        blur=0.004,
        within=ball,
    )
    middle = get["pupil"][0].mean(0)
    toward = np.array([0.0085 * np.sign(t.light[0]), -0.0085])
    turn = np.linspace(0, 2 * np.pi, 12)
    dot = np.stack([np.cos(turn), np.sin(turn)], 1)
    white = np.ones(3, np.float32)
    _fill(canvas, [middle + toward + dot * 0.0048], white, alpha=0.95, within=ball)
    _fill(canvas, [middle - 0.9 * toward + dot * 0.003], white, alpha=0.35, within=ball)
    _fill(canvas, get["lower"], line, alpha=0.35 + 0.25 * t.makeup, blur=0.001)
    _fill(canvas, get["lash"], line, alpha=0.92)


def _paint_brow(canvas: Field, figure: Figure, colours: _Palette, side: str, rng: np.random.Generator) -> None:
    brow, spine = figure.shapes[side + "_brow"], figure.shapes[side + "_brow_spine"][0]
    _fill(canvas, brow, colours.brow, alpha=0.78, blur=0.0012)
    count = 32
    i = rng.integers(0, len(spine) - 3, count)
    thick = 0.5 * figure.traits.brow_thick
    root = spine[i] + np.stack([np.zeros(count), rng.uniform(-0.2, 0.9, count) * thick], 1)
    tip = spine[np.minimum(i + 3, len(spine) - 1)] + np.stack(
        [np.zeros(count), rng.uniform(-0.95, 0.1, count) * thick], 1
    )
    across = np.array([0.0, 0.0009])
    hairs = [np.stack([a - across, b, a + across]) for a, b in zip(root, tip, strict=True)]
    _fill(canvas, hairs, _tint(colours.brow, 0.62, 0.6, 0.6), alpha=0.55, within=brow)


def _paint_beard(canvas: Field, figure: Figure, colours: _Palette, rng: np.random.Generator) -> None:
    t = figure.traits
    if not t.beard:
        return
    region = figure.shapes["beard"][0]
    low, high = region.min(0), region.max(0)
    root = rng.uniform(low, high, (700, 2))
    flat = region.astype(np.float32)
    root = np.array([at for at in root if cv2.pointPolygonTest(flat, (float(at[0]), float(at[1])), False) > 0])
    full = t.beard > 0.5
    fall = np.array([0.0, 0.016 if full else 0.003]) + rng.normal(0, 0.003 if full else 0.001, root.shape)
    fall[:, 0] += (root[:, 0] - 0.5 * (low[0] + high[0])) * (-0.03 if full else 0)
    across = np.array([0.0009, 0.0])
    hairs = [np.stack([p - across, p + f, p + across]) for p, f in zip(root, fall, strict=True)]
    _fill(
        canvas,
        hairs[::2],
        _tint(colours.brow, 0.6, 0.6, 0.6),
        alpha=0.45 if full else 0.22,
        within=figure.shapes["face"],
    )
    if full:
        _fill(
            canvas,
            hairs[1::2],
            np.minimum(colours.brow * np.float32(1.7) + np.float32(0.03), 1),
            alpha=0.35,
            within=figure.shapes["face"],
        )


def _paint_glasses(canvas: Field, figure: Figure, colours: _Palette) -> None:
    t, shapes = figure.traits, figure.shapes
    if not t.glasses:
        return
    frame = colours.metal * np.float32(0.6) if t.glasses == "wire" else colours.frame
    frames, lenses = shapes["frames"], shapes["lenses"]
    shift = np.array([-0.008 * t.light[0], 0.008])
    _fill(
        canvas,
        [piece + shift for piece in frames],
        _tint(colours.skin, 0.45, 0.33, 0.3),
        alpha=0.4,
        blur=0.004,
        within=shapes["face"],
    )
    _fill(canvas, lenses, frame * np.float32(0.7) + np.float32(0.12), alpha=t.glasses_tint)
    for lens in lenses:
        x, y = lens.mean(0)
        w, h = np.ptp(lens, axis=0)
        streak = np.array(
            [
                (x - 0.30 * w, y - 0.5 * h),
                (x - 0.12 * w, y - 0.5 * h),
                (x - 0.32 * w, y + 0.5 * h),
                (x - 0.5 * w, y + 0.5 * h),
            ]
        )
        _fill(canvas, [streak], np.ones(3, np.float32), alpha=0.14, blur=0.002, within=[lens])
    _fill(canvas, frames, frame)
    _fill(
        canvas,
        [piece + np.array([0, -0.0015]) for piece in frames],
        np.minimum(frame + np.float32(0.35), 1),
        alpha=0.35,
        blur=0.001,
        within=frames,
    )


def _hair_field(figure: Figure, colours: _Palette, size: int) -> Field:
    """Colour of hair at every pixel, as if hair were everywhere."""
    t = figure.traits
    locks = figure.back_hair + figure.front_hair
    if not locks:
        return np.zeros((size, size, 3), np.float32)
    outlines = [lock.outline for lock in locks]
    value = 0.5 * _puff(outlines, 0.06, t.light, 1.5) + 0.25 * _puff(outlines, 0.02, t.light, 1.5)
    at = t.pose.unplace(_grid_points()).reshape(GRID, GRID, 2)
    ring = np.hypot(at[..., 0] / 0.27, (at[..., 1] + 0.02) / 0.36)
    toward = np.clip(0.55 - 1.3 * at[..., 1] / 0.36 * 0.4 + 0.5 * np.sign(t.light[0]) * at[..., 0] / 0.27, 0, 1)
    band = np.exp(-(((ring - 0.84) / 0.085) ** 2)) * toward * (at[..., 1] < 0.1)
    value = value + 0.20 * cv2.GaussianBlur(band, (0, 0), 2.0)
    fine = 512 if size <= 512 else 1024
    texture = np.full((fine, fine), 128, np.uint8)
    for lock in locks:
        _draw_strands(texture, lock)
    strands = cv2.resize(texture, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 127 - 1
    amount = 0.21 if t.hair_style in ("afro", "curly") else 0.16
    value_full = _grow(value.astype(np.float32), size)
    value_full += strands * (np.float32(amount) * (0.55 + 0.9 * value_full))
    hair = colours.hair
    bright = hair + (np.array([1.0, 0.95, 0.86], np.float32) - hair) * np.float32(0.34)
    return _ramp(value_full, [0.08, 0.63, 1.05], [hair * np.float32(0.36), hair, bright])


def _draw_strands(texture: NDArray[np.uint8], lock: Lock) -> None:
    size = texture.shape[0]
    at = np.round((lock.strands * size - 0.5) * 16).astype(np.int32)
    shade = np.clip(np.round((lock.tone + 1) * 4), 0, 8).astype(int)
    for k in range(9):
        lines = list(at[shade == k])
        if lines:
            cv2.polylines(texture, lines, False, int(8 + 30 * k), 1 + (k % 2) + size // 1024, cv2.LINE_8, 4)


def _paint_front_hair(canvas: Field, figure: Figure, hair: Field) -> None:
    size = canvas.shape[0]
    tucked = [lock.outline for lock in figure.front_hair if lock.tucked]
    free = [lock.outline for lock in figure.front_hair if not lock.tucked]
    if tucked:
        _over(canvas, *_cover(tucked, size, cut=figure.shapes["cloth"]), hair)
    if free:
        _over(canvas, *_cover(free, size), hair)


def _paint_hat(canvas: Field, figure: Figure, colours: _Palette) -> None:
    t, shapes, size = figure.traits, figure.shapes, canvas.shape[0]
    if not t.hat:
        return
    at = t.pose.unplace(_grid_points()).reshape(GRID, GRID, 2)
    for name, tint in (("hat_body", 1.0), ("hat_ribbon", 0.45), ("hat_band", 1.08 if t.hat == "beanie" else 0.92)):
        if name not in shapes:
            continue
        lit = 0.75 * _puff(shapes[name], 0.05 if name == "hat_body" else 0.02, t.light, 2.2) + 0.3
        if name != "hat_band":
            lit = lit - 0.2 * _soft(shapes["hat_band"], 0.012, shift=(0, -0.008))
        if t.hat == "beanie":
            lit = lit + 0.05 * np.sin(at[..., 0] * 260)
        elif t.hat == "cap" and name == "hat_body":
            lit = lit - 0.12 * np.exp(-(((np.abs(at[..., 0]) - 0.10 - 0.25 * (at[..., 1] + 0.38)) / 0.004) ** 2))
        colour = np.clip(lit[..., None] * colours.hat * np.float32(tint), 0, 1).astype(np.float32)
        _over(canvas, *_cover(shapes[name], size), _grow(colour, size))


def _paint_jewels(canvas: Field, pieces: Sequence[Points], colours: _Palette, *, pearls: bool) -> None:
    if not pieces:
        return
    metal = np.array([0.90, 0.87, 0.83], np.float32) if pearls else colours.metal
    _fill(canvas, pieces, metal * np.float32(0.62))
    _fill(canvas, [piece + np.array([-0.001, -0.0018]) for piece in pieces], metal, blur=0.001, within=pieces)
    if pearls:
        glints = [piece.mean(0) + 0.35 * (piece - piece.mean(0)) - np.array([0.002, 0.003]) for piece in pieces]
        _fill(canvas, glints, np.ones(3, np.float32), alpha=0.8, blur=0.001)


def _finish(canvas: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Vignette, grain, and the step to bytes."""
    size = canvas.shape[0]
    at = _grid_points().reshape(GRID, GRID, 2)
    vignette = 1.0 - 0.55 * np.clip(np.hypot(at[..., 0] - 0.5, at[..., 1] - 0.48) - 0.42, 0, 1) ** 1.5
    canvas *= _grow(vignette.astype(np.float32), size)[..., None]
    grain = (rng.random((256, 256), np.float32) - np.float32(0.5)) * np.float32(0.024)
    canvas += cv2.resize(grain, (size, size), interpolation=cv2.INTER_LINEAR)[..., None]
    return np.asarray(np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8))
