"""Numbers, tensors and register words."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from ..arithmetic import ACTIVATION_MAX, ACTIVATION_MIN, Q17_14
from ..devices import MAX78000
from ..registers import Register

LIMITS = MAX78000.limits


def q7_values() -> st.SearchStrategy[int]:
    """Q7 numbers: integers from -128 to 127."""
    return st.integers(ACTIVATION_MIN, ACTIVATION_MAX)


def q17_14_values() -> st.SearchStrategy[int]:
    """Q17.14 numbers: integers of 32 bits, as 32-bit output has them."""
    limit = 1 << Q17_14.bits - 1
    return st.integers(-limit, limit - 1)


def accumulators() -> st.SearchStrategy[int]:
    """What the chip's accumulator holds: integers of 26 bits."""
    limit = 1 << LIMITS.accumulator_bits - 1
    return st.integers(-limit, limit - 1)


def generator(draw: st.DrawFn) -> np.random.Generator:
    """A random generator of its own for bulk data, from a drawn seed."""
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1)))


@st.composite
def integer_arrays(draw: st.DrawFn, shape: int | tuple[int, ...], low: int, high: int):
    """int8 [shape] from ``low`` to ``high``, both included.

    Mostly random over the whole range, else one value everywhere, which is also what it shrinks
    to; a few elements are drawn one by one.
    """
    values = st.integers(low, high)
    array = np.full(shape, draw(values), np.int8)
    places = st.integers(0, max(array.size, 1) - 1)
    chosen = draw(st.dictionaries(places, values, max_size=8))
    if draw(st.sampled_from((False, True, True, True))):  # last: what is shorter is simpler
        array[...] = generator(draw).integers(low, high + 1, shape, np.int8)
    if array.size:
        array.flat[list(chosen)] = list(chosen.values())
    return array


def q7_arrays(shape: int | tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """Q7 tensors: int8 [shape], -128 to 127."""
    return integer_arrays(shape, ACTIVATION_MIN, ACTIVATION_MAX)


def kernels(
    out_channels: int, in_channels: int, shape: tuple[int, int] = (3, 3), bits: int = 8
) -> st.SearchStrategy[np.ndarray]:
    """Kernels: int8 [out, in, row, column] over the whole range of ``bits`` bits (1, 2, 4 or 8)."""
    limit = 1 << bits - 1
    return integer_arrays((out_channels, in_channels, *shape), -limit, limit - 1)


def register_words(register: Register) -> st.SearchStrategy[int]:
    """Words of a register (see ``Device.layer_registers``) with any value in each known field.

    Every word decodes, and encodes to itself; whether Machine executes it is another question.
    """
    fields = {field.name: st.integers(0, field.limit) for field in register.fields}
    return st.fixed_dictionaries(fields).map(register.encode)
