"""A network as PyTorch sees it, in float64: real values that gradients pass through.

Forward values are the chip's (given as maps), so that only the way back is PyTorch's: rounding is
passed straight through, and nothing passes where an output is at the end of its range.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from max78k_sim.network import Layer, Network

UNIT = 128


class Through(torch.autograd.Function):
    """A given value in the place of a real one; the gradient passes times a mask."""

    @staticmethod
    def forward(context, real, value, mask):
        context.save_for_backward(mask)
        return value

    @staticmethod
    def backward(context, gradient):
        (mask,) = context.saved_tensors
        return gradient * mask, None, None


def inside(integers: torch.Tensor, lowest: int) -> torch.Tensor:
    return ((integers > lowest) & (integers < 127)).double()


def pool(layer: Layer, data: torch.Tensor, rounding: bool) -> torch.Tensor:
    stride = layer.stride, 1 if layer.op == "conv1d" else layer.stride
    if layer.pool == (1, 1):
        return data[:, :, :: stride[0], :: stride[1]]
    if not layer.pool_average:
        return functional.max_pool2d(data, layer.pool, stride)
    real = functional.avg_pool2d(data, layer.pool, stride)
    scaled = real.detach() * UNIT
    sign, size = scaled.sign(), scaled.abs() + 1e-9
    whole = sign * ((size + 0.5).floor() if rounding else size.trunc())
    return Through.apply(real, whole / UNIT, torch.ones_like(real))


def combine(layer: Layer, parts: list[torch.Tensor]) -> torch.Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part if layer.eltwise == "add" else total - part
    whole = (total.detach() * UNIT).round()
    return Through.apply(total, whole.clamp(-128, 127) / UNIT, inside(whole, -128))


def operands(layer: Layer, data: list[torch.Tensor]) -> list[torch.Tensor]:
    if layer.operands == 1:
        return [torch.cat(data, 1).reshape(1, layer.in_channels, *layer.in_size)]
    if len(data) > 1:
        return data
    if layer.index == 0:
        return list(data[0].split(layer.in_channels, 1))
    rows, columns = layer.in_size
    flat = data[0].reshape(1, layer.in_channels, -1)[:, :, : rows * columns * layer.operands]
    return list(flat.reshape(1, layer.in_channels, rows, columns, layer.operands).unbind(-1))


def convolve(layer: Layer, data, kernel, bias) -> torch.Tensor:
    if layer.op == "linear" or layer.flatten:
        return functional.linear(data.reshape(1, -1), kernel, bias)[:, :, None, None]
    if layer.op == "conv1d":
        rows = functional.conv1d(data[..., 0], kernel, bias, 1, layer.padding, layer.dilation)
        return rows[..., None]
    if layer.op == "convtranspose2d":  # PyTorch's kernels are [in, out], turned by 180 degrees
        turned = kernel.flip(2, 3).transpose(0, 1)
        return functional.conv_transpose2d(data, turned, bias, 2, layer.padding, 1)
    return functional.conv2d(data, kernel, bias, padding=layer.padding)


def activated(layer: Layer, real: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    mask = inside(output, -128 if layer.activation is None else 0)
    if layer.activation == "abs":
        mask = torch.where(real.detach() < 0, -mask, mask)
    return Through.apply(real, output / UNIT, mask)


def gradients(network: Network, maps, weights, error) -> dict[int, tuple]:
    """(kernel, bias) gradients by layer, float64, of one sample.

    ``maps``: int [row, column, channel] by layer (-1: the sample), ``weights``: (kernel, bias or
    None) by layer, ``error``: real [out, row, column], of the network's real output.
    """

    def tensor(index):
        return torch.tensor(maps[index].transpose(2, 0, 1).astype(np.float64))[None]

    values, leaves = {-1: tensor(-1) / UNIT}, {}
    for layer in network.layers:
        parts = operands(layer, [values[source] for source in layer.sources])
        rounding = network.average_rounding
        if not layer.eltwise:
            data = pool(layer, parts[0], rounding)
        elif layer.pool_first:
            data = combine(layer, [pool(layer, part, rounding) for part in parts])
        else:
            data = pool(layer, combine(layer, parts), rounding)
        output = tensor(layer.index)
        if not layer.has_kernels:
            assert torch.equal((data.detach() * UNIT).round(), output)
            values[layer.index] = data
            continue
        kernel, bias = weights[layer.index]
        scale = 2.0**layer.output_shift / UNIT
        bias = np.zeros(layer.out_channels) if bias is None else bias
        leaves[layer.index] = tuple(
            torch.tensor(part * scale, requires_grad=True) for part in (kernel, bias)
        )
        real = convolve(layer, data, *leaves[layer.index])
        if layer.output_bits == 32:
            assert torch.allclose(real.detach(), output * scale / UNIT)
            values[layer.index] = real
        else:
            values[layer.index] = activated(layer, real, output)
    last = values[network.layers[-1].index]
    if last.requires_grad:
        (last * torch.tensor(error)[None]).sum().backward()
    return {
        index: tuple(
            np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy() for leaf in pair
        )
        for index, pair in leaves.items()
    }
