"""Soft-max cross-entropy in integers: the error that training feeds back.

Written down in docs/training-arithmetic.md; firmware/runtime/cnn_train.c is its twin, bit for bit.
"""

from __future__ import annotations

import math

import numpy as np

ERROR_BITS = 15  # an error of 32768 stands for 1
ERROR_ONE = 1 << ERROR_BITS
EXPONENT_BITS = 10  # fraction bits of a base-2 exponent
TABLE_BITS = 5  # 32 steps of the table between 1 and 1/2
POWER_BITS = 16  # a power of 65536 stands for 1
LOG2_E_BITS = 15
LOG2_E = round(math.log2(math.e) * (1 << LOG2_E_BITS))  # 47274
LOGIT_BITS = 14  # a 32-bit output is Q17.14 when the weights' shift is 0

# 2**(-i/32) in units of 1/65536, for i = 0..32; the C header is printed from this table
POWERS = np.array(
    [
        round(2 ** (-i / (1 << TABLE_BITS)) * (1 << POWER_BITS))
        for i in range((1 << TABLE_BITS) + 1)
    ],
    np.int64,
)
STEP_BITS = EXPONENT_BITS - TABLE_BITS
LARGEST_EXPONENT = 31  # from here on a power counts as 0


def exponent_scale(shift: int) -> int:
    """Right shift from accumulator distance * log2(e) to a base-2 exponent: 4 to 34."""
    return LOG2_E_BITS + LOGIT_BITS - EXPONENT_BITS - shift


def powers_of_e(distance: np.ndarray, shift: int) -> np.ndarray:
    """exp(-distance * 2**shift / 2**14) in units of 1/65536.

    ``distance``: int64, 0 or more, in units of the accumulator; ``shift``: scale of the layer's
    weights (its total output shift), -15 to 15.
    """
    exponent = distance.astype(np.int64) * LOG2_E >> exponent_scale(shift)
    whole, fraction = exponent >> EXPONENT_BITS, exponent & (1 << EXPONENT_BITS) - 1
    step, rest = fraction >> STEP_BITS, fraction & (1 << STEP_BITS) - 1
    power = POWERS[step] - ((POWERS[step] - POWERS[step + 1]) * rest >> STEP_BITS)
    return np.where(whole > LARGEST_EXPONENT, 0, power >> np.minimum(whole, LARGEST_EXPONENT))


def softmax_error(accumulators: np.ndarray, label: int, shift: int) -> np.ndarray:
    """Derivative of the cross-entropy by each logit: probability minus one for the label.

    ``accumulators``: int32 [class], the raw 32-bit outputs.  Returns int64 [class] in units of
    1/32768, from -32768 to 32768 (certain, and wrong).
    """
    logits = accumulators.astype(np.int64)
    power = powers_of_e(logits.max() - logits, shift)
    error = (power << ERROR_BITS) // power.sum()
    error[label] -= ERROR_ONE
    return error
