"""The classifier of ``facesynth/kinds.py``: ``python recipes/recognise/fit.py PHOTOS [--people N] [--each N] [--seed N]``.

PHOTOS holds photos of faces, cropped like portraits; every eighth is used. From these, from drawn portraits and every other
hand-made drawing, ``benchmarks/recognise_inputs.py`` makes photos, label maps and sketches in every form. Those that exact
evidence does not decide are measured, and scikit-learn's logistic regression is fitted to the numbers.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from recognise_inputs import all_inputs, drawn_people, given_people, hand_made, limited  # noqa: E402

from facesynth import kinds  # noqa: E402
from facesynth.images import Picture  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "facesynth" / "kinds.json")
    given = parser.parse_args()
    photos = sorted(given.photos.rglob("*.jpg"))[::8]
    photos = photos[: given.people]
    people = [limited(person) for person in drawn_people(given.seed, given.people, size=320) + given_people(photos)]
    rng = np.random.default_rng(given.seed)
    rows, truth = [], []
    for each in all_inputs(people, hand_made(0, 2), rng, each=given.each):
        rgb = kinds.undecided(Picture(each.data, Path(each.group)))
        if rgb is not None:
            rows.append(kinds.measure(rgb))
            truth.append(each.kind)
    fit(rows, truth, given.out)


def fit(rows: list[dict[str, float]], truth: list[str], out: Path) -> None:
    names = list(rows[0])
    values = np.array([[row[name] for name in names] for row in rows])
    mean, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    regression = LogisticRegression(C=1.0, max_iter=2000)
    regression.fit(np.clip((values - mean) / scale, -4, 4), truth)
    stored = {
        "made_by": "recipes/recognise/fit.py",
        "pictures": len(rows),
        "kinds": regression.classes_.tolist(),
        "bias": [round(float(value), 4) for value in regression.intercept_],
        "measures": {
            name: [float(f"{value:.5g}") for value in (mean[index], scale[index], *regression.coef_[:, index])]
            for index, name in enumerate(names)
        },
    }
    lines = json.dumps(stored, indent=1)
    out.write_text(lines + "\n", encoding="utf-8")
    right = np.mean(regression.predict(np.clip((values - mean) / scale, -4, 4)) == np.array(truth))
    print(f"{out}: {len(rows)} pictures, {right:.1%} right")


if __name__ == "__main__":
    main()
