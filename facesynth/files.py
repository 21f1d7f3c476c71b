"""Atomic writing and folder locks.

A file is written under a unique name beside its destination and moved there when it is complete. Leftovers of a killed process
are removed by the next one that locks the folder.
"""

from __future__ import annotations

import filecmp
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from facesynth.errors import InputError, OutputError


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 digest."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 digest of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {error.strerror or error}")


@contextmanager
def replacing(path: Path, *, sync: bool = False, keep_same: bool = False) -> Iterator[Path]:
    """A temporary path beside ``path``: moved to ``path`` if the block succeeds, removed if it fails.

    Parameters
    ----------
    path : Path
        Destination; its folder must exist.
    sync : bool
        Flush the file to disk before it is moved, for the few files that others depend on.
    keep_same : bool
        Leave ``path`` untouched if its content would not change.

    Raises
    ------
    OutputError
        If the file cannot be written; ``path`` is then unchanged.
    """
    beside = path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}.part")
    try:
        yield beside
        if keep_same and path.is_file() and filecmp.cmp(beside, path, shallow=False):
            beside.unlink()
            return
        if sync:
            with beside.open("rb") as file:
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        _remove(beside)
        raise _cannot_write(path, error) from error
    except BaseException:
        _remove(beside)
        raise


_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}\.part")


def _clear(folder: Path) -> None:
    for inner, _, names in os.walk(folder):
        for name in names:
            if _LEFTOVER.fullmatch(name):
                _remove(Path(inner, name))


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def write_bytes(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Write ``data`` to ``path`` atomically (see :func:`replacing`)."""
    with replacing(path, sync=sync) as beside:
        beside.write_bytes(data)


def write_text(path: Path, text: str, *, sync: bool = False) -> None:
    """Write ``text`` to ``path`` in UTF-8, atomically; a file with the same content is left untouched."""
    data = text.encode()
    try:
        same = path.read_bytes() == data
    except OSError:
        same = False
    if not same:
        write_bytes(path, data, sync=sync)


def make_folder(path: Path) -> Path:
    """Create the folder ``path`` with its parents, and check that it is writable.

    Raises
    ------
    OutputError
        If it cannot be created, is a file, or is not writable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".facesynth-probe"
        probe.touch()
        probe.unlink()
    except FileExistsError as error:
        raise OutputError(f"cannot write into {path}: it is a file; give a folder") from error
    except OSError as error:
        raise OutputError(
            f"cannot write into {path}: {error.strerror or error}; give a folder that you may write"
        ) from error
    return path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock ``folder`` for this process, and remove leftovers of killed processes in it, before and after.

    The lock is released with the process, however it ends.

    Raises
    ------
    OutputError
        If another process holds the lock.
    """
    from filelock import FileLock, Timeout

    path = folder / ".facesynth.lock"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(f"{folder} is being written by another facesynth command; wait for it to end") from error
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        _clear(folder)
        yield
    finally:
        _clear(folder)  # lost or cancelled workers may have left files too
        path.unlink(missing_ok=True)
        lock.release()


def pictures_in(paths: list[Path]) -> list[Path]:
    """The picture files that ``paths`` name: a file itself, and for a folder the pictures directly in it, by name.

    Raises
    ------
    InputError
        If a path does not exist, or a folder holds no picture.
    """
    pictures: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                file
                for file in path.iterdir()
                if file.suffix.lower() in PICTURE_SUFFIXES and not file.name.startswith(".") and not file.is_dir()
            )
            if not inside:
                raise InputError(f"no picture in {path}; looked for {', '.join(PICTURE_SUFFIXES)}")
            pictures += inside
        elif path.is_file():
            pictures.append(path)
        else:
            raise InputError(f"{path} does not exist; give a picture, or a folder of pictures")
    return pictures


PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""File name suffixes of pictures, in lower case."""
