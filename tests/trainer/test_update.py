"""Stochastic rounding, momentum and the schedule."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from max78k_sim.engine import update
from max78k_sim.errors import InputError
from tests.strategies import examples
from trainer import optimizers, quantized_update
from trainer.quantized_update import Grid
from trainer.recipe import SCHEDULES, Recipe
from trainer.schedule import Schedule


@pytest.mark.parametrize("value, shift", ((5, 3), (-5, 3), (1, 10), (-(1 << 36), 32), (7, 1)))
def test_stochastic_rounding_is_right_on_average(value, shift):
    draws = quantized_update.dithers(seed=3, step=9, count=40_000)
    rounded = quantized_update.stochastic_shift(np.full(40_000, value), shift, draws)
    floor = value >> shift
    assert set(np.unique(rounded)) <= {floor, floor + 1}
    assert rounded.mean() == pytest.approx(value / 2**shift, abs=0.01)


DRAWS = (quantized_update.draws, quantized_update.dithers)


@given(
    st.sampled_from(DRAWS),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**20),
    st.integers(1, 300),
    st.integers(0, 300),
)
@examples(60)
def test_draws_depend_on_seed_step_and_element_alone(draws, seed, step, count, first):
    whole = draws(seed, step, first + count)
    assert np.array_equal(whole[first:], draws(seed, step, count, first))


@pytest.mark.parametrize("draws, distinct", tuple(zip(DRAWS, (1, 4), strict=True)))
def test_draws_are_spread(draws, distinct):
    found = draws(seed=1, step=0, count=100_000).astype(np.int64)
    groups = len(np.unique(found[::distinct]))
    assert groups == 100_000 // distinct  # a permutation of the element's, or the group's, number
    for bit in range(32):
        assert abs((found >> bit & 1).mean() - 0.5) < 0.01
    following = draws(seed=1, step=1, count=100_000).astype(np.int64)
    for lag in range(1, 8):
        assert abs(np.corrcoef(found[lag:], found[:-lag])[0, 1]) < 0.02
    assert abs(np.corrcoef(found, following)[0, 1]) < 0.02


def test_four_elements_share_a_draw_and_turn_it():
    first, *others = (int(each) for each in quantized_update.dithers(seed=7, step=3, count=4))
    for turn, other in enumerate(others, 1):
        assert other == ((first << 8 * turn | first >> 32 - 8 * turn) & 0xFFFFFFFF)


ROUNDINGS = tuple(quantized_update.ROUNDINGS)


@given(
    st.integers(-128, 127),
    st.integers(-(2**39), 2**39),
    st.integers(-3, 32),
    st.sampled_from(ROUNDINGS),
    st.integers(0, 8),
)
@examples(300)
def test_a_step_is_what_it_says_within_one_unit(weight, change, shift, rounding, fraction_bits):
    grid, draw = Grid(8, fraction_bits), quantized_update.draws(1, 1, 1)
    total = grid.whole(np.array([weight], np.int8), None)
    moved = quantized_update.update(total, np.array([change]), shift, draw, rounding)
    exact = (weight << fraction_bits) - change / 2**shift
    assert abs(exact - moved[0]) <= (1 if shift > 0 else 0)
    weights, fraction = grid.split(moved)
    assert weights.dtype == np.int8 and -128 <= weights[0] <= 127
    unit = 1 << fraction_bits
    wanted = np.clip(moved[0], -128 * unit, 127 * unit)
    assert int(weights[0]) * unit + int(fraction[0]) == wanted
    assert abs(int(fraction[0])) <= unit // 2


@given(st.sampled_from((1, 2, 4, 8)), st.integers(-(2**20), 2**20), st.sampled_from((0, 8)))
@examples(200)
def test_narrow_weights_stay_in_their_range(bits, total, fraction_bits):
    grid = Grid(bits, fraction_bits)
    weights, fraction = grid.split(np.array([total]))
    lowest, highest = {1: (-1, 0), 2: (-2, 1), 4: (-8, 7), 8: (-128, 127)}[bits]
    assert lowest <= weights[0] <= highest
    again = grid.whole(weights, fraction)
    assert np.array_equal(grid.split(again)[0], weights)


@given(st.data(), st.sampled_from((1, 2, 4, 8)), st.sampled_from((0, 8)), st.integers(0, 30))
@examples(300)
def test_the_engine_steps_as_the_definition(data, bits, fraction_bits, decay):
    shift = data.draw(st.integers(-3, 32), "shift")
    rounding = data.draw(st.sampled_from(ROUNDINGS), "rounding")
    rate = data.draw(st.integers(0, 255 * 256), "rate")
    first, count = data.draw(st.integers(0, 70), "first"), data.draw(st.integers(1, 40), "count")
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), "seed"))
    grid = Grid(bits, fraction_bits)
    weights = random.integers(grid.lowest, grid.highest + 1, count, np.int8)
    velocity = random.integers(-(2**31), 2**31, count)
    half = 1 << fraction_bits >> 1
    fraction = random.integers(-half, half + 1, count).astype(np.int16) if fraction_bits else None
    total, change = grid.whole(weights, fraction), velocity * rate >> 8
    if decay:
        change = change + (total << shift - decay if shift >= decay else total >> decay - shift)
    draw = quantized_update.dithers(5, 9, count, first)
    wanted = grid.split(quantized_update.update(total, change, shift, draw, rounding))

    how = update.Step(
        rate=rate, rate_bits=8, shift=shift, rounding=rounding, decay=decay,
        bits=fraction_bits, lowest=grid.lowest, highest=grid.highest,
    )  # fmt: skip
    base = quantized_update.base_of(5, 9)
    draws = update.Draws(base, first, quantized_update.SHARING, quantized_update.MIX)
    update.step(weights, velocity, fraction, how, draws)
    assert np.array_equal(weights, wanted[0])
    assert np.array_equal(wanted[1], 0 * wanted[1] if fraction is None else fraction)


def test_the_engine_steps_arrays_of_the_right_kind_alone():
    how = update.Step(1, 8, 4, "nearest", 0, 0, -128, 127)
    draws = update.Draws(0, 0, quantized_update.SHARING, quantized_update.MIX)
    with pytest.raises(TypeError, match="velocity is int32, it has to be int64, in one run"):
        update.step(np.zeros(4, np.int8), np.zeros(4, np.int32), None, how, draws)


def test_a_change_of_nothing_changes_nothing():
    total = np.arange(-128, 128)
    draws = quantized_update.draws(5, 5, 256)
    for rounding in ROUNDINGS:
        new = quantized_update.update(total, np.zeros(256, np.int64), 32, draws, rounding)
        assert np.array_equal(new, total)


def test_truncation_loses_small_steps_that_stochastic_rounding_keeps():
    change, draws = np.full(40_000, 100), quantized_update.draws(3, 3, 40_000)
    steps = {name: -quantized_update.update(np.zeros(40_000, np.int64), change, 8, draws, name)
             for name in ROUNDINGS}  # fmt: skip
    assert not steps["truncate"].any() and not steps["nearest"].any()
    assert steps["stochastic"].mean() == pytest.approx(100 / 256, abs=0.01)


@given(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=20))
@examples(200)
def test_integer_roots(values):
    found = optimizers.integer_root(np.array(values, np.int64))
    assert found.tolist() == [math.isqrt(value) for value in values]


@pytest.mark.parametrize("size", (1 << 12, 1 << 16, 1 << 20))
def test_adam_takes_equal_steps_for_gradients_of_any_size(size):
    velocity, second = np.zeros(2, np.int64), np.zeros(2, np.int64)
    gradient = np.array([size, -size])
    for _ in range(3000):
        optimizers.decay(velocity, 3)
        velocity += gradient
        optimizers.add_square(second, gradient, 3)
    change = optimizers.adam_change(velocity, second)
    wanted = 1 << optimizers.ADAM_BITS
    coarse = size < 1 << 31 - 3 - optimizers.SQUARE_BITS  # counts as nothing, or as 1
    assert (
        (np.abs(change) <= wanted * 1.2).all()
        if coarse
        else change[0] == pytest.approx(wanted, rel=0.1)
    )
    assert change[0] > 0 > change[1]


@given(st.integers(1, 64), st.integers(0, 7))
@examples(100)
def test_velocities_never_leave_32_bits(batch, shift):
    limit = optimizers.gradient_limit(batch, shift)
    for sign in (1, -1):
        velocity = np.zeros(1, np.int64)
        for _ in range(40 << shift):
            optimizers.decay(velocity, shift)
            velocity += sign * batch * limit
            assert -(1 << 31) <= velocity[0] < 1 << 31


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
    (dict(loss="hinge"), "loss 'hinge': it is cross-entropy, squared"),
    (dict(precision="int4"), "precision 'int4': it is in place, residual, int16"),
    (dict(parts=("gamma",)), "of a layer, kernel and bias can be trained"),
)


@pytest.mark.parametrize("fields, message", BAD_RECIPES)
def test_bad_recipes(fields, message):
    with pytest.raises(InputError) as error:
        Recipe(**fields)
    assert message in str(error.value)


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_never_rise(name):
    factors = [SCHEDULES[name](step, 100) for step in range(100)]
    assert factors[0] == 256 and min(factors) >= 0
    assert all(b <= a for a, b in pairwise(factors))


def test_a_rate_that_is_out_of_reach_says_which_would_do():
    with pytest.raises(InputError, match="would be 50, it is 1 to 32; rate_shift 10 would do"):
        Recipe(rate_shift=28).right_shift(0, -29, 0)
