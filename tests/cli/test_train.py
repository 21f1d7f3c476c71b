from __future__ import annotations

import csv
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import yaml
from facesynth.cli import _training

from facesynth import cli
from facesynth.model.checkpoints import native
from facesynth.model.training.curves import plot_losses

from ..runs import assert_refused, assert_same_outcome, save_model, small_disk
from ..trees import COMMAND, PATIENCE, contents, leftovers

pytestmark = pytest.mark.usefixtures("no_curves")
SHORT = ("--train-generator", "--lpips", 0, "--batch-size", 2, "--steps", 2, "--interval", 1, "--device", "cpu")


def train(data, out, *options, task="seg2face"):
    return ("train", "--data", data, "--task", task, "--out", out, *SHORT, *options)


@pytest.fixture(scope="module")
def undisturbed(faces, tmp_path_factory, no_curves):
    """A run of four steps with an interval of two never interrupted."""
    root = tmp_path_factory.mktemp("undisturbed") / "run"
    cli.facesynth.main([str(item) for item in four_steps(faces, root)], standalone_mode=False)
    return root


def four_steps(data, out):
    return train(data, out, "--quiet", "--steps", 4, "--interval", 2)


@pytest.mark.slow
def test_a_run_and_what_is_said_of_it(faces, tmp_path, facesynth):
    code, out, err = facesynth(*train(faces, tmp_path / "run"))
    assert code == 0
    told = re.findall(r"step (\d) of 2, validation: loss \d+\.\d{4}, l2 \d+\.\d{4}, laplacian \d+\.\d{4}, w_norm", err)
    assert told == ["0", "1", "2"]
    assert re.search(rf"^seg2face in {tmp_path}/run: validation L2 from \d\.\d{{4}} down to \d\.\d{{4}}\n", out)
    assert f": {tmp_path}/run/model.safetensors" in out
    best = native.load(tmp_path / "run/model.safetensors")
    assert (best.task, best.config.input_channels) == ("seg2face", 19)
    assert f", step {best.info['step']}: " in out


@pytest.mark.slow
def test_quiet_and_the_options_reach_the_config(faces, tmp_path, facesynth):
    options = ("--sketch", "dodge", "--seed", 3, "--learning-rate", 0.01, "--steps", 1, "--quiet")
    code, _, err = facesynth(*train(faces, tmp_path / "run", *options, task="sketch2face"))
    assert (code, err) == (0, "")
    noted = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    wanted = {"column": "sketch_dodge", "seed": 3, "learning_rate": 0.01, "steps": 1, "batch_size": 2, "interval": 1}
    assert {name: noted[name] for name in wanted} == wanted
    assert native.load(tmp_path / "run/model.safetensors").config.condition == "sketch"


@pytest.mark.slow
def test_without_perceptual_weights_it_says_so(faces, tmp_path, facesynth, monkeypatch):
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    arguments = [item for item in train(faces, tmp_path / "run", "--steps", 1, "-q") if item not in ("--lpips", 0)]
    code, _, err = facesynth(*arguments)
    assert code == 0
    assert err.startswith("training without the perceptual loss: LPIPS needs AlexNet's weights")
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["lpips"] == 0.0
    refused = [item for item in arguments if item != "--train-generator"]
    refused[refused.index(tmp_path / "run")] = tmp_path / "other"
    assert_refused(facesynth(*refused), "there is no generator")
    assert_refused(facesynth(*arguments, "--lpips", 0.8), "LPIPS needs AlexNet's weights")
    assert_refused(facesynth(*arguments, "--lpips-heads", tmp_path / "none"), "LPIPS needs")


