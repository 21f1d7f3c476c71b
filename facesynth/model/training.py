"""The training loop: pairs of a dataset folder into a run folder.

::

    RUN/config.yaml          the resolved config; the same command again continues, another one is refused
    RUN/metrics.csv          every loss term at every step, and on the validation split at every interval
    RUN/losses.png           the same as curves
    RUN/samples/             condition | face | photo of the same validation photos at every interval
    RUN/model.safetensors    the best model by the config's metric on the validation split
    RUN/checkpoints/         the last two states of the run

Nothing random is carried from step to step: what a step draws depends on the seed and the step alone. A run that goes on
from a checkpoint is therefore the run that was never interrupted, to the bit on a CPU.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.utils.data import DataLoader

from facesynth import images
from facesynth.errors import CheckpointError, DatasetError, DivergenceError, InputError
from facesynth.files import locked, make_folder, write_text
from facesynth.labels import describe
from facesynth.manifest import read_dataset
from facesynth.model import checkpoint, foreign
from facesynth.model.config import TrainConfig
from facesynth.model.data import PairedFaces, TrainingOrder, condition_column, flip_pairs
from facesynth.model.devices import choose_device
from facesynth.model.metrics import Metrics, plot_losses
from facesynth.model.objective import Objective
from facesynth.model.optim import Muon, Ranger
from facesynth.model.psp import PSP
from facesynth.model.sheet import contact_sheet, show_condition
from facesynth.model.tensors import condition_tensor, photo_tensor, to_pictures

log = logging.getLogger(__name__)

KEPT_CHECKPOINTS = 2
SAMPLES = 6
"""Validation photos on a sample sheet."""
MEAN_LATENT_SAMPLES = 10_000
COLOUR_COMPONENTS = 32
FIRST_STYLE_SPREAD = 0.4
"""Spread of the styles of a generator that starts from nothing: it learns the mean face first, then what differs."""

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
    """

    root: Path
    started: int
    first: float
    lowest: float
    metric: str
    best: float
    best_step: int


