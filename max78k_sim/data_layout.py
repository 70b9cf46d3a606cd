"""Where tensors lie in data memory: HWC words, CHW bytes, 32-bit words."""

from __future__ import annotations

import numpy as np

from .network import Layer, Network, set_bits
from .placement import Placement, axis


def data_base(network: Network, processors: np.ndarray) -> np.ndarray:
    """Byte address of the first byte that each processor reads: its instance, its lane."""
    data, limits = network.device.region("data"), network.device.limits
    instance, lane = np.divmod(processors, limits.processors_per_instance)
    return data.address(*np.divmod(instance, data.units)) + lane


def output_placement(network: Network, layer: Layer) -> Placement:
    """HWC: four channels of a pixel in a word, passes in consecutive words; or 32-bit words."""
    rows, columns = layer.out_size
    passes, each = layer.out_passes
    channel = np.arange(layer.out_channels)
    base = data_base(network, np.array(set_bits(layer.output_processors))[channel % each])
    step = passes * (layer.write_gap + 1)
    return data_placement(
        layer, "output", base, channel // each * (layer.write_gap + 1), (rows, columns), step
    )


def input_placement(network: Network, layer: Layer) -> Placement:
    """As the layer before writes it, or CHW: a channel's pixels in consecutive bytes."""
    rows, columns = layer.in_size
    passes, each = layer.in_passes
    operand, channel = np.divmod(np.arange(layer.in_channels * layer.operands), layer.in_channels)
    base = data_base(network, np.array(set_bits(layer.processors))[channel % each])
    if not layer.big_data:
        word = channel // each * layer.operands + operand
        step = passes * layer.operands
        return data_placement(layer, "input", base, word, (rows, columns), step)
    pieces = (
        axis("channel", len(channel), base=base),
        axis("row", rows, base=np.arange(rows) * columns),
        axis("column", columns, base=np.arange(columns)),
    )
    shape = (len(channel), rows, columns)
    return Placement(layer.name, "data", shape, 8, pieces, origin=layer.in_offset)


def data_placement(
    layer: Layer,
    kind: str,
    base: np.ndarray,
    word: np.ndarray,
    size: tuple[int, int],
    step: int,
) -> Placement:
    """[channel, row, column] in data memory.

    For each channel, ``base`` holds its instance and lane (bytes), ``word`` its word in a pixel; a
    pixel takes ``step`` words (of 8-bit data; four times as many of 32-bit data).
    """
    wide = kind == "output" and layer.output_bits == 32
    lane = base & 3
    word_bytes = 16 if wide else 4
    base = base - lane + (4 * lane if wide else lane) + word * word_bytes
    rows, columns = size
    pieces = (
        axis("channel", len(base), base=base),
        axis("row", rows, base=np.arange(rows) * columns * step * word_bytes),
        axis("column", columns, base=np.arange(columns) * step * word_bytes),
    )
    offset = layer.out_offset if kind == "output" else layer.in_offset
    shape = (len(base), rows, columns)
    return Placement(layer.name, "data", shape, 32 if wide else 8, pieces, origin=offset)
