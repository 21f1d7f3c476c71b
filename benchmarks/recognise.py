"""The recogniser on pictures whose kind is known: ``python benchmarks/recognise.py [--photos PHOTOS] [--real SAMPLE]``.

Without options: drawn portraits and hand-made drawings, other ones than ``recipes/recognise/fit.py`` takes. PHOTOS is a folder
of photos of faces in folders, without those that the recipe takes. SAMPLE is a folder with ``photos`` and ``labels`` of equal
names. Photos, label maps and sketches of them, in all forms of ``recognise_inputs``, and blank sheets are recognised. Printed
are a confusion table, the shares that are wrong and unsure, and each picture of either.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from recognise_inputs import all_inputs, drawn_people, given_people, hand_made, limited

from facesynth.images import Picture
from facesynth.kinds import recognise

KINDS = ("labels", "sketch", "photo", "blank", "unsure")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--people", type=int, default=24, help="of each source")
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--seed", type=int, default=2)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    people = drawn_people(1000 + given.seed, given.people, size=320)
    if given.photos:
        photos = sorted(given.photos.rglob("*.jpg"))[1::8]
        people += given_people(photos[:: max(1, len(photos) // given.people)][: given.people])
    if given.real:
        photos = sorted((given.real / "photos").iterdir())
        photos = photos[:: max(1, len(photos) // given.people)][: given.people]
        people += given_people(photos, given.real / "labels")
    table: Counter[tuple[str, str]] = Counter()
    rng = np.random.default_rng(given.seed)
    for each in all_inputs([limited(person) for person in people], hand_made(1, 2), rng, each=given.each):
        found = recognise(Picture(each.data, Path(each.group)))
        table[each.kind, found.kind] += 1
        if found.kind != each.kind:
            print(f"{each.group} -> {found.kind}: {found.reason}", flush=True)
    count = table.total()
    print("".join(f"{name:>9s}" for name in ("", *KINDS)))
    for kind in KINDS[:-1]:
        print(f"{kind:>9s}" + "".join(f"{table[kind, other]:9d}" for other in KINDS))
    unsure = sum(table[kind, "unsure"] for kind in KINDS)
    wrong = count - unsure - sum(table[kind, kind] for kind in KINDS)
    print(f"{count} pictures, wrong {wrong / count:.2%}, unsure {unsure / count:.2%}")


if __name__ == "__main__":
    main()
