from __future__ import annotations

import re
import signal
import subprocess
import time

import pytest
import yaml

from facesynth.model.checkpoints import native
from facesynth.model.checkpoints.load import load_generator

from ..runs import assert_refused, assert_same_outcome, write_lpips
from ..trees import COMMAND, PATIENCE, contents, leftovers

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_curves")]

SMALL = ("style_dim=8", "mapping_depth=2", "channel_base=256", "channel_max=8")
SIZES = tuple(part for size in SMALL for part in ("--model", size))
SHORT = ("--size", 32, "--batch-size", 2, "--steps", 2, "--interval", 1, "--device", "cpu", *SIZES)


def command(data, out, *options):
    return ("train-generator", "--data", data, "--out", out, *SHORT, *options)


@pytest.fixture(scope="module")
def trained(faces, tmp_path_factory):
    """A finished run of two steps and what was said of it."""
    root = tmp_path_factory.mktemp("trained") / "run"
    done = subprocess.run([COMMAND, *map(str, command(faces, root))], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return root, done.stdout, done.stderr


def test_a_run_and_what_is_said_of_it(trained):
    root, out, err = trained
    settings, _, rest = err.partition("\ngenerator: ")
    assert yaml.safe_load(settings) == yaml.safe_load((root / "config.yaml").read_text())
    told = re.findall(r"step (\d) of 2, validation: .*swd \d+\.\d", rest)
    assert told == ["0", "1", "2"]
    assert re.match(rf"generator in {root}: swd from \d+\.\d\d down to \d+\.\d\d at step \d\n", out)
    assert f": {root}/model.safetensors\n" in out
    assert (root / "losses.png").stat().st_size > 5000
    best = load_generator(root)
    assert f" at step {best.info['step']}\n" in out
    assert best.latent_avg.shape == (8, 8)
    assert f"facesynth train-generator --data {root.parents[0]}"[:27] in (root / "README.md").read_text()


def test_a_model_is_trained_on_it(trained, faces, tmp_path, facesynth):
    root, _, _ = trained
    sizes = ("--model", "output_size=32", *SIZES[:-4], *SIZES[-4:])
    options = ("--lpips", 0, "--batch-size", 2, "--steps", 1, "--interval", 1, "--device", "cpu", "-q")
    given = ("train", "--data", faces, "--task", "seg2face", "--out", tmp_path / "run", "--generator", root)
    assert facesynth(*given, *sizes, *options)[0] == 0
    ours, kept = native.load(tmp_path / "run/model.safetensors"), load_generator(root)
    assert ours.tensors["latent_avg"].equal(kept.latent_avg)
    assert all(ours.state_of("generator")[name].equal(value) for name, value in kept.tensors.items())


def test_options_reach_the_config(faces, tmp_path, facesynth):
    (tmp_path / "mine.yaml").write_text("mixing: 0.5\nseed: 1\npath_interval: 2\ngenerator: {style_dim: 12}\n")
    options = ("--config", tmp_path / "mine.yaml", "--seed", 3, "--learning-rate", 0.01, "--r1", 2, "--no-flip")
    augmentation = ("--augment-target", 0, "--augment-p", 0.25, "--augment-speed", 1000, "--metric", "swd_16")
    code, out, err = facesynth(*command(faces, tmp_path / "run", *options, *augmentation, "--dry-run"))
    assert (code, err) == (0, "")
    noted = yaml.safe_load(out.partition("\ngenerator: ")[0])
    wanted = {
        "mixing": 0.5, "seed": 3, "path_interval": 2, "generator_learning_rate": 0.01, "discriminator_learning_rate": 0.01,
        "r1_weight": 2.0, "flip": False, "augment_target": 0.0, "augment_p": 0.25, "augment_speed": 1000,
        "metric": "swd_16", "steps": 2, "batch_size": 2,
    }  # fmt: skip
    assert {name: noted[name] for name in wanted} == wanted
    assert (noted["generator"]["style_dim"], noted["discriminator"]["channel_max"]) == (8, 8)  # --model counts more
    assert out.endswith("nothing was started: this was a dry run\n")
    assert not (tmp_path / "run").exists()


def test_a_run_from_a_finished_runs_networks(trained, faces, tmp_path, facesynth):
    root, _, _ = trained
    state = max((root / "checkpoints").iterdir())
    plain = ("train-generator", "--data", faces, "--out", tmp_path / "run", "--generator", state, "--dry-run")
    code, out, _ = facesynth(*plain, "--discriminator", state)
    noted = yaml.safe_load(out.partition("\ngenerator: ")[0])
    assert code == 0
    assert noted["start"] == {"generator": str(state), "discriminator": str(state)}
    assert (noted["generator"]["output_size"], noted["generator"]["style_dim"]) == (32, 8)
    assert_refused(facesynth(*plain, "--size", 64), "makes 32 px, not the 64 px requested; leave out --size")


def test_a_projected_discriminator(faces, tmp_path, facesynth):
    file = write_lpips(tmp_path / "alexnet.safetensors")
    line = command(faces, tmp_path / "run", "--discriminator", "projected", "--lpips-backbone", file)
    code, out, err = facesynth(*line, "--dry-run")
    assert (code, err) == (0, "")
    noted = yaml.safe_load(out.partition("\ngenerator: ")[0])
    assert (noted["discriminator_kind"], noted["discriminator"], noted["r1_weight"]) == ("projected", None, 0.0)
    assert "; its frozen network: 2,470,848\n" in out
    assert not (tmp_path / "run").exists()
    assert facesynth(*line, "-q")[0] == 0
    assert facesynth(*line, "-q")[0] == 0  # and once more, which finds it finished
    assert load_generator(tmp_path / "run").config.output_size == 32
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text()) == noted
    assert_refused(
        facesynth(*command(faces, tmp_path / "run")), r"another discriminator_kind \(projected, now stylegan2\)"
    )
    state = max((tmp_path / "run/checkpoints").iterdir())
    given = ("train-generator", "--data", faces, "--out", tmp_path / "other", "--generator", state, "--dry-run")
    assert_refused(
        facesynth(*given, "--discriminator", state), "holds a projected discriminator, which no run starts from"
    )
    code, out, _ = facesynth(*given, "--discriminator", "projected", "--lpips-backbone", file)
    assert code == 0
    start = yaml.safe_load(out.partition("\ngenerator: ")[0])["start"]
    assert start == {"generator": str(state), "discriminator": None}


