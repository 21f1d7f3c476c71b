"""The evaluation of a model, or of anybody's faces, on one split of a dataset folder.

::

    EVAL/metrics.json   every figure with its interval and all that it depends on
    EVAL/pictures.csv   one row a picture
    EVAL/table.md table.tex junit.xml report.html
    EVAL/statistics/    mean and covariance of features, as pytorch-fid reads them
    EVAL/blocks/        the measurements, from which a stopped evaluation continues
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facesynth import __version__
from facesynth.errors import InputError
from facesynth.evaluation import tables
from facesynth.evaluation.blocks import Blocks
from facesynth.evaluation.catalogue import chosen
from facesynth.evaluation.limits import Limit
from facesynth.evaluation.measures import LINES, PLAIN, Measures, Weights
from facesynth.evaluation.metrics.distances import Moments
from facesynth.evaluation.networks import at_once
from facesynth.evaluation.page import write_page
from facesynth.evaluation.pairs import FILTER, FaceFiles, ModelFaces, Truth
from facesynth.evaluation.results import Figure, Results
from facesynth.evaluation.summary import Summary, names_on, with_common
from facesynth.files import locked, make_folder, sha256, sha256_of
from facesynth.manifest import read_dataset
from facesynth.model.data.columns import condition_column
from facesynth.model.devices import choose_device
from facesynth.model.inference.translator import Translator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.evaluation.pairs import Faces
    from facesynth.manifest import Dataset

Progress = Callable[[Iterable[Any], int], Iterable[Any]]
STYLED = 32
"""The most conditions that are drawn in several styles."""
FEWEST = 2
"""A distance between sets needs two pictures, and so does an interval."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is evaluated, and how."""

    data: Path
    """The dataset folder."""
    split: str = "test"
    """train, val, test, several with commas, or all."""
    checkpoint: str | None = None
    """The model; or"""
    faces: Path | None = None
    """the folder of faces, ``<id>.png``."""
    sketch: str | None = None
    """The method of the drawings that the faces are made of."""
    metrics: Sequence[str] = ()
    """Names and groups of metrics; all by default."""
    size: int | None = None
    """Height and width to which faces are brought, pixels."""
    count: int | None = None
    """The first so many pairs only."""
    reference: str | None = None
    """The split whose photos distances compare with, or an ``.npz`` file of Inception's statistics; the same split by
    default."""
    styles: int = 8
    """Random styles of a condition."""
    seed: int = 0
    """Seed of styles, samples and intervals."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    limits: Sequence[Limit] = ()
    """What must not be so."""
    name: str | None = None
    """What it is called in tables; the checkpoint's or the folder's name by default."""
    weights: Weights = field(default_factory=Weights)
    """Where the networks' weights are."""

    def __post_init__(self) -> None:
        if (self.checkpoint is None) == (self.faces is None):
            raise InputError("give either a checkpoint or a folder of faces: --checkpoint or --faces")
        for name, value, least in (("size", self.size, 8), ("count", self.count, 1), ("styles", self.styles, 2)):
            if value is not None and value < least:
                raise InputError(f"{name} is {value}; needed: at least {least}")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; needed: at least 0")


def evaluate(settings: Settings, out: Path, *, progress: Progress | None = None) -> Results | None:
    """Evaluate faces, and write the results into a folder.

    Parameters
    ----------
    settings : Settings
    out : Path
        The folder; created if missing. What an earlier call with the same settings measured there is taken.
    progress : callable, optional
        Shows the progress.

    Returns
    -------
    Results or None
        None in all but the first of several processes.

    Raises
    ------
    InputError
        If something that was given cannot be used; the message says what.
    OutputError
        If ``out`` cannot be written.
    """
    from accelerate import PartialState

    dataset = read_dataset(settings.data)
    device = choose_device(settings.device)
    state = PartialState(cpu=device.type == "cpu") if _is_launched() else None
    process, processes = (state.process_index, state.num_processes) if state else (0, 1)
    work = _Work(settings, dataset, out)
    make_folder(out)
    if state and process:
        state.wait_for_everyone()
        work.measure(process, processes, None)
        state.wait_for_everyone()
        return None
    with locked(out):
        work.prepare()
        if state:
            state.wait_for_everyone()
        work.measure(0, processes, progress)
        if state:
            state.wait_for_everyone()
        return work.finish()