def train(
    data: Path,
    out: Path,
    config: TrainConfig,
    *,
    sketch: str | None = None,
    generator: Path | None = None,
    networks: Mapping[str, nn.Module] | None = None,
    device: str = "auto",
    workers: int = 2,
    report: Report | None = None,
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
    device : str
        auto, cpu, cuda or mps.
    workers : int
        Processes that read pictures, where they don't all fit in memory.
    report : callable, optional
        Told of every step and every validation.

    Raises
    ------
    InputError
        If there is neither a generator nor a config that trains one, or the data, generator or run folder do not fit.
    DivergenceError
        If a loss is no longer finite; the last checkpoint stays.
    OutputError
        If ``out`` cannot be written, or another run is writing it.
    """
    if generator is None and not config.train_generator:
        raise InputError("there is no generator: give --generator FILE, or --train-generator to train one along")
    objective = Objective(config, networks or {})
    make_folder(out)
    with locked(out):
        run = _Run(data, out, config, sketch, generator, objective, choose_device(device), workers, report)
        return run.finish()


class _Run:
    """All state of a run; ``finish`` takes it from wherever it is to its end."""

    def __init__(
        self,
        data: Path,
        out: Path,
        config: TrainConfig,
        sketch: str | None,
        generator: Path | None,
        objective: Objective,
        device: torch.device,
        workers: int,
        report: Report | None,
    ) -> None:
        dataset = read_dataset(data)
        self.out, self.config, self.device, self.workers, self.report = out, config, device, workers, report
        column = condition_column(dataset, config.model.condition, sketch)
        self.train_pairs = PairedFaces(dataset, column, "train", config.model)
        self.val_pairs = PairedFaces(dataset, column, "val", config.model)
        self.scheme = dataset.scheme
        if config.model.condition == "labels" and config.model.input_channels != len(self.scheme):
            raise DatasetError(
                f"{data} has {len(self.scheme)} classes ({self.scheme.name}), the model takes {config.model.input_channels}"
            )
        self.described = self._describe(column, generator)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = PSP(config.model)
            self.codes = nn.Parameter(self._first_codes().to(device))
        if generator is not None:
            self._take_generator(generator)
        else:
            with torch.no_grad():
                for parameter in self.model.generator.mapping.layers[-1].parameters():
                    parameter.mul_(FIRST_STYLE_SPREAD)
            self.model.latent_avg.copy_(self.model.generator.mean_latent(MEAN_LATENT_SAMPLES, config.seed))
        self.model.to(device)
        self.objective = objective.to(device)
        self.model.generator.requires_grad_(config.train_generator)
        self.averaged = copy.deepcopy(self.model).requires_grad_(requires_grad=False) if config.ema else self.model
        """What is validated and kept."""
        self.optimizer = self._make_optimizer()
        self.step, self.best, self.best_step = 0, float("inf"), 0
        self._go_on()
        self.started = self.step
        self.metrics = Metrics(out / "metrics.csv", self.step if self.started else -1)

    # ------------------------------------------------------------------------------------------------------ setting up

    def _describe(self, column: str, generator: Path | None) -> str:
        """The content of ``config.yaml``, once it is seen that the folder holds no run of another; more steps are welcome."""
        path = self.out / "config.yaml"
        wanted = {
            "task": self.config.task,
            "column": column,
            "label_scheme": describe(self.scheme),
            "pairs": {"train": self.train_pairs.digest, "val": self.val_pairs.digest},
            "generator": str(generator) if generator else None,
            **_plain(dataclasses.asdict(self.config)),
        }
        if path.is_file():
            try:
                noted = _flat(yaml.safe_load(path.read_text("utf-8")))
            except (yaml.YAMLError, AttributeError, ValueError, OSError) as error:
                raise CheckpointError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
            now = _flat(wanted)
            different = [name for name in now if noted.get(name) != now[name] and name != "steps"]
            if different and self._states():  # without a state there is nothing to lose
                name = different[0]
                raise InputError(
                    f"{self.out} holds a run with another {name} ({noted.get(name)}, now {now[name]}); "
                    "give the same options to continue it, or another --out"
                )
        return yaml.safe_dump(wanted, sort_keys=False)

    def _take_generator(self, path: Path) -> None:
        """Start from the generator and the average latent of a checkpoint of any known format."""
        given = foreign.load_generator(path)
        sizes = self.config.model.generator
        for name in ("output_size", "style_dim", "mapping_depth", "channel_base", "channel_max"):
            has, needs = getattr(given.config, name), getattr(sizes, name)
            if has != needs and (not name.startswith("channel") or given.config.channels != sizes.channels):
                raise CheckpointError(f"the generator of {given.path} has {name} {has}, the model's is {needs}")
        checkpoint.load_into(self.model.generator, given.tensors, given.path)
        self.model.latent_avg.copy_(given.latent_avg)

    def _first_codes(self) -> Tensor:
        """A style code a training photo, (photos, style_dim): its colours' principal components, each of unit variance.

        That is how GLO starts (Bojanowski et al., ICML 2018, section 3.1), here on thumbnails of 8 x 8 pixels. Dimensions
        beyond the number of components are drawn at random. Random codes then stand for plausible colours.
        """
        count, size = len(self.train_pairs), self.config.model.style_dim
        if not self.config.style_probability:
            return torch.empty(0, size)
        thumbnails = [images.resize(self.train_pairs[index][2], (8, 8)) for index in range(count)]
        colours = torch.from_numpy(np.stack(thumbnails)).reshape(count, -1).double()
        left, _, _ = torch.linalg.svd(colours - colours.mean(0), full_matrices=False)
        components = min(size, count - 1, left.shape[1], COLOUR_COMPONENTS)
        codes = torch.randn(count, size)
        codes[:, :components] = left[:, :components].float() * count**0.5
        return codes

    def _make_optimizer(self) -> torch.optim.Optimizer:
        config = self.config
        groups: list[dict[str, Any]] = [{"params": list(self.model.encoder.parameters()), "orthogonal": False}]
        if config.train_generator:
            generator = list(self.model.generator.parameters())
            groups.append({"params": generator, "lr": config.generator_learning_rate})
        if config.style_probability:
            groups.append({"params": [self.codes], "lr": config.generator_learning_rate})
        if config.optimizer == "ranger":
            return Ranger(groups, lr=config.learning_rate)
        if config.optimizer == "muon":
            return Muon(groups, lr=config.learning_rate)
        return torch.optim.Adam(groups, lr=config.learning_rate, betas=(0.9, 0.99))

    # ------------------------------------------------------------------------------------------------ saving and going on

    def _states(self) -> list[Path]:
        return sorted((self.out / "checkpoints").glob("step-*.safetensors"))

    def _save(self) -> None:
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        if self.config.ema:
            tensors |= {f"averaged.{name}": value for name, value in self.averaged.state_dict().items()}
        if self.config.style_probability:
            tensors["codes"] = self.codes
        state = self.optimizer.state_dict()["state"]
        numbers: dict[str, float] = {}
        for index, values in state.items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer.{index}.{name}"] = value
                else:
                    numbers[f"{index}.{name}"] = value
        info = {"step": self.step, "best": self.best, "best_step": self.best_step, "optimizer": numbers}
        self._write(self.out / "checkpoints" / f"step-{self.step:08d}.safetensors", "training", tensors, info)
        self._prune()

    def _prune(self) -> None:
        for old in self._states()[:-KEPT_CHECKPOINTS]:
            old.unlink()

    def _write(self, path: Path, kind: str, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
        config = self.config
        info = {**info, "train": _plain(dataclasses.asdict(config))}
        info["train"].pop("steps")  # a run that is carried further is the same run
        checkpoint.save(path, kind, tensors, config=config.model, task=config.task, scheme=self.scheme, info=info)

    def _go_on(self) -> None:
        """Take over the newest state that can be read; one that cannot is passed over."""
        for path in reversed(self._states()):
            try:
                state = checkpoint.load(path)
            except CheckpointError as error:
                log.warning("passing over a damaged checkpoint: %s", error)
                continue
            checkpoint.load_into(self.model, state.state_of("model"), path)
            checkpoint.load_into(self.averaged, state.model_state(), path)
            self.step, self.best, self.best_step = (state.info[name] for name in ("step", "best", "best_step"))
            if "codes" in state.tensors:
                self.codes.data.copy_(state.tensors["codes"])
            self._restore_optimizer(state)
            return

    def _restore_optimizer(self, state: checkpoint.Checkpoint) -> None:
        values: dict[int, dict[str, Any]] = {}
        for name, value in state.tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                values.setdefault(int(index), {})[key] = value
        for name, number in state.info["optimizer"].items():
            index, key = name.split(".", 1)
            values.setdefault(int(index), {})[key] = number
        self.optimizer.load_state_dict({"state": values, "param_groups": self.optimizer.state_dict()["param_groups"]})

    # -------------------------------------------------------------------------------------------------------- the loop

    def finish(self) -> Trained:
        for folder in ("checkpoints", "samples"):
            make_folder(self.out / folder)
        write_text(self.out / "config.yaml", self.described)
        if not self.started:
            self._at_interval(time.monotonic())
        began = time.monotonic() - self.metrics.seconds
        for batch in self._batches():
            terms = self._train_step(*batch)
            self.step += 1
            self.metrics.add(self.step, "train", terms, time.monotonic() - began)
            if self.report:
                self.report("train", self.step, terms)
            if self.step % self.config.interval == 0 or self.step == self.config.steps:
                self._at_interval(began)
        self._prune()
        if self.metrics.lines:  # none where somebody has removed the file of a finished run
            plot_losses(self.metrics.path, self.out / "losses.png")
        l2 = self.metrics.validation("l2") or [math.nan]
        config = self.config
        return Trained(self.out, self.started, l2[0], min(l2), config.metric, self.best, self.best_step)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        config, pairs = self.config, self.train_pairs
        order = TrainingOrder(len(pairs), config.batch_size, config.seed, self.step, config.steps)
        workers = 0 if pairs.cached else self.workers
        try:
            yield from DataLoader(pairs, batch_sampler=order, num_workers=workers)
        except DatasetError as error:  # that of a worker process comes with its traceback in front
            last = str(error).strip().splitlines()[-1]
            raise DatasetError(last.removeprefix("facesynth.errors.DatasetError: ")) from error

    def _train_step(self, indices: Tensor, conditions: Tensor, photos: Tensor) -> dict[str, float]:
        config, model = self.config, self.model
        rng = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step)
        if config.flip:
            mirror = self.scheme.mirror if config.model.condition == "labels" else None
            which = torch.rand(len(indices), generator=rng) < 0.5
            conditions, photos = flip_pairs(conditions, photos, which, mirror)
        model.train()
        condition, photo = self._to_device(conditions, photos)
        latents = model.encode(condition)
        mixed = latents
        if config.style_probability:
            styles = model.generator.mapping(self.codes[indices.to(self.device)])
            which = torch.rand(len(indices), generator=rng) < config.style_probability
            restyled = model.mix(latents, styles, config.model.style_layers)
            mixed = torch.where(which.to(self.device)[:, None, None], restyled, latents)
        noise = torch.Generator(self.device).manual_seed(config.seed * 1_000_003 + self.step)
        faces = model.generator(mixed, noise="random", rng=noise)
        loss, terms = self.objective(faces, photo, latents, model.latent_avg)
        if not torch.isfinite(loss):
            ids = ", ".join(self.train_pairs.ids[index] for index in indices.tolist())
            raise DivergenceError(
                f"the loss is {loss.item()} at step {self.step + 1}, photos {ids}; the last checkpoint in {self.out} is from "
                "before that: try a lower --learning-rate in another --out"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        if config.ema:
            self._average()
        return {name: value.item() for name, value in terms.items()}

    @torch.no_grad()
    def _average(self) -> None:
        """Move the average towards the weights; early in the run by more, so that the first weights are soon forgotten."""
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        for mean, value in zip(self.averaged.state_dict().values(), self.model.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    def _to_device(self, conditions: Tensor, photos: Tensor) -> tuple[Tensor, Tensor]:
        sizes = self.config.model
        condition = condition_tensor(conditions.to(self.device), sizes.condition, sizes.input_channels)
        return condition, photo_tensor(photos.to(self.device))

    # ------------------------------------------------------------------------------------------------- at every interval

    def _at_interval(self, began: float) -> None:
        """Validate, and leave metrics, samples, the best model and last the checkpoint."""
        terms = self._validate()
        self.metrics.add(self.step, "val", terms, time.monotonic() - began)
        self.metrics.write()
        if terms[self.config.metric] < self.best:
            self.best, self.best_step = terms[self.config.metric], self.step
            info = {"step": self.step, "val": terms}
            self._write(self.out / checkpoint.MODEL_FILE, "model", self.averaged.state_dict(), info)
        self._save()
        if self.report:
            self.report("val", self.step, terms)

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """The loss terms on the whole validation split, and the sample sheet."""
        self.averaged.eval()
        sums: dict[str, float] = {}
        rows: list[list[Any]] = []
        for _, conditions, photos in DataLoader(self.val_pairs, batch_size=self.config.batch_size):
            condition, photo = self._to_device(conditions, photos)
            latents = self.averaged.encode(condition)
            faces = self.averaged.generator(latents)
            for name, value in self.objective(faces, photo, latents, self.averaged.latent_avg)[1].items():
                sums[name] = sums.get(name, 0.0) + value.item() * len(photos)
            for shown, face, truth in zip(conditions.numpy(), to_pictures(faces), photos.numpy(), strict=True):
                if len(rows) < SAMPLES:
                    rows.append([show_condition(shown, self.config.model.condition, self.scheme), face, truth])
        sheet = contact_sheet(rows, ["condition", "face", "photo"], cell=max(128, self.config.model.output_size // 2))
        images.write_png(self.out / "samples" / f"step-{self.step:08d}.png", sheet)
        return {name: total / len(self.val_pairs) for name, total in sums.items()}


def _flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as one, with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        inner = _flat(value) if isinstance(value, Mapping) else None
        flat |= {f"{name}.{key}": below for key, below in inner.items()} if inner is not None else {name: value}
    return flat


def _plain(value: Any) -> Any:
    """Nested dataclass fields as YAML and JSON hold them: tuples as lists."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
