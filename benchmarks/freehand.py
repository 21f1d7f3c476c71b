"""Training on rough conditions against training on exact ones, where conditions are rough.

``python benchmarks/freehand.py [TASK ...]``.

500 embedded portraits at 64 px. One generator is trained along with a model, and kept as it is by the others: for each task
one that sees the dataset's conditions and one that sees them as the preset ``freehand`` does, all else the same. Both then
translate the validation split, once as it is and eight times roughened by other random numbers at 1.3 times the strengths.
What is printed are the L2 to the photos, and how much of the plain model's loss by roughness is left with freehand: at most
half, which is asserted. ``--out`` keeps the runs, and goes on with those that are there.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from facesynth.manifest import read_dataset
from facesynth.model.checkpoints import native, state_dict
from facesynth.model.config.presets import preset
from facesynth.model.config.train import Task, TrainConfig
from facesynth.model.data.freehand import Roughness
from facesynth.model.data.order import Pick
from facesynth.model.data.pairs import PairedFaces
from facesynth.model.data.tensors import condition_tensor, photo_tensor
from facesynth.model.losses import pixel
from facesynth.model.networks.psp import PSP
from facesynth.model.training.psp.train import train
from facesynth.prep.portraits.sample import make_sample
from facesynth.prep.sketches.presets import resolve
from facesynth.prep.stages import prepare_masks, prepare_sketches

PORTRAITS = 500
METHODS = ("xdog", "xdog:ink", "dodge:pencil", "contours")
SKETCH = "xdog"
"""What the plain model is trained on, and what both are measured on."""
UNSEEN = Roughness().scaled(1.3)
UNSEEN_SEED = 12345
DRAWS = 8
TASKS: dict[Task, str] = {"seg2face": "labels", "sketch2face": f"sketch_{SKETCH}"}


def make_dataset(out: Path) -> Path:
    data = out / "data"
    make_sample(out / "raw", count=PORTRAITS)
    prepare_masks(out / "raw", data)
    prepare_sketches(data, data, drawings=[resolve(method) for method in METHODS], size=256)
    return data


def run(data: Path, out: Path, config: TrainConfig, *, sketch: str | None, generator: Path | None) -> Path:
    started = time.monotonic()
    train(data, out, config, sketch=sketch, generator=generator, device="cpu", workers=0)
    print(f"  {out.name}: {config.steps} steps in {time.monotonic() - started:.0f} s", flush=True)
    return out


@torch.no_grad()
def l2(model: PSP, pairs: PairedFaces, keys: list[int] | list[Pick]) -> float:
    config = model.config
    values = []
    for key in keys:
        _, condition, photo = pairs[key]
        given = condition_tensor(torch.from_numpy(condition)[None], config.condition, config.input_channels)
        values.append(pixel.l2(model(given), photo_tensor(torch.from_numpy(photo)[None])).item())
    return float(np.mean(values))


def measure(data: Path, out: Path, column: str) -> tuple[float, float]:
    """The validation L2 on conditions as they are, and on rough ones."""
    given = native.load(native.find(out))
    model = PSP(given.config).eval()
    state_dict.load_into(model, given.model_state(), given.path)
    pairs = PairedFaces(read_dataset(data), column, "val", given.config, roughness=UNSEEN, seed=UNSEEN_SEED)
    indices = list(range(len(pairs)))
    picks = [Pick(index, draw) for draw in range(DRAWS) for index in indices]
    return l2(model, pairs, indices), l2(model, pairs, picks)


def main(out: Path, steps: int, tasks: list[Task]) -> None:
    data = make_dataset(out)
    common = {"n_classes": 19, "lpips": 0.0, "steps": steps}
    first = preset("small", "seg2face", train_generator=True, **common)
    generator = run(data, out / "generator", first, sketch=None, generator=None)
    left = {}
    for task in tasks:
        lost = {}
        for name, changes in {"plain": {}, "freehand": {"augment": 1.0, "rough": 1.0}}.items():
            config = preset("small", task, **common, **changes)
            sketch = SKETCH if task == "sketch2face" and name == "plain" else None
            root = run(data, out / f"{task}-{name}", config, sketch=sketch, generator=generator)
            exact, rough = measure(data, root, TASKS[task])
            lost[name] = rough - exact
            print(f"{task}, {name:8s}: L2 {exact:.4f} on exact conditions, {rough:.4f} on rough ones", flush=True)
        left[task] = lost["freehand"] / lost["plain"]
        print(f"{task}: freehand loses {left[task]:.2f} of what plain loses", flush=True)
    assert max(left.values()) <= 0.5


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"Some of {', '.join(TASKS)}; all by default.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        main(options.out or Path(scratch), options.steps, options.tasks or list(TASKS))
