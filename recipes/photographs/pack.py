"""The bundled photographic checkpoints: ``python recipes/photographs/pack.py RUN PARSER.safetensors [REGION,...]``.

RUN is the --out of ``train.py``, whose models are in half precision already; PARSER is the result of ``fit_parser.py``. Every
file gets its model card from ``cards/``. REGIONs are those whose colours the models' styles follow (``colours.py`` measures
them): the numbers of these regions become the last ones of z, and those of the others random ones like the rest. All by
default.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.checkpoints import native
from facesynth.model.config.model import ModelConfig
from facesynth.model.data.style_colours import PER_REGION

if TYPE_CHECKING:
    from torch import Tensor

HERE = Path(__file__).parent
WEIGHTS = HERE.parents[1] / "facesynth/model/weights"
MAX_BYTES = 72_000_000
"""Of all bundled checkpoints together, so that a wheel has at most 80 MB."""


def with_card(name: str, info: dict[str, object]) -> dict[str, object]:
    """A checkpoint's metadata with its model card."""
    kept = {key: info[key] for key in ("step", "iou", "made_by") if key in info}
    return {**kept, "card": (HERE / "cards" / f"{name}.md").read_text("utf-8")}


def with_regions(model: native.Checkpoint, regions: Sequence[str]) -> tuple[ModelConfig, dict[str, Tensor]]:
    """A model whose last numbers of z are the colours of these regions alone: the mapping network's inputs are permuted."""
    config, state = model.config, dict(model.model_state())
    first = config.style_dim - PER_REGION * len(config.style_colours)
    kept = [
        first + PER_REGION * config.style_colours.index(region) + number
        for region in regions
        for number in range(PER_REGION)
    ]
    order = [number for number in range(config.style_dim) if number not in kept] + kept
    name = "generator.mapping.layers.0.weight"
    state[name] = state[name][:, order].contiguous()
    return dataclasses.replace(config, style_colours=tuple(regions)), state


def main(run: Path, parser_path: Path, regions: Sequence[str] = ()) -> None:
    for task in ("seg", "sketch"):
        model = native.load(run / f"{task}.safetensors")
        config, state = with_regions(model, regions or model.config.style_colours)
        name = f"photo-{task}"
        info = with_card(name, {**model.info, "made_by": "recipes/photographs/train.py"})
        native.save(
            WEIGHTS / f"{name}.safetensors",
            "model",
            state,
            config=config,
            task=model.task,
            scheme=model.scheme,
            info=info,
        )
    parser = native.load_parser(parser_path)
    native.save_parser(
        WEIGHTS / "photo-parser.safetensors",
        parser.tensors,
        config=parser.config,
        scheme=CELEBAMASK_HQ,
        info=with_card("photo-parser", parser.info),
    )
    files = sorted(WEIGHTS.glob("*.safetensors"))
    for file in files:
        print(f"{file.name:34s} {file.stat().st_size / 1e6:5.1f} MB")
    total = sum(file.stat().st_size for file in files)
    if total > MAX_BYTES:
        raise SystemExit(f"{total / 1e6:.1f} MB together; at most {MAX_BYTES / 1e6:.0f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split(",") if sys.argv[3:] else ())
