"""facesynth's own checkpoints: safetensors files with the config and provenance in their header; nothing is unpickled.

There are five kinds:

- ``model``: the weights of a :class:`~facesynth.model.networks.psp.PSP` for inference
- ``training``: those weights (under ``model.``) and everything that a run needs to resume; also used for inference
- ``generator``: a generator alone, to start a run from
- ``generator-training``: a generator (under ``averaged.``) and everything that its own training needs to resume
- ``parser``: the weights of a :class:`~facesynth.model.networks.parser.ParserNetwork`

:mod:`facesynth.model.checkpoints.load` reads files of other programs.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import safetensors
import torch

import facesynth
from facesynth.errors import CheckpointError, InputError, reason_of, shown
from facesynth.files import replacing
from facesynth.labels import LabelScheme, describe, from_description
from facesynth.model.config.model import DiscriminatorConfig, GeneratorConfig, ModelConfig, ParserConfig
from facesynth.values import read_json

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = 1
"""Version of the format; newer versions are refused."""
MODEL_FILE = "model.safetensors"
"""Name of the file with a run's best model, in the run folder."""
_MOST_VALUES = 1_000_000
"""The most values in a file's description."""
_GENERATOR_TRAINING = "generator-training"
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""The safetensors format's names of dtypes."""


@dataclass(frozen=True)
class Checkpoint:
    """A model's checkpoint: its tensors and metadata.

    Attributes
    ----------
    path : Path
        The file.
    kind : str
        model or training.
    config : ModelConfig
        The model's sizes.
    task : str
        seg2face, sketch2face or photo2face.
    scheme : LabelScheme
        The label maps' classes.
    tensors : dict of str to tensor
        Of the kind model: the model's state dict. Of the kind training: state dicts under a prefix each
        (see :meth:`state_of`).
    info : dict
        All other metadata: step, metrics, training config, facesynth's version.
    """

    path: Path
    kind: str
    config: ModelConfig
    task: str
    scheme: LabelScheme
    tensors: dict[str, Tensor]
    info: dict[str, Any]

    def model_state(self) -> dict[str, Tensor]:
        """The state dict for inference, by the keys and of the shapes of a :class:`~facesynth.model.networks.psp.PSP`.

        Of a training state, this is the moving average of the weights if there is one, else the weights.
        """
        if self.kind == "model":
            return self.tensors
        return self.state_of("averaged") or self.state_of("model")

    def state_of(self, prefix: str) -> dict[str, Tensor]:
        """The tensors, of any shape, whose names begin with ``prefix`` and a dot; both are removed from the names."""
        return _with_prefix(prefix, self.tensors)


def _with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


@dataclass(frozen=True)
class GeneratorCheckpoint:
    """A generator's checkpoint: its tensors and metadata.

    Attributes
    ----------
    path : Path
        The file.
    config : GeneratorConfig
        The generator's sizes.
    tensors : dict of str to tensor
        The state dict of a :class:`~facesynth.model.networks.generator.Generator`.
    latent_avg : (n_styles, style_dim) float tensor
        The average latent.
    info : dict
        All other metadata.
    """

    path: Path
    config: GeneratorConfig
    tensors: dict[str, Tensor]
    latent_avg: Tensor
    info: dict[str, Any]


@dataclass(frozen=True)
class GeneratorState:
    """The training state of a GAN: its tensors and metadata.

    Attributes
    ----------
    path : Path
        The file.
    generator : GeneratorConfig
        The generator's sizes.
    discriminator : DiscriminatorConfig or None
        The sizes of StyleGAN2's discriminator; None if it is a projected one, with the training config in ``info``.
    tensors : dict of str to tensor
        The networks' state dicts under ``generator.``, ``discriminator.`` and ``averaged.``, the optimisers' tensors, and
        the generator's average latent ``latent_avg``, (n_styles, style_dim).
    info : dict
        All other metadata.
    """

    path: Path
    generator: GeneratorConfig
    discriminator: DiscriminatorConfig | None
    tensors: dict[str, Tensor]
    info: dict[str, Any]

    def state_of(self, prefix: str) -> dict[str, Tensor]:
        """The tensors, of any shape, whose names begin with ``prefix`` and a dot; both are removed from the names."""
        return _with_prefix(prefix, self.tensors)


