from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from facesynth.errors import CheckpointError
from facesynth.model.checkpoints import native
from facesynth.model.config.gan import GANConfig, preset
from facesynth.model.losses import adversarial
from facesynth.model.training import distributed
from facesynth.model.training.gan.networks import Adversaries

from ...recipe import normal

SIZES = {"style_dim": 8, "mapping_depth": 2, "channel_base": 128, "channel_max": 8}


def tiny(**values) -> GANConfig:
    return preset("small", 32, generator_sizes=SIZES, **{"batch_size": 4, **values})


def adversaries(config: GANConfig, out: Path = Path("nowhere"), **given) -> Adversaries:
    accelerator = distributed.start("cpu", config, out)
    return Adversaries(
        config, accelerator, distributed.micro_batch_indices(config.batch_size, 0, 1, config.accumulate), **given
    )


def photos(step: int, count: int = 4) -> torch.Tensor:
    coarse = normal(f"photos {step}", count, 3, 8, 8)
    return torch.tanh(F.interpolate(coarse, scale_factor=4.0, mode="bilinear", align_corners=False))


def weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def moved(before: dict[str, torch.Tensor], network: torch.nn.Module) -> set[str]:
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def assert_both_learn(pair: Adversaries, start: Adversaries) -> None:
    """Train a pair for 40 steps of 8; ``start`` is the same, untrained."""
    told = [pair.step([photos(step % 3, 8)], step) for step in range(40)]
    first, last = (sum(values["discriminator_loss"] for values in part) / 5 for part in (told[:5], told[-5:]))
    assert last < first
    assert told[-1]["real_score"] > told[-1]["fake_score"]
    made = pair.averaged(pair.averaged.mapping(normal("z", 8, 8))[:, None].expand(-1, 8, -1)).detach()
    real = torch.cat([photos(step, 8) for step in range(3)])
    untrained = start.averaged(start.averaged.mapping(normal("z", 8, 8))[:, None].expand(-1, 8, -1)).detach()
    assert abs(made.std() - real.std()) < abs(untrained.std() - real.std())


def test_the_steps_tell_what_they_have():
    pair = adversaries(tiny(path_interval=2, r1_interval=3))
    told = [set(pair.step([photos(step)], step)) for step in range(4)]
    always = {"generator_loss", "discriminator_loss", "real_score", "fake_score", "augment_p"}
    assert told == [
        always | {"path_length", "r1"},
        always,
        always | {"path_length"},
        always | {"r1", "real_sign"},  # the controller moves every four steps
    ]


def test_every_parameter_of_both_networks_is_trained():
    pair = adversaries(tiny())
    before = weights(pair.generator), weights(pair.discriminator)
    pair.step([photos(0)], 0)
    buffers = {name for name, _ in pair.generator.named_buffers()}
    assert moved(before[0], pair.generator) == before[0].keys() - buffers
    assert moved(before[1], pair.discriminator) == before[1].keys()


def test_penalties_that_weigh_nothing_are_left_out():
    pair = adversaries(tiny(path_weight=0.0, r1_weight=0.0, augment_target=0.0))
    assert set(pair.step([photos(0)], 0)) == {"generator_loss", "discriminator_loss", "real_score", "fake_score"}
    for optimizer in pair.optimizers.values():
        assert optimizer.param_groups[0]["lr"] == 2e-3
        assert {int(value["step"]) for value in optimizer.state.values()} == {1}


def test_penalties_are_steps_of_their_own_at_corrected_rates():
    config = tiny(path_interval=4, r1_interval=16)
    pair = adversaries(config)
    for step in range(5):
        pair.step([photos(step)], step)
    of_generator, of_discriminator = pair.optimizers.values()
    assert of_generator.param_groups[0]["lr"] == pytest.approx(2e-3 * 4 / 5)
    assert of_discriminator.param_groups[0]["lr"] == pytest.approx(2e-3 * 16 / 17)
    assert of_discriminator.param_groups[0]["betas"] == pytest.approx((0.0, 0.99 ** (16 / 17)))
    assert {int(value["step"]) for value in of_discriminator.state.values()} <= {5, 6}
    assert max(int(value["step"]) for value in of_generator.state.values()) == 7


def test_the_losses_told_are_those_of_the_scores():
    pair = adversaries(tiny(augment_target=0.0, path_weight=0.0, r1_weight=0.0))
    discriminator = copy.deepcopy(pair.discriminator)
    told = pair.step([photos(0)], 0)
    with torch.no_grad():
        real = discriminator(photos(0))
    assert told["real_score"] == pytest.approx(real.mean().item(), rel=1e-4)
    lowest = adversarial.discriminator_loss(real, torch.full((4,), told["fake_score"])).item()
    assert lowest <= told["discriminator_loss"] < lowest + 0.5  # softplus is convex


