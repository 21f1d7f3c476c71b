"""A generator fitted to drawn portraits: ``python recipes/portraits/fit_generator.py DATA OUT [--parser FILE]``.

DATA is what ``drawn.py`` made. What was drawn by lot about every portrait is known, so instead of an adversarial game, the
generator is told the portrait's z and learns to draw the portrait: the mapping network takes z to w, the synthesis network w
to the picture. Two things are asked beyond that:

* Shapes and styles come apart. The layers below ``style_resolution`` get a w whose z has the portrait's SHAPE columns and
  somebody else's STYLE ones, the layers above one with it the other way round.
* The layers below are of use to an encoder. For part of a batch they come from a pSp encoder that sees the label map and is
  trained along. It is then thrown away: the encoders that are shipped are trained by ``facesynth train``.

It starts at 64 px and goes on at 128 px, first by the pictures' difference alone, which is of areas and edges. The last phase
sharpens what that leaves soft: the difference of the lines weighs contours whatever their contrast, and that of the parts,
which a parser sees, small ones as much as large ones.

OUT gets ``state.pt`` every hundred steps, from which the same command goes on, ``log.csv``, sheets, and in the end
``generator.safetensors``, the moving average of the weights.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from drawn import SHAPE, STYLE
from torch import Tensor
from torch.nn import functional as F

from facesynth import images
from facesynth.errors import FacesynthError
from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.checkpoints import native
from facesynth.model.config.model import ModelConfig
from facesynth.model.data.tensors import condition_tensor, photo_tensor, to_pictures
from facesynth.model.devices import keep_memory
from facesynth.model.losses.parsing import dice_loss, load_parsing
from facesynth.model.losses.pixel import lines
from facesynth.model.networks.layers import upsample
from facesynth.model.networks.psp import PSP
from facesynth.model.training.optimizers import Muon

CONFIG = ModelConfig(
    condition="labels",
    input_channels=19,
    input_size=128,
    output_size=128,
    style_dim=SHAPE + STYLE,
    mapping_depth=4,
    channel_base=4096,
    channel_max=192,
    encoder_units=(1, 2, 2, 1),
    encoder_channels=(16, 48, 96, 128),
    style_resolution=32,
)


class Phase(NamedTuple):
    """Steps that are alike."""

    until: int
    size: int
    batch: int
    by_encoder: float
    """Share of a batch whose lower layers an encoder sets."""
    parsing: float
    lines: float
    """Weights of the parts' and of the lines' difference."""
    falls_until: int
    """The step at which the learning rates have fallen."""


PHASES = (
    Phase(1500, 64, 32, 0.5, 0.0, 0.0, falls_until=3500),
    Phase(3500, 128, 16, 0.5, 0.0, 0.0, falls_until=3500),
    Phase(5800, 128, 16, 0.75, 0.3, 0.5, falls_until=5800),
)
RATES = (1e-3, 5e-3, 0.2)
"""Learning rates of the encoder, the synthesis and the mapping network, whose weights are a hundred times as large."""
DECAY = 0.998
SMALL_PARTS = ("l_brow", "r_brow", "l_eye", "r_eye", "eye_g", "ear_r", "mouth", "u_lip", "l_lip", "neck_l")
SMALL_WEIGHT = 3.0
"""What a pixel of a small part counts for."""


def drawn_at(model: PSP, latents: Tensor, size: int) -> Tensor:
    """What the generator has drawn when it comes to ``size`` px."""
    generator, styles = model.generator, latents.unbind(1)
    features = generator.first(generator.constant.expand(len(latents), -1, -1, -1), styles[0], None)
    picture = generator.first_to_rgb(features, styles[1])
    for k, block in enumerate(generator.blocks, start=1):
        if picture.shape[-1] == size:
            break
        features = block.refine(block.enlarge(features, styles[2 * k - 1], None), styles[2 * k], None)
        picture = upsample(picture).float() + block.to_rgb(features, styles[2 * k + 1]).float()
    return picture


def difference(made: Tensor, photos: Tensor, labels: Tensor) -> Tensor:
    """L1 over a Laplacian pyramid and a little L2, small parts counting more."""
    small = torch.zeros(256)
    small[[CELEBAMASK_HQ.classes.index(name) for name in SMALL_PARTS]] = 1.0
    is_small = F.adaptive_max_pool2d(small[labels.long()][:, None], made.shape[-1])
    rest = (made - photos) * (1 + (SMALL_WEIGHT - 1) * is_small)
    total = 0.5 * rest.square().mean()
    while rest.shape[-1] > 4:
        coarse = F.avg_pool2d(rest, 2)
        total = total + (rest - F.interpolate(coarse, scale_factor=2.0)).abs().mean()
        rest = coarse
    return total + rest.abs().mean()


class Fit:
    """All state; ``step`` is one step."""

    def __init__(self, data: Path, out: Path, parser: str) -> None:
        self.out = out
        self.photos, self.labels = (np.load(data / f"{name}.npy", mmap_mode="r") for name in ("photos", "labels"))
        self.parsing = load_parsing(parser).to(memory_format=torch.channels_last)
        self.codes = torch.from_numpy(np.load(data / "codes.npy"))
        self.seen = len(self.photos) - 32
        """The last 32 are for the sheets alone."""
        torch.manual_seed(0)
        self.model = PSP(CONFIG).to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.model).requires_grad_(requires_grad=False)
        mapping = list(self.model.generator.mapping.parameters())
        synthesis = [
            value for name, value in self.model.generator.named_parameters() if not name.startswith("mapping.")
        ]
        self.optimizer = Muon(
            [
                {"params": list(self.model.encoder.parameters()), "orthogonal": False},
                {"params": synthesis},
                {"params": mapping, "orthogonal": False},
            ]
        )
        self.done = 0
        self.state = out / "state.pt"
        if self.state.exists():
            state = torch.load(self.state)
            self.done = state["done"]
            self.model.load_state_dict(state["model"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimizer.load_state_dict(state["optimizer"])

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        photos, labels = (torch.from_numpy(each[indices]) for each in (self.photos, self.labels))
        return photo_tensor(photos), labels, self.codes[torch.from_numpy(indices)]

    def latents(self, labels: Tensor, z: Tensor, by_z: int, rng: np.random.Generator) -> Tensor:
        """W+ latents; those of the first ``by_z`` of the batch by z alone."""
        model, crossing = self.model, CONFIG.style_layers[0]
        is_whole = rng.random() < 1 / 3
        others = [z if is_whole else z.roll(int(rng.integers(1, len(z))), 0) for _ in range(2)]
        shape = model.generator.mapping(torch.cat([z[:by_z, :SHAPE], others[0][:by_z, SHAPE:]], 1))
        style = model.generator.mapping(torch.cat([others[1][:, :SHAPE], z[:, SHAPE:]], 1))
        condition = condition_tensor(labels[by_z:], "labels", 19).contiguous(memory_format=torch.channels_last)
        below = torch.cat([shape[:, None].expand(-1, crossing, -1), model.encode(condition)[:, :crossing]])
        return torch.cat([below, style[:, None].expand(-1, CONFIG.n_styles - crossing, -1)], 1)

    def step(self) -> float:
        rng = np.random.default_rng([0, self.done])
        phase = next(each for each in PHASES if self.done < each.until)
        indices = np.sort(rng.choice(self.seen, phase.batch, replace=False))
        rng.shuffle(indices)
        photos, labels, z = self.batch(indices)
        by_z = len(z) - int(phase.by_encoder * len(z))
        left = (phase.falls_until - self.done) / phase.falls_until
        for group, rate in zip(self.optimizer.param_groups, RATES, strict=True):
            group["lr"] = rate * min(1.0, max(left / 0.3, 0.05), (self.done + 1) / 100)
        with torch.autocast("cpu", torch.bfloat16):
            latents = self.latents(labels, z, by_z, rng)
            made = drawn_at(self.model, latents, phase.size)
            parsed = self.parsed(made[by_z:], labels[by_z:]) if phase.parsing else 0.0
        made, photos = made.float(), F.adaptive_avg_pool2d(photos, phase.size)
        loss = difference(made, photos, labels) + phase.parsing * parsed
        if phase.lines:
            loss = loss + phase.lines * lines(made, photos)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        decay = min(DECAY, (1 + self.done) / (10 + self.done))
        with torch.no_grad():
            pairs = zip(self.averaged.state_dict().values(), self.model.state_dict().values(), strict=True)
            for mean, value in pairs:
                mean.lerp_(value, 1 - decay) if mean.is_floating_point() else mean.copy_(value)
        self.done += 1
        return loss.item()

    def parsed(self, made: Tensor, labels: Tensor) -> Tensor:
        wanted = F.one_hot(labels.long(), 19).movedim(3, 1).float()
        return dice_loss(self.parsing.probabilities(made), wanted)

    @torch.no_grad()
    def sheet(self) -> None:
        """Rows: unseen portraits; drawn by their z; by the encoder and their style; that in another's style; by random z."""
        model, crossing = self.averaged.eval(), CONFIG.style_layers[0]
        photos, labels, z = self.batch(np.arange(self.seen, self.seen + 16))
        whole = model.generator.mapping(z)[:, None].expand(-1, CONFIG.n_styles, -1)
        encoded = model.encode(condition_tensor(labels, "labels", 19))
        drawn = torch.randn(16, CONFIG.style_dim, generator=torch.Generator().manual_seed(0))
        rows = [
            whole,
            torch.cat([encoded[:, :crossing], whole[:, crossing:]], 1),
            torch.cat([encoded[:, :crossing], whole.roll(1, 0)[:, crossing:]], 1),
        ]
        rows.append(model.generator.mapping(drawn)[:, None].expand_as(whole))
        size = 128 if self.done > PHASES[0].until else 64
        pictures = [photos, *(F.interpolate(drawn_at(model, each, size), (128, 128)) for each in rows)]
        made = [np.concatenate(list(to_pictures(row.clamp(-1, 1))), 1) for row in pictures]
        images.write_png(self.out / f"{self.done:06d}.png", np.concatenate(made))

    def save(self) -> None:
        beside = self.state.with_suffix(".new")
        state = {"done": self.done, "model": self.model.state_dict(), "averaged": self.averaged.state_dict()}
        torch.save(state | {"optimizer": self.optimizer.state_dict()}, beside)
        beside.replace(self.state)


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("data", type=Path)
    asked.add_argument("out", type=Path)
    asked.add_argument("--parser", default="portrait-parser", help="A checkpoint.")
    asked.add_argument("--steps", type=int, default=PHASES[-1].until, help="To stop earlier.")
    given = asked.parse_args()
    keep_memory()
    try:
        fit = Fit(given.data, given.out, given.parser)
    except (FacesynthError, FileNotFoundError) as error:
        asked.error(str(error))
    given.out.mkdir(parents=True, exist_ok=True)
    began, recent = time.monotonic(), []
    while fit.done < min(given.steps, PHASES[-1].until):
        recent.append(fit.step())
        if fit.done % 50 == 0:
            with (given.out / "log.csv").open("a") as log:
                log.write(f"{fit.done},{np.mean(recent):.4f},{time.monotonic() - began:.0f}\n")
            recent = []
        if fit.done % 100 == 0 or fit.done == given.steps:
            fit.save()
        if fit.done % 500 == 0 or fit.done == given.steps:
            fit.sheet()
    generator = fit.averaged.generator
    average = generator.mean_latent(100_000, 0).expand(CONFIG.n_styles, -1)
    info = {"made_by": "recipes/portraits/fit_generator.py", "steps": fit.done}
    path = given.out / "generator.safetensors"
    native.save_generator(path, generator.state_dict(), average, config=CONFIG.generator, info=info)


if __name__ == "__main__":
    main()
