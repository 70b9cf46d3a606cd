"""The chip's integer arithmetic: the only place that rounds.  Integers in, integers out.

Every function takes Python integers or integer arrays alike.
"""

from __future__ import annotations

import numpy as np

ACTIVATION_MIN, ACTIVATION_MAX = -128, 127  # 8-bit data
FRACTION_BITS = 7  # data and weights are Q7: 128 stands for 1
BIAS_SHIFT = 7  # a bias counts in units of 128 of the accumulator
ROUND_HALF = 1 << FRACTION_BITS - 1


def saturate(value, bits: int = 8):
    """Clip to the range of a signed number of ``bits`` bits."""
    limit = 1 << bits - 1
    return np.clip(value, -limit, limit - 1)


def requantise(accumulator, shift: int):
    """Scale an accumulator by ``2**shift / 128`` and round half towards positive infinity.

    Equal to floor(accumulator * 2**shift / 128 + 1/2) for every shift from -15 to 15, without a
    fraction.  The result is not clipped; an array shifted to the left becomes int64, because 26
    bits and 15 more do not fit 32.  Source: golden cases, vendor's arithmetic.
    """
    if shift >= 0:
        return (accumulator * np.int64(1 << shift) + ROUND_HALF) >> FRACTION_BITS
    return (accumulator + np.int64(ROUND_HALF << -shift)) >> FRACTION_BITS - shift


def average(total, count: int, rounding: bool = False):
    """Mean of ``count`` values that sum to ``total``.

    Truncated toward zero; with ``rounding`` (CTRL bit 13), half away from zero.  The vendor calls
    the first form "floor", but -3 / 4 gives 0.
    """
    magnitude = (2 * abs(total) + count) // (2 * count) if rounding else abs(total) // count
    return np.sign(total) * magnitude
