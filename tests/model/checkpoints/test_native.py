from __future__ import annotations

import errno
import json
import os
import pickle
from io import BufferedWriter
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch

from facesynth.errors import CheckpointError, OutputError
from facesynth.labels import LabelScheme, get_scheme
from facesynth.model.checkpoints import native, state_dict
from facesynth.model.networks.psp import PSP

from ...runs import model_of, save_model, small_model
from ...trees import contents, leftovers

TENSORS = {
    "weight": torch.randn(3, 4).t(),
    "count": torch.tensor(7),
    "half": torch.randn(5).to(torch.bfloat16),
    "flags": torch.tensor([True, False, True]),
    "empty": torch.zeros(0, 2),
}


def save(path: Path, tensors: dict[str, torch.Tensor] = TENSORS, **changes) -> None:
    what = {"config": small_model(), "task": "seg2face", "scheme": get_scheme("face-parsing"), "info": {"step": 3}}
    native.save(path, "training", tensors, **(what | changes))


def described(path: Path) -> dict:
    with safetensors.safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["facesynth"])


def describe(path: Path, header: object) -> Path:
    """Give a checkpoint another description."""
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, {"facesynth": json.dumps(header)})
    return path


# ------------------------------------------------------------------------------------------------------- there and back


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path):
    save(tmp_path / "a.safetensors", info={"step": 3, "best": float("inf"), "val": {"l2": 0.25}})
    given = native.load(tmp_path / "a.safetensors")
    assert (given.path, given.kind, given.task) == (tmp_path / "a.safetensors", "training", "seg2face")
    assert given.config == small_model()
    assert given.scheme == get_scheme("face-parsing")
    assert given.info["step"] == 3
    assert given.info["best"] == float("inf")
    assert given.info["val"] == {"l2": 0.25}
    assert given.info["facesynth"]
    assert given.tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert given.tensors[name].dtype == value.dtype
        assert torch.equal(given.tensors[name], value)


def test_a_file_from_before_there_were_other_encoders(tmp_path):
    save_model(tmp_path / "a.safetensors")
    header = described(tmp_path / "a.safetensors")
    assert header["config"].pop("encoder_kind") == "gradual"
    for name in ("encoder_trunk", "layer_offsets", "refinements"):
        del header["config"][name]
    assert native.load(describe(tmp_path / "b", header)).config == small_model()


def test_an_own_scheme_comes_back_whole(tmp_path):
    scheme = LabelScheme("cats", ("none", "cat", "l_ear", "r_ear"), ((0, 0, 0), (9, 9, 9), (1, 2, 3), (4, 5, 6)))
    save(tmp_path / "a", scheme=scheme)
    assert native.load(tmp_path / "a").scheme == scheme


def test_a_header_with_the_name_of_a_scheme(tmp_path):
    save(tmp_path / "a")
    header = described(tmp_path / "a")
    assert header["label_scheme"] == "face-parsing"
    given = native.load(describe(tmp_path / "b", header | {"label_scheme": "celebamask-hq-older"}))
    assert given.scheme == get_scheme("celebamask-hq-older")


def test_the_file_is_what_any_reader_of_safetensors_reads(tmp_path):
    save(tmp_path / "a.safetensors")
    loaded = safetensors.torch.load_file(tmp_path / "a.safetensors")
    assert all(torch.equal(loaded[name], value) for name, value in TENSORS.items())
    assert loaded.keys() == TENSORS.keys()
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == 0o666 & ~os.umask(os.umask(0o022))


