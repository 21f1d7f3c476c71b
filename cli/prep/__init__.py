"""``facesynth prep``: a raw CelebAMask-HQ tree, or one's own pictures, into a dataset folder."""

from __future__ import annotations

import click

from .masks import masks
from .sample import sample
from .sketches import sketches


@click.group()
def prep() -> None:
    """Make a dataset: label maps, sketches and their manifest."""


for _command in (sample, masks, sketches):
    prep.add_command(_command)
