"""Products of the Cortex-M4, by their plain twins on this computer: the engine's integers."""

import ctypes
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.cosim.host import STRICT, compiler
from tests.conftest import ROOT
from tests.firmware.product_shapes import Shape, expected_data, expected_weights, numbers
from tests.strategies import examples

RUNTIME = ROOT / "firmware" / "runtime"
SOURCES = tuple(RUNTIME / f"cnn_{of}_gradients_m4.c" for of in ("weight", "data"))
BEYOND = 64  # numbers behind an array, which must stay
UNTOUCHED = 0x5A


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    made = tmp_path_factory.mktemp("products") / "products.so"
    command = [compiler(), *STRICT, "-O2", "-DCNN_PRODUCTS_M4", "-shared", "-fPIC"]
    subprocess.run([*command, "-I", str(RUNTIME), "-o", str(made), *SOURCES], check=True)
    return ctypes.CDLL(str(made))


def pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def guarded(count, kind):
    """An array of ``count`` numbers, and behind them some that must stay."""
    return np.full((count + BEYOND) * np.dtype(kind).itemsize, UNTOUCHED, np.uint8).view(kind)


def untouched(array, count):
    return (array[count:].view(np.uint8) == UNTOUCHED).all()


@st.composite
def shapes(draw):
    """Any correlation: odd sizes, padding 0 to 2, dilation, kernels of 1 to 9 taps in a row."""
    flat = draw(st.booleans())
    rows, columns = (
        (1, draw(st.integers(1, 9))) if flat else draw(st.sampled_from(((1, 1), (3, 3))))
    )
    pad = draw(st.integers(0, 2))
    step = draw(st.integers(1, 3)) if flat else draw(st.sampled_from((1, 1, 2)))
    kernel, dilation = (rows, columns), (1 if flat else step, step)
    padding = (0 if flat else pad, pad)
    reach = max(1, step * (columns - 1) + 1 - 2 * pad)
    height = 1 if flat else draw(st.integers(reach, reach + 6))
    width = draw(st.integers(reach, reach + draw(st.sampled_from((3, 20)))))
    channels, outputs = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    return Shape((height, width), channels, outputs, kernel, padding, dilation)


@given(shapes(), st.integers(0, 1 << 16), st.data())
@examples(150)
def test_weight_gradients(library, shape, seed, data):
    error, values, _ = numbers(shape, seed)
    first = data.draw(st.integers(0, shape.outputs - 1))
    count = data.draw(st.integers(1, shape.outputs - first))
    expected = expected_weights(shape, error, values)[first : first + count]
    scratch = guarded(shape.weight_scratch(count), np.int16)
    result = guarded(expected.size, np.int32)
    how = shape.as_c()
    library.cnn_weight_gradients(
        *(ctypes.byref(how), pointer(error), pointer(values), first, count),
        *(pointer(result), pointer(scratch)),
    )
    assert np.array_equal(result[: expected.size].reshape(expected.shape), expected)
    assert untouched(result, expected.size) and untouched(scratch, shape.weight_scratch(count))
    channel = data.draw(st.integers(0, shape.channels - 1))
    expected = expected[:, channel : data.draw(st.integers(channel + 1, shape.channels))]
    part = guarded(expected.size, np.int32)
    library.cnn_arrange_errors(*(ctypes.byref(how), pointer(error), first, count, pointer(scratch)))
    library.cnn_channel_gradients(
        *(ctypes.byref(how), pointer(error), pointer(values), first, count, channel),
        *(expected.shape[1], pointer(part), pointer(scratch)),
    )
    assert np.array_equal(part[: expected.size].reshape(expected.shape), expected)
    assert untouched(part, expected.size) and untouched(scratch, shape.weight_scratch(count))


@given(shapes(), st.integers(0, 1 << 16))
@examples(150)
def test_data_gradients(library, shape, seed):
    error, _, weights = numbers(shape, seed)
    expected = expected_data(shape, error, weights)
    scratch = guarded(shape.data_scratch(), np.int16)
    result = guarded(expected.size, np.int32)
    how = shape.as_c()
    library.cnn_data_gradients(
        *(ctypes.byref(how), pointer(error), pointer(weights)),
        *(pointer(result), pointer(scratch)),
    )
    assert np.array_equal(result[: expected.size].reshape(expected.shape), expected)
    assert untouched(result, expected.size) and untouched(scratch, shape.data_scratch())


ON_BOARD = (  # each of the unrolled sizes and of the ways around them
    *(Shape((1, columns), 5, 7, (1, 6)) for columns in range(11, 42, 3)),
    *(Shape((size, size), 4, 5, (3, 3), (1, 1)) for size in (4, 8, 9, 11, 14, 16, 17)),
    *(Shape((1, columns), 5, outputs, (1, 3)) for columns in (5, 8, 10) for outputs in (7, 8)),
    Shape((1, 20), 3, 8, (1, 9), (0, 2)),
    Shape((1, 20), 6, 8, (1, 1)),
    Shape((1, 21), 5, 3, (1, 5), (0, 1), (1, 2)),
    Shape((1, 21), 4, 8, (1, 6)),
)


@pytest.mark.arm
@pytest.mark.parametrize("of_weights", (True, False), ids=("weights", "data"))
@pytest.mark.parametrize("shape", ON_BOARD, ids=str)
def test_on_the_board(shape, of_weights):
    pytest.importorskip("unicorn", reason="needs the extra: pip install 'max78k[emulate]'")
    from tests.firmware.kernels_on_board import run_products

    assert run_products(shape, of_weights).cycles["products"] > 0
