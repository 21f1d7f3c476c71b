"""The config of a generator's run: a preset, a YAML file and options in, a GANConfig out.

:mod:`facesynth.model.config.overrides` does the same for models. A file holds fields of
:class:`~facesynth.model.config.gan.GANConfig` by name, the fields of the networks' configs under ``generator:`` and
``discriminator:``, and ``preset:``. The ``config.yaml`` of a run is such a file. If another kind of discriminator is requested
than the file's, the file's sizes of the discriminator and its weight of R1 are not used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesynth.errors import InputError, shown
from facesynth.model.config.gan import TASK, GANConfig, preset
from facesynth.model.config.model import DiscriminatorConfig, GeneratorConfig
from facesynth.model.config.overrides import of_kind, pop_sizes, preset_and_settings, read_size

if TYPE_CHECKING:
    from facesynth.model.training.gan.plan import InitialNetworks

_NOTES = ("photos", "start")
"""Entries of a run's config.yaml that are not settings."""


def resolve_generator(
    initial: InitialNetworks,
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
    initial
        The networks to start from; their sizes take precedence.
    size
        Height and width of the pictures, pixels; by default the file's or the preset's.
    name
        The preset; by default the file's, else ``small``.
    file
        A YAML file.
    options
        Fields of the config.
    sizes
        Fields of the networks' configs, as text; channel counts apply to both networks. A projected discriminator has none.

    Raises
    ------
    InputError
        If the file cannot be read, a name is unknown, or a value has the wrong type or is out of its range.
    """
    name, settings = preset_and_settings(name, file, _NOTES)
    if (task := settings.pop("task", TASK)) != TASK:
        raise InputError(f"{file} has the task {shown(task)}; needed: settings of `facesynth train-generator`")
    generator_values, discriminator_values = (pop_sizes(settings, key, file) for key in ("generator", "discriminator"))
    of_file = settings.get("discriminator_kind", "stylegan2")
    chosen = (options or {}).get("discriminator_kind", of_file if initial.discriminator is None else "stylegan2")
    is_projected = chosen == "projected"
    if chosen != of_file:
        discriminator_values = {}
        settings.pop("r1_weight", None)
    known = {field.name for kind in (GeneratorConfig, DiscriminatorConfig) for field in dataclasses.fields(kind)}
    for key, text in (sizes or {}).items():
        if key not in known or key == "input_size":
            raise InputError(
                f"{key} is not a size of the networks; needed: {', '.join(sorted(known - {'input_size'}))}"
            )
        is_of_generator, is_of_discriminator = (
            key in {field.name for field in dataclasses.fields(kind)} for kind in (GeneratorConfig, DiscriminatorConfig)
        )
        if is_of_generator:
            generator_values[key] = read_size(key, text)
        if is_of_discriminator and not (is_projected and is_of_generator):
            discriminator_values[key] = read_size(key, text)
    discriminator_values.pop("input_size", None)  # follows from the generator
    generator = of_kind(GeneratorConfig, generator_values, "a size of the generator")
    discriminator = of_kind(DiscriminatorConfig, discriminator_values, "a size of the discriminator")
    if size is not None:
        generator["output_size"] = size
    if initial.generator is not None:
        generator |= dataclasses.asdict(initial.generator.config)
        if not is_projected:
            for key in ("channel_base", "channel_max"):
                discriminator.setdefault(key, generator[key])
    if initial.discriminator is not None:
        discriminator = dataclasses.asdict(initial.discriminator[0])
    values = of_kind(GANConfig, {**settings, **(options or {}), "discriminator_kind": chosen}, "a setting")
    return preset(name, size, generator_sizes=generator, discriminator_sizes=discriminator, **values)