def _is_launched() -> bool:
    """Whether torchrun or accelerate started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


class _Work:
    """One evaluation."""

    def __init__(self, settings: Settings, dataset: Dataset, out: Path) -> None:
        self.settings, self.dataset, self.out = settings, dataset, out
        metrics = chosen(settings.metrics)
        device = choose_device(settings.device)
        translator = (
            None if settings.checkpoint is None else Translator.from_pretrained(settings.checkpoint, device=device.type)
        )
        sketch = settings.sketch
        if translator is not None:
            _check_scheme(translator, dataset)
            column = condition_column(dataset, translator.config.condition, sketch)
            sketch = column.removeprefix("sketch_") if translator.config.condition == "sketch" else None
        self.truth = Truth(dataset, settings.split, sketch=sketch)
        if translator is not None and translator.config.condition == "labels":
            rows = self.truth.dataset.with_columns("labels").index
            self.truth.keep([name for name in self.truth.ids if name in rows])
        self.truth.keep(self.truth.ids[: settings.count])
        self.all_ids = len(self.truth.ids)
        self.faces: Faces
        self.model: ModelFaces | None = None
        if translator is not None:
            self.faces = self.model = ModelFaces(translator, self.truth, settings.size)
            self.source = str(settings.checkpoint)
            self.source_key: Any = sha256_of(Path(translator.path))
        else:
            assert settings.faces is not None
            files = FaceFiles(settings.faces, self.truth.ids, settings.size)
            self.truth.keep(files.common)
            self.faces, self.source = files, str(settings.faces)
            self.source_key = [(path.name, (s := path.stat()).st_size, s.st_mtime_ns) for path in files.paths.values()]
        self.measures = Measures(
            metrics, self.truth, self.faces.size, settings.weights, device, has_styles=self.model is not None
        )
        self.statistics = self._statistics()
        self._check_number()
        self._plan()

    def _statistics(self) -> Moments | None:
        reference = self.settings.reference
        if reference is None or Path(reference).suffix != ".npz":
            return None
        return Moments.read(Path(reference))

    def _check_number(self) -> None:
        number = len(self.truth.ids)
        if number < FEWEST:
            sets = (
                "kid",
                "fid",
                "kid_vgg",
                "frechet_vgg",
                "kid_parser",
                "frechet_parser",
                "precision_recall",
                "memory",
            )
            self.measures.skip(f"there is {number} face; needed: at least {FEWEST}", *sets)
        if not self.measures.metrics:
            reasons = "; ".join(f"{name}: {why}" for name, why in self.measures.skipped.items())
            raise InputError(f"none of the metrics can be measured: {reasons}")

    def _plan(self) -> None:
        settings, measures = self.settings, self.measures
        key = {
            "facesynth": __version__,
            "data": self.truth.digest,
            "faces": self.source_key,
            "size": self.faces.size,
            "metrics": sorted(measures.metrics),
            "weights": measures.digests,
            "sketch": self.truth.sketch,
            "redrawn": repr(measures.redrawn),
        }
        self.pairs = Blocks(self.out, "pairs", self.truth.ids, key)
        self.others: dict[str, tuple[Truth, Blocks]] = {}
        wanted = {"reference": settings.reference if self.statistics is None else None}
        if measures.wants("memory"):
            wanted["training"] = "train"
        for name, split in wanted.items():
            if split is None or (name == "reference" and split == settings.split):
                continue
            try:
                truth = Truth(self.dataset, split)
            except InputError as error:
                if name == "reference":
                    raise InputError(f"reference: {error}, or an .npz file of statistics") from error
                measures.skip(str(error), "memory")
                continue
            other = {**key, "data": truth.digest, "faces": None}  # other faces need the same features of photos
            self.others[name] = (truth, Blocks(self.out, name, truth.ids, other))
        self.styles: Blocks | None = None
        if measures.wants("styles"):
            styled = {**key, "styles": settings.styles, "seed": settings.seed}
            self.styles = Blocks(self.out, "styles", self.truth.ids[:STYLED], styled)

    def prepare(self) -> None:
        """Make the blocks' folders."""
        for blocks in (self.pairs, self.styles, *(blocks for _, blocks in self.others.values())):
            if blocks is not None:
                blocks.prepare()

    # ---------------------------------------------------------------------------------------------------------- measuring

    def measure(self, process: int, processes: int, progress: Progress | None) -> None:
        """Measure what is missing."""
        share: dict[str, Any] = {"process": process, "processes": processes, "progress": progress}
        number = at_once(self.faces.size)
        self.pairs.fill(self._of_pairs, number, **share)
        for name, (truth, blocks) in self.others.items():
            blocks.fill(partial(self._of_photos, truth, name == "training"), number, **share)
        if self.styles is not None:
            self.styles.fill(self._of_styles, 1, **share)

    def _of_pairs(self, ids: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        batch = self.truth.batch(ids, self.faces.make(ids))
        digests = [sha256(face.tobytes()) for face in batch.faces]
        return self.measures.of_pairs(batch) | {"digest": np.array(digests)}

    def _of_photos(self, truth: Truth, of_persons: bool, ids: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        return self.measures.of_photos(truth.photos(ids, self.faces.size), of_persons=of_persons)

    def _of_styles(self, ids: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        assert self.model is not None
        styled = self.model.styled(ids, self.settings.styles, self.settings.seed)
        return self.measures.of_styles(self.truth.batch(ids, styled[:, 0]), styled)

    # ---------------------------------------------------------------------------------------------------------- figures

    def finish(self) -> Results:
        """Write the results."""
        digest = sha256("".join(self.pairs.column("digest").tolist()).encode())
        figures = with_common(
            self._figures(),
            size=self.faces.size,
            split=self.settings.split,
            reference=self.settings.split,
            seed=self.settings.seed,
            data=self.truth.digest,
            faces=digest,
            filter=FILTER,
        )
        for limit in self.settings.limits:
            limit.is_broken(figures)  # a name that is no figure is refused before anything is written
        results = Results(self._name(), self._described(digest), figures, self.measures.skipped, __version__)
        columns = self._pictures()
        tables.write_pictures(self.out, self.truth.ids, columns)
        tables.write_tables(self.out, results, self.settings.limits)
        self._write_statistics()
        write_page(self.out, results, self.truth, self.faces, columns)
        results.write(self.out)
        return results

    def _name(self) -> str:
        if self.settings.name:
            return self.settings.name
        return self.source if self.settings.checkpoint else Path(self.source).resolve().name

    def _described(self, digest: str) -> dict[str, Any]:
        settings, measures = self.settings, self.measures
        return {
            "checkpoint": settings.checkpoint,
            "checkpoint_sha256": self.source_key if settings.checkpoint else None,
            "faces": None if settings.faces is None else str(settings.faces),
            "faces_sha256": digest,
            "data": str(settings.data),
            "data_sha256": self.truth.digest,
            "split": settings.split,
            "ids": len(self.truth.ids),
            "ids_without_face": self.all_ids - len(self.truth.ids),
            "sketch": self.truth.sketch,
            "lines_redrawn_by": measures.redrawn.name if measures.wants("lines") else None,
            "size": self.faces.size,
            "filter": FILTER,
            "reference": settings.reference or settings.split,
            "styles": settings.styles if self.styles else None,
            "seed": settings.seed,
            "parser": measures.parser.source if measures.parser else None,
            "weights_sha256": measures.digests,
        }

    def _figures(self) -> dict[str, Figure]:
        measures = self.measures
        summary = Summary(
            self.pairs,
            measures.metrics,
            self.dataset.scheme,
            self.settings.seed,
            reference=self.others["reference"][1] if "reference" in self.others else None,
            statistics=self.statistics,
        )
        summary.of_pictures("fidelity", [*PLAIN, "sharpness"])
        for network in measures.perceptual:
            summary.of_pictures("fidelity", [f"lpips_{network}"], **self._network(network))
        for describer in measures.recognisers if measures.wants("identity") else ():
            about = self._network(describer.name)
            summary.of_pictures("identity", [f"identity_{describer.name}"], **about)
            if len(self.pairs.ids) >= FEWEST:
                summary.of_persons(describer.name, **about)
        if measures.parser is not None:
            summary.of_regions(**self._network("parser"))
        redrawn = f"lines of faces drawn by {measures.redrawn.name}; photos: those of the true photo"
        summary.of_pictures("condition", LINES, note=redrawn)
        for network in ("inception", "vgg", "parser"):
            if network in measures.digests:
                names = names_on(network, measures.metrics)
                summary.of_network(network, names, **self._network(network), reference=self._reference)
        if measures.wants("memory"):
            for describer in measures.recognisers:
                about = self._network(describer.name)
                summary.of_memory(describer.name, self.others["training"][1], **about, reference="train")
        figures = dict(summary.figures)
        if self.statistics is not None and "fid" in figures:
            figures["fid"] = replace(figures["fid"], reference=str(self.settings.reference))
        if self.styles is not None:
            figures |= self._figures_of_styles(summary)
        return figures

    def _figures_of_styles(self, summary: Summary) -> dict[str, Figure]:
        assert self.styles is not None
        figures = {}
        for name in self.styles.names():
            network = "alex" if name.startswith("lpips") else "parser" if name.startswith("iou") else ""
            about: dict[str, Any] = self._network(network) if network else {}
            note = f"over {self.settings.styles} random styles, the same for all; the interval is over conditions alone"
            figures[name] = summary.mean(name, "diversity", self.styles.column(name), note=note, **about)
        return figures

    @property
    def _reference(self) -> str:
        """The split whose photos distances compare with; statistics are only Inception's moments, which the rest cannot use."""
        return self.settings.split if self.statistics is not None else self.settings.reference or self.settings.split

    def _network(self, name: str) -> dict[str, str]:
        resized = self.measures.filters[name]
        return {
            "network": name,
            "weights": self.measures.digests[name],
            "filter": FILTER if resized == "none" else f"{FILTER}, then {resized}",
        }

    def _pictures(self) -> dict[str, NDArray[Any]]:
        """The columns with one number a picture."""
        left_out = ("features_", "overlaps", "digest")
        names = [name for name in self.pairs.names() if not name.startswith(left_out)]
        return {name: self.pairs.column(name) for name in names}

    def _write_statistics(self) -> None:
        if len(self.pairs.ids) < FEWEST:
            return
        for network in sorted(set(self.measures.digests) & {"inception", "vgg", "parser"}):
            if f"features_{network}" in self.pairs.names():
                folder = make_folder(self.out / "statistics")
                Moments.of(self.pairs.each(f"features_{network}")).write(folder / f"{network}-faces.npz")
                Moments.of(self.pairs.each(f"features_{network}@photo")).write(folder / f"{network}-photos.npz")


def _check_scheme(translator: Translator, dataset: Dataset) -> None:
    if translator.config.condition == "labels" and translator.scheme.classes != dataset.scheme.classes:
        raise InputError(
            f"{translator.path} takes label maps of {translator.scheme.name}, the dataset has {dataset.scheme.name}; convert "
            "them with `facesynth prep remap`"
        )
