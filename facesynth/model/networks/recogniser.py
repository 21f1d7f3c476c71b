"""IR-SE50 with its head, the face recogniser of the identity loss: aligned faces (N, 3, 112, 112) in, embeddings (N, 512) out.

Reference: Deng et al., "ArcFace", CVPR 2019.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from facesynth.model.config.model import ModelConfig
from facesynth.model.networks.encoder import Trunk

FACE_SIZE = 112
"""Height and width of the aligned input faces, pixels."""


class FaceRecogniser(nn.Module):
    """IR-SE50 with its head: aligned faces to embeddings of 512 dimensions and norm 1."""

    def __init__(self) -> None:
        super().__init__()
        self.config = ModelConfig(condition="photo", input_channels=3)
        self.trunk = Trunk(self.config)
        width = self.config.encoder_channels[-1]
        self.norm_in = nn.BatchNorm2d(width)
        self.linear = nn.Linear(width * (FACE_SIZE // 16) ** 2, width)
        self.norm_out = nn.BatchNorm1d(width)

    def forward(self, faces: Tensor) -> Tensor:
        """Aligned faces (N, 3, 112, 112) in [-1, 1] to embeddings (N, 512) of norm 1."""
        features: Tensor = self.norm_in(self.trunk(faces)["coarse"])
        return F.normalize(self.norm_out(self.linear(features.flatten(1))), dim=1)
