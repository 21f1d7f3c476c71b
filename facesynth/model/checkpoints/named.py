"""Published weights by name: a name in, the path of the verified file out, downloaded if it is not on this machine.

::

    name -- PUBLISHED --> what is published -- fetch --> the file, its SHA-256 verified -- convert --> safetensors

A file comes from :func:`folder`, where it may be put by hand, from the Hugging Face Hub's cache or from the Hub.
:mod:`facesynth.model.checkpoints.load` converts it, once; later calls use the converted file in :func:`folder`, without network
and without computing the digest again.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from facesynth.errors import CheckpointError
from facesynth.files import make_folder, sha256_of
from facesynth.model.checkpoints import hub

log = logging.getLogger(__name__)

Holds = Literal["model", "generator", "recogniser"]
_DESCRIBED: dict[Holds, str] = {
    "model": "a model",
    "generator": "a generator alone; train an encoder for it with `facesynth train --generator`",
    "recogniser": "a face recogniser; `facesynth train --identity-weights` takes it",
}


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published file of weights.

    Attributes
    ----------
    name : str
        The name by which it is requested.
    holds : str
        model, generator or recogniser.
    file : str
        The file's name, in the repository and in :func:`folder`.
    repository : str
        ``owner/name`` on the Hugging Face Hub; empty if it is not there.
    sha256 : str
        The file's digest; empty if it is not known.
    size : int or None
        Its size in bytes, if known.
    source : str
        URL of the program that the weights were published with.
    licence : str
        The licence of that program, and what else applies to the weights.
    link : str
        Where to download the file by hand, if it is not on the Hub.
    """

    name: str
    holds: Holds
    file: str
    repository: str = ""
    sha256: str = ""
    size: int | None = None
    source: str
    licence: str
    link: str = ""

    @property
    def url(self) -> str:
        """Where the file can be downloaded by hand."""
        return self.link or hub.address(self.repository, self.file)

    @property
    def place(self) -> Path:
        """Where the file is found if it is put there by hand."""
        return folder() / self.file


_NVIDIA = "https://nvlabs.github.io/stylegan2/license.html"
_CONTAINED = f"the generator in it is NVIDIA's StyleGAN2 for FFHQ, for non-commercial use, see {_NVIDIA}"
_psp = partial(
    Published,
    holds="model",
    source="https://github.com/eladrich/pixel2style2pixel",
    licence=f"MIT (pixel2style2pixel); {_CONTAINED}",
)
_TABLE = (
    _psp(
        name="psp-sketch-to-face",
        file="psp_celebs_sketch_to_face.pt",
        repository="trysem/pixel2style2pixel",
        sha256="6a5058223b79a8db514d6b6815e9062dbb19fc752992ac2b967707cb49b64ed9",
    ),
    _psp(
        name="psp-seg-to-face",
        file="psp_celebs_seg_to_face.pt",
        link="https://drive.google.com/file/d/1VpEKc6E6yG3xhYuZ0cq8D2_1CbT0Dstz/view",
    ),
    _psp(
        name="psp-ffhq-encode",
        file="psp_ffhq_encode.pt",
        repository="trysem/pixel2style2pixel",
        sha256="f786ac5cf18fcdbc5c57c9f3f12cbedca69381fbdf5694dd132294e3133749d7",
    ),
    _psp(
        name="psp-super-resolution",
        file="psp_celebs_super_resolution.pt",
        repository="trysem/pixel2style2pixel",
        sha256="4285ae6f061e699c1a420b493869255b148868bbd8974ee9eec7209984c7585b",
    ),
    _psp(
        name="psp-frontalization",
        file="psp_ffhq_frontalization.pt",
        repository="trysem/pixel2style2pixel",
        sha256="da69df9c3edfe6671731346f2aca45ee92af5134c52c91b84422a359b6f6349f",
    ),
    Published(
        name="e4e-ffhq",
        holds="model",
        file="e4e_ffhq_encode.pt",
        repository="wmpscc/StyleGene",
        sha256="2ace1d9a8c05c10a399bcd500b8dda118f759ff1aac89dbdab7435f2136a0999",
        size=1_201_649_680,
        source="https://github.com/omertov/encoder4editing",
        licence=f"MIT (encoder4editing); {_CONTAINED}",
    ),
    Published(
        name="restyle-e4e-ffhq",
        holds="model",
        file="restyle_e4e_ffhq.pt",
        repository="trysem/restyle-e4e-ffhq",
        sha256="89afa8b3255be61425714397be11f07b34312d76ea22382ecf80001da617da5b",
        source="https://github.com/yuval-alaluf/restyle-encoder",
        licence=f"MIT (restyle-encoder); {_CONTAINED}",
    ),
    Published(
        name="stylegan2-ffhq",
        holds="generator",
        file="stylegan2-ffhq-config-f.pt",
        repository="akhaliq/OneshotCLIP-stylegan2-ffhq",
        sha256="bae494ef77e32a9cd1792a81a3c167692a0e64f6bcd8b06592ff42917e2ed46e",
        size=381_462_551,
        source="https://github.com/NVlabs/stylegan2",
        licence=f"NVIDIA's Source Code License-NC, for non-commercial use, see {_NVIDIA}",
    ),
    Published(
        name="ir-se50",
        holds="recogniser",
        file="InsightFace_Pytorch+model_ir_se50.pth",
        repository="lithiumice/ArcFace_PyTorch",
        sha256="a035c768259b98ab1ce0e646312f48b9e1e218197a0f80ac6765e88f8b6ddf28",
        size=175_367_323,
        source="https://github.com/TreB1eN/InsightFace_Pytorch",
        licence="MIT (InsightFace_Pytorch)",
    ),
)
PUBLISHED = {known.name: known for known in _TABLE}
"""The published weights that can be requested by name."""


