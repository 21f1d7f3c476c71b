"""The bundled photographic checkpoints: ``python recipes/photographs/pack.py RUN PARSER.safetensors``.

RUN is the --out of ``train.py``, whose models are in half precision already; PARSER is the result of ``fit_parser.py``. Every
file gets its model card from ``cards/``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from facesynth.labels import CELEBAMASK_HQ
from facesynth.model.checkpoints import native

HERE = Path(__file__).parent
WEIGHTS = HERE.parents[1] / "facesynth/model/weights"
MAX_BYTES = 72_000_000
"""Of all bundled checkpoints together, so that a wheel has at most 80 MB."""


def with_card(name: str, info: dict[str, object]) -> dict[str, object]:
    """A checkpoint's metadata with its model card."""
    kept = {key: info[key] for key in ("step", "iou", "made_by") if key in info}
    return {**kept, "card": (HERE / "cards" / f"{name}.md").read_text("utf-8")}


def main(run: Path, parser_path: Path) -> None:
    for task in ("seg", "sketch"):
        model = native.load(run / f"{task}.safetensors")
        name = f"photo-{task}"
        info = with_card(name, {**model.info, "made_by": "recipes/photographs/train.py"})
        native.save(
            WEIGHTS / f"{name}.safetensors",
            "model",
            model.model_state(),
            config=model.config,
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
    main(Path(sys.argv[1]), Path(sys.argv[2]))
