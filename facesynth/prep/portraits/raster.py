"""Rasterising polygons with anti-aliasing, compositing, and soft shading on a small fixed grid."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from facesynth.prep.portraits.traits import Points

Field = NDArray[np.float32]
"""A (H, W) or (H, W, 3) float32 picture, mostly in 0..1."""
GRID = 128
"""Side of the grid on which soft shading is computed."""
Box = tuple[slice, slice]


def rasterise(
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


def composite(canvas: Field, box: Box, cover: NDArray[np.uint8], colour: Field, *, alpha: float = 1.0) -> None:
    """Lay a colour (3,) or a picture of the canvas's size over the canvas, as far as ``cover`` says."""
    under = canvas[box]
    share = np.multiply(cover, np.float32(alpha / 255), dtype=np.float32)[..., None]
    under += share * ((colour if colour.ndim == 1 else colour[box]) - under)


def fill_polygons(
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
        box, cover = rasterise(polygons, canvas.shape[0], within=within, blur=blur)
        composite(canvas, box, cover, np.asarray(colour, np.float32), alpha=alpha)


def soft_union(polygons: Sequence[Points], spread: float, *, shift: tuple[float, float] = (0.0, 0.0)) -> Field:
    """The union of polygons, shifted and blurred, on the shading grid (0..1)."""
    raster = np.zeros((GRID, GRID), np.uint8)
    for piece in polygons:
        at = np.round(((piece + shift) * GRID - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(raster, [at], 255, shift=4, lineType=cv2.LINE_AA)
    return cast("Field", cv2.GaussianBlur(raster.astype(np.float32) / 255, (0, 0), max(spread * GRID, 0.3)))


def enlarge(field: Field, size: int) -> Field:
    """A field of the shading grid at the photo's size."""
    return cast("Field", cv2.resize(field, (size, size), interpolation=cv2.INTER_CUBIC))


def lighting(height: Field, directions: Sequence[Sequence[float]], steep: float) -> list[Field]:
    """How far a height field of the shading grid faces each of some directions (1 straight on, below 0 away)."""
    scale = 0.5 * GRID * steep
    dx, dy = (cv2.Sobel(height, cv2.CV_32F, *order, ksize=1, scale=scale) for order in ((1, 0), (0, 1)))
    norm = np.sqrt(dx * dx + dy * dy + 1)
    return [cast("Field", (np.float32(z) - dx * np.float32(x) - dy * np.float32(y)) / norm) for x, y, z in directions]


def colour_ramp(value: Field, stops: Sequence[float], colours: Sequence[NDArray[np.float32]]) -> Field:
    """Colours by value (-0.25..1.25): ``colours[i]`` at ``stops[i]``, mixed in between."""
    steps = np.linspace(-0.25, 1.25, 512)
    table = np.stack([np.interp(steps, stops, [colour[k] for colour in colours]) for k in range(3)], -1)
    at = np.clip((value + np.float32(0.25)) * np.float32(511 / 1.5), 0, 511).astype(np.int32)
    return np.asarray(table.astype(np.float32)[at])


def tinted(colour: NDArray[np.float32], *factors: float) -> NDArray[np.float32]:
    """A colour times a factor a channel, clipped to 0..1."""
    return np.clip(colour * np.array(factors, np.float32), 0, 1).astype(np.float32)


@lru_cache(maxsize=1)
def grid_points() -> Points:
    """The centres of the shading grid's cells, (GRID * GRID, 2), in units of the picture; read-only."""
    at = (np.arange(GRID) + 0.5) / GRID
    points = np.stack(np.meshgrid(at, at), -1).reshape(-1, 2)
    points.flags.writeable = False
    return points
