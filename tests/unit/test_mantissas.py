"""Errors on their way back, by the engine, against Python's own integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from max78k_sim.engine import mantissas
from max78k_sim.engine.mantissas import EVERYWHERE, Passing
from tests import processors
from tests.strategies import examples

WINDOWS = (  # rows, columns; strides of both
    ((2, 2), (2, 2)),
    ((1, 1), (2, 1)),
    ((3, 2), (3, 3)),
    ((3, 3), (2, 1)),
    ((4, 1), (4, 1)),
)


def half_up(value: int, shift: int) -> int:
    return value if not shift else (value + (1 << shift - 1)) >> shift


@pytest.mark.parametrize("path", processors.PATHS)
@pytest.mark.parametrize("count", (1, 3, 16, 39))
def test_mantissas_of_what_passes(monkeypatch, path, count):
    monkeypatch.setenv("MAX78K_PATH", path)
    random = np.random.default_rng(count)
    for largest, bits, bounds in ((2**31, 15, None), (2**31, 8, (0, 127)), (90, 15, (-128, 127))):
        values = random.integers(-largest, largest, (5, 1, count, 1)).astype(np.int32)
        values[1:3] >>= np.array([[[[9]]], [[[20]]]])
        output = random.choice([-128, -1, 0, 1, 126, 127], values.shape).astype(np.int8)
        passing = EVERYWHERE if bounds is None else Passing(output, *bounds)
        above, below = (-200, 200) if bounds is None else bounds
        found, shifts = mantissas.normalised(values, bits, passing)
        for sample, line in enumerate(values.reshape(5, -1).tolist()):
            data = output[sample].reshape(-1).tolist()
            kept = [v if above < y < below else 0 for v, y in zip(line, data, strict=True)]
            shift = max(max(abs(value) for value in kept).bit_length() - bits, 0)
            limit = (1 << bits) - 1
            wanted = [max(-limit, min(limit, half_up(value, shift))) for value in kept]
            assert shifts[sample] == shift and found[sample].reshape(-1).tolist() == wanted


@given(
    st.sampled_from(WINDOWS), st.sampled_from((1, 5, 20)), st.integers(0, 2), st.integers(0, 999)
)
@examples(60)
def test_the_first_largest_of_a_window_has_its_error(window, channels, shift, seed):
    (tall, wide), (down, across) = window
    random, rows, columns = np.random.default_rng(seed), 3, 2
    size = down * (rows - 1) + tall + seed % 2, across * (columns - 1) + wide + seed % 3
    data = random.integers(-2, 2, (2, *size, channels)).astype(np.int8)
    values = random.integers(-(2**20), 2**20, (2, rows, columns, channels)).astype(np.int32)
    wanted = np.zeros(data.shape, int)
    for sample, row, column, channel in np.ndindex(values.shape):
        first, left = down * row, across * column
        view = data[sample, first : first + tall, left : left + wide, channel]
        up, along = divmod(int(view.argmax()), wide)
        error = half_up(int(values[sample, row, column, channel]), shift)
        wanted[sample, first + up, left + along, channel] += error
    found = mantissas.spread(values, data, *window, shift)
    assert found.dtype == np.int32 and np.array_equal(found, wanted)
