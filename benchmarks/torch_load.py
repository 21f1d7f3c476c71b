"""Hostile checkpoints by ``torch.load(weights_only=True)`` and by our reader: ``python benchmarks/torch_load.py [FILES]``.

Every file is small and asks for much, or for what weights have no use for. Each way reads each in a process of its own, which
may take 10 s and 1.5 GB of memory beyond what the imports take (Linux only). Printed is what came of it with the seconds and
the peak memory beyond the imports; at the end the ratio of the times that an honest file of 256 MB takes, either way in
turns. FILES, or folders of them, are read in place of those that are made here, and only what came of them is counted.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # no thread that a forked process would lack

import io
import pickle
import resource
import signal
import statistics
import sys
import tempfile
import time
import warnings
import zipfile
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import MAGIC_NUMBER

from facesynth.errors import CheckpointError
from facesynth.model.checkpoints import torch_save

SECONDS, MEMORY = 10, 1_500_000_000
RUNS = 7
MIB = 2**20


# ------------------------------------------------------------------------------------------------------------ the files


def number(value: int) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def text(value: str) -> bytes:
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def storage(count: int, key: int = 0, view: bytes = b"") -> bytes:
    """The opcodes of a storage of so many float32; the older form also has the ``view`` of it."""
    return b"(%bctorch\nFloatStorage\n%b%b%b%btQ" % (text("storage"), text(str(key)), text("cpu"), number(count), view)


def tensor(of: bytes, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    shape = b"".join(b"(" + b"".join(map(number, axes)) + b"t" for axes in (size, stride))
    return b"ctorch._utils\n_rebuild_tensor_v2\n(%bK\0%b\x89}tR" % (of, shape)


def zipped(described: bytes, data: bytes = bytes(24), compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in (
            ("data.pkl", b"\x80\2" + described + b"."),
            ("version", b"3\n"),
            ("byteorder", b"little"),
            ("data/0", data),
        ):
            archive.writestr(f"a/{name}", content)
    return stream.getvalue()


def older(described: bytes) -> bytes:
    head = b"".join(pickle.dumps(value, 2) for value in (MAGIC_NUMBER, 1001, {"little_endian": True}))
    return head + b"\x80\2" + described + b".\x80\2]."


def saved(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def hostile() -> dict[str, Callable[[], bytes]]:
    """How to make each file, by what it asks for."""
    one = tensor(storage(6), (2,), (1,))
    encoded = b"c_codecs\nencode\n(h\0%btR" % text("latin1")
    ids = b"](" + b"".join(text(str(n)) for n in range(20_000)) + b"eq\0"
    room = b"cbuiltins\nbytearray\n%b\x85R"
    deflated = zipfile.ZIP_DEFLATED
    return {
        "os.system": lambda: zipped(b"cposix\nsystem\n%b\x85R" % text("true")),
        "eval": lambda: zipped(b"cbuiltins\neval\n%b\x85R" % text("1")),
        "a storage larger than the file": lambda: zipped(tensor(storage(1 << 40), (1,), (1,))),
        "a tensor of 2^80 numbers in 6": lambda: zipped(tensor(storage(6), (1 << 40, 1 << 40), (0, 0))),
        "a tensor of 2^30 numbers in 6": lambda: zipped(tensor(storage(6), (1 << 30,), (0,))),
        "a storage of 2 GiB, older form": lambda: older(storage(1 << 29, view=b"N")),
        "64 storages of 64 MiB, older form": lambda: older(
            b"](" + b"".join(storage(1 << 24, n, b"N") for n in range(64)) + b"e"
        ),
        "a compressed storage of 0.5 GB": lambda: zipped(
            tensor(storage(125_000_000), (1,), (1,)), bytes(500_000_000), deflated
        ),
        "a compressed storage of 2 GB": lambda: zipped(
            tensor(storage(500_000_000), (1,), (1,)), bytes(2_000_000_000), deflated
        ),
        "a compressed pickle of 50 M steps": lambda: zipped(b"(" + b"N" * 50_000_000 + b"l", compression=deflated),
        "a buffer of 1 GiB": lambda: zipped(room % number(1 << 30)),
        "eight buffers of 1 GiB": lambda: zipped(b"](" + 8 * (room % number(1 << 30)) + b"e"),
        "a text of 1 MB as bytes 3000 times": lambda: zipped(text("a" * MIB) + b"q\0](" + 3000 * encoded + b"e\x86"),
        "a list of 20,000 as a set 3000 times": lambda: zipped(
            ids + b"](" + 3000 * b"cbuiltins\nset\nh\0\x85R" + b"e\x86"
        ),
        "lists in lists, 100,000 deep": lambda: zipped(b"]" * 100_000 + b"a" * 99_999),
        "a parameter's hooks": lambda: zipped(b"ctorch._utils\n_rebuild_parameter\n(%b\x89}tR" % one),
        "attributes of a dict": lambda: zipped(b"ccollections\nOrderedDict\n)R}%bK\1sb" % text("items")),
        "a program's options (argparse)": lambda: saved({"opts": Namespace(size=256)}),
        "a Counter": lambda: saved(Counter(a=1)),
    }


# ----------------------------------------------------------------------------------------------------------- reading them


def by_torch(path: Path) -> Any:
    """As the library reads weights."""
    return torch.load(path, map_location="cpu", weights_only=True)


WAYS: dict[str, Callable[[Path], Any]] = {"torch.load": by_torch, "ours": torch_save.read}


def tensors(value: Any) -> Iterable[Tensor]:
    """The tensors in a value, without recursion."""
    left, met = [value], set()
    while left:
        item = left.pop()
        if id(item) in met:
            continue
        met.add(id(item))
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, dict):
            left += item.values()
        elif isinstance(item, list | tuple):
            left += item


def outcome(read: Callable[[Path], Any], path: Path) -> str:
    """What comes of reading a file, in a word or two."""
    try:
        value = read(path)
        larger = any(one.numel() * one.itemsize > one.untyped_storage().nbytes() for one in tensors(value))
    except MemoryError:
        return "out of memory"
    except CheckpointError:
        return "refused"
    except Exception as error:
        said = str(error)
        return "out of memory" if "allocate memory" in said or "MemoryError" in said else "refused"
    return "READ, larger than its storage" if larger else "read"


def status(field: str) -> int:
    """A size of this process from the kernel, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def apart(read: Callable[[Path], Any], path: Path) -> tuple[str, float, float]:
    """What comes of reading a file in a process of its own, the seconds, and the peak memory beyond the imports, bytes."""
    resident, mapped = status("VmRSS:"), status("VmSize:")
    receiver, sender = os.pipe()
    started = time.perf_counter()
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(SECONDS)
        os.write(sender, outcome(read, path).encode())
        os._exit(0)
    os.close(sender)
    _, ended, used = os.wait4(child, 0)
    took = time.perf_counter() - started
    with open(receiver, "rb") as stream:
        told = stream.read().decode()
    if os.WIFSIGNALED(ended) and not told:
        killed = os.WTERMSIG(ended)
        told = f"HUNG over {SECONDS} s" if killed == signal.SIGALRM else f"CRASHED by {signal.Signals(killed).name}"
    return told or "CRASHED", took, max(0, used.ru_maxrss * 1024 - resident)


