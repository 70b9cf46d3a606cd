"""A small network that torch trains on the chip's grid, and its layers as the chip's integers.

Real numbers are the chip's integers over 128, times the layer's power of two for weights:
activation a = q / 128 and weight w = q * 2**shift / 128, the bias in the weight's scale.  All of
these are exact in float32, so what the quantised phase of the training computes *is* what the
chip computes, to the bit.  Order in a layer, as on the chip: pool, convolution with bias, shift,
round half up, clip, ReLU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from max78k_sim.errors import InputError

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
except ImportError as error:
    raise InputError('pretraining needs PyTorch: pip install "max78k[train]"') from error

UNIT = 128  # integers in 1.0, for data, weights and (times 128 again) the accumulator
LOWEST, HIGHEST = -128, 127  # int8
SHIFTS = range(-15, 16)
LINEAR_PEAK = 64  # largest |weight| of the exported linear layer: room to learn on the chip
POOL_SIZE = 2  # pixels, and the stride


@dataclass(frozen=True)
class ConvolutionShape:
    """One 3x3 convolution with ReLU; its input channels are the layer before's outputs."""

    name: str
    out_channels: int
    pool: str | None  # "max" or "average", 2x2, before the convolution
    pad: int  # pixels on each side, after pooling


CONVOLUTIONS = (
    ConvolutionShape("conv1", 32, None, 1),
    ConvolutionShape("conv2", 48, "max", 2),
    ConvolutionShape("conv3", 64, "max", 1),
    ConvolutionShape("conv4", 16, "average", 1),
)
LINEAR_NAME = "fc"


@dataclass(frozen=True)
class IntegerLayer:
    """One layer as the chip holds it; a linear layer has two weight axes and a raw output."""

    name: str
    weight: np.ndarray  # int8 [out, in, 3, 3] or [out, feature]
    bias: np.ndarray  # int8 [out], in units of 128 accumulator steps
    shift: int  # total output shift; a linear layer's only says its scale
    pool: str | None = None
    pad: int = 0


class RoundHalfUp(torch.autograd.Function):
    """floor(x + 1/2); the gradient passes as if nothing had been rounded."""

    @staticmethod
    def forward(context, values: Tensor) -> Tensor:
        """The nearest integers; a half goes up."""
        return torch.floor(values + 0.5)

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        """The gradient, unchanged."""
        return gradient


class TruncateTowardZero(torch.autograd.Function):
    """trunc(x); the gradient passes as if nothing had been cut off."""

    @staticmethod
    def forward(context, values: Tensor) -> Tensor:
        """The integers next to the values on the side of 0."""
        return torch.trunc(values)

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        """The gradient, unchanged."""
        return gradient


def on_grid(values: Tensor, shift: int, lowest: int, highest: int) -> Tensor:
    """Real values moved to the nearest q * 2**shift / 128 with lowest <= q <= highest."""
    step = 2.0**shift / UNIT
    return RoundHalfUp.apply(values / step).clamp(lowest, highest) * step


def pool_real(data: Tensor, pool: str | None, exact: bool) -> Tensor:
    """2x2 pooling with stride 2; exact averages lie on the chip's grid."""
    if pool is None:
        return data
    if pool == "max":
        return functional.max_pool2d(data, POOL_SIZE)
    average = functional.avg_pool2d(data, POOL_SIZE)
    return TruncateTowardZero.apply(average * UNIT) / UNIT if exact else average


