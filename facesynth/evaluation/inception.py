"""The Inception network of FID: photos in, features (N, 2048) out.

FID is defined by one network: Inception v3 as TensorFlow's FID code published it in December 2015, which differs from
torchvision's in its average poolings, which leave the padding out, and in its last block, which pools by maximum. pytorch-fid
converted its weights; only that file is taken.

References: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016; Heusel et al., NeurIPS 2017.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facesynth.errors import CheckpointError
from facesynth.files import sha256_of
from facesynth.model.checkpoints import hub
from facesynth.model.checkpoints.recognise import read_state
from facesynth.model.checkpoints.state_dict import load_into

FILE = "pt_inception-2015-12-05-6726825d.pth"
DIGEST = "6726825d"
"""How the SHA-256 of pytorch-fid's file begins, as its name says."""
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
SIZE = 299
CLASSES = 1008


def inception() -> nn.Module:
    """The network without weights: pictures (N, 3, 299, 299) in [-1, 1] in, features (N, 2048) out."""
    from torchvision.models import inception as published

    def average(maps: Tensor) -> Tensor:
        return F.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)

    class BlockA(published.InceptionA):  # type: ignore[misc]
        def _forward(self, x: Tensor) -> list[Tensor]:
            double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
            return [self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), double, self.branch_pool(average(x))]

    class BlockC(published.InceptionC):  # type: ignore[misc]
        def _forward(self, x: Tensor) -> list[Tensor]:
            single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
            double = x
            for place in range(1, 6):
                double = getattr(self, f"branch7x7dbl_{place}")(double)
            return [self.branch1x1(x), single, double, self.branch_pool(average(x))]

    class BlockE(published.InceptionE):  # type: ignore[misc]
        def _forward(self, x: Tensor) -> list[Tensor]:
            three = self.branch3x3_1(x)
            double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
            wide = torch.cat([self.branch3x3_2a(three), self.branch3x3_2b(three)], 1)
            wider = torch.cat([self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)], 1)
            return [self.branch1x1(x), wide, wider, self.branch_pool(self.pooled(x))]

        def pooled(self, x: Tensor) -> Tensor:
            return average(x)

    class LastBlock(BlockE):
        def pooled(self, x: Tensor) -> Tensor:
            return F.max_pool2d(x, 3, stride=1, padding=1)

    blocks: list[Any] = [
        published.BasicConv2d,
        BlockA,
        published.InceptionB,
        BlockC,
        published.InceptionD,
        published.InceptionE,
        published.InceptionAux,
    ]
    network: nn.Module = published.Inception3(
        num_classes=CLASSES, aux_logits=False, transform_input=False, init_weights=False, inception_blocks=blocks
    )
    network.Mixed_7b = BlockE(1280)
    network.Mixed_7c = LastBlock(2048)
    network.requires_grad_(False).eval()
    return network


class Inception:
    """FID's network with its weights.

    Parameters
    ----------
    path : Path
        pytorch-fid's file.
    device : torch.device

    Raises
    ------
    CheckpointError
        If the file is another one, by its digest, or damaged.
    """

    name = "inception"
    filter = "bilinear to 299 px, as pytorch-fid"

    def __init__(self, path: Path, device: torch.device) -> None:
        self.path, self.device, self.digest = path, device, sha256_of(path)
        if not self.digest.startswith(DIGEST):
            raise CheckpointError(
                f"{path} is not the Inception of FID: its SHA-256 begins with {self.digest[:8]}; needed: {DIGEST}; "
                f"fetch {URL}"
            )
        self.network = inception()
        counters = {
            key: value for key, value in self.network.state_dict().items() if key.endswith("num_batches_tracked")
        }
        load_into(self.network, counters | read_state(path), path)  # older files have no counters, which nothing uses
        self.network.fc = nn.Identity()
        self.network.to(device)

    @torch.inference_mode()
    def features(self, photos: Tensor) -> Tensor:
        """Photos (N, 3, H, W) in [-1, 1], resized as pytorch-fid does, to features (N, 2048)."""
        at_size = F.interpolate(photos.to(self.device), (SIZE, SIZE), mode="bilinear", align_corners=False)
        features: Tensor = self.network(at_size)
        return features


def find(given: str | None) -> Path | None:
    """The file of FID's weights: the one given, or the one in torch's download cache; None if there is none.

    Parameters
    ----------
    given : str, optional
        A path, or ``owner/name/file`` on the Hugging Face Hub.

    Raises
    ------
    CheckpointError
        If the given one is neither.
    """
    if given is None:
        kept = Path(torch.hub.get_dir()) / "checkpoints" / FILE
        return kept if kept.is_file() else None
    if Path(given).is_file():
        return Path(given)
    owner, _, file = given.rpartition("/")
    if not hub.is_repository(owner):
        raise CheckpointError(
            f"there is no file {given}; give pytorch-fid's {FILE} (from {URL}), or owner/name/file on the Hub"
        )
    try:
        return hub.download(owner, file)
    except CheckpointError as error:
        raise CheckpointError(f"{given} was not fetched: {error}; fetch {URL} and give its path") from error
