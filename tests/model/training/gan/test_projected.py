"""A generator against a projected discriminator: its steps, its state, exact resume, and its run folder."""

from __future__ import annotations

import copy
import csv
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from facesynth.errors import CheckpointError, InputError
from facesynth.model.checkpoints import native
from facesynth.model.checkpoints.load import load_generator
from facesynth.model.config.gan import GANConfig, preset
from facesynth.model.networks.projected import ProjectedDiscriminator, SpectralConv2d
from facesynth.model.training import distributed, projected
from facesynth.model.training.gan.networks import Adversaries, new_generator
from facesynth.model.training.gan.overrides import resolve_generator
from facesynth.model.training.gan.plan import InitialNetworks, plan_generator, read_initial_networks
from facesynth.model.training.gan.train import train_generator

from ....runs import assert_same_outcome
from ..projection import Projection
from . import test_networks
from .test_networks import SIZES, assert_both_learn, moved, photos, weights

pytestmark = pytest.mark.usefixtures("no_curves")

ALWAYS = {"generator_loss", "discriminator_loss", "real_score", "fake_score", "augment_p"}


def tiny(**values: Any) -> GANConfig:
    return test_networks.tiny(**{"discriminator_kind": "projected", **values})


def adversaries(config: GANConfig, out: Path = Path("nowhere")) -> Adversaries:
    return test_networks.adversaries(config, out, projection=Projection())


# ---------------------------------------------------------------------------------------------------------------- steps


def test_the_metrics_are_those_of_stylegan2_without_r1() -> None:
    pair = adversaries(tiny(path_interval=2))
    told = [set(pair.step([photos(step)], step)) for step in range(4)]
    assert told == [ALWAYS | {"path_length"}, ALWAYS, ALWAYS | {"path_length"}, ALWAYS | {"real_sign"}]


def test_the_discriminators_and_the_generator_are_trained_the_frozen_network_is_not() -> None:
    pair = adversaries(tiny())
    frozen = pair.opponent.frozen_networks()[0]
    before = [weights(each) for each in (pair.generator, pair.discriminator, frozen)]
    pair.step([photos(0)], 0)
    buffers = {name for name, _ in pair.generator.named_buffers()}
    assert moved(before[0], pair.generator) == before[0].keys() - buffers
    # a shift of all scores changes the hinge's slope nowhere yet, and a vector of one entry is 1 or -1
    still = {f"{last}.{name}" for last in ("heads.0.4", "heads.1.4", "pixels.8") for name in ("bias", "left")}
    assert moved(before[1], pair.discriminator) == before[1].keys() - still
    assert moved(before[2], frozen) == set()
    rate = pair.optimizers["discriminator_optimizer"].param_groups[0]
    assert (rate["lr"], rate["betas"]) == (2e-3, (0.0, 0.99))


def test_the_losses_told_are_hinges_of_the_scores_of_maps_and_pictures() -> None:
    pair = adversaries(tiny(augment_target=0.0, path_weight=0.0))
    network, projection = copy.deepcopy(pair.discriminator), Projection()
    told = pair.step([photos(0)], 0)
    with torch.no_grad():
        scores = network.train()(projection.maps(photos(0)), photos(0))
    assert told["real_score"] == pytest.approx(projected.picture_scores(scores).mean().item(), rel=1e-4)
    of_photos = sum(torch.relu(1 - score).mean().item() for score in scores)
    assert told["discriminator_loss"] >= of_photos
    # near the start no score is beyond -1, so that the hinge is linear there
    assert told["discriminator_loss"] == pytest.approx(of_photos + 3 + 3 * told["fake_score"], rel=1e-3)


def test_only_the_discriminators_own_update_moves_their_singular_vectors() -> None:
    pair = adversaries(tiny())
    before = weights(pair.discriminator)
    pair._generator_step(0)
    with pair.opponent.frozen():
        pair.opponent.scores(photos(0))
    assert moved(before, pair.discriminator) == set()
    assert all(weight.requires_grad for weight in pair.discriminator.parameters())
    assert pair.discriminator.training


def test_parts_of_a_step_add_up_to_the_step() -> None:
    """Every part moves the singular vectors on, so they begin near where they end."""
    results = []
    for parts in (1, 2):
        pair = adversaries(tiny(accumulate=parts, path_decay=1.0, path_shrink=1, augment_p=0.6))
        for layer in pair.discriminator.modules():
            if isinstance(layer, SpectralConv2d):
                for _ in range(300):
                    layer._iterate(layer.weight.detach().flatten(1))
        for optimizer in pair.optimizers.values():
            optimizer.param_groups[0]["eps"] = 1e-3  # Adam's first steps take only the signs of gradients
        pair.step(list(photos(0).chunk(parts)), 0)
        results.append(weights(pair.generator) | dict(pair.discriminator.named_parameters()))
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, atol=2e-5, rtol=1e-4, msg=name)


def test_augmentation_sets_in_where_the_discriminators_are_sure() -> None:
    pair = adversaries(tiny(augment_speed=32, augment_interval=1, path_weight=0.0))
    with torch.no_grad():
        for head in (*pair.discriminator.heads, pair.discriminator.pixels):
            head[-1].bias.fill_(50.0)  # all are taken for photos
    told = [pair.step([photos(step)], step)["augment_p"] for step in range(3)]
    assert told == pytest.approx([0.125, 0.25, 0.375])


@pytest.mark.slow
def test_the_discriminators_learn_and_the_generator_answers() -> None:
    config = tiny(batch_size=8, path_weight=0.0, augment_target=0.0)
    assert_both_learn(adversaries(config), adversaries(config))


