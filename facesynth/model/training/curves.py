"""Loss curves: the ``metrics.csv`` of one run or several in, a PNG out.

There is one panel per term. For one run it shows the training values, raw and smoothed, and the validation values. For several
runs each has its own colour, with smoothed training values and validation values as points.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesynth.errors import InputError, reason_of, shown
from facesynth.files import replacing, resolved

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST_COLUMNS = 3
"""The most panels in a row."""
COLOURS = ("#1f6fb2", "#d1495b", "#3a8f5c", "#b07aa1", "#e08a1e", "#5b5b5b", "#17a2b8", "#8c564b")
_NO_TERMS = ("step", "split", "gradient_norm", "seconds", "images_per_second")
_RAW, _SMOOTH, _VALIDATION = "#9ec5e8", "#1f6fb2", "#d1495b"


def plot_losses(metrics: Path, picture: Path) -> None:
    """Plot every term of a ``metrics.csv``: training values raw and smoothed, validation values as points.

    Parameters
    ----------
    metrics : Path
        The ``metrics.csv``.
    picture : Path
        The PNG to write.

    Raises
    ------
    InputError
        If the metrics cannot be read.
    OutputError
        If the picture cannot be written.
    """
    rows = _read(metrics)

    def draw(axis: Axes, term: str) -> None:
        train, val = (_rows_of(rows, split, term) for split in ("train", "val"))
        if not train.empty:
            axis.plot(train["step"], train[term], color=_RAW, linewidth=0.6, label="train, each step")
            axis.plot(train["step"], _smooth(train[term]), color=_SMOOTH, linewidth=1.6, label="train, smoothed")
        axis.plot(
            val["step"], val[term], color=_VALIDATION, marker="o", markersize=3, linewidth=1.2, label="validation"
        )

    _draw_panels([rows], draw, picture)


def compare_runs(runs: Sequence[Path], picture: Path) -> None:
    """Plot the terms of several runs in the same panels.

    Parameters
    ----------
    runs : sequence of Path
        Run folders.
    picture : Path
        The PNG to write.

    Raises
    ------
    InputError
        If there are no runs or more than there are colours, or a run has no ``metrics.csv``.
    OutputError
        If the picture cannot be written.
    """
    if not 1 <= len(runs) <= len(COLOURS):
        raise InputError(f"{len(runs)} runs came to compare; needed: 1 to {len(COLOURS)}")
    tables = [_read(run / "metrics.csv") for run in runs]
    names = _names(runs)

    def draw(axis: Axes, term: str) -> None:
        for rows, name, colour in zip(tables, names, COLOURS, strict=False):
            train, val = (_rows_of(rows, split, term) for split in ("train", "val"))
            axis.plot(train["step"], _smooth(train[term]), color=colour, linewidth=1.0, alpha=0.55)
            axis.plot(val["step"], val[term], color=colour, marker="o", markersize=3, linewidth=1.4, label=name)

    _draw_panels(tables, draw, picture, note="lines with points: validation; thin lines: training, smoothed")


def _names(runs: Sequence[Path]) -> list[str]:
    """The folders' names, with as many parent folders as needed to make them distinct."""
    paths = [resolved(run).parts for run in runs]
    depth = 1
    while len({path[-depth:] for path in paths}) < len({*paths}):
        depth += 1
    return ["/".join(path[-depth:]) for path in paths]


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        raise InputError(f"there is no {path}; give folders that `facesynth train --out` made")
    try:
        rows: pd.DataFrame = pd.read_csv(path)
        if not {"step", "split", "seconds"} <= set(rows.columns):
            raise InputError(f"{path} lacks the columns step, split and seconds; it is no run's metrics")
        for name in rows.columns.drop("split"):
            if not name.isidentifier() or not pd.api.types.is_numeric_dtype(rows[name]):
                raise InputError(f"{path} cannot be read as a run's metrics: {shown(name)} is no column of numbers")
    except (ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read as a run's metrics: {reason_of(error)}") from error
    return rows


def _rows_of(rows: pd.DataFrame, split: str, term: str) -> pd.DataFrame:
    """The rows of a split that have the term."""
    if term not in rows:
        empty: pd.DataFrame = rows.iloc[:0].assign(**{term: []})
        return empty
    chosen: pd.DataFrame = rows[(rows["split"] == split) & rows[term].notna()]
    return chosen


def _draw_panels(tables: Sequence[pd.DataFrame], draw: Any, picture: Path, note: str = "") -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns_of_terms = dict.fromkeys(name for rows in tables for name in rows.columns if name not in _NO_TERMS)
    terms = [term for term in columns_of_terms if any(term in rows and rows[term].notna().any() for rows in tables)]
    terms = terms or [next(iter(columns_of_terms))]
    columns = 2 if len(terms) == 4 else min(MOST_COLUMNS, len(terms))
    lines = -(-len(terms) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.4 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axis, term in zip(panels, terms, strict=False):
        draw(axis, term)
        values = [value for rows in tables if term in rows for value in rows[term].dropna()]
        if values and min(values) > 0:
            axis.set_yscale("log")
        axis.set_title(term)
        axis.set_xlabel("step")
        axis.grid(visible=True, which="both", alpha=0.25)
    for axis in panels[len(terms) :]:
        axis.set_visible(False)
    figure.axes[0].legend(fontsize=8)
    if note:
        figure.supxlabel(note, fontsize=8, color="#5b5b5b")
    with replacing(picture) as beside:
        figure.savefig(beside, format="png", dpi=110)


def _smooth(values: pd.Series[float]) -> pd.Series[float]:
    """The centred moving average over a fiftieth of the run, at least 5 steps."""
    return values.rolling(max(len(values) // 50, 5), min_periods=1, center=True).mean()
