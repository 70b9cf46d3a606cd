"""The way back through a network: from the error of its output to the gradients of its weights.

Activations come as whole maps (from data memory, or from a Batch), kernels as they lie in memory;
everything between is integers, written down in docs/training-arithmetic.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from max78k_sim.arithmetic import FRACTION_BITS
from max78k_sim.errors import InputError, NotEmulated
from max78k_sim.network import DATA_BUFFER, Layer, Network

from . import gradients, operands
from .blocks import SUM_BITS, Block, bit_lengths, merged

Maps = Mapping[int, np.ndarray]  # by layer (or NETWORK_INPUT): [sample, row, column, channel]


def channels_last(data: np.ndarray) -> np.ndarray:
    """[sample, channel, row, column] as [sample, row, column, channel]."""
    return np.ascontiguousarray(data.transpose(0, 2, 3, 1))


@dataclass(frozen=True)
class Scale:
    """How a layer's gradients count: in units of 2**exponent, each sample's at most ``limit``."""

    exponent: int
    limit: int


@dataclass(frozen=True)
class Gradient:
    """Of one layer, the samples of a batch added: int32, in the shape of kernel and bias."""

    kernel: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Errors:
    """What the backward pass of one layer has in its hands.

    ``sums``: the error of its accumulators, int16; ``data``: int8, what was convolved.
    """

    sums: Block
    data: np.ndarray


class Backward:
    """The backward pass of a network down to the first of some trained layers."""

    def __init__(self, network: Network, trained: tuple[str, ...]):
        if not trained:
            raise InputError("no layer is trained; name at least one that has kernels")
        self.network = network
        self.trained = tuple(sorted({network.layer(name).index for name in trained}))
        for index in self.trained:
            gradients.correlation_of(network.layers[index])
        self.involved = involved(network, self.trained)
        self._involved = frozenset(self.involved)
        for index in self.involved:
            if DATA_BUFFER in network.layers[index].sources:
                raise NotEmulated(
                    f"training through {network.layers[index].name}, which reads the rolling buffer"
                )

    @property
    def needed(self) -> tuple[int, ...]:
        """Layers (and NETWORK_INPUT) whose outputs are read: of those on the way, and sources."""
        reads = {source for index in self.involved for source in self.network.layers[index].sources}
        return tuple(sorted(reads | set(self.involved)))

    @property
    def latents(self) -> tuple[int, ...]:
        """Those of ``needed`` that training does not change."""
        return tuple(index for index in self.needed if index not in self._involved)

    def gradients(
        self, error: Block, maps: Maps, weights: Mapping[int, tuple], scales: Mapping[int, Scale]
    ) -> dict[int, Gradient]:
        """Gradients of the trained layers, by index.

        ``error``: of the last layer's output; ``maps``: of ``needed``; ``weights``: (kernel, bias
        or None) by index, of every layer on the way that has kernels.
        """
        found = {}
        for index, errors in self.errors(error, maps, weights):
            if index in self.trained:
                layer, scale = self.network.layers[index], scales[index]
                found[index] = gradient_of(layer, errors, scale)
        return found

    def largest(self, error: Block, maps: Maps, weights: Mapping[int, tuple]) -> dict[int, int]:
        """For each trained layer the least e with all gradients of all samples below 2**e."""
        found = {}
        for index, errors in self.errors(error, maps, weights):
            if index in self.trained:
                found[index] = largest_of(self.network.layers[index], errors)
        return found

    def errors(self, error: Block, maps: Maps, weights: Mapping[int, tuple]):
        """(index, Errors) of every layer with kernels on the way, from the last to the first."""
        network = self.network
        parts: dict[int, list[Block]] = {network.layers[-1].index: [error]}
        first = min(self.trained)
        for index in reversed(self.involved):
            layer, kernel = network.layers[index], None
            read = layer_operands(layer, [maps[source] for source in layer.sources])
            out = merged(parts.pop(index))
            if layer.has_kernels:
                data = operands.reduced(read, layer, network.average_rounding)
                kernel, bias = weights[index]
                sums = None
                if layer.activation == "abs":
                    sums = gradients.accumulators(layer, data, kernel, bias)
                found = Errors(gradients.error_of_sums(layer, out, maps[index], sums), data)
                yield index, found
                if index == first:
                    return
                out = gradients.error_of_data(layer, found.sums, kernel, data.shape)
            if not self._involved.intersection(layer.sources):
                continue
            back = operands.error_of_operands(out, read, layer, network.average_rounding)
            for source, part in sources_of(layer, back, maps):
                if source in self._involved:
                    parts.setdefault(source, []).append(part)


def involved(network: Network, trained: tuple[int, ...]) -> tuple[int, ...]:
    """Layers on the way from the loss to the trained ones: these, and what their outputs reach."""
    reached = set(trained)
    for layer in network.layers:
        if reached.intersection(layer.sources):
            reached.add(layer.index)
    last = network.layers[-1].index
    if last not in reached:
        names = ", ".join(network.layers[index].name for index in trained)
        raise InputError(f"the network's output does not depend on {names}")
    leading = {last}  # layers that the output depends on
    for layer in reversed(network.layers):
        if layer.index in leading:
            leading.update(layer.sources)
    idle = [network.layers[index].name for index in trained if index not in leading]
    if idle:
        raise InputError(f"the network's output does not depend on {', '.join(idle)}")
    return tuple(sorted(reached & leading))


def layer_operands(layer: Layer, data: list[np.ndarray]) -> list[np.ndarray]:
    """Each operand of a layer, int8 [s, row, column, channel], of the maps that it reads.

    An input each; the channels of the sample; every nth pixel of one input; without an
    element-wise operation the inputs side by side.
    """
    if layer.operands == 1:
        joint = data[0] if len(data) == 1 else np.concatenate(data, axis=3)
        return [as_shape(joint, (*layer.in_size, layer.in_channels))]
    if len(data) > 1:
        return data
    if layer.index == 0:
        return list(np.split(data[0], layer.operands, axis=3))
    whole = data[0].reshape(len(data[0]), -1, layer.in_channels)
    used = whole[:, : layer.in_size[0] * layer.in_size[1] * layer.operands]
    each = used.reshape(len(used), *layer.in_size, layer.operands, layer.in_channels)
    return [np.ascontiguousarray(each[:, :, :, n]) for n in range(layer.operands)]


def as_shape(data: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """A map with other rows and columns, read channel by channel as the vendor counts them."""
    if data.shape[1:] == shape:
        return data
    rows, columns, channels = shape
    flat = data.transpose(0, 3, 1, 2).reshape(len(data), channels, rows, columns)
    return np.ascontiguousarray(flat.transpose(0, 2, 3, 1))


def sources_of(layer: Layer, parts: list[Block], maps: Maps):
    """(source, error of its output) of a layer's operands: the inverse of ``layer_operands``."""
    shapes = [maps[source].shape[1:] for source in layer.sources]
    if len(parts) == len(layer.sources) > 1:
        yield from zip(layer.sources, parts, strict=True)
        return
    if layer.operands > 1:  # every nth pixel of one input
        stacked = np.stack([part.values for part in parts], axis=3)
        whole = np.zeros((len(stacked), int(np.prod(shapes[0]))), stacked.dtype)
        flat = stacked.reshape(len(stacked), -1)
        whole[:, : flat.shape[1]] = flat
        yield layer.sources[0], Block(whole, parts[0].exponent).reshaped(*shapes[0])
        return
    joint = *shapes[0][:2], sum(shape[2] for shape in shapes)
    (part,) = parts
    values, first = as_shape(part.values, joint), 0
    for source, shape in zip(layer.sources, shapes, strict=True):
        last = first + shape[2]
        yield source, Block(values[..., first:last], part.exponent)
        first = last


def gradient_of(layer: Layer, errors: Errors, scale: Scale) -> Gradient:
    """A layer's gradients in its scale."""
    shifts = scale.exponent + FRACTION_BITS - errors.sums.exponent
    shifts = np.clip(shifts, -SUM_BITS, SUM_BITS)  # beyond, nothing is left
    kernel = gradients.kernel_gradient(layer, errors.sums, errors.data, shifts, scale.limit)
    bias = gradients.bias_gradient(errors.sums, shifts, scale.limit)
    return Gradient(kernel, bias)


def largest_of(layer: Layer, errors: Errors) -> int:
    """The least e with all gradients of all samples of a layer below 2**e."""
    tops = []
    for n in range(len(errors.data)):
        one = Block(errors.sums.values[n : n + 1], errors.sums.exponent[n : n + 1])
        exact = np.zeros(1, np.int64), (1 << 31) - 1
        kernel = gradients.kernel_gradient(layer, one, errors.data[n : n + 1], *exact)
        bias = gradients.bias_gradient(one, *exact)
        bits = max(int(bit_lengths(part[None])[0]) for part in (kernel, bias))
        tops.append(int(one.exponent[0]) - FRACTION_BITS + bits)
    return max(tops)
