"""Where tensors lie in data memory: HWC words, CHW bytes, 32-bit words, ring buffers."""

from __future__ import annotations

from collections import Counter

import numpy as np

from .kernel_layout import KernelShape
from .network import Layer, Network, set_bits
from .placement import Placement, axis

STREAM_MARGIN = 2  # words that the generator lets a streamed layer wait longer


def data_base(network: Network, processors: np.ndarray) -> np.ndarray:
    """Byte address of the first byte that each processor reads: its instance, its lane."""
    data, limits = network.device.region("data"), network.device.limits
    instance, lane = np.divmod(processors, limits.processors_per_instance)
    return data.address(*np.divmod(instance, data.units)) + lane


def output_placement(network: Network, layer: Layer) -> Placement:
    """HWC: four channels of a pixel in a word, passes in consecutive words; or 32-bit words."""
    passes, each = layer.out_passes
    channel = np.arange(layer.out_channels)
    base = data_base(network, np.array(set_bits(layer.output_processors))[channel % each])
    spacing = layer.write_gap + 1
    word, step, origin = channel // each * spacing, passes * spacing, layer.out_offset
    return data_placement(layer, layer.out_size, layer.output_bits, base, word, step, origin)


def input_placement(network: Network, layer: Layer) -> Placement:
    """As the layer before writes it, or CHW: a channel's pixels in consecutive bytes."""
    passes, each = layer.in_passes
    operand, channel = np.divmod(np.arange(layer.in_channels * layer.operands), layer.in_channels)
    base = data_base(network, np.array(set_bits(layer.processors))[channel % each])
    if not layer.big_data:
        word = channel // each * layer.operands + operand
        step = passes * layer.operands
        return data_placement(layer, layer.in_size, 8, base, word, step, layer.in_offset)
    rows, columns = layer.in_size
    pieces = (
        axis("channel", len(channel), base=base),
        axis("row", rows, base=np.arange(rows) * columns),
        axis("column", columns, base=np.arange(columns)),
    )
    shape = (len(channel), rows, columns)
    return Placement(layer.name, "data", shape, 8, pieces, origin=layer.in_offset)


def data_placement(
    layer: Layer,
    size: tuple[int, int],
    bits: int,
    base: np.ndarray,
    word: np.ndarray,
    step: int,
    origin: int,
) -> Placement:
    """[channel, row, column] in data memory.

    For each channel, ``base`` holds its instance and lane (bytes), ``word`` its word in a pixel; a
    pixel takes ``step`` words (of 8-bit data; four times as many of 32-bit data).
    """
    element = 4 if bits == 32 else 1
    word_bytes = 4 * element
    base = base + (base & 3) * (element - 1) + word * word_bytes
    rows, columns = size
    pieces = (
        axis("channel", len(base), base=base),
        axis("row", rows, base=np.arange(rows) * columns * step * word_bytes),
        axis("column", columns, base=np.arange(columns) * step * word_bytes),
    )
    shape = (len(base), rows, columns)
    return Placement(layer.name, "data", shape, bits, pieces, origin=origin)


def written_bytes(network: Network, layer: Layer, shape: KernelShape | None) -> np.ndarray:
    """int64 [pixel, byte]: bytes of data memory that a layer writes, counted over all instances.

    More than its output: gaps of the processor map, channels that fill up the last pass, and what
    a dilated layer writes around it.  ``shape``: of its kernels, None for a pass-through layer.
    """
    data, share = network.device.region("data"), network.device.limits.processors_per_instance
    pixel = np.arange(np.prod(layer.hardware.out_size))[:, None]
    word_bytes, step = 4 * layer.output_bits // 8, layer.write_gap + 1
    if shape is None:
        slot, position = packed_slots(network, layer), np.arange(layer.in_passes[0])
        number = np.repeat(position, len(slot))
        slot, passes, before = np.tile(slot, len(position)), len(position), 0
    else:
        number, position = np.divmod(np.arange(shape.count // shape.passes), shape.span)
        slot = set_bits(layer.output_processors)[0] // share * share + position
        passes = layer.out_passes[0]
        before = 4 * layer.hardware.skipped * passes
    instance, lane = np.divmod(slot, share)
    byte = layer.out_offset - before + (pixel * passes + number) * step * word_bytes
    byte = byte + lane * (word_bytes // 4)
    if word_bytes > 4:
        byte = (byte[:, :, None] + np.arange(4)).reshape(len(pixel), -1)
        instance = np.repeat(instance, 4)
    size = data.entries * data.entry_stride
    return instance * size + np.clip(byte, 0, size - 1)


def packed_slots(network: Network, layer: Layer) -> np.ndarray:
    """int64 [processor]: where a pass-through layer writes the data of each processor, in lanes."""
    limits = network.device.limits
    each, share = limits.processors_per_group, limits.processors_per_instance
    slots = []
    reads = Counter(bit // each for bit in set_bits(layer.processors))
    for group, count in reads.items():
        writes = [bit for bit in set_bits(layer.output_processors) if bit // each == group]
        first = writes[0] // share * share if writes else 0
        slots.append(first + np.arange(count))
    return np.concatenate(slots)


def stream_start(network: Network, layer: Layer) -> int:
    """Words that arrive before a streamed layer, or one fed by FIFOs, starts.

    Matches the vendor's generator.
    """
    rows, columns = layer.hardware.in_size
    pool_rows, pool_columns = layer.pool
    if layer.index == 0:
        frame = -(-rows * columns // 4) if layer.big_data else rows * columns
        start = (pool_rows - 1) * columns + pool_columns if layer.streaming else frame
        return start * pool_rows
    before = network.layers[layer.index - 1].hardware
    wide = before.pooled_size[1] + 2 * before.padding[1]
    kernel_rows, kernel_columns = before.kernel_shape
    start = wide * (kernel_rows + pool_rows - 2) + kernel_columns - 1 + pool_columns
    return start + STREAM_MARGIN


def ring_words(network: Network, layer: Layer) -> int:
    """Words of a streamed layer's ring buffer.  Matches the vendor's generator."""
    ring = stream_start(network, layer) + (layer.pool[0] - 1) * layer.hardware.in_size[1]
    ring += max(layer.stride, layer.pool[1])
    passes = layer.in_passes[0]
    return 12 if layer.big_data else -(-ring // passes) * passes
