"""The loop that every training run goes through: steps, with a validation, samples and a checkpoint at every interval.

What is trained, and how a step moves it, is a subclass's: :mod:`facesynth.model.training` has that of models,
:mod:`facesynth.model.training.gan.train` that of generators. Nothing random is carried from step to step, so a run that goes on
from a checkpoint is the run that was never interrupted.
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
"""Called with the split, the steps done and the loss terms: after every step, and after every validation."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a run is carried out, which changes nothing that it computes but rounding.

    Attributes
    ----------
    device : str
        auto, cpu, cuda or mps.
    workers : int
        Processes that read pictures; on a CPU only where they don't all fit in memory.
    keep : int
        How many of the newest checkpoints stay.
    compile : bool
        Have :func:`torch.compile` compile encoder and generator.
    trackers : sequence of str
        tensorboard or wandb: where the terms are told as well.
    command : str, optional
        The command line that began the run, for its README.
    """

    device: str = "auto"
    workers: int = 2
    keep: int = KEPT_STATES
    compile: bool = False
    trackers: Sequence[str] = ()
    command: str | None = None


@contextmanager
def held(out: Path, accelerator: Accelerator) -> Iterator[None]:
    """A run folder, made and held by the first process for all."""
    if accelerator.is_main_process:
        make_folder(out)
    with locked(out) if accelerator.is_main_process else nullcontext():
        yield


class Loop(ABC, Generic[Config]):
    """All state that runs have in common; :meth:`run` takes it from wherever it is to its end.

    A subclass builds what it trains and then calls :meth:`take_up`.

    Parameters
    ----------
    config
        Of the run.
    settings
        The same with all else that tells this run from another, as plain values.
    pictures
        Those of the training split.
    folder
    accelerator
    how
    report
        Told of every step and every validation, in the first process alone.
    """

    terms: Sequence[str]
    """What is told of a step or a validation, as far as each has it."""
    advice: str
    """What to try where a loss diverges."""

    def __init__(
        self,
        config: Config,
        settings: Mapping[str, Any],
        pictures: PairedFaces | Photos,
        folder: RunFolder,
        accelerator: Accelerator,
        how: Execution,
        report: Report | None,
    ) -> None:
        self.settings, self.pictures = settings, pictures
        self.folder, self.accelerator, self.how, self.report = folder, accelerator, how, report
        self.device: torch.device = accelerator.device
        self.config = config
        self.step, self.best, self.best_step = 0, float("inf"), 0
        self.places = distributed.places(
            config.batch_size, accelerator.process_index, accelerator.num_processes, config.accumulate
        )

    @abstractmethod
    def restore(self, state: Any) -> None:
        """Take over a state that :attr:`folder` has read."""

    @abstractmethod
    def train_step(self, parts: Sequence[Any]) -> dict[str, float]:
        """One step on the parts of this process's share; its terms are the same in every process."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """The terms on the validation split, the same in every process."""

    @abstractmethod
    def sheet(self) -> NDArray[np.uint8]:
        """A sheet of samples, as an (H, W, 3) picture."""

    @abstractmethod
    def write_model(self, path: Path, info: Mapping[str, Any]) -> None:
        """Write what a reader of the run wants of it."""

    @abstractmethod
    def write_state(self, path: Path, info: Mapping[str, Any]) -> None:
        """Write all that is needed to go on."""

    def take_up(self) -> None:
        """Go on from the newest state that can be read, if there is one."""
        state = self.folder.newest()
        if state is not None:
            self.step, self.best, self.best_step = (state.info[name] for name in ("step", "best", "best_step"))
            self.restore(state)
        self.started = self.step
        self.metrics = Metrics(self.folder.metrics, self.step if self.started else -1, self.terms)

    def run(self) -> None:
        """The steps that are left, and the curves."""
        config, is_main = self.config, self.accelerator.is_main_process
        if is_main:
            self.folder.begin(self.settings, config, self.how.command, self._where())
        if self.how.trackers:
            distributed.track(self.accelerator, self.folder.root, self.settings, self.step)
        began = time.monotonic() - self.metrics.seconds
        if not self.started:
            self._at_interval(began)
        before = time.monotonic()
        with closing(self._steps()) as steps:  # whatever happens, its reading processes end with it
            for parts in steps:
                try:
                    terms = self.train_step(parts)
                except DivergenceError:
                    if is_main:
                        self.metrics.write()  # how it came to that
                    raise
                self.step += 1
                now = time.monotonic()
                self.metrics.add(self.step, "train", terms, now - began, config.batch_size / (now - before))
                self._tell("train", terms)
                if self.step % config.interval == 0 or self.step == config.steps:
                    self._at_interval(began)
                before = time.monotonic()
        self.accelerator.end_training()
        if is_main:
            self.folder.prune()
            if self.metrics.lines:  # none where somebody has removed the file of a finished run
                plot_losses(self.metrics.path, self.folder.curves)

    def check(self, values: Mapping[str, float]) -> None:
        """Stop where a term of the step is no finite number.

        Raises
        ------
        DivergenceError
            Naming the term and the photos.
        """
        name = next((name for name in values if not math.isfinite(values[name])), None)
        if name is None:
            return
        (batch,) = self._order(self.step, self.step + 1)
        ids = ", ".join(self.pictures.ids[pick.pair] for pick in batch)
        raise self._divergence(f"the {name.replace('_', ' ')} is {values[name]} at step {self.step + 1}, photos {ids}")

    # -------------------------------------------------------------------------------------------------------------- parts

    def _where(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        count = self.accelerator.num_processes
        return f"{name}, {count} processes" if count > 1 else name

    def _tell(self, split: str, terms: Mapping[str, float]) -> None:
        if self.how.trackers:
            self.accelerator.log({f"{split}/{name}": value for name, value in terms.items()}, step=self.step)
        if self.report and self.accelerator.is_main_process:
            self.report(split, self.step, terms)

    def _order(self, start: int, stop: int) -> TrainingOrder:
        return TrainingOrder(len(self.pictures), self.config.batch_size, self.config.seed, start, stop)

    def _steps(self) -> Generator[tuple[Any, ...]]:
        """The share of this process in every step, in its parts."""
        config, accelerator = self.config, self.accelerator
        order = self._order(self.step, config.steps)
        shares = distributed.Shares(order, accelerator.process_index, accelerator.num_processes, config.accumulate)
        # On a CPU reading ahead would take from the steps what it saves, but for files that are waited for.
        workers = 0 if self.pictures.cached and self.device.type == "cpu" else self.how.workers
        parts = batches(self.pictures, shares, workers=workers)
        yield from zip(*[parts] * config.accumulate, strict=True)

    def _divergence(self, what: str) -> DivergenceError:
        states = self.folder.states()
        last = f"the last checkpoint, {states[-1]}, is from before that" if states else "there is no checkpoint yet"
        return DivergenceError(f"{what}; {last}: try {self.advice} in another --out")

    def _at_interval(self, began: float) -> None:
        """Validate, and leave metrics, samples, the best model and last the checkpoint."""
        terms = self.validate()
        broken = next((name for name, value in terms.items() if not math.isfinite(value)), None)
        if broken:
            raise self._divergence(f"the validation {broken} is {terms[broken]} after step {self.step}")
        self.metrics.add(self.step, "val", terms, time.monotonic() - began)
        metric = self.config.metric
        is_best = terms[metric] < self.best
        if is_best:
            self.best, self.best_step = terms[metric], self.step
        if self.accelerator.is_main_process:
            images.write_png(self.folder.samples(self.step), self.sheet())
            self.metrics.write()
            if is_best:
                self.write_model(self.folder.model, {"step": self.step, "val": terms})
            reached = {"step": self.step, "best": self.best, "best_step": self.best_step}
            self.write_state(self.folder.state(self.step), reached)
            self.folder.prune()
        self.accelerator.wait_for_everyone()
        self._tell("val", terms)