@dataclass(frozen=True)
class ParserCheckpoint:
    """A face parser's checkpoint: its tensors and metadata.

    Attributes
    ----------
    path : Path
        The file.
    config : ParserConfig
        The network's sizes.
    scheme : LabelScheme
        The classes that it predicts.
    tensors : dict of str to tensor
        The state dict of a :class:`~facesynth.model.networks.parser.ParserNetwork`.
    info : dict
        All other metadata.
    """

    path: Path
    config: ParserConfig
    scheme: LabelScheme
    tensors: dict[str, Tensor]
    info: dict[str, Any]


def generator_of(checkpoint: Checkpoint) -> GeneratorCheckpoint:
    """The generator of a model, with its average latent.

    Raises
    ------
    CheckpointError
        If there is no average latent.
    """
    state = checkpoint.model_state()
    if "latent_avg" not in state:
        raise CheckpointError(f"{checkpoint.path} lacks 'latent_avg'; it does not fit its own config")
    tensors = _with_prefix("generator", state)
    config = checkpoint.config.generator
    return GeneratorCheckpoint(checkpoint.path, config, tensors, state["latent_avg"], checkpoint.info)


def save(
    path: Path,
    kind: str,
    tensors: Mapping[str, Tensor],
    *,
    config: ModelConfig,
    task: str,
    scheme: LabelScheme,
    info: Mapping[str, Any],
) -> None:
    """Write a model's checkpoint, atomically.

    Parameters
    ----------
    path : Path
        The file to write; an existing one is replaced.
    kind, config, task, scheme, info
        As in :class:`Checkpoint`.
    tensors : mapping of str to tensor
        As in :class:`Checkpoint`: of any shape and device, and of a dtype that safetensors has.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    description = {"kind": kind, "config": dataclasses.asdict(config), "task": task, "label_scheme": describe(scheme)}
    _save(path, description, tensors, info)


def save_generator(
    path: Path, tensors: Mapping[str, Tensor], latent_avg: Tensor, *, config: GeneratorConfig, info: Mapping[str, Any]
) -> None:
    """Write a generator's checkpoint, atomically.

    Parameters
    ----------
    path : Path
        The file to write; an existing one is replaced.
    tensors : mapping of str to tensor
        The state dict of a :class:`~facesynth.model.networks.generator.Generator`.
    latent_avg : (n_styles, style_dim) float tensor
    config, info
        As in :class:`GeneratorCheckpoint`.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    description = {"kind": "generator", "config": dataclasses.asdict(config)}
    _save(path, description, {**tensors, "latent_avg": latent_avg}, info)


def save_loaded(path: Path, checkpoint: Checkpoint | GeneratorCheckpoint, *, info: Mapping[str, Any]) -> str:
    """Write a loaded model or generator to a file of its own, atomically; of a training state, the model for inference.

    Parameters
    ----------
    path : Path
        The file to write; an existing one is replaced.
    checkpoint : Checkpoint or GeneratorCheckpoint
        Of any format.
    info : mapping
        As in :class:`Checkpoint`; replaces that of ``checkpoint``.

    Returns
    -------
    str
        What was written: model or generator.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    if isinstance(checkpoint, GeneratorCheckpoint):
        save_generator(path, checkpoint.tensors, checkpoint.latent_avg, config=checkpoint.config, info=info)
        return "generator"
    state, config, task, scheme = checkpoint.model_state(), checkpoint.config, checkpoint.task, checkpoint.scheme
    save(path, "model", state, config=config, task=task, scheme=scheme, info=info)
    return "model"


def save_generator_state(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    generator: GeneratorConfig,
    discriminator: DiscriminatorConfig | None,
    info: Mapping[str, Any],
) -> None:
    """Write the training state of a GAN, atomically.

    Parameters
    ----------
    path : Path
        The file to write; an existing one is replaced.
    tensors : mapping of str to tensor
        As in :class:`GeneratorState`: of any shape and device, and of a dtype that safetensors has.
    generator, discriminator, info
        As in :class:`GeneratorState`.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    description = {
        "kind": _GENERATOR_TRAINING,
        "config": dataclasses.asdict(generator),
        "discriminator": dataclasses.asdict(discriminator) if discriminator is not None else None,
    }
    _save(path, description, tensors, info)


