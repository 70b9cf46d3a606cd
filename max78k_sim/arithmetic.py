"""The chip's integer arithmetic: the only place that rounds.

Every function takes one number or an array of any shape alike, and gives integers for integers;
only ``round_half_up`` and the ``from_real`` and ``to_real`` functions, which nothing on the exact
path uses, see real numbers.  What a user writes with is in the names that begin with a format:
Q7 (8 bits, 128 stands for 1: data, weights, biases) and Q17.14 (32 bits, 16384 stands for 1: sums
of products of Q7, and 32-bit output).  Those check their arguments and count in int64, so that
int8 arrays do not wrap.  Source: the vendor's chapter "Number Format"; every example of it is a row
in tests/unit/test_number_format.py.
"""

from __future__ import annotations

from numbers import Real
from typing import NamedTuple

import numpy as np

from .errors import InputError

ACTIVATION_MIN, ACTIVATION_MAX = -128, 127  # 8-bit data
FRACTION_BITS = 7  # data and weights are Q7: 128 stands for 1
BIAS_SHIFT = 7  # a bias counts in units of 128 of the accumulator
PIXEL_ZERO = 128  # the pixel that is 0 in Q7
ROUND_HALF = 1 << FRACTION_BITS - 1


class Format(NamedTuple):
    """A fixed-point format: signed numbers of ``bits`` bits that count 2**-fraction_bits."""

    name: str
    bits: int
    fraction_bits: int


Q7 = Format("Q7", 8, FRACTION_BITS)
Q17_14 = Format("Q17.14", 32, 2 * FRACTION_BITS)  # a product of two Q7 values has both fractions


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


def round_half_up(value):
    """floor(value + 1/2) as int64: the chip's rounding, half towards positive infinity.

    ``value``: int, float, Fraction, or an array of them.  Exact for each: adding 1/2 to a float
    before taking the floor, as the vendor's NumPy formula does, makes 1 of 0.49999999999999994.
    Raises InputError for NaN and for what 64 bits cannot hold.
    """
    real = _reals(value)
    if not np.all((real >= -(2.0**63)) & (real < 2.0**63)):
        raise InputError(f"{_shown(real)} cannot be rounded to a 64-bit integer")
    whole = np.floor(real)
    return _int64(whole + (real - whole >= 0.5))  # the difference is exact where it decides


# ---- Q7: data, weights, biases ------------------------------------------------------------------


def q7_from_real(value):
    """The Q7 value nearest to a real number, half rounded up, saturated: int64, -128 to 127.

    ``value`` as in ``round_half_up``; infinities saturate, NaN raises InputError.  Exact: scaling
    by 128 loses nothing.  The inverse of ``q7_to_real`` on every Q7 value.
    """
    return _from_real(value, Q7)


def q7_to_real(value):
    """value / 128 as float64, exactly; InputError for what is no Q7 value."""
    return _integers(value, Q7) / (1 << Q7.fraction_bits)


def q7_from_pixels(pixels):
    """Pixels, 0 to 255, as the chip takes images: p - 128, int8.

    The vendor's own convention; 128 becomes 0.  ``pixels``: uint8; others raise InputError.  The
    inverse is ``pixels_from_q7``.
    """
    if pixels.dtype != np.uint8:
        raise InputError(f"pixels are uint8, 0 to 255, not {_shown(pixels)}")
    return (pixels ^ np.uint8(PIXEL_ZERO)).view(np.int8)  # the same in two's complement


def pixels_from_q7(values):
    """int8 data as pixels: v + 128, uint8; others raise InputError."""
    if values.dtype != np.int8:
        raise InputError(f"data are int8, -128 to 127, not {_shown(values)}")
    return values.view(np.uint8) ^ np.uint8(PIXEL_ZERO)


def q7_add(first, second):
    """Saturating sum of Q7 values, int64; InputError for what is no Q7 value.

    The chip saturates once, after a whole sum of products; a chain of ``q7_add`` saturates at each
    link, which differs: see ``q17_14_product``.
    """
    return saturate(_integers(first, Q7) + _integers(second, Q7))


