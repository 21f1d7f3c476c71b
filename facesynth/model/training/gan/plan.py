"""A generator's run before it begins: the photos that it sees, its settings as they are noted, and in words what it takes.

A dataset folder, a config and, where training doesn't start from nothing, checkpoints go in. Nothing is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import yaml

from facesynth.errors import CheckpointError, InputError
from facesynth.manifest import read_dataset
from facesynth.model.checkpoints import native, state_dict
from facesynth.model.checkpoints.load import load_discriminator, load_generator
from facesynth.model.config.gan import TASK, GANConfig
from facesynth.model.data.photos import Photos
from facesynth.model.losses import adversarial
from facesynth.model.networks.discriminator import Discriminator
from facesynth.model.training.gan.networks import new_generator
from facesynth.model.training.memory import kept_by_autograd
from facesynth.model.training.run_folder import RunFolder, plain

if TYPE_CHECKING:
    from torch import Tensor, nn

    from facesynth.model.checkpoints.native import GeneratorCheckpoint, GeneratorState
    from facesynth.model.config.model import DiscriminatorConfig

_MEBIBYTE = 1 << 20


class GeneratorFolder(RunFolder):
    """The run folder of a generator's training."""

    configs: ClassVar[Mapping[str, Any]] = MappingProxyType({"": GANConfig})
    files: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "config.yaml": "every setting, as it was resolved; `facesynth train-generator --config` takes it again",
            "metrics.csv": "losses, penalties, scores and augmentation at every step, distances from the validation photos",
            "losses.png": "the same as curves",
            "samples/": "pictures of the same z by the averaged generator, every {interval} steps",
            "model.safetensors": "the averaged generator with the lowest {metric}: for `facesynth train --generator`",
            "checkpoints/": "the newest states, to go on from; also for `--generator` and `--discriminator`",
        }
    )

    function: ClassVar[str] = "facesynth.model.training.gan.train.train_generator"

    def load(self, path: Path) -> GeneratorState:
        """Read a state."""
        return native.load_generator_state(path)

    def title(self, config: Any) -> str:
        """What the README calls the run."""
        return f"{TASK}, {config.generator.output_size} px"


