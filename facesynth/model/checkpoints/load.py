"""Checkpoints of any known format: a file in, a model, a generator with its average latent or a discriminator out.

The formats are told apart by :mod:`facesynth.model.checkpoints.recognise`. A missing average latent is computed by the mapping
network from 100 000 random z of a fixed seed, as the published pSp code does from as many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from facesynth.model.checkpoints.recognise import (
    GENERATORS,
    KNOWN,
    MOCO_PREFIX,
    Found,
    contents_of,
    float_state,
    naming,
    recognise,
)
from facesynth.model.networks.parser import ParserNetwork

if TYPE_CHECKING:
    from facesynth.model.checkpoints.native import ParserCheckpoint

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesynth.errors import CheckpointError
from facesynth.labels import CELEBAMASK_HQ, MOST_CLASSES, LabelScheme, numbered_scheme
from facesynth.model.checkpoints import native, state_dict, torch_save
from facesynth.model.checkpoints.native import Checkpoint, GeneratorCheckpoint, ParserCheckpoint
from facesynth.model.networks.discriminator import Discriminator
from facesynth.model.networks.generator import Generator

if TYPE_CHECKING:
    from facesynth.model.config.model import DiscriminatorConfig, GeneratorConfig, ModelConfig

AVERAGE_SAMPLES = 100_000
AVERAGE_SEED = 0
TASKS = {"labels": "seg2face", "sketch": "sketch2face", "photo": "photo2face"}
"""What a published model with each condition translates."""


def load_model(path: Path | str) -> Checkpoint:
    """The model of a checkpoint file or run folder, facesynth's or pixel2style2pixel's.

    Raises
    ------
    CheckpointError
        If it is none, or does not hold what it should; the message names what is missing.
    """
    found = recognise(Path(path))
    if found.format == "facesynth":
        return native.load(found.path)
    if found.format != "psp":
        way = "train an encoder for it with `facesynth train --generator`"
        raise CheckpointError(
            f"{found.path} holds no model but {contents_of(found)}; {way if found.format in GENERATORS else f'give {KNOWN}'}"
        )
    return model_of(found)


def load_generator(path: Path | str) -> GeneratorCheckpoint:
    """The generator of a checkpoint file or run folder of any format that has one, with its average latent.

    Raises
    ------
    CheckpointError
        If it has none, or does not hold what it should; the message names what is missing.
    """
    found = recognise(Path(path))
    return generator_of(found)


def load_discriminator(path: Path | str) -> tuple[DiscriminatorConfig, dict[str, Tensor]]:
    """Sizes and state dict of the discriminator in the state of a training run: ours, rosinality's or StyleGAN2-ADA's.

    Raises
    ------
    CheckpointError
        If the file has none, or it does not hold what it should; the message names what is missing.
    """
    from facesynth.model.checkpoints.rosinality import discriminator_from_rosinality
    from facesynth.model.checkpoints.stylegan2_ada import discriminator_from_ada

    path = Path(path)
    if path.is_dir():
        raise CheckpointError(
            f"{path} is a folder; a discriminator is in a file, such as a run's newest checkpoints/step-*.safetensors"
        )
    found = recognise(path)
    if found.format == "facesynth":
        given = native.load_generator_state(path)
        config, state = given.discriminator, given.state_of("discriminator")
        with torch.device("meta"):
            own = Discriminator(config).state_dict()
        state_dict.check_state(own, state, path)
        return config, state
    name = {"rosinality": "d", "stylegan2-ada": "D"}.get(found.format, "")
    content = found.content.get(name) if name else None
    with naming(found.path):
        if name == "d" and content is not None:
            config, state = discriminator_from_rosinality(float_state(content, name))
        elif name == "D" and isinstance(content, torch_save.Record):
            config, tensors = discriminator_from_ada(content)
            state = float_state(tensors, name)
        else:
            raise CheckpointError(
                "it holds no discriminator; needed: a file with stylegan2-pytorch's d or StyleGAN2-ADA's D"
            )
    state_dict.check_finite(state, found.path)
    return config, state


def moco_state(found: Found) -> dict[str, Tensor]:
    """The query encoder of a published MoCo file, by torchvision's names, without the embedding behind it.

    Raises
    ------
    CheckpointError
        If the file's state dict is none.
    """
    state = float_state(found.content["state_dict"], "state_dict")
    encoder = {key.removeprefix(MOCO_PREFIX): value for key, value in state.items() if key.startswith(MOCO_PREFIX)}
    return {key: value for key, value in encoder.items() if not key.startswith("fc.")}


def load_trunk(path: Path | str, *, input_channels: int) -> dict[str, Tensor]:
    """What a published IR-SE50 has for the trunk of an encoder with the published sizes, to start its training from.

    Parameters
    ----------
    path
        The file, ``model_ir_se50.pth``.
    input_channels
        Of the condition. IR-SE50 saw photos, so for other than 3 its first convolution is left out.

    Returns
    -------
    dict[str, Tensor]
        By the names of :class:`facesynth.model.networks.encoder.Trunk`'s state dict.

    Raises
    ------
    CheckpointError
        If the file is another one, or damaged.
    """
    trunk = {
        name.removeprefix("trunk."): value
        for name, value in recogniser_state(path).items()
        if name.startswith("trunk.")
    }
    if input_channels != trunk["stem.0.weight"].shape[1]:
        del trunk["stem.0.weight"]
    return trunk


def recogniser_state(path: Path | str) -> dict[str, Tensor]:
    """The state dict of a published IR-SE50 (``model_ir_se50.pth``), by our names.

    Raises
    ------
    CheckpointError
        If the file is another one, or damaged.
    """
    from facesynth.model.checkpoints.ir_se50 import recogniser_from_ir_se50

    found = recognise(Path(path))
    if found.format != "ir-se50":
        raise CheckpointError(f"{found.path} holds {contents_of(found)}; needed: ArcFace's IR-SE50 (model_ir_se50.pth)")
    with naming(found.path):
        state = recogniser_from_ir_se50(float_state(found.content, "content"))
    state_dict.check_finite(state, found.path)
    return state


def model_of(found: Found) -> Checkpoint:
    """The model of a published pSp file.

    Such a file doesn't say what its classes are: 19 are taken for those of CelebAMask-HQ, which the published model has, any
    other number gets a scheme of numbered names.

    Raises
    ------
    CheckpointError
        If it does not hold what it should.
    """
    from facesynth.model.checkpoints.pixel2style2pixel import config_from_published, from_published

    content = found.content
    options = _options(content.get("opts"))
    with naming(found.path):
        published = float_state(content["state_dict"], "state_dict")
        label_channels = options.get("label_nc")
        config = config_from_published(published, label_channels=label_channels if label_channels == 3 else 0)
        scheme = _scheme(config)
        state = from_published(published, config)
    generator = {
        name.removeprefix("generator."): value for name, value in state.items() if name.startswith("generator.")
    }
    starts_from_average = options.get("start_from_latent_avg", True)
    if starts_from_average:
        state["latent_avg"] = _average(content.get("latent_avg"), generator, config.generator, found.path)
    else:
        state["latent_avg"] = torch.zeros(config.n_styles, config.style_dim)
    state_dict.check_finite(state, found.path)
    info = {"opts": options}
    return Checkpoint(found.path, "model", config, TASKS[config.condition], scheme, state, info)


def _scheme(config: ModelConfig) -> LabelScheme:
    """The scheme of a published model's label maps; of no meaning where it takes none."""
    count = config.input_channels
    if config.condition != "labels" or count == len(CELEBAMASK_HQ):
        return CELEBAMASK_HQ
    if not 2 <= count <= MOST_CLASSES:
        raise CheckpointError(
            f"the encoder takes {count} channels; needed: 1 for sketches, 3 for photos or 2 to {MOST_CLASSES} for classes"
        )
    return numbered_scheme(count)


