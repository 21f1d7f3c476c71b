"""The page of an evaluation, ``EVAL/report.html``: figures, and the best, median and worst pictures; one file, no network."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facesynth import images
from facesynth.evaluation.catalogue import METRICS, better
from facesynth.evaluation.results import Results
from facesynth.evaluation.tables import described, interval, number
from facesynth.files import write_text
from facesynth.model.data.contact_sheet import show_condition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.evaluation.pairs import Faces, Truth

PAGE = "report.html"
SHOWN = 3
"""Pictures of each kind: best, median and worst."""
SIDE = 128
"""Height and width of pictures on the page, pixels."""
BY = (
    "l1",
    "psnr",
    "ssim",
    "ms_ssim",
    "lpips_alex",
    "lpips_vgg",
    "identity_ir_se50",
    "identity_dlib",
    "picture_iou",
    "line_f1",
)
"""The columns by which pictures are chosen."""


def write_page(folder: Path, results: Results, truth: Truth, faces: Faces, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write the page.

    Parameters
    ----------
    folder : Path
    results : Results
    truth : Truth
    faces : Faces
    columns : mapping of str to (N,) array
        The columns of ``pictures.csv``.
    """
    from jinja2 import Environment, StrictUndefined

    ranked = {name: picked(columns[name], better(name)) for name in BY if name in columns}
    needed = sorted({place for kinds in ranked.values() for places in kinds.values() for place in places})
    shown = dict(zip(needed, _rows(truth, faces, [truth.ids[place] for place in needed]), strict=True))
    sections = [
        {
            "name": name,
            "title": METRICS.get(
                name.replace("picture_iou", "miou").replace("line_f1", "lines"), METRICS["identity"]
            ).title,
            "kinds": [
                (kind, [{**shown[place], "value": number(float(columns[name][place]))} for place in places])
                for kind, places in kinds.items()
            ],
        }
        for name, kinds in ranked.items()
    ]
    figures = [
        {
            "name": name,
            "value": number(figure.value),
            "interval": interval(figure),
            "photos": number(figure.photos),
            "n": figure.n,
            "better": {"low": "↓", "high": "↑", "": ""}[figure.better],
            "network": figure.network,
            "note": figure.note,
            "group": figure.group,
        }
        for name, figure in results.figures.items()
    ]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("facesynth.evaluation").joinpath("report.html.j2").read_text("utf-8"))
    page = template.render(
        name=results.name,
        version=results.version,
        settings=described(results),
        figures=figures,
        groups=list(dict.fromkeys(each["group"] for each in figures)),
        skipped=results.skipped,
        sections=sections,
        side=SIDE,
    )
    write_text(folder / PAGE, page)


def picked(values: NDArray[Any], way: str) -> dict[str, list[int]]:
    """The places of the best, the median and the worst values, the best first; those that are missing are left out.

    Examples
    --------
    >>> picked(np.array([0.3, 0.1, np.nan, 0.2]), "low")
    {'best': [1], 'median': [3], 'worst': [0]}
    """
    order = np.argsort(values if way == "low" else -values, kind="stable")
    order = order[~np.isnan(values[order])]
    each = min(SHOWN, len(order) // 3)
    if not each:
        return {"best": order[:1].tolist()} if len(order) else {}
    middle = (len(order) - each) // 2
    return {
        "best": order[:each].tolist(),
        "median": order[middle : middle + each].tolist(),
        "worst": order[len(order) - each :].tolist(),
    }


def _rows(truth: Truth, faces: Faces, ids: Sequence[str]) -> Iterable[dict[str, Any]]:
    """The pictures of ids as they are shown: what the face was made from, the face and the photo."""
    for name in ids:
        batch = truth.batch([name], faces.make([name]))
        pictures = [("face", batch.faces[0]), ("photo", batch.photos[0])]
        if batch.sketches is not None:
            pictures.insert(0, ("drawing", show_condition(batch.sketches[0], "sketch", truth.dataset.scheme)))
        elif batch.labels is not None:
            pictures.insert(0, ("label map", show_condition(batch.labels[0], "labels", truth.dataset.scheme)))
        yield {"id": name, "pictures": [(what, _uri(picture)) for what, picture in pictures]}


def _uri(picture: NDArray[np.uint8]) -> str:
    small = images.limit_size(picture, SIDE)
    return f"data:image/jpeg;base64,{base64.b64encode(images.encode_jpeg(small, quality=88)).decode()}"
