"""Where the vendor's files contradict each other: rules that find the layers, and the reasons."""

from __future__ import annotations

from max78k_sim.allocation import has_bias
from max78k_sim.network import Layer, Network, set_bits

from .cases import (
    DENSE_BIAS,
    GAPS_IN_WORDS,
    ROUNDED_1D,
    SHIFTED_BUFFER,
    SPLIT_CASES,
    SPLIT_OPERANDS,
    WRONG_KERNELS,
    Case,
)


def has_gaps(layer: Layer) -> bool:
    """Whether the output map has unused processors between used ones."""
    targets = set_bits(layer.output_processors)
    return targets[-1] + 1 - targets[0] > len(targets)


def wrong_kernels(case: Case, network: Network, layer: Layer) -> str | None:
    """Layers whose kernels the vendor's memory does not hold where its registers read them."""
    if layer.index in case.meta["mram_wrong_layers"]:
        passes, each = layer.in_passes
        short = passes > 1 and passes * each > layer.in_channels
        assert layer.weight_bits < 8 and short, "not the known bug"
        return WRONG_KERNELS
    fills_words = layer.weight_bits == 8 and layer.hardware.kernel_shape == (3, 3)
    single = layer.in_passes[0] == 1 and not layer.flatten
    if layer.has_kernels and has_gaps(layer) and not (fills_words and single):
        return GAPS_IN_WORDS
    return None


def wrong_outputs(case: Case, network: Network, layer: Layer) -> str | None:
    """Layers whose expected output is not what memory and registers give."""
    parameters = network.parameters[layer.index]
    out_passes = layer.out_passes[0]
    unaligned = set_bits(layer.output_processors)[0] % 4 and out_passes > 1
    if has_bias(parameters) and (has_gaps(layer) or unaligned):
        return DENSE_BIAS
    pools = layer.pool_average and layer.pool != (1, 1)
    if layer.op == "conv1d" and pools and network.average_rounding:
        return ROUNDED_1D
    if case.name in SPLIT_CASES and layer.operands > 1:
        return SPLIT_OPERANDS
    if layer.buffer_shift:
        return SHIFTED_BUFFER
    return None
