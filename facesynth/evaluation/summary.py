"""From the measurements of all pictures to one figure a metric, with its interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from facesynth.evaluation.catalogue import better
from facesynth.evaluation.measures import ON_NETWORK
from facesynth.evaluation.metrics import distances, sampling
from facesynth.evaluation.metrics.distances import KernelDistance, Moments
from facesynth.evaluation.metrics.regions import iou_by_class, pixel_accuracy
from facesynth.evaluation.metrics.sampling import Interval
from facesynth.evaluation.results import Figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.evaluation.blocks import Blocks
    from facesynth.labels import LabelScheme

SAMPLED = 3000
"""The most pictures whose features are compared one by one, chosen by the seed; Frechet distances take all."""
KERNEL_RESAMPLES = 200
FEW_FOR_FID = 5000
"""With fewer pictures FID says more of their number than of their quality, and KID is told first."""
_MEANS = "bootstrap over pictures, 1000 resamples, percentiles"


class Summary:
    """Figures of measurements.

    Parameters
    ----------
    pairs : Blocks
        Measurements of faces and their photos.
    metrics : collection of str
    scheme : LabelScheme
    seed : int
    reference : Blocks, optional
        Features of other photos to compare the faces with; by default those of the pairs.
    statistics : Moments, optional
        Of Inception's features, to compare the faces with instead.
    """

    def __init__(
        self,
        pairs: Blocks,
        metrics: Iterable[str],
        scheme: LabelScheme,
        seed: int,
        *,
        reference: Blocks | None = None,
        statistics: Moments | None = None,
    ) -> None:
        self.pairs, self.metrics, self.scheme, self.seed = pairs, set(metrics), scheme, seed
        self.reference, self.statistics = reference, statistics
        self.columns = set(pairs.names())
        self.figures: dict[str, Figure] = {}

    # ------------------------------------------------------------------------------------------------- one a picture

    def of_pictures(self, group: str, names: Iterable[str], **about: Any) -> None:
        """The means of columns."""
        for name in names:
            if name in self.columns:
                own = self.pairs.column(f"{name}@photo") if f"{name}@photo" in self.columns else None
                self.figures[name] = self.mean(name, group, self.pairs.column(name), own, **about)

    def mean(
        self, name: str, group: str, values: NDArray[Any], own: NDArray[Any] | None = None, **about: Any
    ) -> Figure:
        """The mean of values of which some may be missing."""
        kept = values[~np.isnan(values)]
        value = float(kept.mean()) if len(kept) else np.nan
        low, high = sampling.of_mean(values, self.seed)
        if np.isinf(kept).any():
            low = high = np.nan
        of_photos = float(np.nanmean(own)) if own is not None and not np.isnan(own).all() else np.nan
        return Figure(
            value,
            low,
            high,
            len(kept),
            of_photos,
            group,
            better(name),
            interval=_MEANS if len(kept) > 1 else "",
            **about,
        )

    def of_regions(self, **about: Any) -> None:
        """Pixel accuracy and IoU by class, over all pixels of the set, and the mean over pictures."""
        if "overlaps" not in self.columns:
            return
        pixels, own = (self.pairs.column(name).astype(np.float64) for name in ("overlaps", "overlaps@photo"))
        present = pixels.sum(0)[1] > 0
        resampled = sampling.sums(pixels, self.seed) if len(pixels) > 1 else None
        per_class = iou_by_class(pixels.sum(0)), iou_by_class(own.sum(0))
        by_class = None if resampled is None else iou_by_class(resampled)
        told = {"group": "condition", "better": "high", "interval": _MEANS if len(pixels) > 1 else "", **about}

        def add(name: str, value: float, of_photos: float, interval: Interval, n: int) -> None:
            self.figures[name] = Figure(float(value), *interval, n=n, photos=float(of_photos), **told)

        if "pixel_accuracy" in self.metrics:
            interval = _interval(None if resampled is None else pixel_accuracy(resampled))
            value, of_photos = (float(pixel_accuracy(each.sum(0))) for each in (pixels, own))
            add("pixel_accuracy", value, of_photos, interval, len(pixels))
        if "miou" not in self.metrics:
            return
        means = None if by_class is None else np.nanmean(by_class[:, present], axis=1)
        value, of_photos = (float(np.nanmean(each[present])) for each in per_class)
        add("miou", value, of_photos, _interval(means), len(pixels))
        for number in np.flatnonzero(present):
            n = int((pixels[:, 1, number] > 0).sum())
            name = f"iou_{self.scheme.classes[number]}"
            interval = _interval(None if by_class is None else by_class[:, number])
            add(name, per_class[0][number], per_class[1][number], interval, n)
        self.of_pictures("condition", ["picture_iou"], **about)

    # ----------------------------------------------------------------------------------------------------- distributions

    def of_network(self, network: str, names: Mapping[str, str], /, **about: Any) -> None:
        """The distances of a network's features.

        Parameters
        ----------
        network : str
        names : mapping of str to str
            The figures' names: kernel, frechet, precision and recall; only those that are wanted.
        """
        column = f"features_{network}"
        if column not in self.columns or not names:
            return
        true = self.reference or self.pairs
        rng = np.random.default_rng(self.seed)
        is_paired = self.reference is None
        chosen = _chosen(len(self.pairs.ids), rng)
        chosen_true = chosen if is_paired else _chosen(len(true.ids), rng)
        made = self.pairs.sample(column, chosen).astype(np.float64)
        photos = true.sample(f"{column}@photo", chosen_true).astype(np.float64)
        told = {"group": "distribution", **about}
        if "kernel" in names:
            self._kernel(names["kernel"], made, photos, is_paired, told)
        if "frechet" in names:
            self._frechet(names["frechet"], network, made, photos, true, told)
        if "precision" in names and min(len(made), len(photos)) > distances.NEIGHBOURS:
            for name, each in zip(("precision", "recall"), distances.precision_recall(made, photos), strict=True):
                note = "of manifolds of the three nearest neighbours; the interval takes them as given"
                self.figures[names[name]] = self.mean(names[name], note=note, values=each.astype(float), **told)

    def _kernel(
        self, name: str, made: NDArray[Any], photos: NDArray[Any], is_paired: bool, about: Mapping[str, Any]
    ) -> None:
        distance = KernelDistance(made, photos)
        weights = sampling.counts(len(made), self.seed, KERNEL_RESAMPLES)
        others = weights if is_paired else sampling.counts(len(photos), self.seed + 1, KERNEL_RESAMPLES)
        value, resampled = distance(), sampling.resampled(distance, weights, others)
        self.figures[name] = Figure(
            value,
            *sampling.around(value, resampled),  # where a picture is in both sets, resampling shifts the value
            n=len(made),
            photos=_halves(photos, distances.kid),
            better="low",
            interval=f"1.96 standard deviations of {KERNEL_RESAMPLES} bootstrap resamples",
            note="unbiased, so it may be below 0; photos: one half of them against the other",
            **about,
        )

    def _frechet(
        self, name: str, network: str, made: NDArray[Any], photos: NDArray[Any], true: Blocks, about: Mapping[str, Any]
    ) -> None:
        given = self.statistics if network == "inception" else None
        value, halves = self._frechet_value(network, made, photos, true, given)
        smaller = min(len(self.pairs.ids), len(true.ids) if given is None else len(self.pairs.ids))
        resamples = 100 if min(len(made), made.shape[1]) <= 300 else 20 if made.shape[1] <= 600 else 8
        weights = sampling.counts(len(made), self.seed, resamples)
        others = weights if true is self.pairs else sampling.counts(len(photos), self.seed + 1, resamples)
        if given is None:
            spread = [distances.weighted_frechet(made, photos, *rows) for rows in zip(weights, others, strict=True)]
        else:
            spread = [distances.frechet_to(np.repeat(made, row, axis=0), given) for row in weights]
        note = "biased upward by few pictures"
        if smaller < FEW_FOR_FID:
            note += f": {smaller} of them, so compare it only with the same number, and read the kernel distance first"
        self.figures[name] = Figure(
            value,
            *sampling.around(value, spread, np.sqrt(len(made) / len(self.pairs.ids)), least=0.0),
            n=len(self.pairs.ids),
            photos=halves,
            better="low",
            interval=f"1.96 standard deviations of {resamples} bootstrap resamples",
            note=f"{note}; photos: one half of them against the other",
            **about,
        )

    def _frechet_value(
        self, network: str, made: NDArray[Any], photos: NDArray[Any], true: Blocks, given: Moments | None
    ) -> tuple[float, float]:
        """The distance over all pictures, and that of the photos' halves; without large matrices where there are few."""
        column = f"features_{network}"
        halves = _halves(photos, lambda a, b: distances.weighted_frechet(a, b, np.ones(len(a)), np.ones(len(b))))
        if max(len(self.pairs.ids), len(true.ids)) <= SAMPLED:
            if given is not None:
                return distances.frechet_to(made, given), halves
            return distances.weighted_frechet(made, photos, np.ones(len(made)), np.ones(len(photos))), halves
        of_photos = given or Moments.of(true.each(f"{column}@photo"))
        return distances.frechet_distance(Moments.of(self.pairs.each(column)), of_photos), halves

    # ------------------------------------------------------------------------------------------------- persons and memory

    def of_persons(self, network: str, /, **about: Any) -> None:
        """How often the true person is the nearest of all photos."""
        column = f"features_{network}"
        made, photos = self.pairs.column(column), self.pairs.column(f"{column}@photo")
        own = np.linalg.norm(made.astype(np.float64) - photos, axis=1)
        others = distances.nearest(made, photos, leave_out=np.arange(len(made)))
        name = f"person_{network}"
        note = f"how often the true person is the nearest of {len(photos)} photos"
        self.figures[name] = self.mean(name, "identity", (own <= others).astype(float), note=note, **about)

    def of_memory(self, network: str, known: Blocks, /, **about: Any) -> None:
        """How near faces are to training photos."""
        column = f"features_{network}"
        made, photos = self.pairs.column(column), self.pairs.column(f"{column}@photo")
        train = known.column(f"{column}@photo")
        of_made, of_photos = (distances.nearest(each, train) for each in (made, photos))
        note = f"distance to the nearest of {len(train)} training photos; photos: that of the held-out photos"
        self.figures[f"nearest_train_{network}"] = self.mean(
            "nearest_train", "memory", of_made, of_photos, note=note, **about
        )
        number = min(len(train), len(photos) - 1)
        if number < 2:
            return
        some = np.random.default_rng(self.seed).choice(len(train), number, replace=False)
        held_out = distances.nearest(made, photos, leave_out=np.arange(len(made)))
        nearer = distances.nearest(made, train[np.sort(some)]) < held_out
        note = (
            f"share of faces nearer to one of {number} training photos than to one of as many held-out photos, the own apart; "
            "0.5 where nothing is remembered"
        )
        self.figures[f"closer_to_train_{network}"] = self.mean(
            "closer_to_train", "memory", nearer.astype(float), note=note, **about
        )


