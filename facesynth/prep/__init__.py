"""Dataset preparation: label maps, sketches, the sample of procedural portraits, and the manifest that joins them.

The names below are loaded on first use.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from facesynth.prep.check import check_dataset as check_dataset
    from facesynth.prep.masks import merge_masks as merge_masks
    from facesynth.prep.pairs import prepare_pairs as prepare_pairs
    from facesynth.prep.pipeline.workers import Workers as Workers
    from facesynth.prep.portraits.draw import draw_portrait as draw_portrait
    from facesynth.prep.portraits.sample import make_sample as make_sample
    from facesynth.prep.sketches.drawing import draw as draw
    from facesynth.prep.sketches.methods import dodge as dodge
    from facesynth.prep.sketches.methods import fxdog as fxdog
    from facesynth.prep.sketches.methods import xdog as xdog
    from facesynth.prep.sketches.presets import all_sketches as all_sketches
    from facesynth.prep.sketches.presets import resolve as resolve
    from facesynth.prep.stages import prepare_masks as prepare_masks
    from facesynth.prep.stages import prepare_photos as prepare_photos
    from facesynth.prep.stages import prepare_sketches as prepare_sketches

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "check": ["check_dataset"],
        "masks": ["merge_masks"],
        "pairs": ["prepare_pairs"],
        "pipeline.workers": ["Workers"],
        "portraits.draw": ["draw_portrait"],
        "portraits.sample": ["make_sample"],
        "sketches.drawing": ["draw"],
        "sketches.methods": ["dodge", "fxdog", "xdog"],
        "sketches.presets": ["all_sketches", "resolve"],
        "stages": ["prepare_masks", "prepare_photos", "prepare_sketches"],
    },
)
