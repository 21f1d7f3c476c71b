"""Photographs from label maps and from sketches with one generator: ``python recipes/photographs/train.py DATA.npz --out OUT``.

DATA is a file of ``pack_data.py``. Two models, one for label maps and one for sketches, each with its own encoder and spatial
path, share the generator and the style codes of the photos, and are trained in alternate steps. The last numbers of a code are
the colours of hair, background, clothes and skin (``recolour.py``); half of the photos are recoloured in each of the first
three. In every step some of the faces have the style of another photo or a random one. The adversary judges these, so that
every style gives a photograph, and their regions should have the mean colours of the style.

Files in OUT, rewritten at every validation: ``sketch.safetensors`` and ``seg.safetensors``, the averaged weights in half
precision; ``rest.safetensors``, what ``--resume OUT`` needs in addition; ``metrics.csv``; ``sheet.png``, faces of validation
photos by both models.
"""

from __future__ import annotations

import argparse
import copy
import csv
import dataclasses
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from pack_data import unpack
from recolour import COLOURED, SHARE, mattes, recolour
from recolour import SIZE as COLOURS
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from facesynth import images
from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.checkpoints import native
from facesynth.model.checkpoints.load import load_generator, load_model
from facesynth.model.config.presets import preset
from facesynth.model.config.train import TrainConfig
from facesynth.model.data.augment import Augmentation, augment
from facesynth.model.data.contact_sheet import show_condition
from facesynth.model.data.freehand import Roughness, roughen
from facesynth.model.data.style_colours import LEAST_AREA, colour_of, to_rgb
from facesynth.model.data.tensors import condition_tensor, photo_tensor, to_pictures
from facesynth.model.losses.lpips import LPIPS, load_lpips
from facesynth.model.losses.objective import Objective
from facesynth.model.networks.psp import PSP
from facesynth.model.training.psp.adversary import Adversary
from facesynth.model.training.psp.network import first_codes
from facesynth.prep.sketches.drawing import draw_all
from facesynth.prep.sketches.presets import resolve

TASKS = {"sketch": "sketch2face", "seg": "seg2face"}
STYLED, RESTYLED = 0.8, 0.375
"""Fractions of a step's faces: those with their photo's style code, of the faces that are compared with their photo; those with
another style, of all faces."""
FALLING = 0.3
"""Fraction of the time, at the end, over which the learning rates fall to 0."""
LINES, LINE_SHARE = ("outlines", "contours"), 0.5
"""Sketch methods that draw only lines, as people do, and the fraction of the training sketches that use them."""
COLOUR_WEIGHT = 2.0
"""Weight of the mean colours that faces in other styles should have."""
MOTION = {"scale": 0.06, "shift": 0.03}
"""Greatest changes of scale and place, for drawings whose heads are not where the photos have theirs."""
CODE_RATE = 5e-3
MAPPING_RATE = 5e-2
"""Learning rate of the mapping network, whose weights are stored a hundredfold (StyleGAN's multiplier of 0.01): what the
colours in a code mean is learned there."""
AVERAGE = 0.998
MAX_VALIDATED = 100
SHEET = 10
WARM_UP = 100
"""Steps over which the learning rates rise from 0; a resumed run starts without its optimiser's moments."""


Item = tuple[NDArray[np.uint8], NDArray[np.uint8], int, NDArray[np.float32], bool, NDArray[np.uint8]]


