"""Loading checkpoints of any known format: a file in; a model, a generator with its average latent or a discriminator out.

:mod:`facesynth.model.checkpoints.recognise` identifies the format. A missing average latent is computed with the mapping
network from 100 000 random z with a fixed seed; the published pSp code uses as many.

:func:`find` takes the names of :data:`facesynth.model.checkpoints.named.PUBLISHED` too, and fetches and converts their files.
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

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesynth.errors import CheckpointError
from facesynth.files import replacing, sha256_of
from facesynth.labels import CELEBAMASK_HQ, MOST_CLASSES, LabelScheme, numbered_scheme
from facesynth.model.checkpoints import named, native, state_dict, torch_save
from facesynth.model.checkpoints.native import Checkpoint, GeneratorCheckpoint, ParserCheckpoint
from facesynth.model.networks.discriminator import Discriminator
from facesynth.model.networks.generator import Generator

if TYPE_CHECKING:
    from facesynth.model.config.model import DiscriminatorConfig, GeneratorConfig, ModelConfig

AVERAGE_SAMPLES = 100_000
"""Random z from which a missing average latent is computed."""
AVERAGE_SEED = 0
"""Their seed."""
TASKS = {"labels": "seg2face", "sketch": "sketch2face", "photo": "photo2face"}
"""The task of a published model, by its condition."""
_WIDE_DATA = "cars_encode"
"""The ``dataset_type`` of e4e's and ReStyle's models for pictures that are not square."""


def find(path: Path | str, *holds: named.Holds, **options: Any) -> Path:
    """The file for a path or for the name of published weights, which are fetched and converted when they are first needed.

    Parameters
    ----------
    path : path-like
        A file, a run folder, or a name: of a checkpoint that comes with facesynth, or of published weights. A file or folder
        that has such a name is preferred.
    *holds : str
        What published weights may hold: model, generator or recogniser; anything by default. Others are not fetched.
    **options
        As for :func:`facesynth.model.checkpoints.named.fetch`.

    Raises
    ------
    CheckpointError
        If there is no such file, or published weights cannot be fetched or converted.
    OutputError
        If published weights cannot be stored.
    """
    known = named.published(path)
    if known is None:
        return native.find(Path(path), named.PUBLISHED)
    if holds:
        named.need(known, *holds)
    is_forced = bool(options.get("force_download"))
    ready = None if is_forced else named.ready(known)
    if ready is None:
        with named.converting(known):
            ready = None if is_forced else named.ready(known)
            return ready or _convert(known, named.fetch(known, **options))
    return ready


def _convert(known: named.Published, file: Path) -> Path:
    """Store verified weights for later calls: models and generators as safetensors, others as they are."""
    target = named.converted(known)
    if known.holds == "recogniser":
        with replacing(target, sync=True) as beside:
            shutil.copyfile(file, beside)
        return target
    found = recognise(file)
    checkpoint = checkpoint_of(found)
    source = {"file": known.file, "format": found.format, "sha256": known.sha256 or sha256_of(file)}
    info = {**checkpoint.info, "published": known.name, "licence": known.licence, "source": source}
    native.save_loaded(target, checkpoint, info=info)
    return target


def load_model(path: Path | str) -> Checkpoint:
    """The model of a checkpoint file or run folder, in facesynth's or pixel2style2pixel's format, which e4e and ReStyle use.

    Parameters
    ----------
    path : path-like
        Or the name of a published model.

    Raises
    ------
    CheckpointError
        If the file holds no model, or is incomplete; the message names what is missing.
    """
    found = recognise(find(path, "model"))
    if found.format == "facesynth":
        return native.load(found.path)
    if found.format != "psp":
        is_generator = found.format in GENERATORS
        advice = "train an encoder for it with `facesynth train --generator`" if is_generator else f"give {KNOWN}"
        raise CheckpointError(f"{found.path} holds no model but {contents_of(found)}; {advice}")
    return model_of(found)


def load_generator(path: Path | str) -> GeneratorCheckpoint:
    """The generator of a checkpoint file or run folder of any format that has one, with its average latent.

    Parameters
    ----------
    path : path-like
        Or the name of a published model or generator.

    Raises
    ------
    CheckpointError
        If the file holds no generator, or is incomplete; the message names what is missing.
    """
    found = recognise(find(path, "model", "generator"))
    return generator_of(found)


def load_discriminator(path: Path | str) -> tuple[DiscriminatorConfig, dict[str, Tensor]]:
    """The discriminator in the training state of a GAN: facesynth's, rosinality's or StyleGAN2-ADA's.

    Parameters
    ----------
    path : path-like
        A file; a run folder is refused.

    Returns
    -------
    config : DiscriminatorConfig
        Its sizes.
    state : dict of str to tensor
        State dict of a :class:`~facesynth.model.networks.discriminator.Discriminator` of these sizes, which sets the shapes
        of the tensors; float32.

    Raises
    ------
    CheckpointError
        If the file holds no discriminator, or is incomplete; the message names what is missing.
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
        training_state = native.load_generator_state(path)
        config, state = training_state.discriminator, training_state.state_of("discriminator")
        if config is None:
            raise CheckpointError(
                f"{path} holds a projected discriminator, which no run starts from; give --discriminator projected, "
                "to train one from scratch"
            )
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
    """The query encoder of a published MoCo file, without its final embedding.

    Parameters
    ----------
    found : Found
        A file of the format moco.

    Returns
    -------
    dict of str to tensor
        By the keys of torchvision's ResNet-50, with shapes as stored; floating-point tensors as float32.

    Raises
    ------
    CheckpointError
        If ``state_dict`` in the file is not a state dict.
    """
    state = float_state(found.content["state_dict"], "state_dict")
    encoder = {key.removeprefix(MOCO_PREFIX): value for key, value in state.items() if key.startswith(MOCO_PREFIX)}
    return {key: value for key, value in encoder.items() if not key.startswith("fc.")}


