"""Contact sheets: pictures in, one picture with a grid of them under column headings out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from facesynth import images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.labels import LabelScheme
    from facesynth.model.config.model import Condition

GAP = 4
"""Pixels between pictures."""
HEADING = 22
"""Height of the row of headings, pixels."""


def show_condition(condition: NDArray[np.uint8], kind: Condition, scheme: LabelScheme) -> NDArray[np.uint8]:
    """A condition as an RGB picture for display.

    Parameters
    ----------
    condition : (H, W) uint8 array, or (H, W, 3) for a photo
    kind : str
        labels, sketch or photo.
    scheme : LabelScheme
        Gives the colours of label maps.

    Returns
    -------
    (H, W, 3) uint8 array
    """
    if kind == "labels":
        return images.colourise(condition, scheme)
    return np.repeat(condition[..., None], 3, axis=2) if condition.ndim == 2 else condition


def contact_sheet(
    rows: Sequence[Sequence[NDArray[np.uint8] | None]], headings: Sequence[str], *, cell: int
) -> NDArray[np.uint8]:
    """Pictures in a grid on a white background.

    Parameters
    ----------
    rows : sequence of sequences of (H, W, 3) uint8 arrays or None
        The pictures, row by row; None leaves a cell empty.
    headings : sequence of str
        One per column.
    cell : int
        Height and width to which every picture is resized, pixels.

    Returns
    -------
    (H, W, 3) uint8 array
    """
    columns = len(headings)
    sheet = Image.new("RGB", (GAP + columns * (cell + GAP), HEADING + len(rows) * (cell + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for x, heading in enumerate(headings):
        middle = GAP + x * (cell + GAP) + cell // 2
        draw.text((middle, HEADING // 2), heading, fill=(60, 60, 60), anchor="mm", font=font)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            if picture is not None:
                corner = (GAP + x * (cell + GAP), HEADING + y * (cell + GAP))
                sheet.paste(Image.fromarray(images.resize(picture, (cell, cell))), corner)
    return np.asarray(sheet)
