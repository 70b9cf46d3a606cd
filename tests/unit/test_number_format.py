"""Q7 and Q17.14: every example of the vendor's chapter "Number Format", then laws.

The oracle of the laws is exact rational arithmetic.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from max78k_sim import arithmetic
from max78k_sim.arithmetic import (
    pixels_from_q7,
    q7_add,
    q7_from_pixels,
    q7_from_real,
    q7_multiply,
    q7_to_real,
    q17_14_from_q7,
    q17_14_from_real,
    q17_14_product,
    q17_14_to_q7,
    q17_14_to_real,
    requantise,
    round_half_up,
    saturate,
)
from max78k_sim.errors import InputError
from tests.strategies import examples

HALF = Fraction(1, 2)
Q7 = st.integers(-128, 127)
Q17_14 = st.integers(-(1 << 31), (1 << 31) - 1)


def stored(bits: str) -> int:
    """The signed number that eight binary digits are."""
    return int(np.uint8(int(bits.replace(" ", ""), 2)).view(np.int8))


# ---- the chapter, row by row --------------------------------------------------------------------

VALUES = (  # binary, value * 128
    ("0000 0000", 0),
    ("0000 0001", 1),
    ("0000 0010", 2),
    ("0111 1110", 126),
    ("0111 1111", 127),
    ("1000 0000", -128),
    ("1000 0001", -127),
    ("1000 0010", -126),
    ("1111 1110", -2),
    ("1111 1111", -1),
)


@pytest.mark.parametrize(("bits", "numerator"), VALUES)
def test_values(bits, numerator):
    assert q7_to_real(stored(bits)) == numerator / 128
    assert q7_from_real(Fraction(numerator, 128)) == stored(bits)


WEIGHTS = ((8, -128, 127), (4, -8, 7), (2, -2, 1), (1, -1, 0))  # bits, min, max


@pytest.mark.parametrize(("bits", "low", "high"), WEIGHTS)
def test_weight_ranges(bits, low, high):
    assert saturate(np.arange(-200, 200), bits).tolist() == [
        min(max(value, low), high) for value in range(-200, 200)
    ]


ROUNDING = (  # inputs, rounded
    ((3.5,), 4),
    ((3.25, 3.0, 2.75, 2.5), 3),
    ((2.25, 2.0, 1.75, 1.5), 2),
    ((1.25, 1.0, 0.75, 0.5), 1),
    ((0.25, 0.0, -0.25, -0.5), 0),
    ((-0.75, -1.0, -1.25, -1.5), -1),
    ((-1.75, -2.0, -2.25, -2.5), -2),
    ((-2.75, -3.0, -3.25, -3.5), -3),
)


@pytest.mark.parametrize(("inputs", "rounded"), ROUNDING)
def test_rounding(inputs, rounded):
    assert [round_half_up(value) for value in inputs] == [rounded] * len(inputs)
    assert set(round_half_up(np.array(inputs)).tolist()) == {rounded}
    accumulators = np.array([value * 128 for value in inputs]).astype(np.int32)
    assert set(requantise(accumulators, 0).tolist()) == {rounded}


EXAMPLES = (  # chapter, first, second, function, result
    ("Addition", "00000010", "01000000", q7_add, "01000010"),
    ("Saturation 1", "01111111", "01111111", q7_add, "01111111"),
    ("Saturation 2", "10000000", "10000000", q7_add, "10000000"),
    ("Multiplication 1", "00000010", "01000000", q7_multiply, "00000001"),
    ("Multiplication 2", "00000010", "00100000", q7_multiply, "00000000"),
    ("Sign Bit 1", "11111110", "00100000", q7_multiply, "00000000"),
    ("Sign Bit 2", "11111110", "01000000", q7_multiply, "11111111"),
    # Printed as a product; but 127 >> 7 is 0, and the operands' sum is what saturates.
    ("Sign Bit 3", "01111111", "00000001", q7_add, "01111111"),
)


@pytest.mark.parametrize(
    ("first", "second", "function", "result"),
    [row[1:] for row in EXAMPLES],
    ids=[row[0] for row in EXAMPLES],
)
def test_examples(first, second, function, result):
    assert function(stored(first), stored(second)) == stored(result)
    arrays = [np.full((2, 3), stored(bits), np.int8) for bits in (first, second, result)]
    np.testing.assert_array_equal(function(arrays[0], arrays[1]), arrays[2])


STEPS = (  # the chapter's list with its rounding step: the other reading, first, second, result
    (2, 64, 1),
    (2, 32, 1),  # the examples give 0
    (-2, 32, -1),  # the examples give 0
    (-2, 64, -1),
    (127, 1, 1),
    (-128, -128, 127),
)


@pytest.mark.parametrize(("first", "second", "result"), STEPS)
def test_the_steps_with_rounding(first, second, result):
    assert q7_multiply(first, second, rounding=True) == result


def test_the_last_example_is_no_product():
    assert q7_multiply(127, 1) == 0 and q7_multiply(127, 1, rounding=True) == 1


# ---- laws: all pairs of Q7, against fractions ---------------------------------------------------

ALL = np.arange(-128, 128).astype(np.int8)
PAIRS = [(int(first), int(second)) for first in ALL for second in ALL]


def limited(value: int) -> int:
    return min(max(value, -128), 127)


def truncated(first: int, second: int) -> int:
    return limited(math.trunc(Fraction(first * second, 128)))


def half_away(first: int, second: int) -> int:
    magnitude = math.floor(abs(Fraction(first * second, 128)) + HALF)
    return limited(magnitude if first * second >= 0 else -magnitude)


def chip(first: int, second: int) -> int:
    return limited(math.floor(Fraction(first * second, 128) + HALF))


FUNCTIONS = (  # function of two Q7 arrays, its definition
    (q7_add, lambda first, second: limited(first + second)),
    (q7_multiply, truncated),
    (lambda first, second: q7_multiply(first, second, rounding=True), half_away),
    (lambda first, second: q17_14_to_q7(q17_14_product(first, second)), chip),
)


@pytest.mark.parametrize(
    ("function", "exact"), FUNCTIONS, ids=["add", "multiply", "multiply, rounding", "chip"]
)
def test_every_pair(function, exact):
    """Exact, commutative, saturated; int8 arrays do not wrap."""
    table = function(ALL[:, None], ALL[None, :])
    assert table.dtype == np.int64 and table.shape == (256, 256)
    assert table.reshape(-1).tolist() == [exact(first, second) for first, second in PAIRS]
    np.testing.assert_array_equal(table, table.T)
    assert table.min() >= -128 and table.max() == 127


@examples(200)
@given(first=Q7, second=Q7, rounding=st.booleans())
def test_integers_and_arrays_alike(first, second, rounding):
    for function in (q7_add, q17_14_product, lambda a, b: q7_multiply(a, b, rounding)):
        one = function(first, second)
        assert isinstance(one, np.int64)
        for kind in (np.int8, np.int16, np.int64):
            assert function(np.array([first], kind), kind(second)).tolist() == [one]


@examples(200)
@given(value=Q7)
def test_multiplication_by_constants(value):
    assert q7_multiply(value, 0) == 0
    assert q7_multiply(value, 64) == math.trunc(Fraction(value, 2))
    assert q7_multiply(value, -128) == limited(-value)  # -1, the only unit that Q7 has
    # 127/128 is the nearest to 1, and takes one step off every number but 0.
    assert q7_multiply(value, 127) == value - np.sign(value)
    assert q7_multiply(value, 127, rounding=True) == value - (value > 64) + (value < -64)
    assert q7_add(value, -value if value > -128 else 127) == (0 if value > -128 else -1)


@examples(200)
@given(first=Q7, second=Q7, rounding=st.booleans())
def test_a_product_keeps_its_sign_or_is_zero(first, second, rounding):
    product = q7_multiply(first, second, rounding)
    assert np.sign(product) in (0, np.sign(first) * np.sign(second))
    if first > -128:
        assert q7_multiply(-first, second, rounding) == -product


@examples(300)
@given(value=Q17_14, shift=st.integers(-15, 15))
def test_wide_to_narrow_is_exact(value, shift):
    exact = limited(math.floor(Fraction(value) * Fraction(2) ** shift / 128 + HALF))
    assert q17_14_to_q7(value, shift) == exact
    assert q17_14_to_q7(np.array([value], np.int32), shift).tolist() == [exact]


def test_narrow_to_wide_and_back():
    wide = q17_14_from_q7(ALL)
    np.testing.assert_array_equal(q17_14_to_real(wide), q7_to_real(ALL))
    np.testing.assert_array_equal(q17_14_to_q7(wide), ALL)
    np.testing.assert_array_equal(q17_14_from_q7(ALL), q17_14_product(ALL, -128) * -1)


def test_the_compiled_form_is_the_same():
    """Users compile it into their own loops: it has to stay compilable."""
    compiled = numba.njit(requantise)
    for shift in (-15, -1, 0, 1, 15):
        for value in (-(1 << 25), -65, -64, -63, 0, 63, 64, (1 << 25) - 1):
            assert compiled(np.int64(value), shift) == requantise(value, shift)


# ---- real numbers -------------------------------------------------------------------------------

NEARLY_HALF = math.nextafter(0.5, 0)
REALS = st.one_of(
    st.floats(allow_nan=False),
    st.floats(-300, 300),
    st.fractions(),
    st.integers(),
    st.integers(-(1 << 17), 1 << 17).map(lambda count: (count + 0.5) / 128),
    st.floats(width=16, allow_nan=False).map(np.float16),
    st.floats(width=32, allow_nan=False).map(np.float32),
)


def test_pixels_go_both_ways():
    pixels = np.arange(256, dtype=np.uint8)
    data = q7_from_pixels(pixels)
    assert data.dtype == np.int8 and data.tolist() == list(range(-128, 128))
    assert pixels_from_q7(data).dtype == np.uint8
    assert np.array_equal(pixels_from_q7(data), pixels)


FORMATS = ((q7_from_real, q7_to_real, 8, 7), (q17_14_from_real, q17_14_to_real, 32, 14))


def nearest(value, bits: int, fraction_bits: int) -> int:
    """Half up, saturated, by fractions."""
    limit = 1 << bits - 1
    if isinstance(value, float | np.floating) and math.isinf(value):
        return limit - 1 if value > 0 else -limit
    exact = Fraction(float(value)) if isinstance(value, np.floating) else Fraction(value)
    return min(max(math.floor(exact * (1 << fraction_bits) + HALF), -limit), limit - 1)


@pytest.mark.parametrize(("from_real", "to_real", "bits", "fraction_bits"), FORMATS)
@examples(300)
@given(values=st.lists(REALS, min_size=1, max_size=5))
def test_from_real_is_exact(from_real, to_real, bits, fraction_bits, values):
    expected = [nearest(value, bits, fraction_bits) for value in values]
    assert [from_real(value) for value in values] == expected
    assert from_real(np.array(values, object)).tolist() == expected
    floats = np.array([value for value in values if isinstance(value, float)])
    assert from_real(floats).tolist() == [nearest(value, bits, fraction_bits) for value in floats]
    assert from_real(to_real(expected)).tolist() == expected


@examples(300)
@given(
    value=st.one_of(
        st.floats(-(2.0**62), 2.0**62),
        st.fractions(-(10**6), 10**6),
        st.integers(-(1 << 63), (1 << 63) - 1),
        st.integers(-1000, 1000).map(lambda count: count / 2),
    )
)
def test_round_half_up_is_exact(value):
    expected = math.floor(Fraction(value) + HALF)
    assert round_half_up(value) == expected
    assert round_half_up(np.array([[value]])).tolist() == [[expected]]


def test_round_half_up_where_the_vendors_formula_is_not_exact():
    assert np.floor(0.5 + NEARLY_HALF) == 1 and round_half_up(NEARLY_HALF) == 0
    odd = 2.0**52 + 1
    assert np.floor(0.5 + odd) == odd + 1 and round_half_up(odd) == odd


def test_arrays_of_no_elements():
    empty = np.zeros((0, 3), np.int8)
    assert q7_add(empty, empty).shape == q7_from_real(empty / 128).shape == (0, 3)


REFUSED = (  # function, arguments, what the message says
    (q7_add, (128, 0), "Q7 takes integers from -128 to 127, not 128; the from_real functions"),
    (q7_add, (np.array([200], np.uint8), 0), "Q7 takes integers from -128 to 127, not 200; "),
    (q7_add, (0, 0.5), "Q7 takes integers from -128 to 127, not 0.5; "),
    (q7_multiply, (np.array([1, -300]), 1), "not int64 of shape (2,) from -300 to 1; "),
    (q7_multiply, ([], 1), "not float64 of shape (0,); "),
    (q7_from_pixels, (np.array([3, 4]),), "pixels are uint8, 0 to 255, not int64 of shape (2,) fr"),
    (pixels_from_q7, (np.zeros(2, np.uint8),), "data are int8, -128 to 127, not uint8 of shape"),
    (q7_to_real, (1 << 80,), f"not {1 << 80}; "),
    (q7_to_real, ("12",), "not '12'; "),
    (q17_14_to_real, (1 << 31,), "Q17.14 takes integers from -2147483648 to 2147483647, not "),
    (q17_14_to_q7, (-(1 << 31) - 1,), "not -2147483649; "),
    (q17_14_from_q7, (200,), "Q7 takes "),
    (q17_14_product, (-129, 0), "Q7 takes "),
    (q7_from_real, (math.nan,), "nan: real numbers are int, float or Fraction, and not NaN"),
    (q17_14_from_real, ([0.5, math.nan],), "float64 of shape (2,): real numbers"),
    (q7_from_real, (None,), "None: real numbers are"),
    (q7_from_real, ("0.5",), "'0.5': real numbers are"),
    (q7_from_real, (1j,), "1j: real numbers are"),
    (round_half_up, (1e300,), "1e+300 cannot be rounded to a 64-bit integer"),
    (round_half_up, (math.inf,), "inf cannot be rounded to a 64-bit integer"),
    (round_half_up, (2.0**63,), "9.223372036854776e+18 cannot be rounded to a 64-bit integer"),
    (round_half_up, (-1e19,), "-1e+19 cannot be rounded to a 64-bit integer"),
    (q7_from_pixels, (np.array([1, 2], np.int8),), "pixels are uint8, 0 to 255, not"),
)


@pytest.mark.parametrize(("function", "arguments", "message"), REFUSED)
def test_what_is_refused(function, arguments, message):
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert message in str(caught.value)


def test_formats_are_the_documented_ones():
    assert arithmetic.Q7 == ("Q7", 8, 7) and arithmetic.Q17_14 == ("Q17.14", 32, 14)
    assert q17_14_to_real((1 << 31) - 1) == 131071.99993896484375
