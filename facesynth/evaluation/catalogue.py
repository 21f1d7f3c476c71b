"""The metrics: their names, what they say, which way is better, and what they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from facesynth.errors import InputError, shown

Better = Literal["low", "high", ""]
GROUPS = ("fidelity", "identity", "condition", "distribution", "diversity", "memory")


@dataclass(frozen=True)
class Metric:
    """A metric, or several that are measured together.

    Attributes
    ----------
    group : str
        One of :data:`GROUPS`.
    title : str
        What it is, in a few words.
    """

    group: str
    title: str


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "l1": Metric("fidelity", "mean absolute difference to the photo, of values in [-1, 1]"),
        "l2": Metric("fidelity", "mean squared difference to the photo, of values in [-1, 1]"),
        "psnr": Metric("fidelity", "peak signal-to-noise ratio, dB"),
        "ssim": Metric("fidelity", "structural similarity, Gaussian window of 11 px"),
        "ms_ssim": Metric("fidelity", "SSIM over five scales; faces of at least 161 px"),
        "lpips_alex": Metric("fidelity", "LPIPS 0.1 with AlexNet"),
        "lpips_vgg": Metric("fidelity", "LPIPS 0.1 with VGG16"),
        "sharpness": Metric("fidelity", "variance of the Laplacian, divided by the photo's"),
        "identity": Metric(
            "identity", "likeness of the person by IR-SE50 or dlib, and how often the true one is nearest"
        ),
        "pixel_accuracy": Metric("condition", "share of pixels in which the parsed face agrees with the label map"),
        "miou": Metric(
            "condition", "intersection over union of the parsed face and the label map, by class and their mean"
        ),
        "lines": Metric("condition", "precision, recall and F1 of the face's own lines and the drawing's"),
        "kid": Metric("distribution", "kernel distance on Inception, unbiased"),
        "fid": Metric("distribution", "Frechet distance on Inception, as pytorch-fid"),
        "kid_vgg": Metric("distribution", "kernel distance on VGG16"),
        "frechet_vgg": Metric("distribution", "Frechet distance on VGG16; not FID"),
        "kid_parser": Metric("distribution", "kernel distance on the parser's features"),
        "frechet_parser": Metric("distribution", "Frechet distance on the parser's features; not FID"),
        "precision_recall": Metric(
            "distribution", "precision and recall of manifolds, on VGG16 and, if there, Inception"
        ),
        "styles": Metric("diversity", "distance between random styles, and how well each keeps the condition"),
        "memory": Metric("memory", "distance to the nearest training photo"),
    }
)


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The metrics of names and groups, in the table's order; all of them if there are no names.

    Raises
    ------
    InputError
        If a name is neither.

    Examples
    --------
    >>> chosen(["ssim", "l1"]), len(chosen(["condition"]))
    (('l1', 'ssim'), 3)
    """
    for name in names:
        if name not in METRICS and name not in GROUPS:
            raise InputError(f"metric is {shown(name)}; needed: {', '.join(METRICS)}, or a group: {', '.join(GROUPS)}")
    return tuple(name for name, metric in METRICS.items() if not names or name in names or metric.group in names)


_HIGH = (
    "psnr",
    "ssim",
    "ms_ssim",
    "pixel_accuracy",
    "miou",
    "picture_iou",
    "iou_",
    "line_",
    "precision_",
    "recall_",
    "person_",
)
_LOW = ("l1", "l2", "lpips_alex", "lpips_vgg", "kid", "fid", "frechet_", "identity_dlib")


def better(figure: str) -> Better:
    """Whether a figure should be low or high; empty for those that say what is so.

    Examples
    --------
    >>> better("iou_skin"), better("kid_vgg"), better("sharpness")
    ('high', 'low', '')
    """
    if figure == "identity_ir_se50" or figure.startswith(_HIGH):
        return "high"
    return "low" if figure.startswith(_LOW) else ""