def generator_of(found: Found) -> GeneratorCheckpoint:
    """The generator of a recognised file, of whichever format has one.

    Raises
    ------
    CheckpointError
        If it has none, or does not hold what it should.
    """
    if found.format == "facesynth":
        content = found.content
        if isinstance(content, ParserCheckpoint):
            raise CheckpointError(f"{found.path} holds no generator but a face parser; give {KNOWN}")
        is_generator = isinstance(content, GeneratorCheckpoint)
        given = content if is_generator else native.generator_of(content)
        prefix = "" if is_generator else "generator."
        state = {prefix + name: value for name, value in given.tensors.items()}
        state_dict.check_finite({**state, "latent_avg": given.latent_avg}, found.path)
        return given
    if found.format == "psp":
        return native.generator_of(model_of(found))
    config, tensors, given_average = generator_parts(found)
    state_dict.check_finite(tensors, found.path)
    average = _average(given_average, tensors, config, found.path)
    state_dict.check_finite({"latent_avg": average}, found.path)
    return GeneratorCheckpoint(found.path, config, tensors, average, {})


def generator_parts(found: Found) -> tuple[GeneratorConfig, dict[str, Tensor], Any]:
    """Sizes, state dict and, where the file has it, average latent of a generator of rosinality's or StyleGAN2-ADA's.

    Raises
    ------
    CheckpointError
        If the file is of another format, or does not hold what it should.
    """
    from facesynth.model.checkpoints.rosinality import generator_from_rosinality
    from facesynth.model.checkpoints.stylegan2_ada import generator_from_ada

    with naming(found.path):
        if found.format == "rosinality":
            config, tensors = generator_from_rosinality(float_state(found.content["g_ema"], "g_ema"))
            return config, tensors, found.content.get("latent_avg")
        if found.format == "stylegan2-ada":
            config, tensors, average = generator_from_ada(found.content["G_ema"])
            return config, float_state(tensors, "G_ema"), average
    raise CheckpointError(f"{found.path} holds no generator but {contents_of(found)}; give {KNOWN}")