@pytest.mark.slow
def test_weights_of_the_terms_reach_the_run(faces, tmp_path, facesynth):
    terms = ("--l2", 0.5, "--l2-crop", 2, "--laplacian", 0, "--w-norm", 0.25, "--lines", 0.125, "--parsing", 3)
    terms += ("--metric", "l2", "--steps", 1, "-q")
    assert facesynth(*train(faces, tmp_path / "run", *terms))[0] == 0
    last = next(csv.DictReader([*(tmp_path / "run/metrics.csv").read_text().splitlines()]))
    weights = {"l2": 0.5, "l2_crop": 2, "w_norm": 0.25, "lines": 0.125, "parsing": 3}
    wanted = sum(weight * float(last[name]) for name, weight in weights.items())
    assert float(last["loss"]) == pytest.approx(wanted, rel=1e-4)
    assert last["laplacian"] == ""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--data", "nothing"), "nothing is not a dataset folder: manifest.csv is missing; make one with"),
        (("--steps", 0), "steps is 0; needed: at least 1"),
        (("--batch-size", -2), "batch_size is -2; needed: at least 1"),
        (("--learning-rate", "nan"), "learning_rate is nan; needed: more than 0 and less than 1"),
        (("--learning-rate", 2), r"learning_rate is 2\.0"),
        (("--interval", 0), "interval is 0"),
        (("--rough", 9), r"rough is 9\.0; needed: 0 to 5"),
        (("--augment", "nan"), "augment is nan; needed: 0 to 5"),
        (("--task", "sketch2face", "--sketch", "xdog,pencil"), "has no sketches 'pencil'"),
        (("--generator", "nothing"), r"checkpoint nothing does not exist; give a \.safetensors file"),
        (("--identity", 0.1), r"identity is 0\.1 but output_size 64; needed: at least 256 px, or 0"),
        (
            ("--moco", 0.1),
            r"moco is 0\.1; needed for it: --moco-weights FILE, MoCo v2's moco_v2_800ep_pretrain\.pth\.tar",
        ),
        (("--laplacian", 0), "metric is 'laplacian', which weighs 0; needed: a term of the loss"),
        (("--moco", 0.1, "--moco-weights", "nothing"), "checkpoint nothing does not exist"),
        (("--parsing", 0.1, "--parser", "portrait-seg"), "holds no face parser"),
        (("--parser", "portrait-parser"), "--parser is given but parsing weighs 0; give --parsing a weight"),
        (("--augment-target", 0.5), "--augment-target is given but adversarial weighs 0; give --adversarial a weight"),
        (("--discriminator-learning-rate", 1e-4), "--discriminator-learning-rate is given but adversarial weighs 0"),
        (
            ("--lpips", 1, "--lpips-net", "vgg", "--lpips-backbone", "nothing"),
            "LPIPS needs VGG16's weights, but there is no",
        ),
        (("--task", "sketch2face"), "holds the sketches dodge, xdog; choose one with --sketch"),
        (("--task", "sketch2face", "--sketch", "pencil"), "has no sketches 'pencil'"),
    ],
)
def test_wrong_options(faces, tmp_path, facesynth, options, says):
    assert_refused(facesynth(*train(faces, tmp_path / "run"), *options), says)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    "options",
    [("--workers", -1), ("--skip-bad", -1), ("--task", "face2face"), ("--preset", "huge"), ("--device", "tpu")],
)
def test_options_that_the_command_line_knows_to_be_wrong(faces, tmp_path, facesynth, options):
    code, _, err = facesynth(*train(faces, tmp_path / "run"), *options)
    assert code == 2
    assert f"Invalid value for '{options[0]}'" in err
    assert not (tmp_path / "run").exists()


def test_a_generator_is_needed_or_trained(faces, tmp_path, facesynth):
    arguments = [item for item in train(faces, tmp_path / "run") if item != "--train-generator"]
    assert_refused(facesynth(*arguments), "there is no generator: give --generator FILE, or --train-generator")
    small = save_model(tmp_path / "given.safetensors")
    assert_refused(facesynth(*arguments, "--generator", small), "has output_size 32, the model's is 64")


