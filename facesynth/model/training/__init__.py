"""Training: pSp models (:mod:`~facesynth.model.training.psp`), generators (:mod:`~facesynth.model.training.gan`), and the
loop, log, run folder and optimisers that both use.

The public names below are imported on first use.
"""

from typing import TYPE_CHECKING

import lazy_loader

from facesynth.model.config.gan import GANConfig
from facesynth.model.config.presets import preset
from facesynth.model.config.train import TrainConfig

if TYPE_CHECKING:
    from facesynth.model.training.gan.train import train_generator as train_generator
    from facesynth.model.training.psp.train import train as train

__getattr__, _, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "psp.train": ["train"],
        "gan.train": ["train_generator"],
    },
)

__all__ = ["GANConfig", "TrainConfig", "preset", "train", "train_generator"]


def __dir__() -> list[str]:
    return __all__
