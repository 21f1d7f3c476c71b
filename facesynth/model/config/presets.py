"""The presets of models and training runs: a name and a task in, a TrainConfig out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from facesynth.errors import InputError, shown
from facesynth.model.config.model import ModelConfig
from facesynth.model.config.train import CONDITIONS, Task, TrainConfig

PRESETS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = MappingProxyType(
    {
        # name: differences from ModelConfig's defaults, differences from TrainConfig's defaults
        "published": ({}, {}),
        "freehand": ({}, {"augment": 1.0, "rough": 1.0}),
        "super-resolution": ({}, {"identity": 0.1, "low_resolution": (1, 2, 4, 8, 16, 32)}),
        "small": (
            {
                "input_size": 64,
                "output_size": 64,
                "style_dim": 64,
                "mapping_depth": 4,
                "channel_base": 1024,
                "channel_max": 64,
                "encoder_units": (1, 2, 2, 1),
                "encoder_channels": (8, 16, 32, 64),
                "style_resolution": 16,
            },
            {
                "steps": 900,
                "optimizer": "adam-muon",
                "learning_rate": 5e-4,
                "generator_learning_rate": 5e-3,
                "laplacian": 1.0,
                "w_norm": 1e-4,
                "ema": 0.99,
                "metric": "laplacian",  # a condition does not determine colours, which dominate L2
                "interval": 100,
            },
        ),
        "portrait": (
            {
                "input_size": 128,
                "output_size": 128,
                "style_dim": 96,
                "mapping_depth": 4,
                "channel_base": 4096,
                "channel_max": 192,
                "encoder_units": (2, 2, 4, 2),
                "encoder_channels": (16, 48, 96, 128),
                "style_resolution": 32,
            },
            {
                "steps": 640,
                "batch_size": 16,
                "optimizer": "muon",
                "learning_rate": 5e-4,
                "cooldown": 0.5,
                "laplacian": 1.0,
                "lines": 0.2,
                "parsing": 0.2,
                "w_norm": 1e-4,
                "ema": 0.99,
                "augment": 0.5,
                "rough": 0.5,
                "metric": "laplacian",
                "interval": 100,
            },
        ),
        "photographs": (
            {
                "input_size": 128,
                "output_size": 128,
                "style_dim": 96,
                "mapping_depth": 4,
                "channel_base": 4096,
                "channel_max": 192,
                "encoder_kind": "last-layer-w-plus",  # the spatial path has the positions
                "encoder_units": (2, 2, 4, 2),
                "encoder_channels": (16, 48, 96, 128),
                "style_resolution": 32,
                "spatial_resolutions": (8, 16, 32, 64),
            },
            {
                "train_generator": True,
                "steps": 8000,
                "batch_size": 16,
                "optimizer": "adam",
                "learning_rate": 1e-3,
                "generator_learning_rate": 1e-3,
                "l2": 0.0,
                "l1": 2.0,
                "lpips": 2.0,
                "adversarial": 0.05,
                "clip_norm": 5.0,
                "w_norm": 1e-4,
                "ema": 0.998,
                "augment": 1.0,
                "rough": 1.0,
                "metric": "lpips",
                "interval": 500,
            },
        ),
    }
)
"""The presets: ``published`` and ``super-resolution`` are the 256 px models of the paper, ``freehand`` is the published model
for hand drawings, ``small`` trains on a CPU in minutes, ``portrait`` is for the generator that comes with facesynth,
``photographs`` gives sharp faces from a few hundred photos, with an adversary and a spatial path."""
FOR_TASK: Mapping[tuple[str, Task], Mapping[str, Any]] = MappingProxyType(
    {
        ("published", "photo2face"): {"identity": 0.1, "w_norm": 0.0},
        ("portrait", "photo2face"): {"rough": 0.0},
        ("photographs", "photo2face"): {"rough": 0.0},
    }
)
"""Further differences of a preset for a task: photos should keep the identity of the person."""


def preset(
    name: str, task: Task, *, n_classes: int, model_sizes: Mapping[str, Any] | None = None, **train: Any
) -> TrainConfig:
    """The config of a preset for a task.

    Parameters
    ----------
    name : str
        One of :data:`PRESETS`.
    task : str
        seg2face, sketch2face or photo2face.
    n_classes : int
        Number of classes of the label maps.
    model_sizes
        Fields of :class:`ModelConfig` that override the preset's.
    **train
        Fields of :class:`TrainConfig` that override the preset's.

    Raises
    ------
    InputError
        If there is no such preset or task, or a value is out of its range.

    Examples
    --------
    >>> preset("published", "sketch2face", n_classes=19).model.input_channels
    1
    """
    if name not in PRESETS:
        raise InputError(f"preset {shown(name)} is not known; give one of: {', '.join(PRESETS)}")
    if task not in CONDITIONS:
        raise InputError(f"task is {shown(task)}; needed: {', '.join(CONDITIONS)}")
    sizes, values = PRESETS[name]
    channels = {"labels": n_classes, "sketch": 1, "photo": 3}[CONDITIONS[task]]
    model = ModelConfig(condition=CONDITIONS[task], input_channels=channels, **{**sizes, **(model_sizes or {})})
    values = {**values, **FOR_TASK.get((name, task), {}), **train}
    if values.get("train_generator"):
        values.setdefault("style_probability", 0.8)
    return TrainConfig(task=task, model=model, **values)
