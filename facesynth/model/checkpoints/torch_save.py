"""Reading ``torch.save`` files, in the zip and the legacy format, and network pickles: tensors and plain values out.

Input files may be hostile. :mod:`facesynth.model.checkpoints.unpickler` runs no code from them. This module builds the
tensors and enforces the bounds that keep a small file from claiming much memory: no tensor is larger than its storage, and
all storages together are no larger than the file. Older versions of ``torch.load`` can be made to run code even with
``weights_only`` (CVE-2025-32434), so ``torch.load`` is not used.

Pickled NumPy arrays are returned as :class:`Array`, which holds a tensor.

The formats are those described in ``torch/serialization.py``. A zip archive holds ``data.pkl`` and, uncompressed, a file
``data/KEY`` for each storage. The legacy format is five consecutive pickles (magic number, protocol, system, object, storage
keys) followed by the storages. StyleGAN2-ADA's networks are one pickle, in which each storage is a file in the legacy format.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
from torch import Tensor

from facesynth.errors import CheckpointError
from facesynth.model.checkpoints import unpickler
from facesynth.model.checkpoints.unpickler import Attributes, Named, Opaque, Ordered, Refused, Settable, Table, shown

if TYPE_CHECKING:
    from os import PathLike

ZIP_START = b"PK\x03\x04"
PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_MAGIC = 0x1950A86A20F9469CFC6C
_MAGIC_START = b"\x80\x02\x8a\x0a" + _MAGIC.to_bytes(10, "little")
_PROTOCOL = 1001
_MOST_AXES = 8
_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_STRUCT_CODES = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "u8": "Q", "u4": "I", "b1": "?"}
"""The struct module's format codes of NumPy's scalar dtypes."""
_ARRAY_DTYPES = {
    "f8": torch.float64,
    "f4": torch.float32,
    "f2": torch.float16,
    "i8": torch.int64,
    "i4": torch.int32,
    "b1": torch.bool,
}
"""The dtypes that NumPy arrays may have."""


@dataclass(frozen=True)
class Record:
    """An object in a network pickle; the source code of its class, which the file includes, is dropped.

    Attributes
    ----------
    class_name : str
        As stated in the file.
    state : dict
        The object's attributes. A module's tensors are in ``_parameters`` and ``_buffers``, its submodules in ``_modules``.
    """

    class_name: str
    state: dict[str, Any]


class Array(Settable):
    """A NumPy array of a pickle, which is created empty and gets its content by :meth:`take`.

    Attributes
    ----------
    tensor : Tensor
        The content, on the CPU; empty before :meth:`take`.
    """

    __slots__ = ("budget", "tensor")

    def __init__(self, budget: _Budget) -> None:
        self.budget = budget
        self.tensor = torch.empty(0)

    def take(self, state: Any) -> None:
        """Set the content from the pickled state: version, shape, dtype, whether it is in Fortran order, bytes."""
        _, shape, kind, is_fortran, data = state
        if not isinstance(kind, Opaque) or kind.value not in _ARRAY_DTYPES or not isinstance(data, bytes):
            raise Refused("has an array of something other than numbers")
        if not isinstance(shape, tuple) or len(shape) > _MOST_AXES or not all(isinstance(n, int) for n in shape):
            raise ValueError("an array with a wrong shape")
        dtype = _ARRAY_DTYPES[kind.value]
        if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError(f"an array of shape {shape} in {len(data)} bytes")
        self.budget.take(len(data))
        values = _values_of(data, dtype)
        if is_fortran:
            self.tensor = values.reshape(shape[::-1]).permute(*reversed(range(len(shape))))
        else:
            self.tensor = values.reshape(shape)


class _Dtype(Opaque, Settable):
    """A dtype of NumPy."""

    __slots__ = ()

    def take(self, state: Any) -> None:
        """Refuse big-endian numbers; the rest of the state is ignored."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] == ">":
            raise Refused("was written on a big-endian machine, which is not supported")


def read(path: str | PathLike[str], *, what: str = "a checkpoint") -> Any:
    """The content of a ``torch.save`` file or a network pickle, on the CPU.

    Parameters
    ----------
    path : path-like
        The format is detected from the content, not from the name.
    what : str
        What the file should be, for messages.

    Returns
    -------
    Any
        Plain values (see :func:`facesynth.model.checkpoints.unpickler.load`), tensors, and :class:`Record` for persistent
        objects.

    Raises
    ------
    CheckpointError
        If the file is neither, is damaged, or requests anything but tensors and plain values. No code from the file is run.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            stream = _Bounded(file, size)
            return _read(stream, _Budget(size), is_nested=False)
    except Refused as error:
        raise CheckpointError(f"{path} cannot be read as {what}: it {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read as {what}: {error.strerror or error}") from error
    except (
        *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError, RuntimeError),
        *(MemoryError, AssertionError, struct.error, zipfile.BadZipFile),
    ) as error:
        reason = shown(f"{type(error).__name__}: {error}")
        raise CheckpointError(
            f"{path} cannot be read as {what}: it is damaged ({reason}); fetch or copy it again"
        ) from error


class _Bounded:
    """A file that refuses to read past its end, because Python allocates the buffer before it reads."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size

    def read(self, size: int, /) -> bytes:
        left = self.size - self.file.tell()
        if not 0 <= size <= left:
            raise EOFError(f"it ends {size - left} bytes too early")
        return self.file.read(size)

    def readline(self) -> bytes:
        return self.file.readline()


