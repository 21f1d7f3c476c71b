"""Checkpoints of any known kind, told by their content: a file in, a model or a generator with its average latent out.

===============  ==========================================================================  ========================
format           content                                                                     holds
===============  ==========================================================================  ========================
facesynth        safetensors with a description                                              model, generator, parser
psp              ``{"state_dict", "latent_avg", "opts"}`` of pixel2style2pixel               model
rosinality       ``{"g_ema", "latent_avg"}`` of stylegan2-pytorch, also a run's whole state  generator, maybe D
stylegan2-ada    a pickle with the networks ``G``, ``D`` and ``G_ema``                       generator and D
ir-se50          the state dict of ArcFace's IR-SE50                                         recogniser
lpips            LPIPS's heads                                                               part of a loss
alexnet, vgg16   torchvision's AlexNet and VGG16                                             part of a loss
moco             ``{"state_dict", "arch"}`` of MoCo v2's ResNet-50                           part of a loss
===============  ==========================================================================  ========================

Nothing that a file names is run (:mod:`facesynth.model.torch_files`). A missing average latent is computed by the mapping
network from 100 000 random z of a fixed seed, as the published pSp code does from as many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from facesynth.errors import CheckpointError
from facesynth.labels import CELEBAMASK_HQ, MOST_CLASSES, LabelScheme, numbered_scheme
from facesynth.model import checkpoint, torch_files
from facesynth.model.checkpoint import Checkpoint, GeneratorCheckpoint, ParserCheckpoint
from facesynth.model.discriminator import Discriminator
from facesynth.model.pickles import shown
from facesynth.model.stylegan2 import Generator

if TYPE_CHECKING:
    from os import PathLike

    from facesynth.model.config import DiscriminatorConfig, GeneratorConfig, ModelConfig
    from facesynth.model.identity import Identity
    from facesynth.model.moco import MoCo

FORMATS = {
    "facesynth": "facesynth's own",
    "psp": "pixel2style2pixel's",
    "rosinality": "rosinality's stylegan2-pytorch's",
    "stylegan2-ada": "StyleGAN2-ADA's",
    "ir-se50": "ArcFace's IR-SE50",
    "lpips": "LPIPS's heads",
    "alexnet": "torchvision's AlexNet",
    "vgg16": "torchvision's VGG16",
    "moco": "MoCo v2's ResNet-50",
}
"""The formats, and whose they are."""
GENERATORS = ("rosinality", "stylegan2-ada")
"""The formats that hold a generator alone."""
AVERAGE_SAMPLES = 100_000
AVERAGE_SEED = 0
TASKS = {"labels": "seg2face", "sketch": "sketch2face", "photo": "photo2face"}
"""What a published model with each condition translates."""
_PICTURE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM")
_TEXT_STARTS = (b"<", b"version https://git-lfs")
_STATE_DICTS = {
    "output_layer.3.weight": "ir-se50",
    "lin0.model.1.weight": "lpips",
    "features.28.weight": "vgg16",
    "features.0.weight": "alexnet",
}
"""A key that a network's state dict has and those after it lack."""
_MOCO = "module.encoder_q."
_KNOWN = "a checkpoint of facesynth, pixel2style2pixel, stylegan2-pytorch or StyleGAN2-ADA"


@dataclass(frozen=True)
class Found:
    """A file and what it was recognised as.

    Attributes
    ----------
    path : Path
    format : str
        One of :data:`FORMATS`.
    content : Any
        What it holds: a checkpoint for facesynth's, else plain values and tensors.
    """

    path: Path
    format: str
    content: Any


def recognise(path: Path) -> Found:
    """Read a file of any known format.

    Parameters
    ----------
    path
        The file, or a run folder, for its best model.

    Raises
    ------
    CheckpointError
        If there is none, it is damaged, or it is of no known format.
    """
    path = checkpoint.find(path)
    start = _start(path)
    if start.startswith((torch_files.ZIP_START, *torch_files.PICKLE_STARTS)):
        content = torch_files.read(path)
        return Found(path, _format_of(content, path), content)
    if start[8:9] == b"{":
        return Found(path, "facesynth", checkpoint.load_any(path))
    is_what = (
        "is empty"
        if not start
        else "is a picture"
        if start.startswith(_PICTURE_STARTS)
        else "is a text, such as a web page that came in its stead"
        if start.startswith(_TEXT_STARTS)
        else "is of no known format, or damaged"
    )
    raise CheckpointError(f"{path} cannot be read as a checkpoint: it {is_what}; give {_KNOWN}")