def test_saving_twice_gives_the_same_bytes(tmp_path):
    save(tmp_path / "a")
    save(tmp_path / "b", dict(reversed(TENSORS.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["model", "training"])
def test_a_model_comes_back_from_either_kind(tmp_path, kind):
    given = native.load(save_model(tmp_path / "a.safetensors", kind=kind))
    model, original = PSP(given.config), model_of(given.config)
    state_dict.load_into(model, given.model_state(), given.path)
    assert all(torch.equal(value, original.state_dict()[name]) for name, value in model.state_dict().items())


def test_only_the_model_is_taken_from_a_training_state(tmp_path):
    save(tmp_path / "a", {"model.x": torch.ones(2), "codes": torch.ones(3), "optimizer.0.exp_avg": torch.ones(4)})
    assert list(native.load(tmp_path / "a").model_state()) == ["x"]


# ------------------------------------------------------------------------------------------------------- what does not fit


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("latent_avg"), "lacks 'latent_avg'; it does not fit its own config"),
        (lambda state: state.clear(), r"lacks 'encoder\.[^']*' and \d+ more"),
        (lambda state: state.update(extra=torch.zeros(1)), "has an unexpected 'extra'; it does not fit its own config"),
        (lambda state: state.update(b=torch.zeros(1), a=torch.zeros(1)), "has an unexpected 'a' and 1 more"),
        (
            lambda state: state.update(latent_avg=torch.zeros(8, 8)),
            r"has 'latent_avg' of shape \(8, 8\); needed: \(8, 16\)",
        ),
    ],
)
def test_keys_that_do_not_fit_are_named(change, says):
    model = model_of(small_model())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = {name: value + 1 for name, value in before.items()}
    change(state)
    with pytest.raises(CheckpointError, match=f"^run/a.safetensors {says}"):
        state_dict.load_into(model, state, Path("run/a.safetensors"))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_newer_schema(tmp_path):
    save(tmp_path / "a")
    path = describe(tmp_path / "b", described(tmp_path / "a") | {"schema": 2})
    with pytest.raises(CheckpointError, match="has schema 2, this facesynth reads up to 1; upgrade facesynth"):
        native.load(path)


def test_another_programs_safetensors(tmp_path):
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="is a safetensors file but no facesynth checkpoint"):
        native.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.pop("kind"),
        lambda header: header.pop("schema"),
        lambda header: header.update(config=None),
        lambda header: header["config"].update(colour=3),
        lambda header: header["config"].update(output_size=33),
        lambda header: header["config"].update(output_size="32"),
        lambda header: header.update(label_scheme="mine"),
        lambda header: header.update(label_scheme={"name": "mine", "classes": ["one"]}),
        lambda header: header.update(label_scheme=None),
        lambda header: header.update(info=3),
    ],
)
def test_a_damaged_description(tmp_path, change):
    save(tmp_path / "a")
    header = described(tmp_path / "a")
    change(header)
    with pytest.raises(CheckpointError, match="b is damaged: its description cannot be understood"):
        native.load(describe(tmp_path / "b", header))


@pytest.mark.parametrize("header", [[1], "text", 3])
def test_a_description_of_another_type(tmp_path, header):
    with pytest.raises(CheckpointError, match="is damaged: its description cannot be understood"):
        native.load(describe(tmp_path / "a", header))


