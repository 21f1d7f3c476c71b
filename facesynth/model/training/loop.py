"""The training loop: batches in; training steps, and at every interval a validation, samples and a checkpoint, out.

Subclasses define what is trained and how: :mod:`facesynth.model.training.psp.train` for models,
:mod:`facesynth.model.training.gan.train` for generators. No random state is carried from step to step, so a resumed run gives
the same result as an uninterrupted one.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch

from facesynth import images
from facesynth.errors import DivergenceError
from facesynth.files import locked, make_folder
from facesynth.model.config.train import RunConfig
from facesynth.model.data.order import TrainingOrder, batches
from facesynth.model.training import distributed
from facesynth.model.training.curves import plot_losses
from facesynth.model.training.metrics_log import Metrics
from facesynth.model.training.run_folder import KEPT_STATES, RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from accelerate import Accelerator
    from numpy.typing import NDArray

    from facesynth.model.data.pairs import PairedFaces
    from facesynth.model.data.photos import Photos

Config = TypeVar("Config", bound=RunConfig)
Report = Callable[[str, int, Mapping[str, float]], None]
"""Called with the split, the number of steps done and the loss terms, after every step and every validation."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a run is executed; these settings affect its results only by rounding.

    Attributes
    ----------
    device : str
        auto, cpu, cuda or mps.
    workers : int
        Processes that read pictures; on a CPU used only if the pictures do not all fit in memory.
    keep : int
        How many of the newest checkpoints are kept.
    compile : bool
        Compile encoder and generator with :func:`torch.compile`.
    trackers : sequence of str
        tensorboard or wandb, to which the terms are logged as well.
    command : str, optional
        The command line that started the run, for its README.
    """

    device: str = "auto"
    workers: int = 2
    keep: int = KEPT_STATES
    compile: bool = False
    trackers: Sequence[str] = ()
    command: str | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a run.

    Attributes
    ----------
    root : Path
        The run folder.
    started : int
        The step from which this call resumed.
    metric : str
        The metric that selects the best checkpoint.
    best : float
        Its lowest value.
    best_step : int
        The step of the best checkpoint, which is the one saved.
    is_main : bool
        Whether this is the main process.
    """

    root: Path
    started: int
    metric: str
    best: float
    best_step: int
    is_main: bool


@contextmanager
def begun(
    folder: RunFolder,
    config: RunConfig,
    settings: Mapping[str, Any],
    execution: Execution,
    announce: Callable[[str], None] | None,
    text: Callable[[int], str],
) -> Iterator[Accelerator]:
    """Start the processes of a run and hold its folder.

    Parameters
    ----------
    folder, config, settings, execution
        The run's.
    announce : callable, optional
        Called with the plan as text, in the main process only.
    text : callable
        Returns the plan as text, for a number of processes.

    Raises
    ------
    InputError
        If the folder has another run, or the device or a tracker is missing.
    OutputError
        If the folder cannot be written, or another run is writing it.
    """
    accelerator = distributed.start(execution.device, config, folder.root, execution.trackers)
    with held(folder.root, accelerator):
        folder.refuse_another(settings)
        if announce and accelerator.is_main_process:
            announce(text(accelerator.num_processes))
        yield accelerator


@contextmanager
def held(out: Path, accelerator: Accelerator) -> Iterator[None]:
    """Create and lock a run folder, in the main process on behalf of all."""
    if accelerator.is_main_process:
        make_folder(out)
    with locked(out) if accelerator.is_main_process else nullcontext():
        yield


