"""Where each element of a tensor lives: the heart of reading, training, unloading and the map.

A Placement is a sum over the tensor's axes.  Each axis has a table with one row an index; the rows
of an element's indices add up to its address:

    address = sum(base) + slot_offset((sum(code) >> 3) * taps + sum(tap))        bit = sum(code) & 7

``base`` is in bytes.  ``code`` and ``tap`` are used by kernels only: the code counts bits of one
tap (as the register MCNT does), the tap counts bytes in a kernel of ``taps`` bytes, and
``slot_offset`` spreads the byte stream over 16-byte slots.  The firmware generator prints exactly
these tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import packing


def distinct(values: np.ndarray) -> np.ndarray:
    """Each value once, ascending.  ``numpy.unique`` imports ``numpy.ma`` first: 30 ms."""
    ordered = np.sort(values, axis=None)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])[: ordered.size]]


@dataclass(frozen=True, eq=False)
class Axis:
    """The part that one index of the tensor contributes; int64 arrays [size of the axis]."""

    name: str
    base: np.ndarray  # bytes
    code: np.ndarray  # bits of a tap
    tap: np.ndarray  # bytes of a kernel


def axis(name: str, size: int, base=0, code=0, tap=0) -> Axis:
    """An axis from scalars or arrays."""
    columns = [np.broadcast_to(np.asarray(part, np.int64), size) for part in (base, code, tap)]
    return Axis(name, *columns)


@dataclass(frozen=True, eq=False)
class Placement:
    """Where one tensor lives.

    ``kind`` is "kernel", "bias" or "data"; ``bits`` is the width of an element (32-bit data lie in
    whole words).  ``origin`` is added to every address (bytes), ``origin_code`` and ``origin_tap``
    to every code and tap.  ``taps`` is 0 for tensors that are not a kernel stream.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    bits: int
    pieces: tuple[Axis, ...]
    origin: int = 0
    origin_code: int = 0
    origin_tap: int = 0
    taps: int = 0

    def _sum(self, part: str, origin: int) -> np.ndarray:
        """Sum of one column of the pieces over all axes, in the tensor's shape."""
        total = np.full(self.shape, origin, np.int64)
        for number, piece in enumerate(self.pieces):
            column = getattr(piece, part)
            total += column.reshape([-1 if n == number else 1 for n in range(len(self.shape))])
        return total

    @cached_property
    def address(self) -> np.ndarray:
        """uint32, in the tensor's own shape: the byte address of each element."""
        base = self._sum("base", self.origin)
        if self.taps:
            code = self._sum("code", self.origin_code)
            stream_byte = (code >> 3) * self.taps + self._sum("tap", self.origin_tap)
            base += packing.slot_offset(stream_byte)
        return base.astype(np.uint32)

    @cached_property
    def bit(self) -> np.ndarray:
        """uint8, in the tensor's own shape: the element's lowest bit within its byte."""
        if not self.taps:
            return np.zeros(self.shape, np.uint8)
        return (self._sum("code", self.origin_code) & 7).astype(np.uint8)

    @cached_property
    def words(self) -> np.ndarray:
        """uint32 [n]: addresses of the 32-bit words that hold the tensor, ascending."""
        return distinct(self.address & ~np.uint32(3))

    @cached_property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """(address, word count) of the contiguous stretches of ``words``."""
        breaks = np.flatnonzero(np.diff(self.words.astype(np.int64)) != 4) + 1
        starts = np.concatenate([[0], breaks])
        ends = np.concatenate([breaks, [len(self.words)]])
        pairs = zip(starts, ends, strict=True)
        return tuple((int(self.words[start]), int(end - start)) for start, end in pairs)

    @cached_property
    def _bit_address(self) -> np.ndarray:
        """int64 [element]: 8 * address + bit, in row-major order of the elements."""
        return self.address.reshape(-1).astype(np.int64) * 8 + self.bit.reshape(-1)

    @cached_property
    def _order(self) -> np.ndarray:
        """int64 [element]: row-major numbers of the elements, ascending by place."""
        return np.argsort(self._bit_address, kind="stable")

    @cached_property
    def _sorted(self) -> np.ndarray:
        return self._bit_address[self._order]

    def elements_at(self, addresses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The inverse of ``address``, for any byte addresses (integers [n]) at once.

        Returns (position in ``addresses``, row-major number of the element): a pair for each
        element that a byte holds (several of sub-byte weights, none outside of the tensor), in the
        order of the addresses, the lowest bits first.
        """
        width = 4 if self.bits == 32 else 1
        first = np.asarray(addresses, np.int64) // width * width
        start = np.searchsorted(self._sorted, first * 8)
        count = np.searchsorted(self._sorted, (first + width) * 8) - start
        position = np.repeat(np.arange(len(first)), count)
        before = np.cumsum(count) - count  # pairs of the addresses before
        return position, self._order[np.arange(len(position)) + (start - before)[position]]

    def index_of(self, address: int) -> list[tuple[int, ...]]:
        """Indices of the elements that a byte address holds (several for sub-byte weights)."""
        _, found = self.elements_at(np.array([address]))
        columns = (axis.tolist() for axis in np.unravel_index(found, self.shape))
        return list(zip(*columns, strict=True))

    @cached_property
    def _word_index(self) -> np.ndarray:
        return np.searchsorted(self.words, self.address & ~np.uint32(3))

    @cached_property
    def _lane(self) -> np.ndarray:
        return (self.address & np.uint32(3)).astype(np.int64)

    def unpack(self, words: np.ndarray) -> np.ndarray:
        """Tensor from the contents (uint32) of ``self.words``: int8, or int32 for 32-bit data."""
        if self.bits == 32:
            return words.view(np.int32)[self._word_index]
        lanes = packing.unpack_bytes(words).view(np.uint8)
        return packing.extract_bits(lanes[self._word_index, self._lane], self.bit, self.bits)

    def pack(self, words: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The inverse of ``unpack``: the contents ``words`` with the tensor replaced by values."""
        if self.bits == 32:
            new = words.copy()
            new[self._word_index] = values.astype(np.int64).astype(np.uint32)
            return new
        lanes = packing.unpack_bytes(words).view(np.uint8).copy()
        if self.bits == 8:
            lanes[self._word_index, self._lane] = values.astype(np.int64).astype(np.uint8)
        else:
            self._pack_bits(lanes, values)
        return packing.pack_bytes(lanes)

    def _pack_bits(self, lanes: np.ndarray, values: np.ndarray) -> None:
        """Sub-byte weights: several elements share a byte, so one bit position at a time."""
        for bit in range(0, 8, self.bits):
            here = self.bit == bit
            place = self._word_index[here], self._lane[here]
            lanes[place] = packing.insert_bits(lanes[place], values[here], bit, self.bits)


def read_words(port, placement: Placement) -> np.ndarray:
    """uint32 [n]: contents of ``placement.words``, read in contiguous runs through a memory port.

    A port has ``read(address, words) -> uint32 array`` and ``write(address, words)``.
    """
    return np.concatenate([port.read(address, count) for address, count in placement.runs])


def read(port, placement: Placement) -> np.ndarray:
    """The tensor: int8 (int32 for 32-bit data) in the placement's shape."""
    return placement.unpack(read_words(port, placement))


def write(port, placement: Placement, values: np.ndarray) -> None:
    """Write a tensor; what else lies in its words is kept."""
    words = placement.pack(read_words(port, placement), np.asarray(values))
    start = 0
    for address, count in placement.runs:
        port.write(address, words[start : start + count])
        start += count