def q7_multiply(first, second, rounding: bool = False):
    """Product of Q7 values by sign and magnitude, int64; InputError for what is no Q7 value.

    The magnitude is shifted right by 7 and truncated, so that products round toward zero; -1 * -1
    saturates to 127/128.  With ``rounding``, bit 6 of the unshifted magnitude rounds it up: half
    away from zero.

    Label: vendor's sources disagree.  The chapter's steps list "round up/down depending on r'[6]",
    but its examples truncate: 1/64 * 1/4 has bit 6 set, and the chapter gives 0.  The examples
    decide the default.  Its last example (127/128 * 1/128 = 127/128, by "saturation") is no product
    by either reading, which give 0 and 1/128; it is the operands' sum.  Neither is what the chip
    does with sums of products; that is ``q17_14_to_q7(q17_14_product(...))``.
    """
    product = _integers(first, Q7) * _integers(second, Q7)
    magnitude = abs(product) + (ROUND_HALF if rounding else 0) >> FRACTION_BITS
    return saturate(np.sign(product) * magnitude)


# ---- Q17.14: sums of products, 32-bit output ----------------------------------------------------


def q17_14_from_real(value):
    """The Q17.14 value nearest to a real number, half rounded up, saturated: int64.

    Saturates at -131072 and 131071.99993896484375; otherwise as ``q7_from_real``.
    """
    return _from_real(value, Q17_14)


def q17_14_to_real(value):
    """value / 16384 as float64, exactly; InputError for what 32 bits cannot hold."""
    return _integers(value, Q17_14) / (1 << Q17_14.fraction_bits)


def q17_14_from_q7(value):
    """A Q7 value in Q17.14, int64, exactly: how the chip adds a bias to its accumulator."""
    return _integers(value, Q7) << Q17_14.fraction_bits - Q7.fraction_bits


def q17_14_product(first, second):
    """Exact product of Q7 values in Q17.14, int64: what the chip sums in full resolution."""
    return _integers(first, Q7) * _integers(second, Q7)


def q17_14_to_q7(value, shift: int = 0):
    """A 32-bit output as the 8-bit output that the chip gives for it, with ``output_shift`` shift.

    Scaled by 2**shift (-15 to 15), rounded half up, saturated: int64, -128 to 127.  InputError for
    what 32 bits cannot hold.
    """
    return saturate(requantise(_integers(value, Q17_14), shift))


# ---- checks at the border -----------------------------------------------------------------------


def _integers(value, kind: Format):
    """int64, the same shape; InputError unless integers that the format holds."""
    array = np.asarray(value)
    limit = 1 << kind.bits - 1
    if array.dtype.kind not in "iu" or not np.all((array >= -limit) & (array < limit)):
        raise InputError(
            f"{kind.name} takes integers from {-limit} to {limit - 1}, not {_shown(array)}; "
            "the from_real functions convert and saturate"
        )
    return _int64(array)


def _reals(value) -> np.ndarray:
    """Real numbers as float64 or wider, or exact as Python objects; InputError for others."""
    array = np.asarray(value)
    if array.dtype.kind in "iu":
        array = array.astype(object)  # float64 does not hold every 64-bit integer
    elif array.dtype.kind == "f":
        array = array.astype(np.result_type(array, np.float64))
    elif array.dtype.kind == "O":  # a float32 in there would round what it is compared with
        items = [item.item() if isinstance(item, np.generic) else item for item in array.flat]
        array = np.array([*items, None], object)[:-1].reshape(array.shape)
    real = array.dtype.kind == "f" or all(isinstance(item, Real) for item in array.flat)
    if not real or np.any(array != array):  # NaN
        raise InputError(f"{_shown(array)}: real numbers are int, float or Fraction, and not NaN")
    return array


def _from_real(value, kind: Format):
    """The nearest value of a format; clipped first, because every limit is a value."""
    unit, limit = 1 << kind.fraction_bits, 1 << kind.bits - 1
    return round_half_up(np.clip(_reals(value), -limit / unit, (limit - 1) / unit) * unit)


def _int64(value):
    """An int64 scalar, or an int64 array."""
    return np.asarray(value).astype(np.int64)[()]


def _shown(array: np.ndarray) -> str:
    """An array in a message: its one value, or its type, and its range if it has one."""
    if array.size == 1:
        return repr(array.item())
    ranged = array.size and array.dtype.kind in "iu"
    span = f" from {array.min()} to {array.max()}" if ranged else ""
    return f"{array.dtype} of shape {array.shape}{span}"