def test_a_step_in_parts_is_the_step_at_once():
    """Minibatch deviation compares within a part, so groups of one sample leave nothing to compare."""
    sizes = {"group_size": 1}
    results = []
    for accumulate in (1, 2):
        config = tiny(
            accumulate=accumulate,
            discriminator_sizes=sizes,
            path_decay=1.0,
            path_shrink=1,
            augment_p=0.6,
            r1_interval=1,
        )
        pair = adversaries(config)
        for optimizer in pair.optimizers.values():
            optimizer.param_groups[0]["eps"] = 1e-3  # Adam's first steps take only the signs of gradients
        pair.step(list(photos(0).chunk(accumulate)), 0)
        results.append(weights(pair.generator) | weights(pair.discriminator))
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, atol=2e-5, rtol=1e-4, msg=name)


def test_the_average_follows_by_its_half_life():
    config = tiny(average_half_life=4, average_ramp=0.0)  # half a step's images
    pair = adversaries(config)
    before = weights(pair.averaged)
    pair.step([photos(0)], 0)
    for name, value in pair.averaged.state_dict().items():
        torch.testing.assert_close(value, (before[name] + pair.generator.state_dict()[name]) / 2)
    at_once = adversaries(tiny(average_half_life=0))
    at_once.step([photos(0)], 0)
    assert moved(weights(at_once.generator), at_once.averaged) == set()


def test_augmentation_sets_in_where_the_discriminator_is_sure():
    pair = adversaries(tiny(augment_speed=32, augment_interval=1, path_weight=0.0, r1_weight=0.0))
    with torch.no_grad():
        pair.discriminator.score.bias.fill_(50.0)  # all are taken for photos
    told = [pair.step([photos(step)], step)["augment_p"] for step in range(3)]
    assert told == pytest.approx([0.125, 0.25, 0.375])


@pytest.mark.slow
def test_the_discriminator_learns_and_the_generator_answers():
    config = tiny(batch_size=8, path_weight=0.0, augment_target=0.0, r1_weight=0.01)
    assert_both_learn(adversaries(config), adversaries(config))


@pytest.mark.slow
def test_going_on_from_a_state_is_going_on(tmp_path):
    config = tiny(path_interval=2, r1_interval=2, augment_speed=100, augment_interval=3, augment_p=0.3)
    whole, first = adversaries(config), adversaries(config)
    for step in range(5):
        whole.step([photos(step)], step)
    for step in range(2):
        first.step([photos(step)], step)
    tensors, info = first.pack()
    path = tmp_path / "state.safetensors"
    sizes = {"generator": config.generator, "discriminator": config.discriminator}
    native.save_generator_state(path, tensors, **sizes, info=info)
    second = adversaries(config)
    second.restore(native.load_generator_state(path))
    for step in range(2, 5):
        second.step([photos(step)], step)
    for one, other in zip(whole.pack(), second.pack(), strict=True):
        assert one.keys() == other.keys()
    ours, theirs = whole.pack(), second.pack()
    assert [name for name in ours[0] if not torch.equal(ours[0][name], theirs[0][name])] == []
    assert ours[1] == theirs[1]


def test_bfloat16_stays_near(tmp_path):
    told = [adversaries(tiny(precision=name)).step([photos(0)], 0) for name in ("float32", "bf16")]
    assert told[0].keys() == told[1].keys()
    for name, value in told[0].items():
        assert told[1][name] == pytest.approx(value, rel=0.1, abs=0.1)


def test_given_networks_are_where_it_starts():
    config = tiny()
    donor = adversaries(dataclasses.replace(config, seed=7))
    tensors = donor.generator.state_dict()
    given = native.GeneratorCheckpoint(Path("g"), config.generator, tensors, donor.latent_avg(), {})
    pair = adversaries(config, generator=given, discriminator=donor.discriminator.state_dict())
    assert moved(tensors, pair.generator) == moved(tensors, pair.averaged) == set()
    assert moved(donor.discriminator.state_dict(), pair.discriminator) == set()


def test_a_state_serves_as_a_generator(tmp_path):
    config = tiny()
    pair = adversaries(config)
    pair.step([photos(0)], 0)
    tensors, info = pair.pack()
    path = tmp_path / "state.safetensors"
    sizes = {"generator": config.generator, "discriminator": config.discriminator}
    native.save_generator_state(path, tensors, **sizes, info=info)
    given = native.load_any(path)
    assert given.config == config.generator
    assert moved(given.tensors, pair.averaged) == set()
    assert torch.equal(given.latent_avg, pair.latent_avg())
    mean = pair.averaged.mean_latent(10_000, config.seed)
    torch.testing.assert_close(given.latent_avg, mean.expand(8, -1))
    del tensors["latent_avg"]
    native.save_generator_state(path, tensors, **sizes, info=info)
    with pytest.raises(CheckpointError, match="lacks 'latent_avg'"):
        native.load_any(path)
