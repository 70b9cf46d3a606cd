"""Augmentation: what each kind does, and that it depends on seed, step and element only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from max78k_sim.errors import InputError
from tests.strategies import examples
from trainer.data import augment as augmenting
from trainer.data.audio import INPUT_SHAPE, SAMPLES, folded, unfolded
from trainer.data.augment import KINDS, augment

SEEDS, STEPS = st.integers(0, 2**32 - 1), st.integers(0, 10**6)
IMAGES = arrays.arrays(np.int8, (6, 2, 5, 7))
SOUND = np.random.default_rng(5).integers(-128, 128, (5, SAMPLES)).astype(np.int8)
RECIPES = st.permutations([("shift", 2), ("mirror", 128), ("noise", 9)])
AUDIO = [("stretch", 40), ("delay", 900), ("noise", 5)]


@given(IMAGES, RECIPES, SEEDS, STEPS, st.permutations(range(6)))
@examples(100)
def test_a_sample_is_changed_alike_in_any_batch(images, recipe, seed, step, order):
    elements = np.array([3, 900, 2**31, 7, 0, 5])
    whole = augment(images, recipe, seed, step, elements)
    assert whole.dtype == np.int8 and whole.shape == images.shape
    some = augment(images[order], recipe, seed, step, elements[order])
    assert np.array_equal(some, whole[order])
    one = augment(images[2:3], recipe, seed, step, elements[2:3])
    assert np.array_equal(one, whole[2:3])


@given(SEEDS, STEPS)
@examples(10)
def test_sound_is_changed_alike_in_any_batch(seed, step):
    images = folded(SOUND)
    whole = augment(images, AUDIO, seed, step, np.arange(5))
    assert whole.dtype == np.int8 and whole.shape == images.shape
    assert np.array_equal(augment(images[3:], AUDIO, seed, step, [3, 4]), whole[3:])


def test_seed_step_and_element_each_matter():
    images = np.zeros((4, 1, 8, 8), np.int8)
    recipe, elements = [("noise", 20)], np.arange(4)
    first = augment(images, recipe, 1, 2, elements)
    for seed, step, numbers in ((2, 2, elements), (1, 3, elements), (1, 2, elements + 4)):
        assert (augment(images, recipe, seed, step, numbers) != first).any()
    assert not images.any()  # what came in is as it was
    assert np.array_equal(augment(images, [], 1, 2, elements), images)


@given(IMAGES, SEEDS, st.integers(1, 9))
@examples(100)
def test_a_shift_is_a_crop_of_the_image_with_repeated_edges(images, seed, amount):
    moved = augment(images, [("shift", amount)], seed, 0, np.arange(6))
    padded = np.pad(images, ((0, 0), (0, 0), (amount, amount), (amount, amount)), mode="edge")
    for image, around in zip(moved, padded, strict=True):
        crops = np.lib.stride_tricks.sliding_window_view(around, (5, 7), axis=(1, 2))
        assert (crops == image[:, None, None]).all(axis=(0, 3, 4)).any()


def test_shifts_reach_every_place_alike():
    images = np.zeros((4_000, 1, 9, 9), np.int8)
    images[:, :, 4, 4] = 1
    moved = augment(images, [("shift", 1)], 3, 0, np.arange(4_000))
    counts = moved[:, 0, 3:6, 3:6].sum(axis=0, dtype=int)
    assert counts.sum() == 4_000 and abs(counts - 4_000 / 9).max() < 80


@given(IMAGES, SEEDS)
@examples(50)
def test_a_mirror_is_the_image_or_its_reverse(images, seed):
    result = augment(images, [("mirror", 256)], seed, 0, np.arange(6))
    assert np.array_equal(result, images[..., ::-1])
    for image, other in zip(
        augment(images, [("mirror", 100)], seed, 0, range(6)), images, strict=True
    ):
        assert np.array_equal(image, other) or np.array_equal(image, other[..., ::-1])


def test_noise_is_gaussian_and_saturates():
    images = np.full((3_000, 1, 8, 8), 3, np.int8)
    added = augment(images, [("noise", 10)], 1, 0, np.arange(3_000)).astype(int) - 3
    assert abs(added.mean()) < 0.1
    deviation = added.reshape(3_000, -1).std(axis=1)
    assert 4.5 < deviation.mean() < 5.5 and deviation.max() < 13  # 0 to 10, drawn alike often
    bright = augment(images + 124, [("noise", 60)], 1, 0, np.arange(3_000))
    assert bright.max() == 127 and bright.min() < 0


@given(SEEDS)
@examples(10)
def test_a_delay_moves_sound_and_leaves_silence(seed):
    images = folded(SOUND)
    keys = augmenting.element_keys(seed, 0, np.arange(5))
    moves = augmenting.numbers(keys, -700, 700)
    moved = unfolded(augmenting.delay(images, keys, 700))
    for before, after, move in zip(SOUND, moved, moves.tolist(), strict=True):
        assert abs(move) <= 700
        expected = np.zeros_like(before)
        source = before[max(0, -move) : SAMPLES - max(0, move)]
        expected[max(0, move) : max(0, move) + len(source)] = source
        assert np.array_equal(after, expected)


def test_a_stretch_is_linear_in_between_and_silent_outside():
    """Against numpy's real interpolation; half a step of rounding is allowed."""
    keys = augmenting.element_keys(9, 0, np.arange(5))
    factors = (256 + augmenting.numbers(keys, -100, 100)) / 256
    stretched = unfolded(augmenting.stretch(folded(SOUND), keys, 100))
    assert factors.min() < 0.9 and factors.max() > 1.1
    time = np.arange(-1, SAMPLES + 1)
    for before, after, factor in zip(SOUND, stretched, factors, strict=True):
        place = SAMPLES / 2 + (np.arange(SAMPLES) - SAMPLES / 2) * factor
        expected = np.interp(place, time, np.pad(before.astype(float), 1), left=0, right=0)
        assert np.abs(after - expected).max() <= 0.5


FAULTS = [
    ([("blur", 1)], "augmentation 'blur' is not one of shift, mirror, noise, delay, stretch"),
    ([("shift", 0)], "augmentation shift 0: 1 to 64 is possible, pixels"),
    ([("shift", 1.5)], "augmentation shift 1.5: 1 to 64 is possible, pixels"),
    ([("noise", 65)], "augmentation noise 65: 1 to 64 is possible, the largest deviation"),
    ([("mirror", 1), ("mirror", 1)], "augmentation mirror is given twice"),
    ([("delay", 5)], r"augmentation delay is of sound, \(128, 128, 1\); the input is \(1, 4, 4\)"),
]


@pytest.mark.parametrize(("recipe", "message"), FAULTS)
def test_faults(recipe, message):
    with pytest.raises(InputError, match=message):
        augment(np.zeros((1, 1, 4, 4), np.int8), recipe, 0, 0, [0])


def test_every_kind_is_tested_here():
    assert set(KINDS) == {"shift", "mirror", "noise", "delay", "stretch"}
    assert INPUT_SHAPE == (128, 128, 1)