def test_files_that_are_no_checkpoint(tmp_path):
    save(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    torch.save({"a": torch.zeros(3)}, tmp_path / "a.pt")
    for name, data in {"text": b"hello, this is a text", "empty": b"", "half": whole[:-9], "head": whole[:20]}.items():
        (tmp_path / name).write_bytes(data)
    for name in ("a.pt", "text", "empty", "half", "head"):
        with pytest.raises(CheckpointError, match=f"{name} cannot be read as a checkpoint") as caught:
            native.load(tmp_path / name)
        assert "\n" not in str(caught.value)


class Spoil:
    """Something that runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_nothing_is_unpickled(tmp_path, name):
    spoil = pickle.dumps(Spoil(tmp_path / "ran"))
    (tmp_path / name).write_bytes(spoil)
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        native.load(tmp_path / name)
    assert not (tmp_path / "ran").exists()
    pickle.loads(spoil)
    assert (tmp_path / "ran").exists()  # so it would have run


def test_find(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no model\.safetensors; give a checkpoint file, or the --out"):
        native.find(tmp_path)
    with pytest.raises(CheckpointError, match=r"checkpoint .*a\.safetensors does not exist; give a \.safetensors file"):
        native.find(tmp_path / "a.safetensors")
    save(tmp_path / "model.safetensors")
    assert native.find(tmp_path) == tmp_path / "model.safetensors"
    assert native.find(tmp_path / "model.safetensors") == tmp_path / "model.safetensors"


# ----------------------------------------------------------------------------------------------------- whole or not at all


class FullDisk(BufferedWriter):
    """A file on a disk that takes the first kilobyte."""

    def write(self, data):
        if self.tell() > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


def full_disk(self: Path, mode: str = "r") -> FullDisk:
    return FullDisk(open(self, mode, buffering=0))


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    save(tmp_path / "a")
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full_disk)
        with pytest.raises(OutputError, match=r"cannot write .*/a: No space left on device"):
            save(tmp_path / "a", {"a": torch.zeros(1000), "b": torch.zeros(1000)})
    assert contents(tmp_path) == before
    assert leftovers(tmp_path) == []


def test_an_interrupted_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    save(tmp_path / "a")
    before = contents(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "a", {"b": torch.zeros(5)})
    assert contents(tmp_path) == before


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*/a: No such file or directory"):
        save(tmp_path / "none" / "a")


def test_a_model_made_without_values_is_filled(tmp_path):
    config = small_model()
    state = PSP(config).state_dict()
    with state_dict.unfilled():
        model = PSP(config)
    state_dict.fill(model, {**state, "latent_avg": state["latent_avg"].double()}, tmp_path)
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name].float() if value.is_floating_point() else state[name]), name
        assert value.dtype == state[name].dtype
    assert all(weight.requires_grad for weight in model.parameters())
    with pytest.raises(CheckpointError, match="lacks 'latent_avg'"):
        state_dict.fill(model, {name: value for name, value in state.items() if name != "latent_avg"}, tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": float("inf")}, "its schema is inf"),
        ({"schema": "1"}, "its schema is '1'"),
        ({"schema": 10**90}, "this facesynth reads up to"),
        ({"style_dim": 1 << 20}, "style_dim is 1048576; needed: at most"),
        ({"mapping_depth": 1 << 20}, "mapping_depth is 1048576; needed: at most"),
        ({"mapping_depth": float("inf")}, "mapping_depth is inf; needed: a whole number"),
        ({"input_channels": float("inf")}, "input_channels is inf; needed: a whole number"),
        ({"input_channels": 10**99}, "input_channels is 1000"),
        ({"encoder_channels": [8] * 1000}, "encoder_channels is .*; needed: at most"),
        ({"encoder_channels": [[[[[[[8]]]]]]]}, "encoder_channels is .*; needed: whole numbers"),
        ({"condition": "x" * 100_000}, "condition is 'xxx"),
    ],
)
def test_a_header_out_of_bounds(tmp_path, changes, says):
    save(tmp_path / "a")
    header = described(tmp_path / "a")
    for name, value in changes.items():
        (header if name == "schema" else header["config"])[name] = value
    with pytest.raises(CheckpointError, match=says) as error:
        native.load_any(describe(tmp_path / "b", header))
    assert len(str(error.value).removeprefix(str(tmp_path))) < 400
    assert "\n" not in str(error.value)


def test_a_header_that_is_nested_too_deeply(tmp_path):
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "a", {"facesynth": "[" * 100_000})
    with pytest.raises(CheckpointError, match=r"is damaged: .*nested too deeply"):
        native.load_any(tmp_path / "a")


def test_a_config_much_larger_than_its_tensors_is_not_built(tmp_path):
    from facesynth.model.inference.translator import Translator

    save(tmp_path / "a")
    header = described(tmp_path / "a")
    header["config"] |= {"style_dim": 4096, "encoder_channels": [4096] * 4, "encoder_units": [128] * 4}
    with pytest.raises(CheckpointError, match=r"its config needs at least \d+; it does not fit its own config"):
        Translator.from_pretrained(describe(tmp_path / "b", header))
