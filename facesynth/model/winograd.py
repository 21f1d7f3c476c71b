"""3 x 3 convolutions on the CPU with fewer multiplications: channels-last maps through Winograd's minimal filtering.

A map is cut into tiles that overlap. Tile and kernel are evaluated at a few points, as polynomials are; there, a convolution
is one product a point and pair of channels, so that all of it becomes matrix products; what the points say of the result is
then put together again. At stride 1, tiles of 4 x 4 pixels take 36 products where the sum over the kernel takes 144. At stride
2, the even and the odd pixels are convolved apart, and tiles of 2 x 2 take 25 for 36. The rounding error is about five times
that of the plain sum.

The map goes through in stripes that stay in the processor's cache: whatever is to happen to it before and after (a style's
scales, bias, noise, activation, the order of upsampled pixels) happens there.

References: Winograd, "Arithmetic Complexity of Computations", 1980, chapter V; Lavin and Gray, "Fast Algorithms for
Convolutional Neural Networks", CVPR 2016, sections 3 and 4 (tiles, matrix products); Barabasz et al., "Error Analysis and
Improving the Accuracy of Winograd Convolution for Deep Neural Networks", ACM TOMS 46(4), 2020 (the choice of points).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_TILES_AT_ONCE = 256
_SMALLEST_MAP = 32
_FEWEST = 64


class _Filtering(NamedTuple):
    """One-dimensional minimal filtering: ``join @ ((kernel @ taps) * (tile @ pixels))`` are the outputs of a tile."""

    kernel: Tensor
    """(points, 3)."""
    tile: Tensor
    """(points, pixels of a tile)."""
    join: Tensor
    """(outputs of a tile, points)."""
    step: int
    """Pixels from a tile to the next."""


def _toom_cook(outputs: int, taps: int, points: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Kernel, tile and join matrices of filtering with ``taps`` at finite points and at infinity, in double precision."""
    count = len(points) + 1
    kernel, tile, join = torch.zeros(count, taps), torch.zeros(count, count), torch.zeros(outputs, count)
    kernel, tile, join = kernel.double(), tile.double(), join.double()
    for index, point in enumerate(points):
        scale, polynomial = 1.0, torch.ones(1, dtype=torch.float64)
        for other in points:
            if other != point:
                scale *= point - other
                polynomial = _times_root(polynomial, other)
        kernel[index] = torch.tensor([point**power / scale for power in range(taps)])
        tile[index, :-1] = polynomial
        join[:, index] = torch.tensor([point**power for power in range(outputs)])
    polynomial = torch.ones(1, dtype=torch.float64)
    for point in points:
        polynomial = _times_root(polynomial, point)
    tile[-1], kernel[-1, -1], join[-1, -1] = polynomial, 1.0, 1.0
    return kernel, tile, join


def _times_root(polynomial: Tensor, root: float) -> Tensor:
    """The coefficients, constant first, of a polynomial times x - root."""
    return F.pad(polynomial, (1, 0)) - root * F.pad(polynomial, (0, 1))


@cache
def _filtering(stride: int) -> _Filtering:
    if stride == 1:
        kernel, tile, join = _toom_cook(4, 3, (0.0, 0.75, -0.75, 1.5, -1.5))
        return _Filtering(kernel.float(), tile.float(), join.float(), step=4)
    outer_kernel, outer_tile, outer_join = _toom_cook(
        2, 2, (0.0, 1.0)
    )  # the taps beside the centre see every other pixel
    kernel, tile, join = torch.zeros(5, 3), torch.zeros(5, 5), torch.zeros(2, 5)
    kernel[:3, ::2], tile[:3, ::2], join[:, :3] = outer_kernel.float(), outer_tile.float(), outer_join.float()
    kernel[3:, 1], tile[3:, 1::2], join[:, 3:] = 1.0, torch.eye(2), torch.eye(2)
    return _Filtering(kernel, tile, join, step=4)


