"""Converting checkpoints between formats and describing them: a file in; another file, or names and values, out.

Keys and shapes change, values do not. Files in facesynth's format record their source: its name, format and SHA-256, in the
header's ``info``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from facesynth.errors import CheckpointError, InputError, OutputError
from facesynth.files import replacing, sha256_of
from facesynth.model.checkpoints import native, state_dict
from facesynth.model.checkpoints.ir_se50 import recogniser_from_ir_se50
from facesynth.model.checkpoints.load import average_latent, checkpoint_of, find, generator_parts, moco_state
from facesynth.model.checkpoints.native import Checkpoint, GeneratorCheckpoint, ParserCheckpoint
from facesynth.model.checkpoints.pixel2style2pixel import class_name, config_from_published, to_published
from facesynth.model.checkpoints.recognise import FORMATS, GENERATORS, Found, naming, read_state, recognise
from facesynth.model.checkpoints.rosinality import generator_to_rosinality
from facesynth.model.checkpoints.unpickler import shown
from facesynth.model.networks.generator import Generator
from facesynth.model.networks.parser import ParserNetwork
from facesynth.model.networks.psp import PSP

if TYPE_CHECKING:
    from torch import Tensor, nn

Layout = Literal["facesynth", "psp", "rosinality"]
_DATASET_TYPES = {"labels": "celebs_seg_to_face", "sketch": "celebs_sketch_to_face", "photo": "ffhq_encode"}
"""The published code's names of the tasks, by condition."""


def convert(source: Path, target: Path, to: Layout = "facesynth") -> str:
    """Write the content of a checkpoint in another layout, atomically.

    Parameters
    ----------
    source : Path
        A file of any format that :mod:`facesynth.model.checkpoints.load` reads, a run folder, whose best model is used, or the
        name of a published model or generator.
    target : Path
        The file to write; an existing one is replaced.
    to : str
        facesynth: the model, or the generator if the source has no encoder. psp: the model in pixel2style2pixel's layout, which
        e4e and ReStyle use.
        rosinality: the generator in stylegan2-pytorch's layout; a model's encoder is left out.

    Returns
    -------
    str
        What was written: model or generator.

    Raises
    ------
    InputError
        If the layout is unknown, or the target is the source itself.
    CheckpointError
        If the source cannot be read, does not hold what the layout needs, or cannot be stored in it.
    OutputError
        If the target cannot be written.
    """
    if to not in get_args(Layout):
        raise InputError(f"the layout is {to!r}; needed: {', '.join(get_args(Layout))}")
    found = recognise(find(source, "model", "generator"))
    if target.exists() and target.samefile(found.path):
        raise InputError(f"{target} is the source itself; give another file to write")
    checkpoint = _checked(found)
    if to == "rosinality":
        if not isinstance(checkpoint, GeneratorCheckpoint):
            checkpoint = native.generator_of(checkpoint)
        _save_rosinality(target, checkpoint)
        return "generator"
    if to == "psp":
        if isinstance(checkpoint, GeneratorCheckpoint):
            raise CheckpointError(
                f"{found.path} holds a generator alone; a psp file needs an encoder too: --to rosinality"
            )
        _save_psp(target, checkpoint)
        return "model"
    source_info = {"file": found.path.name, "format": found.format, "sha256": sha256_of(found.path)}
    if "source" in checkpoint.info:
        source_info["source"] = checkpoint.info["source"]
    return native.save_loaded(target, checkpoint, info={**checkpoint.info, "source": source_info})


def describe(path: Path) -> list[tuple[str, str]]:
    """A description of a file as names and values: format, kind, sizes, number of parameters and source.

    Parameters
    ----------
    path : Path
        A file of any format that :mod:`facesynth.model.checkpoints.load` reads, a run folder, whose best model is used, or the
        name of published weights.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or is incomplete for its format.
    """
    found = recognise(find(path))
    lines = [("file", str(found.path)), ("format", f"{found.format} ({FORMATS[found.format]})")]
    if isinstance(found.content, ParserCheckpoint):
        lines += _parser_described(found.content)
    elif found.format in GENERATORS:
        config, tensors, average = generator_parts(found)
        lines += [("holds", "a generator"), *_sizes(config), *_parameters(_generator(config), tensors, found.path)]
        computed = "none in the file: computed from random z where it is used"
        lines.append(("latent_avg", computed if average is None else "in the file"))
    elif found.format in ("psp", "facesynth"):
        lines += _described(_checked(found))
    else:
        tensors = moco_state(found) if found.format == "moco" else read_state(found.path)
        if found.format == "ir-se50":
            recogniser_from_ir_se50(tensors)
        lines += [("holds", "a network"), ("numbers", _count(tensors))]
    lines.append(("sha256", sha256_of(found.path)))
    return lines


