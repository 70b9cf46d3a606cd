"""How a layer's kernels are counted and streamed, before any address is known.

Matches the vendor's generator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .network import Layer, Network, set_bits
from .packing import KERNEL_BYTES


@dataclass(frozen=True)
class KernelShape:
    """How a layer's kernels are counted, before any address is known.

    A kernel index is ``position * passes + pass``; positions count output channels of one output
    pass, gaps of the processor map and unused lanes below the first processor included.
    """

    taps: int  # bytes of one 8-bit kernel
    bits: int  # of a weight
    passes: int  # input passes; for a flattening layer, times its pixels
    lanes_before: int  # unused lanes below the first output processor
    span: int  # positions of one output pass
    count: int  # kernels: what the registers are told
    words: int  # kernel words to reserve

    @property
    def dummy_bytes(self) -> int:
        """Stream bytes that the unused lanes skip."""
        return self.lanes_before * self.passes * self.taps * self.bits // 8


def kernel_shape(network: Network, layer: Layer) -> KernelShape:
    """Count a layer's kernels and the words that they take.  Matches the vendor's generator."""
    share = network.device.limits.processors_per_instance
    processors = set_bits(layer.output_processors)
    out_passes = layer.out_passes[0]
    passes = layer.in_passes[0] * layer.pixels
    lanes_before = processors[0] % share
    first = processors[0] - (lanes_before if out_passes > 1 else 0)
    positions = (processors[-1] + 1 - first) * out_passes
    count = positions + lanes_before * out_passes
    if layer.flatten:  # outputs that do not exist are not counted
        missing = out_passes * len(processors) - layer.out_channels
        positions, count = positions - missing, count - missing
    kernel_rows, kernel_columns = layer.hardware.kernel_shape
    taps = kernel_rows * kernel_columns
    per_byte = 8 // layer.weight_bits
    kernels = positions * passes
    padding = kernels % per_byte * taps * (per_byte - 1)
    words = -(-(kernels * taps * layer.weight_bits + padding) // (8 * KERNEL_BYTES))
    span = processors[-1] + 1 - (processors[0] - lanes_before)
    return KernelShape(taps, layer.weight_bits, passes, lanes_before, span, count * passes, words)


def occupied_words(layer: Layer, shape: KernelShape) -> np.ndarray:
    """bool [word]: words, relative to the start, that the loader writes in each processor.

    Output channels that fill up the last pass are written as zeros: whole kernels, or one byte
    each in a flattening layer.
    """
    out_passes, each = layer.out_passes
    channels = np.arange(layer.out_channels if layer.flatten else out_passes * each)
    stream = kernel_stream(layer, shape, channels)
    filler = out_passes * each - len(channels)
    if not layer.flatten:  # sub-byte kernels are written in groups that fill a byte
        groups = out_passes * -(-each * shape.bits // 8)
        filler = (groups * 8 // shape.bits - out_passes * each) * shape.passes
        filler = filler * shape.bits // 8 * shape.taps
    end = -(-(int(stream.max()) + 1 + filler) // KERNEL_BYTES)
    dummy, remainder = divmod(shape.dummy_bytes, KERNEL_BYTES)
    used = np.zeros(max(end, shape.words + dummy), bool)
    used[np.unique(stream // KERNEL_BYTES)] = True
    used[dummy : dummy + bool(remainder)] = True
    used[int(stream.max()) // KERNEL_BYTES : end if layer.flatten else len(used)] = True
    spread = loader_words(layer, shape)
    if spread:
        used = np.append(used, np.zeros(max(0, spread[-1] + 1 - len(used)), bool))
        used[spread] = True
    return used


def loader_words(layer: Layer, shape: KernelShape) -> list[int]:
    """Words that the vendor's loader touches where the output map has gaps: it skips one for each.

    They are reserved too, so that the layers after lie where the vendor's do; which of its words
    holds which kernel is right only where a kernel fills a word.
    """
    targets = set_bits(layer.output_processors)
    if targets[-1] + 1 - targets[0] == len(targets) or layer.flatten or shape.bits != 8:
        return []
    words: list[int] = []
    word, used = divmod(shape.dummy_bytes, KERNEL_BYTES)
    for before, target in zip((targets[0] - 1, *targets), targets, strict=False):
        word += target - before - 1
        end = used + shape.passes * shape.taps
        words += range(word, word + -(-end // KERNEL_BYTES))
        word, used = word + end // KERNEL_BYTES, end % KERNEL_BYTES
    return sorted(set(words))


def kernel_stream(layer: Layer, shape: KernelShape, channels: np.ndarray) -> np.ndarray:
    """int64 [channel, pass * tap]: stream bytes of output channels, from the layer's first word."""
    positions = out_positions(layer, shape, channels)
    code = (positions[:, None] * shape.passes + np.arange(shape.passes)) * shape.bits
    tap = np.arange(shape.taps)
    return ((code >> 3)[:, :, None] * shape.taps + tap).reshape(len(positions), -1)


def out_positions(layer: Layer, shape: KernelShape, channels: np.ndarray) -> np.ndarray:
    """Position, among the positions of all output passes, of each output channel."""
    each = layer.out_passes[1]
    processors = np.array(set_bits(layer.output_processors))
    lowest = processors[0] - shape.lanes_before
    return channels // each * shape.span + processors[channels % each] - lowest
