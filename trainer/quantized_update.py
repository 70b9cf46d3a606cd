"""From a change to new weights: round, subtract, saturate.

The random numbers are a function of (seed, step, element), so that they depend neither on the
order of work nor on what was skipped, and a resumed run draws the same ones.

Kernels and biases of the chip are stepped by ``engine/update.py``, the twin of what is here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

WORD = 0xFFFFFFFF
DRAW_BITS = 32
SHARING = 4  # elements that share a draw when they are rounded
TURNS = np.arange(0, DRAW_BITS, DRAW_BITS // SHARING, dtype=np.uint64)  # bits to the left, of each
STEP_FACTOR = 0x9E3779B9  # spreads steps over the 32-bit range (2**32 / golden ratio)
MIX = ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1))  # (right shift, factor) rounds, see mix()


def mix(value):
    """A 32-bit permutation in which every input bit reaches every output bit ("lowbias32").

    Takes an integer or an array of uint32 values held in int64/uint64.
    """
    for shift, factor in MIX:
        value = value ^ value >> shift
        value = value * factor & WORD
    return value


def base_of(seed: int, step: int) -> int:
    """What all draws of a step have in common: 32 bits."""
    return mix((seed + step * STEP_FACTOR) & WORD)


def draws(seed: int, step: int, count: int, first: int = 0) -> np.ndarray:
    """uint64 [count]: 32-bit random numbers of elements ``first`` on, in one step."""
    return mix(np.uint64(base_of(seed, step)) ^ mixed_elements(count, first))


def dithers(seed: int, step: int, count: int, first: int = 0) -> np.ndarray:
    """uint64 [count]: 32-bit random numbers that round elements ``first`` on, in one step.

    Four elements share a draw, each turned by its own count of bytes: each is uniform, the first
    bytes of all are independent, and a processor needs a fourth of the work.
    """
    base = np.uint64(base_of(seed, step))
    groups = np.arange(first // SHARING, (first + count - 1) // SHARING + 1, dtype=np.uint64)
    shared = mix(base ^ groups)[:, None]
    turned = (shared << TURNS | shared >> np.uint64(DRAW_BITS) - TURNS) & np.uint64(WORD)
    return turned.reshape(-1)[first % SHARING :][:count]


@lru_cache(maxsize=64)
def mixed_elements(count: int, first: int) -> np.ndarray:
    """uint64 [count]: ``mix`` of the elements' numbers, the same at each step."""
    return mix(np.arange(first, first + count, dtype=np.uint64))


def stochastic_shift(value: np.ndarray, shift: int, draw: np.ndarray) -> np.ndarray:
    """value / 2**shift, rounded up with the probability of its fraction.

    ``value``: int64; ``shift``: at most 32, 0 and less are exact; ``draw``: uint64 [same shape],
    32-bit random numbers.
    """
    if shift <= 0:
        return value << -shift
    dither = (draw >> np.uint64(DRAW_BITS - shift)).astype(np.int64)
    return value + dither >> shift


def truncating_shift(value: np.ndarray, shift: int, draw: np.ndarray) -> np.ndarray:
    """value / 2**shift, rounded toward zero: what others' firmware does."""
    if shift <= 0:
        return value << -shift
    return np.sign(value) * (np.abs(value) >> shift)


def nearest_shift(value: np.ndarray, shift: int, draw: np.ndarray) -> np.ndarray:
    """value / 2**shift, rounded half up."""
    return value << -shift if shift <= 0 else value + (1 << shift - 1) >> shift


ROUNDINGS = {
    "stochastic": stochastic_shift,
    "truncate": truncating_shift,
    "nearest": nearest_shift,
}


@dataclass(frozen=True)
class Grid:
    """What a weight may be: ``bits`` wide, and how many bits of fraction are kept beside it."""

    bits: int
    fraction_bits: int = 0

    @property
    def lowest(self) -> int:
        """-2**(bits - 1)."""
        return -(1 << self.bits - 1)

    @property
    def highest(self) -> int:
        """2**(bits - 1) - 1; 0 of 1-bit weights."""
        return -self.lowest - 1

    def whole(self, weights: np.ndarray, fraction: np.ndarray | None) -> np.ndarray:
        """Weights and fractions as int64, in units of 2**-fraction_bits."""
        total = weights.astype(np.int64) << self.fraction_bits
        return total if fraction is None else total + fraction

    def split(self, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The inverse: the nearest weights, int8, and what is left, int16; saturated."""
        bits = self.fraction_bits
        total = np.clip(total, self.lowest << bits, self.highest << bits)
        weights = total + (1 << bits >> 1) >> bits
        return weights.astype(np.int8), (total - (weights << bits)).astype(np.int16)


def update(
    total: np.ndarray, change: np.ndarray, shift: int, draw: np.ndarray, rounding: str
) -> np.ndarray:
    """total - change / 2**shift, rounded; all int64, of the same shape (``draw``: uint64)."""
    return total - ROUNDINGS[rounding](change, shift, draw.reshape(change.shape))
