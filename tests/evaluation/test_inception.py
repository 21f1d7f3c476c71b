from __future__ import annotations

import pytest
import torch
from pytorch_fid import inception as published
from safetensors.torch import save_file

from facesynth.errors import CheckpointError
from facesynth.evaluation import inception
from facesynth.evaluation.inception import Inception, find
from facesynth.files import sha256_of


def random_state() -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    state = inception.inception().state_dict()
    for name, value in state.items():
        if name.endswith(("running_var", "bn.weight")):
            value.uniform_(0.5, 1.5, generator=rng)
        elif value.ndim == 4:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=rng)
        elif value.is_floating_point():
            value.normal_(0, 0.1, generator=rng)
    return state


@pytest.mark.slow
def test_its_features_are_those_of_pytorch_fid(tmp_path, monkeypatch):
    state = random_state()
    monkeypatch.setattr(published, "load_state_dict_from_url", lambda *_, **__: state)
    theirs = published.InceptionV3([3]).eval()
    path = tmp_path / "inception.safetensors"
    save_file({key: value for key, value in state.items() if "num_batches" not in key}, path)  # as in older files
    monkeypatch.setattr(inception, "DIGEST", sha256_of(path)[:8])
    photos = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(photos)[0][..., 0, 0]
    found = Inception(path, torch.device("cpu")).features(photos * 2 - 1)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_only_the_published_file_is_taken(tmp_path, monkeypatch):
    path = tmp_path / inception.FILE
    path.write_bytes(b"something else")
    with pytest.raises(
        CheckpointError, match=r"is not the Inception of FID: its SHA-256 begins with .* needed: 6726825d"
    ):
        Inception(path, torch.device("cpu"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    assert find(None) is None
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    cached = path.rename(tmp_path / "hub" / "checkpoints" / inception.FILE)
    assert find(None) == cached
    assert find(str(cached)) == cached
    with pytest.raises(CheckpointError, match="there is no file nowhere; give pytorch-fid's"):
        find("nowhere")


def test_a_file_of_the_hub_is_named_with_its_repository(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("facesynth.model.checkpoints.hub.download", lambda *names: asked.append(names) or tmp_path)
    assert find("owner/name/inception.pth") == tmp_path
    assert asked == [("owner/name", "inception.pth")]