class Convolution(nn.Module):
    """Pool, convolve, normalise (only while in float), clip to the chip's range, ReLU."""

    def __init__(self, shape: ConvolutionShape, in_channels: int):
        super().__init__()
        self.shape = shape
        self.weight = nn.Parameter(torch.empty(shape.out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(shape.out_channels), requires_grad=False)
        self.norm: nn.BatchNorm2d | None = nn.BatchNorm2d(shape.out_channels)
        self.shift = 0  # chosen by quantise()
        nn.init.kaiming_normal_(self.weight)
        nn.init.constant_(self.norm.weight, 0.3)  # so that most outputs start inside [0, 1)

    def forward(self, data: Tensor) -> Tensor:
        """Real [sample, channel, row, column] to the same, in 0..127/128."""
        pooled = pool_real(data, self.shape.pool, exact=self.norm is None)
        if self.norm is not None:
            total = functional.conv2d(pooled, self.weight, padding=self.shape.pad)
            return functional.hardtanh(self.norm(total), 0, HIGHEST / UNIT)
        weight = on_grid(self.weight, self.shift, LOWEST, HIGHEST)
        bias = on_grid(self.bias, self.shift, LOWEST, HIGHEST)
        total = functional.conv2d(pooled, weight, bias, padding=self.shape.pad)
        return RoundHalfUp.apply(functional.hardtanh(total * UNIT, 0, HIGHEST)) / UNIT

    def quantise(self) -> None:
        """Fold the normalisation into weights and bias, and choose the shift; from here exact."""
        norm, self.norm = self.norm, None
        assert norm is not None and norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        self.weight.data = (self.weight * scale[:, None, None, None]).detach()
        self.bias.data = (norm.bias - norm.running_mean * scale).detach()
        self.bias.requires_grad_(True)
        self.shift = best_shift(self.weight, self.bias)

    def to_integers(self) -> IntegerLayer:
        """The layer as the chip holds it."""
        shape, shift = self.shape, self.shift
        assert self.norm is None, "quantise() first"
        weight, bias = integers(self.weight, shift, LOWEST, HIGHEST), integers(self.bias, shift)
        return IntegerLayer(shape.name, weight, bias, shift, shape.pool, shape.pad)


class Linear(nn.Module):
    """The last layer, its accumulator unrounded: real logits are accumulator * 2**shift / 2**14."""

    def __init__(self, feature_count: int, class_count: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(class_count, feature_count))
        self.bias = nn.Parameter(torch.zeros(class_count))
        self.shift: int | None = None
        nn.init.normal_(self.weight, std=1 / math.sqrt(feature_count))

    def forward(self, data: Tensor) -> Tensor:
        """Real [sample, channel, row, column] to logits [sample, class]."""
        if self.shift is None:
            return functional.linear(data.flatten(1), self.weight, self.bias)
        weight = on_grid(self.weight, self.shift, -LINEAR_PEAK, LINEAR_PEAK)
        bias = on_grid(self.bias, self.shift, -LINEAR_PEAK, LINEAR_PEAK)
        return functional.linear(data.flatten(1), weight, bias)

    def quantise(self) -> None:
        """Choose the smallest shift that leaves the weights and biases half of their range."""
        peak = max(float(self.weight.detach().abs().max()), float(self.bias.detach().abs().max()))
        self.shift = covering_shift(peak * UNIT / LINEAR_PEAK)

    def to_integers(self) -> IntegerLayer:
        """The layer as the chip holds it."""
        assert self.shift is not None, "quantise() first"
        limits = (self.shift, -LINEAR_PEAK, LINEAR_PEAK)
        return IntegerLayer(
            LINEAR_NAME, integers(self.weight, *limits), integers(self.bias, *limits), self.shift
        )


def integers(
    values: Tensor, shift: int, lowest: int = LOWEST, highest: int = HIGHEST
) -> np.ndarray:
    """The grid positions of real values: int8, of the same shape."""
    grid = on_grid(values.detach(), shift, lowest, highest) * (UNIT / 2.0**shift)
    return grid.numpy().astype(np.int8)


def covering_shift(peak: float) -> int:
    """The smallest legal shift whose 2**shift is at least ``peak``."""
    if not math.isfinite(peak):
        raise InputError("training diverged: the weights are not finite; use a lower rate")
    return min(max(math.ceil(math.log2(max(peak, 2.0**-15))), SHIFTS[0]), SHIFTS[-1])


def best_shift(weight: Tensor, bias: Tensor) -> int:
    """The shift with the least squared rounding and clipping error of the weights.

    Never one that clips the bias, which shares the weights' scale on the chip.
    """
    floor = covering_shift(float(bias.abs().max()))
    top = max(floor, covering_shift(float(weight.abs().max())))

    def loss(shift: int) -> float:
        return float(((on_grid(weight, shift, LOWEST, HIGHEST) - weight) ** 2).sum())

    return min(range(floor, top + 1), key=loss)


def build_network(
    image_shape: tuple[int, ...],
    class_count: int,
    shapes: tuple[ConvolutionShape, ...] = CONVOLUTIONS,
) -> nn.Sequential:
    """The float network for images [channel, row, column]."""
    channels, rows, columns = image_shape
    parts: list[nn.Module] = []
    for shape in shapes:
        parts.append(Convolution(shape, channels))
        divisor = POOL_SIZE if shape.pool else 1
        rows, columns = (size // divisor + 2 * shape.pad - 2 for size in (rows, columns))
        channels = shape.out_channels
        if min(rows, columns) < 1:
            raise InputError(
                f"images {image_shape} are too small: {shape.name} has no output pixel"
            )
    network = nn.Sequential(*parts, Linear(channels * rows * columns, class_count))
    # A quarter faster; the stubs of torch do not know the argument.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def quantise(network: nn.Sequential) -> None:
    """Move every layer of a float network to the chip's grid, in place."""
    with torch.no_grad():
        for layer in network:
            layer.quantise()  # type: ignore[operator]


def to_integers(network: nn.Sequential) -> tuple[IntegerLayer, ...]:
    """The chip's integers of a quantised network."""
    return tuple(layer.to_integers() for layer in network)  # type: ignore[operator]


def real_images(images: np.ndarray) -> Tensor:
    """int8 pixels as the real numbers the network takes, [-1, 1)."""
    return torch.from_numpy(images.astype(np.float32) / UNIT)
