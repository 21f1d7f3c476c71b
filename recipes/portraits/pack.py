"""The shipped checkpoints, from what the other recipes made: ``python recipes/portraits/pack.py MODELS``.

Weights are kept in half precision, which changes a face by one grey level at most; each file has its model card with it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.checkpoints import native

HERE = Path(__file__).parent
WEIGHTS = HERE.parents[1] / "facesynth/model/weights"
MOST_BYTES = 40_000_000


def halved(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Kernels and matrices in half precision; biases and statistics, which are few, as they are."""
    return {
        name: value.half() if value.ndim > 1 and value.dtype == torch.float32 else value
        for name, value in tensors.items()
    }


def noted(name: str, info: dict[str, object]) -> dict[str, object]:
    """What is recorded of a checkpoint, with its card."""
    kept = {key: info[key] for key in ("step", "steps", "val", "iou", "made_by") if key in info}
    return {**kept, "card": (HERE / "cards" / f"{name}.md").read_text("utf-8")}


def main(models: Path) -> None:
    WEIGHTS.mkdir(exist_ok=True)
    given = native.load_any(models / "fit/generator.safetensors")
    native.save_generator(
        WEIGHTS / "portrait-generator.safetensors",
        halved(given.tensors),
        given.latent_avg,
        config=given.config,
        info=noted("portrait-generator", given.info),
    )
    for task in ("seg", "sketch"):
        model = native.load(native.find(models / f"{task}2face"))
        native.save(
            WEIGHTS / f"portrait-{task}.safetensors",
            "model",
            halved(model.model_state()),
            config=model.config,
            task=model.task,
            scheme=model.scheme,
            info=noted(f"portrait-{task}", model.info),
        )
    parser = native.load_parser(models / "parser/parser.safetensors")
    native.save_parser(
        WEIGHTS / "portrait-parser.safetensors",
        halved(parser.tensors),
        config=parser.config,
        scheme=CELEBAMASK_HQ,
        info=noted("portrait-parser", parser.info),
    )
    total = sum(file.stat().st_size for file in WEIGHTS.glob("*.safetensors"))
    for file in sorted(WEIGHTS.glob("*.safetensors")):
        print(f"{file.name:34s} {file.stat().st_size / 1e6:5.1f} MB")
    if total > MOST_BYTES:
        raise SystemExit(f"{total / 1e6:.1f} MB together; at most {MOST_BYTES / 1e6:.0f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
