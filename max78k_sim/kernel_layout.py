"""How a layer's kernels are counted and streamed, before any address is known.

Matches the vendor's generator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .network import Layer, Network, set_bits
from .packing import KERNEL_BYTES
from .placement import distinct


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


def kernel_shape(network: Network, layer: Layer) -> KernelShape:
    """Count a layer's kernels and the words that they take.  Matches the vendor's generator."""
    share = network.device.limits.processors_per_instance
    processors = set_bits(layer.output_processors)
    out_passes = layer.out_passes[0]
    passes = layer.in_passes[0] * layer.pixels
    lanes_before = processors[0] % share
    span = processors[-1] + 1 - processors[0] + lanes_before
    positions = span * out_passes if out_passes > 1 else span - lanes_before
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
    return KernelShape(taps, layer.weight_bits, passes, lanes_before, span, count * passes, words)


def occupied_words(layer: Layer, shape: KernelShape) -> np.ndarray:
    """int64 [n]: words, relative to the start, that a layer takes in each processor, ascending.

    Those that the hardware reads for its output channels, also for channels that fill up the last
    pass, and those that the vendor's loader writes.
    """
    out_passes, each = layer.out_passes
    channels = np.arange(layer.out_channels if layer.flatten else out_passes * each)
    read = kernel_stream(layer, shape, channels) // KERNEL_BYTES
    return distinct(np.append(read, list(loader_words(layer, shape))).astype(np.int64))


def loader_words(layer: Layer, shape: KernelShape) -> set[int]:
    """Words that the vendor's loader writes in a layer's first processor.

    They are reserved, so that the layers after lie where the vendor's do.  The loader leaves out a
    word for each gap of the output map; which of its words holds which kernel is right only where
    a kernel fills a word.  At the end it adds words, as if each unused lane before the first output
    processor had taken one.
    """
    before = shape.lanes_before * loader_passes(layer, shape) * shape.taps
    word, rest = divmod(before, KERNEL_BYTES)
    words, used = set[int](), 0
    for skipped, count in ((0, rest * shape.bits // 8), *loader_steps(layer, shape)):
        end = count + (0 if skipped else used)
        word += skipped
        words |= {*range(word, word + -(-end // KERNEL_BYTES))}
        word, used = word + end // KERNEL_BYTES, end % KERNEL_BYTES
    return words | {*range(word, shape.words + shape.lanes_before)}


def loader_passes(layer: Layer, shape: KernelShape) -> int:
    """Input passes that the vendor's loader knows: a flattening layer's are kernels to it."""
    return 1 if layer.flatten else shape.passes


def loader_steps(layer: Layer, shape: KernelShape) -> Iterator[tuple[int, int]]:
    """(words left out, bytes written) by the vendor's loader for each group of output channels.

    Kernels of a group share bytes.  A gap is as many lanes as a group, aligned from the first
    output processor.  What fills up the last pass is written as zeros, of whole bytes only.
    """
    share = 8 // shape.bits
    out_passes, each = layer.out_passes
    left = layer.out_channels
    for _ in range(out_passes):
        lanes = layer.output_processors
        lanes >>= set_bits(lanes)[0]
        for _ in range(0, each, 1 if layer.flatten else share):
            skipped = set_bits(lanes)[0] // share if lanes else 0
            lanes >>= (skipped + 1) * share
            count = loader_passes(layer, shape) * (shape.taps // share)
            if left > 0:
                kernels = min(left, share) if layer.flatten else share
                count = -(-kernels * shape.passes // share) * shape.taps
            yield skipped, count
            left -= share


def kernel_stream(layer: Layer, shape: KernelShape, channels: np.ndarray) -> np.ndarray:
    """int64 [channel, pass, tap]: stream bytes of output channels, from the layer's first word."""
    positions = out_positions(layer, shape, channels)
    code = (positions[:, None] * shape.passes + np.arange(shape.passes)) * shape.bits
    tap = np.arange(shape.taps)
    return (code >> 3)[:, :, None] * shape.taps + tap


def out_positions(layer: Layer, shape: KernelShape, channels: np.ndarray) -> np.ndarray:
    """Position, among the positions of all output passes, of each output channel."""
    each = layer.out_passes[1]
    processors = np.array(set_bits(layer.output_processors))
    lane = processors[channels % each] - processors[0] + shape.lanes_before
    return channels // each * shape.span + lane
