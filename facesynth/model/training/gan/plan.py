"""The plan of a generator's run: a dataset folder, a config and initial networks in; photos, settings and a summary out.

Nothing is written.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from facesynth.errors import CheckpointError, InputError
from facesynth.manifest import read_dataset
from facesynth.model.checkpoints import native, state_dict
from facesynth.model.checkpoints.load import load_discriminator, load_generator
from facesynth.model.config.gan import DISCRIMINATORS, TASK, GANConfig
from facesynth.model.data.photos import Photos
from facesynth.model.losses import adversarial
from facesynth.model.training.gan.discriminators import new_opponent, require_projection
from facesynth.model.training.gan.networks import new_generator
from facesynth.model.training.memory import kept_by_autograd
from facesynth.model.training.plan_text import plan_text
from facesynth.model.training.run_folder import KEPT_STATES, RunFolder, plain

if TYPE_CHECKING:
    from torch import Tensor

    from facesynth.model.checkpoints.native import GeneratorCheckpoint, GeneratorState
    from facesynth.model.config.model import DiscriminatorConfig
    from facesynth.model.networks.generator import Generator
    from facesynth.model.training.gan.discriminators import Opponent
    from facesynth.model.training.projected import Projection


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

    function: ClassVar[str] = "facesynth.model.training.train_generator"

    def load(self, path: Path) -> GeneratorState:
        """Read a training state."""
        return native.load_generator_state(path)

    def title(self, config: Any) -> str:
        """The run's title in the README."""
        return f"{TASK}, {config.generator.output_size} px"


class ProjectedFolder(GeneratorFolder):
    """The run folder of a generator's training against a projected discriminator, which no other run starts from."""

    files: ClassVar[Mapping[str, str]] = MappingProxyType(
        {**GeneratorFolder.files, "checkpoints/": "the newest states, to go on from; also for `--generator`"}
    )


def run_folder(root: Path, config: GANConfig, keep: int = KEPT_STATES) -> GeneratorFolder:
    """The run folder of a config; ``keep`` newest states are kept."""
    return (ProjectedFolder if config.is_projected else GeneratorFolder)(root, keep)


@dataclass(frozen=True)
class GeneratorPlan:
    """The plan of a generator's run.

    Attributes
    ----------
    config : GANConfig
    train, val : Photos
    generator : GeneratorCheckpoint or None
        The generator to start from, of the config's sizes.
    discriminator : dict of str to tensor, or None
        State dict of the discriminator to start from.
    settings : mapping
        Everything that distinguishes this run from others, as plain values.
    projection : Projection or None
        The frozen network of a projected discriminator.
    """

    config: GANConfig
    train: Photos
    val: Photos
    generator: GeneratorCheckpoint | None
    discriminator: dict[str, Tensor] | None
    settings: Mapping[str, Any]
    projection: Projection | None = None

    def text(self, n_processes: int = 1) -> str:
        """A summary: the settings as YAML, then parameters, epochs and memory."""
        config = self.config
        projection = copy.deepcopy(self.projection)
        if isinstance(projection, nn.Module):
            projection.to("meta")
        with torch.device("meta"):
            generator, opponent = new_generator(config.generator), new_opponent(config, projection)
        sizes = [sum(weight.numel() for weight in each.parameters()) for each in (generator, opponent.network)]
        frozen = sum(weight.numel() for each in opponent.frozen_networks() for weight in each.parameters())
        part = config.batch_size // (n_processes * config.accumulate)
        passes = _activation_bytes(config, generator, opponent, part)
        weights, moments, gradients = 4 * (2 * sizes[0] + sizes[1] + frozen), 8 * sum(sizes), 4 * max(sizes)
        largest = max(passes, key=lambda name: passes[name])
        images = config.steps * config.batch_size
        shares = {
            "weights": weights,
            "optimizers": moments,
            "gradients": gradients,
            "activations": passes[largest],
        }
        lines = (
            f"generator: {sizes[0]:,} parameters; discriminator: {sizes[1]:,}"
            + (f"; its frozen network: {frozen:,}" if frozen else ""),
            (
                f"photos: {len(self.train)} to train on, {len(self.val)} to validate on; {images:,} images, "
                f"{images / len(self.train):,.1f} epochs"
            ),
        )
        return plan_text(self.settings, lines, sum(shares.values()), shares, f" in the {largest}")


