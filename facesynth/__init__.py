"""Face sketches and segmentation maps to photographs, around pixel2style2pixel.

:mod:`facesynth.prep` makes datasets, :mod:`facesynth.model` trains and translates; the manifest of a dataset folder is all
that they share. The names below are loaded when they are first used: importing this package is cheap and loads no torch.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from facesynth.errors import FacesynthError as FacesynthError
    from facesynth.labels import LabelScheme as LabelScheme
    from facesynth.labels import get_scheme as get_scheme
    from facesynth.manifest import Dataset as Dataset
    from facesynth.manifest import read_dataset as read_dataset
    from facesynth.model.inference.parser import Parser as Parser
    from facesynth.model.inference.styles import Styling as Styling
    from facesynth.model.inference.translator import Translator as Translator

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "errors": ["FacesynthError"],
        "labels": ["LabelScheme", "get_scheme"],
        "manifest": ["Dataset", "read_dataset"],
        "model.inference.parser": ["Parser"],
        "model.inference.styles": ["Styling"],
        "model.inference.translator": ["Translator"],
    },
)
