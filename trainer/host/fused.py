"""Steps of a layer that torch knows one by one, together: as fast as memory allows.

Tensors are [sample, channel, row, column], best with channels last.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from . import kernels

FLOAT = np.float32


class LargestOfWindows(torch.autograd.Function):
    """The largest of each window, windows side by side; the first of several gets the gradient.

    As torch's max_pool2d; an odd edge is left out.
    """

    @staticmethod
    def forward(context, data: Tensor, window: tuple[int, int]) -> Tensor:
        """Data, smaller by the window's rows and columns."""
        pixels = channels_last(data)
        count, rows, columns, channels = pixels.shape
        out = np.empty((count, rows // window[0], columns // window[1], channels), FLOAT)
        winner = np.empty(out.shape, np.uint8)
        kernels.largest(pixels, window[0], window[1], out, winner)
        context.winner, context.window, context.shape = winner, window, pixels.shape
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient, where the largest was; zeros elsewhere."""
        whole = all(
            size % side == 0 for size, side in zip(context.shape[1:3], context.window, strict=True)
        )
        out = (np.empty if whole else np.zeros)(context.shape, FLOAT)
        high, wide = context.window
        kernels.spread(channels_last(gradient), context.winner, high, wide, out)
        return torch.from_numpy(out).permute(0, 3, 1, 2), None


class Finish(torch.autograd.Function):
    """Normalise by the batch (with ``gain`` and ``bias``, or not), clip, round to the chip's grid
    (or not) and activate; the gradient passes through rounding as if there were none.

    ``span``: lowest and highest value, unit of the grid (0: none), whether negative ones turn.
    """

    @staticmethod
    def forward(
        context,
        total: Tensor,
        gain: Tensor | None,
        bias: Tensor | None,
        mean: np.ndarray | None,
        deviation: np.ndarray | None,
        span: tuple,
    ) -> Tensor:
        """What a layer writes of its sums; ``mean`` and ``deviation`` [channel] of ``total``."""
        pixels = channels_last(total)
        values = pixels.reshape(-1, pixels.shape[3])
        scale, offset = np.ones(values.shape[1], FLOAT), np.zeros(values.shape[1], FLOAT)
        if gain is not None and bias is not None:
            scale = (gain.detach().numpy() / deviation).astype(FLOAT)
            offset = (bias.detach().numpy() - mean * scale).astype(FLOAT)
        out = np.empty_like(values)
        low, high, unit, turned = span
        kernels.finish(values, scale, offset, low, high, unit, turned, out)
        context.values, context.scale, context.offset = values, scale, offset
        context.mean, context.deviation, context.span = mean, deviation, span
        return torch.from_numpy(out).reshape(pixels.shape).permute(0, 3, 1, 2)

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of ``total``, ``gain`` and ``bias``."""
        values, scale = context.values, context.scale
        pixels = np.array(channels_last(gradient))
        slope = pixels.reshape(values.shape)
        low, high, unit, turned = context.span
        kernels.unfinish(values, scale, context.offset, low, high, unit, turned, slope)
        gain = bias = None
        if context.mean is not None:
            sums, weighted = np.zeros((2, values.shape[1]))
            kernels.products(slope, values, sums, weighted)
            slopes = (weighted - context.mean * sums) / context.deviation  # of the gain
            by_value = -scale * slopes / context.deviation / len(values)
            constant = -scale * sums / len(values) - context.mean * by_value
            kernels.combined(values, slope, scale, by_value.astype(FLOAT), constant.astype(FLOAT))
            gain, bias = (torch.from_numpy(each.astype(FLOAT)) for each in (slopes, sums))
        return torch.from_numpy(pixels).permute(0, 3, 1, 2), gain, bias, None, None, None


def finished(total: Tensor, norm: nn.BatchNorm2d | None, span: tuple) -> Tensor:
    """``Finish``, with the batch's own mean and deviation, which ``norm`` keeps a mean of."""
    low, high, unit, absolute = span
    span = FLOAT(low), FLOAT(high), FLOAT(unit), absolute
    if norm is None:
        return Finish.apply(total, None, None, None, None, span)
    pixels = channels_last(total.detach())
    values = pixels.reshape(-1, pixels.shape[3])
    sums, squares = np.zeros((2, values.shape[1]))
    kernels.products(values, values, sums, squares)
    mean = sums / len(values)
    spread = np.maximum(squares / len(values) - mean**2, 0)
    keep(norm, mean, spread * len(values) / (len(values) - 1))
    deviation = np.sqrt(spread + norm.eps)
    return Finish.apply(total, norm.weight, norm.bias, mean, deviation, span)


def keep(norm: nn.BatchNorm2d, mean: np.ndarray, variance: np.ndarray) -> None:
    """Move what is kept for later towards a batch's mean and variance."""
    assert norm.running_mean is not None and norm.running_var is not None
    assert norm.momentum is not None and norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    norm.running_mean.lerp_(torch.from_numpy(mean.astype(FLOAT)), norm.momentum)
    norm.running_var.lerp_(torch.from_numpy(variance.astype(FLOAT)), norm.momentum)


def channels_last(data: Tensor) -> np.ndarray:
    """Its values as [sample, row, column, channel], in order; copied only where they are not."""
    return data.detach().permute(0, 2, 3, 1).contiguous().numpy()
