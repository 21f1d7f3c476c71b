from __future__ import annotations

import argparse
import builtins
import copyreg
import functools
import io
import os
import pickle
import re
import subprocess
import sys
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facesynth.errors import CheckpointError
from facesynth.model.checkpoints import torch_save, unpickler
from facesynth.model.checkpoints.recognise import read_state, recognise

from .hostile import Calls, Module, ada_pickle, written_elsewhere

SHARED = torch.arange(12, dtype=torch.float32)
CONTENT = {
    "state_dict": OrderedDict(a=SHARED.view(3, 4).t(), b=SHARED[2:5], n=torch.tensor(7), none=torch.zeros(0, 2)),
    "types": [torch.arange(3).to(dtype) for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.uint8)],
    "flags": torch.tensor([True, False]),
    "trained": torch.nn.Parameter(torch.ones(2)),
    "opts": argparse.Namespace(size=256, name="pSp", rate=1e-4, none=None, layers=(1, 2), pair=[True, {3: b"four"}]),
    "kept": {"a", "b"},
    "number": np.float64(0.25),
    "shape": torch.Size([2, 3]),
}
FORMS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "older"])


def saved(value: object, *, is_zip: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=is_zip)
    return stream.getvalue()


def written(folder: Path, data: bytes) -> Path:
    path = folder / "a.bin"
    path.write_bytes(data)
    return path


def refusal(folder: Path, data: bytes) -> str:
    """What is said of a file that is refused, by every door, in one line."""
    path = written(folder, data)
    with pytest.raises(CheckpointError) as caught:
        recognise(path)
    text = str(caught.value)
    assert text.startswith(f"{path} cannot be read as a checkpoint: it ")
    assert text.isprintable()
    assert len(text) < len(str(path)) + 300
    with pytest.raises(CheckpointError):
        read_state(path)
    return text


def same(ours: object, theirs: object) -> bool:
    if isinstance(theirs, torch.Tensor):
        return isinstance(ours, torch.Tensor) and ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    if isinstance(theirs, argparse.Namespace):
        theirs = vars(theirs)
    if isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(same(ours[key], theirs[key]) for key in theirs)
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return ours == theirs


# ------------------------------------------------------------------------------------------------------- what is read


@FORMS
def test_what_torch_saves_comes_back(tmp_path, is_zip):
    path = written(tmp_path, saved(CONTENT, is_zip=is_zip))
    read = torch_save.read(path)
    assert same(read, CONTENT)
    assert same(read, torch.load(path, weights_only=False))
    state = read["state_dict"]
    assert state["a"].untyped_storage().data_ptr() == state["b"].untyped_storage().data_ptr()
    assert not read["trained"].requires_grad


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_network_pickles_of_any_protocol(tmp_path, protocol):
    tensors = {"weight": torch.randn(2, 3).t(), "w_avg": torch.randn(4)}
    network = torch_save.read(written(tmp_path, ada_pickle(tensors, protocol=protocol)))["G_ema"]
    assert network.class_name == "Generator"
    assert torch.equal(network.state["_parameters"]["weight"], tensors["weight"])
    assert torch.equal(network.state["_buffers"]["w_avg"], tensors["w_avg"])
    assert network.state["weight_gain"] == 0.01**0 / np.sqrt(2)
    assert network.state["_init_kwargs"] == {"mapping_kwargs": {"num_layers": float("inf")}}


@FORMS
def test_a_storage_inside_a_pickle_may_be_of_either_form(tmp_path, is_zip):
    def network(inner: object) -> bytes:
        storage = Calls(torch.storage._load_from_bytes, saved(inner, is_zip=is_zip))
        weight = Calls(torch._utils._rebuild_tensor_v2, storage, 1, (2,), (2,), False, OrderedDict())
        return pickle.dumps({"weight": weight}, protocol=4)

    values = torch.arange(4.0)
    read = torch_save.read(written(tmp_path, network(values._typed_storage())))
    assert torch.equal(read["weight"], torch.tensor([1.0, 3.0]))
    assert "something other than a storage" in refusal(tmp_path, network(values))


# ------------------------------------------------------------------------------------------------------ what is refused


