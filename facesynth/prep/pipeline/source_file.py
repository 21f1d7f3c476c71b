"""Files that preparation reads: whether they are regular files, and a stamp that shows whether one has changed."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from facesynth.prep.pipeline.findings import Refused

Stamp = tuple[int, int]
"""Size in bytes and modification time in nanoseconds: shows whether a file changed without reading it."""


@dataclass(frozen=True)
class SourceFile:
    """A file to read and its stamp, which is None if it is not a regular file."""

    path: Path
    stamp: Stamp | None

    @property
    def problem(self) -> Refused | None:
        """Why the file cannot be read, as far as this is known without opening it."""
        if self.stamp:
            return None
        return Refused("unreadable", f"{self.path} is no file (a folder, a pipe or a link that leads nowhere?)")


def source_file(path: Path) -> SourceFile:
    """The file at ``path`` with its current stamp."""
    try:
        status = path.stat()
    except OSError:
        return SourceFile(path, None)
    return SourceFile(path, (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None)


def escaped(name: str) -> str:
    """A file name with unprintable characters escaped, for one line of text."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in name
    )
