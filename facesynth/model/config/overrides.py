"""A run's config out of a preset, a YAML file and options: what an option says counts most, then the file, then the preset.

A file holds fields of :class:`~facesynth.model.config.train.TrainConfig` by name, ``model:`` with fields of
:class:`~facesynth.model.config.model.ModelConfig`, and ``preset:``. A run's own ``config.yaml`` is such a file: what it notes
besides, of the data, is passed over.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from facesynth.errors import InputError
from facesynth.model.config.model import ModelConfig
from facesynth.model.config.presets import preset
from facesynth.model.config.train import TrainConfig

DEFAULT_PRESET = "small"
_NOTES = ("column", "label_scheme", "pairs", "generator")
"""What a run's config.yaml has besides its settings."""
_OF_THE_DATA = ("condition", "input_channels")
"""Sizes that follow from the task and the data."""


def resolve(
    task: str | None,
    *,
    n_classes: int,
    name: str | None = None,
    file: Path | None = None,
    options: Mapping[str, Any] | None = None,
    sizes: Mapping[str, str] | None = None,
) -> TrainConfig:
    """The config of a run.

    Parameters
    ----------
    task
        seg2face, sketch2face or photo2face; the file's if not given.
    n_classes
        Classes of the label maps.
    name
        The preset; the file's, else ``small``, if not given.
    file
        A YAML file.
    options
        Fields of the training config.
    sizes
        Fields of the model config, as text.

    Raises
    ------
    InputError
        If the file cannot be read, a name is unknown, or a value is of the wrong kind or out of its range.
    """
    noted = read_settings(file, _NOTES) if file else {}
    name = name or noted.pop("preset", DEFAULT_PRESET)
    task = task or noted.get("task")
    noted.pop("preset", None)
    noted.pop("task", None)
    if task is None:
        raise InputError("there is no task; give --task seg2face, sketch2face or photo2face")
    model = noted.pop("model", None) or {}
    if not isinstance(model, Mapping):
        raise InputError(f"{file}: model is {model!r}; needed: sizes by name")
    of_model = {key: value for key, value in model.items() if key not in _OF_THE_DATA}
    of_model |= {key: yaml.safe_load(value) for key, value in (sizes or {}).items()}
    values = {**noted, **(options or {})}
    return preset(
        str(name),
        typing.cast("Any", task),
        n_classes=n_classes,
        model_sizes=of_kind(ModelConfig, of_model, "a size of the model"),
        **of_kind(TrainConfig, values, "a setting"),
    )


def read_settings(file: Path, notes: Collection[str]) -> dict[str, Any]:
    """The settings in a YAML file, without the ``notes`` that a run's own config.yaml has besides.

    Raises
    ------
    InputError
        If it cannot be read, or holds no values by name.
    """
    try:
        noted = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{file} cannot be read as settings: {' '.join(str(error).split())}") from error
    if not isinstance(noted, dict) or not all(isinstance(key, str) for key in noted):
        raise InputError(f"{file} holds no settings; needed: YAML with a value by name, such as 'steps: 1000'")
    return {key: value for key, value in noted.items() if key not in notes}


def of_kind(config: type[Any], values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The values as the fields of a config have them, but for those that are configs or follow from the data.

    Raises
    ------
    InputError
        If a name is unknown or a value of the wrong kind; ``what`` says what was needed.
    """
    hints = typing.get_type_hints(config)
    fields = [
        field.name
        for field in dataclasses.fields(config)
        if field.name not in ("task", *_OF_THE_DATA) and not dataclasses.is_dataclass(hints[field.name])
    ]
    for name in values:
        if name not in fields:
            raise InputError(f"{name} is not {what}; needed: {', '.join(fields)}")
    return {name: _converted(name, value, hints[name]) for name, value in values.items()}


def _converted(name: str, value: Any, hint: Any) -> Any:
    if typing.get_origin(hint) is tuple:
        values = value if isinstance(value, list | tuple) else str(value).split(",")
        return tuple(_converted(name, inner, int) for inner in values)
    try:
        if hint is float and not isinstance(value, bool):
            return float(value)  # YAML takes 1e-4 for text
        if hint is int and not isinstance(value, bool) and float(value) == int(value):
            return int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    if (hint is bool and isinstance(value, bool)) or (hint not in (int, float, bool) and isinstance(value, str)):
        return value
    kinds = {int: "a whole number", float: "a number", bool: "true or false"}
    raise InputError(f"{name} is {value!r}; needed: {kinds.get(hint, 'a word')}")