def commands(canary: Path) -> dict[str, tuple[object, str]]:
    """Objects that would leave a file if they were unpickled, and what is said of them."""
    touch = f"touch {canary}"
    write = f"open({str(canary)!r}, 'w').close()"
    importing = Calls(builtins.__import__, "os")
    nested = Calls(getattr, importing, "system")
    return {
        "system": (Calls(os.system, touch), r"names posix\.system"),
        "popen": (Calls(subprocess.Popen, ["touch", str(canary)]), r"names (subprocess|commands)\.Popen"),
        "eval": (Calls(eval, write), r"names (builtins|__builtin__)\.eval"),
        "exec": (Calls(exec, write), r"names (builtins|__builtin__)\.exec"),
        "open": (Calls(open, str(canary), "w"), r"names (_?io)\.open"),
        "getattr chain": (Calls(nested.what[0], *nested.what[1]), r"names (builtins|__builtin__)\.getattr"),
        "deep": ({"state_dict": {"a": [({"b": Calls(os.system, touch)},)]}}, r"names posix\.system"),
        "in an ordered dict": (OrderedDict(a=Calls(os.system, touch)), r"names posix\.system"),
        "in a namespace": (argparse.Namespace(a=Calls(eval, write)), r"names (builtins|__builtin__)\.eval"),
        "in a tensor's hooks": (
            Calls(torch._utils._rebuild_tensor_v2, None, 0, (), (), False, Calls(os.system, touch)),
            r"names posix\.system",
        ),
        "partial": (functools.partial(os.system, touch), r"names functools\.partial"),
        "copyreg": (Calls(copyreg._reconstructor, Path, object, None), r"names copy_?reg\._reconstructor"),
        "an unpickler": (Calls(pickle.loads, pickle.dumps(Calls(os.system, touch))), r"names _?pickle\.loads"),
        "torch.load": (Calls(torch.load, str(canary)), r"names torch\.serialization\.load"),
        "a class": (Calls(type, "a", (), {}), r"names (builtins|__builtin__)\.type"),
        "numpy.load": (Calls(np.load, str(canary), None, True), r"names numpy\.load"),
        "hub": (Calls(torch.hub.load, "a", "b"), r"names torch\.hub\.load"),
    }


@pytest.mark.parametrize("name", commands(Path("x")))
@pytest.mark.parametrize("form", ["zip", "older", "pickle", "protocol 2"])
def test_nothing_is_run(tmp_path, name, form):
    spoil, says = commands(tmp_path / "canary")[name]
    if form in ("zip", "older"):
        data = saved(spoil, is_zip=form == "zip")
    else:
        data = pickle.dumps(spoil, protocol=4 if form == "pickle" else 2)
    text = refusal(tmp_path, data)
    assert re.search(rf"it {says}, which weights have no use for; nothing of it was run", text)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_they_would_have_run(tmp_path):
    for name in ("system", "eval", "exec", "deep", "in a tensor's hooks", "an unpickler"):
        canary = tmp_path / name.replace(" ", "").replace("'", "")
        data = pickle.dumps(commands(canary)[name][0])
        with suppress(TypeError, AttributeError):  # after the call
            pickle.loads(data)
        assert canary.exists(), name


@FORMS
def test_a_storage_of_a_pickle_that_is_a_file_with_commands(tmp_path, is_zip):
    spoil = saved(Calls(os.system, f"touch {tmp_path}/canary"), is_zip=is_zip)
    data = pickle.dumps({"G_ema": Calls(torch.storage._load_from_bytes, spoil)})
    assert "names posix.system" in refusal(tmp_path, data)
    raw = pickle.dumps({"G_ema": Calls(torch.storage._load_from_bytes, pickle.dumps(1))})
    assert "no file of torch.save" in refusal(tmp_path, raw)
    inner = saved(Calls(torch.storage._load_from_bytes, saved(torch.ones(1), is_zip=is_zip)), is_zip=is_zip)
    twice = pickle.dumps({"G_ema": Calls(torch.storage._load_from_bytes, inner)})
    assert "names torch.storage._load_from_bytes" in refusal(tmp_path, twice)
    assert not (tmp_path / "canary").exists()


