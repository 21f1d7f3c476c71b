"""Limits of figures, such as ``miou < 0.75``: what must not be so."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass

from facesynth.errors import InputError, shown
from facesynth.evaluation.results import Figure

_COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
_LIMIT = re.compile(r"\s*(?P<name>\w[\w.-]*)\s*(?P<sign><=|>=|<|>)\s*(?P<value>\S+)\s*")


@dataclass(frozen=True)
class Limit:
    """A condition on a figure under which an evaluation fails.

    Examples
    --------
    >>> limit = Limit.of("miou < 0.75")
    >>> limit.is_broken({"miou": Figure(0.7)}), limit.is_broken({"miou": Figure(0.8)})
    (True, False)
    """

    name: str
    sign: str
    value: float

    @classmethod
    def of(cls, text: str) -> Limit:
        """The limit that a text says.

        Raises
        ------
        InputError
            If it is no name, comparison and number.
        """
        found = _LIMIT.fullmatch(text)
        try:
            value = float(found["value"]) if found else math.nan
        except ValueError:
            value = math.nan
        if found is None or math.isnan(value):
            raise InputError(
                f"the limit is {shown(text)}; needed: a metric, <, <=, > or >=, and a number: 'miou < 0.75'"
            )
        return cls(found["name"], found["sign"], value)

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {self.value:g}"

    def is_broken(self, figures: Mapping[str, Figure]) -> bool:
        """Whether the figures are as they must not be.

        Raises
        ------
        InputError
            If there is no such figure.
        """
        if self.name not in figures:
            raise InputError(
                f"the limit '{self}' names {self.name}, which was not measured; there are {', '.join(figures)}"
            )
        return bool(_COMPARISONS[self.sign](figures[self.name].value, self.value))