def load_model(path: Path | str) -> Checkpoint:
    """The model of a checkpoint file or run folder, facesynth's or pixel2style2pixel's.

    Raises
    ------
    CheckpointError
        If it is none, or does not hold what it should; the message names what is missing.
    """
    found = recognise(Path(path))
    if found.format == "facesynth":
        return checkpoint.load(found.path)
    if found.format != "psp":
        way = "train an encoder for it with `facesynth train --generator`"
        raise CheckpointError(
            f"{found.path} holds no model but {_what(found)}; {way if found.format in GENERATORS else f'give {_KNOWN}'}"
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
    from facesynth.model.published_ada import discriminator_from_ada
    from facesynth.model.published_parts import discriminator_from_rosinality

    path = Path(path)
    if path.is_dir():
        raise CheckpointError(
            f"{path} is a folder; a discriminator is in a file, such as a run's newest checkpoints/step-*.safetensors"
        )
    found = recognise(path)
    if found.format == "facesynth":
        given = checkpoint.load_generator_state(path)
        config, state = given.discriminator, given.state_of("discriminator")
        with torch.device("meta"):
            own = Discriminator(config).state_dict()
        checkpoint.check_state(own, state, path)
        return config, state
    name = {"rosinality": "d", "stylegan2-ada": "D"}.get(found.format, "")
    content = found.content.get(name) if name else None
    with _naming(found.path):
        if name == "d" and content is not None:
            config, state = discriminator_from_rosinality(_state(content, name))
        elif name == "D" and isinstance(content, torch_files.Record):
            config, tensors = discriminator_from_ada(content)
            state = _state(tensors, name)
        else:
            raise CheckpointError(
                "it holds no discriminator; needed: a file with stylegan2-pytorch's d or StyleGAN2-ADA's D"
            )
    checkpoint.check_finite(state, found.path)
    return config, state


def load_identity(path: Path | str) -> Identity:
    """The identity term on a published IR-SE50 (``model_ir_se50.pth``).

    Raises
    ------
    CheckpointError
        If the file is another one, or damaged.
    """
    from facesynth.model.identity import Identity

    return Identity(_recogniser(path))


def load_moco(path: Path | str) -> MoCo:
    """The similarity term on the published MoCo v2 (``moco_v2_800ep_pretrain.pth.tar``).

    Raises
    ------
    CheckpointError
        If the file is another one, or damaged.
    """
    from facesynth.model.moco import MoCo

    found = recognise(Path(path))
    if found.format != "moco":
        raise CheckpointError(
            f"{found.path} holds {_what(found)}; needed: MoCo v2's ResNet-50 (moco_v2_800ep_pretrain.pth.tar)"
        )
    with _naming(found.path):
        state = moco_state(found)
        network = MoCo(state)
    checkpoint.check_finite(state, found.path)
    return network


def moco_state(found: Found) -> dict[str, Tensor]:
    """The query encoder of a published MoCo file, by torchvision's names; the embedding behind it is left out.

    Raises
    ------
    CheckpointError
        If the file's state dict is none.
    """
    state = _state(found.content["state_dict"], "state_dict")
    encoder = {key.removeprefix(_MOCO): value for key, value in state.items() if key.startswith(_MOCO)}
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
        By the names of :class:`facesynth.model.encoder.Trunk`'s state dict.

    Raises
    ------
    CheckpointError
        If the file is another one, or damaged.
    """
    trunk = {
        name.removeprefix("trunk."): value for name, value in _recogniser(path).items() if name.startswith("trunk.")
    }
    if input_channels != trunk["stem.0.weight"].shape[1]:
        del trunk["stem.0.weight"]
    return trunk


def _recogniser(path: Path | str) -> dict[str, Tensor]:
    from facesynth.model.published_parts import recogniser_from_ir_se50

    found = recognise(Path(path))
    if found.format != "ir-se50":
        raise CheckpointError(f"{found.path} holds {_what(found)}; needed: ArcFace's IR-SE50 (model_ir_se50.pth)")
    with _naming(found.path):
        state = recogniser_from_ir_se50(_state(found.content, "content"))
    checkpoint.check_finite(state, found.path)
    return state


def read_state(path: str | PathLike[str]) -> dict[str, Tensor]:
    """The tensors by name in a safetensors file or one of ``torch.save``, whatever network they are of.

    Raises
    ------
    CheckpointError
        If it cannot be read, or holds anything but tensors by name.
    """
    path = Path(path)
    if _start(path)[8:9] == b"{":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read as weights: {shown(error)}") from error
    loaded = torch_files.read(path, what="weights")
    if not _is_state(loaded):
        raise CheckpointError(f"{path} holds no state dict; needed: tensors by name")
    return dict(loaded)


def model_of(found: Found) -> Checkpoint:
    """The model of a published pSp file.

    Such a file doesn't say what its classes are: 19 are taken for those of CelebAMask-HQ, which the published model has, any
    other number gets a scheme of numbered names.

    Raises
    ------
    CheckpointError
        If it does not hold what it should.
    """
    from facesynth.model.published import config_from_published, from_published

    content = found.content
    options = _options(content.get("opts"))
    with _naming(found.path):
        published = _state(content["state_dict"], "state_dict")
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
    checkpoint.check_finite(state, found.path)
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
            raise CheckpointError(f"{found.path} holds no generator but a face parser; give {_KNOWN}")
        is_generator = isinstance(content, GeneratorCheckpoint)
        given = content if is_generator else checkpoint.generator_of(content)
        prefix = "" if is_generator else "generator."
        state = {prefix + name: value for name, value in given.tensors.items()}
        checkpoint.check_finite({**state, "latent_avg": given.latent_avg}, found.path)
        return given
    if found.format == "psp":
        return checkpoint.generator_of(model_of(found))
    config, tensors, given_average = generator_parts(found)
    checkpoint.check_finite(tensors, found.path)
    average = _average(given_average, tensors, config, found.path)
    checkpoint.check_finite({"latent_avg": average}, found.path)
    return GeneratorCheckpoint(found.path, config, tensors, average, {})


def generator_parts(found: Found) -> tuple[GeneratorConfig, dict[str, Tensor], Any]:
    """Sizes, state dict and, where the file has it, average latent of a generator of rosinality's or StyleGAN2-ADA's.

    Raises
    ------
    CheckpointError
        If the file is of another format, or does not hold what it should.
    """
    from facesynth.model.published_ada import generator_from_ada
    from facesynth.model.published_parts import generator_from_rosinality

    with _naming(found.path):
        if found.format == "rosinality":
            config, tensors = generator_from_rosinality(_state(found.content["g_ema"], "g_ema"))
            return config, tensors, found.content.get("latent_avg")
        if found.format == "stylegan2-ada":
            config, tensors, average = generator_from_ada(found.content["G_ema"])
            return config, _state(tensors, "G_ema"), average
    raise CheckpointError(f"{found.path} holds no generator but {_what(found)}; give {_KNOWN}")


# ------------------------------------------------------------------------------------------------------------ the parts


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's path in front of what is wrong with its content."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {error.strerror or error}") from error


def _format_of(content: Any, path: Path) -> str:
    if isinstance(content, Mapping):
        if "state_dict" in content:
            inner = content["state_dict"]
            return "moco" if isinstance(inner, Mapping) and f"{_MOCO}conv1.weight" in inner else "psp"
        if "g_ema" in content:
            return "rosinality"
        if isinstance(content.get("G_ema"), torch_files.Record):
            return "stylegan2-ada"
        if _is_state(content):
            for key, name in _STATE_DICTS.items():
                if key in content:
                    return name
        keys = ", ".join(shown(key) for key in list(content)[:4])
        held = f"a dict with the keys {keys}" if keys else "an empty dict"
    else:
        held = f"a {type(content).__name__}"
    raise CheckpointError(f"{path} cannot be read as a checkpoint: it holds {held}; give {_KNOWN}")


def _what(found: Found) -> str:
    return FORMATS[found.format] + (" generator" if found.format in GENERATORS else "")


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(key, str) and isinstance(tensor, Tensor) for key, tensor in value.items()
    )


def _state(value: Any, name: str) -> dict[str, Tensor]:
    """A published state dict, its floating-point numbers as float32."""
    if not _is_state(value):
        raise CheckpointError(f"its {name} is no state dict; needed: tensors by name")
    return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in value.items()}


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
