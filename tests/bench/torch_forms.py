"""A network in PyTorch: in float32, and with the chip's arithmetic written out.

Written out: convolve integers that are held as float32 (bias in units of 128), times 2**shift/128,
plus 1/2, floor, clip, ReLU; pooling by maximum, or by average and truncated.  Each is one operation
of PyTorch with a result of its own, as in the vendor's models; "in place" is the same with the
results in one place, and clip and ReLU in one operation: the best without a compiler.  Both are
exact while no sum can reach 2**24, which is checked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from max78k_sim.arithmetic import ACTIVATION_MAX, ACTIVATION_MIN, BIAS_SHIFT, FRACTION_BITS
from max78k_sim.network import Layer, Network, Parameters

FLOAT_INTEGERS = 1 << 24  # float32 holds every integer up to here
KINDS = ("float32", "written out", "in place")
ACTIVATIONS = (None, "relu")


@dataclass(frozen=True)
class Form:
    """How PyTorch computes a network: one of KINDS, and the order of its tensors in memory."""

    kind: str
    channels_last: bool


FORMS = tuple(Form(kind, last) for kind in KINDS for last in (False, True))


@dataclass(frozen=True)
class Step:
    """A layer with its tensors; ``last_use``: index of the last layer that reads its output."""

    layer: Layer
    weight: torch.Tensor | None
    bias: torch.Tensor | None
    last_use: int


class TorchNetwork:
    """A network as PyTorch computes it; integers come and go as float32.

    1-D networks are [sample, channel, row] with conv1d, or with the channels last 2-D ones of one
    column.  Raises ValueError for what the benchmark's networks have not: element-wise operations,
    rounded averages, strides without pooling, and sums that float32 cannot hold.
    """

    def __init__(self, network: Network, form: Form):
        self.form = form
        self.flat = not form.channels_last and network.layers[0].op == "conv1d"
        check(network)
        self.steps = [
            self._step(network, layer, parameters)
            for layer, parameters in zip(network.layers, network.parameters, strict=True)
        ]

    def _step(self, network: Network, layer: Layer, parameters: Parameters | None) -> Step:
        readers = (other.index for other in network.layers if layer.index in other.sources)
        last_use = max(readers, default=len(network.layers))
        if parameters is None:
            return Step(layer, None, None, last_use)
        scale = scale_of(layer) if self.form.kind == "float32" else 1.0  # real numbers about 1
        weight = torch.from_numpy(parameters.kernel.astype(np.float32)) * scale
        if layer.op == "convtranspose2d":  # PyTorch's kernels are [in, out], turned by 180 degrees
            weight = weight.flip(2, 3).transpose(0, 1)
        if layer.op == "conv1d" and not self.flat:
            weight = weight[..., None]
        bias = None
        if parameters.bias is not None:
            units = torch.from_numpy(parameters.bias.astype(np.float32))
            bias = units * (scale * (1 << BIAS_SHIFT))
        return Step(layer, self._laid_out(weight), bias, last_use)

    def _laid_out(self, data: torch.Tensor) -> torch.Tensor:
        """In the form's order in memory."""
        last = data.ndim == 4 and self.form.channels_last
        return data.contiguous(
            memory_format=torch.channels_last if last else torch.contiguous_format
        )

    def prepare(self, samples: np.ndarray) -> torch.Tensor:
        """int8 [sample, channel, row, column] as ``run`` takes them; never timed."""
        data = torch.from_numpy(samples.astype(np.float32))
        return self._laid_out(data[..., 0] if self.flat else data)

    @torch.inference_mode()
    def run(self, data: torch.Tensor) -> torch.Tensor:
        """``compute`` without gradients."""
        return self.compute(data)

    def compute(self, data: torch.Tensor) -> torch.Tensor:
        """Every sample through every layer; outputs are forgotten after their last use."""
        held = {-1: data}
        for step in self.steps:
            sources = [held[source] for source in step.layer.sources]
            joint = sources[0] if len(sources) == 1 else torch.cat(sources, 1)
            held[step.layer.index] = self._layer(step, joint)
            del sources, joint
            for source in step.layer.sources:
                if source < 0 or self.steps[source].last_use == step.layer.index:
                    del held[source]
        return held[self.steps[-1].layer.index]

    def _layer(self, step: Step, data: torch.Tensor) -> torch.Tensor:
        """Pool, convolve, and bring back to eight bits."""
        layer, padding = step.layer, step.layer.padding
        data = self._pool(layer, data)
        if step.weight is None:
            return data
        if layer.op == "linear":
            total = functional.linear(data.flatten(1), step.weight, step.bias)
        elif layer.op == "convtranspose2d":
            total = functional.conv_transpose2d(data, step.weight, step.bias, 2, padding, 1)
        elif self.flat:
            total = functional.conv1d(data, step.weight, step.bias, 1, padding)
        else:
            both = (padding, 0) if layer.op == "conv1d" else padding
            total = functional.conv2d(data, step.weight, step.bias, 1, both)
        return FINISH[self.form.kind](layer, total)

    def _pool(self, layer: Layer, data: torch.Tensor) -> torch.Tensor:
        """Maximum, or average; truncated where the arithmetic is the chip's."""
        if layer.pool == (1, 1):
            return data
        stride = (layer.stride, 1 if layer.op == "conv1d" else layer.stride)
        if self.flat:
            average, maximum = functional.avg_pool1d, functional.max_pool1d
        else:
            average, maximum = functional.avg_pool2d, functional.max_pool2d
        dimensions = slice(0, 1 if self.flat else 2)
        if not layer.pool_average:
            return maximum(data, layer.pool[dimensions], stride[dimensions])
        mean = average(data, layer.pool[dimensions], stride[dimensions])
        if self.form.kind == "float32":
            return mean
        return mean.trunc_() if self.form.kind == "in place" else mean.trunc()


