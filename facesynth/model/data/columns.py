"""Selection of the manifest columns that hold conditions and photos: a dataset in, column names out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facesynth.errors import DatasetError
from facesynth.manifest import photo_sizes

if TYPE_CHECKING:
    import pandas as pd

    from facesynth.manifest import Dataset
    from facesynth.model.config.model import Condition


def condition_column(dataset: Dataset, condition: Condition, sketch: str | None = None) -> str:
    """The manifest column that holds the condition.

    Parameters
    ----------
    dataset : Dataset
    condition : str
        labels, sketch or photo.
    sketch : str, optional
        The sketch method; needed if the dataset has several.

    Raises
    ------
    DatasetError
        If there is no such column, if the dataset has several sketch methods and ``sketch`` is not given, or if ``sketch`` is
        given for another condition.
    """
    if condition != "sketch":
        if sketch is not None:
            raise DatasetError(
                f"the sketch method {sketch!r} came, but the condition is {condition}; leave out --sketch"
            )
        return condition
    have = [name.removeprefix("sketch_") for name in dataset.columns_of("sketch")]
    if sketch is None and len(have) == 1:
        return f"sketch_{have[0]}"
    if sketch is None and have:
        raise DatasetError(f"{dataset.root} holds the sketches {', '.join(have)}; choose one with --sketch")
    if sketch not in have:
        wanted = f"sketches {sketch!r}" if sketch else "sketches"
        holds = ", ".join(have) or "none"
        raise DatasetError(f"{dataset.root} has no {wanted} (it has {holds}); make them with `facesynth prep sketches`")
    return f"sketch_{sketch}"


def condition_columns(
    dataset: Dataset, condition: Condition, sketch: str | None = None, *, every: bool = False
) -> tuple[str, ...]:
    """The manifest columns that hold the condition. There may be several for sketches; each draw of a pair uses one.

    Parameters
    ----------
    dataset : Dataset
    condition : str
        labels, sketch or photo.
    sketch : str, optional
        The sketch method, or several joined by commas.
    every : bool
        If ``sketch`` is not given, use all sketch methods of the dataset instead of requiring a choice.

    Raises
    ------
    DatasetError
        As :func:`condition_column`.
    """
    have = [name.removeprefix("sketch_") for name in dataset.columns_of("sketch")] if condition == "sketch" else []
    names = have if every and sketch is None else [sketch] if sketch is None or sketch in have else sketch.split(",")
    return tuple(condition_column(dataset, condition, name) for name in dict.fromkeys(names or [None]))


def photo_column(rows: pd.DataFrame, size: int) -> str:
    """The manifest column of the photos to decode for training at ``size``: the smallest photos that are large enough.

    Parameters
    ----------
    rows : DataFrame
        Rows of a manifest.
    size : int
        Height and width that training needs, pixels.

    Returns
    -------
    str
        ``photo_<n>`` with the smallest ``n`` not less than ``size`` that every row has, else ``photo``.
    """
    enough = {
        n: name for n, name in photo_sizes(map(str, rows.columns)).items() if n >= size and (rows[name] != "").all()
    }
    return enough[min(enough)] if enough else "photo"
