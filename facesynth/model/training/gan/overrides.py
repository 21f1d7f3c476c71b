"""A generator run's config out of a preset, a YAML file and options, as :mod:`facesynth.model.config.overrides` has it for
models.

A file holds fields of :class:`~facesynth.model.config.gan.GANConfig` by name, ``generator:`` and ``discriminator:`` with the
fields of theirs, and ``preset:``. A run's own ``config.yaml`` is such a file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from facesynth.errors import InputError
from facesynth.model.config.gan import TASK, GANConfig, preset
from facesynth.model.config.model import DiscriminatorConfig, GeneratorConfig
from facesynth.model.config.overrides import DEFAULT_PRESET, of_kind, read_settings

if TYPE_CHECKING:
    from facesynth.model.training.gan.plan import Given

_NOTES = ("photos", "start")
"""What a run's config.yaml has besides its settings."""


def resolve_generator(
    given: Given,
    *,
    size: int | None = None,
    name: str | None = None,
    file: Path | None = None,
    options: Mapping[str, Any] | None = None,
    sizes: Mapping[str, str] | None = None,
) -> GANConfig:
    """The config of a run.

    Parameters
    ----------
    given
        The networks to start from, whose sizes count most.
    size
        Height and width of the pictures; the file's or the preset's if not given.
    name
        The preset; the file's, else ``small``, if not given.
    file
        A YAML file.
    options
        Fields of the config.
    sizes
        Fields of the networks' configs, as text; a channel count is both networks'.

    Raises
    ------
    InputError
        If the file cannot be read, a name is unknown, or a value is of the wrong kind or out of its range.
    """
    noted = read_settings(file, _NOTES) if file else {}
    if (task := noted.pop("task", TASK)) != TASK:
        raise InputError(f"{file} has the task {task!r}; needed: settings of `facesynth train-generator`")
    name = name or noted.pop("preset", DEFAULT_PRESET)
    noted.pop("preset", None)
    of_generator, of_discriminator = (_mapping(noted, key, file) for key in ("generator", "discriminator"))
    known = {field.name for kind in (GeneratorConfig, DiscriminatorConfig) for field in dataclasses.fields(kind)}
    for key, text in (sizes or {}).items():
        if key not in known or key == "input_size":
            raise InputError(
                f"{key} is not a size of the networks; needed: {', '.join(sorted(known - {'input_size'}))}"
            )
        for kind, values in ((GeneratorConfig, of_generator), (DiscriminatorConfig, of_discriminator)):
            if key in {field.name for field in dataclasses.fields(kind)}:
                values[key] = yaml.safe_load(text)
    of_discriminator.pop("input_size", None)  # follows from the generator
    generator = of_kind(GeneratorConfig, of_generator, "a size of the generator")
    discriminator = of_kind(DiscriminatorConfig, of_discriminator, "a size of the discriminator")
    if size is not None:
        generator["output_size"] = size
    if given.generator is not None:
        generator |= dataclasses.asdict(given.generator.config)
        for key in ("channel_base", "channel_max"):
            discriminator.setdefault(key, generator[key])
    if given.discriminator is not None:
        discriminator = dataclasses.asdict(given.discriminator[0])
    values = of_kind(GANConfig, {**noted, **(options or {})}, "a setting")
    return preset(str(name), size, generator_sizes=generator, discriminator_sizes=discriminator, **values)


def _mapping(noted: dict[str, Any], key: str, file: Path | None) -> dict[str, Any]:
    value = noted.pop(key, None) or {}
    if not isinstance(value, Mapping):
        raise InputError(f"{file}: {key} is {value!r}; needed: sizes by name")
    return dict(value)
