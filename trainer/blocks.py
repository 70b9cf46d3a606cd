"""Block floating point: the numbers of a sample share one exponent.

Errors travel down a network as int16 mantissas with an exponent for each sample and layer, and are
summed in 32 bits; the number of mantissa bits is chosen so that no sum can leave them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from max78k_sim.engine import mantissas
from max78k_sim.engine.mantissas import EVERYWHERE, Passing

SUM_BITS = 31  # of an int32, without its sign
MANTISSA_BITS = 15  # of an int16, without its sign


@dataclass(frozen=True, eq=False)
class Block:
    """Real numbers ``value * 2**exponent``.

    ``values``: int16 or int32 [sample, row, column, channel]; ``exponent``: int64 [sample].
    """

    values: np.ndarray
    exponent: np.ndarray

    def reshaped(self, *shape: int) -> Block:
        """The same numbers in their order in memory, in another shape (without the samples)."""
        return Block(self.values.reshape(len(self.values), *shape), self.exponent)


def each(numbers: np.ndarray, like: np.ndarray) -> np.ndarray:
    """One number a sample, shaped to meet [sample, row, column, channel]; int32."""
    return numbers.astype(np.int32).reshape(-1, *(1,) * (like.ndim - 1))


def bit_lengths(values: np.ndarray) -> np.ndarray:
    """int64 [sample]: bits of the largest magnitude of each sample; 0 for nothing but zeros."""
    flat = values.reshape(len(values), -1)
    if not flat.size:
        return np.zeros(len(flat), np.int64)
    top = np.maximum(flat.max(axis=1).astype(np.int64), -flat.min(axis=1).astype(np.int64))
    return (top[:, None] >> np.arange(SUM_BITS + 1) > 0).sum(axis=1)


def shifted(values: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """int32 values / 2**shift, rounded half up; ``shift``: int64 [sample], negative: to the left.

    Shifts beyond 31 count as 31.  The caller knows that what is shifted to the left fits 32 bits.
    """
    result = values.astype(np.int32)
    if (shift > 0).any():
        right = each(np.clip(shift, 0, SUM_BITS), values)
        half = result >> np.maximum(right - 1, 0) & (right > 0)
        result >>= right
        result += half
    if (shift < 0).any():
        result <<= each(np.clip(-shift, 0, SUM_BITS), values)
    return result


def mantissa_bits(count: int, weight_bits: int = 8) -> int:
    """Mantissa bits with which ``count`` products by weights (or by int8 data) fit 32 bits."""
    return min(MANTISSA_BITS, SUM_BITS - (weight_bits - 1) - (count - 1).bit_length())


def normalised(sums: Block, bits: int, passing: Passing = EVERYWHERE) -> Block:
    """Sums (int32) as mantissas of at most ``bits`` bits: int16, rounded half up, saturated.

    Sums that fit stay as they are: a sample's values are never shifted to the left.  What does not
    pass counts as 0.
    """
    values, shift = mantissas.normalised(sums.values, bits, passing)
    return Block(values, sums.exponent + shift)


def merged(parts: list[Block]) -> Block:
    """The sum of blocks, int32: aligned so that the largest numbers keep 30 bits."""
    if len(parts) == 1:
        return parts[0]
    lengths = [bit_lengths(part.values) for part in parts]
    tops = [
        np.where(length > 0, part.exponent + length, np.iinfo(np.int32).min)
        for part, length in zip(parts, lengths, strict=True)
    ]
    top = np.maximum.reduce(tops)
    top = np.where(top == np.iinfo(np.int32).min, parts[0].exponent, top)
    room = SUM_BITS - 1 - (len(parts) - 1).bit_length()
    exponent = top - room
    total = np.zeros(parts[0].values.shape, np.int32)
    for part in parts:
        total += shifted(part.values, exponent - part.exponent)
    return Block(total, exponent)
