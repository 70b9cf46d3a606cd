"""Stochastic rounding, momentum and the schedule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from max78k_sim.errors import InputError
from tests.strategies import examples
from trainer import optimizers, quantized_update
from trainer.loop import Recipe
from trainer.schedule import Schedule


@pytest.mark.parametrize("value, shift", ((5, 3), (-5, 3), (1, 10), (-(1 << 36), 32), (7, 1)))
def test_stochastic_rounding_is_right_on_average(value, shift):
    draws = quantized_update.draws(seed=3, step=9, count=40_000)
    rounded = quantized_update.stochastic_shift(np.full(40_000, value), shift, draws)
    floor = value >> shift
    assert set(np.unique(rounded)) <= {floor, floor + 1}
    assert rounded.mean() == pytest.approx(value / 2**shift, abs=0.01)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**20), st.integers(1, 300), st.integers(0, 300))
@examples(60)
def test_draws_depend_on_seed_step_and_element_alone(seed, step, count, first):
    whole = quantized_update.draws(seed, step, first + count)
    assert np.array_equal(whole[first:], quantized_update.draws(seed, step, count, first))


def test_draws_are_spread():
    draws = quantized_update.draws(seed=1, step=0, count=100_000).astype(np.int64)
    assert len(np.unique(draws)) == 100_000  # a permutation of the element's number
    for bit in range(32):
        assert abs((draws >> bit & 1).mean() - 0.5) < 0.01
    following = quantized_update.draws(seed=1, step=1, count=100_000).astype(np.int64)
    assert abs(np.corrcoef(draws, following)[0, 1]) < 0.02


@given(st.integers(-128, 127), st.integers(-(2**31), 2**31 - 1), st.integers(1, 32))
@examples(200)
def test_weights_stay_in_8_bits(weight, velocity, shift):
    args = np.array([weight], np.int8), np.array([velocity]), (255, shift)
    new = quantized_update.update(*args, quantized_update.draws(1, 1, 1))
    exact = weight - velocity * 255 / 2**shift
    assert new.dtype == np.int8
    assert abs(np.clip(exact, -128, 127) - new[0]) <= 1


def test_a_velocity_of_nothing_changes_nothing():
    weights = np.arange(-128, 128).astype(np.int8)
    draws = quantized_update.draws(5, 5, 256)
    new = quantized_update.update(weights, np.zeros(256, np.int64), (255, 32), draws)
    assert np.array_equal(new, weights)


@given(st.integers(0, 7), st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=30))
@examples(80)
def test_momentum_is_a_decaying_sum(shift, gradients):
    velocity, real = np.zeros(1, np.int64), 0.0
    for gradient in gradients:
        optimizers.decay(velocity, shift)
        velocity += gradient
        real = real * (1 - 2.0**-shift) + gradient
    assert abs(velocity[0] - real) <= 2**shift  # what rounding can add up to


def test_schedule_shows_every_example_in_its_share():
    schedule = Schedule(new=100, replay=270, batch=8, new_share=26, seed=1)
    shown = np.concatenate([schedule.batch_at(step) for step in range(2000)])
    assert shown.min() == 0 and shown.max() == 369
    assert (shown < 100).mean() == pytest.approx(26 / 256, abs=0.01)
    assert len(np.unique(shown)) == 370
    assert np.array_equal(schedule.batch_at(7), schedule.batch_at(7))
    assert not np.array_equal(schedule.batch_at(7), schedule.batch_at(8))


def test_schedule_without_replay_or_without_new_examples():
    assert Schedule(3, 0, 8, 0, 1).batch_at(0).max() < 3
    assert Schedule(0, 3, 8, 256, 1).batch_at(0).max() < 3


BAD_RECIPES = (
    (dict(batch=64, momentum_shift=7), "batch * 2**momentum_shift has to stay below 512"),
    (dict(rate_mantissa=0), "rate_mantissa 0 is not in 1 to 255"),
    (dict(steps=0), "steps 0 is not in 1 to"),
    (dict(seed=-1), "seed -1 is not in 0 to"),
)


@pytest.mark.parametrize("fields, message", BAD_RECIPES)
def test_bad_recipes(fields, message):
    with pytest.raises(InputError) as error:
        Recipe(**fields)
    assert message in str(error.value)


def test_a_rate_that_no_shift_can_hold():
    with pytest.raises(InputError, match="the total right shift would be 46, it is 1 to 32"):
        Recipe(rate_shift=30).update_rate(1)
