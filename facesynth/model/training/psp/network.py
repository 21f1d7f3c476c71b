"""The trained network: the initial model, the photos' style codes, and a forward pass through both.

Conditions go in, faces and their latents come out; some of the faces have the styles of their photo's own code.

Reference: Bojanowski et al., "Optimizing the Latent Space of Generative Networks", ICML 2018, section 3.1 (the codes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from facesynth import images
from facesynth.errors import CheckpointError
from facesynth.model.checkpoints import state_dict
from facesynth.model.data.low_resolution import lowered
from facesynth.model.data.tensors import condition_tensor, photo_tensor
from facesynth.model.devices import need_compiler, release_memory
from facesynth.model.networks.fused_autograd import freeze_for_training
from facesynth.model.networks.psp import PSP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.model.checkpoints.native import GeneratorCheckpoint
    from facesynth.model.config.model import ModelConfig
    from facesynth.model.config.train import TrainConfig
    from facesynth.model.data.pairs import PairedFaces

COLOUR_COMPONENTS = 32
FIRST_STYLE_SPREAD = 0.4
"""Scale of the initial styles of a new generator, which therefore learns the mean face first, then the variation."""


class Translation(nn.Module):
    """A forward pass through everything that is trained, as one module, which is replicated on several devices.

    Parameters
    ----------
    model
    codes
        (photos, style_dim): a style code a training photo; none of them where styles are not trained.
    lean
        Faster on a CPU, and less is kept for the gradients: the encoder has its channels last in memory and makes large maps
        again, and a generator that is not trained is drawn with through
        :func:`facesynth.model.networks.fused_autograd.freeze_for_training`, with the weights of now. In float32, and not
        compiled.

    Attributes
    ----------
    model : PSP
        The network that is trained and saved.
    drawing : Generator
        What draws the faces: the model's generator, or its fast twin, which shares the generator's weights.
    """

    def __init__(self, model: PSP, codes: nn.Parameter, *, lean: bool = False) -> None:
        super().__init__()
        self.model, self.codes = model, codes
        model.encoder.trunk.recomputes = self._is_lean = lean
        if lean:
            model.encoder.to(memory_format=torch.channels_last)
        is_trained = any(weight.requires_grad for weight in model.generator.parameters())
        self.drawing = freeze_for_training(model.generator) if lean and not is_trained else model.generator
        if lean:
            release_memory()  # that of the weights in their first layout
        codes.requires_grad_(codes.numel() > 0)

    def forward(
        self, condition: Tensor, indices: Tensor, styled: Tensor | None, noise: Sequence[torch.Generator] | None
    ) -> tuple[Tensor, Tensor]:
        """Conditions to faces and latents.

        Parameters
        ----------
        condition
            (N, input_channels, input_size, input_size).
        indices
            (N,) int64: the index of each sample's photo, which selects its code.
        styled
            (N,) bool: the samples whose style layers come from the codes; none if not given.
        noise
            A random number generator of the noise for each sample; the layers' constant noise if not given.

        Returns
        -------
        faces : Tensor
            (N, 3, output_size, output_size).
        latents : Tensor
            (N, n_styles, style_dim), as predicted by the encoder.
        """
        model = self.model
        if self._is_lean:
            condition = condition.contiguous(memory_format=torch.channels_last)
        latents = mixed = model.encode(condition)
        if styled is not None:
            styles = model.generator.mapping(self.codes[indices])
            restyled = model.mix(latents, styles, model.config.style_layers)
            mixed = torch.where(styled[:, None, None], restyled, latents)
        spatial = model.spatial_maps(condition)
        return self.drawing(mixed, noise="constant" if noise is None else "random", rng=noise, spatial=spatial), latents


def is_lean(config: TrainConfig, *, compiled: bool) -> bool:
    """Whether a run's steps save less memory for the gradients (see :class:`Translation`)."""
    return config.precision == "float32" and not compiled


