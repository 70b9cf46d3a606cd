"""Memory: the only mutable store of the chip.  One array a region; words in, words out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .device import WORD, WORD_MASK, Device, Region
from .errors import InputError


@dataclass(frozen=True, eq=False)
class Cells:
    """Words of a region, by their indices in its flat array: int64 [n]."""

    region: str
    places: np.ndarray


class Memory:
    """Contents of every region of a device, all zero at first.

    ``read`` and ``write`` take byte addresses of 32-bit words; a run may cross from one entry to
    the next, but not out of a contiguous stretch of addresses.  Bits that an entry does not store
    (the upper 24 of a bias word, the fourth word of a kernel slot) are dropped.
    """

    def __init__(self, device: Device):
        self.device = device
        self.arrays = {row.name: np.zeros(row.shape, np.uint32) for row in device.regions}
        self.versions = dict.fromkeys(self.arrays, 0)  # counts writes, for caches
        self._flat = {name: array.reshape(-1) for name, array in self.arrays.items()}
        self._masks = {
            row.name: np.array(row.word_masks, np.uint32)
            for row in device.regions
            if any(mask != WORD_MASK for mask in row.word_masks)
        }
        self._spans = sorted(span for row in device.regions for span in spans(row))
        self._starts = [span[0] for span in self._spans]

    def find(self, address: int) -> tuple[str, int] | None:
        """Region of a byte address, and index of its word in the flat array; None outside."""
        first, end, name, start = self._spans[max(bisect_right(self._starts, address) - 1, 0)]
        return (name, start + (address - first) // WORD) if first <= address < end else None

    def view(self, region: str) -> memoryview:
        """A region's words as one flat run that stays its store; unmasked, unversioned, fast."""
        return self._flat[region].data

    def _slice(self, address: int, count: int) -> tuple[str, slice]:
        """Region and flat indices of a run; raises InputError with what is wrong."""
        if address % WORD:
            raise InputError(f"0x{address:08x} is not the address of a 32-bit word")
        span = max(bisect_right(self._starts, address) - 1, 0)
        first, end, name, start = self._spans[span]
        if not first <= address < end:
            self.device.locate(address)  # raises, naming the memories that there are
        if address + count * WORD > end:
            raise InputError(
                f"{count} words from 0x{address:08x} run past 0x{end:08x}, the end of {name} there"
            )
        start += (address - first) // WORD
        return name, slice(start, start + count)

    def read(self, address: int, words: int = 1) -> np.ndarray:
        """uint32 [words] from a byte address on (a copy)."""
        name, place = self._slice(address, words)
        return self._flat[name][place].copy()

    def write(self, address: int, words) -> None:
        """Store a word, or uint32 [n] words, from a byte address on."""
        values = np.atleast_1d(np.asarray(words)).astype(np.uint32)
        name, place = self._slice(address, len(values))
        if name in self._masks:
            masks = self._masks[name]
            values = values & masks[np.arange(place.start, place.stop) % len(masks)]
        self._flat[name][place] = values
        self.versions[name] += 1

    def cells(self, addresses: np.ndarray) -> Cells:
        """The words at n byte addresses of one region, found once, to read and write often."""
        names, places = set(), []
        for address in addresses.tolist():
            name, place = self._slice(address, 1)
            names.add(name)
            places.append(place.start)
        if len(names) != 1:
            raise InputError(f"{len(places)} words lie in {len(names)} memories; they must in one")
        return Cells(names.pop(), np.array(places, np.int64))

    def read_cells(self, cells: Cells) -> np.ndarray:
        """uint32 [n] (a copy)."""
        return self._flat[cells.region][cells.places]

    def write_cells(self, cells: Cells, chosen: np.ndarray, words: np.ndarray) -> None:
        """Store uint32 words in the cells with the numbers ``chosen``, as ``write`` does each."""
        if not len(chosen):
            return
        places = cells.places[chosen]
        if cells.region in self._masks:
            masks = self._masks[cells.region]
            words = words & masks[places % len(masks)]
        self._flat[cells.region][places] = words
        self.versions[cells.region] += 1

    def reset(self) -> None:
        """Everything to zero, as after power-on here (silicon does not promise it)."""
        for name, flat in self._flat.items():
            flat[:] = 0
            self.versions[name] += 1


def spans(region: Region) -> Iterator[tuple[int, int, str, int]]:
    """(first address, past-the-end address, region, index of the first word in its array)."""
    index = 0
    for first, end in region.runs():
        yield first, end, region.name, index
        index += (end - first) // WORD
