"""Rounding, against the vendor's floating-point form and against exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from max78k_sim.arithmetic import average, requantise, saturate

LIMIT = 1 << 25  # the accumulator has 26 bits
EDGES = sorted(
    {0, 1, 63, 64, 65, 127, 128, 191, 192, LIMIT - 1, LIMIT - 64, LIMIT - 65}
    | {(1 << power) + step for power in range(25) for step in (-1, 0, 1)}
)
VALUES = np.array([*EDGES, *(-value for value in EDGES), -LIMIT], np.int32)


@pytest.mark.parametrize("shift", range(-15, 16))
def test_requantise_is_the_vendors_form(shift):
    random = np.random.default_rng(shift + 15).integers(-LIMIT, LIMIT, 5000)
    values = np.concatenate([VALUES, random.astype(np.int32)])
    vendor = np.floor(0.5 + values.astype(np.float64) / (128 / 2.0**shift))
    np.testing.assert_array_equal(requantise(values, shift), vendor.astype(np.int64))


@pytest.mark.parametrize("shift", range(-15, 16))
def test_requantise_is_exact(shift):
    for value in map(int, VALUES):
        exact = math.floor(Fraction(value) * Fraction(2) ** shift / 128 + Fraction(1, 2))
        assert requantise(value, shift) == exact


def test_a_wide_left_shift_does_not_wrap():
    """2**24 << 15 is no 32-bit number, and the chip clips it."""
    values = np.array([1 << 24, -(1 << 24), 1 << 17], np.int32)
    assert saturate(requantise(values, 15)).tolist() == [127, -128, 127]


@pytest.mark.parametrize("rounding", [False, True])
def test_average_is_that_of_fractions(rounding):
    for count in (1, 2, 3, 4, 6, 9, 16, 25, 256):
        totals = np.array([*range(-300, 301), -128 * count, 127 * count], np.int32)
        exact = [Fraction(int(total), count) for total in totals]
        if rounding:  # half away from zero
            half = Fraction(1, 2)
            expected = [math.floor(abs(x) + half) * (1 if x >= 0 else -1) for x in exact]
        else:  # toward zero
            expected = [math.trunc(value) for value in exact]
        np.testing.assert_array_equal(average(totals, count, rounding), expected)
        if not rounding:
            np.testing.assert_array_equal(average(totals, count), expected)
        assert [int(average(int(total), count, rounding)) for total in totals[::50]] == expected[
            ::50
        ]


def test_saturate():
    values = np.array([-(1 << 40), -129, -128, 0, 127, 128, 1 << 40])
    assert saturate(values).tolist() == [-128, -128, -128, 0, 127, 127, 127]
    assert saturate(values, 4).tolist() == [-8, -8, -8, 0, 7, 7, 7]
    assert saturate(200) == 127