def test_a_projected_discriminator_without_its_weights(faces, tmp_path, facesynth, monkeypatch):
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    line = command(faces, tmp_path / "run", "--discriminator", "projected")
    assert_refused(facesynth(*line), "LPIPS needs AlexNet's weights, but there is no file .*pip install")
    assert_refused(facesynth(*line, "--lpips-net", "vgg"), "LPIPS needs VGG16's weights")
    assert not (tmp_path / "run").exists()


def test_a_dry_run_in_the_folder_of_another_run(trained, faces, facesynth):
    root, _, _ = trained
    before = contents(root)
    assert_refused(facesynth(*command(faces, root, "--dry-run", "--seed", 3)), "holds a run with another seed")
    assert facesynth(*command(faces, root, "--dry-run"))[0] == 0
    assert contents(root) == before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--data", "nothing"), "nothing is not a dataset folder: manifest.csv is missing; make one with"),
        (("--size", 48), "output_size is 48; needed: a power of two from 32 to 1024"),
        (("--size", 16), "output_size is 16; needed: "),
        (("--steps", 0), "steps is 0; needed: at least 1"),
        (("--accumulate", 3), "batch_size is 2; needed: a multiple of accumulate, 3"),
        (("--learning-rate", "nan"), "generator_learning_rate is nan; needed: more than 0 and less than 1"),
        (("--r1", -1), r"r1_weight is -1\.0; needed: a number, at least 0"),
        (("--augment-target", 1), r"augment_target is 1\.0; needed: 0 to less than 1"),
        (("--metric", "fid"), "metric is 'fid'; needed: swd, swd_32, swd_16"),
        (("--generator", "nothing"), r"checkpoint nothing does not exist; give a \.safetensors file"),
        (
            ("--discriminator", "nothing"),
            "generator, nothing; give --generator FILE too, or a kind: stylegan2, projected",
        ),
        (("--lpips-backbone", "nothing"), "--lpips-backbone is given but the discriminator is stylegan2; give --discr"),
        (("--lpips-net", "vgg"), "--lpips-net is given but the discriminator is stylegan2"),
        (("--discriminator", "projected", "--r1", 1), r"r1_weight is 1\.0; needed: 0, because a projected"),
        (("--discriminator", "projected", "--model", "group_size=2"), "a projected discriminator has no group_size"),
        (("--config", "nothing"), "nothing cannot be read as settings"),
        (("--model", "depth=3"), "depth is not a size of the networks; needed: channel_base"),
        (("--model", "style_dim=many"), "style_dim is 'many'; needed: a whole number"),
    ],
)
def test_wrong_options(faces, tmp_path, facesynth, options, says):
    assert_refused(facesynth(*command(faces, tmp_path / "run"), *options), says)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options", [("--preset", "huge"), ("--model", "style_dim"), ("--keep", 0), ("--precision", "fp16")]
)
def test_wrong_usage(faces, tmp_path, facesynth, options):
    code, _, err = facesynth(*command(faces, tmp_path / "run"), *options)
    assert code == 2
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_a_run_killed_at_any_time_ends_as_an_undisturbed_one(trained, faces, tmp_path):
    out = tmp_path / "run"
    line = [COMMAND, *map(str, command(faces, out))]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    give_up = time.monotonic() + PATIENCE
    while not (out / "samples/step-00000001.png").exists() and time.monotonic() < give_up:
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (out / "losses.png").exists()
    assert subprocess.run(line, capture_output=True, timeout=PATIENCE, check=False).returncode == 0
    assert_same_outcome(out, trained[0])
    assert leftovers(out) == []
