"""Momentum in integers: the velocity is a decaying sum of gradients; no multiplication."""

from __future__ import annotations

import numpy as np

VELOCITY_LIMIT = 1 << 31  # velocities are int32 in the firmware


def decay(velocity: np.ndarray, momentum_shift: int) -> None:
    """velocity -= floor(velocity / 2**momentum_shift), in place: momentum 1 - 2**-momentum_shift.

    A shift of 0 forgets everything (no momentum).
    """
    velocity -= velocity >> momentum_shift


def largest_velocity(batch: int, momentum_shift: int) -> int:
    """Bound of a velocity: a batch of largest gradients, for ever."""
    return (batch * (1 << 15 + 7)) << momentum_shift
