"""One process or several: Accelerate set up for a run, and each process's share of a step's photos.

A step sees the same photos however many processes share them, and everything random is drawn for the whole step and then
shared out, so that a run on several devices is the run on one, up to rounding.
"""

from __future__ import annotations

import importlib.util
import secrets
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import distributed
from torch.utils.data import Sampler

from facesynth.errors import InputError
from facesynth.files import make_folder, write_text
from facesynth.model.data.order import Pick
from facesynth.model.devices import choose_device

if TYPE_CHECKING:
    from pathlib import Path

    from facesynth.model.config.train import RunConfig
    from facesynth.model.data.order import TrainingOrder

TRACKERS = ("tensorboard", "wandb")
"""Trackers by the name of the package that each needs, which is Accelerate's name for it too."""
EVENTS = "events"
"""A run's folder of TensorBoard events."""


def start(device: str, config: RunConfig, out: Path, trackers: Sequence[str] = ()) -> Accelerator:
    """Accelerate, ready for a run in this process.

    Parameters
    ----------
    device
        auto, cpu, cuda or mps.
    config
        ``precision``, ``batch_size`` and ``accumulate`` count here.
    out
        The run folder, where events go.
    trackers
        Of :data:`TRACKERS`.

    Raises
    ------
    InputError
        If the device is not there or cannot compute in the config's precision, a tracker is unknown or not installed, or
        the step's photos cannot be shared out evenly.
    """
    chosen = choose_device(device)
    if config.precision == "fp16" and chosen.type != "cuda":
        raise InputError(f"precision is 'fp16' but the device {chosen.type}; needed: cuda, or another precision")
    for name in trackers:
        if name not in TRACKERS:
            raise InputError(f"tracker {name!r} is not known; give one of: {', '.join(TRACKERS)}")
        if importlib.util.find_spec(name) is None:
            raise InputError(f"tracker {name!r} needs its package; pip install 'facesynth[{name}]'")
    # Accelerate keeps its state for the process; a second run in it may have another device or precision.
    AcceleratorState._reset_state(reset_partial_state=not distributed.is_initialized())
    GradientState._reset_state()
    accelerator = Accelerator(
        cpu=chosen.type == "cpu",
        mixed_precision={"float32": "no"}.get(config.precision, config.precision),
        gradient_accumulation_steps=config.accumulate,
        log_with=list(trackers) or None,
        project_dir=str(out / EVENTS),
    )
    if distributed.is_initialized():  # PyTorch's, of 1 x 1 convolutions, whose layout can be told in two ways
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides", UserWarning)
    if config.batch_size % (accelerator.num_processes * config.accumulate):
        shares = f"{accelerator.num_processes} processes with {config.accumulate} parts each"
        raise InputError(f"batch_size is {config.batch_size}; needed: a multiple of {shares}")
    return accelerator


def track(accelerator: Accelerator, out: Path, settings: Mapping[str, Any], step: int) -> None:
    """Begin tracking a run, or go on with it after ``step``."""
    flat = {name: value if isinstance(value, int | float | str) else str(value) for name, value in settings.items()}
    begin: dict[str, dict[str, Any]] = {"tensorboard": {"purge_step": step + 1}}
    if accelerator.is_main_process and any(str(name) == "wandb" for name in accelerator.log_with):
        begin["wandb"] = {"name": out.resolve().name, "dir": str(out), "resume": "allow", "id": _wandb_id(out)}
    accelerator.init_trackers("facesynth", config=flat, init_kwargs=begin)


def _wandb_id(out: Path) -> str:
    """What W&B knows the run by, which a run that goes on goes on with."""
    path = make_folder(out / "wandb") / "run-id"
    if not path.is_file():
        write_text(path, secrets.token_hex(8))
    return path.read_text("utf-8")


class Shares(Sampler[list[Pick]]):
    """Each step's batch of pairs, as the parts that one process takes one after another.

    Parameters
    ----------
    order
        The batches of all processes together.
    process, n_processes, n_parts
        Which process this is, how many there are, and how many parts each makes of its share.
    """

    def __init__(self, order: TrainingOrder, process: int, n_processes: int, n_parts: int) -> None:
        self.order, self.n_parts = order, n_parts
        self.places = places(order.batch_size, process, n_processes, n_parts)

    def __len__(self) -> int:
        return len(self.order) * self.n_parts

    def __iter__(self) -> Iterator[list[Pick]]:
        for batch in self.order:
            yield from ([batch[place] for place in part] for part in self.places)


def places(batch_size: int, process: int, n_processes: int, n_parts: int) -> list[range]:
    """Where in a step's batch the photos of each part of a process's share are."""
    size = batch_size // (n_processes * n_parts)
    return [range(first, first + size) for first in range(process * size, batch_size, n_processes * size)]


def noise_sources(seed: int, step: int, places: Sequence[int], device: torch.device) -> list[torch.Generator]:
    """A source of the generator's noise for every photo, which depends on the seed, the step and its place alone."""
    seeds = (np.random.SeedSequence([seed, step, place]).generate_state(1, np.uint64)[0] for place in places)
    return [torch.Generator(device).manual_seed(int(value) >> 1) for value in seeds]