def load_trunk(path: Path | str, *, input_channels: int) -> dict[str, Tensor]:
    """The trunk of a published IR-SE50, to initialise an encoder of the published sizes with.

    Parameters
    ----------
    path : path-like
        The file, ``model_ir_se50.pth``, or the name ``ir-se50``.
    input_channels : int
        Channels of the condition. IR-SE50 was trained on photos, so its first convolution is left out unless this is 3.

    Returns
    -------
    dict of str to tensor
        By the keys of :class:`facesynth.model.networks.encoder.Trunk`'s state dict, of its shapes; float32.

    Raises
    ------
    CheckpointError
        If the file is not an IR-SE50, or is damaged.
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
    """The state dict of a published IR-SE50 with facesynth's keys.

    Parameters
    ----------
    path : path-like
        The file, ``model_ir_se50.pth``, or the name ``ir-se50``.

    Returns
    -------
    dict of str to tensor
        State dict of :class:`facesynth.model.networks.recogniser.FaceRecogniser`, of its shapes; float32.

    Raises
    ------
    CheckpointError
        If the file is not an IR-SE50, or is damaged.
    """
    from facesynth.model.checkpoints.ir_se50 import recogniser_from_ir_se50

    found = recognise(find(path, "recogniser"))
    if found.format != "ir-se50":
        raise CheckpointError(f"{found.path} holds {contents_of(found)}; needed: ArcFace's IR-SE50 (model_ir_se50.pth)")
    with naming(found.path):
        state = recogniser_from_ir_se50(float_state(found.content, "content"))
    state_dict.check_finite(state, found.path)
    return state


def checkpoint_of(found: Found) -> Checkpoint | GeneratorCheckpoint:
    """The model of a recognised file of another program, or its generator if it has no encoder.

    Raises
    ------
    CheckpointError
        If the file holds neither, or is incomplete.
    """
    return model_of(found) if found.format == "psp" else generator_of(found)


def model_of(found: Found) -> Checkpoint:
    """The model of a published file of pSp, e4e or ReStyle.

    Such a file does not name its classes: 19 classes are assumed to be those of CelebAMask-HQ, which the published model
    uses; for any other number the scheme has numbered names.

    Raises
    ------
    CheckpointError
        If the file is incomplete; the message names what is missing. If its model takes pictures that are not square.
    """
    from facesynth.model.checkpoints.pixel2style2pixel import (
        ENCODER_CLASSES,
        config_from_published,
        from_published,
        passes_of,
    )

    content = found.content
    options = _options(content.get("opts"))
    with naming(found.path):
        published = float_state(content["state_dict"], "state_dict")
        if options.get("dataset_type") == _WIDE_DATA:
            raise CheckpointError(
                f"it is a model for {_WIDE_DATA}, of pictures of 256 x 192 px; needed: a model for square ones"
            )
        encoder, refinements = ENCODER_CLASSES.get(str(options.get("encoder_type"))), passes_of(options)
        label_channels = options.get("label_nc")
        config = config_from_published(
            published,
            label_channels=label_channels if label_channels == 3 else 0,
            layer_offsets=encoder is not None and encoder.layer_offsets,
            refinements=refinements,
        )
        scheme = _scheme(config)
        state = from_published(published, config)
    generator = {
        name.removeprefix("generator."): value for name, value in state.items() if name.startswith("generator.")
    }
    starts_from_average = refinements or options.get("start_from_latent_avg", True)  # ReStyle always does
    if starts_from_average:
        state["latent_avg"] = _average(content.get("latent_avg"), generator, config.generator, found.path)
    else:
        state["latent_avg"] = torch.zeros(config.n_styles, config.style_dim)
    state_dict.check_finite(state, found.path)
    info = {"opts": options}
    return Checkpoint(found.path, "model", config, TASKS[config.condition], scheme, state, info)


def _scheme(config: ModelConfig) -> LabelScheme:
    """The scheme of a published model's label maps; CelebAMask-HQ's, and unused, if its condition is another one."""
    count = config.input_channels
    if config.condition != "labels" or count == len(CELEBAMASK_HQ):
        return CELEBAMASK_HQ
    if not 2 <= count <= MOST_CLASSES:
        raise CheckpointError(
            f"the encoder takes {count} channels; needed: 1 for sketches, 3 for photos or 2 to {MOST_CLASSES} for classes"
        )
    return numbered_scheme(count)


def generator_of(found: Found) -> GeneratorCheckpoint:
    """The generator of a recognised file, of any format that has one.

    Raises
    ------
    CheckpointError
        If the file holds no generator, or is incomplete.
    """
    if found.format == "facesynth":
        content = found.content
        if isinstance(content, ParserCheckpoint):
            raise CheckpointError(f"{found.path} holds no generator but a face parser; give {KNOWN}")
        is_generator = isinstance(content, GeneratorCheckpoint)
        generator = content if is_generator else native.generator_of(content)
        prefix = "" if is_generator else "generator."
        state = {prefix + name: value for name, value in generator.tensors.items()}
        state_dict.check_finite({**state, "latent_avg": generator.latent_avg}, found.path)
        return generator
    if found.format == "psp":
        return native.generator_of(model_of(found))
    config, tensors, stored_average = generator_parts(found)
    state_dict.check_finite(tensors, found.path)
    average = _average(stored_average, tensors, config, found.path)
    state_dict.check_finite({"latent_avg": average}, found.path)
    return GeneratorCheckpoint(found.path, config, tensors, average, {})


def generator_parts(found: Found) -> tuple[GeneratorConfig, dict[str, Tensor], Any]:
    """Sizes, state dict and stored average latent of rosinality's or StyleGAN2-ADA's generator.

    Parameters
    ----------
    found : Found
        A file of one of the formats in :data:`GENERATORS`.

    Returns
    -------
    config : GeneratorConfig
        Its sizes.
    state : dict of str to tensor
        State dict of a :class:`~facesynth.model.networks.generator.Generator` of these sizes, which sets the shapes of the
        tensors; float32.
    latent_avg : Any
        The average latent as stored, not checked; None if the file has none.

    Raises
    ------
    CheckpointError
        If the file has another format, or is incomplete.
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
    """Those options of a published run that are plain values."""
    options = value if isinstance(value, Mapping) else {}
    return {str(key): inner for key, inner in options.items() if inner is None or isinstance(inner, str | int | float)}