def first_model(config: TrainConfig, pairs: PairedFaces, given: GeneratorCheckpoint | None) -> tuple[PSP, Tensor]:
    """The initial model of a run, on the CPU, and the initial style codes, (photos, style_dim).

    Parameters
    ----------
    config
    pairs
        The training pairs.
    given
        The generator to start from; a new one if not given.

    Raises
    ------
    CheckpointError
        If the given generator has other sizes than the config's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = PSP(config.model)
        codes = _first_codes(config, pairs)
    if given is not None:
        _take_generator(model, given)
    else:
        with torch.no_grad():
            for parameter in model.generator.mapping.layers[-1].parameters():
                parameter.mul_(FIRST_STYLE_SPREAD)
        model.latent_avg.copy_(model.generator.mean_latent(seed=config.seed))
    freeze_untrained(model, config)
    return model, codes


def freeze_untrained(model: PSP, config: TrainConfig) -> None:
    """Freeze what the config does not train: the generator, or only its mapping network if there are no codes to map."""
    model.generator.requires_grad_(config.train_generator)
    if not config.style_probability:
        model.generator.mapping.requires_grad_(requires_grad=False)


def check_generator(given: GeneratorCheckpoint, config: ModelConfig) -> None:
    """Check that a generator has the sizes of a model's generator.

    Raises
    ------
    CheckpointError
        If it has other sizes.
    """
    sizes = config.generator
    for name in ("output_size", "style_dim", "mapping_depth", "channel_base", "channel_max"):
        has, needs = getattr(given.config, name), getattr(sizes, name)
        if has != needs and (not name.startswith("channel") or given.config.channels != sizes.channels):
            raise CheckpointError(f"the generator of {given.path} has {name} {has}, the model's is {needs}")


def _take_generator(model: PSP, given: GeneratorCheckpoint) -> None:
    check_generator(given, model.config)
    state_dict.load_into(model.generator, given.tensors, given.path)
    model.latent_avg.copy_(given.latent_avg)


def _first_codes(config: TrainConfig, pairs: PairedFaces) -> Tensor:
    size = config.model.style_dim
    if not config.style_probability:
        return torch.empty(0, size)
    return first_codes(np.stack([images.resize(pairs[index][2], (8, 8)) for index in range(len(pairs))]), size)


def first_codes(thumbnails: NDArray[np.uint8], size: int) -> Tensor:
    """The initial codes: principal components of the training photos' colours, each with unit variance.

    GLO initialises its codes in this way, here on thumbnails of 8 x 8 pixels. Dimensions beyond the number of components are
    random. Random codes then correspond to plausible colours.

    Parameters
    ----------
    thumbnails
        (photos, 8, 8, 3), uint8: the training photos.
    size
        Dimension of a code.

    Returns
    -------
    Tensor
        (photos, size), float32.
    """
    count = len(thumbnails)
    colours = torch.from_numpy(thumbnails).reshape(count, -1).double()
    left, _, _ = torch.linalg.svd(colours - colours.mean(0), full_matrices=False)
    components = min(size, count - 1, left.shape[1], COLOUR_COMPONENTS)
    codes = torch.randn(count, size)
    codes[:, :components] = left[:, :components].float() * count**0.5
    return codes


def chosen_factors(config: TrainConfig, draws: Sequence[int]) -> list[int]:
    """The downsampling factor of each photo that is a condition, selected by a number for each."""
    factors = config.low_resolution or (1,)
    return [factors[draw % len(factors)] for draw in draws]


def network_inputs(
    config: TrainConfig, conditions: Tensor, photos: Tensor, factors: Sequence[int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Pairs of 8-bit pictures as float tensors for the networks and losses, on the device.

    Parameters
    ----------
    config
    conditions
        (N, S, S) or (N, S, S, 3) uint8.
    photos
        (N, T, T, 3) uint8.
    factors
        The downsampling factor of each condition; used only if the config has ``low_resolution``.
    device

    Returns
    -------
    condition : Tensor
        (N, input_channels, S, S).
    photo : Tensor
        (N, 3, T, T) in [-1, 1].
    """
    sizes = config.model
    condition = condition_tensor(conditions.to(device), sizes.condition, sizes.input_channels)
    if config.low_resolution:
        condition = lowered(condition, factors)
    return condition, photo_tensor(photos.to(device))


def compile_networks(model: PSP) -> None:
    """Compile the encoder and the generator in place with torch.compile; names in the state dict stay.

    Raises
    ------
    InputError
        If there is no C++ compiler, which it needs on a CPU (:func:`facesynth.model.devices.need_compiler`).
    """
    if model.latent_avg.device.type == "cpu":
        need_compiler()
    model.encoder.compile()
    if model.spatial is not None:
        model.spatial.compile()
    model.generator.synthesise = torch.compile(model.generator.synthesise)  # type: ignore[method-assign]
