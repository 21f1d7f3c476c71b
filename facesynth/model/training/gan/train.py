"""Training of a generator: a dataset folder's photos in, a run folder for `facesynth train --generator` out.

A resumed run gives the same result as an uninterrupted one, to the bit on a CPU. The loop is in
:mod:`facesynth.model.training.loop`, the training step in :mod:`facesynth.model.training.gan.networks`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesynth.model.checkpoints import native
from facesynth.model.config.gan import GANConfig
from facesynth.model.data.tensors import photo_tensor
from facesynth.model.training.gan.networks import Adversaries, new_generator, training_terms
from facesynth.model.training.gan.plan import GeneratorPlan, InitialNetworks, plan_generator, run_folder
from facesynth.model.training.gan.validation import GeneratorValidation
from facesynth.model.training.loop import Execution, Loop, Report, Result, begun
from facesynth.model.training.memory import check_fits
from facesynth.model.training.run_folder import plain

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator
    from numpy.typing import NDArray
    from torch import Tensor

    from facesynth.model.checkpoints.native import GeneratorState
    from facesynth.model.training.gan.plan import GeneratorFolder
    from facesynth.model.training.projected import Projection


@dataclass(frozen=True, kw_only=True)
class TrainedGenerator(Result):
    """The result of a run.

    Attributes
    ----------
    first : float
        The metric before the first step.
    """

    first: float


def train_generator(
    data: Path,
    out: Path,
    config: GANConfig,
    *,
    initial: InitialNetworks | None = None,
    projection: Projection | None = None,
    report: Report | None = None,
    announce: Callable[[str], None] | None = None,
    **execution: Any,
) -> TrainedGenerator:
    """Train a generator, or resume an interrupted run.

    Parameters
    ----------
    data : Path
        A dataset folder with photos in the splits train and val.
    out : Path
        The run folder; created if missing.
    config : GANConfig
    initial : InitialNetworks, optional
        The networks to start from, from :func:`facesynth.model.training.gan.plan.read_initial_networks`.
    projection : Projection, optional
        The frozen network of a projected discriminator, such as :func:`facesynth.model.losses.lpips.load_lpips` returns.
    report : callable, optional
        Called after every step and every validation, in the main process only.
    announce : callable, optional
        Called with the text of the plan before training begins, in the main process only.
    **execution
        Fields of :class:`facesynth.model.training.loop.Execution`.

    Raises
    ------
    InputError
        If the data, the initial networks or the run folder do not fit, or the frozen network is missing.
    DivergenceError
        If a loss is no longer finite; the last checkpoint stays.
    OutputError
        If ``out`` cannot be written, or another run is writing it.
    """
    how = Execution(**execution)
    folder = run_folder(out, config, how.keep)
    planned = plan_generator(data, config, initial, projection)
    check_fits(partial(new_generator, planned.config.generator), copies=2)
    with begun(folder, config, planned.settings, how, announce, planned.text) as accelerator:
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
            self.config,
            accelerator,
            self.places,
            generator=planned.generator,
            discriminator=planned.discriminator,
            projection=planned.projection,
        )
        self.validation = GeneratorValidation(planned.train, planned.val, self.config, self.device)
        self.terms = (*training_terms(self.config), *self.validation.terms())
        self.take_up()

    def finish(self) -> TrainedGenerator:
        """Complete the run and return its result."""
        self.run()
        values = self.metrics.validation(self.config.metric) or [float("nan")]
        return TrainedGenerator(first=values[0], **self.result())

    def restore(self, state: GeneratorState) -> None:
        self.adversaries.restore(state)

    def train_step(self, micro_batches: Sequence[tuple[Tensor, Tensor]]) -> dict[str, float]:
        values = self.adversaries.step([photo_tensor(photos.to(self.device)) for _, photos in micro_batches], self.step)
        self.check(values)
        return values

    def validate(self) -> dict[str, float]:
        return self.validation.measure(self.adversaries)

    def sheet(self) -> NDArray[np.uint8]:
        return self.validation.sheet(self.adversaries)

    def write_model(self, path: Path, info: Mapping[str, Any]) -> None:
        adversaries = self.adversaries
        tensors, average = adversaries.averaged.state_dict(), adversaries.latent_avg()
        native.save_generator(path, tensors, average, config=self.config.generator, info=self._with_config(info))

    def write_state(self, path: Path, info: Mapping[str, Any]) -> None:
        tensors, packed = self.adversaries.pack()
        native.save_generator_state(
            path,
            tensors,
            generator=self.config.generator,
            discriminator=self.config.discriminator,
            info=self._with_config({**info, **packed}),
        )

    def _with_config(self, info: Mapping[str, Any]) -> dict[str, Any]:
        config = plain(dataclasses.asdict(self.config))
        config.pop("steps")  # a run may be continued with more steps
        return {**info, "train": config}
