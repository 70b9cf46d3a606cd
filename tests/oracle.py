"""A network computed without any of this project's arithmetic: PyTorch, in exact float64."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from max78k_sim.network import Layer, Network, Parameters


def layer_outputs(network: Network, sample: np.ndarray) -> list[np.ndarray]:
    """[channel, row, column] integers after every layer."""
    data = torch.from_numpy(sample.astype(np.float64))
    outputs = []
    for layer, parameters in zip(network.layers, network.parameters, strict=True):
        assert parameters is not None
        data = run_layer(layer, parameters, data, network.average_rounding)
        outputs.append(data.numpy().astype(np.int64))
    return outputs


def run_layer(
    layer: Layer, parameters: Parameters, data: torch.Tensor, rounding: bool
) -> torch.Tensor:
    """One layer; every value is an integer below 2**53, so float64 is exact."""
    pooled = pool(layer, data, rounding)
    kernel = torch.from_numpy(parameters.kernel.astype(np.float64))
    bias = None
    if parameters.bias is not None:
        bias = torch.from_numpy(parameters.bias.astype(np.float64)) * 128
    if layer.op == "linear":
        total = functional.linear(pooled.reshape(-1), kernel, bias)[:, None, None]
    else:
        total = functional.conv2d(pooled[None], kernel, bias, padding=layer.padding)[0]
    if layer.output_bits == 32:
        return total
    output = torch.floor(0.5 + total / (128 / 2.0**layer.output_shift)).clamp(-128, 127)
    if layer.activation == "relu":
        return output.clamp(min=0)
    return output.abs().clamp(max=127) if layer.activation == "abs" else output


def pool(layer: Layer, data: torch.Tensor, rounding: bool) -> torch.Tensor:
    """Maximum; average, truncated or rounded half away from zero; or subsampled by the stride."""
    if layer.pool == (1, 1):
        return data[:, :: layer.stride, :: layer.stride]
    if not layer.pool_average:
        return functional.max_pool2d(data[None], layer.pool, layer.stride)[0]
    total = functional.avg_pool2d(data[None], layer.pool, layer.stride, divisor_override=1)[0]
    mean = total / (layer.pool[0] * layer.pool[1])
    return mean.sign() * (mean.abs() + 0.5).floor() if rounding else mean.trunc()
