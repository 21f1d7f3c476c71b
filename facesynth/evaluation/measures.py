"""What is measured of every picture: a batch of faces and their truth in, columns of numbers and features out.

A column has one row a picture. What is told of the true photo, such as how well it is parsed itself, is in the column with
``@photo`` behind its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facesynth.errors import InputError
from facesynth.evaluation import inception
from facesynth.evaluation.metrics import fidelity
from facesynth.evaluation.metrics.colours import colours_apart
from facesynth.evaluation.metrics.lines import line_level, line_scores
from facesynth.evaluation.metrics.regions import iou_by_class, overlaps, pixel_accuracy
from facesynth.evaluation.networks import (
    Describer,
    Dlib,
    InceptionFeatures,
    IrSe50,
    Missing,
    Perceptual,
    SeeingParser,
    split,
)
from facesynth.prep.sketches.drawing import draw
from facesynth.prep.sketches.presets import Sketch, resolve

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from facesynth.evaluation.pairs import Batch, Truth
    from facesynth.labels import LabelScheme
    from facesynth.model.losses.lpips import Network

    Pictures = NDArray[np.uint8]

PLAIN = {
    "l1": fidelity.l1,
    "l2": fidelity.l2,
    "psnr": fidelity.psnr,
    "ssim": fidelity.ssim,
    "ms_ssim": fidelity.ms_ssim,
}
"""Metrics of two pictures."""
LINES = ("line_precision", "line_recall", "line_f1")
COLOURED = ("skin", "hair", "cloth", "background")
"""Classes whose colours are compared between styles, where the scheme has them."""
DEFAULT_PARSER = "photo-parser"
ON_NETWORK = {
    "inception": ("kid", "fid", "precision_recall"),
    "vgg": ("kid_vgg", "frechet_vgg", "precision_recall"),
    "parser": ("kid_parser", "frechet_parser"),
}
"""The metrics of distributions by the network whose features they compare."""


class Weights:
    """Where the weights of networks are; None for those that are found or bundled.

    Attributes
    ----------
    alexnet, vgg16 : Path or None
        As for training's LPIPS.
    inception : str or None
        pytorch-fid's file, or ``owner/name/file`` on the Hugging Face Hub.
    identity : Path or None
        IR-SE50, or ``ir-se50``.
    parser : str or None
        A face parser.
    """

    def __init__(
        self,
        *,
        alexnet: Path | None = None,
        vgg16: Path | None = None,
        inception: str | None = None,
        identity: Path | None = None,
        parser: str | None = None,
    ) -> None:
        self.alexnet, self.vgg16, self.inception, self.identity, self.parser = (
            alexnet,
            vgg16,
            inception,
            identity,
            parser,
        )


class Measures:
    """Everything that is measured of pictures.

    Parameters
    ----------
    metrics : sequence of str
        Names of :data:`facesynth.evaluation.catalogue.METRICS`.
    truth : Truth
    size : int
        Height and width of the faces.
    weights : Weights
    device : torch.device
    has_styles : bool
        Whether a model makes the faces.

    Attributes
    ----------
    skipped : dict of str to str
        Metrics that are not measured, and why.

    Raises
    ------
    InputError
        If a given parser has another label scheme.
    CheckpointError
        If given weights are others than they should be.
    """

    def __init__(
        self,
        metrics: Sequence[str],
        truth: Truth,
        size: int,
        weights: Weights,
        device: torch.device,
        *,
        has_styles: bool,
    ) -> None:
        self.metrics, self.size, self.weights, self.device = list(metrics), size, weights, device
        self.scheme: LabelScheme = truth.dataset.scheme
        self.skipped: dict[str, str] = {}
        self._drawn_as = truth.drawn_as
        self._leave_out(truth, has_styles)
        self.perceptual: dict[str, Perceptual] = {}
        self.parser: SeeingParser | None = None
        self.inception: InceptionFeatures | None = None
        self.recognisers: list[Describer] = []
        self._load()

    @property
    def redrawn(self) -> Sketch:
        """How lines of faces are drawn: as the drawings were, or by XDoG where facesynth did not draw them."""
        return self._drawn_as or resolve("xdog")

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the weights of every network in use, by name."""
        used: list[Any] = [*self.perceptual.values(), self.parser, self.inception, *self.recognisers]
        return {each.name: each.digest for each in used if each is not None}

    @property
    def filters(self) -> dict[str, str]:
        """How each network resizes pictures, by name."""
        used: list[Any] = [*self.perceptual.values(), self.parser, self.inception, *self.recognisers]
        return {each.name: each.filter for each in used if each is not None}

    def wants(self, *names: str) -> bool:
        """Whether any of these metrics is measured."""
        return any(name in self.metrics for name in names)

    def skip(self, why: str, *names: str) -> None:
        """Leave metrics out, for a reason."""
        for name in names:
            if name in self.metrics:
                self.metrics.remove(name)
                self.skipped[name] = why

    def _leave_out(self, truth: Truth, has_styles: bool) -> None:
        if self.size < fidelity.WINDOW:
            self.skip(f"faces have {self.size} px; needed: at least {fidelity.WINDOW}", "ssim")
        if self.size < fidelity.SMALLEST_MS_SSIM:
            self.skip(f"faces have {self.size} px; needed: at least {fidelity.SMALLEST_MS_SSIM}", "ms_ssim")
        if self.size < 32:
            why = f"faces have {self.size} px; needed: at least 32"
            self.skip(why, "lpips_alex", "lpips_vgg", "kid_vgg", "frechet_vgg", "precision_recall", "styles")
        if not truth.has_labels:
            self.skip("not every photo has a label map", "miou", "pixel_accuracy")
        if truth.sketch is None:
            self.skip("the faces are not made of drawings; --sketch says of which", "lines")
        if not has_styles:
            self.skip("needs a model: --checkpoint", "styles")

    def _load(self) -> None:
        networks: tuple[tuple[Network, Path | None, tuple[str, ...]], ...] = (
            ("alex", self.weights.alexnet, ("lpips_alex",)),
            ("vgg", self.weights.vgg16, ("lpips_vgg", *ON_NETWORK["vgg"])),
        )
        for network, path, names in networks:
            if self.wants(*names) or (network == "alex" and self.wants("styles")):
                try:
                    self.perceptual[network] = Perceptual(network, path, self.device)
                except Missing as error:
                    self.skip(str(error), *(name for name in names if name != "precision_recall"))
        if self.wants("miou", "pixel_accuracy", *ON_NETWORK["parser"]) or (
            self.wants("lines") and self.redrawn.needs_labels
        ):
            self._load_parser()
        if self.wants(*ON_NETWORK["inception"]):
            self._load_inception()
        if "vgg" not in self.perceptual and self.inception is None:
            self.skip("neither VGG16 nor Inception is there", "precision_recall")
        if self.wants("identity", "memory"):
            self._load_recognisers()

    def _load_parser(self) -> None:
        parser = SeeingParser(self.weights.parser or DEFAULT_PARSER, self.device)
        if parser.scheme.classes != self.scheme.classes:
            why = (
                f"the parser {parser.source} has the label scheme {parser.scheme.name}, the dataset {self.scheme.name}; "
                "give a parser of that scheme as --parser, or convert the label maps with `facesynth prep remap`"
            )
            if self.weights.parser is not None:
                raise InputError(why)
            self.skip(why, "miou", "pixel_accuracy", *(["lines"] if self.redrawn.needs_labels else []))
            if not self.wants(*ON_NETWORK["parser"]):
                return
        self.parser = parser

    def _load_inception(self) -> None:
        path = inception.find(self.weights.inception)
        if path is None:
            why = f"FID's Inception is not on this machine; fetch {inception.URL} and give it as --inception-weights"
            self.skip(why, "kid", "fid")
            return
        self.inception = InceptionFeatures(path, self.device)

    def _load_recognisers(self) -> None:
        if self.weights.identity is not None:
            self.recognisers.append(IrSe50(self.weights.identity, self.device))
            return
        try:
            self.recognisers.append(Dlib())
        except Missing as error:
            self.skip(f"{error}; or give IR-SE50 as --identity-weights", "identity", "memory")

    # ----------------------------------------------------------------------------------------------------------- columns

    def of_pairs(self, batch: Batch) -> dict[str, NDArray[Any]]:
        """The columns of a batch of faces and their truth."""
        pairs = list(zip(batch.faces, batch.photos, strict=True))
        columns: dict[str, NDArray[Any]] = {
            name: np.array([function(face, photo) for face, photo in pairs])
            for name, function in PLAIN.items()
            if self.wants(name)
        }
        if self.wants("sharpness"):
            own = np.array([fidelity.sharpness(photo) for photo in batch.photos])
            made = np.array([fidelity.sharpness(face) for face in batch.faces])
            columns["sharpness"] = np.divide(made, own, out=np.full_like(made, np.nan), where=own > 0)
        for name, network in self.perceptual.items():
            columns |= self._perceptual(name, network, batch)
        if self.parser is not None:
            columns |= self._parsed(batch)
        elif self.wants("lines"):
            columns |= self._lines(batch, None, None)
        for describer in [*self.recognisers, *([self.inception] if self.inception else [])]:
            columns[f"features_{describer.name}"] = describer.describe(batch.faces)
            columns[f"features_{describer.name}@photo"] = describer.describe(batch.photos)
        for describer in self.recognisers if self.wants("identity") else ():
            columns[f"identity_{describer.name}"] = likeness(
                describer.name, columns[f"features_{describer.name}"], columns[f"features_{describer.name}@photo"]
            )
        return columns

    def of_photos(self, photos: Pictures, *, of_persons: bool) -> dict[str, NDArray[Any]]:
        """The columns of features of photos alone, named as those of the true photos.

        Parameters
        ----------
        photos : (N, S, S, 3) uint8 array
        of_persons : bool
            Only those that tell persons apart, or only the others.
        """
        recognisers = {each.name for each in self.recognisers}
        networks: list[Any] = [*self.perceptual.values(), self.parser, self.inception, *self.recognisers]
        return {
            f"features_{each.name}@photo": each.describe(photos)
            for each in networks
            if each is not None and each.name in self.described and (each.name in recognisers) == of_persons
        }

    @property
    def described(self) -> set[str]:
        """The networks whose features are kept."""
        found = {name for name, metrics in ON_NETWORK.items() if self.wants(*metrics)}
        return found | {each.name for each in self.recognisers}

    def _perceptual(self, name: str, network: Perceptual, batch: Batch) -> dict[str, NDArray[Any]]:
        found: dict[str, list[NDArray[Any]]] = {}
        for faces, photos in zip(split(batch.faces), split(batch.photos), strict=True):
            of_faces, of_photos = network.maps(faces), network.maps(photos)
            if self.wants(f"lpips_{name}"):
                found.setdefault(f"lpips_{name}", []).append(network.between(of_faces, of_photos))
            if name in self.described:
                found.setdefault(f"features_{name}", []).append(network.features(of_faces))
                found.setdefault(f"features_{name}@photo", []).append(network.features(of_photos))
        return {column: np.concatenate(parts) for column, parts in found.items()}

    def _parsed(self, batch: Batch) -> dict[str, NDArray[Any]]:
        assert self.parser is not None
        columns: dict[str, NDArray[Any]] = {}
        (faces, of_faces), (photos, of_photos) = self.parser.both(batch.faces), self.parser.both(batch.photos)
        if "parser" in self.described:
            columns |= {"features_parser": of_faces, "features_parser@photo": of_photos}
        if batch.labels is not None and self.wants("miou", "pixel_accuracy"):
            n_classes = len(self.scheme)
            for suffix, parsed in (("", faces), ("@photo", photos)):
                pixels = np.stack([overlaps(a, b, n_classes) for a, b in zip(batch.labels, parsed, strict=True)])
                columns[f"overlaps{suffix}"] = pixels
                columns[f"pixel_accuracy{suffix}"] = pixel_accuracy(pixels)
                columns[f"picture_iou{suffix}"] = np.nanmean(iou_by_class(pixels), axis=1)
        if self.wants("lines"):
            columns |= self._lines(batch, faces, photos)
        return columns

    def _lines(self, batch: Batch, faces: Pictures | None, photos: Pictures | None) -> dict[str, NDArray[Any]]:
        assert batch.sketches is not None
        scores: dict[str, list[tuple[float, float, float]]] = {"": [], "@photo": []}
        for number, drawing in enumerate(batch.sketches):
            for suffix, picture, parsed in (("", batch.faces, faces), ("@photo", batch.photos, photos)):
                labels = None if parsed is None else parsed[number]
                scores[suffix].append(self.scores_of_lines(drawing, picture[number], labels))
        return {
            f"{name}{suffix}": np.array([each[place] for each in found])
            for suffix, found in scores.items()
            for place, name in enumerate(LINES)
        }

    def scores_of_lines(
        self, drawing: Pictures, picture: Pictures, parsed: Pictures | None
    ) -> tuple[float, float, float]:
        """Precision, recall and F1 of a picture's own lines; NaN for a blank drawing."""
        level = line_level(drawing)
        if level is None:
            return np.nan, np.nan, np.nan
        own = draw(picture, self.redrawn, labels=parsed if self.redrawn.needs_labels else None)
        return line_scores(drawing < level, own < level)

    # ------------------------------------------------------------------------------------------------------------ styles

    def of_styles(self, batch: Batch, styled: Pictures) -> dict[str, NDArray[Any]]:
        """The columns of faces (N, samples, S, S, 3) in random styles."""
        columns: dict[str, list[Any]] = {}
        alex, classes = self.perceptual.get("alex"), self.coloured
        for number, faces in enumerate(styled):
            if alex is not None:
                maps = alex.maps(faces)
                first, second = np.triu_indices(len(faces), 1)
                pairs = [[each[places] for each in maps] for places in (first, second)]
                columns.setdefault("lpips_styles", []).append(alex.between(*pairs).mean())
            if batch.labels is not None:
                apart = colours_apart(faces, batch.labels[number], list(classes.values()))
                for name, value in zip(classes, apart, strict=True):
                    columns.setdefault(f"colours_{name}", []).append(value)
            parsed = self.parser.both(faces)[0] if self.parser is not None else None
            if batch.labels is not None and parsed is not None and self.wants("miou"):
                pixels = [overlaps(batch.labels[number], each, len(self.scheme)) for each in parsed]
                told = np.nanmean(iou_by_class(np.stack(pixels)), axis=1)
                columns.setdefault("iou_styles", []).append(told.mean())
                columns.setdefault("iou_worst_style", []).append(told.min())
            if batch.sketches is not None and self.wants("lines"):
                f1 = [
                    self.scores_of_lines(batch.sketches[number], face, None if parsed is None else parsed[place])[2]
                    for place, face in enumerate(faces)
                ]
                columns.setdefault("line_f1_styles", []).append(np.mean(f1))
                columns.setdefault("line_f1_worst_style", []).append(np.min(f1))
        return {name: np.array(values) for name, values in columns.items()}

    @property
    def coloured(self) -> Mapping[str, int]:
        """The ids of the classes whose colours are compared."""
        return {name: self.scheme.classes.index(name) for name in COLOURED if name in self.scheme.classes}


def likeness(network: str, a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """How alike the persons of pairs are: cosine similarity of IR-SE50's embeddings, distance of dlib's descriptors."""
    first, second = (np.asarray(each, np.float64) for each in (a, b))
    if network == "ir_se50":
        return np.asarray((first * second).sum(1))
    return np.asarray(np.linalg.norm(first - second, axis=1))
