"""Painting the hair: its colour at every pixel, lit as a cushion with strands on it, and where it is composited."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from facesynth.prep.portraits.palette import Palette
from facesynth.prep.portraits.raster import (
    GRID,
    Field,
    colour_ramp,
    composite,
    enlarge,
    grid_points,
    lighting,
    rasterise,
    soft_union,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facesynth.prep.portraits.hair import Lock
    from facesynth.prep.portraits.shapes import Figure
    from facesynth.prep.portraits.traits import Points


def cushion_light(polygons: Sequence[Points], spread: float, light: tuple[float, float, float], steep: float) -> Field:
    """Diffuse light on a cushion with the given outlines.

    Parameters
    ----------
    polygons : sequence of (N, 2) float64 arrays
        Outlines in picture units.
    spread : float
        Width of the cushion's rounded edge, picture units.
    light : (float, float, float)
        Unit vector towards the light.
    steep : float
        Steepness of the edge.

    Returns
    -------
    (GRID, GRID) float32 array
        About 0.85 where the cushion faces the viewer.
    """
    height = 0.6 * soft_union(polygons, spread) + 0.4 * soft_union(polygons, 0.45 * spread)
    return lighting(cast("Field", height), [light], steep * spread)[0]


def hair_field(figure: Figure, colours: Palette, size: int) -> Field:
    """Colour of the hair at every pixel, as if hair covered the whole picture.

    Parameters
    ----------
    figure : Figure
        The outlines.
    colours : Palette
        The person's colours.
    size : int
        Side of the picture, pixels.

    Returns
    -------
    (size, size, 3) float32 array
        RGB; zeros for a person without hair.
    """
    t = figure.traits
    locks = figure.back_hair + figure.front_hair
    if not locks:
        return np.zeros((size, size, 3), np.float32)
    outlines = [lock.outline for lock in locks]
    value = 0.5 * cushion_light(outlines, 0.06, t.light, 1.5) + 0.25 * cushion_light(outlines, 0.02, t.light, 1.5)
    grid = t.pose.unproject(grid_points()).reshape(GRID, GRID, 2)
    ring = np.hypot(grid[..., 0] / 0.27, (grid[..., 1] + 0.02) / 0.36)
    toward = np.clip(0.55 - 1.3 * grid[..., 1] / 0.36 * 0.4 + 0.5 * np.sign(t.light[0]) * grid[..., 0] / 0.27, 0, 1)
    band = np.exp(-(((ring - 0.84) / 0.085) ** 2)) * toward * (grid[..., 1] < 0.1)
    value = value + 0.20 * cv2.GaussianBlur(band, (0, 0), 2.0)
    fine = 512 if size <= 512 else 1024
    texture = np.full((fine, fine), 128, np.uint8)
    for lock in locks:
        _draw_strands(texture, lock)
    strands = cv2.resize(texture, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 127 - 1
    amount = 0.21 if t.hair_style in ("afro", "curly") else 0.16
    value_full = enlarge(value.astype(np.float32), size)
    value_full += strands * (np.float32(amount) * (0.55 + 0.9 * value_full))
    hair = colours.hair
    bright = hair + (np.array([1.0, 0.95, 0.86], np.float32) - hair) * np.float32(0.34)
    return colour_ramp(value_full, [0.08, 0.63, 1.05], [hair * np.float32(0.36), hair, bright])


def _draw_strands(texture: NDArray[np.uint8], lock: Lock) -> None:
    size = texture.shape[0]
    at = np.round((lock.strands * size - 0.5) * 16).astype(np.int32)
    shade = np.clip(np.round((lock.tone + 1) * 4), 0, 8).astype(int)
    for k in range(9):
        lines = list(at[shade == k])
        if lines:
            cv2.polylines(texture, lines, False, int(8 + 30 * k), 1 + (k % 2) + size // 1024, cv2.LINE_8, 4)


def paint_front_hair(canvas: Field, figure: Figure, hair: Field) -> None:
    """Composite the hair in front of the face; tucked locks go behind the clothes.

    Parameters
    ----------
    canvas : (size, size, 3) float32 array
        The picture, RGB in [0, 1]; painted in place.
    figure : Figure
        The outlines.
    hair : (size, size, 3) float32 array
        The colours that :func:`hair_field` returns.
    """
    size = canvas.shape[0]
    tucked = [lock.outline for lock in figure.front_hair if lock.tucked]
    free = [lock.outline for lock in figure.front_hair if not lock.tucked]
    if tucked:
        composite(canvas, *rasterise(tucked, size, cut=figure.shapes["cloth"]), hair)
    if free:
        composite(canvas, *rasterise(free, size), hair)