def test_the_source_text_of_a_network_is_neither_run_nor_kept(tmp_path):
    source = f"open({str(tmp_path / 'canary')!r}, 'w')  # " + "x" * 10_000
    data = ada_pickle({"weight": torch.ones(1, 1)}, source=source)
    assert source.encode() in data
    network = torch_save.read(written(tmp_path, data))["G_ema"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert not {"torch_utils", "dnnlib"} & sys.modules.keys()
    assert source not in repr(network)
    assert not hasattr(network, "module_src")


def test_a_state_is_set_on_nothing_that_has_methods(tmp_path):
    slots = (None, {"items": 1, "__class__": 2})
    changed = b"\x80\x02ccollections\nOrderedDict\n)R" + pickle.dumps(slots, 2)[2:-1] + b"b."
    read = torch_save.read(written(tmp_path, changed))
    assert callable(read.items)
    assert isinstance(read, dict)
    state = b"}X\x0c\x00\x00\x00__defaults__)sb."
    for target in (b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n", b"]", b"X\x01\x00\x00\x00a"):
        assert "sets the state of a" in refusal(tmp_path, b"\x80\x02" + target + state)
    with written_elsewhere():
        network = pickle.dumps(Module("Generator", {}), 2)[:-1]
    assert "sets the state of a Record" in refusal(tmp_path, network + state)
    torch_save.read(written(tmp_path, saved(CONTENT, is_zip=True)))  # and all is as it was


@pytest.mark.parametrize(
    ("opcodes", "says"),
    [
        (b"\x82\x01", "opcode EXT1"),
        (b"\x83\x01\x00", "opcode EXT2"),
        (b"\x84\x01\x00\x00\x00", "opcode EXT4"),
        (b"(ios\nsystem\n", "opcode INST"),
        (b"(cos\nsystem\no", "names os.system"),
        (b"(o", "opcode OBJ"),
        (b")}\x92", "opcode NEWOBJ_EX"),
        (b"Pname\n", "opcode PERSID"),
        (b"I1\n", "opcode INT"),
        (b"S'a'\n", "opcode STRING"),
        (b"\x96\x01\x00\x00\x00\x00\x00\x00\x00a", "opcode BYTEARRAY8"),
        (b"\x97", "opcode NEXT_BUFFER"),
        (b"NQ", "refers to an object outside"),
        (b"N)R", "calls NoneType, which makes no weights"),
        (b"N)\x81", "calls NoneType, which makes no weights"),
        (b"ctorch\nFloatStorage\n)R", "calls torch.FloatStorage, which makes no weights"),
        (b"cbuiltins\nset\n(]}e\x85R", "damaged"),
        (b"\x8c\x05torch\x8c\x0c_utils.types\x93", "names torch._utils.types,"),
        (b"\x8c\x0bcollections\x8c\x16OrderedDict.fromkeys.x\x93", "names collections.OrderedDict.fromkeys.x,"),
        (b"\x8c\x0bcollections\x8c\x14OrderedDict.fromkeys\x93", "names collections.OrderedDict.fromkeys,"),
        (b"\x8c\x0bcollections]\x93", "names something by other than text"),
        (b"coss\n\x1b[31m\n", r"names oss.?[31m,"),
        (b"}(K\x01u", "damaged"),
        (b"}(]Nu", "has a dict with a list as a key"),
        (b"}(G\x00\x00\x00\x00\x00\x00\x00\x00Nu", "has a dict with a float as a key"),
        (b"\x8f(K\x01\x90", "has a set of other than text"),
        (b"\x8a\x11" + b"\x01" * 17, "holds a number of more than 128 bits"),
        (b"", "damaged"),
        (b"NN", "damaged"),
        (b"(N", "damaged"),
        (b"0", "opcode POP"),
        (b"h\x05", "damaged"),
        (b"\x80\x09N", "is a pickle of protocol 9"),
        (b"\xff", "damaged"),
    ],
)
def test_opcodes_that_weights_have_no_use_for(tmp_path, opcodes, says):
    assert says in refusal(tmp_path, b"\x80\x02" + opcodes + b".")


# -------------------------------------------------------------------------------------------------- more than there is


def reference(count: int, key: str = "0") -> bytes:
    """The opcodes of a storage of this many float32."""
    number = pickle.dumps(count, 2)[2:-1]
    return b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00%bX\x03\x00\x00\x00cpu%btQ" % (
        key.encode(),
        number,
    )