class TrainingPairs(Dataset[Item]):
    """Endless augmented training pairs, which depend only on the seed and their number.

    An item is a condition, its photo, the photo's index, the code of the photo's colours, whether the face is to have the
    photo's style, and the photo's label map; photos are recoloured only in their own style.
    """

    def __init__(self, data: Mapping[str, Any], places: NDArray[np.int64], kind: str, config: TrainConfig) -> None:
        self.data, self.places, self.kind, self.seed = data, places, kind, config.seed
        self.augmentation = dataclasses.replace(Augmentation().scaled(config.augment, flip=config.flip), **MOTION)
        self.roughness = Roughness().scaled(config.rough)
        is_line = np.array([str(name).startswith(LINES) for name in data["kinds"]])
        shares = np.where(is_line, LINE_SHARE / max(is_line.sum(), 1), (1 - LINE_SHARE) / max((~is_line).sum(), 1))
        self.shares = shares / shares.sum()

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, number: int) -> Item:
        rng = np.random.default_rng([self.seed, number, self.kind == "labels"])
        index = int(rng.integers(len(self.places)))
        place = self.places[index]
        if self.kind == "labels":
            condition = self.data["labels"][place]
        else:
            kinds = self.data["sketches"][place]
            condition = kinds[rng.choice(len(kinds), p=self.shares)]
        condition = roughen(condition, self.kind, self.roughness, rng, CELEBAMASK_HQ)
        is_styled = bool(rng.random() < STYLED)
        photo, labels, soft = (self.data[key][place] for key in ("photos", "labels", "mattes"))
        photo, colours = recolour(photo, labels, soft, rng, SHARE if is_styled else 0.0)
        same = copy.deepcopy(rng)
        labels, _ = augment(labels, photo, "labels", self.augmentation, same, mirror=CELEBAMASK_HQ.mirror)
        condition, photo = augment(condition, photo, self.kind, self.augmentation, rng, mirror=CELEBAMASK_HQ.mirror)
        arrays = (np.ascontiguousarray(array) for array in (condition, photo, labels))
        condition, photo, labels = arrays
        return condition, photo, index, colours, is_styled, labels


def _no_threads(_: int) -> None:
    cv2.setNumThreads(0)


