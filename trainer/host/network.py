"""A network of the vendor's description that torch trains, and its layers as the chip's integers.

Real numbers are the chip's integers over 128, times the layer's power of two for weights:
activation a = q / 128 and weight w = q * 2**shift / 128, the bias in the weight's scale, whatever
the width of the weights.  All of these are exact in float32, sums too as long as their parts add
up to less than 2**24, so what the quantised phase of the training computes *is* what the chip
computes, to the bit.  Order in a layer, as on the chip: pool, combine, convolve with bias, shift,
round half up, clip, activate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from max78k_sim.errors import InputError
from max78k_sim.layer import DATA_BUFFER, NETWORK_INPUT, Layer
from max78k_sim.network import Draft

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional

    from .fused import LargestOfWindows, finished
except ImportError as error:
    raise InputError('pretraining needs PyTorch: pip install "max78k[train]"') from error

UNIT = 128  # integers in 1.0, for data, weights and (times 128 again) the accumulator
LOWEST, HIGHEST = -128, 127  # int8
SHIFTS = range(-15, 16)
ROOM = 2  # weights of a 32-bit output keep to this part of their range: they learn on the chip
NORM_START = 0.3  # so that most outputs start inside of [0, 1)
NARROW_LOGITS = 16.0  # an 8-bit output ends at 1.0; a soft-max needs more
COMBINE = {"add": torch.add, "sub": torch.sub}


@dataclass(frozen=True)
class IntegerLayer:
    """The weights of one layer as the chip holds them.

    ``weight`` is in PyTorch's shape: [out, in, row, column], [out, in, tap], [out, feature], or of
    a transposed convolution [in, out, row, column].
    """

    name: str
    weight: np.ndarray  # int8, of ``bits`` bits
    bias: np.ndarray  # int8 [out], in units of 128 accumulator steps
    shift: int  # total output shift; of a 32-bit output it only says the scale
    bits: int = 8

    @property
    def limits(self) -> tuple[int, int]:
        """The lowest and highest weight of so many bits."""
        return weight_range(self.bits)


def weight_range(bits: int) -> tuple[int, int]:
    """The lowest and highest signed integer of so many bits; 1 bit is -1 and 0."""
    return -(1 << bits - 1), (1 << bits - 1) - 1


# ---- arithmetic ---------------------------------------------------------------------------------


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


def pool_real(data: Tensor, layer: Layer, exact: bool) -> Tensor:
    """A layer's pooling of real [sample, channel, row, column]; exact averages lie on the grid."""
    step = layer.stride, 1 if layer.op == "conv1d" else layer.stride
    if layer.pool == (1, 1):
        return data[:, :, :: step[0], :: step[1]] if layer.stride > 1 else data
    if not layer.pool_average:
        if step == layer.pool:
            return LargestOfWindows.apply(data, step)
        return functional.max_pool2d(data, layer.pool, step)
    if not exact:
        return functional.avg_pool2d(data, layer.pool, step)
    total = functional.avg_pool2d(data, layer.pool, step, divisor_override=1) * UNIT
    return TruncateTowardZero.apply(total / (layer.pool[0] * layer.pool[1])) / UNIT


def combine(data: list[Tensor], layer: Layer) -> Tensor:
    """The element-wise operation; its result saturates, as an output does."""
    if layer.eltwise is None:
        return data[0]
    return functional.hardtanh(reduce(COMBINE[layer.eltwise], data), -1, HIGHEST / UNIT)


def operands(data: list[Tensor], layer: Layer) -> list[Tensor]:
    """What each operand reads: an input each, channels of the sample, or every nth pixel of one.

    Without an element-wise operation the inputs lie side by side.
    """
    size = layer.in_channels, *layer.in_size
    if layer.operands == 1:
        whole = torch.cat(data, 1) if len(data) > 1 else data[0]
        return [whole if whole.shape[1:] == size else whole.reshape(-1, *size)]
    if len(data) > 1:
        return data
    if not layer.index:
        return list(data[0].split(layer.in_channels, 1))
    pixels = data[0].flatten(2)[:, :, : layer.in_size[0] * layer.in_size[1] * layer.operands]
    return list(pixels.reshape(-1, *size, layer.operands).unbind(-1))


