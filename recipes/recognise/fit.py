"""The classifier of ``facesynth/kinds.py``: ``python recipes/recognise/fit.py PHOTOS [--people N] [--each N] [--seed N]``.

Needs scikit-learn (``pip install scikit-learn``). PHOTOS holds photos of faces, cropped like portraits; every eighth may be
used. From these, whose label maps the bundled parser makes, from as many drawn portraits and every other hand-made drawing,
``benchmarks/recognise_inputs.py`` makes photos, label maps and sketches in every form, more of those that are hard to tell:
drawings on paper, label maps, blank sheets. Those that exact evidence does not decide are measured, and scikit-learn's logistic
regression is fitted to the numbers. The least probability of an answer is the smallest with which, in a fit to the others, at
most 0.5 % of the inputs of every fourth person are wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from recognise_inputs import (  # noqa: E402
    Person,
    all_inputs,
    blank_inputs,
    drawn_people,
    given_people,
    hand_made,
    label_inputs,
    limited,
    sketch_inputs,
    sketches_of,
)

from facesynth import kinds  # noqa: E402
from facesynth.images import Picture  # noqa: E402
from facesynth.model.inference.parser import SHIPPED_PARSER, Parser  # noqa: E402

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_WRONG = 0.005
"""Largest share of wrong answers to inputs of people who were not fitted to."""
HELD_OUT = 4
"""Every so many people are not fitted to while the least probability is chosen."""


class Measured(NamedTuple):
    """An input: its kind, how it was made, whose it is, and the numbers; none if exact evidence decides."""

    kind: str
    group: str
    person: int
    values: dict[str, float] | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--people", type=int, default=50, help="of each source")
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "facesynth" / "kinds.json")
    given = parser.parse_args()
    photos = sorted(given.photos.rglob("*.jpg"))[::8]
    photos = photos[:: max(1, len(photos) // given.people)][: given.people]
    jobs = [(given.seed, number, given.each, None) for number in range(given.people)]
    jobs += [(given.seed, given.people + number, given.each, path) for number, path in enumerate(photos)]
    with ProcessPoolExecutor(given.processes) as pool:
        inputs = [each for some in pool.map(measured, jobs) for each in some]
    inputs += drawings(given.seed, given.each)
    write(inputs, given.out)


def measured(job: tuple[int, int, int, Path | None]) -> list[Measured]:
    """The inputs of a person, drawn or from a photo."""
    cv2.setNumThreads(1)
    seed, number, each, path = job
    person = limited(drawn_people(seed + 100 * number, 1, size=320)[0] if path is None else given_people([path])[0])
    if path is not None:
        person = Person(person.photo, _parser().parse(person.photo))
    rng = np.random.default_rng([seed, number])
    inputs = list(all_inputs([person], [], rng, each=each))
    for name, sketch in sketches_of(person, rng, each):
        inputs += sketch_inputs(sketch, rng, 1, source=name, change_to="paper")
    if person.labels is not None:
        inputs += label_inputs(person.labels, rng, 2 * each)
    inputs += blank_inputs(rng, each)
    return [_measured(found.kind, found.group, found.data, number) for found in inputs]


def drawings(seed: int, each: int) -> list[Measured]:
    """The inputs of hand-made drawings."""
    rng = np.random.default_rng([seed, 1 << 20])
    return [
        _measured(found.kind, found.group, found.data, number)
        for number, (name, sketch) in enumerate(hand_made(0, 2))
        for found in sketch_inputs(sketch, rng, each, source=name)
    ]


def _measured(kind: str, group: str, data: bytes, person: int) -> Measured:
    rgb = kinds.undecided(Picture(data, Path(group)))
    return Measured(kind, group, person, None if rgb is None else kinds.measure(rgb))


@lru_cache(maxsize=1)
def _parser() -> Parser:
    return Parser.from_pretrained(SHIPPED_PARSER, device="cpu")


def write(inputs: Sequence[Measured], out: Path) -> None:
    """Fit to the inputs and write the classifier."""
    is_held = np.array([each.person % HELD_OUT == 0 for each in inputs])
    undecided = [(each, held) for each, held in zip(inputs, is_held, strict=True) if each.values is not None]
    names = list(undecided[0][0].values or ())
    values = np.array([[(each.values or {})[name] for name in names] for each, _ in undecided])
    truth = np.array([each.kind for each, _ in undecided])
    held = np.array([is_held for _, is_held in undecided])
    mean, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    scaled = np.clip((values - mean) / scale, -4, 4)
    sure = least_probability(_fitted(scaled[~held], truth[~held]), scaled[held], truth[held], int(is_held.sum()))
    regression = _fitted(scaled, truth)
    stored: dict[str, Any] = {
        "made_by": "recipes/recognise/fit.py",
        "pictures": len(truth),
        "kinds": regression.classes_.tolist(),
        "sure": sure,
        "bias": [round(float(value), 4) for value in regression.intercept_],
        "measures": {
            name: [float(f"{value:.5g}") for value in (mean[index], scale[index], *regression.coef_[:, index])]
            for index, name in enumerate(names)
        },
    }
    out.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    right = np.mean(regression.predict(scaled) == truth)
    print(f"{out}: {len(inputs)} inputs, {len(truth)} measured, {right:.1%} of these right; sure from {sure}")


def _fitted(scaled: NDArray[np.float64], truth: NDArray[np.str_]) -> LogisticRegression:
    return LogisticRegression(C=1.0, max_iter=2000).fit(scaled, truth)


def least_probability(
    regression: LogisticRegression, scaled: NDArray[np.float64], truth: NDArray[np.str_], count: int
) -> float:
    """The smallest with which at most :data:`MOST_WRONG` of ``count`` inputs are wrong, in steps of 0.05."""
    chances = regression.predict_proba(scaled)
    is_wrong = regression.classes_[chances.argmax(axis=1)] != truth
    for sure in (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9):
        sure_of = chances.max(axis=1) >= sure
        print(f"  {sure}: wrong {np.sum(is_wrong & sure_of) / count:.2%}, unsure {np.sum(~sure_of) / count:.2%}")
        if np.sum(is_wrong & sure_of) <= MOST_WRONG * count:
            return sure
    return 0.95


if __name__ == "__main__":
    main()