def published(path: Path | str) -> Published | None:
    """What is published by this name; None if there is nothing, or a local file or folder has the name."""
    known = PUBLISHED.get(str(path))
    return None if known is None or Path(path).exists() else known


def need(known: Published, *holds: Holds) -> None:
    """Check that published weights hold what is needed, before they are downloaded.

    Raises
    ------
    CheckpointError
        If they hold something else.
    """
    if known.holds not in holds:
        raise CheckpointError(f"{known.name} is {_DESCRIBED[known.holds]}; needed here: a {' or a '.join(holds)}")


def folder() -> Path:
    """The folder for converted files and for files put there by hand, beside the Hub's cache."""
    from huggingface_hub import constants

    return Path(constants.HF_ASSETS_CACHE) / "facesynth" / "published"


# ------------------------------------------------------------------------------------------------------- converted files


def converted(known: Published) -> Path:
    """Where the file that is used from then on belongs, whether it exists or not.

    Its name contains the digest of the published file. If that is not known, it contains the size and the time of the file that
    was put into :func:`folder` by hand.
    """
    key = known.sha256[:16]
    if not key:
        try:
            about = known.place.stat()
        except FileNotFoundError:
            key = "missing"
        else:
            key = f"{about.st_size:x}-{about.st_mtime_ns:x}"
    suffix = Path(known.file).suffix if known.holds == "recogniser" else ".safetensors"
    return folder() / f"{known.name}-{key}{suffix}"


def ready(known: Published) -> Path | None:
    """The file that an earlier call converted, None if there is none."""
    path = converted(known)
    if path.is_file():
        return path
    if known.sha256 or known.place.exists():
        return None
    earlier = sorted(folder().glob(f"{known.name}-*.safetensors"), key=lambda file: file.stat().st_mtime_ns)
    return earlier[-1] if earlier else None  # the file that was put there by hand may be deleted


@contextmanager
def converting(known: Published) -> Iterator[None]:
    """Make :func:`folder`, and let other processes that need the same weights wait.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    from filelock import FileLock

    make_folder(folder())
    with FileLock(folder() / f".{known.name}.lock"):
        for leftover in folder().glob(f".{known.name}-*.part"):  # of a process that was killed
            leftover.unlink(missing_ok=True)
        yield


# --------------------------------------------------------------------------------------------------------------- fetching


def fetch(
    known: Published,
    *,
    revision: str | None = None,
    cache_dir: Path | str | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
) -> Path:
    """The published file, with the right SHA-256: put there by hand, from the Hub's cache, or downloaded.

    Parameters
    ----------
    known : Published
    revision, cache_dir, token, local_files_only, force_download
        As :func:`huggingface_hub.hf_hub_download` takes them.

    Raises
    ------
    CheckpointError
        If the file cannot be fetched, or has another digest; the message says where to get it and where to put it.
    """
    place = known.place
    if place.is_file():
        if known.sha256:
            _check(known, place, f"put another copy of {known.url} there, or delete it")
        else:
            log.info("%s: taking %s; its SHA-256 is not known here, so it is not verified", known.name, place)
        return place
    by_hand = f"download {known.file} from {known.url} and put it at {place}"
    if not known.repository:
        raise CheckpointError(f"{known.name} is not on the Hugging Face Hub; {by_hand}")
    where: dict[str, Any] = {"revision": revision, "cache_dir": cache_dir}
    cached = None if force_download else hub.cached(known.repository, known.file, **where)
    if cached is None:
        if local_files_only:
            raise CheckpointError(f"{known.name} is not on this machine and local_files_only is set; {by_hand}")
        try:
            _announce(known, hub.look_up(known.repository, known.file, revision=revision, token=token))
            cached = hub.download(known.repository, known.file, token=token, force_download=force_download, **where)
        except CheckpointError as error:
            raise CheckpointError(
                f"{known.name} is not on this machine and was not fetched: {error}; {by_hand}"
            ) from error
    _check_cached(known, cached)
    return cached


def _announce(known: Published, about: Any) -> None:
    """Say what will be downloaded, after checking that it is the published file, as far as the Hub's answer tells."""
    if re.fullmatch(r"[0-9a-f]{64}", about.etag or "") and about.etag != known.sha256:
        raise CheckpointError(f"the Hub has another file now, with SHA-256 {about.etag}; needed: {known.sha256}")
    size = known.size or about.size
    log.info(
        "%s: downloading %s, %s, from %s; published by %s; licence: %s",
        known.name,
        known.file,
        f"{size / 1e6:,.1f} MB" if size else "of unknown size",
        known.url,
        known.source,
        known.licence,
    )


def _check(known: Published, path: Path, advice: str) -> None:
    digest = sha256_of(path)
    if digest != known.sha256:
        raise CheckpointError(
            f"{path} is damaged or another file: its SHA-256 is {digest}; needed for {known.name}: {known.sha256}; {advice}"
        )


def _check_cached(known: Published, path: Path) -> None:
    """Check a file in the Hub's cache, and remove it from there if it is damaged."""
    try:
        _check(known, path, "it was removed; run the same again to fetch it anew")
    except CheckpointError:
        hub.forget(path)
        raise