@pytest.mark.slow
def test_another_run_in_the_same_folder(faces, undisturbed, tmp_path, facesynth):
    shutil.copytree(undisturbed, tmp_path / "run")
    again = four_steps(faces, tmp_path / "run")
    assert_refused(facesynth(*again, "--batch-size", 3), r"another batch_size \(2, now 3\); give the same options")
    assert_refused(facesynth(*again, "--task", "sketch2face", "--sketch", "dodge"), "holds a run with another task")
    assert contents(tmp_path / "run") == contents(undisturbed)


def test_a_bad_picture_is_named(faces, tmp_path, facesynth):
    shutil.copytree(faces, tmp_path / "data")
    (tmp_path / "data/labels/00002.png").write_bytes(b"")
    assert_refused(facesynth(*train(tmp_path / "data", tmp_path / "run", "-q")), r"id 00002: .*labels/00002\.png")


@pytest.mark.slow
def test_a_bad_pair_may_be_skipped(faces, tmp_path, facesynth):
    shutil.copytree(faces, tmp_path / "data")
    (tmp_path / "data/labels/00002.png").write_bytes(b"")
    code, out, _ = facesynth(*train(tmp_path / "data", tmp_path / "run", "-q", "--skip-bad", 1))
    assert (code, out.count("validation L2 from")) == (0, 1)
    (tmp_path / "data/labels/00004.png").write_bytes(b"")
    command = train(tmp_path / "data", tmp_path / "other", "-q", "--skip-bad", 1)
    assert_refused(facesynth(*command), "2 bad pairs are more than the 1 that may be skipped")


@pytest.mark.slow
def test_rough_and_moved_pairs_by_option_and_preset(faces, tmp_path, facesynth):
    options = ("--quiet", "--augment", 0.5, "--rough", 1.5)
    assert facesynth(*train(faces, tmp_path / "run", *options, task="sketch2face"))[0] == 0
    noted = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    wanted = {"augment": 0.5, "rough": 1.5, "column": "sketch_dodge,sketch_xdog"}
    assert {name: noted[name] for name in wanted} == wanted
    again = train(faces, tmp_path / "run", *options[:-1], 2, task="sketch2face")
    assert_refused(facesynth(*again), r"another rough \(1.5, now 2.0\)")
    saved = ("--config", tmp_path / "run/config.yaml", "--augment", 0.25)
    code, out, _ = facesynth(*train(faces, tmp_path / "other", *saved, "--dry-run", task="sketch2face"))
    planned = yaml.safe_load(out.split("\n\n")[0])
    assert (code, {name: planned[name] for name in wanted}) == (0, wanted | {"augment": 0.25})
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
@pytest.mark.parametrize("task", ["seg2face", "sketch2face"])
def test_the_preset_freehand(faces, tmp_path, facesynth, task):
    options = ("--task", task, "--preset", "freehand", "--train-generator", "--dry-run")
    code, out, _ = facesynth("train", "--data", faces, "--out", tmp_path / "run", *options)
    planned = yaml.safe_load(out.split("\n\n")[0])
    assert (code, planned["augment"], planned["rough"], planned["model"]["output_size"]) == (0, 1, 1, 256)
    assert planned["column"] == {"seg2face": "labels", "sketch2face": "sketch_dodge,sketch_xdog"}[task]
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_killed_at_any_time_ends_as_an_undisturbed_one(faces, undisturbed, tmp_path):
    out = tmp_path / "run"
    command = [COMMAND, *map(str, four_steps(faces, out))]
    for sign in ("config.yaml", "samples/step-00000002.png"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        give_up = time.monotonic() + PATIENCE
        while not (out / sign).exists() and process.poll() is None and time.monotonic() < give_up:
            time.sleep(0.002)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert (out / sign).exists()
        assert not (out / "losses.png").exists()
    assert subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False).returncode == 0
    whole = shutil.copytree(undisturbed, tmp_path / "whole")
    plot_losses(whole / "metrics.csv", whole / "losses.png")
    assert_same_outcome(out, whole)
    assert leftovers(out) == []


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_run_goes_on(faces, undisturbed, tmp_path, facesynth):
    newest = sum(path.stat().st_size for path in undisturbed.rglob("*.safetensors"))
    with small_disk(tmp_path / "disk", f"{newest // 3072}k") as disk:
        out = disk.root / "run"
        assert_refused(facesynth(*four_steps(faces, out)), "cannot write .*: No space left on device")
        assert leftovers(out) == []
        disk.grow("200m")
        assert facesynth(*four_steps(faces, out))[0] == 0
        assert_same_outcome(out, undisturbed)


