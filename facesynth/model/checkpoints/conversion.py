"""Checkpoints from one layout into another, and what a checkpoint is: files in; a file or a few lines out.

Names and shapes change, values do not. facesynth's own files keep where they came from: the source's name, format and
SHA-256, in the header's ``info``.
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
from facesynth.model.checkpoints.load import average_latent, generator_of, generator_parts, moco_state, model_of
from facesynth.model.checkpoints.native import Checkpoint, GeneratorCheckpoint, ParserCheckpoint
from facesynth.model.checkpoints.pixel2style2pixel import config_from_published, to_published
from facesynth.model.checkpoints.recognise import FORMATS, GENERATORS, Found, read_state, recognise
from facesynth.model.checkpoints.rosinality import generator_to_rosinality
from facesynth.model.checkpoints.unpickler import shown
from facesynth.model.networks.generator import Generator
from facesynth.model.networks.parser import ParserNetwork
from facesynth.model.networks.psp import PSP

if TYPE_CHECKING:
    from torch import Tensor, nn

Layout = Literal["facesynth", "psp", "rosinality"]
_DATASET_TYPES = {"labels": "celebs_seg_to_face", "sketch": "celebs_sketch_to_face", "photo": "ffhq_encode"}
"""What the published code calls the tasks."""
_ENCODER_TYPES = {
    "gradual": "GradualStyleEncoder",
    "last-layer-w": "BackboneEncoderUsingLastLayerIntoW",
    "last-layer-w-plus": "BackboneEncoderUsingLastLayerIntoWPlus",
}
"""What the published code calls the encoders."""


def convert(source: Path, target: Path, to: Layout = "facesynth") -> str:
    """Write what a checkpoint holds in another layout, whole or not at all.

    Parameters
    ----------
    source
        A file of any format that :mod:`facesynth.model.checkpoints.load` reads, or a run folder, for its best model.
    target
        The file to write; one that is there is replaced.
    to
        facesynth: a model, or a generator if there is no more. psp: a model as pixel2style2pixel has them. rosinality: the
        generator as stylegan2-pytorch has them; a model's encoder is left out.

    Returns
    -------
    str
        What was written: model or generator.

    Raises
    ------
    CheckpointError
        If the source cannot be read, holds nothing of the kind, or does not fit the layout.
    OutputError
        If the target cannot be written.
    """
    if to not in get_args(Layout):
        raise InputError(f"the layout is {to!r}; needed: {', '.join(get_args(Layout))}")
    found = recognise(source)
    if target.exists() and target.samefile(found.path):
        raise InputError(f"{target} is the source itself; give another file to write")
    given = _given(found)
    if to == "rosinality":
        _save_rosinality(target, given if isinstance(given, GeneratorCheckpoint) else native.generator_of(given))
        return "generator"
    if to == "psp":
        if isinstance(given, GeneratorCheckpoint):
            raise CheckpointError(
                f"{found.path} holds a generator alone; a psp file needs an encoder too: --to rosinality"
            )
        _save_psp(target, given)
        return "model"
    origin = {"file": found.path.name, "format": found.format, "sha256": sha256_of(found.path)}
    info = {**given.info, "source": origin | ({"source": given.info["source"]} if "source" in given.info else {})}
    if isinstance(given, GeneratorCheckpoint):
        native.save_generator(target, given.tensors, given.latent_avg, config=given.config, info=info)
        return "generator"
    native.save(
        target, "model", given.model_state(), config=given.config, task=given.task, scheme=given.scheme, info=info
    )
    return "model"


def describe(path: Path) -> list[tuple[str, str]]:
    """What a file is, as names and values: its format, kind, sizes, parameters and where it came from.

    Parameters
    ----------
    path
        A file of any format that :mod:`facesynth.model.checkpoints.load` reads, or a run folder, for its best model.

    Raises
    ------
    CheckpointError
        If it cannot be read, or does not hold what its format should.
    """
    found = recognise(path)
    lines = [("file", str(found.path)), ("format", f"{found.format} ({FORMATS[found.format]})")]
    if isinstance(found.content, ParserCheckpoint):
        lines += _parser_described(found.content)
    elif found.format in GENERATORS:
        config, tensors, average = generator_parts(found)
        lines += [("holds", "a generator"), *_sizes(config), *_parameters(_generator(config), tensors, found.path)]
        computed = "none in the file: computed from random z where it is used"
        lines.append(("latent_avg", computed if average is None else "in the file"))
    elif found.format in ("psp", "facesynth"):
        lines += _described(_given(found))
    else:
        tensors = moco_state(found) if found.format == "moco" else read_state(found.path)
        if found.format == "ir-se50":
            recogniser_from_ir_se50(tensors)
        lines += [("holds", "a network"), ("numbers", _count(tensors))]
    lines.append(("sha256", sha256_of(found.path)))
    return lines


def _given(found: Found) -> Checkpoint | GeneratorCheckpoint:
    """The model or generator of a file, of which it is sure that it is whole."""
    if found.format == "psp":
        return model_of(found)
    if found.format != "facesynth":
        return generator_of(found)
    if isinstance(found.content, ParserCheckpoint):
        raise CheckpointError(
            f"{found.path} holds a face parser, which no other program reads; needed: a model or generator"
        )
    given: Checkpoint | GeneratorCheckpoint = found.content
    if isinstance(given, GeneratorCheckpoint):
        state_dict.check_state(_generator(given.config).state_dict(), given.tensors, given.path)
        state_dict.check_finite({"latent_avg": given.latent_avg}, given.path)
    else:
        state_dict.check_state(_model(given).state_dict(), given.model_state(), given.path)
    return given


def _model(given: Checkpoint) -> nn.Module:
    with torch.device("meta"):
        return PSP(given.config)


def _generator(config: Any) -> nn.Module:
    with torch.device("meta"):
        return Generator(
            config.output_size, config.style_dim, config.mapping_depth, config.channel_base, config.channel_max
        )


# ---------------------------------------------------------------------------------------------------- published layouts


def _save_psp(target: Path, given: Checkpoint) -> None:
    config, state = given.config, given.model_state()
    if config.spatial_resolutions:
        raise CheckpointError(
            f"{given.path} has a spatial path, which a psp file has no place for; --to facesynth keeps it"
        )
    is_w = config.encoder_kind == "last-layer-w"
    options = {
        "dataset_type": _DATASET_TYPES[config.condition],
        "start_from_latent_avg": True,
        **given.info.get("opts", {}),
        "encoder_type": _ENCODER_TYPES[config.encoder_kind],
        "input_nc": config.input_channels,
        "label_nc": 0 if config.condition == "photo" else config.input_channels,
        "output_size": config.output_size,
        "learn_in_w": is_w,
    }
    published = to_published(state, config)
    _check_told(published, given)
    average = state["latent_avg"]
    if is_w and not bool((average == average[:1]).all()):
        raise CheckpointError(
            f"{given.path} has an average latent for each layer; a psp file with the encoder into W has one for all"
        )
    _save_torch(target, {"state_dict": published, "latent_avg": average[:1] if is_w else average, "opts": options})


def _check_told(published: Mapping[str, Tensor], given: Checkpoint) -> None:
    """See that the tensors of a psp file tell the model's sizes to whoever reads them."""
    config = given.config
    labels = config.input_channels if config.condition == "labels" else 0
    try:
        told = config_from_published(published, label_channels=labels)
    except CheckpointError:
        name, needed = "encoder_channels", "four different ones"
    else:
        if (told.condition, told.input_size) == (config.condition, config.input_size):
            return
        name, needed = "input_size", f"{told.input_size} with an encoder on the last map alone"
        if told.condition != config.condition:
            name, needed = "input_channels", "1 for a sketch, 3 for a photo, 2 or more for labels"
    came = f"{name} {getattr(config, name)}"
    raise CheckpointError(f"{given.path} has sizes that a psp file cannot tell: {came}; needed: {needed}")


