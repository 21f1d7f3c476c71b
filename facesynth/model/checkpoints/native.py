"""Checkpoints: safetensors files with the config and provenance inside; nothing is ever unpickled from them.

Four kinds: ``model`` holds the weights of a :class:`~facesynth.model.networks.psp.PSP` as they are used, ``training`` those
(under ``model.``) with all that a run needs to go on; both serve for translating. ``generator`` holds a generator alone, for
a run to start from, ``generator-training`` one (under ``averaged.``) with all that its own training needs to go on. Files of
other programs are :mod:`facesynth.model.checkpoints.load`'s work.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import safetensors
import torch

import facesynth
from facesynth.errors import CheckpointError, InputError
from facesynth.files import replacing
from facesynth.labels import LabelScheme, describe, from_description
from facesynth.model.config.model import DiscriminatorConfig, GeneratorConfig, ModelConfig, ParserConfig

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = 1
"""Version of the format; a reader refuses a newer one."""
MODEL_FILE = "model.safetensors"
"""A run's best model, in its folder."""
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
"""What the safetensors format calls the types of tensors."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's tensors and what is said of them.

    Attributes
    ----------
    path : Path
        The file.
    kind : str
        model or training.
    config : ModelConfig
        The model's sizes.
    task : str
        seg2face or sketch2face.
    scheme : LabelScheme
        Of the label maps.
    tensors : dict of str to tensor
        Of a model, by the names of its state dict.
    info : dict
        Everything else that was recorded: step, metrics, training config, facesynth's version.
    """

    path: Path
    kind: str
    config: ModelConfig
    task: str
    scheme: LabelScheme
    tensors: dict[str, Tensor]
    info: dict[str, Any]

    def model_state(self) -> dict[str, Tensor]:
        """The state dict of the model as it is used: of a run's state, the average of the weights if it keeps one."""
        if self.kind == "model":
            return self.tensors
        return self.state_of("averaged") or self.state_of("model")

    def state_of(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with ``prefix`` and a dot, without these."""
        return _below(prefix, self.tensors)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


@dataclass(frozen=True)
class GeneratorCheckpoint:
    """A generator's tensors and what is said of them.

    Attributes
    ----------
    path : Path
        The file.
    config : GeneratorConfig
        The sizes.
    tensors : dict of str to tensor
        The state dict of a :class:`~facesynth.model.networks.generator.Generator`.
    latent_avg : Tensor
        The average latent, (n_styles, style_dim).
    info : dict
        Everything else that was recorded.
    """

    path: Path
    config: GeneratorConfig
    tensors: dict[str, Tensor]
    latent_avg: Tensor
    info: dict[str, Any]


@dataclass(frozen=True)
class GeneratorState:
    """The state of a generator's own training.

    Attributes
    ----------
    path : Path
        The file.
    generator, discriminator : GeneratorConfig, DiscriminatorConfig
        The sizes.
    tensors : dict of str to tensor
        ``generator.*``, ``discriminator.*`` and ``averaged.*`` by the names of their state dicts, those of the optimisers, and
        the generator's ``latent_avg``, (n_styles, style_dim).
    info : dict
        Everything else that was recorded.
    """

    path: Path
    generator: GeneratorConfig
    discriminator: DiscriminatorConfig
    tensors: dict[str, Tensor]
    info: dict[str, Any]

    def state_of(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with ``prefix`` and a dot, without these."""
        return _below(prefix, self.tensors)


@dataclass(frozen=True)
class ParserCheckpoint:
    """A face parser's tensors and what is said of them.

    Attributes
    ----------
    path : Path
        The file.
    config : ParserConfig
        The sizes.
    scheme : LabelScheme
        Of the label maps.
    tensors : dict of str to tensor
        The state dict of a :class:`~facesynth.model.networks.parser.ParserNetwork`.
    info : dict
        Everything else that was recorded.
    """

    path: Path
    config: ParserConfig
    scheme: LabelScheme
    tensors: dict[str, Tensor]
    info: dict[str, Any]


def generator_of(given: Checkpoint) -> GeneratorCheckpoint:
    """The generator of a model, with its average latent.

    Raises
    ------
    CheckpointError
        If there is no average latent.
    """
    state = given.model_state()
    tensors = {name.removeprefix("generator."): value for name, value in state.items() if name.startswith("generator.")}
    if "latent_avg" not in state:
        raise CheckpointError(f"{given.path} lacks 'latent_avg'; it does not fit its own config")
    return GeneratorCheckpoint(given.path, given.config.generator, tensors, state["latent_avg"], given.info)


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
    """Write a checkpoint, whole or not at all; the parameters are the fields of :class:`Checkpoint`.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    described = {"kind": kind, "config": dataclasses.asdict(config), "task": task, "label_scheme": describe(scheme)}
    _save(path, described, tensors, info)


def save_generator(
    path: Path, tensors: Mapping[str, Tensor], latent_avg: Tensor, *, config: GeneratorConfig, info: Mapping[str, Any]
) -> None:
    """Write a generator, whole or not at all; the parameters are the fields of :class:`GeneratorCheckpoint`.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    described = {"kind": "generator", "config": dataclasses.asdict(config)}
    _save(path, described, {**tensors, "latent_avg": latent_avg}, info)


def save_generator_state(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    generator: GeneratorConfig,
    discriminator: DiscriminatorConfig,
    info: Mapping[str, Any],
) -> None:
    """Write the state of a generator's training, whole or not at all; the parameters are those of :class:`GeneratorState`.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    described = {
        "kind": _GENERATOR_TRAINING,
        "config": dataclasses.asdict(generator),
        "discriminator": dataclasses.asdict(discriminator),
    }
    _save(path, described, tensors, info)


def save_parser(
    path: Path, tensors: Mapping[str, Tensor], *, config: ParserConfig, scheme: LabelScheme, info: Mapping[str, Any]
) -> None:
    """Write a face parser, whole or not at all; the parameters are the fields of :class:`ParserCheckpoint`.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    described = {"kind": "parser", "config": dataclasses.asdict(config), "label_scheme": describe(scheme)}
    _save(path, described, tensors, info)


def _save(path: Path, described: Mapping[str, Any], tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
    header = {"schema": SCHEMA, **described, "info": {"facesynth": facesynth.__version__, **info}}
    with replacing(path, sync=True) as beside, beside.open("wb") as file:
        _write(file, tensors, {"facesynth": json.dumps(header, sort_keys=True)})


def _write(file: BinaryIO, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write the safetensors format: the length of a header in JSON, that header, the tensors' bytes one after another.

    The package's own writer goes through a file with a random name, which stays for ever if the process is killed.
    """
    described: dict[str, Any] = {"__metadata__": metadata}
    ordered = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # so that all are aligned
    offset = 0
    for name in ordered:
        value = tensors[name]
        end = offset + value.numel() * value.element_size()
        described[name] = {"dtype": _DTYPES[value.dtype], "shape": list(value.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in ordered:
        file.write(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


SHIPPED = ("portrait-seg", "portrait-sketch", "portrait-generator", "portrait-parser")
"""The checkpoints that come with the package, by name."""


def find(path: Path) -> Path:
    """The checkpoint file that ``path`` names: itself, the best model of a run folder, or one of :data:`SHIPPED`.

    Raises
    ------
    CheckpointError
        If there is none; the message says what was looked for.
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
            f"along: {', '.join(SHIPPED)}"
        )
    return path


def load(path: Path) -> Checkpoint:
    """Read a checkpoint file of facesynth's that holds a model.

    Raises
    ------
    CheckpointError
        If it is not one, is damaged, is of a newer schema, or holds a generator alone.
    """
    given = load_any(path)
    if isinstance(given, GeneratorCheckpoint):
        raise CheckpointError(
            f"{path} holds a generator alone, no model; train an encoder for it with `facesynth train --generator`"
        )
    if isinstance(given, ParserCheckpoint):
        raise CheckpointError(f"{path} holds a face parser, no model; `facesynth parse --checkpoint` takes it")
    return given


def load_parser(path: Path) -> ParserCheckpoint:
    """Read a checkpoint file of facesynth's that holds a face parser.

    Raises
    ------
    CheckpointError
        If it is not one, is damaged, or is of a newer schema.
    """
    given = _load(path)
    if not isinstance(given, ParserCheckpoint):
        raise CheckpointError(f"{path} holds no face parser; give one that facesynth wrote")
    return given


def load_generator_state(path: Path) -> GeneratorState:
    """Read the state of a generator's training.

    Raises
    ------
    CheckpointError
        If the file is something else, is damaged, or is of a newer schema.
    """
    given = _load(path)
    if not isinstance(given, GeneratorState):
        raise CheckpointError(f"{path} is no state of a generator's training; `facesynth train-generator` makes them")
    return given


def load_any(path: Path) -> Checkpoint | GeneratorCheckpoint | ParserCheckpoint:
    """Read a checkpoint file of facesynth's, whatever it holds; of the state of a generator's training, the generator.

    Raises
    ------
    CheckpointError
        If it is not one, is damaged, or is of a newer schema.
    """
    given = _load(path)
    if isinstance(given, GeneratorState):
        try:
            average = given.tensors["latent_avg"]
        except KeyError as error:
            raise CheckpointError(f"{path} lacks 'latent_avg'; it does not fit its own config") from error
        info: dict[str, Any] = {name: given.info[name] for name in ("facesynth", "step") if name in given.info}
        return GeneratorCheckpoint(path, given.generator, given.state_of("averaged"), average, info)
    return given


def _load(path: Path) -> Checkpoint | GeneratorCheckpoint | GeneratorState | ParserCheckpoint:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("facesynth", "null"))
            if header is None:
                raise CheckpointError(
                    f"{path} is a safetensors file but no facesynth checkpoint: it has no description in it"
                )
            if int(header["schema"]) > SCHEMA:
                raise CheckpointError(
                    f"{path} has schema {int(header['schema'])}, this facesynth reads up to {SCHEMA}; upgrade facesynth"
                )
            sizes: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in header["config"].items()
            }
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            kind, info = str(header["kind"]), dict(header["info"])
            if kind == "generator":
                average = tensors.pop("latent_avg")
                return GeneratorCheckpoint(path, GeneratorConfig(**sizes), tensors, average, info)
            if kind == _GENERATOR_TRAINING:
                discriminator = DiscriminatorConfig(**header["discriminator"])
                return GeneratorState(path, GeneratorConfig(**sizes), discriminator, tensors, info)
            scheme = from_description(header["label_scheme"])
            if kind == "parser":
                return ParserCheckpoint(path, ParserConfig(**sizes), scheme, tensors, info)
            config = ModelConfig(**sizes)
            return Checkpoint(path, kind, config, str(header["task"]), scheme, tensors, info)
    except CheckpointError:
        raise
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as a checkpoint (a .safetensors file): {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        raise CheckpointError(f"{path} is damaged: its description cannot be understood: {error!r}") from error
