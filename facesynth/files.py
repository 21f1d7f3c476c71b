"""Atomic writing, syncing and folder locks.

A file is written under a unique name beside its destination and moved there when it is complete. Leftovers of a killed process
are removed by the next one that locks the folder. Only regular files are read, and what a dataset folder
names must be inside it.

After a power loss, a file that was not synced may be empty, full of zeros or gone, whatever its folder says. Therefore a file
takes the place of another only when it has reached the disk, and what names many new files, such as a journal, is written
after :func:`sync_files`.
"""

from __future__ import annotations

import ctypes
import errno
import filecmp
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from facesynth.errors import DatasetError, InputError, OutputError, PictureError, shown

PICTURE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif"
)  # fmt: skip
"""File name suffixes of pictures, in lower case."""
OTHER_SUFFIXES = (
    ".svg",
    ".svgz",
    ".dng",
    ".cr2",
    ".cr3",
    ".nef",
    ".arw",
    ".orf",
    ".rw2",
    ".raf",
    ".psd",
    ".pdf",
    ".jxl",
)
"""Suffixes of files that show a picture but cannot be read; they are named, unless a picture of the same name is beside."""

_TYPES = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def check_regular(path: Path) -> os.stat_result:
    """The status of a regular file; others are refused before they are opened, which might wait or never end.

    Raises
    ------
    OSError
        If there is no such file, or it is a folder, a pipe, a device or a socket.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        kind = _TYPES.get(stat.S_IFMT(status.st_mode), "of an unknown type")
        raise OSError(errno.EINVAL, f"it is {kind}; needed: a regular file", str(path))
    return status


def read_file(path: Path, most: int) -> bytes:
    """The content of a regular file of at most ``most`` bytes.

    Raises
    ------
    OSError
        As :func:`check_regular` does, or if the file is larger.
    """
    size = check_regular(path).st_size
    if size > most:
        raise OSError(errno.EFBIG, f"it has {size} bytes; needed: at most {most}", str(path))
    return path.read_bytes()


def resolved(path: Path) -> Path:
    """The absolute path without links; a link that leads back to itself stays, where pathlib raises RuntimeError."""
    return Path(os.path.realpath(path))


LONGEST_NAME = 255
"""The most bytes of a file's name on usual file systems."""


def check_lengths(names: Iterable[str]) -> None:
    """Check that names of files are not too long to be written.

    Raises
    ------
    PictureError
        If one is.
    """
    for name in names:
        if (length := len(os.fsencode(name))) > LONGEST_NAME:
            raise PictureError(
                f"its file would have a name of {length} bytes; needed: at most {LONGEST_NAME}; rename it"
            )


_DRIVE = re.compile("[A-Za-z]:")


def leaves_folder(name: str) -> bool:
    """Whether a relative path, as text, leads out of its folder, or is no path in every system.

    Examples
    --------
    >>> [leaves_folder(name) for name in ("photos/1.jpg", "../1.jpg", "/1.jpg", "C:1.jpg")]
    [False, True, True, True]
    """
    if name[:1] == "/" or "\\" in name or _DRIVE.match(name):
        return True
    return ".." in name and ".." in name.split("/")


def inside(root: Path, name: str | Path) -> Path:
    """The path of what a manifest, a journal or ``dataset.json`` names, before it is read, written or removed.

    Parameters
    ----------
    root : Path
        The dataset folder; it may be a link itself.
    name : str or Path
        Relative to it.

    Raises
    ------
    DatasetError
        If it is outside the folder, by its name or by a link.
    """
    name = str(name)
    if leaves_folder(name):
        raise DatasetError(f"{root} names {shown(name)}; paths must be relative, inside the folder, with '/'")
    path = str(root)
    for part in name.split("/"):
        path = os.path.join(path, part)
        if os.path.islink(path):
            real, top = os.path.realpath(path), os.path.realpath(root)
            if os.path.commonpath([real, top]) != top:
                raise DatasetError(f"{path} is a link that leads out of {root}; put the file itself there")
    return root / name


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
        Flush the file to disk before it is moved, and then its folder, for the few files that others depend on. A file that
        takes the place of another one is always flushed first.
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
        if keep_same and os.path.isfile(path) and filecmp.cmp(beside, path, shallow=False):
            beside.unlink()
            return
        if sync or os.path.lexists(path):
            _sync(beside)
        beside.replace(path)
        if sync:
            _sync(path.parent)
    except OSError as error:
        _remove(beside)
        raise _cannot_write(path, error) from error
    except BaseException:
        _remove(beside)
        raise


def _sync(path: Path) -> None:
    """Flush a file or a folder to disk."""
    if os.name != "posix" and path.is_dir():  # Windows opens no folders
        return
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        os.fsync(number)
    finally:
        os.close(number)


SYNC_INTERVAL = 2.0
"""Seconds of work that are synced together."""
_MANY = 8