def _checked(found: Found) -> Checkpoint | GeneratorCheckpoint:
    """The model or generator of a file, checked to be complete."""
    if found.format != "facesynth":
        return checkpoint_of(found)
    if isinstance(found.content, ParserCheckpoint):
        raise CheckpointError(
            f"{found.path} holds a face parser, which no other program reads; needed: a model or generator"
        )
    checkpoint: Checkpoint | GeneratorCheckpoint = found.content
    if isinstance(checkpoint, GeneratorCheckpoint):
        state_dict.check_state(_generator(checkpoint.config).state_dict(), checkpoint.tensors, checkpoint.path)
        state_dict.check_finite({"latent_avg": checkpoint.latent_avg}, checkpoint.path)
    else:
        state_dict.check_state(_model(checkpoint).state_dict(), checkpoint.model_state(), checkpoint.path)
    return checkpoint


def _model(checkpoint: Checkpoint) -> nn.Module:
    with torch.device("meta"):
        return PSP(checkpoint.config)


def _generator(config: Any) -> nn.Module:
    with torch.device("meta"):
        return Generator(
            config.output_size, config.style_dim, config.mapping_depth, config.channel_base, config.channel_max
        )


# ---------------------------------------------------------------------------------------------------- published layouts


def _save_psp(target: Path, checkpoint: Checkpoint) -> None:
    config, state = checkpoint.config, checkpoint.model_state()
    if config.spatial_resolutions:
        raise CheckpointError(
            f"{checkpoint.path} has a spatial path, which the psp format cannot store; --to facesynth keeps it"
        )
    is_w, encoder_type = config.encoder_kind == "last-layer-w", _encoder_type(checkpoint)
    options = {
        "dataset_type": _DATASET_TYPES[config.condition],
        "start_from_latent_avg": True,
        **checkpoint.info.get("opts", {}),
        "encoder_type": encoder_type,
        "input_nc": config.encoder_input_channels,
        "label_nc": 0 if config.condition == "photo" else config.input_channels,
        "output_size": config.output_size,
        "learn_in_w": is_w,
    }
    if encoder_type == "Encoder4Editing":
        options["stylegan_size"] = config.output_size
    if config.refinements:
        options["n_iters_per_batch"] = config.refinements
    published = to_published(state, config)
    _check_sizes_stored(published, checkpoint)
    average = state["latent_avg"]
    if is_w and not bool((average == average[:1]).all()):
        raise CheckpointError(
            f"{checkpoint.path} has an average latent for each layer; a psp file with the encoder into W has one for all"
        )
    _save_torch(target, {"state_dict": published, "latent_avg": average[:1] if is_w else average, "opts": options})


def _encoder_type(checkpoint: Checkpoint) -> str:
    with naming(checkpoint.path):
        return class_name(checkpoint.config)


def _check_sizes_stored(published: Mapping[str, Tensor], checkpoint: Checkpoint) -> None:
    """Check that the model's sizes can be inferred from the tensors of a psp file."""
    config = checkpoint.config
    labels = config.input_channels if config.condition == "labels" else 0
    try:
        inferred = config_from_published(
            published, label_channels=labels, layer_offsets=config.layer_offsets, refinements=config.refinements
        )
    except CheckpointError:
        name, needed = "encoder_channels", "four different ones"
    else:
        if (inferred.condition, inferred.input_size) == (config.condition, config.input_size):
            return
        name, needed = "input_size", f"{inferred.input_size} with an encoder on the last map alone"
        if inferred.condition != config.condition:
            name, needed = "input_channels", "1 for a sketch, 3 for a photo, 2 or more for labels"
    came = f"{name} {getattr(config, name)}"
    raise CheckpointError(f"{checkpoint.path} has sizes that a psp file cannot express: {came}; needed: {needed}")