def test_an_output_that_is_a_file(faces, tmp_path, facesynth):
    (tmp_path / "run").write_text("mine")
    assert_refused(facesynth(*train(faces, tmp_path / "run")), "cannot write into .*/run: it is a file; give a folder")
    assert (tmp_path / "run").read_text() == "mine"


# ------------------------------------------------------------------------------------------------- before and after a run


@pytest.mark.slow
def test_a_dry_run_says_what_it_would_take_and_leaves_nothing(faces, tmp_path, facesynth):
    code, out, err = facesynth(*train(faces, tmp_path / "run", "--dry-run"))
    assert (code, err) == (0, "")
    settings = yaml.safe_load(out.partition("\nencoder:")[0])
    assert (settings["task"], settings["batch_size"], settings["model"]["output_size"]) == ("seg2face", 2, 64)
    assert re.search(r"\nencoder: [\d,]{6,} parameters; generator: [\d,]{6,}; trained: [\d,]{6,}\n", out)
    assert "\npairs: 3 to train on, 3 to validate on; 2 steps an epoch, 1.0 epochs\n" in out
    assert re.search(r"\nmemory of a step: about \d+ MiB a process \(weights \d+, gradients \d+, ", out)
    assert not (tmp_path / "run").exists()
    assert_refused(facesynth(*train(faces, tmp_path / "run", "--dry-run", "--steps", 0)), "steps is 0")
    facesynth(*train(faces, tmp_path / "run", "-q"))
    before = contents(tmp_path / "run")
    assert_refused(facesynth(*train(faces, tmp_path / "run", "--dry-run", "--seed", 3)), "another seed")
    assert contents(tmp_path / "run") == before


@pytest.mark.slow
def test_the_settings_are_told_before_the_run_begins(faces, tmp_path, facesynth):
    _, _, err = facesynth(*train(faces, tmp_path / "run", "--steps", 1))
    told, _, rest = err.partition("\nencoder:")
    assert yaml.safe_load(told) == yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert rest.index("memory of a step") < rest.index("step 0 of 1, validation")
    assert "facesynth train --data" in (tmp_path / "run/README.md").read_text()


@pytest.mark.slow
def test_settings_from_a_file_and_sizes_by_name(faces, tmp_path, facesynth):
    (tmp_path / "train.yaml").write_text("clip_norm: 2\nsteps: 7\nmodel:\n  style_dim: 32\n")
    options = ("--config", tmp_path / "train.yaml", "--model", "mapping_depth=2", "--steps", 1, "-q")
    assert facesynth(*train(faces, tmp_path / "run", *options))[0] == 0
    noted = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert (noted["clip_norm"], noted["steps"]) == (2.0, 1)
    assert (noted["model"]["style_dim"], noted["model"]["mapping_depth"]) == (32, 2)
    again = ("train", "--data", faces, "--out", tmp_path / "again", "--config", tmp_path / "run/config.yaml", "-q")
    assert facesynth(*again, "--device", "cpu")[0] == 0
    assert_same_outcome(tmp_path / "again", tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--model", "size=3"), "size is not a size of the model; needed: input_size, output_size"),
        (("--model", "output_size=48"), "output_size is 48; needed: a power of two"),
        (("--config", "nothing.yaml"), r"nothing\.yaml cannot be read as settings"),
        (
            ("--task", "photo2face", "--low-resolution", "1,3"),
            r"low_resolution is \(1, 3\); needed: divisors of input_size",
        ),
        (("--low-resolution", "2"), "the task is seg2face; needed: photo2face"),
        (("--accumulate", 3), "accumulate is 3; needed: a divisor of batch_size, 2"),
        (("--precision", "fp16"), "precision is 'fp16' but the device cpu; needed: cuda"),
        (
            ("--preset", "published", "--task", "photo2face"),
            r"identity is 0\.1; needed for it: --identity-weights FILE",
        ),
    ],
)
def test_more_wrong_options(faces, tmp_path, facesynth, options, says):
    assert_refused(facesynth(*train(faces, tmp_path / "run"), *options), says)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("train",), "Missing option '--data'"),
        (("train", "--data", "x"), "Missing option '--out'"),
        (("train", "run", "--data", "x", "--out", "y"), "Got unexpected extra argument (run)"),
        (("train", "--plot"), "--plot needs at least one RUN"),
        (("train", "--data", "x", "--out", "y", "--model", "size"), "not a dataset folder"),
    ],
)
def test_what_is_missing(facesynth, arguments, says):
    code, out, err = facesynth(*arguments)
    assert (code, out) == (2, "")
    assert says in err


