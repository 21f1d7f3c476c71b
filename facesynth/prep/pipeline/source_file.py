"""Files that preparation reads: whether they are files at all, and how to tell that one has changed."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from facesynth.prep.pipeline.findings import Refused

Stamp = tuple[int, int]
"""Size in bytes and modification time in nanoseconds: tells whether a file changed without reading it."""


@dataclass(frozen=True)
class SourceFile:
    """A file to read and its stamp; none where it is no regular file."""

    path: Path
    stamp: Stamp | None

    @property
    def problem(self) -> Refused | None:
        """Why it cannot be read, as far as that shows without opening it."""
        if self.stamp:
            return None
        return Refused("unreadable", f"{self.path} is no file (a folder, a pipe or a link that leads nowhere?)")


def source_file(path: Path) -> SourceFile:
    """The file at ``path``, as it is now."""
    try:
        status = path.stat()
    except OSError:
        return SourceFile(path, None)
    return SourceFile(path, (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None)


def escaped(name: str) -> str:
    """A file name that can stand in a line of text."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode() for sign in name
    )
