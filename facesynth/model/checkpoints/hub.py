"""Files on the Hugging Face Hub: a repository's name in, the path of a file of it out, downloaded or from the Hub's cache."""

from __future__ import annotations

import re
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from facesynth.errors import CheckpointError, reason_of
from facesynth.model.checkpoints.native import MODEL_FILE

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

PATIENCE = 5.0
"""Seconds to wait for the Hub's first answer."""
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WEIGHTS = (".safetensors", ".pt", ".pth", ".pkl", ".ckpt", ".bin")


def is_repository(text: str) -> bool:
    """Whether a string may be a repository's name, ``owner/name``, rather than a path.

    A name with the suffix of a weights file is a path, and so is one whose parent folder exists.

    Examples
    --------
    >>> is_repository("owner/name"), is_repository("runs/a.safetensors"), is_repository("./run"), is_repository("run")
    (True, False, False, False)
    """
    path = Path(text)
    return bool(_REPOSITORY.fullmatch(text)) and path.suffix.lower() not in _WEIGHTS and not path.parent.exists()


def fetch(repository: str, **options: Any) -> Path:
    """The local path of a repository's model file, downloaded or from the cache.

    Parameters
    ----------
    repository : str
        ``owner/name``.
    **options
        Passed to :func:`huggingface_hub.hf_hub_download`.

    Raises
    ------
    CheckpointError
        If the file cannot be fetched; the message says why.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    is_none = f"{repository} is nothing on this machine: give a checkpoint file, or the --out of `facesynth train`"
    try:
        return Path(hf_hub_download(repository, MODEL_FILE, library_name="facesynth", **options))
    except HFValidationError as error:
        raise CheckpointError(is_none) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(f"{is_none}; and there is no such repository on the Hugging Face Hub") from error
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{is_none}; nor is it in the Hub's cache, and the Hub cannot be reached from here"
        ) from error
    except EntryNotFoundError as error:
        raise CheckpointError(
            f"the repository {repository} holds no {MODEL_FILE}; needed: one that facesynth wrote"
        ) from error
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"{is_none}; and the Hugging Face Hub says: {reason}") from error


def address(repository: str, file: str, *, revision: str | None = None) -> str:
    """The URL of a file on the Hub, or on the mirror that ``HF_ENDPOINT`` names."""
    from huggingface_hub import hf_hub_url

    return hf_hub_url(repository, file, revision=revision)


def cached(
    repository: str, file: str, *, revision: str | None = None, cache_dir: Path | str | None = None
) -> Path | None:
    """The path of a file in the Hub's cache, None if it is not there. The network is not used."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file, cache_dir=cache_dir, revision=revision)
    return Path(found) if isinstance(found, str) else None


def look_up(
    repository: str, file: str, *, revision: str | None = None, token: str | bool | None = None
) -> HfFileMetadata:
    """Size and digest of a file as the Hub states them, from one request without retries.

    ``hf_hub_download`` retries for about half a minute if there is no network.

    Raises
    ------
    CheckpointError
        If the Hub does not answer in time, or has no such file. The text is the reason alone.
    """
    from huggingface_hub import get_hf_file_metadata
    from huggingface_hub.errors import OfflineModeIsEnabled

    answer: list[HfFileMetadata | Exception] = []

    def ask() -> None:
        url = address(repository, file, revision=revision)
        try:
            answer.append(get_hf_file_metadata(url, token=token, timeout=PATIENCE, library_name="facesynth"))
        except Exception as error:  # which HTTP library's errors these are depends on huggingface_hub's version
            answer.append(error)

    asking = Thread(target=ask, daemon=True)  # resolving a host name knows no time limit
    asking.start()
    asking.join(2 * PATIENCE)
    if not answer:
        raise CheckpointError(f"the Hub did not answer within {2 * PATIENCE:.0f} s")
    if isinstance(answer[0], OfflineModeIsEnabled):
        raise CheckpointError("HF_HUB_OFFLINE is set")
    if isinstance(answer[0], Exception):
        raise CheckpointError(_reason(answer[0])) from answer[0]
    return answer[0]


def download(repository: str, file: str, **options: Any) -> Path:
    """The path of a file of the Hub in its cache, downloaded if it is not there.

    Parameters
    ----------
    repository, file : str
    **options
        Passed to :func:`huggingface_hub.hf_hub_download`, which shows the progress and continues after a lost connection.

    Raises
    ------
    CheckpointError
        If the file cannot be downloaded. The text is the reason alone.
    """
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, file, library_name="facesynth", **options))
    except Exception as error:
        raise CheckpointError(_reason(error)) from error


def forget(path: Path) -> None:
    """Remove a file from the Hub's cache, where it is a link to its content."""
    while path.is_symlink():
        target = path.parent / path.readlink()
        path.unlink()
        path = target
    path.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    """Why the Hub gave no file, in a few words."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    if isinstance(error, LocalEntryNotFoundError):
        return "the Hub cannot be reached"
    if isinstance(error, GatedRepoError):
        return "the Hub gives access to this repository on request only"
    if isinstance(error, RepositoryNotFoundError):
        return "the Hub has no such repository, or none that is public"
    if isinstance(error, EntryNotFoundError):
        return "the Hub has no such file any more"
    said = reason_of(error)
    return f"the Hub says: {said}" if isinstance(error, HfHubHTTPError) else f"the Hub cannot be reached: {said}"
