"""The model card of a published model: its template, and a model's config and provenance in, the template's values out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from facesynth import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facesynth.labels import LabelScheme
    from facesynth.model.config.model import ModelConfig

CARD = """---
{{ card_data }}
---

# {{ task }}

A pixel2style2pixel model that turns {{ condition }} into faces of {{ output_size }} px, for facesynth.

```python
from facesynth import Translator

face = Translator.from_pretrained("{{ repo_id }}")("drawing.png")
face.save("face.png")
```

```sh
facesynth translate drawing.png --checkpoint {{ repo_id }} --out faces
```

| | |
|---|---|
{% for name, value in facts %}| {{ name }} | {{ value }} |
{% endfor %}
## Data, quality and limits

{{ known }}
"""
"""The Jinja template of the model card; :func:`card_values` returns its values."""
_CONDITIONS = {"labels": "label maps", "sketch": "sketches", "photo": "photos"}
_UNKNOWN = (
    "Not stated yet: say here what the model was trained on, under which terms, how good it is and where it fails."
)


def card_values(config: ModelConfig, task: str, scheme: LabelScheme, info: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the model card's template for a model.

    Parameters
    ----------
    config : ModelConfig
        The sizes.
    task : str
        seg2face, sketch2face or photo2face.
    scheme : LabelScheme
        The classes of its label maps, if it takes label maps.
    info : mapping
        The metadata of its checkpoint.
    """
    facts: list[tuple[str, Any]] = [
        ("task", task),
        ("input", f"{_CONDITIONS[config.condition]}, {config.input_channels} x {config.input_size} px"),
        ("output", f"{config.output_size} px, {config.n_styles} W+ layers of {config.style_dim}"),
    ]
    if config.condition == "labels":
        facts.append(("label scheme", scheme.name))
    if "step" in info:
        facts.append(("training steps", info["step"]))
    if isinstance(source := info.get("source"), dict):
        facts.append(
            ("converted from", f"{source.get('file')} ({source.get('format')}), SHA-256 {source.get('sha256')}")
        )
    facts.append(("written by", f"facesynth {__version__}"))
    return {
        "task": task,
        "condition": _CONDITIONS[config.condition],
        "output_size": config.output_size,
        "facts": facts,
        "known": info.get("card", _UNKNOWN),
        "repo_id": "owner/name",
    }