class Loop(ABC, Generic[Config]):
    """The state and the loop that all runs share; :meth:`run` does the remaining steps.

    The constructor of a subclass builds what is trained and then calls :meth:`take_up`.

    Parameters
    ----------
    config
        The run's config.
    settings
        The config and everything else that distinguishes this run from others, as plain values.
    pictures
        The training split.
    folder
    accelerator
    execution
    report
        Called after every step and every validation, in the main process only.
    """

    terms: Sequence[str]
    """The columns of the metrics; a step or validation may lack some."""
    advice: str
    """What to try if a loss diverges, for the message."""

    def __init__(
        self,
        config: Config,
        settings: Mapping[str, Any],
        pictures: PairedFaces | Photos,
        folder: RunFolder,
        accelerator: Accelerator,
        execution: Execution,
        report: Report | None,
    ) -> None:
        self.settings, self.pictures = settings, pictures
        self.folder, self.accelerator, self.execution, self.report = folder, accelerator, execution, report
        self.device: torch.device = accelerator.device
        self.config = config
        self.step, self.best, self.best_step = 0, float("inf"), 0
        self.places = distributed.micro_batch_indices(
            config.batch_size, accelerator.process_index, accelerator.num_processes, config.accumulate
        )
        """The indices, in a step's batch, of each of this process's micro-batches."""

    @abstractmethod
    def restore(self, state: Any) -> None:
        """Restore a state that :attr:`folder` has read."""

    @abstractmethod
    def train_step(self, micro_batches: Sequence[Any]) -> dict[str, float]:
        """One training step on this process's micro-batches; returns its terms, which are the same in every process."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """The terms on the validation split, the same in every process."""

    @abstractmethod
    def sheet(self) -> NDArray[np.uint8]:
        """A sheet of samples, (H, W, 3) uint8."""

    @abstractmethod
    def write_model(self, path: Path, info: Mapping[str, Any]) -> None:
        """Write the trained network."""

    @abstractmethod
    def write_state(self, path: Path, info: Mapping[str, Any]) -> None:
        """Write the state needed to resume."""

    def take_up(self) -> None:
        """Resume from the newest readable state, if there is one."""
        state = self.folder.newest()
        if state is not None:
            self.step, self.best, self.best_step = (state.info[name] for name in ("step", "best", "best_step"))
            self.restore(state)
        self.started = self.step
        self.metrics = Metrics(self.folder.metrics, self.step if self.started else -1, self.terms)

    def result(self) -> dict[str, Any]:
        """The fields of :class:`Result`, once the run is complete."""
        return {
            "root": self.folder.root,
            "started": self.started,
            "metric": self.config.metric,
            "best": self.best,
            "best_step": self.best_step,
            "is_main": self.accelerator.is_main_process,
        }

    def run(self) -> None:
        """Do the remaining steps and draw the loss curves."""
        config, is_main = self.config, self.accelerator.is_main_process
        if is_main:
            self.folder.begin(self.settings, config, self.execution.command, self._device_name())
        if self.execution.trackers:
            distributed.track(self.accelerator, self.folder.root, self.settings, self.step)
        start = time.monotonic() - self.metrics.seconds
        if not self.started:
            self._at_interval(start)
        before = time.monotonic()
        with closing(self._steps()) as steps:  # closing it ends the worker processes
            for micro_batches in steps:
                try:
                    terms = self.train_step(micro_batches)
                except DivergenceError:
                    if is_main:
                        self.metrics.write()  # they show how the loss diverged
                    raise
                self.step += 1
                now = time.monotonic()
                self.metrics.add(self.step, "train", terms, now - start, config.batch_size / (now - before))
                self._report("train", terms)
                if self.step % config.interval == 0 or self.step == config.steps:
                    self._at_interval(start)
                before = time.monotonic()
        self.accelerator.end_training()
        if is_main:
            self.folder.prune()
            if self.metrics.lines:  # none if the file of a finished run was removed
                plot_losses(self.metrics.path, self.folder.curves)

    def check(self, values: Mapping[str, float]) -> None:
        """Check that the terms of the current step are finite.

        Raises
        ------
        DivergenceError
            If one is not; the message names the term and the photos.
        """
        name = next((name for name in values if not math.isfinite(values[name])), None)
        if name is None:
            return
        (batch,) = self._order(self.step, self.step + 1)
        ids = ", ".join(self.pictures.ids[pick.pair] for pick in batch)
        raise self._divergence(f"the {name.replace('_', ' ')} is {values[name]} at step {self.step + 1}, photos {ids}")

    # ----------------------------------------------------------------------------------------------------------- internals

    def _device_name(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        count = self.accelerator.num_processes
        return f"{name}, {count} processes" if count > 1 else name

    def _report(self, split: str, terms: Mapping[str, float]) -> None:
        if self.execution.trackers:
            self.accelerator.log({f"{split}/{name}": value for name, value in terms.items()}, step=self.step)
        if self.report and self.accelerator.is_main_process:
            self.report(split, self.step, terms)

    def _order(self, start: int, stop: int) -> TrainingOrder:
        return TrainingOrder(len(self.pictures), self.config.batch_size, self.config.seed, start, stop)

    def _steps(self) -> Generator[tuple[Any, ...]]:
        """The micro-batches of every step that belong to this process."""
        config, accelerator = self.config, self.accelerator
        order = self._order(self.step, config.steps)
        sampler = distributed.MicroBatches(
            order, accelerator.process_index, accelerator.num_processes, config.accumulate
        )
        # On a CPU, prefetching competes with the training steps, so it pays only if pictures are read from files.
        workers = 0 if self.pictures.cached and self.device.type == "cpu" else self.execution.workers
        micro_batches = batches(self.pictures, sampler, workers=workers)
        yield from zip(*[micro_batches] * config.accumulate, strict=True)

    def _divergence(self, what: str) -> DivergenceError:
        states = self.folder.states()
        last = f"the last checkpoint, {states[-1]}, is from before that" if states else "there is no checkpoint yet"
        return DivergenceError(f"{what}; {last}: try {self.advice} in another --out")

    def _at_interval(self, start: float) -> None:
        """Validate, then write metrics, samples, the best model and finally the checkpoint."""
        terms = self.validate()
        not_finite = next((name for name, value in terms.items() if not math.isfinite(value)), None)
        if not_finite:
            raise self._divergence(f"the validation {not_finite} is {terms[not_finite]} after step {self.step}")
        self.metrics.add(self.step, "val", terms, time.monotonic() - start)
        metric = self.config.metric
        is_best = terms[metric] < self.best
        if is_best:
            self.best, self.best_step = terms[metric], self.step
        if self.accelerator.is_main_process:
            images.write_png(self.folder.samples(self.step), self.sheet())
            self.metrics.write()
            if is_best:
                self.write_model(self.folder.model, {"step": self.step, "val": terms})
            progress = {"step": self.step, "best": self.best, "best_step": self.best_step}
            self.write_state(self.folder.state(self.step), progress)
            self.folder.prune()
        self.accelerator.wait_for_everyone()
        self._report("val", terms)
