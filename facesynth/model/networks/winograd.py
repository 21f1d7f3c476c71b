"""3 x 3 convolutions on the CPU with a quarter of the multiplications: Winograd's minimal filtering by matrix products.

A map is cut into tiles of 6 x 6 pixels that overlap by two. Tile and kernel are evaluated at 6 x 6 points, as polynomials
are; there, a convolution is one product a point and pair of channels, so that all of it becomes 36 matrix products; and 4 x 4
pixels of the result are put together from them, for which the plain sum takes 144 products. The rounding error is about five
times that of the plain sum, and the kernel at its points takes four times the memory.

Cutting and putting together move much memory, so that it pays for many channels on maps of middling size only (:func:`pays`).

References: Winograd, "Arithmetic Complexity of Computations", 1980, chapter V; Lavin and Gray, "Fast Algorithms for
Convolutional Neural Networks", CVPR 2016, sections 3 and 4 (tiles, matrix products); Barabasz et al., "Error Analysis and
Improving the Accuracy of Winograd Convolution for Deep Neural Networks", ACM TOMS 46(4), 2020 (the choice of points).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

_TILE, _MADE = 6, 4
"""Pixels along a side that a tile reads and gives."""
_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
"""Where tiles are evaluated, besides at infinity."""
_TILES_AT_ONCE = 256
"""How many tiles go through at once; their products stay near the processor."""
_FEWEST_CHANNELS = 256
_SMALLEST_MAP, _LARGEST_MAP = 32, 128


def pays(in_channels: int, out_channels: int, size: int) -> bool:
    """Whether a map of that height and width, pixels, is convolved faster here than by the plain sum; as measured."""
    channels = min(in_channels, out_channels)
    return channels >= _FEWEST_CHANNELS and _SMALLEST_MAP <= size <= _LARGEST_MAP and size % _MADE == 0


@cache
def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """What evaluates a kernel (6, 3), a tile (6, 6), and what joins (4, 6), all along one axis."""
    kernel, tile, join = (torch.zeros(rows, _TILE, dtype=torch.float64) for rows in (3, _TILE, _MADE))
    for index, point in enumerate(_POINTS):
        others = [other for other in _POINTS if other != point]
        scale = torch.tensor([point - other for other in others]).prod()
        kernel[:, index] = torch.tensor([point**power for power in range(3)]) / scale
        tile[:-1, index] = _with_roots(others)
        join[:, index] = torch.tensor([point**power for power in range(_MADE)])
    kernel[-1, -1] = join[-1, -1] = 1.0
    tile[:, -1] = _with_roots(list(_POINTS))
    return kernel.t().float(), tile.t().float(), join.float()


def _with_roots(roots: list[float]) -> Tensor:
    """The coefficients, constant first, of the product of (x - root)."""
    coefficients = torch.ones(1, dtype=torch.float64)
    for root in roots:
        coefficients = F.pad(coefficients, (1, 0)) - root * F.pad(coefficients, (0, 1))
    return coefficients


def transformed(weight: Tensor) -> Tensor:
    """A kernel at the points where it is multiplied.

    Parameters
    ----------
    weight : Tensor
        (O, I, 3, 3), float32.

    Returns
    -------
    Tensor
        (36, I, O), for :func:`convolve`.
    """
    kernel = _matrices()[0]
    return torch.einsum("pa,qb,oiab->pqio", kernel, kernel, weight).flatten(0, 1).contiguous()


def convolve(
    features: Tensor,
    kernel: Tensor,
    bias: Tensor,
    *,
    scales: Tensor | None = None,
    factors: Tensor | None = None,
) -> Tensor:
    """A 3 x 3 convolution of stride and padding 1, without gradients.

    Parameters
    ----------
    features : Tensor
        (N, I, H, W), float32; H and W multiples of 4. Fastest with channels last in memory.
    kernel : Tensor
        (36, I, O), what :func:`transformed` made.
    bias : Tensor
        (O,), what is added at the end.
    scales, factors : Tensor, optional
        (N, I) and (N, O): what channels are multiplied by before and after.

    Returns
    -------
    Tensor
        (N, O, H, W), channels last in memory.
    """
    out: Tensor = torch.ops.facesynth.convolve(features, kernel, bias, scales, factors)
    return out


def _convolve(features: Tensor, kernel: Tensor, bias: Tensor, scales: Tensor | None, factors: Tensor | None) -> Tensor:
    count, inputs, height, width = features.shape
    outputs = kernel.shape[2]
    rows, columns = height // _MADE, width // _MADE
    at_once = max(1, _TILES_AT_ONCE // columns)
    padded = features.new_zeros(height + 2, width + 2, inputs)
    out = features.new_empty(count, height, width, outputs)
    for sample, source in enumerate(features.permute(0, 2, 3, 1)):
        if scales is None:
            padded[1:-1, 1:-1] = source
        else:
            torch.mul(source, scales[sample], out=padded[1:-1, 1:-1])
        for first in range(0, rows, at_once):
            stop = min(first + at_once, rows)
            made = _joined(torch.bmm(_evaluated(padded[_MADE * first : _MADE * stop + 2]), kernel), columns)
            place = out[sample, _MADE * first : _MADE * stop].view(stop - first, _MADE, columns, _MADE, outputs)
            if factors is None:
                torch.add(made, bias, out=place)
            else:
                torch.addcmul(bias, made, factors[sample], out=place)
    return out.permute(0, 3, 1, 2)


def _evaluated(lines: Tensor) -> Tensor:
    """Lines (4 R + 2, 4 C + 2, I) of a padded map as tiles at the points, (36, R C, I)."""
    tile = _matrices()[1]
    line, pixel, _ = lines.stride()
    rows, columns, inputs = lines.shape[0] // _MADE, lines.shape[1] // _MADE, lines.shape[2]
    shape = (_TILE, _TILE, rows, columns, inputs)
    cut = lines.as_strided(shape, (line, pixel, _MADE * line, _MADE * pixel, 1), lines.storage_offset())
    half = tile @ cut.reshape(_TILE, -1)
    whole = torch.bmm(tile.expand(_TILE, -1, -1), half.view(_TILE, _TILE, -1))
    return whole.view(_TILE**2, rows * columns, inputs)


def _joined(products: Tensor, columns: int) -> Tensor:
    """Products (36, R C, O) as the pixels of the result, (R, 4, C, 4, O)."""
    join = _matrices()[2]
    outputs = products.shape[2]
    half = join @ products.view(_TILE, -1)
    whole = torch.bmm(join.expand(_MADE, -1, -1), half.view(_MADE, _TILE, -1))
    return whole.view(_MADE, _MADE, -1, columns, outputs).permute(2, 0, 3, 1, 4)


_LIBRARY = torch.library.Library("facesynth", "DEF")  # type: ignore[no-untyped-call]
"""Holds the convolution as an operator of its own, so that torch.compile passes it by."""
_LIBRARY.define("convolve(Tensor features, Tensor kernel, Tensor bias, Tensor? scales, Tensor? factors) -> Tensor")  # type: ignore[no-untyped-call]
_LIBRARY.impl("convolve", _convolve, "CPU")  # type: ignore[no-untyped-call]


@torch.library.register_fake("facesynth::convolve", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _shape(features: Tensor, kernel: Tensor, _bias: Tensor, _scales: Tensor | None, _factors: Tensor | None) -> Tensor:
    count, _, height, width = features.shape
    return features.new_empty(count, height, width, kernel.shape[2]).permute(0, 3, 1, 2)
