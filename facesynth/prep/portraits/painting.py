"""Painting a portrait from back to front: backdrop, back hair, neck, clothes, ears, face, front hair, hat.

Soft shading (skin, cloth, hair) is computed on a small fixed grid, by lighting a height field, and scaled up. Edges and
fine detail are painted at the size of the photo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from facesynth.prep.portraits.face import (
    face_base,
    paint_beard,
    paint_brow,
    paint_eye,
    paint_marks,
    paint_mouth,
    paint_nose,
)
from facesynth.prep.portraits.palette import Palette, draw_palette
from facesynth.prep.portraits.raster import (
    GRID,
    Field,
    colour_ramp,
    composite,
    enlarge,
    fill_polygons,
    grid_points,
    rasterise,
    soft_union,
    tinted,
)
from facesynth.prep.portraits.strands import cushion_light, hair_field, paint_front_hair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facesynth.prep.portraits.shapes import Figure
    from facesynth.prep.portraits.traits import Points, Traits


def paint(figure: Figure, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Paint the photo of a figure.

    Parameters
    ----------
    figure : Figure
        The outlines.
    rng : numpy.random.Generator
        Source of the colours, hairs and grain.
    size : int
        Side of the photo, pixels.

    Returns
    -------
    (size, size, 3) uint8 array
        RGB, 0..255.
    """
    t, shapes = figure.traits, figure.shapes
    colours = draw_palette(t, rng)
    canvas = _backdrop(t, colours, rng, size)
    hair = hair_field(figure, colours, size)
    back = [lock.outline for lock in figure.back_hair]
    if back:
        gloom = 0.5 + 0.5 * (1 - soft_union(shapes["face"] + shapes["neck"], 0.045, shift=(0, 0.03)))
        composite(canvas, *rasterise(back, size), hair * enlarge(cast("Field", gloom), size)[..., None])
    _paint_neck(canvas, figure, colours)
    _paint_jewels(canvas, shapes["necklace"], colours, pearls=t.necklace == "beads")
    _paint_cloth(canvas, figure, colours, rng)
    for name in ("l_ear", "r_ear"):
        _paint_ear(canvas, figure, colours, name)
    face = enlarge(face_base(figure, colours), size)
    composite(canvas, *rasterise(shapes["face"], size), face)
    paint_marks(canvas, figure, colours)
    paint_nose(canvas, figure, colours)
    paint_beard(canvas, figure, colours, rng)
    paint_mouth(canvas, figure, colours)
    for side in ("l", "r"):
        paint_eye(canvas, figure, colours, side)
        paint_brow(canvas, figure, colours, side, rng)
    _paint_glasses(canvas, figure, colours)
    paint_front_hair(canvas, figure, hair)
    _paint_hat(canvas, figure, colours)
    _paint_jewels(canvas, shapes["earrings"], colours, pearls=False)
    return _finish(canvas, rng)


def _backdrop(t: Traits, colours: Palette, rng: np.random.Generator, size: int) -> Field:
    grid = grid_points().reshape(GRID, GRID, 2)[1::3, 1::3].astype(np.float32)
    base = np.empty((*grid.shape[:2], 3), np.float32)
    base[:] = colours.backdrop
    if t.background == "graded":
        angle = rng.uniform(0, 2 * np.pi)
        ramp = (grid[..., 0] - 0.5) * np.cos(angle) + (grid[..., 1] - 0.5) * np.sin(angle)
        base *= (1 + 0.5 * ramp)[..., None].astype(np.float32)
    elif t.background == "blobs":
        for _ in range(9):
            x, y = rng.uniform(-0.1, 1.1, 2)
            r = rng.uniform(0.05, 0.28)
            colour = np.clip(colours.backdrop * rng.uniform(0.55, 1.45) + rng.uniform(-0.09, 0.09, 3), 0.05, 0.97)
            disc = np.clip((r - np.hypot(grid[..., 0] - x, grid[..., 1] - y)) / (0.35 * r) + 0.5, 0, 1)
            base += (disc * rng.uniform(0.35, 0.8))[..., None].astype(np.float32) * (colour.astype(np.float32) - base)
        base = cast("Field", cv2.GaussianBlur(base, (0, 0), 1.4))
    glow = np.exp(-((grid[..., 0] - 0.5 - 0.3 * t.light[0]) ** 2 + (grid[..., 1] - 0.4) ** 2) / 0.18)
    return enlarge(np.clip(base * (0.9 + 0.16 * glow)[..., None], 0, 1).astype(np.float32), size)


