"""Samples as words for the FIFOs: four pixels of a channel (CHW), or four channels of a pixel.

FIFO f feeds data-memory instance 0 of quadrant f.
"""

from __future__ import annotations

import numpy as np

from . import packing
from .errors import NotEmulated
from .network import Network, set_bits


def fifo_words(network: Network, sample: np.ndarray) -> dict[int, np.ndarray]:
    """uint32 words for each FIFO; ``sample``: int8 [channel, row, column]."""
    layer = network.layers[0]
    pixels = sample.reshape(len(sample), -1)
    words = {}
    processors = np.array(set_bits(layer.processors))
    if (processors % 16 >= 4).any() or (network.fast_fifo and processors.max() >= 4):
        raise NotEmulated(
            f"FIFO input for processors 0x{layer.processors:016x}: FIFOs feed processors 0 to 3 of "
            "each quadrant, the fast FIFO those of quadrant 0"
        )
    for fifo in sorted({int(processor) // 16 for processor in processors}):
        mine = np.flatnonzero(processors // 16 == fifo)
        if layer.big_data:
            channel = pixels[mine[0]]
            padded = np.pad(channel, (0, -len(channel) % 4))
            words[fifo] = packing.pack_bytes(padded.reshape(-1, 4))
        else:
            lanes = np.zeros((pixels.shape[1], 4), np.int8)
            lanes[:, processors[mine] % 4] = pixels[mine].T
            words[fifo] = packing.pack_bytes(lanes)
    return words
