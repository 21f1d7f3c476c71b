"""Label maps of aligned photos: ``python recipes/photographs/label_maps.py ALIGNED OUT [--jobs N] [--only N]``.

ALIGNED is what ``facesynth prep align`` made. OUT gets ``<id>.png``, class ids of celebamask-hq, and ``refused.csv``, the
photos whose map cannot be right and why. Brows, eyes, nose, lips and mouth are polygons of the mesh; background, flesh,
hair and cloth come from ``areas.py``, in two passes: the second knows where each is in most photos. Beards are skin, as in
CelebAMask-HQ; hats, earrings and necklaces are not found. Needs mediapipe.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import joblib
import numpy as np
from areas import CLOTH, FLESH, GROUND, HAIR, enlarge, find_areas
from glasses import cut_strip, find_wearers, lenses
from mesh import CHIN, JAW, L_EAR, MOUTH, OVAL, R_EAR, features, grown, polygon

from facesynth import images
from facesynth.labels import CELEBAMASK_HQ
from facesynth.prep.align import read_landmarks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Area = NDArray[np.bool_]
    Floats = NDArray[np.float32]

COARSE = 128
"""Size, pixels, at which areas are found; their borders are then refined at the photo's own size."""
ID = {name: number for number, name in enumerate(CELEBAMASK_HQ.classes)}