def _save_rosinality(target: Path, checkpoint: GeneratorCheckpoint) -> None:
    average = checkpoint.latent_avg
    is_same = bool((average == average[:1]).all())
    content = {
        "g_ema": generator_to_rosinality(checkpoint.tensors, checkpoint.config),
        "latent_avg": average[0].clone() if is_same else average_latent(checkpoint.tensors, checkpoint.config),
    }
    _save_torch(target, content)


def _save_torch(target: Path, content: Mapping[str, Any]) -> None:
    with replacing(target, sync=True) as beside, beside.open("wb") as file:
        try:
            torch.save(_own(content), file)
        except RuntimeError as error:  # torch raises this when the disk is full
            raise OutputError(f"cannot write {target}: {str(error).partition(chr(10))[0]}") from error


def _own(value: Any) -> Any:
    """A copy with every tensor in a storage of its own, since torch.save writes whole storages."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone(memory_format=torch.contiguous_format)
    return {key: _own(inner) for key, inner in value.items()} if isinstance(value, dict) else value


# --------------------------------------------------------------------------------------------------------- descriptions


def _described(checkpoint: Checkpoint | GeneratorCheckpoint) -> list[tuple[str, str]]:
    if isinstance(checkpoint, GeneratorCheckpoint):
        lines = [("holds", "a generator"), *_sizes(checkpoint.config)]
        lines += _parameters(_generator(checkpoint.config), checkpoint.tensors, checkpoint.path)
    else:
        kind = "a model" if checkpoint.kind == "model" else "the state of a training run"
        lines = [("holds", kind), ("task", shown(checkpoint.task))]
        if checkpoint.config.condition == "labels":
            lines.append(("label scheme", checkpoint.scheme.name))
        lines += [
            *_sizes(checkpoint.config),
            *_parameters(_model(checkpoint), checkpoint.model_state(), checkpoint.path),
        ]
    lines += _plain_info(checkpoint.info)
    source = checkpoint.info.get("source")
    while isinstance(source, dict):
        name, origin, digest = (shown(source.get(key)) for key in ("file", "format", "sha256"))
        lines.append(("converted from", f"{name} ({origin}), SHA-256 {digest}"))
        source = source.get("source")
    return lines


def _parser_described(checkpoint: ParserCheckpoint) -> list[tuple[str, str]]:
    with torch.device("meta"):
        network = ParserNetwork(checkpoint.config, len(checkpoint.scheme))
    state_dict.check_state(network.state_dict(), checkpoint.tensors, checkpoint.path)
    lines = [("holds", "a face parser"), ("label scheme", checkpoint.scheme.name), *_sizes(checkpoint.config)]
    return [*lines, ("parameters", _count(dict(network.named_parameters()))), *_plain_info(checkpoint.info)]


def _plain_info(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The plain values in a checkpoint's ``info``."""
    plain = {key: value for key, value in info.items() if isinstance(value, str | int | float)}
    lines = {key: " ".join(value.split()) if isinstance(value, str) else value for key, value in plain.items()}
    return [(shown(key), shown(value)) for key, value in sorted(lines.items())]


def _sizes(config: Any) -> list[tuple[str, str]]:
    """The fields of a config, one a line."""
    return [(name, _value_text(value)) for name, value in dataclasses.asdict(config).items()]


def _value_text(value: Any) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)


def _parameters(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> list[tuple[str, str]]:
    """The number of parameters of each network, after checking that the state dict fits the model."""
    state_dict.check_state(model.state_dict(), state, path)
    prefixes = {"encoder": "encoder.", "generator": "generator."} if hasattr(model, "encoder") else {"generator": ""}
    named = dict(model.named_parameters())
    if any(name.startswith("spatial.") for name in named):
        prefixes["spatial path"] = "spatial."
    return [
        (f"{network} parameters", _count({name: value for name, value in named.items() if name.startswith(prefix)}))
        for network, prefix in prefixes.items()
    ]


def _count(tensors: Mapping[str, Tensor]) -> str:
    return f"{sum(value.numel() for value in tensors.values()):,}"
