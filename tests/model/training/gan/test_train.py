from __future__ import annotations

import csv
import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from facesynth import images
from facesynth.errors import CheckpointError, DatasetError, DivergenceError, InputError
from facesynth.files import write_text
from facesynth.manifest import read_dataset
from facesynth.model.checkpoints import native
from facesynth.model.checkpoints.load import load_generator
from facesynth.model.config.gan import GANConfig, preset
from facesynth.model.data.photos import Photos
from facesynth.model.data.tensors import photo_tensor, to_pictures
from facesynth.model.losses import adversarial
from facesynth.model.losses.sliced_wasserstein import PatchDistance
from facesynth.model.networks.discriminator import Discriminator
from facesynth.model.training import loop
from facesynth.model.training.distributed import noise_sources
from facesynth.model.training.gan.networks import new_generator
from facesynth.model.training.gan.overrides import resolve_generator
from facesynth.model.training.gan.plan import plan_generator, read_initial_networks
from facesynth.model.training.gan.train import train_generator
from facesynth.model.training.gan.validation import COLUMNS, ROWS
from facesynth.model.training.psp.train import train

from ....runs import assert_same_outcome, cell_of, resplit, small_model, small_run
from ....trees import contents, leftovers

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_curves")]

SIZES = {
    "style_dim": 16,
    "mapping_depth": 2,
    "channel_base": 512,
    "channel_max": 16,
}  # those of small_model's generator


def tiny(**values) -> GANConfig:
    """Six steps in which every kind of update and of change happens before and after the first validation."""
    settings = {
        "batch_size": 2,
        "steps": 6,
        "interval": 3,
        "path_interval": 2,
        "r1_interval": 2,
        "augment_interval": 2,
        "augment_speed": 20,
        "augment_p": 0.3,
    }
    return preset("small", 32, generator_sizes=SIZES, **(settings | values))


class Stop(Exception):
    pass


def stop_at(step: int, split: str):
    def report(now: str, steps: int, terms: dict[str, float]) -> None:
        if (now, steps) == (split, step):
            raise Stop

    return report


def run(faces, out, config=None, **options):
    return train_generator(faces, out, config or tiny(), **({"device": "cpu", "workers": 0} | options))


