"""Block floating point against Python's own integers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import examples
from trainer.blocks import Block, bit_lengths, mantissa_bits, merged, normalised, shifted

INT32 = st.integers(-(2**31) + 1, 2**31 - 1)


def block(rows, exponents) -> Block:
    return Block(np.array(rows, np.int32)[:, None, None, :], np.array(exponents, np.int64))


def half_up(value: int, shift: int) -> int:
    return value << -shift if shift <= 0 else (value + (1 << shift - 1)) >> shift


@given(st.lists(INT32, min_size=1, max_size=5), st.integers(0, 31))
@examples(200)
def test_shifts_round_half_up(values, shift):
    found = shifted(np.array([values], np.int32), np.array([shift]))
    assert found.tolist() == [[half_up(value, shift) for value in values]]


@given(st.lists(INT32, min_size=3, max_size=3), st.lists(INT32, min_size=3, max_size=3))
@examples(100)
def test_lengths_are_those_of_the_largest_magnitude(one, other):
    wanted = [max(abs(value) for value in row).bit_length() for row in (one, other)]
    assert bit_lengths(np.array([one, other], np.int32)).tolist() == wanted


@given(st.lists(INT32, min_size=1, max_size=6), st.integers(8, 15))
@examples(200)
def test_mantissas_are_the_nearest_that_fit(values, bits):
    found = normalised(block([values], [-15]), bits)
    shift = max(max(abs(value) for value in values).bit_length() - bits, 0)
    limit = (1 << bits) - 1
    wanted = [max(-limit, min(limit, half_up(value, shift))) for value in values]
    assert found.values.reshape(-1).tolist() == wanted and found.exponent == -15 + shift
    assert found.values.dtype == np.int16


@given(st.integers(1, 1 << 16), st.sampled_from((1, 2, 4, 8)))
@examples(200)
def test_so_many_products_of_mantissas_fit_32_bits(count, weight_bits):
    largest = (1 << mantissa_bits(count, weight_bits)) - 1
    assert count * largest << weight_bits - 1 < 1 << 31


@given(
    st.lists(
        st.tuples(st.lists(INT32, min_size=2, max_size=2), st.integers(-40, 20)),
        min_size=2,
        max_size=4,
    )
)
@examples(200)
def test_a_merged_block_is_the_sum(parts):
    found = merged([block([values], [exponent]) for values, exponent in parts])
    tops = [abs(v) * 2.0**e for values, e in parts for v in values]
    for place in (0, 1):
        wanted = sum(values[place] * 2.0**exponent for values, exponent in parts)
        real = float(found.values[0, 0, 0, place]) * 2.0 ** float(found.exponent[0])
        assert abs(real - wanted) <= max(tops) * len(parts) * 2.0**-26


def test_a_block_alone_stays_as_it_is():
    one = block([[1, 2]], [3])
    assert merged([one]) is one


def test_nothing_merged_with_nothing_is_nothing():
    assert not merged([block([[0, 0]], [-9]), block([[0, 0]], [4])]).values.any()
