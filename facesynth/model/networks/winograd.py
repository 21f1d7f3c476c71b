"""3 x 3 convolutions on the CPU with a quarter of the multiplications: Winograd's minimal filtering as matrix products.

A feature map is split into tiles of 6 x 6 pixels that overlap by two. Tiles and kernel are evaluated at 6 x 6 points, like
polynomials. At the points, a convolution is one product per point and pair of channels, so the whole is 36 matrix products.
From these, 4 x 4 output pixels are interpolated per tile, for which direct convolution takes 144 products. The rounding error
is about five times that of direct convolution, and the transformed kernel takes four times the memory.

Splitting and interpolation move much memory, so the method is faster only for many channels and medium-sized maps
(:func:`pays`).

References: Winograd, "Arithmetic Complexity of Computations", 1980, chapter V; Lavin and Gray, "Fast Algorithms for
Convolutional Neural Networks", CVPR 2016, sections 3 and 4 (tiles, matrix products); Barabasz et al., "Error Analysis and
Improving the Accuracy of Winograd Convolution for Deep Neural Networks", ACM TOMS 46(4), 2020 (the choice of points).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

_TILE, _OUTPUT = 6, 4
"""Side of a tile's input and output, pixels."""
_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
"""The points at which tiles are evaluated, besides infinity."""
_TILES_AT_ONCE = 256
"""Tiles processed at once; few enough for their products to stay in the processor's cache."""
_FEWEST_CHANNELS = 256
_SMALLEST_MAP, _LARGEST_MAP = 32, 128


def pays(in_channels: int, out_channels: int, size: int) -> bool:
    """Whether this method is faster than direct convolution for a map of this height and width in pixels, as measured."""
    channels = min(in_channels, out_channels)
    return channels >= _FEWEST_CHANNELS and _SMALLEST_MAP <= size <= _LARGEST_MAP and size % _OUTPUT == 0


@cache
def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """The transforms along one axis: of a kernel (6, 3), of an input tile (6, 6) and of the products to the output (4, 6)."""
    kernel, tile, join = (torch.zeros(rows, _TILE, dtype=torch.float64) for rows in (3, _TILE, _OUTPUT))
    for index, point in enumerate(_POINTS):
        others = [other for other in _POINTS if other != point]
        scale = torch.tensor([point - other for other in others]).prod()
        kernel[:, index] = torch.tensor([point**power for power in range(3)]) / scale
        tile[:-1, index] = _with_roots(others)
        join[:, index] = torch.tensor([point**power for power in range(_OUTPUT)])
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
    """A kernel evaluated at the points.

    Parameters
    ----------
    weight : Tensor
        (O, I, 3, 3), float32.

    Returns
    -------
    Tensor
        (36, I, O), float32, for :func:`convolve`.
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
        (N, I, H, W), float32; H and W multiples of 4. Fastest in channels-last memory format.
    kernel : Tensor
        (36, I, O), from :func:`transformed`.
    bias : Tensor
        (O,), added at the end.
    scales, factors : Tensor, optional
        (N, I) and (N, O): multiplied with the input and output channels.

    Returns
    -------
    Tensor
        (N, O, H, W), float32, in channels-last memory format.
    """
    out: Tensor = torch.ops.facesynth.convolve(features, kernel, bias, scales, factors)
    return out


def _convolve(features: Tensor, kernel: Tensor, bias: Tensor, scales: Tensor | None, factors: Tensor | None) -> Tensor:
    count, inputs, height, width = features.shape
    outputs = kernel.shape[2]
    rows, columns = height // _OUTPUT, width // _OUTPUT
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
            lines = padded[_OUTPUT * first : _OUTPUT * stop + 2]
            convolved = _output_transform(torch.bmm(_input_transform(lines), kernel), columns)
            target = out[sample, _OUTPUT * first : _OUTPUT * stop]
            target = target.view(stop - first, _OUTPUT, columns, _OUTPUT, outputs)
            if factors is None:
                torch.add(convolved, bias, out=target)
            else:
                torch.addcmul(bias, convolved, factors[sample], out=target)
    return out.permute(0, 3, 1, 2)


def _input_transform(lines: Tensor) -> Tensor:
    """Lines (4 R + 2, 4 C + 2, I) of a padded map as tiles evaluated at the points, (36, R C, I)."""
    tile = _matrices()[1]
    line, pixel, _ = lines.stride()
    rows, columns, inputs = lines.shape[0] // _OUTPUT, lines.shape[1] // _OUTPUT, lines.shape[2]
    shape = (_TILE, _TILE, rows, columns, inputs)
    tiles = lines.as_strided(shape, (line, pixel, _OUTPUT * line, _OUTPUT * pixel, 1), lines.storage_offset())
    half = tile @ tiles.reshape(_TILE, -1)
    whole = torch.bmm(tile.expand(_TILE, -1, -1), half.view(_TILE, _TILE, -1))
    return whole.view(_TILE**2, rows * columns, inputs)


def _output_transform(products: Tensor, columns: int) -> Tensor:
    """Products (36, R C, O) as output pixels, (R, 4, C, 4, O)."""
    join = _matrices()[2]
    outputs = products.shape[2]
    half = join @ products.view(_TILE, -1)
    whole = torch.bmm(join.expand(_OUTPUT, -1, -1), half.view(_OUTPUT, _TILE, -1))
    return whole.view(_OUTPUT, _OUTPUT, -1, columns, outputs).permute(2, 0, 3, 1, 4)


_LIBRARY = torch.library.Library("facesynth", "DEF")  # type: ignore[no-untyped-call]
"""Registers the convolution as a custom operator, which torch.compile does not trace."""
_LIBRARY.define("convolve(Tensor features, Tensor kernel, Tensor bias, Tensor? scales, Tensor? factors) -> Tensor")  # type: ignore[no-untyped-call]
_LIBRARY.impl("convolve", _convolve, "CPU")  # type: ignore[no-untyped-call]


@torch.library.register_fake("facesynth::convolve", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _shape(features: Tensor, kernel: Tensor, _bias: Tensor, _scales: Tensor | None, _factors: Tensor | None) -> Tensor:
    count, _, height, width = features.shape
    return features.new_empty(count, height, width, kernel.shape[2]).permute(0, 3, 1, 2)
