"""Face sketches and segmentation maps to photographs, around pixel2style2pixel.

:mod:`facesynth.prep` makes datasets; :mod:`facesynth.model` trains and translates. They share only the manifest of a dataset
folder. The names below are loaded on first use, so importing this package is fast and does not load torch.
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
