"""The record of a folder of faces: the input of each face and the settings with which it was generated.

It holds one line of JSON per input, and one for every set of settings that these lines refer to. Lines are appended during the
work, so that a killed process loses nothing; at the end the file is rewritten in the order of the inputs. An incomplete line
left by a killed process is ignored.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from facesynth.errors import InputError, OutputError
from facesynth.files import SYNC_INTERVAL, read_file, sha256, sync_files, write_text
from facesynth.values import read_json

RECORD = "faces.jsonl"
"""The record's name."""
_MOST_BYTES = 1 << 28
"""The largest record."""


class Record:
    """The record of a folder, which need not exist yet.

    Parameters
    ----------
    folder : Path
        The folder of faces.
    settings : mapping
        All settings that the faces depend on now; plain values.

    Raises
    ------
    OutputError
        If an existing record cannot be read.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder, self.path = folder, folder / RECORD
        self.made = sha256(json.dumps(settings, sort_keys=True).encode())[:16]
        self.settings: dict[str, Mapping[str, Any]] = {}
        self.rows: dict[str, Mapping[str, Any]] = {}
        try:
            text = read_file(self.path, _MOST_BYTES).decode("utf-8", "replace") if self.path.exists() else ""
        except OSError as error:
            raise OutputError(f"{self.path} cannot be read: {error.strerror or error}; remove it") from error
        for line in text.splitlines():
            self._take(line)
        self._waiting: list[str] = []
        self._committed = time.monotonic()
        self.is_torn = bool(text) and not text.endswith("\n")
        self.is_new = self.made not in self.settings
        self.settings[self.made] = settings

    def _take(self, line: str) -> None:
        try:
            row = read_json(line, most=100_000)
            if "input" in row:
                if {"made", "sha256", "files"} <= row.keys():
                    self.rows[str(row["input"])] = row
            else:
                self.settings[str(row["made"])] = row["settings"]
        except (InputError, KeyError, TypeError, AttributeError):
            return

    def has(self, name: str, digest: str, files: Sequence[str]) -> bool:
        """Whether an input with this content was translated with the current settings and its files exist."""
        row = self.rows.get(name, {})
        is_same = (row.get("made"), row.get("sha256"), row.get("files")) == (self.made, digest, list(files))
        return is_same and all((self.folder / file).is_file() for file in files)

    def add(self, name: str, source: Path, digest: str, files: Sequence[str]) -> None:
        """Add an input whose files are written, to be recorded when they are on the disk: every few seconds.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        self.rows[name] = {
            "input": name,
            "source": source.as_posix(),
            "sha256": digest,
            "files": list(files),
            "made": self.made,
        }
        self._waiting.append(name)
        if time.monotonic() - self._committed >= SYNC_INTERVAL:
            self.commit()

    def commit(self) -> None:
        """Sync the files of the inputs that are not recorded yet, and record them.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        rows = [self.rows[name] for name in self._waiting if name in self.rows]
        self._waiting, self._committed = [], time.monotonic()
        if not rows:
            return
        sync_files(self.folder, {file for row in rows for file in row["files"]})
        lines = ["" if not self.is_torn else "\n"]
        if self.is_new:
            lines.append(self._settings_line(self.made))
        lines += [json.dumps(row, sort_keys=True) + "\n" for row in rows]
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(lines))
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error
        self.is_new = self.is_torn = False

    def drop(self, name: str) -> None:
        """Remove an input whose files are about to be rewritten or cannot be generated."""
        self.rows.pop(name, None)

    def finish(self, order: Iterable[str]) -> None:
        """Rewrite the record: the inputs in this order, then those of earlier calls, by name.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        self.commit()
        first = [name for name in order if name in self.rows]
        names = [*first, *sorted(self.rows.keys() - set(first))]
        used = {str(self.rows[name]["made"]) for name in names}
        lines = [self._settings_line(made) for made in sorted(used & self.settings.keys())]
        lines += [json.dumps(self.rows[name], sort_keys=True) + "\n" for name in names]
        write_text(self.path, "".join(lines))

    def _settings_line(self, made: str) -> str:
        return json.dumps({"made": made, "settings": self.settings[made]}, sort_keys=True) + "\n"
