"""The training loop: pairs of a dataset folder into a run folder (:mod:`facesynth.model.run_folder`).

Nothing random is carried from step to step: what a step draws depends on the seed and the step alone. A run that goes on
from a checkpoint is therefore the run that was never interrupted, to the bit on a CPU; and one that several processes share
(:mod:`facesynth.model.processes`) is that of one process, up to rounding.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from facesynth import images
from facesynth.errors import DatasetError, DivergenceError
from facesynth.files import locked, make_folder
from facesynth.model import checkpoint, processes
from facesynth.model.batch_norm import share_batch_norms
from facesynth.model.curves import plot_losses
from facesynth.model.data import TrainingOrder, flip_pairs
from facesynth.model.metrics import Metrics
from facesynth.model.objective import Objective
from facesynth.model.plan import Plan, plan
from facesynth.model.run_folder import KEPT_STATES, RunFolder, plain
from facesynth.model.run_state import pack_optimizer, restore_optimizer
from facesynth.model.translation import (
    Translation,
    chosen_factors,
    compile_networks,
    first_model,
    make_optimizer,
    move_average,
    network_inputs,
)
from facesynth.model.validation import Validation

if TYPE_CHECKING:
    from accelerate import Accelerator

    from facesynth.model.config import TrainConfig


Report = Callable[[str, int, Mapping[str, float]], None]
"""Called with the split, the steps done and the loss terms: after every step, and after every validation."""


@dataclass(frozen=True)
class Trained:
    """What a run came to.

    Attributes
    ----------
    root : Path
        The run folder.
    started : int
        The step that this call went on from.
    first, lowest : float
        Validation L2 before the first step, and the lowest.
    metric : str
        What tells which model is kept.
    best : float
        Its lowest value.
    best_step : int
        Where that was: the step of the model that is kept.
    is_main : bool
        Whether this is the process that speaks for all.
    """

    root: Path
    started: int
    first: float
    lowest: float
    metric: str
    best: float
    best_step: int
    is_main: bool = True


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a run is carried out, which changes nothing that it computes but rounding.

    Attributes
    ----------
    device : str
        auto, cpu, cuda or mps.
    workers : int
        Processes that read pictures, where they don't all fit in memory.
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


def train(
    data: Path,
    out: Path,
    config: TrainConfig,
    *,
    sketch: str | None = None,
    generator: Path | None = None,
    networks: Mapping[str, nn.Module] | None = None,
    report: Report | None = None,
    announce: Callable[[str], None] | None = None,
    **execution: Any,
) -> Trained:
    """Train a model, or go on with a run that was interrupted.

    Parameters
    ----------
    data : Path
        A dataset folder with the condition that the task needs and the splits train and val.
    out : Path
        The run folder; made if missing.
    config : TrainConfig
    sketch : str, optional
        The sketch method, where the dataset holds several.
    generator : Path, optional
        A checkpoint of any known format, or a run folder, whose generator and average latent to start from; it stays as it
        is unless the config trains it.
    networks : mapping of str to module, optional
        What terms of the loss need, as far as the config weighs them: ``lpips``, ``identity`` and ``moco``, each of two
        (N, 3, H, W) tensors in [-1, 1].
    report : callable, optional
        Told of every step and every validation, in the first process alone.
    announce : callable, optional
        Told of the plan, with its text, before anything begins; in the first process alone.
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
    planned = plan(data, config, sketch=sketch, generator=generator)
    accelerator = processes.start(how.device, config, out, how.trackers)
    if accelerator.is_main_process:
        make_folder(out)
    with locked(out) if accelerator.is_main_process else nullcontext():
        folder.refuse_another(planned.settings)
        if announce and accelerator.is_main_process:
            announce(planned.text(objective, accelerator.num_processes))
        return _Run(planned, folder, objective, accelerator, how, report).finish()


