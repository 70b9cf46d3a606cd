"""Layers computed by the processor, as the accelerator does it: what starts from kept latents.

The accelerator starts at its first layer only; a network's end can be run from the activations of
a frozen beginning by the processor, which gives the same bits (tests hold it equal to Machine).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from max78k_sim import arithmetic
from max78k_sim.layer import Layer
from max78k_sim.network import Network

from . import gradients, operands
from .backward import layer_operands


def layer_output(
    layer: Layer, read: list[np.ndarray], kernel: np.ndarray, bias, rounding: bool
) -> np.ndarray:
    """int8 or int32 [sample, row, column, out] of int8 operands [sample, row, column, channel]."""
    data = operands.reduced(read, layer, rounding)
    if not layer.has_kernels:
        return data
    sums = gradients.accumulators(layer, data, kernel, bias)
    if layer.output_bits == 32:
        return sums
    output = arithmetic.saturate(arithmetic.requantise(sums, layer.output_shift))
    if layer.activation == "relu":
        output = np.maximum(output, 0)
    elif layer.activation == "abs":
        output = np.minimum(np.abs(output), arithmetic.ACTIVATION_MAX)
    return output.astype(np.int8)


def complete(
    network: Network,
    layers: tuple[int, ...],
    known: Mapping[int, np.ndarray],
    weights: Mapping[int, tuple],
) -> dict[int, np.ndarray]:
    """``known`` maps, by layer, and those of ``layers``, computed in their order."""
    maps = dict(known)
    for index in layers:
        layer = network.layers[index]
        read = layer_operands(layer, [maps[source] for source in layer.sources])
        kernel, bias = weights.get(index, (None, None))
        maps[index] = layer_output(layer, read, kernel, bias, network.average_rounding)
    return maps