def persons(photos: list[NDArray[np.uint8]]) -> list[Floats]:
    """Masks of the persons in photos, 0 to 1, by mediapipe's selfie segmentation."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

    masks = []
    with SelfieSegmentation(model_selection=0) as segment:
        for photo in photos:
            mirrored = np.ascontiguousarray(photo[:, ::-1])
            mask, other = (segment.process(picture).segmentation_mask for picture in (photo, mirrored))
            masks.append(((mask + other[:, ::-1]) / 2).astype(np.float32))
    return masks


def _largest(area: Area, touching: Area, least: float) -> Area:
    """The connected parts of an area that touch ``touching`` or have at least ``least`` pixels."""
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(area.astype(np.uint8), connectivity=4)
    meets = np.unique(pieces[touching & area])
    keep = [number for number in range(1, count) if number in meets or stats[number, cv2.CC_STAT_AREA] >= least]
    return np.isin(pieces, keep)


def mend(labels: NDArray[np.uint8], mesh: Floats) -> NDArray[np.uint8]:
    """A map without wrong pieces of hair: below the mouth they become cloth, within the face skin."""
    size = len(labels)
    mended = labels.copy()
    face = grown(polygon(mesh[list(OVAL)], size), 2)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats((labels == ID["hair"]).astype(np.uint8), connectivity=4)
    for number in range(1, count):
        piece = pieces == number
        if stats[number, cv2.CC_STAT_TOP] > mesh[MOUTH, 1]:
            mended[piece] = ID["cloth"]
        elif face[piece].all():
            mended[piece] = ID["skin"]
    return mended


def paint(photo: NDArray[np.uint8], mesh: Floats, chances: Floats, *, glasses: bool) -> NDArray[np.uint8]:
    """The label map of a photo, (H, H) uint8 ids of celebamask-hq."""
    size = len(photo)
    y, x = np.mgrid[:size, :size]
    oval = polygon(mesh[list(OVAL)], size)
    area = chances.argmax(0)
    speck = 0.0008 * size**2
    flesh = _largest(area == FLESH, oval, 1e9)
    hair = _largest(area == HAIR, grown(oval, 12), 6 * speck)
    hair &= _largest(hair, np.zeros_like(hair), speck)
    cloth = _largest(area == CLOTH, np.zeros_like(hair), 2 * speck)
    ground = _largest(area == GROUND, (x == 0) | (x == size - 1) | (y == 0), 2 * speck)
    labels = np.full((size, size), 255, np.uint8)
    # Flesh outside the face: the neck below the jaw, ears beside the face.
    jaw = mesh[list(JAW)]
    below_jaw = polygon(
        np.array([[size + 9, jaw[0, 1]], *jaw, [-9, jaw[-1, 1]], [-9, size + 9], [size + 9, size + 9]]), size
    )
    neck = flesh & below_jaw & ~oval
    labels[ground] = ID["background"]
    labels[flesh | oval] = ID["skin"]
    labels[neck] = ID["neck"]
    height = mesh[CHIN, 1] - mesh[10, 1]
    for name, points, side in (("l_ear", L_EAR, 1), ("r_ear", R_EAR, -1)):
        upper, middle, lower = mesh[list(points)]
        beyond = (x - np.interp(y, [upper[1], middle[1], lower[1]], [upper[0], middle[0], lower[0]])) * side
        ear = flesh & ~grown(oval, 1) & (beyond > 0) & (y > upper[1] - 0.05 * height) & (y < lower[1] + 0.14 * height)
        if ear.sum() > 0.0012 * size**2:
            labels[ear] = ID[name]
    labels[hair] = ID["hair"]
    labels[cloth] = ID["cloth"]
    # Pixels that belong to no area get the class of the nearest area.
    missing = labels == 255
    if missing.any():
        _, nearest = cv2.distanceTransformWithLabels(
            missing.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        ids = np.zeros(nearest.max() + 1, np.uint8)
        ids[nearest[~missing]] = labels[~missing]
        labels = np.where(missing, ids[nearest], labels)
    parts = features(mesh, size)
    labels[parts["nose"]] = ID["nose"]
    if glasses:
        worn = lenses(cut_strip(photo, mesh), mesh, size)
        labels[worn & (flesh | oval)] = ID["eye_g"]
    for name, part in parts.items():
        if name != "nose":
            labels[part] = ID[name]
    return mend(labels.astype(np.uint8), mesh)


def objection(labels: NDArray[np.uint8]) -> str:
    """Why a map is implausible; empty if it is plausible."""
    share = np.bincount(labels.ravel(), minlength=len(CELEBAMASK_HQ)) / labels.size
    limits = {
        "skin": (0.1, 0.55),
        "background": (0.02, 0.7),
        "hair": (0.0, 0.5),
        "cloth": (0.008, 0.4),
        "neck": (0.002, 0.2),
    }
    for name, (least, most) in limits.items():
        if not least <= share[ID[name]] <= most:
            return f"{name} covers {share[ID[name]]:.3f} of the map; needed: {least} to {most}"
    return ""


def overlay(photo: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A photo beside the same photo with its map as an overlay."""
    colours = images.colourise(labels, CELEBAMASK_HQ)
    return np.concatenate([photo, cv2.addWeighted(photo, 0.45, colours, 0.55, 0)], 1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("aligned", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", type=int, help="Use only every N-th photo, for a quick look.")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    meshes = read_landmarks(options.aligned)
    ids = sorted(meshes)[:: options.only or 1]
    photos = [images.read_photo(options.aligned / f"{name}.png") for name in ids]
    masks = [cv2.resize(mask, (COARSE, COARSE), interpolation=cv2.INTER_AREA) for mask in persons(photos)]
    coarse = [cv2.resize(photo, (COARSE, COARSE), interpolation=cv2.INTER_AREA) for photo in photos]
    small = [(meshes[name] + 0.5) * COARSE / len(photo) - 0.5 for name, photo in zip(ids, photos, strict=True)]
    with joblib.Parallel(n_jobs=options.jobs) as parallel:
        calls = list(zip(coarse, small, masks, strict=True))
        first = parallel(joblib.delayed(find_areas)(*call) for call in calls)
        usual = np.mean(first, 0)
        usual = np.stack([cv2.GaussianBlur(each, (0, 0), 2) for each in (usual + usual[:, :, ::-1]) / 2])
        second = parallel(
            joblib.delayed(find_areas)(*call, usual, before) for call, before in zip(calls, first, strict=True)
        )
    wearers = find_wearers([cut_strip(photo, meshes[name]) for name, photo in zip(ids, photos, strict=True)])
    with (options.out / "refused.csv").open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(("id", "why"))
        refused = 0
        for name, photo, chances, glasses in zip(ids, photos, second, wearers, strict=True):
            labels = paint(photo, meshes[name], enlarge(chances, photo), glasses=bool(glasses))
            if why := objection(labels):
                rows.writerow((name, why))
                refused += 1
                (options.out / f"{name}.png").unlink(missing_ok=True)
                continue
            images.write_labels(options.out / f"{name}.png", labels, CELEBAMASK_HQ)
    written = len(ids) - refused
    print(
        f"label maps in {options.out}: {written} written, {refused} refused (refused.csv); {wearers.sum()} with glasses"
    )


if __name__ == "__main__":
    main()
