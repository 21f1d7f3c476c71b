"""Checkpoints: facesynth's own format, the published formats, and conversions between them.

The public names below are imported on first use.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from facesynth.model.checkpoints.conversion import convert as convert
    from facesynth.model.checkpoints.conversion import describe as describe
    from facesynth.model.checkpoints.load import load_generator as load_generator
    from facesynth.model.checkpoints.load import load_model as load_model

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "conversion": ["convert", "describe"],
        "load": ["load_generator", "load_model"],
    },
)
