from __future__ import annotations

from typing import Any

import pytest

from facesynth.model.checkpoints.pixel2style2pixel import to_published
from facesynth.model.checkpoints.rosinality import generator_to_rosinality
from facesynth.model.networks.psp import PSP

from ...runs import model_of
from .files import CONFIG


@pytest.fixture(scope="module")
def model() -> PSP:
    return model_of(CONFIG)


@pytest.fixture
def psp(model: PSP) -> dict[str, Any]:
    """What a published file of that model holds."""
    opts = {"dataset_type": "celebs_seg_to_face", "output_size": 32, "start_from_latent_avg": True, "device": "cuda:0"}
    state = {key: value.clone() for key, value in to_published(model.state_dict(), CONFIG).items()}
    return {"state_dict": state, "latent_avg": model.latent_avg.clone(), "opts": opts}


@pytest.fixture
def rosinality(model: PSP) -> dict[str, Any]:
    state = {key: value.clone() for key, value in generator_to_rosinality(model.generator.state_dict(), CONFIG).items()}
    return {"g_ema": state, "latent_avg": model.latent_avg[0].clone()}
