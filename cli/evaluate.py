"""``facesynth evaluate``: metrics of faces against the dataset that they were made from."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ._progress import progress, tell_downloads

_PATH = click.Path(path_type=Path)
BROKEN = 3
"""The exit code if a figure is as it must not be."""


@click.command()
@click.option("--data", type=_PATH, help="The dataset folder.")
@click.option("--split", default="test", help="Its split: train, val, test, several with commas, or all.")
@click.option("--checkpoint", help="The model to evaluate: a run folder, a checkpoint or a name, as for translate.")
@click.option("--faces", type=_PATH, help="Instead of a model: a folder of faces, <id>.png, made by anything.")
@click.option("--sketch", help="Sketch method that the faces are made of, if the dataset has several.")
@click.option("--out", type=_PATH, required=True, help="Output folder; created if missing.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="A metric, or a group of them: fidelity, identity, condition, distribution, diversity, memory; may be repeated.  "
    "[default: all]",
)
@click.option("--size", type=int, help="Height and width to bring faces and photos to, pixels.  [default: the faces']")
@click.option("--count", type=int, help="Only the first so many ids.  [default: all]")
@click.option(
    "--reference",
    help="Photos that distances between sets compare with: a split, or statistics of Inception as .npz.  "
    "[default: those of --split]",
)
@click.option("--styles", default=8, help="Random styles of a condition, for diversity.")
@click.option("--seed", default=0, help="Seed of styles, samples and intervals.")
@click.option("--parser", help="Face parser that sees the label maps in faces.  [default: photo-parser]")
@click.option("--alexnet", type=_PATH, help="Weights of AlexNet with LPIPS's heads.  [default: as for training]")
@click.option("--vgg16", type=_PATH, help="Weights of VGG16 with LPIPS's heads.  [default: as for training]")
@click.option(
    "--inception-weights",
    help="FID's Inception, pytorch-fid's file: a path, or owner/name/file on the Hub.  [default: torch's download cache]",
)
@click.option(
    "--identity-weights", type=_PATH, help="IR-SE50, or ir-se50, which is downloaded.  [default: dlib, if installed]"
)
@click.option("--name", help="What the results are called in tables.  [default: the checkpoint's or the folder's name]")
@click.option(
    "--compare",
    is_flag=True,
    help="Compare the results in the folders EVAL... instead: one table, with paired tests against the first.",
)
@click.option(
    "--fail-if", "limits", multiple=True, help="Exit with code 3 if this is so: 'miou < 0.75'; may be repeated."
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", help="Device to compute on."
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.argument("folders", type=_PATH, nargs=-1, metavar="[EVAL...]")
def evaluate(
    data: Path | None,
    split: str,
    checkpoint: str | None,
    faces: Path | None,
    sketch: str | None,
    out: Path,
    metrics: tuple[str, ...],
    size: int | None,
    count: int | None,
    reference: str | None,
    styles: int,
    seed: int,
    parser: str | None,
    alexnet: Path | None,
    vgg16: Path | None,
    inception_weights: str | None,
    identity_weights: Path | None,
    name: str | None,
    compare: bool,
    limits: tuple[str, ...],
    device: str,
    quiet: bool,
    folders: tuple[Path, ...],
) -> None:
    """Measure how good faces are: of a model, or in a folder.

    \b
      facesynth evaluate --data DATA --checkpoint RUN --out EVAL
      facesynth evaluate --data DATA --faces FOLDER --sketch xdog --out EVAL
      facesynth evaluate --compare EVAL EVAL2 --out TABLE

    Run the same command again to continue an evaluation that was stopped. A metric whose weights are not on this machine is
    left out by name.
    """  # noqa: D301, click needs the escape
    from facesynth.errors import InputError
    from facesynth.evaluation.limits import Limit

    if compare:
        from facesynth.evaluation.compare import compare as compare_folders

        click.echo(compare_folders(folders, out, seed=seed), nl=False)
        return
    if folders:
        raise InputError(f"{folders[0]} came without --compare; give faces as --faces, a model as --checkpoint")
    if data is None:
        raise InputError("there is no dataset; give its folder as --data")
    parsed = [Limit.of(text) for text in limits]

    from facesynth.evaluation.evaluate import Settings
    from facesynth.evaluation.evaluate import evaluate as run
    from facesynth.evaluation.measures import Weights
    from facesynth.evaluation.tables import number, to_console
    from facesynth.model.devices import keep_memory

    keep_memory()
    tell_downloads(quiet=quiet)
    settings = Settings(
        data=data,
        split=split,
        checkpoint=checkpoint,
        faces=faces,
        sketch=sketch,
        metrics=metrics,
        size=size,
        count=count,
        reference=reference,
        styles=styles,
        seed=seed,
        device=device,
        limits=parsed,
        name=name,
        weights=Weights(
            alexnet=alexnet, vgg16=vgg16, inception=inception_weights, identity=identity_weights, parser=parser
        ),
    )
    results = run(settings, out, progress=progress("pictures", quiet=quiet))
    if results is None:
        return
    click.echo(to_console(results))
    click.echo(f"results in {out}: report.html, metrics.json, pictures.csv, table.md, table.tex, junit.xml")
    broken = [limit for limit in parsed if limit.is_broken(results.figures)]
    for limit in broken:
        click.echo(f"facesynth: {limit.name} is {number(results.figures[limit.name].value)}, and so {limit}", err=True)
    if broken:
        sys.exit(BROKEN)
