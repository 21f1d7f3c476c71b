"""The metrics log of a run: loss terms in, rows of ``metrics.csv`` out; :mod:`facesynth.model.training.curves` plots them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from facesynth.errors import InputError, reason_of
from facesynth.files import write_text
from facesynth.model.config.train import TERMS

MODEL_TERMS = ("loss", *TERMS, "gradient_norm")
"""The metrics of a model's training."""


class Metrics:
    """The rows of ``metrics.csv``.

    The columns are ``step`` (optimiser steps done), ``split``, the terms, ``seconds`` (training time so far), and
    ``images_per_second`` in that step. The terms of a model are those of its loss, their weighted sum ``loss``, and the norm
    of all gradients together. Training rows are averages over a batch, validation rows over the whole split.

    Parameters
    ----------
    path : Path
        The file; existing rows are kept.
    last : int
        Rows of later steps are dropped, since a resumed run writes them again.
    terms : sequence of str
        The columns of terms; a row may lack some.

    Raises
    ------
    InputError
        If the file exists but does not hold metrics.
    """

    def __init__(self, path: Path, last: int, terms: Sequence[str] = MODEL_TERMS) -> None:
        self.path, self.terms = path, terms
        self.columns = ("step", "split", *terms, "seconds", "images_per_second")
        self.lines: list[str] = []
        self.seconds = 0.0
        if path.is_file():
            try:
                self._read_rows(path.read_text("utf-8").splitlines(), last)
            except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
                raise InputError(f"{path} cannot be read as a run's metrics: {reason_of(error)}; remove it") from error

    def _read_rows(self, lines: list[str], last: int) -> None:
        """Read the existing rows; those of earlier versions of facesynth may have fewer columns."""
        for row in csv.DictReader(lines):
            if int(row["step"]) <= last:
                self.lines.append(",".join(row.get(name) or "" for name in self.columns))
                self.seconds = float(row["seconds"])

    def add(
        self, step: int, split: str, terms: Mapping[str, float], seconds: float, images_per_second: float | None = None
    ) -> None:
        """Add a row; the next :meth:`write` writes it to the file."""
        values = ",".join(f"{terms[name]:.6g}" if name in terms else "" for name in self.terms)
        rate = "" if images_per_second is None else f"{images_per_second:.4g}"
        self.lines.append(f"{step},{split},{values},{seconds:.2f},{rate}")

    def validation(self, term: str) -> list[float]:
        """A term's values on the validation split, in order of steps."""
        rows = (dict(zip(self.columns, line.split(","), strict=True)) for line in self.lines)
        return [float(row[term]) for row in rows if row["split"] == "val"]

    def write(self) -> None:
        """Write the file, atomically."""
        write_text(self.path, "\n".join([",".join(self.columns), *self.lines]) + "\n", sync=True)