def _save_rosinality(target: Path, given: GeneratorCheckpoint) -> None:
    average = given.latent_avg
    is_same = bool((average == average[:1]).all())
    content = {
        "g_ema": generator_to_rosinality(given.tensors, given.config),
        "latent_avg": average[0].clone() if is_same else average_latent(given.tensors, given.config),
    }
    _save_torch(target, content)


def _save_torch(target: Path, content: Mapping[str, Any]) -> None:
    with replacing(target, sync=True) as beside, beside.open("wb") as file:
        try:
            torch.save(_own(content), file)
        except RuntimeError as error:  # torch's way to say that a disk is full
            raise OutputError(f"cannot write {target}: {str(error).partition(chr(10))[0]}") from error


def _own(value: Any) -> Any:
    """The same with every tensor in a storage of its own, which is what is written."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone(memory_format=torch.contiguous_format)
    return {key: _own(inner) for key, inner in value.items()} if isinstance(value, dict) else value


# ---------------------------------------------------------------------------------------------------------- what it is


def _described(given: Checkpoint | GeneratorCheckpoint) -> list[tuple[str, str]]:
    if isinstance(given, GeneratorCheckpoint):
        lines = [("holds", "a generator"), *_sizes(given.config)]
        lines += _parameters(_generator(given.config), given.tensors, given.path)
    else:
        kind = "a model" if given.kind == "model" else "the state of a training run"
        lines = [("holds", kind), ("task", shown(given.task))]
        if given.config.condition == "labels":
            lines.append(("label scheme", given.scheme.name))
        lines += [*_sizes(given.config), *_parameters(_model(given), given.model_state(), given.path)]
    lines += _noted(given.info)
    source = given.info.get("source")
    while isinstance(source, dict):
        name, origin, digest = (shown(source.get(key)) for key in ("file", "format", "sha256"))
        lines.append(("converted from", f"{name} ({origin}), SHA-256 {digest}"))
        source = source.get("source")
    return lines


def _parser_described(given: ParserCheckpoint) -> list[tuple[str, str]]:
    with torch.device("meta"):
        network = ParserNetwork(given.config, len(given.scheme))
    state_dict.check_state(network.state_dict(), given.tensors, given.path)
    lines = [("holds", "a face parser"), ("label scheme", given.scheme.name), *_sizes(given.config)]
    return [*lines, ("parameters", _count(dict(network.named_parameters()))), *_noted(given.info)]


def _noted(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The plain values among what was recorded."""
    plain = {key: value for key, value in info.items() if isinstance(value, str | int | float)}
    return [(shown(key), shown(value)) for key, value in sorted(plain.items())]


def _sizes(config: Any) -> list[tuple[str, str]]:
    """The fields of a config, one a line."""
    return [(name, _plain(value)) for name, value in dataclasses.asdict(config).items()]


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _parameters(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> list[tuple[str, str]]:
    """How many parameters each part has, once it is seen that the state fits."""
    state_dict.check_state(model.state_dict(), state, path)
    parts = {"encoder": "encoder.", "generator": "generator."} if hasattr(model, "encoder") else {"generator": ""}
    named = dict(model.named_parameters())
    if any(name.startswith("spatial.") for name in named):
        parts["spatial path"] = "spatial."
    return [
        (f"{part} parameters", _count({name: value for name, value in named.items() if name.startswith(prefix)}))
        for part, prefix in parts.items()
    ]


def _count(tensors: Mapping[str, Tensor]) -> str:
    return f"{sum(value.numel() for value in tensors.values()):,}"