def pays(in_channels: int, out_channels: int, map_size: int) -> bool:
    """Whether a map of that size, pixels, and those channels is convolved faster here than by the plain sum."""
    return map_size >= _SMALLEST_MAP and map_size % 4 == 0 and in_channels >= _FEWEST and out_channels >= _FEWEST


def transformed(weight: Tensor, *, stride: int = 1, blocks: int = 1, phases: bool = False) -> Tensor:
    """A kernel at the points where it is multiplied.

    Parameters
    ----------
    weight : Tensor
        (O, I, 3, 3), float32.
    stride : int
        1 or 2.
    blocks : int
        How many equal parts of the outputs are to be convolved one after another, which takes less memory.
    phases : bool
        The outputs are the four phases of a map of twice the size, those of a channel side by side; they are the blocks.

    Returns
    -------
    Tensor
        (blocks, points, I, O / blocks), for :func:`convolve`.
    """
    kernel = _filtering(stride).kernel
    outputs, inputs = weight.shape[0], weight.shape[1]
    parts = weight.reshape(-1, 4, inputs, 9).transpose(0, 1) if phases else weight.reshape(blocks, -1, inputs, 9)
    taps = parts.permute(0, 3, 2, 1).reshape(len(parts), 9, -1)
    return torch.matmul(torch.kron(kernel, kernel), taps).reshape(len(parts), -1, inputs, outputs // len(parts))


def convolve(
    features: Tensor,
    kernel: Tensor,
    bias: Tensor,
    *,
    stride: int = 1,
    phases: bool = False,
    scales: Tensor | None = None,
    factors: Tensor | None = None,
    noise: Tensor | None = None,
    slope: float = 1.0,
) -> Tensor:
    """A 3 x 3 convolution with padding 1, and what is to happen to its input and output.

    Parameters
    ----------
    features : Tensor
        (N, I, H, W), float32; H and W multiples of 4.
    kernel : Tensor
        (blocks, points, I, O), what :func:`transformed` made.
    bias : Tensor
        (blocks, O), or (1, O) for phases.
    stride : int
        1 or 2.
    phases : bool
        The four blocks are the phases of a map of twice the size.
    scales, factors : Tensor, optional
        (N, I) and (N, O): what channels are multiplied by before and after the convolution.
    noise : Tensor, optional
        Added to every channel; it broadcasts to (N, 1, height, width) of the result.
    slope : float
        What negative outputs are multiplied by at the end.

    Returns
    -------
    Tensor
        (blocks, N, O, H / stride, W / stride), or (1, N, O, 2 H, 2 W) for phases; channels last in memory.
    """
    stripes = _Stripes(features, kernel, stride=stride, phases=phases)
    count, out = features.shape[0], stripes.out
    if noise is not None:
        noise = noise.expand(count, 1, -1, -1)
    for sample in range(count):
        for row in range(0, stripes.rows, stripes.at_once):
            stripes.read(sample, row, None if scales is None else scales[sample])
            for block in range(len(kernel)):
                stripes.multiply(block, bias[0 if phases else block], None if factors is None else factors[sample])
            for made in stripes.written():
                if noise is not None:
                    lines = slice(row * stripes.lines, row * stripes.lines + made.shape[0])
                    made += noise[sample, 0, lines, :, None]
                if slope != 1.0:
                    F.leaky_relu_(made, slope)
    return out.permute(0, 1, 4, 2, 3)


class _Stripes:
    """The memory of one convolution: its result, and the stripe of tiles that is being worked on."""

    def __init__(self, features: Tensor, kernel: Tensor, *, stride: int, phases: bool) -> None:
        way = _filtering(stride)
        self.way, self.kernel, self.phases = way, kernel, phases
        self.source = features.permute(0, 2, 3, 1)
        count, height, width, self.inputs = self.source.shape
        self.rows, self.columns = height // 4, width // 4
        self.at_once = min(self.rows, max(1, _TILES_AT_ONCE // self.columns))
        n_blocks, channels = len(kernel), kernel.shape[3]
        enlarging = 2 if phases else 1
        self.lines = len(way.join) * enlarging
        """Lines of the result a row of tiles."""
        shape = (n_blocks // enlarging**2, count, self.rows * self.lines, self.columns * self.lines, channels)
        self.out = features.new_empty(shape)

        points, pixels = way.tile.shape
        n_tiles = self.at_once * self.columns
        self.padded = features.new_zeros(4 * (self.at_once - 1) + pixels, width + 2, self.inputs)
        self.tiles, self.half = (features.new_empty(points**2 * n_tiles * self.inputs) for _ in range(2))
        self.products = features.new_empty(points**2 * n_tiles * channels)
        self.joined = features.new_empty(len(way.join) * points * n_tiles * channels)

    def read(self, sample: int, row: int, scales: Tensor | None) -> None:
        """Cut the tiles of a stripe and evaluate them at the points, along both axes."""
        tile, padded, inputs = self.way.tile, self.padded, self.inputs
        points, pixels = tile.shape
        self.sample, self.row = sample, row
        self.n_rows = n_rows = min(self.at_once, self.rows - row)
        top = 4 * row - 1
        first, last = max(top, 0), min(top + len(padded), self.source.shape[1])
        inner = padded[first - top : last - top, 1:-1]
        if scales is None:
            inner.copy_(self.source[sample, first:last])
        else:
            torch.mul(self.source[sample, first:last], scales, out=inner)
        padded[: first - top].zero_()
        padded[last - top :].zero_()
        line = padded.shape[1] * inputs
        shape = (pixels, pixels, n_rows, self.columns, inputs)
        size = n_rows * self.columns * inputs
        cut = self.tiles[: pixels**2 * size].view(shape)
        cut.copy_(padded.as_strided(shape, (line, inputs, 4 * line, 4 * inputs, 1)))
        half = self.half[: points * pixels * size]
        torch.mm(tile, cut.view(pixels, -1), out=half.view(points, -1))
        whole = self.tiles[: points**2 * size].view(points, points, -1)
        torch.bmm(tile.expand(points, -1, -1), half.view(points, pixels, -1), out=whole)
        self.evaluated = whole.view(points**2, -1, inputs)

    def multiply(self, block: int, bias: Tensor, factors: Tensor | None) -> None:
        """Convolve the stripe with a block of the kernel and put the result in its place."""
        join, channels = self.way.join, self.kernel.shape[3]
        outputs, points = join.shape
        size = self.evaluated.shape[1] * channels
        product = self.products[: points**2 * size]
        torch.bmm(self.evaluated, self.kernel[block], out=product.view(points**2, -1, channels))
        half = self.joined[: outputs * points * size]
        torch.mm(join, product.view(points, -1), out=half.view(outputs, -1))
        whole = self.products[: outputs**2 * size].view(outputs, outputs, -1)
        torch.bmm(join.expand(outputs, -1, -1), half.view(outputs, points, -1), out=whole)
        made = whole.view(outputs, outputs, self.n_rows, self.columns, channels).permute(2, 0, 3, 1, 4)
        place = self._place(block)
        if factors is None:
            torch.add(made, bias, out=place)
        else:
            torch.addcmul(bias, made, factors, out=place)

    def written(self) -> Tensor:
        """The stripe of the result, (blocks, lines, width, O)."""
        first = self.row * self.lines
        return self.out[:, self.sample, first : first + self.n_rows * self.lines]

    def _place(self, block: int) -> Tensor:
        """Where a block of the stripe goes, (rows, outputs, columns, outputs, O)."""
        outputs, made = len(self.way.join), self.written()
        if not self.phases:
            return made[block].view(self.n_rows, outputs, self.columns, outputs, -1)
        apart = made[0].view(self.n_rows, outputs, 2, self.columns, outputs, 2, -1)
        return apart[:, :, block // 2, :, :, block % 2]