def test_bfloat16_stays_near() -> None:
    told = [adversaries(tiny(precision=name)).step([photos(0)], 0) for name in ("float32", "bf16")]
    assert told[0].keys() == told[1].keys()
    for name, value in told[0].items():
        assert told[1][name] == pytest.approx(value, rel=0.1, abs=0.1)


# ------------------------------------------------------------------------------------------------------- runs and states

SHORT = {
    "batch_size": 2, "steps": 6, "interval": 3, "path_interval": 2, "augment_interval": 2, "augment_speed": 20,
    "augment_p": 0.3,
}  # fmt: skip


class Stop(Exception):
    pass


def run(faces: Path, out: Path, config: GANConfig | None = None, **options: Any) -> Any:
    given = {"device": "cpu", "workers": 0, "projection": Projection(), **options}
    return train_generator(faces, out, config or tiny(**SHORT), **given)


def newest(root: Path) -> Path:
    return max((root / "checkpoints").iterdir())


@pytest.fixture(scope="module")
def undisturbed(faces, tmp_path_factory, no_curves) -> Path:
    root = tmp_path_factory.mktemp("undisturbed") / "run"
    run(faces, root)
    return root


@pytest.mark.slow
def test_what_a_run_leaves(undisturbed: Path) -> None:
    noted = yaml.safe_load((undisturbed / "config.yaml").read_text())
    assert (noted["discriminator_kind"], noted["discriminator"], noted["lpips_network"]) == ("projected", None, "alex")
    assert noted["r1_weight"] == 0.0
    assert resolve_generator(InitialNetworks(), file=undisturbed / "config.yaml") == tiny(**SHORT)
    assert "| the newest states, to go on from; also for `--generator` |" in (undisturbed / "README.md").read_text()
    rows = list(csv.DictReader((undisturbed / "metrics.csv").read_text().splitlines()))
    told = [{name for name, value in row.items() if value} - {"step", "split", "seconds"} for row in rows]
    validated = ALWAYS - {"augment_p"} | {"swd", "swd_32", "swd_16", "overfitting"}
    assert told[0] == told[4] == told[8] == validated
    assert told[3] == ALWAYS | {"path_length", "real_sign", "images_per_second"}
    assert "r1" not in rows[0]
    state = native.load_generator_state(newest(undisturbed))
    assert state.discriminator is None
    network = ProjectedDiscriminator(Projection.channels)
    network.load_state_dict(state.state_of("discriminator"))
    kept = load_generator(undisturbed)
    assert not any(name.startswith("discriminator") for name in kept.tensors)


@pytest.mark.slow
@pytest.mark.parametrize("stops", [[(0, "val")], [(2, "train"), (3, "val"), (5, "train")]], ids=["at once", "often"])
def test_an_interrupted_run_ends_as_an_undisturbed_one(faces, tmp_path, undisturbed, stops) -> None:
    for step, split in stops:

        def report(now: str, steps: int, _: Any, at: tuple[int, str] = (step, split)) -> None:
            if (steps, now) == at:
                raise Stop

        with pytest.raises(Stop):
            run(faces, tmp_path, report=report)
    run(faces, tmp_path)
    assert_same_outcome(tmp_path, undisturbed)


@pytest.mark.slow
def test_a_folder_keeps_its_kind_of_discriminator(faces, tmp_path, undisturbed) -> None:
    with pytest.raises(InputError, match=r"another discriminator_kind \(projected, now stylegan2\)"):
        run(faces, undisturbed, preset("small", 32, generator_sizes=SIZES, **SHORT))
    with pytest.raises(InputError, match=r"another lpips_network \(alex, now vgg\)"):
        run(faces, undisturbed, tiny(**SHORT, lpips_network="vgg"))
    first = {**SHORT, "steps": 1, "interval": 1}
    run(faces, tmp_path, preset("small", 32, generator_sizes=SIZES, **first))
    with pytest.raises(InputError, match=r"another discriminator_kind \(stylegan2, now projected\)"):
        run(faces, tmp_path, tiny(**first))


@pytest.mark.slow
def test_a_run_starts_from_its_generator_alone(faces, undisturbed) -> None:
    given = read_initial_networks(newest(undisturbed), None, None)
    config = resolve_generator(given, options={"discriminator_kind": "projected"})
    assert plan_generator(faces, config, given, Projection()).generator is given.generator
    with pytest.raises(CheckpointError, match="holds a projected discriminator, which no run starts from; give --disc"):
        read_initial_networks(newest(undisturbed), newest(undisturbed), None)


def test_it_needs_its_frozen_network(faces, tmp_path) -> None:
    with pytest.raises(InputError, match="discriminator_kind is projected, but its frozen network is missing; provide"):
        run(faces, tmp_path / "run", projection=None)
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="its frozen network is missing"):
        Adversaries(tiny(), distributed.start("cpu", tiny(), tmp_path), [range(4)])


def test_what_a_run_takes_is_told_before_it_begins(faces) -> None:
    config = tiny(**SHORT)
    text = plan_generator(faces, config, projection=Projection()).text()
    networks = new_generator(config.generator), ProjectedDiscriminator(Projection.channels), Projection()
    counts = [sum(weight.numel() for weight in network.parameters()) for network in networks]
    said = f"generator: {counts[0]:,} parameters; discriminator: {counts[1]:,}; its frozen network: {counts[2]:,}\n"
    assert said in text
    assert "memory of a step: about " in text
    assert "gradient penalty" not in text