def _options(value: Any) -> dict[str, Any]:
    """The options of a published run that are plain values."""
    options = value if isinstance(value, Mapping) else {}
    return {str(key): inner for key, inner in options.items() if inner is None or isinstance(inner, str | int | float)}


def _average(given: Any, tensors: Mapping[str, Tensor], config: GeneratorConfig, path: Path) -> Tensor:
    """The average latent, (n_styles, style_dim): as it came, the same for every layer or not, or computed."""
    shape = (config.n_styles, config.style_dim)
    if given is None:
        return average_latent(tensors, config).expand(shape).clone()
    if not isinstance(given, Tensor) or tuple(given.shape) not in (shape, (1, shape[1]), (shape[1],)):
        came = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise CheckpointError(f"{path}: latent_avg is {came}; needed: {shape}, {(1, shape[1])} or {(shape[1],)}")
    return given.detach().float().expand(shape).clone()


def average_latent(tensors: Mapping[str, Tensor], config: GeneratorConfig) -> Tensor:
    """The average w, (style_dim,), of a generator's state dict, from 100 000 random z of seed 0."""
    with torch.device("meta"):
        generator = Generator(
            config.output_size, config.style_dim, config.mapping_depth, config.channel_base, config.channel_max
        )
    generator.load_state_dict(dict(tensors), assign=True)
    return generator.mean_latent(AVERAGE_SAMPLES, AVERAGE_SEED)


def load_parser_network(given: ParserCheckpoint) -> ParserNetwork:
    """The network of a checkpoint, frozen, on the CPU, with channels last in memory, which is faster there.

    Raises
    ------
    CheckpointError
        If its tensors are not those that its sizes ask for.
    """
    network = ParserNetwork(given.config, len(given.scheme))
    state_dict.load_into(network, given.tensors, given.path)
    return network.to(memory_format=torch.channels_last).eval().requires_grad_(requires_grad=False)
