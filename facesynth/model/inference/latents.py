"""W+ latents as ``.npy`` files: (n_styles, style_dim) float32 arrays, read without unpickling."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facesynth.errors import InputError, PictureError, reason_of
from facesynth.files import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facesynth.model.config.model import ModelConfig

SUFFIX = ".npy"


def read_latents(path: Path, config: ModelConfig, data: bytes | None = None) -> NDArray[np.float32]:
    """The W+ latents of one face.

    Parameters
    ----------
    path : Path
        A ``.npy`` file of numbers: (n_styles, style_dim), or (style_dim,) for one w in all layers; leading axes of length 1 are
        allowed.
    config : ModelConfig
        Gives the sizes.
    data : bytes, optional
        The file's content, where it has been read already.

    Returns
    -------
    (n_styles, style_dim) float32 array

    Raises
    ------
    PictureError
        If the file cannot be read, has another shape, or holds values that are not finite.
    """
    try:
        with warnings.catch_warnings(), path.open("rb") if data is None else io.BytesIO(data) as file:
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # NumPy parses the header as Python, and lets its tokenizer's errors through
        reason = getattr(error, "strerror", None) or reason_of(error)
        raise PictureError(f"{path} cannot be read as latents (a .npy file of numbers): {reason}") from error
    needed = (config.n_styles, config.style_dim)
    shape = array.shape
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    if shape not in (needed, needed[1:]) or array.dtype.kind not in "fiu":
        raise PictureError(f"{path} holds {array.dtype} of shape {array.shape}; needed: numbers of shape {needed}")
    latents = np.broadcast_to(array.reshape(shape).astype(np.float32), needed)
    if not np.isfinite(latents).all():
        raise PictureError(f"{path} holds values that are not finite")
    return latents


def write_latents(path: Path, latents: NDArray[np.float32]) -> None:
    """Write the W+ latents of one face, (n_styles, style_dim) float32, atomically.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with replacing(path) as beside, beside.open("wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(latents, dtype=np.float32), allow_pickle=False)


def latents_in(paths: list[Path]) -> list[Path]:
    """The latents files in ``paths``: files, and the ``.npy`` files directly in folders, sorted by name.

    Raises
    ------
    InputError
        If a path does not exist, or a folder holds no such file.
    """
    found: list[Path] = []
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix == SUFFIX and not file.name.startswith("."))
            if not inside:
                raise InputError(
                    f"no latents in {path}; looked for *{SUFFIX}, as `facesynth translate --save-latents` writes"
                )
        elif not path.is_file():
            raise InputError(f"{path} does not exist; give a {SUFFIX} file of latents, or a folder of them")
        found += inside
    return found
