"""The record of a run: every loss term at every step, as rows; :mod:`facesynth.model.training.curves` draws them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from facesynth.errors import InputError
from facesynth.files import write_text
from facesynth.model.config.train import TERMS

MODEL_TERMS = ("loss", *TERMS, "gradient_norm")
"""What is told of a model's training."""


class Metrics:
    """The rows of ``metrics.csv``.

    Columns: ``step`` (optimiser steps done), ``split``, the terms, ``seconds`` of work so far, and photos a second in that
    step. A model's terms are those of its loss, ``loss`` for their weighted sum, and the length of all gradients together.
    Training rows are of one batch, validation rows of the whole split.

    Parameters
    ----------
    path : Path
        The file; rows already in it are taken over.
    last : int
        Rows of later steps are dropped: a run that goes on from a checkpoint makes them again.
    terms : sequence of str
        The columns between; a row may lack some.

    Raises
    ------
    InputError
        If the file is there but holds something else.
    """

    def __init__(self, path: Path, last: int, terms: Sequence[str] = MODEL_TERMS) -> None:
        self.path, self.terms = path, terms
        self.columns = ("step", "split", *terms, "seconds", "images_per_second")
        self.lines: list[str] = []
        self.seconds = 0.0
        if path.is_file():
            try:
                self._take_over(path.read_text("utf-8").splitlines(), last)
            except (OSError, ValueError, KeyError) as error:
                raise InputError(f"{path} cannot be read as a run's metrics: {error}; remove it") from error

    def _take_over(self, lines: list[str], last: int) -> None:
        """Rows of an earlier facesynth have fewer columns."""
        for row in csv.DictReader(lines):
            if int(row["step"]) <= last:
                self.lines.append(",".join(row.get(name) or "" for name in self.columns))
                self.seconds = float(row["seconds"])

    def add(
        self, step: int, split: str, terms: Mapping[str, float], seconds: float, images_per_second: float | None = None
    ) -> None:
        """Add a row; it is in the file after the next :meth:`write`."""
        values = ",".join(f"{terms[name]:.6g}" if name in terms else "" for name in self.terms)
        rate = "" if images_per_second is None else f"{images_per_second:.4g}"
        self.lines.append(f"{step},{split},{values},{seconds:.2f},{rate}")

    def validation(self, term: str) -> list[float]:
        """A term's values on the validation split, in order of steps."""
        rows = (dict(zip(self.columns, line.split(","), strict=True)) for line in self.lines)
        return [float(row[term]) for row in rows if row["split"] == "val"]

    def write(self) -> None:
        """Write the file, whole or not at all."""
        write_text(self.path, "\n".join([",".join(self.columns), *self.lines]) + "\n")