def _skin_ramp(value: Field, skin: NDArray[np.float32]) -> Field:
    deep, dark = tinted(skin**1.3, 0.6, 0.46, 0.44), tinted(skin**1.1, 0.85, 0.73, 0.70)
    return colour_ramp(value, [0.05, 0.42, 0.78, 1.0], [deep, dark, skin, np.minimum(skin * np.float32(1.12), 1)])


def _paint_neck(canvas: Field, figure: Figure, colours: Palette) -> None:
    t, shapes, size = figure.traits, figure.shapes, canvas.shape[0]
    value = 0.72 * cushion_light(shapes["neck"], 0.05, t.light, 2.2) + 0.13
    value -= 0.40 * soft_union(shapes["face"], 0.022, shift=(-0.05 * t.light[0], 0.045))
    value -= 0.14 * soft_union(shapes["cloth"], 0.012, shift=(0, -0.01))
    w = t.neck_width
    for s in (-1, 1):
        cord = np.array(
            [(s * w * 0.8, 0.3), (s * w * 0.35, 0.42), (s * 0.02, 0.475), (s * 0.01, 0.475), (s * w * 0.25, 0.42)]
        )
        value -= 0.05 * soft_union([t.pose.project_body(cord)], 0.01)
    composite(canvas, *rasterise(shapes["neck"], size), enlarge(_skin_ramp(cast("Field", value), colours.skin), size))


def _paint_ear(canvas: Field, figure: Figure, colours: Palette, name: str) -> None:
    shapes, light, size = figure.shapes, figure.traits.light, canvas.shape[0]
    if name not in shapes:
        return
    value = 0.75 * cushion_light(shapes[name], 0.016, light, 5.0) + 0.08
    value -= 0.22 * soft_union(shapes[name + "_rim"], 0.007) + 0.25 * soft_union(shapes["face"], 0.012)
    skin = tinted(colours.skin, 1.0, 0.94, 0.93)
    composite(canvas, *rasterise(shapes[name], size), enlarge(_skin_ramp(cast("Field", value), skin), size))


def _paint_cloth(canvas: Field, figure: Figure, colours: Palette, rng: np.random.Generator) -> None:
    t, shapes, size = figure.traits, figure.shapes, canvas.shape[0]
    grid = grid_points().reshape(GRID, GRID, 2).astype(np.float32)
    value = 0.8 * cushion_light(shapes["cloth_body"], 0.05, t.light, 2.0) + 0.2
    phase, lean = rng.uniform(0, 6, 2), rng.uniform(4, 9)
    folds = np.sin(lean * 5 * np.abs(grid[..., 0] - 0.5) + 14 * grid[..., 1] + phase[0]) * np.sin(
        17 * grid[..., 0] + phase[1]
    )
    value += 0.045 * folds
    value -= 0.25 * soft_union(
        shapes["face"] + tuple(lock.outline for lock in figure.front_hair), 0.025, shift=(-0.03 * t.light[0], 0.04)
    )
    cloth = np.empty((GRID, GRID, 3), np.float32)
    cloth[:] = colours.cloth
    pattern = rng.random()
    if pattern < 0.22 and t.neckline != "jacket":
        stripe = 1 / (1 + np.exp(-14 * np.sin(grid[..., 1] * rng.uniform(100, 170) + 1.5 * np.abs(grid[..., 0] - 0.5))))
        cloth += stripe[..., None].astype(np.float32) * np.float32(0.8) * (colours.accent - cloth)
    lit = np.clip(value * 1.12, 0.3, 1.2)[..., None].astype(np.float32)
    composite(canvas, *rasterise(shapes["cloth"], size), enlarge(np.clip(cloth * lit, 0, 1), size))
    if shapes["cloth_pieces"]:
        piece = (
            tinted(colours.cloth, 0.8, 0.8, 0.82)
            if t.neckline != "shirt"
            else np.minimum(colours.cloth * np.float32(1.08), 1)
        )
        fill_polygons(
            canvas,
            shapes["cloth_pieces"],
            tinted(colours.cloth, 0.4, 0.4, 0.42),
            alpha=0.45,
            blur=0.006,
            within=shapes["cloth"],
        )
        edge = np.clip(0.4 + 0.75 * cushion_light(shapes["cloth_pieces"], 0.015, t.light, 2.0), 0, 1.15)
        composite(
            canvas,
            *rasterise(shapes["cloth_pieces"], size),
            enlarge(np.clip(edge[..., None] * piece, 0, 1).astype(np.float32), size),
        )


