"""Pairs that one process reads a second, beside what a training step takes: ``python benchmarks/loader.py [TASK ...]``.

The dataset folder is made once, in the temporary folder: embedded portraits of 1024 px, their label maps of 512 px and
sketches of 256 px, and the column of 256 px photos that ``prep photos --size 256`` adds. Nothing is kept in memory: one
process reads, decodes and makes small every pair each time, as it is, moved and recoloured, or roughened too, in batches of
8. The step is that of the preset ``published`` at 256 px with a generator that stays as it is and without the perceptual
loss, which would make it longer: encode, generate, L2 and W-norm, back, Ranger; batches of 2 and of 8, two threads.
Medians of three runs (the large step once), and the ratio to the faster of the steps, which is at least 2 for all that is
read from the 256 px photos; asserted.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "2"

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from facesynth.manifest import Dataset, read_dataset
from facesynth.model.config.presets import preset
from facesynth.model.config.train import Task
from facesynth.model.data import pairs
from facesynth.model.data.augment import Augmentation
from facesynth.model.data.freehand import Roughness
from facesynth.model.data.order import TrainingOrder, batches
from facesynth.model.data.pairs import PairedFaces
from facesynth.model.data.tensors import condition_tensor, photo_tensor
from facesynth.model.losses import pixel
from facesynth.model.networks.psp import PSP
from facesynth.model.training.optimizers import Ranger
from facesynth.prep.portraits.sample import make_sample
from facesynth.prep.sketches.presets import resolve
from facesynth.prep.stages import prepare_masks, prepare_photos, prepare_sketches

COUNT = 48
RUNS = 3
BATCH = 8
COLUMNS: dict[Task, str] = {"seg2face": "labels", "sketch2face": "sketch_xdog"}
CHANGES = {
    "as they are": {},
    "augmented": {"augmentation": Augmentation()},
    "augmented and roughened": {"augmentation": Augmentation(), "roughness": Roughness()},
}


def make_dataset() -> Dataset:
    folder = Path(tempfile.gettempdir(), "facesynth-benchmark-loader")
    out = folder / "data"
    make_sample(folder / "raw", count=COUNT, size=1024)
    prepare_masks(folder / "raw", out)
    prepare_sketches(out, out, drawings=[resolve("xdog")], size=256)
    prepare_photos(out, out, size=256)
    return read_dataset(out)


def median(work: Callable[[], float]) -> float:
    return statistics.median(work() for _ in range(RUNS))


def loader_speed(dataset: Dataset, task: Task, **changes: object) -> float:
    """Pairs a second, from the first batch on: starting the process is not counted."""
    pairs = PairedFaces(dataset, COLUMNS[task], "train", preset("published", task, n_classes=19).model, **changes)
    order = TrainingOrder(len(pairs), BATCH, 0, 0, 2 * len(pairs) // BATCH)
    reading = iter(batches(pairs, order, workers=1))
    next(reading)
    started = time.perf_counter()
    count = sum(len(indices) for indices, _, _ in reading)
    return count / (time.perf_counter() - started)


def step_speeds(dataset: Dataset, task: Task) -> dict[int, float]:
    """Pairs a second that training steps take in, by the size of the batch."""
    config = preset("published", task, n_classes=19)
    torch.manual_seed(0)
    model = PSP(config.model).train()
    model.generator.requires_grad_(requires_grad=False)
    optimizer = Ranger(list(model.encoder.parameters()), lr=config.learning_rate)
    pairs = PairedFaces(dataset, COLUMNS[task], "train", config.model)
    _, conditions, photos = next(iter(batches(pairs, TrainingOrder(len(pairs), BATCH, 0, 0, 1))))

    def step(batch: int) -> float:
        condition = condition_tensor(conditions[:batch], config.model.condition, config.model.input_channels)
        photo = photo_tensor(photos[:batch])
        started = time.perf_counter()
        latents = model.encode(condition)
        faces = model.generator(latents, noise="random", rng=torch.Generator().manual_seed(0))
        loss = pixel.l2(faces, photo) + config.w_norm * pixel.w_norm(latents, model.latent_avg)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return batch / (time.perf_counter() - started)

    step(2)
    return {2: median(lambda: step(2)), BATCH: step(BATCH)}


def main(tasks: list[Task]) -> None:
    torch.set_num_threads(2)
    pairs.CACHE_BYTES = 0  # so that every pair is read and decoded again
    dataset = make_dataset()
    large = Dataset(
        dataset.root, dataset.rows.drop(columns=["photo_256", "photo_256_sha256"]), dataset.scheme, dataset.stages
    )
    for task in tasks:
        steps = step_speeds(dataset, task)
        fastest = max(steps.values())
        print(f"{task}: a training step, batch 2: {steps[2]:.2f} pairs/s, batch 8: {steps[8]:.2f} pairs/s", flush=True)
        for name, changes in CHANGES.items():
            for photos, source in (("256 px photos", dataset), ("1024 px photos", large)):
                speed = median(lambda: loader_speed(source, task, **changes))  # noqa: B023 - called at once
                print(f"  {name:24s} {photos:15s} {speed:6.1f} pairs/s, {speed / fastest:5.1f} x the step", flush=True)
                assert photos == "1024 px photos" or speed >= 2 * fastest


if __name__ == "__main__":
    main(sys.argv[1:] or list(COLUMNS))
