"""A face parser for photos: ``python recipes/photographs/fit_parser.py OUT DATA... [--steps N] [--seed N]``.

Each DATA is a dataset folder with label maps of celebamask-hq: that of ``dataset.sh``, and one of drawn portraits (``facesynth
prep sample`` and ``prep masks``), so that the parser also works on those. Training pictures are changed strongly: other
grounds, other colours of hair, skin and clothes, other light, sizes and angles, blur, noise and JPEG. OUT gets
``parser.safetensors``, and a row of ``parser.csv`` every 200 steps: the loss, and the mean IoU on photos of the validation
split that are not changed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from facesynth import images
from facesynth.labels import CELEBAMASK_HQ
from facesynth.manifest import read_dataset
from facesynth.model.checkpoints import native
from facesynth.model.config.model import ParserConfig
from facesynth.model.data.tensors import photo_tensor
from facesynth.model.devices import keep_memory
from facesynth.model.networks.parser import ParserNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Pairs = list[tuple[Picture, Picture]]

BATCH, RATE, SIZE = 16, 2e-3, 128
CHANNELS = (16, 32, 64, 96, 128)
LOADED_SIZE = 256
"""Pairs are kept at this size, pixels, so that enlarged parts stay sharp."""
VALIDATED = 64
ID = {name: number for number, name in enumerate(CELEBAMASK_HQ.classes)}
FLESH = [ID[name] for name in ("skin", "nose", "l_ear", "r_ear", "neck", "u_lip", "l_lip")]


def load(root: Path, splits: tuple[str, ...]) -> Pairs:
    """Photos (S, S, 3) and label maps (S, S) of a dataset folder, S being ``LOADED_SIZE``."""
    dataset = read_dataset(root)
    rows = dataset.with_columns("labels", "photo")
    size = (LOADED_SIZE, LOADED_SIZE)
    pairs = []
    for row in rows[rows["split"].isin(splits)].to_dict("records"):
        photo = images.resize(images.read_photo(root / row["photo"]), size)
        labels = images.resize(images.read_labels(root / row["labels"], CELEBAMASK_HQ), size, labels=True)
        pairs.append((photo, labels))
    return pairs


def texture(pairs: Pairs, rng: np.random.Generator) -> Picture:
    """A ground: a flat colour, a gradient, noise, or an enlarged detail of another photo, (S, S, 3)."""
    size = LOADED_SIZE
    kind = rng.integers(4)
    if kind == 0:
        return np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), (size, size, 3)).copy()
    if kind == 1:
        corners = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
        return cv2.resize(corners, (size, size), interpolation=cv2.INTER_LINEAR)
    if kind == 2:
        cells = int(rng.integers(3, 40))
        return cv2.resize(
            rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8), (size, size), interpolation=cv2.INTER_CUBIC
        )
    photo = pairs[rng.integers(len(pairs))][0]
    side = int(rng.integers(24, 90))
    top, left = rng.integers(0, size - side, 2)
    detail = cv2.resize(photo[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_LINEAR)
    return np.rot90(detail, int(rng.integers(4))).copy()


def recolour(photo: Picture, area: NDArray[np.bool_], rng: np.random.Generator, *, strength: float) -> Picture:
    """The photo with an area's brightness and colours changed."""
    soft = cv2.GaussianBlur(area.astype(np.float32), (0, 0), 1.5)[..., None]
    values = photo.astype(np.float32)
    gain = np.exp(rng.normal(0, strength) + rng.normal(0, strength / 3, 3))
    shift = rng.normal(0, 60 * strength)
    return np.clip(values + soft * (values * gain + shift - values), 0, 255).astype(np.uint8)


