"""Distributed training: the setup of Accelerate, and the split of a step's batch into micro-batches of each process.

A step uses the same photos for any number of processes. All random numbers are drawn for the whole step and then distributed,
so a run on several devices equals a run on one, up to rounding.
"""

from __future__ import annotations

import importlib.util
import os
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
from facesynth.files import make_folder, resolved, write_text
from facesynth.model.data.order import Pick
from facesynth.model.devices import choose_device
from facesynth.processes import end_with

if TYPE_CHECKING:
    from pathlib import Path

    from facesynth.model.config.train import RunConfig
    from facesynth.model.data.order import TrainingOrder

TRACKERS = ("tensorboard", "wandb")
"""The trackers, by the name of the package that each needs, which is also Accelerate's name of the tracker."""
EVENTS = "events"
"""The folder of TensorBoard events within a run folder."""


def start(device: str, config: RunConfig, out: Path, trackers: Sequence[str] = ()) -> Accelerator:
    """An Accelerator configured for a run in this process.

    Parameters
    ----------
    device
        auto, cpu, cuda or mps.
    config
        Only ``precision``, ``batch_size`` and ``accumulate`` are used.
    out
        The run folder, in which events are written.
    trackers
        Names from :data:`TRACKERS`.

    Raises
    ------
    InputError
        If the device is not available or does not support the config's precision, a tracker is unknown or not installed, or
        the batch cannot be split evenly.
    """
    chosen = choose_device(device)
    if config.precision == "fp16" and chosen.type != "cuda":
        raise InputError(f"precision is 'fp16' but the device {chosen.type}; needed: cuda, or another precision")
    for name in trackers:
        if name not in TRACKERS:
            raise InputError(f"tracker {name!r} is not known; give one of: {', '.join(TRACKERS)}")
        if importlib.util.find_spec(name) is None:
            raise InputError(f"tracker {name!r} needs its package; pip install 'facesynth[{name}]'")
    # Accelerate's state is global in the process; a second run in it may have another device or precision.
    AcceleratorState._reset_state(reset_partial_state=not distributed.is_initialized())
    GradientState._reset_state()
    accelerator = Accelerator(
        cpu=chosen.type == "cpu",
        mixed_precision={"float32": "no"}.get(config.precision, config.precision),
        gradient_accumulation_steps=config.accumulate,
        log_with=list(trackers) or None,
        project_dir=str(out / EVENTS),
    )
    if "TORCHELASTIC_RUN_ID" in os.environ:  # started by torchrun or `accelerate launch`
        end_with(os.getppid())
    if distributed.is_initialized():  # 1 x 1 convolutions: their strides are ambiguous
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides", UserWarning)
    if config.batch_size % (accelerator.num_processes * config.accumulate):
        split = f"{accelerator.num_processes} processes with {config.accumulate} micro-batches each"
        raise InputError(f"batch_size is {config.batch_size}; needed: a multiple of {split}")
    return accelerator


def track(accelerator: Accelerator, out: Path, settings: Mapping[str, Any], step: int) -> None:
    """Start tracking a run, or resume it after ``step``."""
    flat = {name: value if isinstance(value, int | float | str) else str(value) for name, value in settings.items()}
    begin: dict[str, dict[str, Any]] = {"tensorboard": {"purge_step": step + 1}}
    if accelerator.is_main_process and any(str(name) == "wandb" for name in accelerator.log_with):
        begin["wandb"] = {"name": resolved(out).name, "dir": str(out), "resume": "allow", "id": _wandb_id(out)}
    accelerator.init_trackers("facesynth", config=flat, init_kwargs=begin)


def _wandb_id(out: Path) -> str:
    """W&B's id of the run, which is stored so that a resumed run uses it again."""
    path = make_folder(out / "wandb") / "run-id"
    if not path.is_file():
        write_text(path, secrets.token_hex(8))
    return path.read_text("utf-8")


class MicroBatches(Sampler[list[Pick]]):
    """The micro-batches of one process, in order, for all steps.

    Parameters
    ----------
    order
        The batches of all processes together.
    process
        The index of this process.
    n_processes
        The number of processes.
    n_micro_batches
        The number of micro-batches per process and step.
    """

    def __init__(self, order: TrainingOrder, process: int, n_processes: int, n_micro_batches: int) -> None:
        self.order, self.n_micro_batches = order, n_micro_batches
        self.indices = micro_batch_indices(order.batch_size, process, n_processes, n_micro_batches)

    def __len__(self) -> int:
        return len(self.order) * self.n_micro_batches

    def __iter__(self) -> Iterator[list[Pick]]:
        for batch in self.order:
            yield from ([batch[index] for index in indices] for indices in self.indices)


def micro_batch_indices(batch_size: int, process: int, n_processes: int, n_micro_batches: int) -> list[range]:
    """The indices, in a step's batch, of the photos of each micro-batch of a process.

    The parameters are those of :class:`MicroBatches`.
    """
    size = batch_size // (n_processes * n_micro_batches)
    return [range(first, first + size) for first in range(process * size, batch_size, n_processes * size)]


def noise_sources(seed: int, step: int, indices: Sequence[int], device: torch.device) -> list[torch.Generator]:
    """Random number generators of the noise for each photo, seeded by ``seed``, ``step`` and the photo's index only.

    Parameters
    ----------
    seed, step
        The run's seed and the number of the step.
    indices
        The photos' indices in the step's batch.
    device
        The device of the random number generators.
    """
    seeds = (np.random.SeedSequence([seed, step, index]).generate_state(1, np.uint64)[0] for index in indices)
    return [torch.Generator(device).manual_seed(int(value) >> 1) for value in seeds]
