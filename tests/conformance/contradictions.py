"""Where the vendor's files contradict each other: rules that find the layers, and the reasons."""

from __future__ import annotations

from max78k_sim.network import Layer, Network, set_bits
from max78k_sim.provenance import Subject, has_bias, has_gaps, rounded_1d, spread_kernels

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


def wrong_kernels(case: Case, network: Network, layer: Layer) -> str | None:
    """Layers whose kernels the vendor's memory does not hold where its registers read them."""
    if layer.index in case.meta["mram_wrong_layers"]:
        passes, each = layer.in_passes
        short = passes > 1 and passes * each > layer.in_channels
        assert layer.weight_bits < 8 and short, "not the known bug"
        return WRONG_KERNELS
    if spread_kernels(Subject(network, layer, None)):
        return GAPS_IN_WORDS
    return None


def wrong_outputs(case: Case, network: Network, layer: Layer) -> str | None:
    """Layers whose expected output is not what memory and registers give."""
    parameters = network.parameters[layer.index]
    out_passes = layer.out_passes[0]
    unaligned = set_bits(layer.output_processors)[0] % 4 and out_passes > 1
    if has_bias(parameters) and (has_gaps(layer) or unaligned):
        return DENSE_BIAS
    if rounded_1d(Subject(network, layer, None)):
        return ROUNDED_1D
    if case.name in SPLIT_CASES and layer.operands > 1:
        return SPLIT_OPERANDS
    if layer.buffer_shift:
        return SHIFTED_BUFFER
    return None
