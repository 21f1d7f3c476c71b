"""Photos of faces in; square crops with FFHQ's alignment out: upright, with eyes and mouth at fixed positions.

Landmarks are (x, y) in pixels of the photo, with the pixel centres at whole numbers. :func:`face_square` computes an oriented
square from them, and :func:`crop_square` the crop. Only :class:`MeshDetector` needs mediapipe; any function that returns the
landmarks of every face in a photo can replace it.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from facesynth import images
from facesynth.errors import InputError, PictureError, reason_of
from facesynth.files import make_folder, pictures_in, remove, replacing, resolved
from facesynth.manifest import NEEDED_ID, is_new_id
from facesynth.prep.pipeline.dataset import FINDING_COLUMNS, FINDINGS
from facesynth.prep.pipeline.findings import Refused, cells

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    Points = NDArray[np.float32]

Detector = Callable[["NDArray[np.uint8]"], "Sequence[Points]"]
"""An (H, W, 3) uint8 RGB photo in; the landmarks of every face out, each (N, 2) float32."""

Progress = Callable[[Iterable[Any], int], Iterable[Any]]
"""Wraps an iterable of known length to display the progress."""

LANDMARKS = "landmarks.npz"
"""Holds ``ids``, (N,) str, sorted; ``landmarks``, (N, 478, 2) float32, x and y in pixels of the crops; ``size``, their side."""

RIGHT_EYE = (33, 160, 158, 133, 153, 144)
LEFT_EYE = (362, 385, 387, 263, 373, 380)
"""Mesh points at the corners and lids of the person's eyes; their mean is the position of the eye."""
MOUTH_CORNERS = (61, 291)
"""Mesh points at the person's right and left corner of the mouth."""

BLUR = 0.02
"""Standard deviation of the blur beyond the photo's border, in sides of the square."""
REACH = 0.3
"""Distance beyond the photo's border at which it has faded to the median colour, in sides of the square."""


# -------------------------------------------------------------------------------------------------------------- geometry