def scale_of(layer: Layer) -> float:
    """What an accumulator is multiplied by."""
    return 2.0 ** (layer.output_shift - FRACTION_BITS)


def finish_real(layer: Layer, total: torch.Tensor) -> torch.Tensor:
    """float32: the ReLU alone."""
    return total.relu_() if layer.activation else total


def finish_written_out(layer: Layer, total: torch.Tensor) -> torch.Tensor:
    """An operation at a time."""
    if layer.output_bits == 32:
        return total
    output = total.mul(scale_of(layer)).add(0.5).floor().clamp(ACTIVATION_MIN, ACTIVATION_MAX)
    return output.relu() if layer.activation else output


def finish_in_place(layer: Layer, total: torch.Tensor) -> torch.Tensor:
    """The same values in the accumulator's own place."""
    if layer.output_bits == 32:
        return total
    least = 0 if layer.activation else ACTIVATION_MIN
    return total.mul_(scale_of(layer)).add_(0.5).floor_().clamp_(least, ACTIVATION_MAX)


FINISH = {"float32": finish_real, "written out": finish_written_out, "in place": finish_in_place}


def check(network: Network) -> None:
    """ValueError where PyTorch's form would not be the chip's network, exactly."""
    for layer, parameters in zip(network.layers, network.parameters, strict=True):
        strided = layer.pool == (1, 1) and layer.stride > 1
        if layer.eltwise or strided or layer.dilation > 1 or layer.activation not in ACTIVATIONS:
            raise ValueError(f"{layer.name}: no form in PyTorch is written for this layer")
        if parameters is not None and largest_sum(parameters) >= FLOAT_INTEGERS:
            raise ValueError(f"{layer.name}: sums can pass 2**24, where float32 is not exact")
    if network.average_rounding:
        raise ValueError(f"{network.name}: no form in PyTorch is written for rounded averages")


def largest_sum(parameters: Parameters) -> int:
    """The largest sum that any data can lead to, and half a unit of rounding."""
    kernel = np.abs(parameters.kernel.astype(np.int64)).reshape(len(parameters.kernel), -1)
    bias = np.zeros(len(kernel), np.int64) if parameters.bias is None else parameters.bias
    weights = kernel.sum(1) * -ACTIVATION_MIN
    return int((weights + (np.abs(bias.astype(np.int64)) << BIAS_SHIFT) + 64).max())
