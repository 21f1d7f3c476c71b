"""Weights and inputs that are functions of a name and a shape alone, and the small model that most tests use.

Values come from NumPy's Philox generator, which is specified bit for bit, seeded by the name's CRC-32. So weights under
which the published pSp code was run can be made again anywhere, without a weight file.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facesynth.model.config.model import ModelConfig

DATA = Path(__file__).parents[1] / "data"


def tiny_config(**changes: Any) -> ModelConfig:
    sizes: dict[str, Any] = {
        "condition": "labels",
        "input_channels": 19,
        "input_size": 32,
        "output_size": 32,
        "style_dim": 16,
        "mapping_depth": 2,
        "channel_base": 512,
        "channel_max": 16,
        "encoder_units": (1, 1, 1, 1),
        "encoder_channels": (8, 8, 16, 16),
        "style_resolution": 16,
    }
    return ModelConfig(**(sizes | changes))


def normal(name: str, *shape: int) -> Tensor:
    """Standard normal values."""
    rng = np.random.Generator(np.random.Philox(key=zlib.crc32(name.encode())))
    return torch.from_numpy(rng.standard_normal(size=shape, dtype=np.float32))


def published_tensor(key: str, shape: tuple[int, ...], dtype: str) -> Tensor:
    """The tensor under a key of the published layout, of a size that keeps a deep network's values moderate."""
    *_, leaf = key.split(".")
    if dtype == "int64":
        return torch.zeros(shape, dtype=torch.int64)
    if leaf == "kernel":
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        return torch.outer(taps, taps) / 16.0
    values = normal(key, *shape)
    if leaf == "running_mean":
        return 0.1 * values
    if leaf == "running_var":
        return 1.0 + 0.2 * values.abs()
    if leaf == "input" or leaf.startswith("noise_"):
        return values
    if key.endswith(".noise.weight"):
        return 0.1 * values
    if leaf == "bias":
        return 0.05 * values + float("modulation" in key)
    if len(shape) == 1:
        return 0.6 + 0.05 * values
    if key.startswith("decoder.style."):
        return values / 0.01
    if key.startswith("encoder.") and not key.endswith("linear.weight"):
        return values * math.sqrt(2.0 / math.prod(shape[1:]))
    return values


def published_keys(case: str) -> dict[str, tuple[tuple[int, ...], str]]:
    """Key, shape and dtype of every tensor of a published checkpoint.

    Kept are ``seg_256``, ``seg_1024`` and ``seg_w_256``. ``sketch_256`` differs from ``seg_256`` in the first convolution.
    ``seg_w_plus_256`` is ``seg_w_256`` with the head that the published code defines for the last-layer encoder into W+.
    """
    if case == "sketch_256":
        return published_keys("seg_256") | {"encoder.input_layer.0.weight": ((64, 1, 3, 3), "float32")}
    if case == "seg_w_plus_256":
        norm = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), ((512,), "float32"))
        norm["num_batches_tracked"] = ((), "int64")
        return (
            published_keys("seg_w_256")
            | {f"encoder.output_layer_2.0.{leaf}": entry for leaf, entry in norm.items()}
            | {"encoder.output_layer_2.3.weight": ((512, 512 * 7 * 7), "float32")}
            | {"encoder.output_layer_2.3.bias": ((512,), "float32")}
            | {"encoder.linear.weight": ((14 * 512, 512), "float32"), "encoder.linear.bias": ((14 * 512,), "float32")}
        )
    entries = json.loads(gzip.decompress((DATA / f"published_{case}_keys.json.gz").read_bytes()))
    return {key: (tuple(shape), dtype) for key, (shape, dtype) in entries.items()}


def latent_avg(n_styles: int) -> Tensor:
    return 0.2 * normal("latent_avg", n_styles, 512)


def label_map(name: str = "face") -> Tensor:
    """The one-hot (1, 19, 256, 256) of a map in blocks of 16 px that has all 19 classes."""
    blocks = (normal(f"labels-{name}", 16, 16).abs() * 7).long() % 19
    blocks.flatten()[:19] = torch.arange(19)
    labels = blocks.repeat_interleave(16, dim=0).repeat_interleave(16, dim=1)
    return F.one_hot(labels, 19).permute(2, 0, 1)[None].float()


def sketch() -> Tensor:
    """A smooth picture in [0, 1], (1, 1, 256, 256)."""
    coarse = normal("sketch-1", 1, 1, 17, 17)
    return torch.sigmoid(3 * F.interpolate(coarse, size=(256, 256), mode="bilinear", align_corners=True))


def picture(name: str) -> Tensor:
    """Two pictures of noise in [-1, 1], (2, 3, 256, 256)."""
    return torch.tanh(normal(name, 2, 3, 256, 256))
