"""Replay: what is kept comes back, within the budget; who stays is fair, and a function of seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from max78k_sim.errors import InputError
from trainer.learning import replay
from trainer.learning.buffer import as_kept, rehearsal
from trainer.learning.replay import Codec
from trainer.loop import Pool
from trainer.quantized_update import draws
from trainer.recipe import Recipe

SIDES = st.tuples(st.integers(0, 5), st.integers(1, 9))
INT8 = arrays(np.int8, SIDES)
LATENTS = arrays(np.int8, SIDES, elements=st.integers(0, 127))


@given(INT8)
def test_eight_bits_come_back_as_they_were(values):
    codec = Codec.of(values, 8)
    kept = codec.encode(values)
    assert kept.nbytes == len(values) * codec.size(values.shape[1])
    assert np.array_equal(codec.decode(kept, values.shape[1]), values)


@given(st.one_of(INT8, LATENTS))
def test_four_bits_come_back_within_half_a_step(values):
    codec = Codec.of(values, 4)
    kept = codec.encode(values)
    assert kept.dtype == np.uint8 and kept.nbytes == len(values) * codec.size(values.shape[1])
    back = codec.decode(kept, values.shape[1])
    assert back.shape == values.shape and back.dtype == np.int8
    half, top = 1 << codec.step_bits >> 1, codec.lowest + (15 << codec.step_bits)
    inside = values <= top
    assert (np.abs(back.astype(int) - values)[inside] <= half).all()
    assert (back[~inside] == min(top, 127)).all()
    assert np.array_equal(codec.decode(codec.encode(back), values.shape[1]), back)  # codes are


@pytest.mark.parametrize(
    ("largest", "step_bits"), [(0, 0), (15, 0), (16, 1), (30, 1), (31, 2), (60, 2), (61, 3)]
)
def test_steps_are_as_fine_as_the_values_allow(largest, step_bits):
    assert Codec.of(np.full((1, 4), largest, np.int8), 4) == Codec(4, 0, step_bits)


def test_bytes_of_examples_are_those_of_their_arrays():
    values = np.arange(60, dtype=np.int8).reshape(4, 5, 3)
    teacher = np.zeros((4, 10), np.uint8)
    for bits, size in ((8, 15 + 1 + 10), (4, 8 + 1 + 10)):
        kept = replay.keep(Codec(bits), values, np.arange(4), teacher)
        assert kept.bytes == 4 * size == kept.kept.nbytes + 4 + teacher.nbytes
        assert kept.values.shape == values.shape
    assert replay.capacity(100, 26) == 3
    with pytest.raises(InputError, match="replay of 25 bytes: one example takes 26"):
        replay.capacity(25, 26)


LABELS = st.lists(st.integers(0, 4), max_size=60).map(lambda found: np.array(found, np.int64))


@given(LABELS, st.integers(1, 20), st.integers(0, 2**32 - 1), st.sampled_from([*replay.POLICIES]))
def test_policies_keep_as_many_as_there_is_room_for(labels, room, seed, name):
    held = replay.chosen(name, labels, room, seed)
    assert len(held) == len(set(held.tolist())) == min(room, len(labels))
    assert np.array_equal(held, replay.chosen(name, labels, room, seed))
    if name == "balanced" and len(labels):
        counts, there = (np.bincount(each, minlength=5) for each in (labels[held], labels))
        short = counts < there  # classes of which some had to go: equal to within one
        assert not short.any() or counts.max() - counts[short].min() <= 1


@pytest.mark.parametrize("name", replay.POLICIES)
def test_every_example_stays_equally_often(name):
    """Of one class, 20 examples in 5 places: each stays in a quarter of 1,000 runs, +- 5 sigma."""
    labels, runs = np.zeros(20, np.int64), 1000
    counts = np.zeros(20)
    for seed in range(runs):
        counts[replay.chosen(name, labels, 5, seed)] += 1
    deviation = (runs * 0.25 * 0.75) ** 0.5
    assert np.abs(counts - runs / 4).max() < 5 * deviation


def test_draws_are_those_of_the_trainer():
    for seed, number in ((1, 0), (7, 12), (2**32 - 1, 10**6)):
        exact = int(draws(seed ^ replay.REPLAY_SALT, number, 1)[0])
        assert replay.uniform(seed ^ replay.REPLAY_SALT, number, 1000) == exact * 1000 >> 32


@given(st.integers(1, 6), st.integers(1, 40), st.integers(1, 12), st.sampled_from([4, 8]))
def test_a_board_shows_a_new_example_and_kept_ones(new, old, room, bits):
    random = np.random.default_rng(new + 10 * old + 1000 * room)
    images = random.integers(-128, 128, (new + old, 1, 3, 3)).astype(np.int8)
    labels = np.r_[np.full(new, 9), random.integers(0, 3, old)]
    recipe = Recipe(batch=4, steps=10, seed=room)
    pool, order = rehearsal(Pool(images, labels, new), recipe, room, bits, "balanced")
    for step in range(recipe.steps):
        first, *kept = order.batch_at(step)
        assert first == step % new and np.array_equal(pool.images[first], images[first])
        held = np.array(kept) - new
        assert (held >= 0).all() and np.array_equal(pool.labels[kept], labels[held])
        assert np.array_equal(pool.images[kept], as_kept(images[held], bits))
        assert not set(held[held < new]) - set(range(step + 1))  # what was shown before
    everything = {int(n) for step in range(recipe.steps) for n in order.batch_at(step)[1:]}
    assert len(everything) <= room + new + old
    error = np.abs(as_kept(images, bits).astype(int) - images)
    assert error.max(initial=0) <= (0 if bits == 8 else 15)


@pytest.mark.parametrize(("new", "batch"), [(0, 4), (3, 1)])
def test_a_step_without_new_or_kept_examples(new, batch):
    pool = Pool(np.zeros((5, 1, 2, 2), np.int8), np.zeros(5, np.int64), new)
    with pytest.raises(InputError, match=f"here {new} new ones in batches of {batch}; give --b"):
        rehearsal(pool, Recipe(batch=batch), 2, 8, "balanced")