def show_hostile() -> None:
    """A line a file."""
    print(f"{'a file with':38s} {'bytes':>9s}" + "".join(f"  {way:>30s} {'s':>5s} {'MiB':>5s}" for way in WAYS))
    with tempfile.TemporaryDirectory() as folder:
        for name, make in hostile().items():
            path = Path(folder, "a.pt")
            path.write_bytes(make())
            line = f"{name:38s} {path.stat().st_size:9,d}"
            for read in WAYS.values():
                told, took, peak = apart(read, path)
                line += f"  {told:>30s} {took:5.2f} {peak / MIB:5.0f}"
            print(line, flush=True)


def count_given(given: Iterable[Path]) -> None:
    """What comes of files that are given, by both ways at once."""
    paths = sorted(path for one in given for path in ([one] if one.is_file() else one.rglob("*")) if path.is_file())
    counts: Counter[tuple[str, ...]] = Counter()
    examples: dict[tuple[str, ...], list[str]] = {}
    worst = dict.fromkeys(WAYS, (0.0, 0.0))
    for path in paths:
        told = []
        for way, read in WAYS.items():
            word, took, peak = apart(read, path)
            told.append(word)
            worst[way] = max(worst[way][0], took), max(worst[way][1], peak)
        counts[tuple(told)] += 1
        examples.setdefault(tuple(told), []).append(path.name)
    for told, count in counts.most_common():
        said = ", ".join(f"{way}: {word}" for way, word in zip(WAYS, told, strict=True))
        print(f"{count:5d}  {said}  (as {', '.join(examples[told][:3])})")
    for way, (took, peak) in worst.items():
        print(f"the most that {way} took: {took:.2f} s, {peak / MIB:.0f} MiB")


def compare_honest() -> None:
    """The ratio of the times that a file of weights takes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.pt")
        torch.save({"state_dict": {f"layer{n}.weight": torch.randn(512, 512, 2, 2) for n in range(64)}}, path)
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        for run in range(RUNS + 1):
            for way, read in WAYS.items():
                started = time.perf_counter()
                read(path)
                if run:  # the first fills the file cache
                    times[way].append(time.perf_counter() - started)
        ratio = statistics.median(ours / theirs for theirs, ours in zip(*times.values(), strict=True))
        told = ", ".join(f"{way} {statistics.median(values):.3f} s" for way, values in times.items())
        print(f"honest weights of {path.stat().st_size / 1e6:.0f} MB: {told}; ours over torch.load {ratio:.2f}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1:]:
        count_given(map(Path, sys.argv[1:]))
    else:
        show_hostile()
        compare_honest()
