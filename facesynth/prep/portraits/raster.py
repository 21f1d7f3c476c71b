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
"""An (H, W) or (H, W, 3) float32 array, mostly in 0..1."""
GRID = 128
"""Side of the grid on which soft shading is computed."""
Box = tuple[slice, slice]
"""Rows and columns of a picture."""


def rasterise(
    polygons: Sequence[Points],
    size: int,
    *,
    within: Sequence[Points] = (),
    cut: Sequence[Points] = (),
    blur: float = 0.0,
) -> tuple[Box, NDArray[np.uint8]]:
    """Rasterise polygons with anti-aliasing.

    Parameters
    ----------
    polygons : sequence of (N, 2) float64 arrays
        Outlines in picture units, at least one; their union is filled.
    size : int
        Side of the picture, pixels.
    within : sequence of (N, 2) float64 arrays
        If given, only what lies inside the union of these is filled.
    cut : sequence of (N, 2) float64 arrays
        Removed from the filled region.
    blur : float
        Standard deviation of a Gaussian blur of the polygons, picture units.

    Returns
    -------
    box : (slice, slice)
        Rows and columns of the picture that the coverage belongs to.
    cover : (h, w) uint8 array
        Coverage of each pixel of the box, 0..255.
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
    """Coverage (0..255) of the pixels from ``low`` to ``high`` (x, y), averaged from a finer raster."""
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
    """Blend a colour into a canvas, in place.

    Parameters
    ----------
    canvas : (H, W, 3) float32 array
        RGB in [0, 1].
    box : (slice, slice)
        Rows and columns to paint.
    cover : (h, w) uint8 array
        Coverage of the box, 0..255.
    colour : (3,) or (H, W, 3) float32 array
        One colour, or one for each pixel of the canvas.
    alpha : float
        Opacity, 0 to 1.
    """
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
    """Paint polygons in one colour, in place; without polygons the canvas stays as it is.

    Parameters
    ----------
    canvas : (size, size, 3) float32 array
        RGB in [0, 1].
    polygons : sequence of (N, 2) float64 arrays
        Outlines in picture units.
    colour : (3,) float32 array
        RGB in [0, 1].
    alpha : float
        Opacity, 0 to 1.
    blur, within
        As for :func:`rasterise`.
    """
    if polygons and alpha > 0:
        box, cover = rasterise(polygons, canvas.shape[0], within=within, blur=blur)
        composite(canvas, box, cover, np.asarray(colour, np.float32), alpha=alpha)


def soft_union(polygons: Sequence[Points], spread: float, *, shift: tuple[float, float] = (0.0, 0.0)) -> Field:
    """The union of polygons, shifted and blurred, on the shading grid.

    Parameters
    ----------
    polygons : sequence of (N, 2) float64 arrays
        Outlines in picture units.
    spread : float
        Standard deviation of the Gaussian blur, picture units.
    shift : (float, float)
        x and y to move the polygons by, picture units.

    Returns
    -------
    (GRID, GRID) float32 array
        0 to 1.
    """
    raster = np.zeros((GRID, GRID), np.uint8)
    for piece in polygons:
        at = np.round(((piece + shift) * GRID - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(raster, [at], 255, shift=4, lineType=cv2.LINE_AA)
    return cast("Field", cv2.GaussianBlur(raster.astype(np.float32) / 255, (0, 0), max(spread * GRID, 0.3)))


def enlarge(field: Field, size: int) -> Field:
    """Scale a field of the shading grid up to the photo.

    Parameters
    ----------
    field : (GRID, GRID) or (GRID, GRID, 3) float32 array
    size : int
        Side of the photo, pixels.

    Returns
    -------
    (size, size) or (size, size, 3) float32 array
    """
    return cast("Field", cv2.resize(field, (size, size), interpolation=cv2.INTER_CUBIC))


def lighting(height: Field, directions: Sequence[Sequence[float]], steep: float) -> list[Field]:
    """How directly a height field faces each of several directions.

    Parameters
    ----------
    height : (GRID, GRID) float32 array
        Height above the picture plane.
    directions : sequence of (float, float, float)
        Unit vectors x (right), y (down) and z (towards the viewer).
    steep : float
        Factor of the slopes.

    Returns
    -------
    list of (GRID, GRID) float32 arrays
        Cosine of the angle between surface normal and direction, -1 to 1; one array per direction.
    """
    scale = 0.5 * GRID * steep
    dx, dy = (cv2.Sobel(height, cv2.CV_32F, *order, ksize=1, scale=scale) for order in ((1, 0), (0, 1)))
    norm = np.sqrt(dx * dx + dy * dy + 1)
    return [cast("Field", (np.float32(z) - dx * np.float32(x) - dy * np.float32(y)) / norm) for x, y, z in directions]


def colour_ramp(value: Field, stops: Sequence[float], colours: Sequence[NDArray[np.float32]]) -> Field:
    """Map values to colours by linear interpolation.

    Parameters
    ----------
    value : (H, W) float32 array
        Clipped to -0.25..1.25.
    stops : sequence of float
        Values, ascending, of the colours.
    colours : sequence of (3,) float32 arrays
        RGB in [0, 1]: ``colours[i]`` belongs to ``stops[i]``.

    Returns
    -------
    (H, W, 3) float32 array
        RGB in [0, 1].
    """
    steps = np.linspace(-0.25, 1.25, 512)
    table = np.stack([np.interp(steps, stops, [colour[k] for colour in colours]) for k in range(3)], -1)
    at = np.clip((value + np.float32(0.25)) * np.float32(511 / 1.5), 0, 511).astype(np.int32)
    return np.asarray(table.astype(np.float32)[at])


def tinted(colour: NDArray[np.float32], *factors: float) -> NDArray[np.float32]:
    """A colour multiplied by one factor per channel.

    Parameters
    ----------
    colour : (3,) float32 array
        RGB in [0, 1].
    *factors : float
        Three factors.

    Returns
    -------
    (3,) float32 array
        Clipped to [0, 1].
    """
    return np.clip(colour * np.array(factors, np.float32), 0, 1).astype(np.float32)


@lru_cache(maxsize=1)
def grid_points() -> Points:
    """Centres of the cells of the shading grid.

    Returns
    -------
    (GRID * GRID, 2) float64 array
        x and y in picture units, row by row; read-only.
    """
    at = (np.arange(GRID) + 0.5) / GRID
    points = np.stack(np.meshgrid(at, at), -1).reshape(-1, 2)
    points.flags.writeable = False
    return points