def _paint_glasses(canvas: Field, figure: Figure, colours: Palette) -> None:
    t, shapes = figure.traits, figure.shapes
    if not t.glasses:
        return
    frame = colours.metal * np.float32(0.6) if t.glasses == "wire" else colours.frame
    frames, lenses = shapes["frames"], shapes["lenses"]
    shift = np.array([-0.008 * t.light[0], 0.008])
    fill_polygons(
        canvas,
        [piece + shift for piece in frames],
        tinted(colours.skin, 0.45, 0.33, 0.3),
        alpha=0.4,
        blur=0.004,
        within=shapes["face"],
    )
    fill_polygons(canvas, lenses, frame * np.float32(0.7) + np.float32(0.12), alpha=t.glasses_tint)
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
        fill_polygons(canvas, [streak], np.ones(3, np.float32), alpha=0.14, blur=0.002, within=[lens])
    fill_polygons(canvas, frames, frame)
    fill_polygons(
        canvas,
        [piece + np.array([0, -0.0015]) for piece in frames],
        np.minimum(frame + np.float32(0.35), 1),
        alpha=0.35,
        blur=0.001,
        within=frames,
    )


def _paint_hat(canvas: Field, figure: Figure, colours: Palette) -> None:
    t, shapes, size = figure.traits, figure.shapes, canvas.shape[0]
    if not t.hat:
        return
    grid = t.pose.unproject(grid_points()).reshape(GRID, GRID, 2)
    for name, tint in (("hat_body", 1.0), ("hat_ribbon", 0.45), ("hat_band", 1.08 if t.hat == "beanie" else 0.92)):
        if name not in shapes:
            continue
        lit = 0.75 * cushion_light(shapes[name], 0.05 if name == "hat_body" else 0.02, t.light, 2.2) + 0.3
        if name != "hat_band":
            lit = lit - 0.2 * soft_union(shapes["hat_band"], 0.012, shift=(0, -0.008))
        if t.hat == "beanie":
            lit = lit + 0.05 * np.sin(grid[..., 0] * 260)
        elif t.hat == "cap" and name == "hat_body":
            lit = lit - 0.12 * np.exp(-(((np.abs(grid[..., 0]) - 0.10 - 0.25 * (grid[..., 1] + 0.38)) / 0.004) ** 2))
        colour = np.clip(lit[..., None] * colours.hat * np.float32(tint), 0, 1).astype(np.float32)
        composite(canvas, *rasterise(shapes[name], size), enlarge(colour, size))


def _paint_jewels(canvas: Field, pieces: Sequence[Points], colours: Palette, *, pearls: bool) -> None:
    if not pieces:
        return
    metal = np.array([0.90, 0.87, 0.83], np.float32) if pearls else colours.metal
    fill_polygons(canvas, pieces, metal * np.float32(0.62))
    fill_polygons(canvas, [piece + np.array([-0.001, -0.0018]) for piece in pieces], metal, blur=0.001, within=pieces)
    if pearls:
        glints = [piece.mean(0) + 0.35 * (piece - piece.mean(0)) - np.array([0.002, 0.003]) for piece in pieces]
        fill_polygons(canvas, glints, np.ones(3, np.float32), alpha=0.8, blur=0.001)


def _finish(canvas: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Add vignette and grain, and convert to uint8."""
    size = canvas.shape[0]
    grid = grid_points().reshape(GRID, GRID, 2)
    vignette = 1.0 - 0.55 * np.clip(np.hypot(grid[..., 0] - 0.5, grid[..., 1] - 0.48) - 0.42, 0, 1) ** 1.5
    canvas *= enlarge(vignette.astype(np.float32), size)[..., None]
    grain = (rng.random((256, 256), np.float32) - np.float32(0.5)) * np.float32(0.024)
    canvas += cv2.resize(grain, (size, size), interpolation=cv2.INTER_LINEAR)[..., None]
    return np.asarray(np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8))
