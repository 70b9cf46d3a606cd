"""Integer soft-max cross-entropy against the real one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.strategies import examples
from trainer import losses

LOGITS = arrays.arrays(np.int32, st.integers(2, 20), elements=st.integers(-(2**25), 2**25 - 1))


def real_probabilities(logits, shift):
    scaled = logits.astype(np.float64) * 2.0**shift / 2**losses.LOGIT_BITS
    power = np.exp(scaled - scaled.max())
    return power / power.sum()


def one_error(logits, label, shift):
    wanted = losses.targets(np.array([label]), len(logits))
    return losses.cross_entropy(logits[None], wanted, shift)[0]


@given(LOGITS, st.integers(-15, 15))
@examples(150)
def test_error_is_probability_minus_one_for_the_label(logits, shift):
    error = one_error(logits, 1, shift)
    probability = error / losses.ERROR_ONE
    probability[1] += 1
    assert np.abs(probability - real_probabilities(logits, shift)).max() < 2e-3


@given(LOGITS, st.integers(-15, 15), st.data())
@examples(150)
def test_errors_are_at_most_one_and_sum_to_almost_nothing(logits, shift, data):
    label = data.draw(st.integers(0, len(logits) - 1))
    error = one_error(logits, label, shift)
    assert error.min() >= -losses.ERROR_LIMIT and error.max() <= losses.ERROR_LIMIT
    assert -len(logits) <= error.sum() <= 1  # each probability is rounded down; 1: saturated


@pytest.mark.parametrize("shift", (-15, -3, 0, 1, 5, 15))
def test_powers_fall_with_the_distance_and_match_exp(shift):
    distance = np.unique(np.geomspace(1, 2**27, 500).astype(np.int64))
    power = losses.powers_of_e(distance, shift)
    assert (np.diff(power) <= 0).all()
    real = np.exp(-distance * 2.0**shift / 2**losses.LOGIT_BITS) * 2**losses.POWER_BITS
    assert np.abs(power - real).max() < 2**losses.POWER_BITS * 1e-3 + 1
    assert losses.powers_of_e(np.array([0]), shift)[0] == 1 << losses.POWER_BITS


def test_constants_are_what_they_say():
    assert losses.LOG2_E == 47274 == round(math.log2(math.e) * 2**15)
    assert losses.POWERS[0] == 65536 and losses.POWERS[-1] == 32768


def test_a_certain_class_that_is_wrong_fits_16_bits():
    error = one_error(np.array([1 << 24, 0], np.int32), 1, 0)
    assert error.tolist() == [32767, -32767]


@given(LOGITS, st.integers(-15, 15), st.data())
@examples(100)
def test_half_the_squared_distance(logits, shift, data):
    label = data.draw(st.integers(0, len(logits) - 1))
    wanted = losses.targets(np.array([label]), len(logits))
    error = losses.squared(logits[None], wanted, shift)[0]
    real = logits.astype(np.float64) * 2.0**shift / 2**losses.LOGIT_BITS
    real[label] -= 1
    assert np.abs(np.clip(real, -1, 1) - error / losses.ERROR_ONE).max() <= 2.0**-15


@given(LOGITS, st.integers(-3, 3), st.integers(0, 256))
@examples(100)
def test_a_teacher_counts_its_share(logits, shift, share):
    teacher = losses.said(logits[None], shift)
    assert np.abs(teacher[0] / 256 - real_probabilities(logits, shift)).max() < 2**-8 + 2e-3
    wanted = losses.targets(np.array([0]), len(logits), teacher, share)[0] / losses.ERROR_ONE
    label = np.eye(len(logits))[0]
    mixed = label * (1 - share / 256) + teacher[0] / 256 * share / 256
    assert np.abs(wanted - mixed).max() <= 2.0**-15


def test_a_teacher_who_agrees_leaves_almost_no_error():
    logits = np.array([[9000, 100, -4000]], np.int32)
    wanted = losses.targets(np.array([0]), 3, losses.said(logits, 0), 256)
    assert np.abs(losses.cross_entropy(logits, wanted, 0)).max() <= 1 << 15 - 8