def tensor(storage: bytes, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    shape = b"".join(pickle.dumps(value, 2)[2:-1].split(b"q\x00")[0] for value in (offset, size, stride))
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + shape + b"\x89}tR"


def archive(described: bytes, storage: bytes = b"", compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        file.writestr("a/data.pkl", b"\x80\x02" + described + b".")
        file.writestr("a/data/0", storage)
    return stream.getvalue()


def older(described: bytes) -> bytes:
    head = [torch_save._MAGIC, 1001, {"little_endian": True}]
    return b"".join(pickle.dumps(value, 2) for value in head) + b"\x80\x02" + described + b".\x80\x02]."


def test_such_archives_are_read_if_they_are_well(tmp_path):
    values = torch.arange(6.0)
    well = archive(tensor(reference(6), 1, (2, 2), (2, 1)), values.numpy().tobytes())
    assert torch.equal(torch_save.read(written(tmp_path, well)), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))


@pytest.mark.parametrize(
    ("described", "says"),
    [
        (tensor(reference(6), 0, (7,), (1,)), "tensor that is larger than its storage"),
        (tensor(reference(6), 0, (1 << 40, 1 << 40), (0, 0)), "tensor that is larger than its storage"),
        (tensor(reference(6), 5, (2,), (1,)), "tensor that is larger than its storage"),
        (tensor(reference(6), 0, (2, 2), (1 << 60, 1)), "tensor that is larger than its storage"),
        (tensor(reference(6), 0, (2,), (-1,)), "damaged"),
        (tensor(reference(6), -1, (2,), (1,)), "damaged"),
        (tensor(reference(6), 0, (1,) * 9, (1,) * 9), "damaged"),
        (reference(1 << 40), "asks for more memory than it has bytes"),
        (reference(-1), "damaged"),
        (reference(5), "damaged"),
        (reference(6, "1"), "damaged"),
        (b"NQ", "damaged"),
    ],
)
def test_tensors_and_storages_beyond_the_file(tmp_path, described, says):
    values = torch.arange(6.0).numpy().tobytes()
    assert says in refusal(tmp_path, archive(described, values))
    refusal(tmp_path, older(described))


def test_a_compressed_archive(tmp_path):
    bomb = archive(b"N" * 10_000_000, compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    assert "in compressed form" in refusal(tmp_path, bomb)


@pytest.mark.parametrize(
    "opcodes",
    [
        b"B\xff\xff\xff\x7f",  # bytes of 2 GiB that are not there
        b"\x8e" + b"\xff" * 7 + b"\x7f",
        b"\x8d" + b"\xff" * 7 + b"\x7f",
        b"\x8b\xff\xff\xff\x7f",
        b"\x95" + b"\xff" * 7 + b"\x7fN.",
    ],
)
def test_lengths_beyond_the_file(tmp_path, opcodes):
    refusal(tmp_path, b"\x80\x04" + opcodes)


def test_a_pickle_of_too_many_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(unpickler, "MAX_STEPS", 3000)
    assert "more than 3000 steps" in refusal(tmp_path, b"\x80\x02" + b"N" * 4000 + b".")
    copies = b"\x80\x02](" + b"X\x01\x00\x00\x00a" * 500 + b"eq\x00" + b"cbuiltins\nset\nh\x00\x85R" * 10 + b"."
    assert "more than 3000 steps" in refusal(tmp_path, copies)
    state = b"\x80\x02}(" + b"".join(b"X\x03\x00\x00\x00%03dN" % n for n in range(500)) + b"uq\x00"
    copies = state + b"cargparse\nNamespace\n)Rh\x00b" * 10 + b"."
    assert "more than 3000 steps" in refusal(tmp_path, copies)


def test_a_far_memo_takes_no_room(tmp_path):
    assert torch_save.read(written(tmp_path, b"\x80\x02Nr\xff\xff\xff\x7f.")) is None


@pytest.mark.slow
def test_deep_nesting(tmp_path):
    depth = 100_000
    assert "it holds a list" in refusal(tmp_path, b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b".")


# ----------------------------------------------------------------------------------------------------------- damaged files


@pytest.mark.parametrize("form", ["zip", "older", "network"])
def test_a_truncated_file(tmp_path, form):
    whole = ada_pickle({"weight": torch.ones(3, 3)}) if form == "network" else saved(CONTENT, is_zip=form == "zip")
    torch_save.read(written(tmp_path, whole))
    for length in [*range(16), *range(16, len(whole), len(whole) // 40), len(whole) - 1]:
        refusal(tmp_path, whole[:length])


def test_a_changed_value_in_a_zip(tmp_path):
    data = saved({"a": torch.full((50,), 1.5)}, is_zip=True)
    place = data.index(np.float32(1.5).tobytes() * 3)
    assert "Bad CRC-32" in refusal(tmp_path, data[:place] + b"\x01" + data[place + 1 :])


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from([b"", *torch_save.PICKLE_STARTS, torch_save.ZIP_START, torch_save._MAGIC_START]),
    st.binary(max_size=200),
)
def test_random_bytes(tmp_path_factory, start, rest):
    path = tmp_path_factory.getbasetemp() / "random.bin"
    path.write_bytes(start + rest)
    with pytest.raises(CheckpointError) as caught:
        recognise(path)
    assert "\n" not in str(caught.value)


WHOLE = {form: saved(CONTENT, is_zip=form == "zip") for form in ("zip", "older")} | {
    "network": ada_pickle({"weight": torch.ones(3, 3), "w_avg": torch.ones(2)})
}


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(sorted(WHOLE)), st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 255)), max_size=4))
def test_changed_bytes(tmp_path_factory, form, changes):
    data = bytearray(WHOLE[form])
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "changed.bin"
    path.write_bytes(data)
    try:
        read = torch_save.read(path)
    except CheckpointError as error:
        said = str(error)
        assert said.isprintable()
        assert bytes(data) != WHOLE[form]
    else:
        assert isinstance(read, unpickler.Named | torch.Tensor | dict | list | tuple | str | bytes | int | float | None)
