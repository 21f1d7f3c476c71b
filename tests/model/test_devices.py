"""What a machine has for a model."""

from __future__ import annotations

import subprocess
import sys

import pytest

from facesynth.errors import InputError
from facesynth.model.devices import need_compiler
from facesynth.model.inference.translator import Translator

from ..runs import save_model


def test_compiling_without_a_compiler_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        InputError, match=r"needs a C\+\+ compiler, and no-such-compiler is not to be found: install one"
    ):
        need_compiler()
    model = save_model(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="no-such-compiler"):
        Translator.from_checkpoint(model or tmp_path / "model.safetensors", device="cpu", compiled=True)
    monkeypatch.setenv("CXX", sys.executable)
    need_compiler()


FAULTS = """
import resource, torch
from facesynth.model.devices import keep_memory
{}
torch.set_num_threads(1)
for _ in range(20):  # until the heap has grown
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone gives memory back so eagerly")
def test_kept_memory_is_not_asked_for_again():
    def faults(call: str) -> int:
        return int(subprocess.check_output([sys.executable, "-c", FAULTS.format(call)], text=True))

    assert faults("keep_memory()") < 100
    assert faults("") > 1000


RELEASED = """
import torch
from facesynth.model.devices import keep_memory, release_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) // 256

keep_memory()
small, large = [], []
for _ in range(8):
    large.append(torch.ones(2**22))
    small.append(torch.ones(2**10))
whole = resident()
large.clear()
print(whole - resident(), release_memory() or whole - resident())
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's settings")
def test_kept_memory_can_be_released():
    """128 MiB of freed tensors between others that remain."""
    kept, released = map(int, subprocess.check_output([sys.executable, "-c", RELEASED], text=True).split())
    assert kept < 64
    assert released > 100