def sync_files(root: Path, names: Collection[str]) -> None:
    """Flush new files and their folders to disk, before something is written that names them.

    Linux flushes a whole file system at once, which takes a few milliseconds where each of the files would take as long.

    Parameters
    ----------
    root : Path
        A folder.
    names : collection of str
        The files, relative to it.

    Raises
    ------
    OutputError
        If they cannot be flushed.
    """
    if not names:
        return
    try:
        if len(names) >= _MANY and _sync_file_system(root):
            return
        folders = {root}
        for name in names:
            with suppress(FileNotFoundError):  # somebody has removed it meanwhile
                _sync(root / name)
            folders.update(root / parent for parent in PurePosixPath(name).parents)
        for folder in folders:
            _sync(folder)
    except OSError as error:
        raise _cannot_write(root, error) from error


def _sync_file_system(folder: Path) -> bool:
    """Flush the file system that a folder is on; returns whether there is such a call."""
    if (call := _syncfs()) is None:
        return False
    number = os.open(folder, os.O_RDONLY)
    try:
        if call(number):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(number)
    return True


@lru_cache
def _syncfs() -> Any:
    try:
        return ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError, TypeError):  # only Linux has it
        return None


_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{8}\.part")


def _clear(folder: Path) -> None:
    for inner, _, names in os.walk(folder):
        for name in names:
            if _LEFTOVER.fullmatch(name):
                _remove(Path(inner, name))


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def remove(path: Path) -> None:
    """Remove a file or a link; a folder stays, and nothing is done if there is nothing.

    Raises
    ------
    OutputError
        If it cannot be removed.
    """
    if os.path.islink(path) or not os.path.isdir(path):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # there is no such file
                raise OutputError(f"cannot remove {path}: {error.strerror or error}") from error
        except ValueError:  # a name that no file can have
            return


def write_bytes(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Write ``data`` to ``path`` atomically (see :func:`replacing`); a file with the same content is left untouched."""
    try:
        is_same = check_regular(path).st_size == len(data) and path.read_bytes() == data
    except OSError:
        is_same = False
    if not is_same or path.is_symlink():
        with replacing(path, sync=sync) as beside:
            beside.write_bytes(data)


def write_text(path: Path, text: str, *, sync: bool = False) -> None:
    """Write ``text`` to ``path`` in UTF-8, as :func:`write_bytes` does."""
    write_bytes(path, text.encode(), sync=sync)


def make_folder(path: Path) -> Path:
    """Create the folder ``path`` with its parents, and check that it is writable.

    Raises
    ------
    OutputError
        If it cannot be created, is a file, or is not writable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe.{secrets.token_hex(4)}.part"
        probe.touch()
        probe.unlink()
    except FileExistsError as error:
        raise OutputError(f"cannot write into {path}: it is a file; give a folder") from error
    except OSError as error:
        raise OutputError(
            f"cannot write into {path}: {error.strerror or error}; give a folder that you may write"
        ) from error
    return path


def make_folder_inside(root: Path, name: str) -> Path:
    """Create the folder ``name`` of ``root``, and check that it is writable and no link.

    Raises
    ------
    OutputError
        If it or a folder between is a link, or as :func:`make_folder` does.
    """
    folder = root
    for part in name.split("/"):
        folder = folder / part
        if os.path.islink(folder):
            raise OutputError(
                f"{folder} is a link, where {root} is written; needed: a folder; only {root} may be a link"
            )
    return make_folder(folder)


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
    if os.path.lexists(path) and (os.path.islink(path) or not os.path.isfile(path)):
        raise OutputError(f"{path} is no regular file; remove it")
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


def pictures_in(paths: list[Path], suffixes: tuple[str, ...] = PICTURE_SUFFIXES) -> list[Path]:
    """The picture files that ``paths`` name: a file itself, and for a folder the pictures directly in it, by name.

    Files of :data:`OTHER_SUFFIXES` are among them, so that reading reports them.

    Parameters
    ----------
    paths : list of Path
    suffixes : tuple of str
        Of the files in folders, in lower case. A file with one that no picture has is left out beside a picture of its name.

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
                if file.suffix.lower() in (*suffixes, *OTHER_SUFFIXES)
                and not file.name.startswith(".")
                and not file.is_dir()
            )
            if not any(file.suffix.lower() in suffixes for file in inside):
                raise InputError(f"no picture in {path}; looked for {', '.join(suffixes)}")
            stems = {file.stem for file in inside if file.suffix.lower() in PICTURE_SUFFIXES}
            pictures += [file for file in inside if file.suffix.lower() in PICTURE_SUFFIXES or file.stem not in stems]
        elif path.is_file():
            pictures.append(path)
        else:
            raise InputError(f"{path} does not exist; give a picture, or a folder of pictures")
    return pictures