def _average(stored: Any, tensors: Mapping[str, Tensor], config: GeneratorConfig, path: Path) -> Tensor:
    """The average latent, (n_styles, style_dim) float32: the stored one, repeated for every layer if need be, or computed."""
    shape = (config.n_styles, config.style_dim)
    if stored is None:
        return average_latent(tensors, config).expand(shape).clone()
    if not isinstance(stored, Tensor) or tuple(stored.shape) not in (shape, (1, shape[1]), (shape[1],)):
        came = tuple(stored.shape) if isinstance(stored, Tensor) else type(stored).__name__
        raise CheckpointError(f"{path}: latent_avg is {came}; needed: {shape}, {(1, shape[1])} or {(shape[1],)}")
    return stored.detach().float().expand(shape).clone()


def average_latent(tensors: Mapping[str, Tensor], config: GeneratorConfig) -> Tensor:
    """The average w of a generator, over 100 000 random z with seed 0.

    Parameters
    ----------
    tensors : mapping of str to tensor
        The generator's state dict, float32; the network takes the tensors without copying them.
    config : GeneratorConfig
        Its sizes.

    Returns
    -------
    (style_dim,) float32 tensor
    """
    with torch.device("meta"):
        generator = Generator(
            config.output_size, config.style_dim, config.mapping_depth, config.channel_base, config.channel_max
        )
    generator.load_state_dict(dict(tensors), assign=True)
    return generator.mean_latent(AVERAGE_SAMPLES, AVERAGE_SEED)


def load_parser_network(checkpoint: ParserCheckpoint) -> ParserNetwork:
    """The network of a face parser's checkpoint: frozen, on the CPU, in channels-last memory format, which is faster there.

    Raises
    ------
    CheckpointError
        If the tensors do not fit the network's sizes.
    """
    network = ParserNetwork(checkpoint.config, len(checkpoint.scheme))
    state_dict.load_into(network, checkpoint.tensors, checkpoint.path)
    return network.to(memory_format=torch.channels_last).eval().requires_grad_(requires_grad=False)
