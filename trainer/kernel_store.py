"""Kernels and biases at their addresses, through a memory port.

A port finds words once (``cells``) and reads and writes them: the simulated chip's Memory today, a
board on a wire tomorrow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from max78k_sim.device import WORD
from max78k_sim.placement import Placement

SLOT_WORDS = {"kernel": 4, "bias": 1}  # 32-bit words that are written together
TRAINED_REGIONS = tuple(SLOT_WORDS)
WORDS = np.dtype("<u4")


class MemoryPort(Protocol):
    """What the trainer needs of a chip."""

    def cells(self, addresses: np.ndarray) -> Any:
        """The words at n byte addresses, in whatever form the port reads and writes them."""

    def read_cells(self, cells: Any) -> np.ndarray:
        """uint32 [n]."""

    def write_cells(self, cells: Any, chosen: np.ndarray, words: np.ndarray) -> None:
        """Store uint32 words in those cells that have the numbers ``chosen``, in order."""


class KernelStore:
    """One tensor at its addresses.  What writes touches only what differs."""

    def __init__(self, port: MemoryPort, placement: Placement):
        self.port = port
        self.placement = placement
        self.slot = SLOT_WORDS[placement.kind]
        size = WORD * self.slot  # bytes
        words = placement.words.astype(np.int64)
        addresses = np.unique(words // size) * size
        self.slots = len(addresses)  # kernel words (or bias bytes) that the tensor lies in
        self._cells = port.cells((addresses[:, None] + WORD * np.arange(self.slot)).reshape(-1))
        slots = np.searchsorted(addresses, words, side="right") - 1
        self._places = slots * self.slot + (words - addresses[slots]) // WORD
        self._bytes = None  # of each element among the slots' bytes, where it has a byte of its own
        if placement.bits == 8:
            word = np.searchsorted(words, placement.address.astype(np.int64) & -WORD)
            lane = placement.address.astype(np.int64) & WORD - 1
            self._bytes = self._places[word] * WORD + lane
        self.slots_written = 0  # kernel words (72 bits) or bias bytes, since the start

    def read(self) -> np.ndarray:
        """The tensor as it lies in memory now: int8, in its own shape."""
        return self._unpack(self._content())

    def change(self, new: Callable[[np.ndarray], np.ndarray]) -> int:
        """Read, and write the slots that differ in ``new`` of what was read; how many.

        A kernel word takes four 32-bit writes, the last of which (of zero) commits it.
        """
        content = self._content()
        old = self._unpack(content)
        changed = self._pack(content, old, new(old.copy()))
        words = (changed[:, None] * self.slot + np.arange(self.slot)).reshape(-1)
        self.port.write_cells(self._cells, words, content[words])
        self.slots_written += len(changed)
        return len(changed)

    def write_changed(self, values: np.ndarray) -> int:
        """Write the slots whose contents change; returns how many."""
        return self.change(lambda old: values)

    def _content(self) -> np.ndarray:
        """uint32 [slot * words], little-endian: what lies in all slots."""
        return self.port.read_cells(self._cells).astype(WORDS, copy=False)

    def _unpack(self, content: np.ndarray) -> np.ndarray:
        """The tensor of the slots' contents."""
        if self._bytes is not None:
            return content.view(np.int8).take(self._bytes)
        return self.placement.unpack(content[self._places])

    def _pack(self, content: np.ndarray, old: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The inverse, in place: what else lies in the slots stays.  int64: slots that changed."""
        changed = np.zeros(self.slots, bool)
        if self._bytes is not None:
            elements = np.flatnonzero(values != old)
            places = self._bytes.take(elements)
            content.view(np.int8)[places] = values.take(elements)
            changed[places // (WORD * self.slot)] = True
        else:
            packed = self.placement.pack(content[self._places], values)
            words = self._places[packed != content[self._places]]
            content[self._places] = packed
            changed[words // self.slot] = True
        return np.flatnonzero(changed)