@pytest.mark.slow
def test_runs_are_compared(undisturbed, tmp_path, facesynth, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(undisturbed, tmp_path / "other")
    code, out, err = facesynth("train", "--plot", undisturbed, tmp_path / "other")
    assert (code, out, err) == (0, "curves of 2 runs: comparison.png\n", "")
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert facesynth("train", "--plot", undisturbed, "--out", tmp_path / "one.png")[1].endswith("one.png\n")
    assert_refused(facesynth("train", "--plot", tmp_path, "--out", tmp_path / "two.png"), "there is no .*metrics.csv")
    assert_refused(facesynth("train", "--plot", undisturbed, "--out", tmp_path), "is a folder; give --out the PNG")
    assert not (tmp_path / "two.png").exists()


# ------------------------------------------------------------------------------------------------------------- progress


def report_steps(monkeypatch, capsys, *, terminal: bool, first: int = 0) -> str:
    monkeypatch.setattr(_training, "PLAIN_INTERVAL", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    report = _training.reporter(4, "a notice", quiet=False)
    report("val", first, {"loss": 1.0})
    for step in range(first + 1, 5):
        time.sleep(0.12)  # a moving line is drawn ten times a second at most
        report("train", step, {"loss": 1 / step, "l2": 0.5})
    report("val", 4, {"loss": 0.125})
    return capsys.readouterr().err


def test_without_a_terminal_progress_is_plain_lines(monkeypatch, capsys):
    lines = report_steps(monkeypatch, capsys, terminal=False).splitlines()
    assert lines[:2] == ["a notice", "step 0 of 4, validation: loss 1.0000"]
    assert len(lines) == 7
    steps = [
        re.fullmatch(r"step (\d) of 4 \[00:0\d<00:0\d, .*step/s\]: loss \d\.\d{4}, l2 0\.5000", line)
        for line in lines[2:6]
    ]
    assert [match and match[1] for match in steps] == ["1", "2", "3", "4"]
    assert lines[6] == "step 4 of 4, validation: loss 0.1250"


def test_on_a_terminal_progress_is_a_line_that_moves(monkeypatch, capsys):
    told = report_steps(monkeypatch, capsys, terminal=True, first=2)
    assert re.search(r"\rstep 4/4 \[00:0\d<00:00, .*step/s, loss 0\.2500, l2 0\.5000\]", told)
    assert "step 4 of 4, validation: loss 0.1250\n" in told
    assert "a notice\n" in told


@pytest.mark.slow
def test_a_dry_run_knows_the_memory_of_the_parser_too(faces, tmp_path, facesynth):
    told = []
    for terms in ((), ("--lines", 0.2, "--parsing", 0.2)):
        code, out, _ = facesynth(*train(faces, tmp_path / "run", *terms), "--dry-run")
        assert code == 0
        told.append(int(re.search(r"memory of a step: about ([0-9,]+) MiB", out)[1].replace(",", "")))
    assert told[1] > told[0]
