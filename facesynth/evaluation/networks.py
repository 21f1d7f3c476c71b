"""Trained networks that describe pictures: 8-bit pictures in, arrays out, and the digest of the weights.

A network that is not on this machine is not replaced by another: :class:`Missing` says what would bring it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor

from facesynth import images
from facesynth.errors import CheckpointError
from facesynth.evaluation.inception import Inception
from facesynth.files import sha256_of
from facesynth.model.checkpoints import named, native
from facesynth.model.checkpoints.load import recogniser_state
from facesynth.model.data.tensors import photo_tensor
from facesynth.model.inference.parser import Parser
from facesynth.model.losses.identity import SMALLEST_SIDE as IDENTITY_SIDE
from facesynth.model.losses.identity import Identity
from facesynth.model.losses.lpips import Network, default_backbone, distances, load_lpips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pictures = NDArray[np.uint8]

_PIXELS_AT_ONCE = 16 * 256**2


def at_once(size: int) -> int:
    """How many pictures of a size a network sees at once: few, for memory's sake, and more are not faster on a CPU."""
    return max(1, min(16, _PIXELS_AT_ONCE // size**2))


def split(pictures: Pictures) -> list[Pictures]:
    """Pictures (N, S, S, …) in parts that a network sees at once."""
    number = at_once(pictures.shape[1])
    return [pictures[first : first + number] for first in range(0, len(pictures), number)]


class Missing(Exception):  # noqa: N818 - it is no error: the metric is skipped by name
    """Why a network is not used; the text says what would bring it."""


class Describer(Protocol):
    """A network that gives features of pictures."""

    name: str
    """In the names of metrics."""
    digest: str
    """SHA-256 of its weights."""
    filter: str
    """How pictures are brought to its size."""

    def describe(self, pictures: Pictures, /) -> NDArray[np.float32]:
        """Features (N, D) of pictures (N, S, S, 3) uint8."""


def tensors(pictures: Pictures, device: torch.device) -> Tensor:
    """Pictures (N, S, S, 3) uint8 as the networks take them, (N, 3, S, S) in [-1, 1]."""
    return photo_tensor(torch.from_numpy(np.ascontiguousarray(pictures)).to(device))


class Perceptual:
    """AlexNet or VGG16 with LPIPS's heads: distances of pairs, and the last maps' means as features.

    Parameters
    ----------
    network : str
        alex or vgg.
    path : Path, optional
        The weights; by default those that training finds.
    device : torch.device
    """

    filter = "none"

    def __init__(self, network: Network, path: Path | None, device: torch.device) -> None:
        try:
            self.lpips = load_lpips(path, network=network).to(device)
        except CheckpointError as error:
            if path is not None:
                raise
            raise Missing(str(error)) from error
        self.name, self.device = network, device
        self.digest = sha256_of(path or default_backbone(network))

    @torch.inference_mode()
    def maps(self, pictures: Pictures) -> list[Tensor]:
        """The tapped feature maps."""
        return self.lpips.maps(tensors(pictures, self.device))

    @torch.inference_mode()
    def between(self, a: list[Tensor], b: list[Tensor]) -> NDArray[np.float32]:
        """LPIPS of every pair (N,), from their maps."""
        found: NDArray[np.float32] = distances(list(self.lpips.heads), a, b).float().cpu().numpy()
        return found

    @staticmethod
    def features(maps: list[Tensor]) -> NDArray[np.float32]:
        """The means of the last map over its pixels, (N, C)."""
        found: NDArray[np.float32] = maps[-1].mean((2, 3)).float().cpu().numpy()
        return found

    def describe(self, pictures: Pictures) -> NDArray[np.float32]:
        """Features (N, C) of pictures."""
        return np.concatenate([self.features(self.maps(part)) for part in split(pictures)])


class SeeingParser:
    """A face parser: label maps, and the means of its deepest maps as features.

    Parameters
    ----------
    source : str
        A checkpoint, or one by name.
    device : torch.device
    """

    name = "parser"

    def __init__(self, source: str, device: torch.device) -> None:
        path = native.find(Path(source))
        self.parser = Parser(native.load_parser(path), device=device.type)
        self.source, self.digest, self.scheme = source, sha256_of(path), self.parser.scheme
        self.filter = f"bilinear with antialiasing to {self.parser.config.input_size} px"
        self._seen: Tensor | None = None
        self.parser.network.down[-1].register_forward_hook(self._keep)

    def _keep(self, _module: Any, _inputs: Any, output: Tensor) -> None:
        self._seen = output

    @torch.inference_mode()
    def both(self, pictures: Pictures) -> tuple[Pictures, NDArray[np.float32]]:
        """Label maps (N, S, S) at the pictures' size, and features (N, C)."""
        labels, features = [], []
        for part in split(pictures):
            scores = self.parser.scores(tensors(part, self.parser.device))
            assert self._seen is not None
            features.append(self._seen.mean((2, 3)).float().cpu().numpy())
            at_size = torch.nn.functional.interpolate(scores, part.shape[1:3], mode="bilinear", align_corners=False)
            labels.append(at_size.argmax(1).to(torch.uint8).cpu().numpy())
        return np.concatenate(labels), np.concatenate(features)

    def describe(self, pictures: Pictures) -> NDArray[np.float32]:
        """Features (N, C) of pictures."""
        return self.both(pictures)[1]


class InceptionFeatures:
    """FID's Inception: features (N, 2048) of pictures."""

    name, filter = Inception.name, Inception.filter

    def __init__(self, path: Path, device: torch.device) -> None:
        self.network = Inception(path, device)
        self.digest, self.device = self.network.digest, device

    def describe(self, pictures: Pictures) -> NDArray[np.float32]:
        """Features (N, 2048) of pictures."""
        return np.concatenate(
            [self.network.features(tensors(part, self.device)).cpu().numpy() for part in split(pictures)]
        )


class IrSe50:
    """The face recogniser IR-SE50: embeddings (N, 512) of norm 1.

    Parameters
    ----------
    path : Path
        Its weights, or ``ir-se50``, which are downloaded.
    device : torch.device
    """

    name = "ir_se50"
    filter = f"bicubic or area to {IDENTITY_SIDE} px, area to 112 px"

    def __init__(self, path: Path, device: torch.device) -> None:
        self.network = Identity(recogniser_state(path)).to(device)
        known = named.published(path)
        self.digest = known.sha256 if known else sha256_of(path)
        self.device = device

    @torch.inference_mode()
    def describe(self, pictures: Pictures) -> NDArray[np.float32]:
        """Embeddings (N, 512) of pictures of faces aligned as in CelebA-HQ."""
        size = (IDENTITY_SIDE, IDENTITY_SIDE)
        large = np.stack([images.resize(each, size) for each in pictures])
        return np.concatenate(
            [self.network.features(tensors(part, self.device)).cpu().numpy() for part in split(large)]
        )


class Dlib:
    """dlib's face descriptor: (N, 128). Needs dlib (or dlib-bin) and face_recognition_models.

    The face is not searched for: it is where FFHQ's alignment puts it.
    """

    name = "dlib"
    _SIZE, _BOX = 256, (64, 80, 192, 208)
    filter = f"bicubic or area to {_SIZE} px"

    def __init__(self) -> None:
        found = importlib.util.find_spec("face_recognition_models")
        if importlib.util.find_spec("dlib") is None or found is None or found.origin is None:
            raise Missing("dlib is not installed; pip install 'facesynth[evaluate]'")
        import dlib

        folder = Path(found.origin).parent / "models"
        weights = folder / "dlib_face_recognition_resnet_model_v1.dat"
        self._place = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
        self._network = dlib.face_recognition_model_v1(str(weights))
        self._box = dlib.rectangle(*self._BOX)
        self.digest = sha256_of(weights)

    def describe(self, pictures: Pictures) -> NDArray[np.float32]:
        """Descriptors (N, 128) of pictures."""
        found = []
        for each in pictures:
            large = np.ascontiguousarray(_cubic(each, self._SIZE))
            found.append(np.array(self._network.compute_face_descriptor(large, self._place(large, self._box))))
        return np.asarray(found, np.float32)


def _cubic(picture: Pictures, size: int) -> Pictures:
    if picture.shape[0] > size:
        return images.resize(picture, (size, size))
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)
