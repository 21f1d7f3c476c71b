"""Training a generator: the photos of a dataset folder into a run folder, which `facesynth train --generator` takes.

A run that goes on from a checkpoint is the run that was never interrupted, to the bit on a CPU. The loop is
:mod:`facesynth.model.training.loop`'s, a step :mod:`facesynth.model.training.gan.networks`'.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesynth.model.checkpoints import native
from facesynth.model.config.gan import GANConfig
from facesynth.model.data.tensors import photo_tensor
from facesynth.model.training import distributed
from facesynth.model.training.gan.networks import TRAINING_TERMS, Adversaries
from facesynth.model.training.gan.plan import GeneratorFolder, GeneratorPlan, Given, plan_generator
from facesynth.model.training.gan.validation import GeneratorValidation
from facesynth.model.training.loop import Execution, Loop, Report, held
from facesynth.model.training.run_folder import plain

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator
    from numpy.typing import NDArray
    from torch import Tensor

    from facesynth.model.checkpoints.native import GeneratorState


@dataclass(frozen=True)
class TrainedGenerator:
    """What a run came to.

    Attributes
    ----------
    root : Path
        The run folder.
    started : int
        The step that this call went on from.
    first : float
        The metric before the first step.
    metric : str
        What tells which generator is kept.
    best : float
        Its lowest value.
    best_step : int
        Where that was: the step of the generator that is kept.
    is_main : bool
        Whether this is the process that speaks for all.
    """

    root: Path
    started: int
    first: float
    metric: str
    best: float
    best_step: int
    is_main: bool = True


def train_generator(
    data: Path,
    out: Path,
    config: GANConfig,
    *,
    given: Given | None = None,
    report: Report | None = None,
    announce: Callable[[str], None] | None = None,
    **execution: Any,
) -> TrainedGenerator:
    """Train a generator, or go on with a run that was interrupted.

    Parameters
    ----------
    data : Path
        A dataset folder with photos in the splits train and val.
    out : Path
        The run folder; made if missing.
    config : GANConfig
    given : Given, optional
        The networks to start from, as :func:`facesynth.model.training.gan.plan.read_given` reads them.
    report : callable, optional
        Told of every step and every validation, in the first process alone.
    announce : callable, optional
        Told of the plan, with its text, before anything begins; in the first process alone.
    **execution
        Fields of :class:`facesynth.model.training.loop.Execution`.

    Raises
    ------
    InputError
        If the data, the networks given or the run folder do not fit.
    DivergenceError
        If a loss is no longer finite; the last checkpoint stays.
    OutputError
        If ``out`` cannot be written, or another run is writing it.
    """
    how = Execution(**execution)
    folder = GeneratorFolder(out, how.keep)
    planned = plan_generator(data, config, given)
    accelerator = distributed.start(how.device, config, out, how.trackers)
    with held(out, accelerator):
        folder.refuse_another(planned.settings)
        if announce and accelerator.is_main_process:
            announce(planned.text(accelerator.num_processes))
        return _Run(planned, folder, accelerator, how, report).finish()


class _Run(Loop[GANConfig]):
    """A run that trains a generator."""

    advice = "a lower --learning-rate"

    def __init__(
        self,
        planned: GeneratorPlan,
        folder: GeneratorFolder,
        accelerator: Accelerator,
        how: Execution,
        report: Report | None,
    ) -> None:
        super().__init__(planned.config, planned.settings, planned.train, folder, accelerator, how, report)
        self.adversaries = Adversaries(
            self.config, accelerator, self.places, generator=planned.generator, discriminator=planned.discriminator
        )
        self.validation = GeneratorValidation(planned.train, planned.val, self.config, self.device)
        self.terms = (*TRAINING_TERMS, *self.validation.terms())
        self.take_up()

    def finish(self) -> TrainedGenerator:
        """Carry the run to its end, and tell what it came to."""
        self.run()
        metric = self.config.metric
        found = self.metrics.validation(metric) or [float("nan")]
        return TrainedGenerator(
            self.folder.root,
            self.started,
            found[0],
            metric,
            self.best,
            self.best_step,
            self.accelerator.is_main_process,
        )

    def restore(self, state: GeneratorState) -> None:
        self.adversaries.restore(state)

    def train_step(self, parts: Sequence[tuple[Tensor, Tensor]]) -> dict[str, float]:
        values = self.adversaries.step([photo_tensor(photos.to(self.device)) for _, photos in parts], self.step)
        self.check(values)
        return values

    def validate(self) -> dict[str, float]:
        return self.validation.measure(self.adversaries)

    def sheet(self) -> NDArray[np.uint8]:
        return self.validation.sheet(self.adversaries)

    def write_model(self, path: Path, info: Mapping[str, Any]) -> None:
        adversaries = self.adversaries
        tensors, average = adversaries.averaged.state_dict(), adversaries.latent_avg()
        native.save_generator(path, tensors, average, config=self.config.generator, info=self._noted(info))

    def write_state(self, path: Path, info: Mapping[str, Any]) -> None:
        tensors, packed = self.adversaries.pack()
        native.save_generator_state(
            path,
            tensors,
            generator=self.config.generator,
            discriminator=self.config.discriminator,
            info=self._noted({**info, **packed}),
        )

    def _noted(self, info: Mapping[str, Any]) -> dict[str, Any]:
        noted = {**info, "train": plain(dataclasses.asdict(self.config))}
        noted["train"].pop("steps")  # a run that is carried further is the same run
        return noted