class _Budget:
    """The number of bytes that may still be allocated for storages."""

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, size: int) -> None:
        if size > self.left:
            raise Refused("asks for more memory than it has bytes: it is damaged or hostile")
        self.left -= size


class _Storage:
    """The one-dimensional buffer that tensors are views of."""

    __slots__ = ("values",)

    def __init__(self, values: Tensor) -> None:
        self.values = values


def _read(stream: _Bounded, budget: _Budget, *, is_nested: bool) -> Any:
    start = stream.file.read(len(_MAGIC_START))
    stream.file.seek(0)
    if start.startswith(ZIP_START):
        return _read_zip(stream, budget, _table(budget, is_nested=is_nested))
    if start == _MAGIC_START:
        return _read_legacy(stream, budget, _table(budget, is_nested=is_nested))
    if start.startswith(PICKLE_STARTS) and not is_nested:
        return unpickler.load(stream, _table(budget, is_nested=False))
    raise Refused("is no file of torch.save and no pickle of protocol 2 to 5")


def _read_zip(stream: _Bounded, budget: _Budget, table: Table) -> Any:
    with zipfile.ZipFile(stream.file) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        roots = [
            name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl") and name.count("/") == 1
        ]
        if len(roots) != 1:
            raise Refused("is a zip archive but none of torch.save: it has no data.pkl")
        root = roots[0]
        loaded: dict[str, _Storage] = {}

        def content(name: str) -> bytes:
            info = entries[root + name]
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > stream.size:
                raise Refused(f"has {shown(name)} in compressed form; torch.save does not compress")
            return archive.read(info)

        def persistent(reference: Any) -> _Storage:
            dtype, key, count = _reference(reference)
            if key not in loaded:
                budget.take(count * dtype.itemsize)
                data = content(f"data/{key}")
                if len(data) != count * dtype.itemsize:
                    raise ValueError(f"storage {key} has {len(data)} bytes")
                loaded[key] = _Storage(_values_of(data, dtype))
            if loaded[key].values.dtype != dtype:
                raise ValueError(f"storage {key} is of two types")
            return loaded[key]

        if "byteorder" in {name.removeprefix(root) for name in entries} and content("byteorder").strip() != b"little":
            raise Refused("was written on a big-endian machine, which is not supported")
        described = content("data.pkl")
        return unpickler.load(_Bounded(io.BytesIO(described), len(described)), table, persistent)


def _read_legacy(stream: _Bounded, budget: _Budget, table: Table) -> Any:
    plain = Table()
    magic, protocol, system = (unpickler.load(stream, plain) for _ in range(3))
    if (magic, protocol) != (_MAGIC, _PROTOCOL):
        raise Refused("is no file of torch.save: its first numbers are others")
    if not system["little_endian"]:
        raise Refused("was written on a big-endian machine, which is not supported")
    awaited: dict[str, _Storage] = {}

    def persistent(reference: Any) -> _Storage:
        dtype, key, count = _reference(reference)
        if key not in awaited:
            budget.take(count * dtype.itemsize)
            awaited[key] = _Storage(torch.empty(count, dtype=dtype))
        if awaited[key].values.dtype != dtype or len(awaited[key].values) != count:
            raise ValueError(f"storage {key} is of two types")
        return awaited[key]

    value = unpickler.load(stream, table, persistent)
    for key in unpickler.load(stream, plain):
        values = awaited.pop(key).values
        (count,) = struct.unpack("<q", stream.read(8))
        if count != len(values):
            raise ValueError(f"storage {key} has {count} numbers")
        if count:
            values.copy_(_values_of(stream.read(count * values.itemsize), values.dtype))
    if awaited:
        raise EOFError(f"storage {min(awaited)} is missing")
    return value


def _reference(reference: Any) -> tuple[torch.dtype, str, int]:
    """Dtype, key and number of elements of a storage that a pickle refers to; its device is ignored."""
    kind, named, key, _, count, *view = reference
    if kind != "storage" or not isinstance(named, Named) or named.name not in _STORAGES or any(view):
        raise Refused("refers to something other than a storage of numbers")
    if not isinstance(key, str) or not isinstance(count, int) or count < 0:
        raise ValueError("a storage with a wrong key or size")
    return _STORAGES[named.name], key, count