def add_sketches(data: Mapping[str, Any], wanted: str) -> dict[str, Any]:
    """The data with additional sketches drawn from its photos."""
    if not wanted:
        return dict(data)
    sketches = [resolve(kind) for kind in wanted.split(",")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pairs = zip(data["photos"], data["labels"], strict=True)
        drawings = list(pool.map(lambda pair: draw_all(pair[0], sketches, labels=pair[1]), pairs))
    more = np.stack([np.stack([drawing[sketch.name] for sketch in sketches]) for drawing in drawings])
    kinds = np.array([*data["kinds"], *(sketch.name for sketch in sketches)])
    return {**data, "kinds": kinds, "sketches": np.concatenate([data["sketches"], more], axis=1)}


def add_mattes(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data with the soft masks that recolouring needs."""
    return {**data, "mattes": np.stack([mattes(*pair) for pair in zip(data["photos"], data["labels"], strict=True)])}


class Numbers:
    """Batches of consecutive numbers from a first one, without end."""

    def __init__(self, first: int, batch: int) -> None:
        self.first, self.batch = first, batch

    def __iter__(self) -> Iterator[list[int]]:
        while True:
            yield list(range(self.first, self.first + self.batch))
            self.first += self.batch


class Trainee:
    """One task with its model, whose generator is shared, and its training pairs."""

    def __init__(self, name: str, options: argparse.Namespace, generator: Path) -> None:
        self.name, self.task = name, TASKS[name]
        self.kind = "labels" if name == "seg" else "sketch"
        self.config = preset(
            "photographs",
            self.task,  # type: ignore[arg-type]
            n_classes=len(CELEBAMASK_HQ),
            model_sizes={"style_colours": COLOURED},
            batch_size=options.batch,
            precision=options.precision,
            seed=options.seed,
            rough=options.rough,
            augment=options.augment,
            adversarial=options.adversarial,
        )
        torch.manual_seed(options.seed)
        self.model = PSP(self.config.model)
        with torch.no_grad():  # start near the average face
            self.model.encoder.head.linear.weight.mul_(0.1)
        start = load_generator(generator)
        self.model.generator.load_state_dict({key: value.float() for key, value in start.tensors.items()})
        self.model.latent_avg.copy_(start.latent_avg)

    def take_trunk(self, path: Path) -> None:
        """Initialise the encoder's trunk from a portrait model."""
        state = load_model(path).model_state()
        own = self.model.encoder.trunk.state_dict()
        prefix = "encoder.trunk."
        trunk = {
            key: state[prefix + key]
            for key in own
            if prefix + key in state and state[prefix + key].shape == own[key].shape
        }
        self.model.encoder.trunk.load_state_dict(
            {**own, **{key: value.to(own[key].dtype) for key, value in trunk.items()}}
        )
        print(f"{self.name}: {len(trunk)} of {len(own)} tensors of the trunk taken from {path.name}", flush=True)

    def pairs(self, data: Mapping[str, Any], places: NDArray[np.int64], first: int, workers: int) -> Iterator[Any]:
        loader = DataLoader(
            TrainingPairs(data, places, self.kind, self.config),
            batch_sampler=Numbers(first, self.config.batch_size),  # type: ignore[arg-type]
            num_workers=workers,
            worker_init_fn=_no_threads,
            prefetch_factor=4 if workers else None,
            pin_memory=torch.cuda.is_available(),
        )
        return iter(loader)

    def conditions(self, data: Mapping[str, Any], places: NDArray[np.int64]) -> Tensor:
        """Unaugmented conditions, (N, S, S) uint8; for sketches by the method xdog, or else the first."""
        kinds = [str(kind) for kind in data["kinds"]]
        seen = kinds.index("xdog") if "xdog" in kinds else 0
        return torch.from_numpy(data["labels"][places] if self.kind == "labels" else data["sketches"][places, seen])

    def tensor(self, conditions: Tensor, device: torch.device) -> Tensor:
        sizes = self.config.model
        return condition_tensor(conditions.to(device, non_blocking=True), sizes.condition, sizes.input_channels)


def colour_loss(faces: Tensor, labels: Tensor, codes: Tensor) -> Tensor:
    """The mean absolute difference of the regions' mean colours from those that the codes say, 0 to 2.

    Faces (N, 3, S, S) in [-1, 1], label maps (N, S, S), codes (N, COLOURS).
    """
    losses = []
    for place, region in enumerate(COLOURED):
        mask = (labels == CELEBAMASK_HQ.classes.index(region))[:, None].float()
        area = mask.mean(dim=(1, 2, 3))
        mean = (faces * mask).mean(dim=(2, 3)) / area.clamp(min=1e-6)[:, None]
        numbers = codes[:, 3 * place : 3 * place + 3].cpu().numpy()
        rgb = to_rgb(np.stack([colour_of(region, each) for each in numbers])[None])[0]
        wanted = torch.from_numpy(rgb.astype(np.float32) / 127.5 - 1).to(faces)
        losses.append((mean - wanted).abs().mean(dim=1) * (area > LEAST_AREA))
    return torch.stack(losses).mean()


def unique(modules: list[nn.Module]) -> list[Tensor]:
    """All floating-point parameters and buffers, without duplicates, in a fixed order."""
    found = {id(value): value for module in modules for value in (*module.parameters(), *module.buffers())}
    return [value for value in found.values() if value.is_floating_point()]


def sharpness(pictures: Tensor) -> Tensor:
    """Variance of the Laplacian in the centre of the grey pictures (N, 3, H, W), (N,)."""
    kernel = pictures.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    grey = pictures.float().mean(dim=1, keepdim=True) * 127.5
    return F.conv2d(grey, kernel)[..., 15:-15, 15:-15].flatten(1).var(dim=1)


class Run:
    """The training of both models."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.accelerator = Accelerator(
            cpu=options.cpu, mixed_precision={"float32": "no"}.get(options.precision, options.precision)
        )
        self.device = self.accelerator.device
        self.data = add_mattes(add_sketches(unpack(options.data), options.draw))
        kept = self.data["split"] == "train"
        self.train = np.flatnonzero(kept)
        self.held_out = np.flatnonzero(~kept)[:MAX_VALIDATED]
        self.lpips: LPIPS = load_lpips(options.weights).to(self.device).eval().to(memory_format=torch.channels_last)
        self.trainees = {name: Trainee(name, options, options.generator) for name in TASKS}
        first, *others = self.trainees.values()
        for other in others:
            other.model.generator = first.model.generator
        thumbnails = np.stack([images.resize(photo, (8, 8)) for photo in self.data["photos"][self.train]])
        codes = first_codes(thumbnails, first.config.model.style_dim)
        self.codes = nn.Parameter(codes.to(self.device))
        self.objectives, self.adversaries = {}, {}
        for name, trainee in self.trainees.items():
            if options.trunks:
                trainee.take_trunk(options.trunks / f"portrait-{name}.safetensors")
            trainee.model.to(self.device, memory_format=torch.channels_last).train()
            self.objectives[name] = Objective(trainee.config, {"lpips": self.lpips}).to(self.device)
            self.adversaries[name] = Adversary(trainee.config, self.lpips, self.accelerator)
        self.step, self.seconds = 0, 0.0
        self.rows: list[dict[str, Any]] = []
        if options.resume:
            self._resume(options.resume)
        rng = torch.Generator().manual_seed(options.seed)
        with torch.no_grad():  # those that validation shows; in training they are the photos' colours
            self.codes[:, -COLOURS:] = torch.randn(len(self.codes), COLOURS, generator=rng).to(self.device)
        self.averaged = self._copies()
        models = [trainee.model for trainee in self.trainees.values()]
        parameters = {id(value): value for model in models for value in model.parameters()}
        mapping = {id(value) for value in first.model.generator.mapping.parameters()}
        generator = {id(value) for value in first.model.generator.parameters()} - mapping
        self.parameters = [*parameters.values(), self.codes]
        rate, of_generator = first.config.learning_rate, first.config.generator_learning_rate
        self.optimizer = torch.optim.Adam(
            [
                {"params": [value for key, value in parameters.items() if key not in generator | mapping], "lr": rate},
                {"params": [value for key, value in parameters.items() if key in mapping], "lr": MAPPING_RATE},
                {"params": [value for key, value in parameters.items() if key in generator], "lr": of_generator},
                {"params": [self.codes], "lr": CODE_RATE},
            ],
            betas=(0.5, 0.99),
            fused=self.device.type == "cuda",
        )
        self.rates = [group["lr"] for group in self.optimizer.param_groups]

    def _copies(self) -> dict[str, PSP]:
        """The moving averages of both models, which share a generator too."""
        copies = {}
        for name, trainee in self.trainees.items():
            model = PSP(trainee.config.model)
            model.load_state_dict(trainee.model.state_dict())
            copies[name] = model.to(self.device, memory_format=torch.channels_last).eval().requires_grad_(False)
        for averaged in copies.values():
            averaged.generator = copies["sketch"].generator
        return copies

    # ---------------------------------------------------------------------------------------------------------- a step

    def train_step(self, name: str, batch: tuple[Tensor, ...], share: float) -> dict[str, Tensor | float]:
        trainee, adversary = self.trainees[name], self.adversaries[name]
        model, config = trainee.model, trainee.config
        conditions, photos, indices, colours, own, labels = batch
        count = len(conditions)
        known = count - int(count * RESTYLED)
        rng = torch.Generator().manual_seed(config.seed * 1_000_003 + self.step)
        transforms = adversary.begin_step(rng)
        others = torch.randint(len(self.codes), (count,), generator=rng)
        z = torch.randn(count, config.model.style_dim, generator=rng)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * share
        device = self.device
        condition = trainee.tensor(conditions, device).contiguous(memory_format=torch.channels_last)
        photo = photo_tensor(photos.to(device, non_blocking=True)).contiguous(memory_format=torch.channels_last)
        with self.accelerator.autocast():
            codes = torch.cat([self.codes[indices.to(device), :-COLOURS], colours.to(device)], dim=1)
            half = known + (count - known) // 2
            z = z.to(device)
            z[known:half, :-COLOURS] = self.codes[others[known:half].to(device), :-COLOURS].detach()
            codes = torch.cat([codes[:known], z[known:]])
            styles = model.generator.mapping(codes)
            own = own | (torch.arange(count) >= known)
            latents = model.encode(condition)
            restyled = model.mix(latents, styles.to(latents.dtype), config.model.style_layers)
            mixed = torch.where(own.to(device)[:, None, None], restyled, latents)
            faces = model.generator(mixed, noise="random", spatial=model.spatial_maps(condition)).float()
            loss, terms = self.objectives[name](faces[:known], photo[:known], latents.float(), model.latent_avg)
        term = adversary.loss(faces, photo, condition, transforms)
        terms["colours"] = colour_loss(faces[known:], labels[known:].to(device), z[known:, -COLOURS:])
        loss = loss + config.adversarial * term + COLOUR_WEIGHT * terms["colours"]
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.parameters, config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        of_adversary = adversary.finish_step()
        self.step += 1
        self._average()
        return {
            **{key: value.detach() for key, value in terms.items()},
            "loss": loss.detach(),
            "adversarial": term.detach(),
            "gradient_norm": norm,
            **of_adversary,
        }

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(AVERAGE, (1 + self.step) / (100 + self.step))
        means = unique(list(self.averaged.values()))
        values = unique([trainee.model for trainee in self.trainees.values()])
        torch._foreach_lerp_(means, values, 1 - decay)

    # ------------------------------------------------------------------------------------------------------------- validation

    @torch.no_grad()
    def validate(self) -> None:
        """Validate the averaged models and write all files."""
        out = self.options.out
        sheets = []
        photos = photo_tensor(torch.from_numpy(self.data["photos"][self.held_out]).to(self.device))
        styles = self.codes[torch.linspace(0, len(self.codes) - 1, 2).long().to(self.device)]
        for name, trainee in self.trainees.items():
            model = self.averaged[name]
            conditions = trainee.conditions(self.data, self.held_out)
            made: dict[str, list[Tensor]] = {"own": [], "styled": [], "random": []}
            condition = trainee.tensor(conditions, self.device)
            random = torch.randn(1, styles.shape[1], generator=torch.Generator().manual_seed(1)).to(self.device)
            for part in condition.split(32):
                part = part.contiguous(memory_format=torch.channels_last)
                latents, maps = model.encode(part), model.spatial_maps(part)
                made["own"].append(model.generator(latents, spatial=maps))
                for key, code in (("styled", styles[:1]), ("random", random)):
                    mixed = model.mix(latents, model.generator.mapping(code), model.config.style_layers)
                    made[key].append(model.generator(mixed, spatial=maps))
            faces = {key: torch.cat(value).clamp(-1, 1) for key, value in made.items()}
            metrics = {
                "task": trainee.task,
                "split": "val",
                "lpips": float(self.lpips(faces["own"], photos)),
                "l1": float((faces["own"] - photos).abs().mean()),
                "sharpness": float((sharpness(faces["own"]) / sharpness(photos)).median()),
                "sharpness_styled": float((sharpness(faces["random"]) / sharpness(photos)).median()),
                "colours": float((faces["styled"] - faces["random"]).abs().mean()),
            }
            self._note(metrics)
            print(
                " ".join(
                    f"{key} {value:.4f}" if isinstance(value, float) else str(value) for key, value in metrics.items()
                ),
                flush=True,
            )
            shown = [show_condition(each, trainee.kind, CELEBAMASK_HQ) for each in conditions[:SHEET].numpy()]
            rows = [shown, *(list(to_pictures(faces[key][:SHEET])) for key in made)]
            sheets += [np.concatenate([images.resize(cell, (128, 128)) for cell in row], axis=1) for row in rows]
        sheets.append(np.concatenate(list(self.data["photos"][self.held_out][:SHEET]), axis=1))
        images.write_png(out / "sheet.png", np.concatenate(sheets, axis=0))
        self._write()

    def _note(self, metrics: Mapping[str, Any]) -> None:
        self.rows.append({"step": self.step, "seconds": round(self.seconds, 1), **metrics})

    def _write(self) -> None:
        out = self.options.out
        names = list(dict.fromkeys(key for row in self.rows for key in row))
        with (out / "metrics.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)
        for name, trainee in self.trainees.items():
            state = self.averaged[name].state_dict()
            halved = {
                key: value.half() if value.ndim > 1 and value.dtype == torch.float32 else value
                for key, value in state.items()
            }
            native.save(
                out / f"{name}.safetensors",
                "model",
                halved,
                config=trainee.config.model,
                task=trainee.task,
                scheme=CELEBAMASK_HQ,
                info={"step": self.step, "seconds": self.seconds},
            )
        rest = {"codes": self.codes.detach(), "progress": torch.tensor([self.step, self.seconds], dtype=torch.float64)}
        for name, adversary in self.adversaries.items():
            rest |= {
                f"{name}.{key}": value.half() if value.ndim > 1 else value
                for key, value in adversary.network.state_dict().items()
            }
            rest[f"{name}.controller"] = torch.tensor(adversary.controller.p)
        save_file({key: value.detach().contiguous().cpu() for key, value in rest.items()}, out / "rest.safetensors")

    def _resume(self, folder: Path) -> None:
        for name, trainee in self.trainees.items():
            state = native.load(folder / f"{name}.safetensors").model_state()
            trainee.model.load_state_dict(
                {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
            )
        rest = load_file(folder / "rest.safetensors")
        self.codes.data.copy_(rest["codes"])
        self.step, self.seconds = int(rest["progress"][0]), float(rest["progress"][1])
        for name, adversary in self.adversaries.items():
            own = adversary.network.state_dict()
            adversary.network.load_state_dict({key: rest[f"{name}.{key}"].to(own[key].dtype) for key in own})
            adversary.controller = dataclasses.replace(adversary.controller, p=float(rest[f"{name}.controller"]))
        if (folder / "metrics.csv").is_file():
            with (folder / "metrics.csv").open(newline="") as file:
                self.rows = [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]

    # --------------------------------------------------------------------------------------------------------------- all

    def run(self) -> None:
        options = self.options
        count = options.workers if options.workers is not None else max((os.cpu_count() or 2) - 2, 0)
        workers = {"sketch": count * 3 // 8, "seg": count - count * 3 // 8}  # roughening label maps takes longer
        first = self.step * options.batch
        pairs = {
            name: trainee.pairs(self.data, self.train, first, workers[name]) for name, trainee in self.trainees.items()
        }
        began, stepping = options.began, time.monotonic()
        before, waited, next_validation, since = self.seconds, 0.0, options.look, self.step
        print(f"{len(self.train)} photos, {count} processes, ready after {stepping - began:.0f} s", flush=True)
        names = list(self.trainees)
        while (passed := time.monotonic() - began) < options.seconds and not (
            options.steps and self.step - since >= options.steps
        ):
            name = names[self.step % len(names)]
            at = time.monotonic()
            batch = next(pairs[name])
            waited += time.monotonic() - at
            warm = min((self.step - since + 1) / WARM_UP, 1.0)
            share = warm * (min((options.seconds - passed) / (FALLING * options.seconds), 1.0) if options.cool else 1.0)
            terms = self.train_step(name, batch, share)
            if self.step % options.tell in (0, 1):  # one of each task
                values = {key: float(value) for key, value in terms.items()}
                self.seconds = before + time.monotonic() - began
                done = self.step - since
                metrics = {
                    "task": self.trainees[name].task,
                    "split": "train",
                    **values,
                    "waited": waited,
                    "steps_per_second": done / (time.monotonic() - stepping),
                }
                self._note(
                    {key: round(value, 6) if isinstance(value, float) else value for key, value in metrics.items()}
                )
                print(
                    f"step {self.step} {name} {metrics['steps_per_second']:.2f} steps/s waited {waited:.1f} s",
                    *(f"{key} {value:.3f}" for key, value in values.items()),
                    flush=True,
                )
                if not np.isfinite(values["loss"]):
                    raise SystemExit(f"the loss is {values['loss']} at step {self.step}")
            if time.monotonic() - began > next_validation:
                self.seconds = before + time.monotonic() - began
                self.validate()
                next_validation += options.look
        self.seconds = before + time.monotonic() - began
        self.validate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=400.0, help="total time without the last validation")
    parser.add_argument("--steps", type=int, help="maximum number of steps")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--weights", type=Path, help="AlexNet with LPIPS's heads; by default the installed weights")
    parser.add_argument("--generator", type=Path, default=Path("portrait-generator"))
    parser.add_argument(
        "--trunks", type=Path, help="folder with portrait-sketch and portrait-seg, whose encoders' trunks to start from"
    )
    parser.add_argument("--resume", type=Path, help="the --out of a run to resume")
    parser.add_argument("--adversarial", type=float, default=0.05)
    parser.add_argument("--rough", type=float, default=1.0)
    parser.add_argument("--augment", type=float, default=1.0)
    parser.add_argument(
        "--draw", default="", help="additional sketch methods to draw before training, such as sobel:ink"
    )
    parser.add_argument("--no-cool", dest="cool", action="store_false", help="constant learning rates")
    parser.add_argument("--precision", default="bf16", choices=["float32", "bf16"])
    parser.add_argument("--workers", type=int, help="processes that prepare pairs")
    parser.add_argument("--look", type=float, default=90.0, help="seconds between validations")
    parser.add_argument("--tell", type=int, default=50, help="steps between two rows of metrics.csv")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    options.began = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    Run(options).run()


if __name__ == "__main__":
    main()