def rows_of(root: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((root / "metrics.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def undisturbed(faces, tmp_path_factory, no_curves):
    root = tmp_path_factory.mktemp("undisturbed") / "run"
    run(faces, root)
    return root


def newest(root: Path) -> Path:
    return max((root / "checkpoints").iterdir())


# ---------------------------------------------------------------------------------------------------- what a run leaves


def test_what_a_run_leaves(undisturbed):
    assert set(contents(undisturbed)) == {
        "README.md",
        "config.yaml",
        "losses.png",
        "metrics.csv",
        "model.safetensors",
        *(f"samples/step-{step:08d}.png" for step in (0, 3, 6)),
        *(f"checkpoints/step-{step:08d}.safetensors" for step in (3, 6)),
    }
    noted = yaml.safe_load((undisturbed / "config.yaml").read_text())
    assert (noted["task"], noted["steps"], noted["generator"]["output_size"]) == ("generator", 6, 32)
    assert noted["start"] == {"generator": None, "discriminator": None}
    assert resolve_generator(read_initial_networks(None, None, None), file=undisturbed / "config.yaml") == tiny()
    readme = (undisturbed / "README.md").read_text()
    assert readme.startswith("# generator, 32 px\n")
    assert "facesynth.model.training.train_generator" in readme
    assert "lowest swd: for `facesynth train --generator`" in readme


def test_every_step_and_validation_has_its_row(undisturbed):
    rows = rows_of(undisturbed)
    steps = [(0, "val"), *((n, "train") for n in (1, 2, 3)), (3, "val"), *((n, "train") for n in (4, 5, 6)), (6, "val")]
    assert [(int(row["step"]), row["split"]) for row in rows] == steps
    always = {"generator_loss", "discriminator_loss", "real_score", "fake_score"}
    trained = always | {"augment_p", "real_sign"}
    told = [{name for name, value in row.items() if value} - {"step", "split", "seconds"} for row in rows]
    validated = always | {"swd", "swd_32", "swd_16", "overfitting"}
    rate = {"images_per_second"}
    assert told[0] == told[4] == told[8] == validated
    assert told[1] == (trained | rate | {"r1", "path_length"}) - {"real_sign"}  # the controller has seen too little
    assert told[2] == trained | rate
    assert told[3] == told[5] | {"r1", "path_length"}
    for row in rows:
        if row["split"] == "val":
            mean = (float(row["swd_32"]) + float(row["swd_16"])) / 2
            assert float(row["swd"]) == pytest.approx(mean, rel=1e-4)


def test_the_generator_of_the_lowest_distance_is_kept(faces, tmp_path, undisturbed):
    reports = []
    done = run(faces, tmp_path, report=lambda split, step, terms: reports.append((split, step, terms)))
    validated = {step: terms["swd"] for split, step, terms in reports if split == "val"}
    assert list(validated) == [0, 3, 6]
    assert (done.started, done.metric, done.best) == (0, "swd", min(validated.values()))
    assert validated[done.best_step] == done.best
    assert done.first == pytest.approx(validated[0], rel=1e-5)
    best = load_generator(tmp_path)
    assert (best.info["step"], best.info["val"]["swd"]) == (done.best_step, done.best)
    assert best.config == tiny().generator
    assert_same_outcome(tmp_path, undisturbed)  # and telling about it changes nothing


def test_validation_compares_the_average_with_the_photos(faces, undisturbed):
    """The last row again, from the state that was written with it."""
    state = native.load_generator_state(newest(undisturbed))
    generator, discriminator = new_generator(state.generator).eval(), Discriminator(state.discriminator)
    generator.load_state_dict(state.state_of("averaged"))
    discriminator.load_state_dict(state.state_of("discriminator"))
    seen, real = (
        photo_tensor(torch.from_numpy(np.stack([photo for _, photo in Photos(read_dataset(faces), split, 32)])))
        for split in ("train", "val")
    )
    z = torch.randn(ROWS * COLUMNS, 16, generator=torch.Generator().manual_seed(0))[: len(real)]
    noise = noise_sources(0, 1 << 62, range(len(real)), torch.device("cpu"))
    with torch.no_grad():
        latents = generator.mapping(z)[:, None].expand(-1, generator.n_styles, -1)
        made = generator(latents, noise="random", rng=noise)
        of_made, of_seen, of_real = (  # samples are compared within a batch, which is of two
            torch.cat([discriminator(part) for part in pictures.split(2)]) for pictures in (made, seen, real)
        )
    distances = PatchDistance([real])([made.clamp(-1, 1)])
    wanted = {
        "generator_loss": torch.log1p(torch.exp(-of_made)).mean(),
        "discriminator_loss": (torch.log1p(torch.exp(of_made)) + torch.log1p(torch.exp(-of_real))).mean(),
        "real_score": of_real.mean(),
        "fake_score": of_made.mean(),
        "overfitting": (of_seen.mean() - of_real.mean()) / (of_seen.mean() - of_made.mean()),
        "swd_32": distances[32],
        "swd_16": distances[16],
    }
    last = rows_of(undisturbed)[-1]
    for name, value in wanted.items():
        assert float(last[name]) == pytest.approx(float(value), rel=1e-3, abs=1e-5), name


def test_the_sheet_shows_the_same_z_by_the_average(undisturbed):
    state = native.load_generator_state(newest(undisturbed))
    generator = new_generator(state.generator).eval()
    generator.load_state_dict(state.state_of("averaged"))
    z = torch.randn(ROWS * COLUMNS, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        latents = generator.mapping(z)[:, None].expand(-1, generator.n_styles, -1)
        wanted = to_pictures(generator(latents, noise="constant"))
    sheet = images.read_photo(undisturbed / "samples/step-00000006.png")
    for row, column in ((0, 0), (1, 3), (ROWS - 1, COLUMNS - 1)):
        shown = cell_of(sheet, row, column, 96)
        large = images.resize(wanted[row * COLUMNS + column], (96, 96))
        assert np.abs(shown.astype(int) - large).mean() < 2
    first = images.read_photo(undisturbed / "samples/step-00000000.png")
    assert np.abs(first.astype(int) - sheet).mean() > 1


# ------------------------------------------------------------------------------------------------------------- going on


@pytest.mark.parametrize("stops", [[(0, "val")], [(2, "train"), (3, "val"), (5, "train")]], ids=["at once", "often"])
def test_an_interrupted_run_ends_as_an_undisturbed_one(faces, tmp_path, undisturbed, stops):
    for step, split in stops:
        with pytest.raises(Stop):
            run(faces, tmp_path, report=stop_at(step, split))
    run(faces, tmp_path)
    assert_same_outcome(tmp_path, undisturbed)


def test_a_run_killed_between_writing_and_moving_ends_as_an_undisturbed_one(faces, tmp_path, undisturbed, kill):
    kill(train_generator, tiny(), "step-00000006.safetensors")
    run(faces, tmp_path / "run")
    assert_same_outcome(tmp_path / "run", undisturbed)
    assert leftovers(tmp_path / "run") == []


def test_more_steps_extend_a_run(faces, tmp_path, undisturbed):
    run(faces, tmp_path, tiny(steps=3))
    assert newest(tmp_path).name == "step-00000003.safetensors"
    assert run(faces, tmp_path).started == 3
    assert_same_outcome(tmp_path, undisturbed)


def test_the_seed_is_all_that_is_random(faces, tmp_path, undisturbed):
    run(faces, tmp_path / "other", tiny(seed=1, steps=3))
    ours, theirs = (
        native.load_generator_state(root / "checkpoints/step-00000003.safetensors")
        for root in (undisturbed, tmp_path / "other")
    )
    changed = [name for name, value in ours.tensors.items() if not torch.equal(value, theirs.tensors[name])]
    assert {"path_mean", "latent_avg", "discriminator.score.weight"} <= set(changed)


def test_photos_read_by_other_processes_give_the_same_run(faces, tmp_path, undisturbed, monkeypatch):
    monkeypatch.setattr("facesynth.model.data.photos.CACHE_BYTES", 0)
    run(faces, tmp_path, workers=1)
    assert_same_outcome(tmp_path, undisturbed)


# ----------------------------------------------------------------------------------------------------- starting from files


def test_a_model_is_trained_on_the_runs_generator(faces, tmp_path, undisturbed):
    config = small_run(model=small_model(), train_generator=False, steps=1, interval=1)
    validated = [row for row in rows_of(undisturbed) if row["split"] == "val"]
    best = int(min(validated, key=lambda row: float(row["swd"]))["step"])
    for name, given, step in (("folder", undisturbed, best), ("state", newest(undisturbed), 6)):
        train(faces, tmp_path / name, config, generator=given, device="cpu", workers=0)
        model = native.load(tmp_path / name / "model.safetensors")
        kept = load_generator(given)
        assert kept.info["step"] == step
        ours = model.state_of("generator")
        assert [key for key, value in kept.tensors.items() if not torch.equal(ours[key], value)] == []
        assert torch.equal(model.tensors["latent_avg"], kept.latent_avg)
    generator = new_generator(kept.config)
    generator.load_state_dict(kept.tensors)
    torch.testing.assert_close(kept.latent_avg, generator.mean_latent(10_000, 0).expand(8, -1))


def test_a_run_starts_from_another_runs_networks(faces, tmp_path, undisturbed):
    given = read_initial_networks(newest(undisturbed), newest(undisturbed), None)
    config = resolve_generator(given, options={"batch_size": 2, "steps": 1, "interval": 1, "seed": 4})
    assert config.generator == tiny().generator
    stopped = []
    with pytest.raises(Stop):
        run(faces, tmp_path / "run", config, initial=given, report=stop_at(0, "val"), announce=stopped.append)
    assert yaml.safe_load(stopped[0].partition("\n\n")[0])["start"]["generator"] == str(newest(undisturbed))
    begun, end = (native.load_generator_state(newest(root)) for root in (tmp_path / "run", undisturbed))
    for ours, theirs in (("generator", "averaged"), ("averaged", "averaged"), ("discriminator", "discriminator")):
        wanted = end.state_of(theirs)
        assert [name for name, value in begun.state_of(ours).items() if not torch.equal(value, wanted[name])] == []
    with pytest.raises(InputError, match=r"another start.generator \(.*, now None\)"):
        run(faces, tmp_path / "run", config)


def test_networks_that_do_not_fit(tmp_path, undisturbed, faces):
    with pytest.raises(CheckpointError, match="makes 32 px, not the 64 px requested; leave out --size"):
        read_initial_networks(undisturbed, None, 64)
    with pytest.raises(InputError, match="give --generator FILE too, or a kind: stylegan2, projected"):
        read_initial_networks(None, newest(undisturbed), None)
    with pytest.raises(CheckpointError, match="is a folder; a discriminator is in a file, such as a run's newest"):
        read_initial_networks(undisturbed, undisturbed, None)
    with pytest.raises(CheckpointError, match="is not the training state of a generator"):
        read_initial_networks(undisturbed, undisturbed / "model.safetensors", None)
    with pytest.raises(InputError, match=r"the initial generator has the sizes .*; needed: "):
        plan_generator(faces, preset("small"), read_initial_networks(undisturbed, None, None))
    with pytest.raises(CheckpointError, match="holds a generator alone, no model; train an encoder for it"):
        native.load(newest(undisturbed))


# -------------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"r1_weight": 3.0}, r"another r1_weight \(0\.1024, now 3\.0\)"),
        ({"discriminator_sizes": {"group_size": 2}}, r"another discriminator.group_size \(4, now 2\)"),
    ],
)
def test_another_config_in_the_same_folder(faces, tmp_path, undisturbed, change, says):
    shutil.copytree(undisturbed, tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(InputError, match=says):
        run(faces, tmp_path / "run", tiny(**change))
    assert contents(tmp_path / "run") == before


def test_the_folder_of_a_model_is_not_a_generators(faces, tmp_path, undisturbed):
    shutil.copytree(undisturbed, tmp_path / "run")
    with pytest.raises(InputError, match=r"another task \(generator, now seg2face\)"):
        train(faces, tmp_path / "run", small_run(), device="cpu")


def test_other_photos_in_the_same_folder(faces, tmp_path, undisturbed):
    shutil.copytree(undisturbed, tmp_path / "run")
    other = resplit(faces, tmp_path / "data", "train train val train val val")
    with pytest.raises(InputError, match=r"another photos.train \("):
        run(other, tmp_path / "run")


def test_a_bad_photo_is_named_and_leaves_a_run_that_goes_on(faces, tmp_path, undisturbed):
    data = tmp_path / "data"
    shutil.copytree(faces, data)
    photo = data / read_dataset(data).rows.set_index("id").loc["00002", "photo"]
    whole = photo.read_bytes()
    photo.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"^id 00002: "):
        run(data, tmp_path / "run")
    photo.write_bytes(whole)
    run(data, tmp_path / "run")
    assert_same_outcome(tmp_path / "run", undisturbed)


def test_a_loss_that_is_no_number_stops_the_run(faces, tmp_path, monkeypatch, undisturbed):
    with pytest.raises(Stop):
        run(faces, tmp_path, report=stop_at(3, "val"))
    before = contents(tmp_path / "checkpoints")
    monkeypatch.setattr(adversarial, "gradient_penalty", lambda scores, photos: scores.sum() * float("nan"))
    with pytest.raises(DivergenceError, match="the r1 is nan at step 5, photos 0000") as caught:
        run(faces, tmp_path)
    assert str(caught.value).endswith("is from before that: try a lower --learning-rate in another --out")
    assert contents(tmp_path / "checkpoints") == before
    assert [row["step"] for row in rows_of(tmp_path)][-1] == "4"
    monkeypatch.undo()
    monkeypatch.setattr(loop, "plot_losses", lambda metrics, picture: write_text(picture, "curves to step 6"))
    run(faces, tmp_path)
    assert_same_outcome(tmp_path, undisturbed)


def test_what_a_run_takes_is_told_before_it_begins(faces):
    config = dataclasses.replace(tiny(), steps=10)
    text = plan_generator(faces, config).text()
    generator, discriminator = new_generator(config.generator), Discriminator(config.discriminator)
    counts = [sum(weight.numel() for weight in network.parameters()) for network in (generator, discriminator)]
    assert f"generator: {counts[0]:,} parameters; discriminator: {counts[1]:,}\n" in text
    assert "photos: 3 to train on, 3 to validate on; 20 images, 6.7 epochs\n" in text
    assert "memory of a step: about " in text
