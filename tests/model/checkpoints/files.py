"""A small model as published files hold it, and what is compared of such files."""

from __future__ import annotations

from pathlib import Path

import torch

from ...runs import small_model

CHANNELS = (4, 8, 12, 16)
CONFIG = small_model(encoder_channels=CHANNELS, style_resolution=32)


def saved(folder: Path, content: object, name: str = "a.bin") -> Path:
    torch.save(content, folder / name)
    return folder / name


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
