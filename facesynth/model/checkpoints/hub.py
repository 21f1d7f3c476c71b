"""Models on the Hugging Face Hub: a repository's name in, the path of its downloaded model file out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from facesynth.errors import CheckpointError
from facesynth.model.checkpoints.native import MODEL_FILE

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