def _activation_bytes(config: GANConfig, generator: Generator, opponent: Opponent, count: int) -> dict[str, int]:
    """Bytes that autograd saves in each phase of a step, by name, for a micro-batch of ``count`` images.

    The networks are on the meta device.
    """
    size, sizes = config.generator.output_size, config.generator
    half = 0.5 if config.precision == "bf16" else 1.0
    photos = torch.empty(count, 3, size, size, device="meta")

    def latents(n: int) -> Tensor:
        w: Tensor = generator.mapping(torch.empty(n, sizes.style_dim, device="meta"))
        return w[:, None].expand(-1, sizes.n_styles, -1)

    known = _storages(generator, opponent.network, *opponent.frozen_networks())
    passes = {}
    with kept_by_autograd(known) as kept, opponent.frozen():
        opponent.generator_loss(opponent.scores(generator(latents(count), noise="none")))
    passes["generator's step"] = round(sum(kept.values()) * half)
    with kept_by_autograd(known) as kept:
        opponent.discriminator_loss(opponent.scores(photos), opponent.scores(photos + 0))
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
            inputs = photos.clone().requires_grad_()
            adversarial.gradient_penalty(opponent.scores(inputs)[0], inputs)
        passes["gradient penalty"] = sum(kept.values())
    return passes


def _storages(*networks: nn.Module) -> set[int]:
    """The addresses of the storages of all weights and buffers."""
    return {
        weight.untyped_storage()._cdata
        for network in networks
        for weight in (*network.parameters(), *network.buffers())
    }


@dataclass(frozen=True)
class InitialNetworks:
    """The networks that a run starts from, if any.

    Attributes
    ----------
    generator : GeneratorCheckpoint or None
    discriminator : tuple of DiscriminatorConfig and dict, or None
        Sizes and state dict.
    names : tuple of str or None
        The paths of the two files, which a run records.
    """

    generator: GeneratorCheckpoint | None = None
    discriminator: tuple[DiscriminatorConfig, dict[str, Tensor]] | None = None
    names: tuple[str | None, str | None] = (None, None)


def read_initial_networks(generator: Path | None, discriminator: Path | None, size: int | None) -> InitialNetworks:
    """The initial networks, from files of any known format.

    Parameters
    ----------
    generator, discriminator
        The files, or a run folder for the generator; a discriminator needs a generator.
    size
        The requested height and width, pixels, if any.

    Raises
    ------
    InputError
        If there is a discriminator without a generator.
    CheckpointError
        If a file cannot be read, or the sizes differ.
    """
    if generator is None:
        if discriminator is not None:
            raise InputError(
                f"a discriminator came without a generator, {discriminator}; give --generator FILE too, or a kind: "
                f"{', '.join(DISCRIMINATORS)}"
            )
        return InitialNetworks()
    checkpoint = load_generator(generator)
    output_size = checkpoint.config.output_size
    if size is not None and size != output_size:
        raise CheckpointError(
            f"the generator of {checkpoint.path} makes {output_size} px, not the {size} px requested; leave out --size"
        )
    with torch.device("meta"):
        own = new_generator(checkpoint.config).state_dict()
    state_dict.check_state(own, checkpoint.tensors, checkpoint.path)
    loaded = load_discriminator(discriminator) if discriminator else None
    if loaded is not None and loaded[0].input_size != output_size:
        raise CheckpointError(
            f"the discriminator of {discriminator} is for {loaded[0].input_size} px, the generator makes {output_size}"
        )
    return InitialNetworks(checkpoint, loaded, (str(generator), str(discriminator) if discriminator else None))


def plan_generator(
    data: Path, config: GANConfig, initial: InitialNetworks | None = None, projection: Projection | None = None
) -> GeneratorPlan:
    """The plan of a run on a dataset folder.

    Parameters
    ----------
    data
        A dataset folder with the splits train and val.
    config
    initial
        The networks to start from, of the config's sizes.
    projection
        The frozen network of a projected discriminator.

    Raises
    ------
    InputError
        If the dataset does not fit, the initial networks have other sizes than the config's, or the frozen network is missing.
    """
    if config.is_projected:
        require_projection(projection)
    initial = initial or InitialNetworks()
    if initial.generator is not None and initial.generator.config != config.generator:
        raise InputError(f"the initial generator has the sizes {initial.generator.config}; needed: {config.generator}")
    if initial.discriminator is not None and initial.discriminator[0] != config.discriminator:
        raise InputError(
            f"the initial discriminator has the sizes {initial.discriminator[0]}; needed: "
            f"{config.discriminator or 'none, because a projected discriminator is trained from scratch'}"
        )
    dataset = read_dataset(data)
    size = config.generator.output_size
    train, val = Photos(dataset, "train", size, flip=config.flip, seed=config.seed), Photos(dataset, "val", size)
    settings = {
        "task": TASK,
        "photos": {"train": train.digest, "val": val.digest},
        "start": dict(zip(("generator", "discriminator"), initial.names, strict=True)),
        **plain(dataclasses.asdict(config)),
    }
    state = initial.discriminator[1] if initial.discriminator else None
    return GeneratorPlan(config, train, val, initial.generator, state, settings, projection)
