"""The demonstration: portraits are drawn, prepared, trained on and translated, and shown on one page.

::

    OUT/raw/            procedural portraits with part masks, in the layout of the archive
    OUT/data/           the dataset folder: label maps, sketches, manifest
    OUT/run/            a short training of an encoder for the bundled generator
    OUT/photographs/    photographs from the drawings in the package, in the default style and in random ones
    OUT/maps/           faces of label maps of drawn portraits, likewise
    OUT/drawings/       faces of sketches of drawn portraits
    OUT/report.html     the page; it needs no network and no other file

Run again, the command does what is missing.
"""

from __future__ import annotations

import base64
import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesynth import images
from facesynth.files import make_folder, write_text
from facesynth.manifest import read_dataset
from facesynth.model.config.presets import preset
from facesynth.model.inference.styles import Styling
from facesynth.model.inference.translate_files import translate_files
from facesynth.model.training.psp.train import train
from facesynth.prep.portraits.sample import make_sample
from facesynth.prep.sketches.presets import resolve
from facesynth.prep.stages import prepare_masks, prepare_sketches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from facesynth.manifest import Dataset

SEED = 7
"""Seed of the portraits: the bundled models were trained on others."""
SIZE = 256
PICTURE = 192
"""Longest side of a picture on the page, pixels."""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """The amount of work."""

    portraits: int = 200
    steps: int = 180
    interval: int = 30
    inputs: int = 6
    """Number of label maps to translate, and of sketches."""
    styles: int = 5


QUICK = Extent(portraits=60, steps=16, interval=4, inputs=3, styles=3)


@dataclass
class _Page:
    """The content of the page."""

    pictures: dict[str, list[list[tuple[str, str]]]] = field(default_factory=dict)
    """Rows of (data URI, caption), by section."""
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    """Step, validation loss and seconds since the start."""


def run_demo(out: Path, *, extent: Extent | None = None, log: Callable[[str], None] = lambda _: None) -> Path:
    """Run every step from portraits to faces, and write the page.

    Parameters
    ----------
    out : Path
        The folder; created if missing.
    extent : Extent, optional
    log : callable, optional
        Called with a line of text at every step.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If ``out`` holds another sample.
    OutputError
        If ``out`` cannot be written.
    """
    extent = extent or Extent()
    raw, data, run = out / "raw", out / "data", out / "run"
    page = _Page()

    make_folder(out)
    log("making photographs of drawings")
    drawings = sorted(Path(__file__).with_name("drawings").glob("*.png"))[: extent.inputs]
    made = _faces(drawings, "photo-sketch", out / "photographs", extent, "photograph")
    page.pictures["photographs"] = [
        [(_photo_uri(drawing), "drawing"), *row] for drawing, row in zip(drawings, made, strict=True)
    ]
    log(f"drawing {extent.portraits} portraits")
    make_sample(raw, count=extent.portraits, seed=SEED, size=SIZE)
    log("merging their part masks into label maps")
    prepare_masks(raw, data)
    log("drawing sketches of them")
    prepare_sketches(data, data, drawings=[resolve("xdog")])
    dataset = read_dataset(data)
    config = preset(
        "portrait",
        "seg2face",
        n_classes=len(dataset.scheme),
        lpips=0.0,
        parsing=0.0,
        steps=extent.steps,
        interval=extent.interval,
        batch_size=8,
        optimizer="adam",  # Muon overfits on so few portraits
        learning_rate=1e-3,
        rough=0.0,
    )
    log(f"training an encoder for {extent.steps} steps")
    train(data, run, config, generator=Path("portrait-generator"), device="cpu", workers=0)
    page.curve = _curve(run / "metrics.csv")
    ids = dataset.with_columns("labels", "sketch_xdog", "photo", split="val")["id"].tolist()[: extent.inputs]
    for name, column, model in (("maps", "labels", "portrait-seg"), ("drawings", "sketch_xdog", "portrait-sketch")):
        kind, plural = ("label map", "label maps") if name == "maps" else ("sketch", "sketches")
        log(f"translating {len(ids)} {plural} the models have not seen")
        paths = [data / str(dataset.rows.loc[each, column]) for each in ids]
        page.pictures[name] = [
            [
                (_picture_uri(path, dataset, is_map=name == "maps"), kind),
                *made,
                (_photo_uri(data / str(dataset.rows.loc[each, "photo"])), "the portrait"),
            ]
            for each, path, made in zip(ids, paths, _faces(paths, model, out / name, extent, "face"), strict=True)
        ]
    page.pictures["data"] = [
        [
            (_photo_uri(data / str(dataset.rows.loc[each, "photo"])), each),
            (_picture_uri(data / str(dataset.rows.loc[each, "labels"]), dataset, is_map=True), ""),
            (_picture_uri(data / str(dataset.rows.loc[each, "sketch_xdog"]), dataset, is_map=False), ""),
        ]
        for each in dataset.rows["id"].tolist()[:6]
    ]
    path = out / "report.html"
    write_text(path, _render(page, extent))
    return path


def _faces(paths: list[Path], model: str, out: Path, extent: Extent, caption: str) -> list[list[tuple[str, str]]]:
    """The faces of pictures for the page: each in the model's default style and in random ones."""
    own = translate_files(paths, model, out / "own", device="cpu").faces
    styling = Styling(samples=extent.styles)
    styled = translate_files(paths, model, out / "styles", styling=styling, device="cpu").faces
    return [
        [
            (_photo_uri(own[index]), caption),
            *((_photo_uri(face), "") for face in styled[index * extent.styles : (index + 1) * extent.styles]),
        ]
        for index in range(len(paths))
    ]


def _curve(metrics: Path) -> list[tuple[int, float, float]]:
    """The validation loss by step, with the seconds since the start."""
    with metrics.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    return [(int(row["step"]), float(row["loss"]), float(row["seconds"])) for row in rows]


def _picture_uri(path: Path, dataset: Dataset, *, is_map: bool) -> str:
    picture = images.read_any_labels(path, dataset.scheme) if is_map else images.read_photo(path)
    small = images.resize(picture, (PICTURE, PICTURE), labels=is_map)
    return _uri("png", images.encode_png(images.colourise(small, dataset.scheme) if is_map else small))


def _photo_uri(path: Path) -> str:
    picture: NDArray[np.uint8] = images.read_photo(path)
    return _uri("jpeg", images.encode_jpeg(images.limit_size(picture, PICTURE), quality=90))


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _render(page: _Page, extent: Extent) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(resources.files("facesynth").joinpath("demo.html.j2").read_text("utf-8"))
    highest = max(loss for _, loss, _ in page.curve)
    last = page.curve[-1][0]
    line = " ".join(f"{100 * step / last:.2f},{60 - 60 * loss / highest:.2f}" for step, loss, _ in page.curve)
    values: dict[str, Any] = {"pictures": page.pictures, "extent": extent, "line": line, "curve": page.curve}
    return template.render(**values)
