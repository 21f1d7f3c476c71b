"""A face parser for drawn portraits: ``python recipes/portraits/fit_parser.py DATA OUT [--steps N] [--seed N]``.

DATA is what ``drawn.py`` made. Photos are mirrored, with left and right classes swapped, recoloured, blurred and given noise,
so that the parser holds for what generators make, too; it has seen none of that. OUT gets ``parser.safetensors`` and a line of
``parser.csv`` every fifty steps.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.checkpoints import native
from facesynth.model.config.model import ParserConfig
from facesynth.model.data.tensors import photo_tensor
from facesynth.model.devices import keep_memory
from facesynth.model.networks.parser import ParserNetwork

STEPS, BATCH, RATE = 1000, 24, 2e-3
UNSEEN = 256
"""Portraits at the end of DATA that are for measuring."""


def changed(photos: Tensor, labels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Photos in [-1, 1] and label maps as training sees them."""

    def lots(*shape: int) -> Tensor:
        return torch.rand(len(photos), *shape, generator=rng)

    mirror = torch.tensor(CELEBAMASK_HQ.mirror)
    is_mirrored = lots(1, 1) < 0.5
    labels = torch.where(is_mirrored, mirror[labels.long()].flip(2), labels.long())
    photos = torch.where(is_mirrored[..., None], photos.flip(3), photos)
    photos = photos * (0.7 + 0.6 * lots(3, 1, 1)) + 0.3 * (lots(1, 1, 1) - 0.5)
    blurred = F.interpolate(F.avg_pool2d(photos, 2), scale_factor=2.0, mode="bilinear")
    photos = torch.lerp(photos, blurred, lots(1, 1, 1))
    return photos + 0.1 * lots(1, 1, 1) * torch.randn(photos.shape, generator=rng), labels


@torch.no_grad()
def measured(network: ParserNetwork, photos: np.ndarray, labels: np.ndarray) -> float:
    """Mean over photos of the mean IoU over the classes of each."""
    network.eval()
    each = []
    for photo, truth in zip(photos, labels, strict=True):
        found = network(photo_tensor(torch.from_numpy(photo.copy())[None]))[0].argmax(0).numpy()
        ids = np.unique(truth)
        each.append(np.mean([((truth == k) & (found == k)).sum() / ((truth == k) | (found == k)).sum() for k in ids]))
    network.train()
    return float(np.mean(each))


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("data", type=Path)
    asked.add_argument("out", type=Path)
    asked.add_argument("--steps", type=int, default=STEPS)
    asked.add_argument("--seed", type=int, default=0)
    given = asked.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    keep_memory()
    photos, labels = (np.load(given.data / f"{name}.npy", mmap_mode="r") for name in ("photos", "labels"))
    seen = len(photos) - UNSEEN
    rng = torch.Generator().manual_seed(given.seed)
    torch.manual_seed(given.seed)
    config = ParserConfig(input_size=photos.shape[1])
    network = ParserNetwork(config, len(CELEBAMASK_HQ)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=given.steps, pct_start=0.1)
    counts = torch.bincount(torch.from_numpy(labels[:1000].copy()).reshape(-1).long(), minlength=len(CELEBAMASK_HQ))
    weights = (counts.max() / counts.clamp(min=1)).sqrt().clamp(max=20)  # small parts count more than their area
    began = time.monotonic()
    for step in range(1, given.steps + 1):
        chosen = np.sort(torch.randint(seen, (BATCH,), generator=rng).numpy())
        batch, truth = changed(photo_tensor(torch.from_numpy(photos[chosen])), torch.from_numpy(labels[chosen]), rng)
        with torch.autocast("cpu", torch.bfloat16):
            scores = network(batch.contiguous(memory_format=torch.channels_last)).float()
        loss = F.cross_entropy(scores, truth, weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == given.steps:
            last = step == given.steps
            share = slice(seen, None) if last else slice(seen, seen + 16)
            line = f"{step},{loss.item():.4f},{measured(network, photos[share], labels[share]):.4f}"
            with (given.out / "parser.csv").open("a") as log:
                log.write(f"{line},{time.monotonic() - began:.0f}\n")
    tensors = {name: value.half() if value.ndim > 1 else value for name, value in network.state_dict().items()}
    info = {"made_by": "recipes/portraits/fit_parser.py", "step": given.steps, "iou": float(line.split(",")[2])}
    native.save_parser(given.out / "parser.safetensors", tensors, config=config, scheme=CELEBAMASK_HQ, info=info)


if __name__ == "__main__":
    main()
