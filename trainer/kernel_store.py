"""Kernels and biases at their addresses, through a memory port.

A port has ``read(address, words) -> uint32 array`` and ``write(address, words)``: the simulated
chip's Memory today, a board on a wire tomorrow.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from max78k_sim.placement import Placement, read_words

SLOT_WORDS = {"kernel": 4, "bias": 1}  # 32-bit words that are written together


class MemoryPort(Protocol):
    """What the trainer needs of a chip."""

    def read(self, address: int, words: int = 1) -> np.ndarray:
        """uint32 [words] from a byte address on."""

    def write(self, address: int, words: np.ndarray) -> None:
        """Store uint32 [n] words from a byte address on."""


class KernelStore:
    """One tensor at its addresses.  ``write_changed`` touches only what differs."""

    def __init__(self, port: MemoryPort, placement: Placement):
        self.port = port
        self.placement = placement
        self.slot = SLOT_WORDS[placement.kind]
        self.slots_written = 0  # kernel words (72 bits) or bias bytes, since the start

    @property
    def slots(self) -> int:
        """Kernel words (or bias bytes) that the tensor lies in."""
        return len(np.unique(self.placement.words.astype(np.int64) // (4 * self.slot)))

    def read(self) -> np.ndarray:
        """The tensor as it lies in memory now: int8, in its own shape."""
        return self.placement.unpack(read_words(self.port, self.placement))

    def write_changed(self, values: np.ndarray) -> int:
        """Write the slots whose contents change; returns how many.

        A kernel word takes four 32-bit writes, the last of which (of zero) commits it.
        """
        words = self.placement.words
        old = read_words(self.port, self.placement)
        new = self.placement.pack(old, values)
        changed = np.unique(words[old != new].astype(np.int64) // (4 * self.slot))
        for slot in changed:
            address = int(slot) * 4 * self.slot
            content = self.port.read(address, self.slot)
            here = (words >= address) & (words < address + 4 * self.slot)
            content[(words[here].astype(np.int64) - address) // 4] = new[here]
            self.port.write(address, content)
        self.slots_written += len(changed)
        return len(changed)