def face_square(landmarks: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The oriented square of FFHQ's alignment around a face.

    It follows Karras, Laine and Aila, "A Style-Based Generator Architecture for Generative Adversarial Networks", CVPR 2019,
    appendix A: its sides run along the line of the eyes, corrected by the line from the eyes to the mouth; its size is four
    times the distance of the eyes or 3.6 times that of eyes and mouth, whichever is more.

    Parameters
    ----------
    landmarks : (N, 2) float array, N >= 388
        Mesh points, pixels of the photo.

    Returns
    -------
    (4, 2) float64 array
        Corners relative to the upright face: top left, bottom left, bottom right, top right, in pixels of the photo.

    Raises
    ------
    InputError
        If there are too few points, some are not finite, or eyes and mouth coincide.

    Examples
    --------
    >>> mesh = np.zeros((478, 2), np.float32)
    >>> mesh[list(RIGHT_EYE)], mesh[list(LEFT_EYE)] = (40, 50), (60, 50)
    >>> mesh[list(MOUTH_CORNERS)] = (42, 70), (58, 70)
    >>> face_square(mesh).round().tolist()
    [[10.0, 12.0], [10.0, 92.0], [90.0, 92.0], [90.0, 12.0]]
    """
    points = np.asarray(landmarks, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) <= max(LEFT_EYE):
        raise InputError(f"landmarks have the shape {points.shape}; needed: (N, 2) with all of the face mesh's points")
    right, left = points[list(RIGHT_EYE)].mean(0), points[list(LEFT_EYE)].mean(0)
    eyes, across = (right + left) / 2, left - right
    down = points[list(MOUTH_CORNERS)].mean(0) - eyes
    x = across + np.array([down[1], -down[0]])  # the line of the eyes and that of the mouth, turned by a right angle
    length = float(np.hypot(*x))
    if not length > 0 or not np.isfinite(length):
        raise InputError("landmarks are no face: eyes and mouth coincide, or are not finite")
    x *= max(np.hypot(*across) * 2.0, np.hypot(*down) * 1.8) / length
    y = np.array([-x[1], x[0]])
    centre = eyes + down * 0.1
    square: NDArray[np.float64] = np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])
    return square


def square_to_crop(square: NDArray[np.floating[Any]], size: int) -> NDArray[np.float64]:
    """The affine map from pixels of the photo to pixels of the crop.

    Parameters
    ----------
    square : (4, 2) float array
        As returned by :func:`face_square`.
    size : int
        Side of the crop, pixels.

    Returns
    -------
    (2, 3) float64 array
        Maps the square's corners to the outer corners of the crop, -0.5 and ``size`` - 0.5.

    Examples
    --------
    >>> square_to_crop(np.array([[9.5, 9.5], [9.5, 29.5], [29.5, 29.5], [29.5, 9.5]]), 10).round(3).tolist()
    [[0.5, 0.0, -5.25], [0.0, 0.5, -5.25]]
    """
    square = np.asarray(square, np.float64)
    x, y = (square[3] - square[0]) / size, (square[1] - square[0]) / size
    turned = np.linalg.inv(np.stack([x, y], 1))
    return np.concatenate([turned, (-turned @ square[0] - 0.5)[:, None]], 1)


def moved(points: NDArray[Any], matrix: NDArray[Any]) -> Points:
    """(N, 2) points, transformed by a (2, 3) affine map, float32."""
    went: Points = (np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return went


def crop_square(photo: NDArray[np.uint8], square: NDArray[np.floating[Any]], size: int) -> NDArray[np.uint8]:
    """Cut an oriented square out of a photo, upright.

    Beyond its border the photo is reflected; with the distance from the border the reflection is blurred and fades to the
    photo's median colour, so that no second face or hand appears there.

    Parameters
    ----------
    photo : (H, W, 3) uint8 array
        RGB.
    square : (4, 2) float array
        As returned by :func:`face_square`.
    size : int
        Side of the crop, pixels, at least 1.

    Returns
    -------
    (size, size, 3) uint8 array

    Examples
    --------
    >>> photo = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    >>> whole = np.array([[-0.5, -0.5], [-0.5, 3.5], [3.5, 3.5], [3.5, -0.5]])
    >>> bool((crop_square(photo, whole, 4) == photo).all())
    True
    """
    square = np.asarray(square, np.float64)
    side = float(np.hypot(*(square[3] - square[0])))
    finer = max(
        1, int(np.ceil(side / size - 0.05))
    )  # several samples per pixel if the crop is smaller than its part of the photo
    matrix = square_to_crop(square, size * finer)
    sampled = cv2.warpAffine(
        photo, matrix, (size * finer, size * finer), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    crop = cv2.resize(sampled, (size, size), interpolation=cv2.INTER_AREA) if finer > 1 else sampled
    outside = _outside(photo.shape, square, size) / side
    if outside.max() <= 0:
        return np.asarray(crop, np.uint8)
    sharp = crop.astype(np.float32)
    blurred = cv2.GaussianBlur(sharp, (0, 0), BLUR * size, borderType=cv2.BORDER_REFLECT_101)
    median = np.median(photo.reshape(-1, photo.shape[2]), 0).astype(np.float32)
    share = (outside / REACH)[..., None]
    sharp += (blurred - sharp) * np.clip(3 * share, 0, 1)
    sharp += (median - sharp) * np.clip(share, 0, 1)
    return np.clip(np.rint(sharp), 0, 255).astype(np.uint8)


def _outside(shape: tuple[int, ...], square: NDArray[np.floating[Any]], size: int) -> NDArray[np.float32]:
    """The distance of each pixel of the crop from the photo, (size, size), in pixels of the photo; 0 inside."""
    back = cv2.invertAffineTransform(square_to_crop(square, size))
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).reshape(-1, 2)
    x, y = moved(grid, back).T
    beyond = np.stack([-0.5 - x, x - shape[1] + 0.5, -0.5 - y, y - shape[0] + 0.5, np.zeros_like(x)])
    distance: NDArray[np.float32] = beyond.max(0).reshape(size, size)
    return distance


# -------------------------------------------------------------------------------------------------------------- detector


class MeshDetector:
    """The face mesh of mediapipe: 478 points per face, including those of the irises.

    Raises
    ------
    InputError
        If mediapipe is not installed.
    """

    def __init__(self) -> None:
        os.environ.setdefault("GLOG_minloglevel", "2")  # otherwise it logs its threads and delegates
        try:
            from mediapipe.python.solutions.face_mesh import FaceMesh
        except ImportError as error:
            raise InputError(
                "finding faces needs mediapipe 0.10.21, for Python below 3.13: pip install 'facesynth[align]'"
            ) from error
        self._mesh = FaceMesh(
            static_image_mode=True, max_num_faces=2, refine_landmarks=True, min_detection_confidence=0.5
        )

    def __call__(self, photo: NDArray[np.uint8]) -> list[Points]:
        """The meshes of up to two faces in an (H, W, 3) uint8 RGB photo, each (478, 2) float32."""
        height, width = photo.shape[:2]
        found = self._mesh.process(np.ascontiguousarray(photo)).multi_face_landmarks or ()
        faces = [np.array([(each.x, each.y) for each in face.landmark], np.float32) for face in found]
        return _different([face * (width, height) - np.float32(0.5) for face in faces])

    def __enter__(self) -> MeshDetector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mesh.close()


def _different(faces: Sequence[Points]) -> list[Points]:
    """Faces without duplicates, whose distance from another face is less than a third of their width."""
    kept: list[Points] = []
    for face in faces:
        face = face.astype(np.float32)
        width = float(np.ptp(face[:, 0]))
        if all(np.hypot(*(face.mean(0) - other.mean(0))) > width / 3 for other in kept):
            kept.append(face)
    return kept


# ----------------------------------------------------------------------------------------------------------------- stage


@dataclass
class Aligned:
    """The result of a call.

    Attributes
    ----------
    root : Path
        The folder that was written to.
    written : int
        Crops written.
    failures : list of (str, str, str)
        Photos that could not be aligned: id, kind of finding, detail, as in ``report.csv``.
    """

    root: Path
    written: int = 0
    failures: list[tuple[str, str, str]] = field(default_factory=list)


def unique_ids(files: Sequence[Path]) -> dict[str, Path]:
    """An id for each file: its stem; ``<folder>-<stem>`` if several files have the same stem.

    If this is not unique either, as for ``a.jpg`` and ``a.png`` in one folder, a number is appended.

    Examples
    --------
    >>> list(unique_ids([Path("x/1.jpg"), Path("y/1.jpg"), Path("y/1.png"), Path("y/2.png")]))
    ['x-1', 'y-1', 'y-1-2', '2']
    """
    stems = [file.stem for file in files]
    named: dict[str, Path] = {}
    for file in files:
        plain = file.stem if stems.count(file.stem) == 1 else f"{file.parent.name}-{file.stem}"
        identifier, number = plain, 1
        while identifier in named:
            number += 1
            identifier = f"{plain}-{number}"
        named[identifier] = file
    return named


def align_photos(
    photos: Sequence[Path],
    out: Path,
    *,
    size: int = 256,
    detector: Detector | None = None,
    progress: Progress | None = None,
) -> Aligned:
    """Crop the face of every photo, with FFHQ's alignment.

    Parameters
    ----------
    photos : sequence of Path
        Photos, or folders of them, with one face each.
    out : Path
        The folder for ``<id>.png``, :data:`LANDMARKS` and ``report.csv``; created if missing. Failed photos have no crop.
    size : int
        Side of the crops, 16 to 4096 pixels.
    detector : callable, optional
        Finds the faces; by default :class:`MeshDetector`.
    progress : callable, optional
        Displays the progress.

    Raises
    ------
    InputError
        If there is no photo, ``size`` is out of its range, ``out`` is the folder of the photos, or mediapipe is missing. A
        photo without a face, with several, or that cannot be read does not stop the others; it is listed in the failures.
    OutputError
        If ``out`` cannot be written.
    """
    if not 16 <= size <= 4096:
        raise InputError(f"size is {size}; needed: 16 to 4096 pixels")
    files = unique_ids(pictures_in(list(photos)))
    if resolved(out) in {resolved(file.parent) for file in files.values()}:
        raise InputError(f"the photos are in {out} already; give another folder, nothing is overwritten in place")
    if detector is None:
        with MeshDetector() as mesh:
            return _align(files, out, size, mesh, progress)
    return _align(files, out, size, detector, progress)


def _align(files: dict[str, Path], out: Path, size: int, detector: Detector, progress: Progress | None) -> Aligned:
    done = Aligned(make_folder(out))
    meshes: dict[str, Points] = {}
    for identifier, file in progress(files.items(), len(files)) if progress else files.items():
        try:
            pixels, meshes[identifier] = _align_one(identifier, file, size, detector)
        except (Refused, PictureError) as error:
            kind = error.kind if isinstance(error, Refused) else "unreadable"
            done.failures.append((identifier, kind, str(error)))
            remove(out / f"{identifier}.png")  # of an earlier run
            continue
        images.write_png(out / f"{identifier}.png", pixels)
        done.written += 1
    _write_landmarks(out / LANDMARKS, meshes, size)
    with replacing(out / FINDINGS) as beside, beside.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(FINDING_COLUMNS)
        rows.writerows(cells(("align", name, "error", kind, detail)) for name, kind, detail in sorted(done.failures))
    return done


def _align_one(identifier: str, file: Path, size: int, detector: Detector) -> tuple[NDArray[np.uint8], Points]:
    """The crop of a photo, (size, size, 3) uint8, and the landmarks in its pixels, (N, 2) float32."""
    if not is_new_id(identifier):
        raise Refused("no-id", NEEDED_ID)
    photo = images.read_photo(file)
    faces = detector(photo)
    if len(faces) != 1:
        kind, came = ("several-faces", "several faces") if faces else ("no-face", "no face")
        raise Refused(kind, f"{came} found in {file.name}; needed: one, of a good part of the photo's height")
    try:
        square = face_square(faces[0])
    except InputError as error:
        raise Refused("no-face", f"{file.name}: {error}") from error
    return crop_square(photo, square, size), moved(faces[0], square_to_crop(square, size))


def _write_landmarks(path: Path, meshes: dict[str, Points], size: int) -> None:
    ids = sorted(meshes)
    points = np.stack([meshes[name] for name in ids]) if ids else np.zeros((0, 478, 2), np.float32)
    with replacing(path) as beside, beside.open("wb") as stream:
        np.savez_compressed(stream, ids=np.array(ids, str), landmarks=points, size=np.int64(size))


def read_landmarks(folder: Path) -> dict[str, Points]:
    """The landmarks that :func:`align_photos` wrote into a folder, (478, 2) float32 each, by id.

    Raises
    ------
    InputError
        If there are none, or they cannot be read.
    """
    path = folder / LANDMARKS
    try:
        with np.load(path, allow_pickle=False) as held:
            return dict(zip(map(str, held["ids"]), held["landmarks"], strict=True))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; `facesynth prep align` writes it") from error
    except Exception as error:  # NumPy parses headers as Python, and lets its tokenizer's errors through
        raise InputError(f"cannot read {path}: {reason_of(error)}") from error