class _Run:
    """All state of a run; ``finish`` takes it from wherever it is to its end."""

    def __init__(
        self,
        planned: Plan,
        folder: RunFolder,
        objective: Objective,
        accelerator: Accelerator,
        how: Execution,
        report: Report | None,
    ) -> None:
        self.config = config = planned.config
        self.settings = planned.settings
        self.folder, self.accelerator, self.how, self.report = folder, accelerator, how, report
        self.device: torch.device = accelerator.device
        self.train_pairs, self.scheme = planned.train_pairs, planned.train_pairs.scheme
        self.validation = Validation(planned.val_pairs, config, objective, accelerator)
        self.model, codes = first_model(config, self.train_pairs, planned.generator)
        self.model.to(self.device)
        self.codes = nn.Parameter(codes.to(self.device))
        if accelerator.num_processes > 1:
            share_batch_norms(self.model.encoder)
        self.objective = objective.to(self.device)
        self.averaged = copy.deepcopy(self.model).requires_grad_(requires_grad=False) if config.ema else self.model
        """What is validated and kept."""
        self.optimizer = make_optimizer(config, self.model, self.codes)
        self.step, self.best, self.best_step = 0, float("inf"), 0
        self._go_on()
        self.started = self.step
        self.metrics = Metrics(folder.metrics, self.step if self.started else -1)
        if how.compile:
            compile_networks(self.model)
        self.network, self.stepper = accelerator.prepare(Translation(self.model, self.codes), self.optimizer)
        self.places = processes.places(
            config.batch_size, accelerator.process_index, accelerator.num_processes, config.accumulate
        )

    # ------------------------------------------------------------------------------------------------ saving and going on

    def _go_on(self) -> None:
        """Take over the newest state that can be read."""
        state = self.folder.newest()
        if state is None:
            return
        checkpoint.load_into(self.model, state.state_of("model"), state.path)
        checkpoint.load_into(self.averaged, state.model_state(), state.path)
        self.step, self.best, self.best_step = (state.info[name] for name in ("step", "best", "best_step"))
        if "codes" in state.tensors:
            self.codes.data.copy_(state.tensors["codes"])
        restore_optimizer(self.optimizer, state)
        if self.accelerator.scaler is not None and "scaler" in state.info:
            self.accelerator.scaler.load_state_dict(state.info["scaler"])

    def _save(self) -> None:
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        if self.config.ema:
            tensors |= {f"averaged.{name}": value for name, value in self.averaged.state_dict().items()}
        if self.config.style_probability:
            tensors["codes"] = self.codes
        of_optimizer, numbers = pack_optimizer(self.optimizer)
        info: dict[str, Any] = {
            "step": self.step,
            "best": self.best,
            "best_step": self.best_step,
            "optimizer": numbers,
        }
        if self.accelerator.scaler is not None:
            info["scaler"] = self.accelerator.scaler.state_dict()
        self._write(self.folder.state(self.step), "training", tensors | of_optimizer, info)
        self.folder.prune()

    def _write(self, path: Path, kind: str, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
        config = self.config
        info = {**info, "train": plain(dataclasses.asdict(config))}
        info["train"].pop("steps")  # a run that is carried further is the same run
        checkpoint.save(path, kind, tensors, config=config.model, task=config.task, scheme=self.scheme, info=info)

    # -------------------------------------------------------------------------------------------------------- the loop

    def finish(self) -> Trained:
        config, is_main = self.config, self.accelerator.is_main_process
        if is_main:
            self.folder.begin(self.settings, config, self.how.command, self._where())
        if self.how.trackers:
            processes.track(self.accelerator, self.folder.root, self.settings, self.step)
        if not self.started:
            self._at_interval(time.monotonic())
        began = time.monotonic() - self.metrics.seconds
        before = time.monotonic()
        for parts in self._steps():
            terms = self._train_step(parts)
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
        l2 = self.metrics.validation("l2") or [math.nan]
        return Trained(
            self.folder.root, self.started, l2[0], min(l2), config.metric, self.best, self.best_step, is_main
        )

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
        return TrainingOrder(len(self.train_pairs), self.config.batch_size, self.config.seed, start, stop)

    def _steps(self) -> Iterator[tuple[tuple[Tensor, Tensor, Tensor], ...]]:
        """The share of this process in every step, in its parts."""
        config, accelerator = self.config, self.accelerator
        order = self._order(self.step, config.steps)
        shares = processes.Shares(order, accelerator.process_index, accelerator.num_processes, config.accumulate)
        workers = 0 if self.train_pairs.cached else self.how.workers
        try:
            parts = iter(DataLoader(self.train_pairs, batch_sampler=shares, num_workers=workers))
            yield from zip(*[parts] * config.accumulate, strict=True)
        except DatasetError as error:  # that of a worker process comes with its traceback in front
            last = str(error).strip().splitlines()[-1]
            raise DatasetError(last.removeprefix("facesynth.errors.DatasetError: ")) from error

    def _train_step(self, parts: Sequence[tuple[Tensor, Tensor, Tensor]]) -> dict[str, float]:
        """One step of the optimiser; the terms are means over the photos of all processes."""
        config, accelerator = self.config, self.accelerator
        rng = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step)
        is_flipped = torch.rand(config.batch_size, generator=rng) < (0.5 if config.flip else 0.0)
        is_styled = torch.rand(config.batch_size, generator=rng) < config.style_probability
        factors = chosen_factors(config, torch.randint(2**31, (config.batch_size,), generator=rng).tolist())
        self.network.train()
        names: list[str] = []
        total = torch.zeros(())
        for places, (indices, conditions, photos) in zip(self.places, parts, strict=True):
            where = list(places)
            mirror = self.scheme.mirror if config.model.condition == "labels" else None
            conditions, photos = flip_pairs(conditions, photos, is_flipped[where], mirror)
            condition, photo = network_inputs(
                config, conditions, photos, [factors[place] for place in where], self.device
            )
            noise = processes.noise_sources(config.seed, self.step, where, self.device)
            styled = is_styled[where].to(self.device) if config.style_probability else None
            with accelerator.accumulate(self.network):
                faces, latents = self.network(condition, indices.to(self.device), styled, noise)
                loss, terms = self.objective(faces, photo, latents, self.model.latent_avg)
                accelerator.backward(loss)
                names = list(terms)
                total = total.to(self.device) + torch.stack([value.detach() for value in terms.values()])
                if accelerator.sync_gradients:
                    norm = self._gradient_norm()
                    means = accelerator.reduce(total / config.accumulate, reduction="mean")
                    values = dict(zip([*names, "gradient_norm"], [*means.tolist(), norm], strict=True))
                    self._check(values)
                self.stepper.step()
                self.stepper.zero_grad()
        if config.ema:
            move_average(self.averaged, self.model, min(config.ema, (1 + self.step) / (10 + self.step)))
        return values

    def _gradient_norm(self) -> float:
        """The length of all gradients together, which are clipped to what the config allows."""
        trained = [
            weight for group in self.optimizer.param_groups for weight in group["params"] if weight.grad is not None
        ]
        if self.config.clip_norm:
            return float(self.accelerator.clip_grad_norm_(trained, self.config.clip_norm))
        norms = [torch.linalg.vector_norm(weight.grad) for weight in trained]
        scale = self.accelerator.scaler.get_scale() if self.accelerator.scaler is not None else 1.0
        return float(torch.linalg.vector_norm(torch.stack(norms))) / scale

    def _check(self, values: Mapping[str, float]) -> None:
        """Stop where a term or a gradient is no finite number; fp16's gradients may overflow, which skips a step."""
        name = next((name for name in values if not math.isfinite(values[name])), None)
        if name is None or (name == "gradient_norm" and self.accelerator.scaler is not None):
            return
        (batch,) = self._order(self.step, self.step + 1)
        ids = ", ".join(self.train_pairs.ids[index] for index in batch)
        raise self._divergence(f"the {name.replace('_', ' ')} is {values[name]} at step {self.step + 1}, photos {ids}")

    def _divergence(self, what: str) -> DivergenceError:
        states = self.folder.states()
        last = f"the last checkpoint, {states[-1]}, is from before that" if states else "there is no checkpoint yet"
        return DivergenceError(f"{what}; {last}: try a lower --learning-rate or --clip-norm in another --out")

    # ------------------------------------------------------------------------------------------------- at every interval

    def _at_interval(self, began: float) -> None:
        """Validate, and leave metrics, samples, the best model and last the checkpoint."""
        terms = self.validation.measure(self.averaged)
        broken = next((name for name, value in terms.items() if not math.isfinite(value)), None)
        if broken:
            raise self._divergence(f"the validation {broken} is {terms[broken]} after step {self.step}")
        self.metrics.add(self.step, "val", terms, time.monotonic() - began)
        is_best = terms[self.config.metric] < self.best
        if is_best:
            self.best, self.best_step = terms[self.config.metric], self.step
        if self.accelerator.is_main_process:
            images.write_png(self.folder.samples(self.step), self.validation.sheet(self.averaged))
            self.metrics.write()
            if is_best:
                info = {"step": self.step, "val": terms}
                self._write(self.folder.model, "model", self.averaged.state_dict(), info)
            self._save()
        self.accelerator.wait_for_everyone()
        self._tell("val", terms)
