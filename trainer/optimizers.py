"""Momentum and Adam in integers: what a batch's gradients make of a parameter's state.

A velocity is a decaying sum of gradients, int32; a second moment a decaying sum of their squares.
"""

from __future__ import annotations

import numpy as np

VELOCITY_LIMIT = (1 << 31) - 1  # velocities are int32 in the firmware
SQUARE_BITS = 11  # of a gradient's magnitude before it is squared
SECOND_SHIFT = 8  # second moments decay by 2**-8; their sums stay below 2**30
LEAST_ROOT = 1 << SECOND_SHIFT // 2  # of a gradient that is just not 0
RATIO_BITS = 31 - SQUARE_BITS - SECOND_SHIFT // 2  # velocity / root is 2**16, if nothing changes
ADAM_BITS = 20  # ... and counts so much after division


def decay(velocity: np.ndarray, momentum_shift: int) -> None:
    """velocity -= floor(velocity / 2**momentum_shift), in place: momentum 1 - 2**-momentum_shift.

    A shift of 0 forgets everything (no momentum).
    """
    velocity -= velocity >> momentum_shift


def gradient_limit(batch: int, momentum_shift: int) -> int:
    """The largest gradient of a sample with which no velocity ever leaves 32 bits."""
    return ((VELOCITY_LIMIT >> momentum_shift) - 1) // batch


def add_square(second: np.ndarray, gradient: np.ndarray, momentum_shift: int) -> None:
    """A batch's gradient (int32) into the decaying sum of squares (int64, below 2**30), in place.

    Of the gradient count the highest 11 bits of the 31 - momentum_shift that it may have.
    """
    second -= second >> SECOND_SHIFT
    coarse = gradient.astype(np.int64) >> 31 - momentum_shift - SQUARE_BITS
    second += coarse * coarse


def adam_change(velocity: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Velocity over root of the mean square: about +-2**20 for a gradient that stays as it is."""
    root = np.maximum(integer_root(second), LEAST_ROOT)
    return (velocity.astype(np.int64) << ADAM_BITS - RATIO_BITS) // root


def integer_root(values: np.ndarray) -> np.ndarray:
    """floor(square root) of int64 0 to 2**32 - 1, bit by bit as the processor does it."""
    root, rest = np.zeros_like(values), values.copy()
    for bit in range(30, -1, -2):
        trial = root + (1 << bit)
        fits = rest >= trial
        rest = np.where(fits, rest - trial, rest)
        root = np.where(fits, (root >> 1) + (1 << bit), root >> 1)
    return root