def save_parser(
    path: Path, tensors: Mapping[str, Tensor], *, config: ParserConfig, scheme: LabelScheme, info: Mapping[str, Any]
) -> None:
    """Write a face parser's checkpoint, atomically.

    Parameters
    ----------
    path : Path
        The file to write; an existing one is replaced.
    tensors : mapping of str to tensor
        As in :class:`ParserCheckpoint`: of any shape and device, and of a dtype that safetensors has.
    config, scheme, info
        As in :class:`ParserCheckpoint`.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    description = {"kind": "parser", "config": dataclasses.asdict(config), "label_scheme": describe(scheme)}
    _save(path, description, tensors, info)


def _save(path: Path, description: Mapping[str, Any], tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
    header = {"schema": SCHEMA, **description, "info": {"facesynth": facesynth.__version__, **info}}
    with replacing(path, sync=True) as beside, beside.open("wb") as file:
        _write(file, tensors, {"facesynth": json.dumps(header, sort_keys=True)})


def _write(file: BinaryIO, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write the safetensors format: the length of the JSON header, the header, and the tensors' bytes in order.

    The safetensors package writes through a temporary file with a random name, which is left behind if the process is
    killed.
    """
    entries: dict[str, Any] = {"__metadata__": metadata}
    ordered = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # keeps every tensor aligned
    offset = 0
    for name in ordered:
        value = tensors[name]
        end = offset + value.numel() * value.element_size()
        entries[name] = {"dtype": _DTYPES[value.dtype], "shape": list(value.shape), "data_offsets": [offset, end]}
        offset = end
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    file.write(len(header).to_bytes(8, "little") + header)
    for name in ordered:
        file.write(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


SHIPPED = (
    "photo-seg",
    "photo-sketch",
    "photo-parser",
    "portrait-seg",
    "portrait-sketch",
    "portrait-generator",
    "portrait-parser",
)
"""Names of the checkpoints that come with the package."""


def find(path: Path, others: Collection[str] = ()) -> Path:
    """The checkpoint file for a path: the file itself, the best model in a run folder, or one of :data:`SHIPPED`.

    Parameters
    ----------
    path : Path
    others : collection of str
        Further names that the caller knows, for the message.

    Raises
    ------
    CheckpointError
        If there is no such file; the message says which file was expected.
    """
    if str(path) in SHIPPED and not path.exists():
        shipped = Path(__file__).parents[1].joinpath("weights") / f"{path}.safetensors"
        if not shipped.is_file():
            raise CheckpointError(f"{path} comes with facesynth, but {shipped} is missing; install facesynth again")
        return shipped
    if path.is_dir():
        if not (path / MODEL_FILE).is_file():
            raise CheckpointError(
                f"{path} holds no {MODEL_FILE}; give a checkpoint file, or the --out of `facesynth train`"
            )
        return path / MODEL_FILE
    if not path.is_file():
        raise CheckpointError(
            f"checkpoint {path} does not exist; give a .safetensors file, the --out of `facesynth train`, or one that comes "
            f"with facesynth: {', '.join(SHIPPED)}" + (f"; or is downloaded: {', '.join(others)}" if others else "")
        )
    return path


def load(path: Path) -> Checkpoint:
    """Read a checkpoint in facesynth's format that holds a model.

    Raises
    ------
    CheckpointError
        If the file is not a facesynth checkpoint, is damaged, has a newer schema, or holds no model.
    """
    checkpoint = load_any(path)
    if isinstance(checkpoint, GeneratorCheckpoint):
        raise CheckpointError(
            f"{path} holds a generator alone, no model; train an encoder for it with `facesynth train --generator`"
        )
    if isinstance(checkpoint, ParserCheckpoint):
        raise CheckpointError(f"{path} holds a face parser, no model; `facesynth parse --checkpoint` takes it")
    return checkpoint


def load_parser(path: Path) -> ParserCheckpoint:
    """Read a checkpoint in facesynth's format that holds a face parser.

    Raises
    ------
    CheckpointError
        If the file is not a facesynth checkpoint, is damaged, has a newer schema, or holds no face parser.
    """
    checkpoint = _load(path)
    if not isinstance(checkpoint, ParserCheckpoint):
        raise CheckpointError(f"{path} holds no face parser; give one that facesynth wrote")
    return checkpoint


def load_generator_state(path: Path) -> GeneratorState:
    """Read the training state of a GAN.

    Raises
    ------
    CheckpointError
        If the file is not one, is damaged, or has a newer schema.
    """
    state = _load(path)
    if not isinstance(state, GeneratorState):
        raise CheckpointError(
            f"{path} is not the training state of a generator; give one that `facesynth train-generator` wrote"
        )
    return state


def load_any(path: Path) -> Checkpoint | GeneratorCheckpoint | ParserCheckpoint:
    """Read a checkpoint in facesynth's format, of any kind; of a GAN's training state, the averaged generator.

    Raises
    ------
    CheckpointError
        If the file is not a facesynth checkpoint, is damaged, or has a newer schema.
    """
    checkpoint = _load(path)
    if isinstance(checkpoint, GeneratorState):
        try:
            average = checkpoint.tensors["latent_avg"]
        except KeyError as error:
            raise CheckpointError(f"{path} lacks 'latent_avg'; it does not fit its own config") from error
        info: dict[str, Any] = {
            name: checkpoint.info[name] for name in ("facesynth", "step") if name in checkpoint.info
        }
        return GeneratorCheckpoint(path, checkpoint.generator, checkpoint.state_of("averaged"), average, info)
    return checkpoint


def _load(path: Path) -> Checkpoint | GeneratorCheckpoint | GeneratorState | ParserCheckpoint:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = read_json((file.metadata() or {}).get("facesynth", "null"), most=_MOST_VALUES, is_finite=False)
            if header is None:
                raise CheckpointError(
                    f"{path} is a safetensors file but no facesynth checkpoint: its header has no description"
                )
            if type(header["schema"]) is not int:
                raise ValueError(f"its schema is {shown(header['schema'])}")
            if header["schema"] > SCHEMA:
                raise CheckpointError(
                    f"{path} has schema {header['schema']}, this facesynth reads up to {SCHEMA}; upgrade facesynth"
                )
            sizes: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in header["config"].items()
            }
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is not a mapping
            kind, info = str(header["kind"]), dict(header["info"])
            if kind == "generator":
                average = tensors.pop("latent_avg")
                return GeneratorCheckpoint(path, GeneratorConfig(**sizes), tensors, average, info)
            if kind == _GENERATOR_TRAINING:
                of_discriminator = header["discriminator"]
                discriminator = None if of_discriminator is None else DiscriminatorConfig(**of_discriminator)
                return GeneratorState(path, GeneratorConfig(**sizes), discriminator, tensors, info)
            scheme = from_description(header["label_scheme"])
            if kind == "parser":
                return ParserCheckpoint(path, ParserConfig(**sizes), scheme, tensors, info)
            config = ModelConfig(**sizes)
            return Checkpoint(path, kind, config, str(header["task"]), scheme, tensors, info)
    except CheckpointError:
        raise
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint (a .safetensors file): {reason_of(error)}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        raise CheckpointError(f"{path} is damaged: its description cannot be understood: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return reason_of(error) if isinstance(error, InputError | ValueError) else shown(error)


def check_size(config: ModelConfig, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Check that a config describes no networks much larger than the tensors, before they are built.

    Parameters
    ----------
    config : ModelConfig
    tensors : mapping of str to tensor
        The model's.
    path : Path
        The checkpoint file, for messages.

    Raises
    ------
    CheckpointError
        If it does.
    """
    stages = zip(config.encoder_units, config.encoder_channels, strict=True)
    least = config.mapping_depth * config.style_dim**2 + sum(9 * units * width**2 for units, width in stages)
    least += sum(9 * width**2 for width in config.generator.channels)
    if (count := sum(value.numel() for value in tensors.values())) < least:
        raise CheckpointError(
            f"{path} has {count} numbers, its config needs at least {least}; it does not fit its own config"
        )