def names_on(network: str, metrics: Iterable[str]) -> dict[str, str]:
    """The figures of a network's features that some metrics ask for."""
    wanted, found = set(metrics), {}
    kernel, frechet = ON_NETWORK[network][:2]
    if kernel in wanted:
        found["kernel"] = kernel
    if frechet in wanted:
        found["frechet"] = frechet
    if "precision_recall" in ON_NETWORK[network] and "precision_recall" in wanted:
        found |= {name: f"{name}_{network}" for name in ("precision", "recall")}
    return found


def with_common(figures: Mapping[str, Figure], **common: Any) -> dict[str, Figure]:
    """Figures with what they have in common; what a figure says itself stays."""
    return {
        name: dataclasses.replace(figure, **{key: value for key, value in common.items() if not getattr(figure, key)})
        for name, figure in figures.items()
    }


def _chosen(number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    if number <= SAMPLED:
        return np.arange(number)
    return np.sort(rng.choice(number, SAMPLED, replace=False))


def _halves(photos: NDArray[Any], distance: Any) -> float:
    """The distance of every other photo to the rest; NaN if there are too few."""
    return float(distance(photos[::2], photos[1::2])) if len(photos) >= 4 else float("nan")


def _interval(values: NDArray[Any] | None) -> Interval:
    return Interval(np.nan, np.nan) if values is None else sampling.percentiles(values)
