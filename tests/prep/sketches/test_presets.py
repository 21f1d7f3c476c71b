"""Sketch methods, presets and the names that stand for them."""

from __future__ import annotations

import inspect
import math
import pickle
import re
from pathlib import Path

import pytest
from facesynth.cli.prep.sketches import PARAMETERS

from facesynth.errors import InputError
from facesynth.prep.sketches import methods
from facesynth.prep.sketches.presets import METHODS, PRESETS, all_sketches, resolve

PAGE = Path(__file__).parents[3] / "docs" / "sketches.md"
SPECS = [f"{method}:{preset}" for method, presets in PRESETS.items() for preset in presets]


def test_registry_agrees_with_the_filters() -> None:
    for name, method in METHODS.items():
        signature = inspect.signature(getattr(methods, name)).parameters
        for parameter, about in method.parameters.items():
            assert about.default == signature[parameter].default
    lengths = {
        name: [p for p, about in method.parameters.items() if about.is_length] for name, method in METHODS.items()
    }
    assert lengths == {
        "dodge": ["sigma"],
        "xdog": ["sigma"],
        "fxdog": ["sigma", "sigma_tensor", "sigma_flow"],
        "contours": ["width", "smoothing"],
        "sobel": ["sigma"],
        "canny": ["sigma", "width"],
    }


def test_the_command_has_an_option_for_every_parameter() -> None:
    assert set(PARAMETERS) == {name for method in METHODS.values() for name in method.parameters}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_alone_has_its_defaults(method: str) -> None:
    sketch = resolve(method)
    assert (sketch.name, sketch.method, sketch.parameters) == (method, method, METHODS[method].defaults)
    assert sketch.needs_labels == (method == "contours")


@pytest.mark.parametrize("spec", SPECS)
def test_a_preset_has_its_values_and_the_defaults(spec: str) -> None:
    method, preset = spec.split(":")
    sketch = resolve(spec)
    assert sketch.name == f"{method}-{preset}"
    assert sketch.parameters == METHODS[method].defaults | dict(PRESETS[method][preset])
    assert sketch.parameters != METHODS[method].defaults
    assert pickle.loads(pickle.dumps(sketch)) == sketch


def test_parameters_win_over_the_preset() -> None:
    sketch = resolve("xdog:ink", {"sigma": "2", "k": 3})
    assert sketch.parameters == resolve("xdog:ink").parameters | {"sigma": 2.0, "k": 3.0}
    assert sketch.at_width(1024)["sigma"] == 4.0
    assert sketch.at_width(1024)["k"] == 3.0


def test_names_of_all() -> None:
    names = [sketch.name for sketch in all_sketches(labels=True)]
    assert sorted(names) == sorted([*METHODS, *(spec.replace(":", "-") for spec in SPECS)])
    without = [sketch.name for sketch in all_sketches(labels=False)]
    assert without == [name for name in names if not name.startswith("contours")]


@pytest.mark.parametrize(
    ("spec", "parameters", "message"),
    [
        ("photocopy", {}, "'photocopy' is not known; give one of: dodge, xdog, fxdog, contours, sobel, canny"),
        ("", {}, "'' is not known"),
        ("xdog\n", {}, "is not known"),
        ("xdog:", {}, "xdog has no preset ''; give one of: pencil, ink, charcoal, soft"),
        ("contours:soft", {}, "contours has no preset 'soft'; give one of: pencil, ink"),
        ("dodge", {"phi": 2}, "dodge has no parameter 'phi'; it takes: sigma, strength"),
        ("xdog", {"sigma": 0}, "sigma is 0; needed: a number more than 0"),
        ("xdog", {"k": 1}, "k is 1; needed: a number more than 1"),
        ("xdog", {"p": -0.5}, "p is -0.5; needed: a number, at least 0"),
        ("xdog", {"epsilon": math.inf}, "epsilon is inf; needed: a number$"),
        ("fxdog:ink", {"sigma_flow": math.nan}, "sigma_flow is nan; needed: a number more than 0"),
        ("sobel", {"strength": "much"}, "strength is much; needed: a number more than 0"),
        ("sobel", {"strength": 10**400}, "strength is 1000.* needed: a number more than 0"),
        ("sobel", {"strength": None}, "strength is None; needed: a number more than 0"),
    ],
)
def test_what_is_refused(spec: str, parameters: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(spec, parameters)


def test_the_page_has_every_parameter_and_preset() -> None:
    lines = PAGE.read_text("utf-8").splitlines()
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    documented = {(row[0], row[1]): row[2:] for row in rows if row[0] in METHODS and row[1] in PARAMETERS}
    known = {
        (method, name): parameter for method, about in METHODS.items() for name, parameter in about.parameters.items()
    }
    assert documented.keys() == known.keys()
    for key, cells in documented.items():
        parameter = known[key]
        bounds = [bound for bound in (parameter.more_than, parameter.at_least) if math.isfinite(bound)]
        numbers = [float(number) for number in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])", " ".join(cells[:3]))]
        assert numbers == [parameter.default, *bounds], key
        assert ("px" in cells) == parameter.is_length, key
    presets = {row[0]: dict(re.findall(r"(\w+) (-?[\d.]+)", row[1])) for row in rows if row[0] in SPECS}
    assert {spec: {name: float(value) for name, value in values.items()} for spec, values in presets.items()} == {
        spec: dict(PRESETS[spec.split(":")[0]][spec.split(":")[1]]) for spec in SPECS
    }
