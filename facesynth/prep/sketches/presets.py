"""Sketch methods with their parameters and presets, and :class:`Sketch`, a method with concrete values.

This module only describes drawings; :mod:`facesynth.prep.sketches.methods` draws them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from facesynth.errors import InputError

REFERENCE_WIDTH = 512
"""Width of the picture that lengths refer to, pixels; they are scaled in proportion to the actual width."""


@dataclass(frozen=True)
class Parameter:
    """A numeric parameter of a method.

    Attributes
    ----------
    default : float
    meaning : str
        What it does, in a few words.
    more_than : float
        Exclusive lower bound.
    at_least : float
        Inclusive lower bound.
    is_length : bool
        In pixels of a picture 512 wide, scaled with the photo's width.
    """

    default: float
    meaning: str
    more_than: float = -math.inf
    at_least: float = -math.inf
    is_length: bool = False

    @property
    def range(self) -> str:
        """The allowed values, in words."""
        if self.more_than > -math.inf:
            return f"a number more than {self.more_than:g}"
        if self.at_least > -math.inf:
            return f"a number, at least {self.at_least:g}"
        return "a number"

    def check(self, name: str, value: float) -> float:
        """The value as a float, if it is in range.

        Raises
        ------
        InputError
            If it is no finite number in range.
        """
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not (math.isfinite(number) and number > self.more_than and number >= self.at_least):
            raise InputError(f"{name} is {value}; needed: {self.range}")
        return number


@dataclass(frozen=True)
class Method:
    """A sketch method.

    Attributes
    ----------
    name : str
    summary : str
        What it draws, in a few words.
    parameters : mapping of str to Parameter
    from_labels : bool
        It draws the label map, not the photo.
    """

    name: str
    summary: str
    parameters: Mapping[str, Parameter]
    from_labels: bool = False

    @property
    def defaults(self) -> dict[str, float]:
        """The default of every parameter."""
        return {name: parameter.default for name, parameter in self.parameters.items()}


_XDOG = {
    "sigma": Parameter(1.4, "line width: standard deviation of the finer Gaussian", more_than=0, is_length=True),
    "k": Parameter(1.6, "ratio of the coarser standard deviation to the finer one", more_than=1),
    "p": Parameter(40.0, "weight of the edges against the tones", at_least=0),
    "epsilon": Parameter(0.15, "threshold of the sharpened grey: lighter stays white"),
    "phi": Parameter(2.0, "steepness of the fall to black", more_than=0),
}

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method(
                "dodge",
                "the photo divided by its blur",
                {
                    "sigma": Parameter(
                        10.0,
                        "standard deviation of the blur: the scale of the shading that stays",
                        more_than=0,
                        is_length=True,
                    ),
                    "strength": Parameter(1.0, "darkness: exponent of the quotient", more_than=0),
                },
            ),
            Method("xdog", "lines and dark tones, by the extended difference of Gaussians", _XDOG),
            Method(
                "fxdog",
                "xdog along the edge flow: longer, cleaner strokes",
                _XDOG
                | {
                    "sigma_tensor": Parameter(
                        2.0, "standard deviation of the smoothing of stroke directions", more_than=0, is_length=True
                    ),
                    "sigma_flow": Parameter(
                        3.0, "standard deviation of the smoothing along a stroke", more_than=0, is_length=True
                    ),
                },
            ),
            Method(
                "contours",
                "the borders between the parts of the label map",
                {
                    "width": Parameter(2.0, "line width", more_than=0, is_length=True),
                    "smoothing": Parameter(
                        1.5, "standard deviation of the blur that rounds corners", more_than=0, is_length=True
                    ),
                },
                from_labels=True,
            ),
            Method(
                "sobel",
                "the gradient of the photo, dark on white",
                {
                    "sigma": Parameter(
                        0.8, "standard deviation of the blur before the gradient", more_than=0, is_length=True
                    ),
                    "strength": Parameter(0.75, "darkness: factor of the gradient", more_than=0),
                },
            ),
            Method(
                "canny",
                "edges as thin lines of one width",
                {
                    "sigma": Parameter(
                        2.0, "standard deviation of the blur before the gradient", more_than=0, is_length=True
                    ),
                    "low": Parameter(0.02, "gradient down to which a line continues", at_least=0),
                    "high": Parameter(0.05, "gradient at which a line begins", at_least=0),
                    "width": Parameter(1.5, "line width", more_than=0, is_length=True),
                },
            ),
        )
    }
)

_STROKES: Mapping[str, Mapping[str, float]] = {
    "pencil": {"sigma": 1.0, "p": 80.0, "epsilon": 0.0, "phi": 1.2},
    "ink": {"sigma": 1.4, "p": 90.0, "epsilon": -0.1, "phi": 10.0},
    "charcoal": {"sigma": 2.4, "p": 40.0, "epsilon": 0.2, "phi": 2.0},
    "soft": {"sigma": 1.8, "p": 60.0, "epsilon": 0.0, "phi": 0.7},
}

PRESETS: Mapping[str, Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        "dodge": {
            "pencil": {"sigma": 6.0, "strength": 2.5},
            "charcoal": {"sigma": 15.0, "strength": 2.0},
            "soft": {"sigma": 20.0},
        },
        "xdog": _STROKES,
        "fxdog": {**_STROKES, "ink": {"sigma": 1.4, "p": 120.0, "epsilon": -0.05, "phi": 10.0}},
        "contours": {"pencil": {"width": 1.3}, "ink": {"width": 3.0}},
        "sobel": {
            "pencil": {"strength": 1.5},
            "ink": {"sigma": 1.2, "strength": 3.0},
            "soft": {"sigma": 2.5, "strength": 1.5},
        },
        "canny": {
            "pencil": {"width": 1.0},
            "ink": {"sigma": 3.0, "width": 3.0},
            "outline": {"sigma": 5.0, "low": 0.03, "high": 0.08, "width": 2.0},
        },
    }
)
"""Presets by method; parameters that a preset does not mention have their defaults."""

_SPEC = re.compile(r"(?P<method>[^:]*)(?::(?P<preset>.*))?", re.DOTALL)


@dataclass(frozen=True)
class Sketch:
    """A method with values for all of its parameters.

    Attributes
    ----------
    name : str
        Name of its folder and manifest column: ``xdog``, or ``xdog-ink`` for a preset.
    method : str
        One of :data:`METHODS`.
    parameters : mapping of str to float
        All parameters of the method, checked; lengths in pixels of a picture 512 wide.
    """

    name: str
    method: str
    parameters: Mapping[str, float] = field(hash=False)

    @property
    def needs_labels(self) -> bool:
        """Whether it is drawn from a label map."""
        return METHODS[self.method].from_labels

    def at_width(self, width: int) -> dict[str, float]:
        """The parameters with lengths in pixels of a picture ``width`` wide."""
        known = METHODS[self.method].parameters
        scale = width / REFERENCE_WIDTH
        return {name: value * scale if known[name].is_length else value for name, value in self.parameters.items()}


def resolve(spec: str, parameters: Mapping[str, float] = MappingProxyType({})) -> Sketch:
    """The sketch for a method or preset, with some parameters changed.

    Parameters
    ----------
    spec : str
        ``METHOD`` or ``METHOD:PRESET``, for example ``xdog`` or ``fxdog:ink``.
    parameters : mapping of str to float
        Values that replace those of the preset and the defaults.

    Returns
    -------
    Sketch

    Raises
    ------
    InputError
        If the method, the preset or a parameter is unknown, or a value is out of its range.

    Examples
    --------
    >>> sketch = resolve("contours:ink", {"smoothing": 1})
    >>> sketch.name, sketch.parameters
    ('contours-ink', {'width': 3.0, 'smoothing': 1.0})
    """
    matched = _SPEC.fullmatch(spec)
    assert matched
    method, preset = matched["method"], matched["preset"]
    if method not in METHODS:
        raise InputError(f"sketch method {method!r} is not known; give one of: {', '.join(METHODS)}")
    if preset is not None and preset not in PRESETS[method]:
        raise InputError(f"{method} has no preset {preset!r}; give one of: {', '.join(PRESETS[method])}")
    known = METHODS[method].parameters
    for name in parameters:
        if name not in known:
            raise InputError(f"{method} has no parameter {name!r}; it takes: {', '.join(known)}")
    values = METHODS[method].defaults | dict(PRESETS[method][preset] if preset else {}) | dict(parameters)
    checked = {name: known[name].check(name, value) for name, value in values.items()}
    return Sketch(f"{method}-{preset}" if preset else method, method, checked)


def all_sketches(*, labels: bool) -> list[Sketch]:
    """Every method with its defaults and with each preset; those drawn from label maps only if ``labels`` is true."""
    return [
        resolve(method if preset is None else f"{method}:{preset}")
        for method, about in METHODS.items()
        if labels or not about.from_labels
        for preset in (None, *PRESETS[method])
    ]
