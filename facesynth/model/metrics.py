"""The record of a run: every loss term at every step, as rows and as curves."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from facesynth.errors import InputError
from facesynth.files import replacing, write_text
from facesynth.model.config import TERMS

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("step", "split", "loss", *TERMS, "seconds")


class Metrics:
    """The rows of ``metrics.csv``.

    Columns: ``step`` (optimiser steps done), ``split``, the terms (``loss`` is their weighted sum), and ``seconds`` of
    work so far. Training rows are the losses of one batch, validation rows means over the whole split.

    Parameters
    ----------
    path : Path
        The file; rows already in it are taken over.
    last : int
        Rows of later steps are dropped: a run that goes on from a checkpoint makes them again.

    Raises
    ------
    InputError
        If the file is there but holds something else.
    """

    def __init__(self, path: Path, last: int) -> None:
        self.path = path
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
                self.lines.append(",".join(row.get(name) or "" for name in COLUMNS))
                self.seconds = float(row["seconds"])

    def add(self, step: int, split: str, terms: Mapping[str, float], seconds: float) -> None:
        """Add a row; it is in the file after the next :meth:`write`."""
        values = ",".join(f"{terms[name]:.6g}" if name in terms else "" for name in COLUMNS[2:-1])
        self.lines.append(f"{step},{split},{values},{seconds:.2f}")

    def validation(self, term: str) -> list[float]:
        """A term's values on the validation split, in order of steps."""
        rows = (dict(zip(COLUMNS, line.split(","), strict=True)) for line in self.lines)
        return [float(row[term]) for row in rows if row["split"] == "val"]

    def write(self) -> None:
        """Write the file, whole or not at all."""
        write_text(self.path, "\n".join([",".join(COLUMNS), *self.lines]) + "\n")


def plot_losses(metrics: Path, picture: Path) -> None:
    """Draw the curves of a ``metrics.csv``: every term, training raw and smoothed, validation as points.

    Parameters
    ----------
    metrics : Path
        The rows.
    picture : Path
        A PNG.
    """
    import pandas as pd
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = pd.read_csv(metrics)
    train, val = rows[rows["split"] == "train"], rows[rows["split"] == "val"]
    terms = [name for name in ("loss", *TERMS) if name in rows and rows[name].notna().any()]
    figure = Figure(figsize=(4.2 * len(terms), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, term in zip(figure.subplots(1, len(terms), squeeze=False)[0], terms, strict=True):
        if not train.empty:
            axis.plot(train["step"], train[term], color="#9ec5e8", linewidth=0.6, label="train, each step")
            smooth = _smooth(train[term])
            axis.plot(train["step"], smooth, color="#1f6fb2", linewidth=1.6, label="train, smoothed")
        axis.plot(val["step"], val[term], color="#d1495b", marker="o", markersize=3, linewidth=1.2, label="validation")
        if (rows[term].dropna() > 0).all():
            axis.set_yscale("log")
        axis.set_title(term)
        axis.set_xlabel("step")
        axis.grid(visible=True, which="both", alpha=0.25)
    figure.axes[0].legend(fontsize=8)
    with replacing(picture) as beside:
        figure.savefig(beside, format="png", dpi=110)


def _smooth(values: pd.Series[float]) -> pd.Series[float]:
    """Mean over a window of a fiftieth of the run, at least 5 steps, centred."""
    return values.rolling(max(len(values) // 50, 5), min_periods=1, center=True).mean()