@dataclass(frozen=True)
class GeneratorPlan:
    """What a generator's run is to do.

    Attributes
    ----------
    config : GANConfig
    train, val : Photos
    generator : GeneratorCheckpoint or None
        The one to start from, whose sizes are the config's.
    discriminator : dict of str to tensor, or None
        State dict of the one to start from.
    settings : mapping
        All that tells this run from another, as plain values.
    """

    config: GANConfig
    train: Photos
    val: Photos
    generator: GeneratorCheckpoint | None
    discriminator: dict[str, Tensor] | None
    settings: Mapping[str, Any]

    def text(self, n_processes: int = 1) -> str:
        """The settings as YAML, then parameters, epochs and memory."""
        config = self.config
        with torch.device("meta"):
            generator, discriminator = new_generator(config.generator), Discriminator(config.discriminator)
        sizes = [sum(weight.numel() for weight in network.parameters()) for network in (generator, discriminator)]
        passes = _kept(config, config.batch_size // (n_processes * config.accumulate))
        weights, moments, gradients = 4 * (2 * sizes[0] + sizes[1]), 8 * sum(sizes), 4 * max(sizes)
        largest = max(passes, key=lambda name: passes[name])
        images = config.steps * config.batch_size
        return (
            f"{yaml.safe_dump(dict(self.settings), sort_keys=False)}\n"
            f"generator: {sizes[0]:,} parameters; discriminator: {sizes[1]:,}\n"
            f"photos: {len(self.train)} to train on, {len(self.val)} to validate on; {images:,} images, "
            f"{images / len(self.train):,.1f} epochs\n"
            f"memory of a step: about {(weights + moments + gradients + passes[largest]) / _MEBIBYTE:,.0f} MiB a process "
            f"(weights {weights / _MEBIBYTE:,.0f}, optimizers {moments / _MEBIBYTE:,.0f}, gradients "
            f"{gradients / _MEBIBYTE:,.0f}, activations {passes[largest] / _MEBIBYTE:,.0f} in the {largest})"
        )


def _kept(config: GANConfig, count: int) -> dict[str, int]:
    """Bytes that autograd keeps in the passes of a step's part of so many images, by their names."""
    size, sizes = config.generator.output_size, config.generator
    half = 0.5 if config.precision == "bf16" else 1.0
    with torch.device("meta"):
        generator, discriminator = new_generator(sizes), Discriminator(config.discriminator)
        photos = torch.empty(count, 3, size, size)

    def latents(n: int) -> Tensor:
        w: Tensor = generator.mapping(torch.empty(n, sizes.style_dim, device="meta"))
        return w[:, None].expand(-1, sizes.n_styles, -1)

    known = _known(generator, discriminator)
    passes = {}
    with kept_by_autograd(known) as kept:
        discriminator.requires_grad_(requires_grad=False)
        adversarial.generator_loss(discriminator(generator(latents(count), noise="none")))
        discriminator.requires_grad_(requires_grad=True)
    passes["generator's step"] = round(sum(kept.values()) * half)
    with kept_by_autograd(known) as kept:
        adversarial.discriminator_loss(discriminator(photos), discriminator(photos + 0))
    passes["discriminator's step"] = round(sum(kept.values()) * half)
    if config.path_weight:
        with kept_by_autograd(known) as kept:
            codes = latents(max(count // config.path_shrink, 1))
            pictures = generator(codes, noise="none")
            adversarial.path_penalty(
                adversarial.path_lengths(pictures, codes, torch.empty_like(pictures)), torch.zeros((), device="meta")
            )
        passes["path lengths"] = sum(kept.values())
    if config.r1_weight:
        with kept_by_autograd(known) as kept:
            seen = photos.clone().requires_grad_()
            adversarial.gradient_penalty(discriminator(seen), seen)
        passes["gradient penalty"] = sum(kept.values())
    return passes


def _known(*networks: nn.Module) -> set[int]:
    return {
        weight.untyped_storage()._cdata
        for network in networks
        for weight in (*network.parameters(), *network.buffers())
    }


@dataclass(frozen=True)
class Given:
    """The networks that a run starts from, if it doesn't from nothing.

    Attributes
    ----------
    generator : GeneratorCheckpoint or None
    discriminator : tuple of DiscriminatorConfig and dict, or None
        Sizes and state dict.
    names : tuple of str or None
        The two files, as a run notes them.
    """

    generator: GeneratorCheckpoint | None = None
    discriminator: tuple[DiscriminatorConfig, dict[str, Tensor]] | None = None
    names: tuple[str | None, str | None] = (None, None)


def read_given(generator: Path | None, discriminator: Path | None, size: int | None) -> Given:
    """The networks in files of any known format.

    Parameters
    ----------
    generator, discriminator
        The files, or for a generator a run folder; a discriminator comes with a generator.
    size
        What was asked for, pixels, if anything was.

    Raises
    ------
    InputError
        If there is a discriminator without a generator.
    CheckpointError
        If a file cannot be read, or the sizes differ.
    """
    if generator is None:
        if discriminator is not None:
            raise InputError("a discriminator came without a generator; give --generator FILE too")
        return Given()
    first = load_generator(generator)
    made = first.config.output_size
    if size is not None and size != made:
        raise CheckpointError(f"the generator of {first.path} makes {made} px, asked for were {size}; leave out --size")
    with torch.device("meta"):
        own = new_generator(first.config).state_dict()
    state_dict.check_state(own, first.tensors, first.path)
    second = load_discriminator(discriminator) if discriminator else None
    if second is not None and second[0].input_size != made:
        raise CheckpointError(
            f"the discriminator of {discriminator} is for {second[0].input_size} px, the generator makes {made}"
        )
    return Given(first, second, (str(generator), str(discriminator) if discriminator else None))


def plan_generator(data: Path, config: GANConfig, given: Given | None = None) -> GeneratorPlan:
    """Open a dataset folder for a run.

    Parameters
    ----------
    data
        A dataset folder with the splits train and val.
    config
    given
        The networks to start from, of the config's sizes.

    Raises
    ------
    InputError
        If the data do not fit, or networks of other sizes are given.
    """
    given = given or Given()
    if given.generator is not None and given.generator.config != config.generator:
        raise InputError(f"the generator given has the sizes {given.generator.config}; needed: {config.generator}")
    if given.discriminator is not None and given.discriminator[0] != config.discriminator:
        raise InputError(
            f"the discriminator given has the sizes {given.discriminator[0]}; needed: {config.discriminator}"
        )
    dataset = read_dataset(data)
    size = config.generator.output_size
    train, val = Photos(dataset, "train", size, flip=config.flip, seed=config.seed), Photos(dataset, "val", size)
    settings = {
        "task": TASK,
        "photos": {"train": train.digest, "val": val.digest},
        "start": dict(zip(("generator", "discriminator"), given.names, strict=True)),
        **plain(dataclasses.asdict(config)),
    }
    state = given.discriminator[1] if given.discriminator else None
    return GeneratorPlan(config, train, val, given.generator, state, settings)
