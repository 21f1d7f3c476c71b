"""The config of a run: a preset, a YAML file and options in, a TrainConfig out.

Options take precedence over the file, and the file over the preset. A file holds fields of
:class:`~facesynth.model.config.train.TrainConfig` by name, fields of :class:`~facesynth.model.config.model.ModelConfig` under
``model:``, and ``preset:``. The ``config.yaml`` of a run is such a file; its entries about the data are ignored.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from facesynth.errors import InputError, reason_of, shortened, shown
from facesynth.model.config.model import ModelConfig
from facesynth.model.config.presets import preset
from facesynth.model.config.train import TrainConfig
from facesynth.values import read_text, read_yaml

DEFAULT_PRESET = "small"
_LONGEST_LIST = 32
"""The most numbers in a list."""
_NOTES = ("column", "label_scheme", "pairs", "generator")
"""Entries of a run's config.yaml that are not settings."""
_DATA_FIELDS = ("condition", "input_channels")
"""Fields of the model config that follow from the task and the data."""


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
        seg2face, sketch2face or photo2face; by default the file's.
    n_classes
        Number of classes of the label maps.
    name
        The preset; by default the file's, else ``small``.
    file
        A YAML file.
    options
        Fields of the training config.
    sizes
        Fields of the model config, as text.

    Raises
    ------
    InputError
        If there is no task, the file cannot be read, a name is unknown, or a value has the wrong type or is out of its range.
    """
    name, settings = preset_and_settings(name, file, _NOTES)
    task_of_file = settings.pop("task", None)
    task = task or task_of_file
    if task is None:
        raise InputError("there is no task; give --task seg2face, sketch2face or photo2face")
    model = pop_sizes(settings, "model", file)
    model_values = {key: value for key, value in model.items() if key not in _DATA_FIELDS}
    model_values |= {key: read_size(key, value) for key, value in (sizes or {}).items()}
    values = {**settings, **(options or {})}
    return preset(
        name,
        typing.cast("Any", task),
        n_classes=n_classes,
        model_sizes=of_kind(ModelConfig, model_values, "a size of the model"),
        **of_kind(TrainConfig, values, "a setting"),
    )


def read_size(name: str, text: str) -> Any:
    """The value of a size that was given as text.

    Raises
    ------
    InputError
        If it is no YAML.
    """
    try:
        return read_yaml(text)
    except InputError as error:
        raise InputError(f"{name} is {shown(text)}: {error}") from error


def preset_and_settings(name: str | None, file: Path | None, notes: Collection[str]) -> tuple[str, dict[str, Any]]:
    """The name of the preset, and the settings in a file apart from it.

    Parameters
    ----------
    name
        The preset that was asked for; by default the file's, else ``small``.
    file
        A YAML file.
    notes
        As for :func:`read_settings`.

    Raises
    ------
    InputError
        As :func:`read_settings` does.
    """
    settings = read_settings(file, notes) if file else {}
    of_file = settings.pop("preset", DEFAULT_PRESET)
    return str(name or of_file), settings


def pop_sizes(settings: dict[str, Any], key: str, file: Path | None) -> dict[str, Any]:
    """Take the sizes of a network out of settings; none if they are not there.

    Raises
    ------
    InputError
        If they are not values by name.
    """
    sizes = settings.pop(key, None) or {}
    if not isinstance(sizes, Mapping):
        raise InputError(f"{file}: {key} is {shown(sizes)}; needed: sizes by name")
    return dict(sizes)


def read_settings(file: Path, notes: Collection[str]) -> dict[str, Any]:
    """The settings in a YAML file.

    Parameters
    ----------
    file
    notes
        Names of entries to leave out, which a run's config.yaml has besides its settings.

    Raises
    ------
    InputError
        If the file cannot be read, or does not hold values by name.
    """
    try:
        settings = read_yaml(read_text(file))
    except (OSError, ValueError, InputError) as error:
        reason = getattr(error, "strerror", None) or reason_of(error)
        raise InputError(f"{file} cannot be read as settings: {reason}") from error
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise InputError(f"{file} holds no settings; needed: YAML with a value by name, such as 'steps: 1000'")
    return {key: value for key, value in settings.items() if key not in notes}


def of_kind(config: type[Any], values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Values converted to the types of a config's fields.

    Fields that are configs themselves, or that follow from the data, are not accepted.

    Parameters
    ----------
    config
        A dataclass.
    values
        By the names of its fields.
    what
        What a name should be, for messages.

    Raises
    ------
    InputError
        If a name is unknown or a value has the wrong type.
    """
    hints = typing.get_type_hints(config)
    fields = [
        field.name
        for field in dataclasses.fields(config)
        if field.name not in ("task", *_DATA_FIELDS) and not _is_config(hints[field.name])
    ]
    for name in values:
        if name not in fields:
            raise InputError(f"{shortened(name)} is not {what}; needed: {', '.join(fields)}")
    return {name: _converted(name, value, hints[name]) for name, value in values.items()}


def _is_config(hint: Any) -> bool:
    """Whether a field is a config itself, or may be one."""
    return any(dataclasses.is_dataclass(kind) for kind in (hint, *typing.get_args(hint)))


def _converted(name: str, value: Any, hint: Any) -> Any:
    if typing.get_origin(hint) is tuple:
        values = value if isinstance(value, list | tuple) else str(value).split(",")
        if len(values) > _LONGEST_LIST:
            raise InputError(f"{name} has {len(values)} numbers; needed: at most {_LONGEST_LIST}")
        return tuple(_converted(name, inner, int) for inner in values)
    try:
        if hint is float and not isinstance(value, bool):
            return float(value)  # YAML reads 1e-4 as text
        if hint is int and not isinstance(value, bool) and float(value) == int(value):
            return int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    if (hint is bool and isinstance(value, bool)) or (hint not in (int, float, bool) and isinstance(value, str)):
        return value
    kinds = {int: "a whole number", float: "a number", bool: "true or false"}
    raise InputError(f"{name} is {shown(value)}; needed: {kinds.get(hint, 'a word')}")
