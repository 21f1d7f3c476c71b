"""The plan of a run: a dataset folder and a config in; pairs, settings and a summary of the cost out.

Nothing is written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesynth.errors import DatasetError, InputError
from facesynth.labels import describe
from facesynth.manifest import read_dataset
from facesynth.model.checkpoints.load import load_generator
from facesynth.model.data.augment import Augmentation
from facesynth.model.data.columns import condition_columns
from facesynth.model.data.freehand import Roughness
from facesynth.model.data.pairs import PairedFaces
from facesynth.model.training.plan_text import plan_text
from facesynth.model.training.psp.cost import cost
from facesynth.model.training.psp.network import check_generator
from facesynth.model.training.run_folder import plain

if TYPE_CHECKING:
    from facesynth.model.checkpoints.native import GeneratorCheckpoint
    from facesynth.model.config.train import TrainConfig
    from facesynth.model.losses.objective import Objective


@dataclass(frozen=True)
class Plan:
    """The plan of a run.

    Attributes
    ----------
    config : TrainConfig
    train_pairs, val_pairs : PairedFaces
    generator : GeneratorCheckpoint or None
        The generator to start from, of the config's sizes.
    settings : mapping
        Everything that distinguishes this run from others, as plain values.
    """

    config: TrainConfig
    train_pairs: PairedFaces
    val_pairs: PairedFaces
    generator: GeneratorCheckpoint | None
    settings: Mapping[str, Any]

    def text(self, objective: Objective, n_processes: int = 1) -> str:
        """A summary: the settings as YAML, then parameters, steps per epoch and memory."""
        taken = cost(self.config, objective, n_photos=len(self.train_pairs), n_processes=n_processes)
        shares = {name: getattr(taken, name) for name in ("weights", "gradients", "optimizer", "activations")}
        more = "".join(
            f"; {name}: {count:,}"
            for name, count in (("spatial path", taken.spatial), ("discriminators", taken.discriminators))
            if count
        )
        lines = (
            f"encoder: {taken.encoder:,} parameters; generator: {taken.generator:,}{more}; trained: {taken.trained:,}",
            (
                f"pairs: {len(self.train_pairs)} to train on, {len(self.val_pairs)} to validate on; "
                f"{taken.steps_per_epoch} steps an epoch, {taken.epochs:.1f} epochs"
            ),
        )
        return plan_text(self.settings, lines, taken.memory, shares)


def plan(
    data: Path,
    config: TrainConfig,
    *,
    sketch: str | None = None,
    generator: Path | None = None,
    skip_bad: int = 0,
) -> Plan:
    """The plan of a run on a dataset folder.

    Parameters
    ----------
    data, config, sketch, generator, skip_bad
        As in :func:`facesynth.model.training.psp.train.train`.

    Raises
    ------
    InputError
        If there is neither a generator nor a config that trains one, or the data or generator do not fit.
    """
    if generator is None and not config.train_generator:
        raise InputError("there is no generator: give --generator FILE, or --train-generator to train one along")
    dataset = read_dataset(data)
    columns = condition_columns(dataset, config.model.condition, sketch, every=config.rough > 0)
    train_pairs = PairedFaces(
        dataset,
        columns,
        "train",
        config.model,
        augmentation=Augmentation().scaled(config.augment, flip=config.flip),
        roughness=Roughness().scaled(config.rough) if config.rough else None,
        seed=config.seed,
        skip_bad=skip_bad,
    )
    val_pairs = PairedFaces(dataset, columns, "val", config.model, skip_bad=skip_bad)
    scheme = dataset.scheme
    if config.model.condition == "labels" and config.model.input_channels != len(scheme):
        raise DatasetError(
            f"{data} has {len(scheme)} classes ({scheme.name}), the model takes {config.model.input_channels}"
        )
    if skip_bad:
        val_pairs.drop_bad()
    given = load_generator(generator) if generator else None
    if given is not None:
        check_generator(given, config.model)
    settings = {
        "task": config.task,
        "column": ",".join(columns),
        "label_scheme": describe(scheme),
        "pairs": {"train": train_pairs.digest, "val": val_pairs.digest},
        "generator": str(generator) if generator else None,
        **plain(dataclasses.asdict(config)),
    }
    return Plan(config, train_pairs, val_pairs, given, settings)