def convolve(data: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer) -> Tensor:
    """The main operation of real [sample, channel, row, column]."""
    if weight.ndim == 2:
        return functional.linear(data.flatten(1), weight, bias)[:, :, None, None]
    if layer.op == "convtranspose2d":
        return functional.conv_transpose2d(data, weight, bias, 2, layer.padding, 1)
    if layer.op == "conv1d":  # along columns, which is twice as fast as along rows
        around, apart = (0, layer.padding), (1, layer.dilation)
        row = functional.conv2d(turned(data), weight[:, :, None], bias, 1, around, apart)
        return turned(row)
    return functional.conv2d(data, weight, bias, padding=layer.padding)


def turned(data: Tensor) -> Tensor:
    """A series [sample, channel, length, 1] with its length along columns, or the way back; not by
    ``transpose``, which leaves strides that torch takes for another order, and copies."""
    count, channels, rows, columns = data.shape
    pixels = data.permute(0, 2, 3, 1).reshape(count, columns, rows, channels)
    return pixels.permute(0, 3, 1, 2)


# ---- layers -------------------------------------------------------------------------------------


class ChipLayer(nn.Module):
    """One layer of a description; normalised while in float, on the chip's grid from then on."""

    def __init__(self, layer: Layer, given_shift: int | None = None, quantile: float | None = None):
        super().__init__()
        self.layer, self.given_shift, self.quantile = layer, given_shift, quantile
        self.wide = layer.output_bits == 32
        self.exact = False
        self.shift = 0  # chosen by quantise()
        self.norm: nn.BatchNorm2d | None = None
        if not layer.has_kernels:
            return
        shape = layer.kernel_tensor_shape
        self.out_axis = 1 if layer.op == "convtranspose2d" else 0
        shape = (shape[1], shape[0], *shape[2:]) if self.out_axis else shape
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(layer.out_channels), requires_grad=self.wide)
        taps = math.prod(layer.kernel_shape)
        spread = (1 if self.wide else 2) / (layer.features * taps)  # variance, as He has it
        nn.init.normal_(self.weight, std=math.sqrt(spread))
        if not self.wide:  # the scale of 32-bit outputs is free
            self.norm = nn.BatchNorm2d(layer.out_channels)
            nn.init.constant_(self.norm.weight, NORM_START)

    def read(self, data: list[Tensor]) -> Tensor:
        """Real [sample, channel, row, column] of every source, pooled and combined."""
        layer = self.layer
        parts = operands(data, layer)
        if layer.pool_first:
            return combine([pool_real(part, layer, self.exact) for part in parts], layer)
        return pool_real(combine(parts, layer), layer, self.exact)

    def sums(self, read: Tensor) -> Tensor:
        """What ``finish`` gets: sums of products and bias; not yet normalised while it trains."""
        if self.exact:
            weight = on_grid(self.weight, self.shift, *self.limits)
            bias = on_grid(self.bias, self.shift, *self.bias_limits)
            return convolve(read, weight, bias, self.layer)
        total = convolve(read, self.weight, self.bias if self.norm is None else None, self.layer)
        return total if self.norm is None or self.training else self.norm(total)

    def forward(self, read: Tensor) -> Tensor:
        """Real [sample, channel, row, column], as the chip gives it."""
        return self.finish(self.sums(read)) if self.layer.has_kernels else read

    def finish(self, total: Tensor) -> Tensor:
        """Round (on the grid), clip and activate; a 32-bit output stays what it is."""
        if self.wide:
            return total
        if self.training:
            low = 0.0 if self.layer.activation == "relu" else LOWEST / UNIT
            turned = self.layer.activation == "abs"
            return finished(total, self.norm, (low, HIGHEST / UNIT, UNIT * self.exact, turned))
        unit = UNIT if self.exact else 1
        low = 0.0 if self.layer.activation == "relu" else LOWEST / UNIT
        values = functional.hardtanh(total * unit if self.exact else total,
                                     low * unit, HIGHEST / UNIT * unit)  # fmt: skip
        if self.exact:
            values = RoundHalfUp.apply(values) / UNIT
        return values.abs().clamp(max=HIGHEST / UNIT) if self.layer.activation == "abs" else values

    @property
    def limits(self) -> tuple[int, int]:
        """The lowest and highest weight; of a 32-bit output with room on both sides."""
        lowest, highest = weight_range(self.layer.weight_bits)
        if self.wide and self.layer.weight_bits == 8:
            return lowest // ROOM, -(lowest // ROOM)
        return lowest, highest

    @property
    def bias_limits(self) -> tuple[int, int]:
        """The lowest and highest bias, int8; of a 32-bit output with room on both sides."""
        return (LOWEST // ROOM, -LOWEST // ROOM) if self.wide else (LOWEST, HIGHEST)

    def quantise(self) -> None:
        """Fold the normalisation into weights and bias, and choose the shift; from here exact."""
        self.exact = True
        if not self.layer.has_kernels:
            return
        norm, self.norm = self.norm, None
        if norm is not None:
            assert norm.running_mean is not None and norm.running_var is not None
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            along = [1] * self.weight.ndim
            along[self.out_axis] = -1
            self.weight.data = (self.weight * scale.view(along)).detach()
            self.bias.data = (norm.bias - norm.running_mean * scale).detach()
            self.bias.requires_grad_(True)
        self.shift = self.choose_shift() if self.given_shift is None else self.given_shift
        if self.one_bit:  # -1 and 0 for weights below and above 0
            self.weight.data -= 2.0**self.shift / UNIT / 2

    @property
    def one_bit(self) -> bool:
        """Whether weights are -1 and 0, so that half a step too little is added for each."""
        return self.layer.weight_bits == 1

    def move_mean(self, read: Tensor, mean: Tensor) -> None:
        """Add to the bias what makes ``mean`` [output] the mean of the sums."""
        self.bias.data += mean - means(self.sums(read))

    def choose_shift(self) -> int:
        """The shift for the weights and biases as they are."""
        weight, bias = self.weight.detach(), self.bias.detach()
        floor = covering_shift(float(bias.abs().max()) * UNIT / -self.bias_limits[0])
        if self.wide and self.layer.weight_bits == 8:  # all of them, and the rest is room
            return max(floor, covering_shift(float(weight.abs().max()) * UNIT / self.limits[1]))
        if self.quantile is not None:
            peak = float(np.quantile(weight.abs().numpy(), self.quantile))
            return max(floor, covering_shift(peak * UNIT / -self.limits[0]))
        if self.one_bit:  # half a step is the mean magnitude, to the nearest power of two
            step = 2 * float(weight.abs().mean()) * UNIT
            return max(floor, covering_shift(step / math.sqrt(2)))
        return best_shift(weight, floor, *self.limits)

    def to_integers(self) -> IntegerLayer:
        """The layer as the chip holds it."""
        assert self.exact, "quantise() first"
        weight = integers(self.weight, self.shift, *self.limits)
        bias = integers(self.bias, self.shift, *self.bias_limits)
        return IntegerLayer(self.layer.name, weight, bias, self.shift, self.layer.weight_bits)


class ChipNetwork(nn.Module):
    """The layers of a description in order, each reading what its sources wrote."""

    def __init__(self, parts: list[ChipLayer]):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def outputs(
        self, images: Tensor, see: Callable[[ChipLayer, Tensor], None] | None = None
    ) -> list[Tensor]:
        """What every layer writes: real [sample, channel, row, column].

        ``see(layer, what it reads)`` comes before it is computed.
        """
        written = {NETWORK_INPUT: images}
        for part in self.layers:
            read = part.read([written[each] for each in part.layer.sources])
            if see is not None:
                see(part, read)
            written[part.layer.index] = part(read)
        return [written[part.layer.index] for part in self.layers]

    def forward(self, images: Tensor) -> Tensor:
        """Logits [sample, class] of real images; channels last, which is a quarter faster."""
        images = images.contiguous(memory_format=torch.channels_last)
        last = self.outputs(images)[-1].flatten(1)
        return last if self.layers[-1].wide else last * NARROW_LOGITS

    @property
    def layers(self) -> list[ChipLayer]:
        """The layers, as what they are."""
        return list(self.parts)  # type: ignore[arg-type]

    @property
    def weighted(self) -> list[ChipLayer]:
        """Those that have weights."""
        return [part for part in self.layers if part.layer.has_kernels]

    def quantise(self, images: Tensor | None = None) -> None:
        """Move every layer to the chip's grid, in place.

        Weights of one bit, -1 and 0, make every sum smaller by half of what the layer reads; with
        real ``images`` the biases are raised by the mean of that.
        """
        before: dict[int, Tensor] = {}

        def keep(part: ChipLayer, read: Tensor) -> None:
            if part.layer.has_kernels and part.one_bit:
                before[part.layer.index] = means(part.sums(read))

        def restore(part: ChipLayer, read: Tensor) -> None:
            if part.layer.index in before:
                part.move_mean(read, before[part.layer.index])

        self.eval()
        with torch.no_grad():
            if images is not None and any(part.one_bit for part in self.weighted):
                self.outputs(images, keep)
            for part in self.layers:
                part.quantise()
            if images is not None and before:
                self.outputs(images, restore)

    def to_integers(self) -> tuple[IntegerLayer, ...]:
        """The chip's integers of the layers that have weights."""
        return tuple(part.to_integers() for part in self.weighted)


def integers(values: Tensor, shift: int, lowest: int, highest: int) -> np.ndarray:
    """The grid positions of real values: int8, of the same shape."""
    grid = on_grid(values.detach(), shift, lowest, highest) * (UNIT / 2.0**shift)
    return grid.numpy().astype(np.int8)


def means(sums: Tensor) -> Tensor:
    """Of each output [output], over samples and pixels."""
    return sums.mean((0, 2, 3))


def covering_shift(peak: float) -> int:
    """The smallest legal shift whose 2**shift is at least ``peak``."""
    if not math.isfinite(peak):
        raise InputError("training diverged: the weights are not finite; use a lower rate")
    return min(max(math.ceil(math.log2(max(peak, 2.0**-15))), SHIFTS[0]), SHIFTS[-1])


def best_shift(weight: Tensor, floor: int, lowest: int, highest: int) -> int:
    """The shift with the least squared rounding and clipping error of the weights.

    None below ``floor``, which is what the bias needs: it shares the weights' scale on the chip.
    """
    top = max(floor, covering_shift(float(weight.abs().max()) * UNIT / -lowest))

    def loss(shift: int) -> float:
        return float(((on_grid(weight, shift, lowest, highest) - weight) ** 2).sum())

    return min(range(floor, top + 1), key=loss)


def build_network(
    draft: Draft, shifts: dict[str, int] | None = None, quantiles: dict[str, float] | None = None
) -> ChipNetwork:
    """The float network of a description; ``shifts``: total ones that are given, by layer.

    ``quantiles``: shares of weights that a layer's shift leaves unclipped.  InputError for what
    cannot be trained.
    """
    shifts, quantiles = shifts or {}, quantiles or {}
    for layer in draft.layers:
        if layer.eltwise not in (None, *COMBINE):
            raise InputError(f"{layer.name}: '{layer.eltwise}' has no gradient; use add or sub")
        if DATA_BUFFER in layer.sources or layer.buffer_shift or layer.buffer_insert:
            raise InputError(f"{layer.name}: a data_buffer remembers; samples are trained alone")
    last = draft.layers[-1]
    if last.out_size != (1, 1):
        raise InputError(
            f"{last.name}: its output is {last.out_size[0]}x{last.out_size[1]} pixels; classes "
            "are learnt of 1x1: end with op: linear, flatten: true"
        )
    parts = [
        ChipLayer(layer, shifts.get(layer.name), quantiles.get(layer.name))
        for layer in draft.layers
    ]
    network = ChipNetwork(parts)  # the stubs of torch do not know the argument
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def real_images(images: np.ndarray) -> Tensor:
    """int8 data as the real numbers the network takes, [-1, 1)."""
    return torch.from_numpy(images).float().div_(UNIT)
