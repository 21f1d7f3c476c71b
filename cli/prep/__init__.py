"""``facesynth prep``: turn a raw CelebAMask-HQ tree, or your own pictures, into a dataset folder."""

from __future__ import annotations

import click

from .align import align
from .check import check
from .masks import masks
from .pairs import pairs
from .photos import photos
from .preview import preview
from .remap import remap
from .sample import sample
from .sketches import sketches


@click.group()
def prep() -> None:
    """Prepare a dataset: label maps, sketches and their manifest."""


for _command in (sample, align, masks, sketches, preview, photos, pairs, remap, check):
    prep.add_command(_command)
