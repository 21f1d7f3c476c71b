"""Training models: pairs of a dataset folder into a run folder (:mod:`facesynth.model.training.run_folder`).

What a step draws depends on the seed and the step alone. A run that goes on from a checkpoint is therefore the run that was
never interrupted, to the bit on a CPU; and one that several processes share (:mod:`facesynth.model.training.distributed`) is
that of one process, up to rounding. The loop itself is :mod:`facesynth.model.training.loop`'s.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from facesynth.model.checkpoints import native, state_dict
from facesynth.model.config.train import TrainConfig
from facesynth.model.losses.objective import Objective
from facesynth.model.networks.psp import PSP
from facesynth.model.networks.sync_batch_norm import share_batch_norms
from facesynth.model.training import distributed
from facesynth.model.training.ema import move_average
from facesynth.model.training.loop import Execution, Loop, Report, Result, begun
from facesynth.model.training.memory import check_fits
from facesynth.model.training.metrics_log import MODEL_TERMS
from facesynth.model.training.optimizer_state import pack_optimizer, restore_optimizer
from facesynth.model.training.optimizers import make_optimizer, set_rates
from facesynth.model.training.psp.adversary import ADVERSARY_TERMS, Adversary, projection_of
from facesynth.model.training.psp.network import (
    Translation,
    chosen_factors,
    compile_networks,
    first_model,
    is_lean,
    network_inputs,
)
from facesynth.model.training.psp.plan import Plan, plan
from facesynth.model.training.psp.validation import Validation
from facesynth.model.training.run_folder import RunFolder, plain

if TYPE_CHECKING:
    import numpy as np
    from accelerate import Accelerator
    from numpy.typing import NDArray

    from facesynth.model.checkpoints.native import Checkpoint
    from facesynth.model.training.projected import Projection


@dataclass(frozen=True, kw_only=True)
class Trained(Result):
    """The result of a run.

    Attributes
    ----------
    first, lowest : float
        Validation L2 before the first step, and the lowest.
    """

    first: float
    lowest: float


def train(
    data: Path,
    out: Path,
    config: TrainConfig,
    *,
    sketch: str | None = None,
    generator: Path | None = None,
    networks: Mapping[str, nn.Module] | None = None,
    skip_bad: int = 0,
    report: Report | None = None,
    announce: Callable[[str], None] | None = None,
    **execution: Any,
) -> Trained:
    """Train a model, or resume an interrupted run.

    Parameters
    ----------
    data : Path
        A dataset folder with the condition that the task needs and the splits train and val.
    out : Path
        The run folder; created if missing.
    config : TrainConfig
    sketch : str, optional
        The sketch method, if the dataset has several, or some of them joined by commas; if conditions are to be rough, all
        methods by default.
    generator : Path, optional
        A checkpoint of any known format, or a run folder, with the generator and average latent to start from; it is frozen
        unless the config trains it.
    networks : mapping of str to module, optional
        The networks of the loss terms with weights above 0: ``lpips``, ``identity``, ``moco`` and ``parsing``, each a function
        of two (N, 3, H, W) tensors in [-1, 1]. An adversary needs ``lpips`` too, with its feature maps
        (:class:`facesynth.model.training.projected.Projection`).
    skip_bad : int
        The most pairs with a bad picture that are skipped in each split; by default the first one stops the run, with a
        message that names its id.
    report : callable, optional
        Called after every step and every validation, in the main process only.
    announce : callable, optional
        Called with the text of the plan before training begins, in the main process only.
    **execution
        Fields of :class:`Execution`.

    Raises
    ------
    InputError
        If there is neither a generator nor a config that trains one, or the data, generator or run folder do not fit.
    DivergenceError
        If a loss is no longer finite; the last checkpoint stays.
    OutputError
        If ``out`` cannot be written, or another run is writing it.
    """
    how = Execution(**execution)
    folder = RunFolder(out, how.keep)
    objective = Objective(config, networks or {})
    projection = projection_of(config, networks or {}) if config.adversarial else None
    planned = plan(data, config, sketch=sketch, generator=generator, skip_bad=skip_bad)
    text = partial(planned.text, objective)
    check_fits(partial(PSP, planned.config.model), copies=2 if config.ema else 1)
    with begun(folder, config, planned.settings, how, announce, text) as accelerator:
        run = _Run(planned, folder, objective, accelerator, how, report, projection)
        del planned  # the given generator is in the model now
        return run.finish()


class _Run(Loop[TrainConfig]):
    """A run that trains a model."""

    terms: Sequence[str] = MODEL_TERMS
    advice = "a lower --learning-rate or --clip-norm"

    def __init__(
        self,
        planned: Plan,
        folder: RunFolder,
        objective: Objective,
        accelerator: Accelerator,
        how: Execution,
        report: Report | None,
        projection: Projection | None = None,
    ) -> None:
        super().__init__(planned.config, planned.settings, planned.train_pairs, folder, accelerator, how, report)
        config = self.config
        self.pairs, self.scheme = planned.train_pairs, planned.train_pairs.scheme
        self.validation = Validation(planned.val_pairs, config, objective, accelerator)
        self.model, codes = first_model(config, planned.train_pairs, planned.generator)
        self.model.to(self.device)
        self.codes = nn.Parameter(codes.to(self.device))
        if accelerator.num_processes > 1:
            share_batch_norms(self.model.encoder)
        self.objective = objective.to(self.device)
        self.averaged = copy.deepcopy(self.model).requires_grad_(requires_grad=False) if config.ema else self.model
        """The model that is validated and saved."""
        self.optimizer = make_optimizer(config, self.model, self.codes)
        self.adversary: Adversary | None = None
        if projection is not None:
            cast("nn.Module", projection).to(self.device)
            self.adversary = Adversary(config, projection, accelerator)
            self.terms = (*MODEL_TERMS[:-1], *ADVERSARY_TERMS, MODEL_TERMS[-1])
        self.take_up()
        if how.compile:
            compile_networks(self.model)
        network = Translation(self.model, self.codes, lean=is_lean(config, compiled=how.compile))
        self.network, self.stepper = accelerator.prepare(network, self.optimizer)

    def finish(self) -> Trained:
        """Complete the run and return its result."""
        self.run()
        l2 = self.metrics.validation("l2") or [math.nan]
        return Trained(first=l2[0], lowest=min(l2), **self.result())

    # -------------------------------------------------------------------------------------------------- saving and resuming

    def restore(self, state: Checkpoint) -> None:
        state_dict.load_into(self.model, state.state_of("model"), state.path)
        state_dict.load_into(self.averaged, state.model_state(), state.path)
        if "codes" in state.tensors:
            self.codes.data.copy_(state.tensors["codes"])
        restore_optimizer(self.optimizer, state)
        if self.adversary is not None:
            self.adversary.restore(state)
        if self.accelerator.scaler is not None and "scaler" in state.info:
            self.accelerator.scaler.load_state_dict(state.info["scaler"])

    def write_model(self, path: Path, info: Mapping[str, Any]) -> None:
        self._write(path, "model", self.averaged.state_dict(), info)

    def write_state(self, path: Path, info: Mapping[str, Any]) -> None:
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        if self.config.ema:
            tensors |= {f"averaged.{name}": value for name, value in self.averaged.state_dict().items()}
        if self.config.style_probability:
            tensors["codes"] = self.codes
        of_optimizer, numbers = pack_optimizer(self.optimizer)
        info = {**info, "optimizer": numbers}
        if self.adversary is not None:
            of_adversary, noted = self.adversary.pack()
            tensors, info = tensors | of_adversary, {**info, **noted}
        if self.accelerator.scaler is not None:
            info["scaler"] = self.accelerator.scaler.state_dict()
        self._write(path, "training", tensors | of_optimizer, info)

    def _write(self, path: Path, kind: str, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
        config = self.config
        info = {**info, "train": plain(dataclasses.asdict(config))}
        info["train"].pop("steps")  # a run may be continued with more steps
        native.save(path, kind, tensors, config=config.model, task=config.task, scheme=self.scheme, info=info)

    # ------------------------------------------------------------------------------------------- validating and training

    def validate(self) -> dict[str, float]:
        if self.pairs.skip_bad:
            found = self.accelerator.reduce(self.pairs.bad.int().to(self.device))
            self.pairs.add_bad(found.cpu())
        return self.validation.measure(self.averaged)

    def sheet(self) -> NDArray[np.uint8]:
        return self.validation.sheet(self.averaged)

    def train_step(self, parts: Sequence[tuple[Tensor, Tensor, Tensor]]) -> dict[str, float]:
        """One step of the optimiser; the terms are means over the photos of all processes."""
        config, accelerator = self.config, self.accelerator
        rng = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step)
        is_styled = torch.rand(config.batch_size, generator=rng) < config.style_probability
        factors = chosen_factors(config, torch.randint(2**31, (config.batch_size,), generator=rng).tolist())
        adversary = self.adversary
        transforms = adversary.begin_step(rng) if adversary is not None else None
        self.network.train()
        set_rates(self.optimizer, config.rate_share(self.step))
        names: list[str] = []
        total = torch.zeros(())
        for places, (indices, conditions, photos) in zip(self.places, parts, strict=True):
            where = list(places)
            condition, photo = network_inputs(
                config, conditions, photos, [factors[place] for place in where], self.device
            )
            noise = distributed.noise_sources(config.seed, self.step, where, self.device)
            styled = is_styled[where].to(self.device) if config.style_probability else None
            with accelerator.accumulate(self.network):
                faces, latents = self.network(condition, indices.to(self.device), styled, noise)
                loss, terms = self.objective(faces, photo, latents, self.model.latent_avg)
                if adversary is not None and transforms is not None:
                    term = adversary.loss(faces, photo, condition, transforms.select(where))
                    loss = loss + config.adversarial * term
                    terms = {**terms, "loss": loss, "adversarial": term}
                accelerator.backward(loss)
                names = list(terms)
                total = total.to(self.device) + torch.stack([value.detach() for value in terms.values()])
                if accelerator.sync_gradients:
                    norm = self._gradient_norm()
                    means = accelerator.reduce(total / config.accumulate, reduction="mean")
                    values = dict(zip([*names, "gradient_norm"], [*means.tolist(), norm], strict=True))
                    # fp16's gradients may overflow, which skips a step
                    scaled = accelerator.scaler is not None
                    self.check({name: values[name] for name in (names if scaled else values)})
                self.stepper.step()
                self.stepper.zero_grad()
        if adversary is not None:
            values |= self._means(adversary.finish_step())
        if config.ema:
            move_average(self.averaged, self.model, min(config.ema, (1 + self.step) / (10 + self.step)))
        return values

    def _means(self, terms: Mapping[str, Tensor | float]) -> dict[str, float]:
        """The means over all processes of this process's metrics."""
        accelerator = self.accelerator
        return {
            name: float(accelerator.reduce(value, reduction="mean") if isinstance(value, Tensor) else value)
            for name, value in terms.items()
        }

    def _gradient_norm(self) -> float:
        """The norm of all gradients together, which are clipped to the config's limit."""
        trained = [
            weight for group in self.optimizer.param_groups for weight in group["params"] if weight.grad is not None
        ]
        if self.config.clip_norm:
            return float(self.accelerator.clip_grad_norm_(trained, self.config.clip_norm))
        norms = [torch.linalg.vector_norm(weight.grad) for weight in trained]
        scale = self.accelerator.scaler.get_scale() if self.accelerator.scaler is not None else 1.0
        return float(torch.linalg.vector_norm(torch.stack(norms))) / scale
