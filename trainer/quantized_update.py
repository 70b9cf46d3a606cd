"""From a velocity to new weights: scale, round stochastically, subtract, saturate.

The random numbers are a function of (seed, step, element), so that they depend neither on the
order of work nor on what was skipped, and a resumed run draws the same ones.
"""

from __future__ import annotations

import numpy as np

from max78k_sim.arithmetic import saturate

WORD = 0xFFFFFFFF
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


def draws(seed: int, step: int, count: int, first: int = 0) -> np.ndarray:
    """uint64 [count]: 32-bit random numbers of elements ``first`` on, in one step."""
    base = mix((seed + step * STEP_FACTOR) & WORD)
    element = np.arange(first, first + count, dtype=np.uint64)
    return mix(np.uint64(base) ^ mix(element))


def stochastic_shift(value: np.ndarray, shift: int, draw: np.ndarray) -> np.ndarray:
    """value / 2**shift, rounded up with the probability of its fraction.

    ``value``: int64; ``shift``: 1 to 32; ``draw``: uint64 [same shape], 32-bit random numbers.
    """
    dither = (draw >> np.uint64(32 - shift)).astype(np.int64)
    return value + dither >> shift


def update(weights: np.ndarray, velocity: np.ndarray, rate: tuple[int, int], draw: np.ndarray):
    """New int8 weights: saturate(weights - velocity * mantissa / 2**shift), rounded stochastically.

    ``weights``: int8; ``velocity``: int64, same shape; ``rate``: (mantissa, shift), see
    Recipe.update_rate; ``draw``: uint64, flat or the same shape.
    """
    mantissa, shift = rate
    step = stochastic_shift(velocity * mantissa, shift, draw.reshape(velocity.shape))
    return saturate(weights.astype(np.int64) - step).astype(np.int8)