def changed(pairs: Pairs, rng: np.random.Generator) -> tuple[Picture, Picture]:
    """A random pair as training sees it, (``SIZE``, ``SIZE``, 3) and (``SIZE``, ``SIZE``)."""
    photo, labels = pairs[rng.integers(len(pairs))]
    if rng.random() < 0.5:
        photo, labels = photo[:, ::-1], np.asarray(CELEBAMASK_HQ.mirror, np.uint8)[labels[:, ::-1]]
    if rng.random() < 0.6:
        soft = cv2.GaussianBlur((labels == 0).astype(np.float32), (0, 0), rng.uniform(0.5, 2.0))[..., None]
        photo = (photo * (1 - soft) + texture(pairs, rng) * soft).astype(np.uint8)
    for area, share, strength in (
        (labels == ID["hair"], 0.5, 0.6),
        (np.isin(labels, FLESH), 0.3, 0.25),
        (labels == ID["cloth"], 0.6, 0.7),
    ):
        if rng.random() < share:
            photo = recolour(photo, area, rng, strength=strength)
    if rng.random() < 0.2:  # clothes of another cloth
        soft = cv2.GaussianBlur((labels == ID["cloth"]).astype(np.float32), (0, 0), 1.0)[..., None]
        photo = (photo * (1 - soft) + texture(pairs, rng) * soft).astype(np.uint8)

    scale = SIZE / LOADED_SIZE * np.exp(rng.normal(0, 0.2))
    matrix = cv2.getRotationMatrix2D((LOADED_SIZE / 2, LOADED_SIZE / 2), rng.normal(0, 10), scale)
    matrix[:, 2] += (SIZE - LOADED_SIZE) / 2 + rng.normal(0, 0.06 * SIZE, 2)
    size = (SIZE, SIZE)
    photo = cv2.GaussianBlur(photo, (0, 0), 0.6)  # against aliasing
    photo = cv2.warpAffine(photo, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    labels = cv2.warpAffine(labels, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101)

    values = photo.astype(np.float32) / 255
    if rng.random() < 0.5:  # light from a side
        across = np.linspace(-1, 1, SIZE, dtype=np.float32)
        angle = rng.uniform(0, 2 * np.pi)
        slope = np.cos(angle) * across[None] + np.sin(angle) * across[:, None]
        values = values * np.exp(rng.uniform(0, 0.6) * slope)[..., None]
    values = np.clip(values, 0, 1) ** np.exp(rng.normal(0, 0.25))
    values = values * np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.08, 3)) + rng.normal(0, 0.05)
    if rng.random() < 0.1:
        values = np.broadcast_to(values.mean(-1, keepdims=True), values.shape)
    values = values.astype(np.float32)
    if rng.random() < 0.3:
        values = cv2.GaussianBlur(values, (0, 0), rng.uniform(0.3, 1.6))
    if rng.random() < 0.3:
        values = values + rng.normal(0, rng.uniform(0, 0.06), values.shape)
    photo = (np.clip(values, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.2:
        _, coded = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
        photo = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return photo, labels


@torch.no_grad()
def validate(network: ParserNetwork, pairs: Pairs) -> float:
    """The mean over photos of the mean IoU over the classes of each."""
    network.eval()
    found = []
    for photo, labels in pairs:
        scores = network(photo_tensor(torch.from_numpy(np.ascontiguousarray(photo))[None]))
        truth = images.resize(labels, (SIZE, SIZE), labels=True)
        parsed = scores[0].argmax(0).numpy()
        found.append(
            np.mean(
                [((truth == k) & (parsed == k)).sum() / ((truth == k) | (parsed == k)).sum() for k in np.unique(truth)]
            )
        )
    network.train()
    return float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    keep_memory()
    sources = [load(root, ("train",)) for root in options.data]
    held_out = load(options.data[0], ("val", "test"))[:VALIDATED]
    print(f"{[len(pairs) for pairs in sources]} pairs to train on, {len(held_out)} to validate on", flush=True)
    shares = np.array([len(pairs) for pairs in sources]) ** 0.5
    shares /= shares.sum()
    rng = np.random.default_rng(options.seed)
    torch.manual_seed(options.seed)
    config = ParserConfig(input_size=SIZE, channels=CHANNELS)
    network = ParserNetwork(config, len(CELEBAMASK_HQ)).to(memory_format=torch.channels_last)
    averaged = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True
    )
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=options.steps, pct_start=0.05)
    counts = sum(np.bincount(labels.ravel(), minlength=len(CELEBAMASK_HQ)) for _, labels in sources[0])
    weights = torch.from_numpy((counts.max() / counts.clip(1)) ** 0.33).float().clamp(max=10)
    began = time.monotonic()
    for step in range(1, options.steps + 1):
        batch = [changed(sources[rng.choice(len(sources), p=shares)], rng) for _ in range(BATCH)]
        photos = photo_tensor(torch.from_numpy(np.stack([photo for photo, _ in batch])))
        truth = torch.from_numpy(np.stack([labels for _, labels in batch])).long()
        with torch.autocast("cpu", torch.bfloat16):
            scores = network(photos.contiguous(memory_format=torch.channels_last)).float()
        loss = F.cross_entropy(scores, truth, weights, label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        averaged.update_parameters(network)
        if step % 200 == 0 or step == options.steps:
            iou = validate(averaged.module, held_out)
            line = f"{step},{loss.item():.4f},{iou:.4f},{time.monotonic() - began:.0f}"
            print(line, flush=True)
            with (options.out / "parser.csv").open("a") as log:
                log.write(f"{line}\n")
            state = averaged.module.state_dict()
            tensors = {name: value.half() if value.ndim > 1 else value for name, value in state.items()}
            info = {"made_by": "recipes/photographs/fit_parser.py", "step": step, "iou": iou}
            path = options.out / "parser.safetensors"
            native.save_parser(path, tensors, config=config, scheme=CELEBAMASK_HQ, info=info)


if __name__ == "__main__":
    main()
