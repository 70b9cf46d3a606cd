"""Losses in integers: the errors that training feeds back.

Written down in docs/training-arithmetic.md; firmware/runtime/cnn_train.c is its twin, bit for bit.
"""

from __future__ import annotations

import math

import numpy as np

ERROR_BITS = 15  # an error of 32768 stands for 1
ERROR_ONE = 1 << ERROR_BITS
ERROR_LIMIT = ERROR_ONE - 1  # of an int16
TEACHER_BITS = 8  # a teacher's probability of 256 stands for 1
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


def probabilities(logits: np.ndarray, shift: int) -> np.ndarray:
    """Soft-max: int64 [sample, class] in units of 1/32768, rounded down, of int32 ``logits``."""
    distance = logits.astype(np.int64)
    power = powers_of_e(distance.max(axis=-1, keepdims=True) - distance, shift)
    return (power << ERROR_BITS) // power.sum(axis=-1, keepdims=True)


def targets(
    labels: np.ndarray, classes: int, teacher: np.ndarray | None = None, share: int = 0
) -> np.ndarray:
    """What probabilities should be: int64 [sample, class] in units of 1/32768.

    1 for the label; with ``teacher`` (uint8 [sample, class], units of 1/256: what another network
    said) that counts ``share`` / 256 and the label the rest.
    """
    wanted = np.zeros((len(labels), classes), np.int64)
    wanted[np.arange(len(labels)), labels] = ERROR_ONE
    if teacher is None or not share:
        return wanted
    said = teacher.astype(np.int64) << ERROR_BITS - TEACHER_BITS
    return wanted * ((1 << TEACHER_BITS) - share) + said * share >> TEACHER_BITS


def cross_entropy(logits: np.ndarray, wanted: np.ndarray, shift: int) -> np.ndarray:
    """Derivative of the cross-entropy by each logit: probability minus what it should be.

    ``logits``: int32 [sample, class], sums of products; ``wanted``: see ``targets``; ``shift``:
    scale of the layer's weights.  int64, units of 1/32768, saturated to +-32767.
    """
    return limited(probabilities(logits, shift) - wanted)


def squared(logits: np.ndarray, wanted: np.ndarray, shift: int) -> np.ndarray:
    """Derivative of half the squared distance of the real logits from what they should be."""
    left = ERROR_BITS - LOGIT_BITS + shift
    real = logits.astype(np.int64)
    real = real << left if left >= 0 else real + (1 << -left - 1) >> -left
    return limited(real - wanted)


def limited(error: np.ndarray) -> np.ndarray:
    """Errors of at most 1 - 2**-15, which int16 holds."""
    return np.clip(error, -ERROR_LIMIT, ERROR_LIMIT)


LOSSES = {"cross-entropy": cross_entropy, "squared": squared}


def said(logits: np.ndarray, shift: int) -> np.ndarray:
    """A teacher's probabilities as they are kept: uint8 [sample, class], units of 1/256."""
    kept = probabilities(logits, shift) >> ERROR_BITS - TEACHER_BITS
    return np.minimum(kept, (1 << TEACHER_BITS) - 1).astype(np.uint8)
