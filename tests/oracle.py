"""A network computed without any of this project's arithmetic: PyTorch, in exact float64."""

from __future__ import annotations

from functools import reduce

import numpy as np
import torch
from torch.nn import functional

from max78k_sim.network import Layer, Network, Parameters

COMBINE = {"add": torch.add, "sub": torch.sub, "or": torch.bitwise_or, "xor": torch.bitwise_xor}


def layer_outputs(network: Network, sample: np.ndarray) -> list[np.ndarray]:
    """[channel, row, column] integers after every layer."""
    written = {-1: torch.from_numpy(sample.astype(np.float64))}
    for layer, parameters in zip(network.layers, network.parameters, strict=True):
        data = [written[source] for source in layer.inputs or (layer.index - 1,)]
        written[layer.index] = run_layer(layer, parameters, data, network.average_rounding)
    return [written[layer.index].numpy().astype(np.int64) for layer in network.layers]


def run_layer(
    layer: Layer, parameters: Parameters | None, data: list[torch.Tensor], rounding: bool
) -> torch.Tensor:
    """One layer; every value is an integer below 2**53, so float64 is exact."""
    pooled = combine_and_pool(layer, operands(layer, data), rounding)
    if parameters is None:
        return pooled
    total = convolve(layer, parameters, pooled)
    if layer.output_bits == 32:
        return total
    output = torch.floor(0.5 + total / (128 / 2.0**layer.output_shift)).clamp(-128, 127)
    if layer.activation == "relu":
        return output.clamp(min=0)
    return output.abs().clamp(max=127) if layer.activation == "abs" else output


def operands(layer: Layer, data: list[torch.Tensor]) -> list[torch.Tensor]:
    """Each operand [channel, row, column]: an input each, channels of the sample, or every nth
    pixel of one input; without an element-wise operation the inputs side by side."""
    if layer.operands == 1:
        joint = torch.cat(data)
        return [joint.reshape(layer.in_channels, *layer.in_size)]
    if len(data) > 1:
        return data
    (whole,) = data
    if not layer.index:
        return list(whole.split(layer.in_channels))
    rows, columns = layer.in_size
    pixels = whole.reshape(layer.in_channels, -1)[:, : rows * columns * layer.operands]
    each = pixels.reshape(layer.in_channels, rows, columns, layer.operands)
    return list(each.unbind(-1))


def combine_and_pool(layer: Layer, data: list[torch.Tensor], rounding: bool) -> torch.Tensor:
    """The element-wise operation, before or after pooling."""
    if layer.pool_first:
        data = [pool(layer, each, rounding) for each in data]
    combined = data[0]
    if layer.eltwise:
        whole = (each.to(torch.int64) for each in data)
        combined = reduce(COMBINE[layer.eltwise], whole).clamp(-128, 127).to(torch.float64)
    return combined if layer.pool_first else pool(layer, combined, rounding)


def convolve(layer: Layer, parameters: Parameters, data: torch.Tensor) -> torch.Tensor:
    """The main operation, [channel, row, column], with the bias in units of 128."""
    kernel = torch.from_numpy(parameters.kernel.astype(np.float64))
    bias = None
    if parameters.bias is not None:
        bias = torch.from_numpy(parameters.bias.astype(np.float64)) * 128
    if layer.op == "linear":
        return functional.linear(data.reshape(-1), kernel, bias)[:, None, None]
    if layer.op == "conv1d":
        padding, dilation = layer.padding, layer.dilation
        line = functional.conv1d(data[None, :, :, 0], kernel, bias, 1, padding, dilation)
        return line[0, :, :, None]
    if layer.op == "convtranspose2d":  # PyTorch's kernels are [in, out], and turned by 180 degrees
        turned = kernel.flip(2, 3).transpose(0, 1)
        return functional.conv_transpose2d(data[None], turned, bias, 2, layer.padding, 1)[0]
    return functional.conv2d(data[None], kernel, bias, padding=layer.padding)[0]


def pool(layer: Layer, data: torch.Tensor, rounding: bool) -> torch.Tensor:
    """Maximum; average, truncated or rounded half away from zero; or subsampled by the stride."""
    if layer.pool == (1, 1):
        return data[:, :: layer.stride, :: layer.stride]
    if not layer.pool_average:
        return functional.max_pool2d(data[None], layer.pool, layer.stride)[0]
    total = functional.avg_pool2d(data[None], layer.pool, layer.stride, divisor_override=1)[0]
    mean = total / (layer.pool[0] * layer.pool[1])
    return mean.sign() * (mean.abs() + 0.5).floor() if rounding else mean.trunc()