def _values_of(data: bytes, dtype: torch.dtype) -> Tensor:
    if dtype is torch.bool and max(data, default=0) > 1:
        raise ValueError("a truth value that is neither 0 nor 1")
    return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)


# ----------------------------------------------------------------------------------------------------- permitted names


def _table(budget: _Budget, *, is_nested: bool) -> Table:
    table = Table(_BUILDERS)

    def latin(text: Any, encoding: Any) -> bytes:
        """Bytes, which pickles of protocol 2 store as Latin-1 text."""
        if not isinstance(text, str) or encoding != "latin1":
            raise Refused("has text in another encoding than latin1")
        budget.take(len(text))
        return text.encode("latin1")

    def array(*_: Any) -> Array:
        """An empty array, whatever its first shape and type; what follows says what it holds."""
        return Array(budget)

    table["_codecs", "encode"] = latin
    table["numpy.core.multiarray", "_reconstruct"] = table["numpy._core.multiarray", "_reconstruct"] = array
    if not is_nested:
        table["torch.storage", "_load_from_bytes"] = lambda data: _nested_storage(data, budget)
    return table


def _nested_storage(data: Any, budget: _Budget) -> _Storage:
    """The storage in a complete ``torch.save`` file that is embedded in a pickle."""
    if not isinstance(data, bytes):
        raise TypeError("a storage in other than bytes")
    storage = _read(_Bounded(io.BytesIO(data), len(data)), budget, is_nested=True)
    if not isinstance(storage, _Storage):
        raise TypeError("something other than a storage")
    return storage


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    if not isinstance(storage, _Storage):
        raise TypeError("a tensor in other than a storage")
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or len(size) > _MOST_AXES or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise ValueError("a tensor with a wrong shape")
    count = math.prod(size)
    end = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1 if count else offset
    if max(count, end) > len(storage.values):
        raise Refused("has a tensor that is larger than its storage: it is damaged or hostile")
    return storage.values.as_strided(size, stride, offset)


def _parameter(tensor: Any, *_: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise TypeError("a parameter that is no tensor")
    return tensor


def _ordered(pairs: Any = ()) -> Ordered:
    ordered = Ordered()
    for key, value in pairs:
        if not isinstance(key, str | int):
            raise Refused(f"has a dict with a {type(key).__name__} as a key")
        ordered[key] = value
    return ordered


def _set(values: Any = ()) -> set[str]:
    if not all(isinstance(value, str) for value in values):
        raise Refused("has a set of other than text")
    return set(values)


def _size(values: Any) -> tuple[Any, ...]:
    if not isinstance(values, tuple):
        raise TypeError("a size that is no tuple")
    return values


def _namespace() -> Attributes:
    return Attributes()


def _numpy_dtype(name: Any, *_: Any) -> Opaque:
    if not isinstance(name, str) or name.lstrip("<|=") not in _STRUCT_CODES:
        raise Refused(f"has numbers of the type {shown(name)}, which weights have no use for")
    return _Dtype(name.lstrip("<|="))


def _numpy_scalar(kind: Any, data: Any) -> float | int | bool:
    if not isinstance(kind, Opaque) or not isinstance(data, bytes):
        raise TypeError("a number without a type")
    (number,) = struct.unpack(f"<{_STRUCT_CODES[kind.value]}", data)
    assert isinstance(number, float | int)
    return number


def _record(meta: Any) -> Record:
    """A persistent object: the name of its class, the source code of its module, and its state."""
    if not isinstance(meta, dict) or not isinstance(meta.get("class_name"), str) or meta.get("type") != "class":
        raise TypeError("a persistent object without a class")
    if not isinstance(meta.get("state"), dict):
        raise TypeError("a persistent object without a state")
    meta.pop("module_src", None)  # frees the source code
    return Record(meta["class_name"], meta["state"])


_BUILDERS: dict[tuple[str, str], Callable[..., Any] | None] = {
    ("collections", "OrderedDict"): _ordered,
    ("builtins", "set"): _set,
    ("__builtin__", "set"): _set,  # its name in protocol 2
    ("argparse", "Namespace"): _namespace,
    ("dnnlib.util", "EasyDict"): _ordered,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): _size,
    **{("torch", name): None for name in _STORAGES},
    **{("torch", str(dtype).removeprefix("torch.")): None for dtype in _STORAGES.values()},
    ("numpy", "dtype"): _numpy_dtype,
    ("numpy", "ndarray"): None,
    ("numpy.core.multiarray", "scalar"): _numpy_scalar,
    ("numpy._core.multiarray", "scalar"): _numpy_scalar,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _record,
}
"""The names that a file may use, besides those that :func:`_table` adds, and the function that builds the value of each.

None of these functions belongs to another library.
"""
