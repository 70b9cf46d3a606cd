"""Gradients of convolutions on every path that this processor has, against int64 and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from max78k_sim import engine
from max78k_sim.engine import gradients
from tests import processors

PATHS = processors.PATHS
LARGEST = 2**31 - 1


# ---- the same, slowly ---------------------------------------------------------------------------


def views(inputs, kernel, padding, dilation, size):
    """(row, column of a tap, what it sees of the inputs): int64 [sample, row, column, in]."""
    framed = np.pad(inputs.astype(np.int64), [(0, 0), *((p, p) for p in padding), (0, 0)])
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            top, left = row * dilation[0], column * dilation[1]
            yield row, column, framed[:, top : top + size[0], left : left + size[1]]


def slow_input_gradients(errors, weights, padding, dilation):
    """Each tap hands its errors back to the pixels that it saw."""
    size, kernel = errors.shape[1:3], weights.shape[2:]
    rows, columns = inputs_of(size, kernel, padding, dilation)
    framed = np.zeros(
        (len(errors), rows + 2 * padding[0], columns + 2 * padding[1], weights.shape[1]), np.int64
    )
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            part = errors.astype(np.int64) @ weights[:, :, row, column].astype(np.int64)
            top, left = row * dilation[0], column * dilation[1]
            framed[:, top : top + size[0], left : left + size[1]] += part
    return framed[:, padding[0] : padding[0] + rows, padding[1] : padding[1] + columns]


def slow_weight_gradients(errors, inputs, kernel, padding, dilation, shifts, limit):
    """Python's integers scale, round and saturate."""
    each = np.zeros((len(errors), errors.shape[3], inputs.shape[3], *kernel), np.int64)
    for row, column, seen in views(inputs, kernel, padding, dilation, errors.shape[1:3]):
        each[..., row, column] = np.einsum("srco,srci->soi", errors.astype(np.int64), seen)
    return scaled(each, shifts, limit)


def scaled(each, shifts, limit):
    """[sample, ...] int64: each sample divided by 2**shift, half up, saturated; then added."""
    total = np.zeros(each.shape[1:], object)
    for sums, shift in zip(each.astype(object), map(int, shifts), strict=True):
        value = (sums + (1 << shift - 1)) >> shift if shift > 0 else sums * 2**-shift
        total += np.minimum(np.maximum(value, -limit), limit)
    return total.astype(np.int64)


def inputs_of(size, kernel, padding, dilation):
    """Rows and columns of the inputs, from those of the errors."""
    return tuple(
        n + d * (k - 1) - 2 * p
        for n, k, p, d in zip(size, kernel, padding, dilation, strict=True)
    )  # fmt: skip


def drawn(seed, samples, size, channels, kernel, padding=(0, 0), dilation=(1, 1)):
    """(errors, inputs, weights), random; ``size``: of errors, ``channels``: in, out."""
    random, (inputs, outputs) = np.random.default_rng(seed), channels
    outer = inputs_of(size, kernel, padding, dilation)
    return (
        random.integers(-32768, 32768, (samples, *size, outputs)).astype(np.int16),
        random.integers(-128, 128, (samples, *outer, inputs)).astype(np.int8),
        random.integers(-128, 128, (outputs, inputs, *kernel)).astype(np.int8),
    )


# ---- shapes -------------------------------------------------------------------------------------

SHAPES = {  # samples, rows and columns of errors, (in, out), kernel, padding, dilation
    "one of all": (1, (1, 1), (1, 1), (1, 1), (0, 0), (1, 1)),
    "linear": (9, (1, 1), (100, 10), (1, 1), (0, 0), (1, 1)),
    "1024 inputs": (2, (1, 1), (1024, 3), (1, 1), (0, 0), (1, 1)),
    "1024 outputs": (2, (1, 1), (3, 1024), (1, 1), (0, 0), (1, 1)),
    "1-D": (3, (1, 61), (48, 70), (1, 3), (0, 0), (1, 1)),
    "1-D dilated": (3, (1, 30), (17, 16), (1, 5), (0, 4), (1, 3)),
    "1x1": (3, (5, 7), (33, 31), (1, 1), (0, 0), (1, 1)),
    "1x1 padded": (2, (7, 5), (4, 6), (1, 1), (2, 1), (1, 1)),
    "3x3 image": (2, (28, 28), (1, 32), (3, 3), (1, 1), (1, 1)),
    "3x3": (5, (8, 8), (48, 64), (3, 3), (1, 1), (1, 1)),
    "3x3 odd": (2, (7, 9), (5, 7), (3, 3), (0, 1), (1, 1)),
    "3x3 wide padding": (2, (9, 8), (20, 21), (3, 3), (2, 2), (1, 1)),
    "3x3 dilated": (2, (6, 5), (16, 18), (3, 3), (2, 3), (2, 4)),
    "3x1": (2, (6, 5), (3, 2), (3, 1), (1, 0), (1, 1)),
    "more padding than reach": (2, (12, 11), (3, 2), (2, 3), (3, 4), (1, 1)),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_exact_on_every_path(path, shape):
    check(drawn(1, *SHAPES[shape]), *SHAPES[shape][4:], path)


def check(tensors, padding, dilation, path, threads=1):
    """All three gradients of some errors, inputs and weights."""
    errors, inputs, weights = tensors
    result = gradients.input_gradients(errors, weights, padding, dilation, threads, path)
    wanted = slow_input_gradients(errors, weights, padding, dilation)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, wanted)
    shifts, limit = np.arange(len(errors)) - 1, 1 << 24
    operands = (inputs, weights.shape[2:], padding, dilation, shifts, limit)
    result = gradients.weight_gradients(errors, *operands, threads, path)
    assert result.dtype == np.int32 and result.flags.c_contiguous
    np.testing.assert_array_equal(result, slow_weight_gradients(errors, *operands))
    sums = 128 * errors.sum(axis=(1, 2), dtype=np.int64)
    result = gradients.bias_gradients(errors, shifts, limit, threads, path)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, scaled(sums, shifts, limit))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_shape(data):
    number = st.integers
    kernel = data.draw(st.tuples(number(1, 4), number(1, 4)), "kernel")
    dilation = data.draw(st.tuples(number(1, 3), number(1, 3)), "dilation")
    padding = data.draw(st.tuples(number(0, 4), number(0, 4)), "padding")
    inner = data.draw(st.tuples(number(1, 9), number(1, 9)), "size of inputs")
    size = [
        n + 2 * p - d * (k - 1)
        for n, p, d, k in zip(inner, padding, dilation, kernel, strict=True)
    ]  # fmt: skip
    if min(size) < 1:
        return
    channels = data.draw(st.tuples(number(1, 70), number(1, 70)), "channels")
    samples, path = (
        data.draw(number(1, 5), "samples"),
        data.draw(st.sampled_from(engine.paths()), "path"),
    )
    tensors = drawn(data.draw(number(0, 99)), samples, size, channels, kernel, padding, dilation)
    check(tensors, padding, dilation, path, data.draw(number(1, 3), "threads"))


@pytest.mark.parametrize("shape", ["1-D dilated", "3x3", "3x3 dilated", "more padding than reach"])
def test_pytorch_agrees(shape):
    """In float64, which holds these sums exactly."""
    torch = pytest.importorskip("torch")
    samples, _, _, kernel, padding, dilation = SHAPES[shape]
    errors, inputs, weights = drawn(2, *SHAPES[shape])
    turned = [
        torch.from_numpy(array.transpose(0, 3, 1, 2).astype(np.float64))
        for array in (errors, inputs)
    ]
    factors = torch.from_numpy(weights.astype(np.float64))
    geometry = (1, padding, dilation)
    wanted = torch.nn.grad.conv2d_input(turned[1].shape, factors, turned[0], *geometry)
    result = gradients.input_gradients(errors, weights, padding, dilation)
    np.testing.assert_array_equal(result, wanted.numpy().transpose(0, 2, 3, 1))
    wanted = torch.nn.grad.conv2d_weight(turned[1], factors.shape, turned[0], *geometry)
    result = gradients.weight_gradients(
        errors, inputs, kernel, padding, dilation, np.zeros(samples, int), LARGEST // samples
    )
    np.testing.assert_array_equal(result, wanted.numpy())


# ---- numbers ------------------------------------------------------------------------------------

EXTREMES = ((-32768, -128), (-32768, 127), (32767, -128), (32767, 127))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("error, factor", EXTREMES)
def test_sums_that_just_fit(path, error, factor):
    """511 of the largest products are below 2**31."""
    errors = np.full((1, 7, 73, 1), error, np.int16)
    inputs = np.full((1, 7, 73, 1), factor, np.int8)
    result = gradients.weight_gradients(
        errors, inputs, (1, 1), (0, 0), (1, 1), [0], LARGEST, path=path
    )
    assert result.tolist() == [[[[511 * error * factor]]]]
    errors = np.full((1, 1, 2, 511), error, np.int16)
    weights = np.full((511, 17, 1, 1), factor, np.int8)
    result = gradients.input_gradients(errors, weights, (0, 0), (1, 1), path=path)
    np.testing.assert_array_equal(result, np.full((1, 1, 2, 17), 511 * error * factor))


LIMITS = (1, 1000, (1 << 20) + 1, LARGEST)
SUMS = (0, 1, -1, 2, -2, 3, -3, 1023, 1024, 1025, -1024, 32767 * 128, -32768 * 128)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("limit", LIMITS)
def test_every_shift_rounds_half_up_and_saturates(path, limit):
    """Sums near powers of two, and near the ends of 32 bits, by every shift, one at a time."""
    random = np.random.default_rng(limit)
    errors = random.integers(-32768, 32768, (1, 1, 511, 20)).astype(np.int16)
    errors[..., : len(SUMS)] = 0
    errors[0, 0, 0, : len(SUMS)] = [np.clip(n, -32768, 32767) for n in SUMS]
    errors[..., len(SUMS) :] |= 32767 if limit == 1 else 0
    inputs = np.full((1, 1, 511, 2), 127, np.int8)
    inputs[..., 1] = 1
    for shift in range(-31, 32):
        operands = (inputs, (1, 1), (0, 0), (1, 1), np.array([shift]), limit)
        result = gradients.weight_gradients(errors, *operands, path=path)
        np.testing.assert_array_equal(result, slow_weight_gradients(errors, *operands))
        sums = 128 * errors.sum(axis=(1, 2), dtype=np.int64)
        result = gradients.bias_gradients(errors, [shift], limit, path=path)
        np.testing.assert_array_equal(result, scaled(sums, [shift], limit))


def test_a_sum_at_the_end_of_32_bits_is_rounded_without_wrapping():
    errors = np.full((1, 1, 515, 2), 32767, np.int16)
    errors[..., 1] = -32768
    inputs = np.full((1, 1, 515, 1), 127, np.int8)
    inputs[0, 0, 0] = 125
    for shift in (1, 2, 30, 31):
        operands = (inputs, (1, 1), (0, 0), (1, 1), np.array([shift]), LARGEST)
        result = gradients.weight_gradients(errors, *operands)
        np.testing.assert_array_equal(result, slow_weight_gradients(errors, *operands))


# ---- what callers may do ------------------------------------------------------------------------


def test_threads_do_not_change_anything():
    shape = SHAPES["3x3"]
    for threads in (2, 3, 99):
        check(drawn(3, *shape), *shape[4:], engine.paths()[0], threads)


def test_strided_arrays_are_taken():
    errors, inputs, _ = drawn(4, 2, (4, 4), (3, 5), (3, 3), (1, 1))
    operands = ((3, 3), (1, 1), (1, 1), [3, -2], 1000)
    turned = np.ascontiguousarray(errors.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
    result = gradients.weight_gradients(turned, inputs[::-1][::-1], *operands)
    np.testing.assert_array_equal(result, slow_weight_gradients(errors, inputs, *operands))


def test_what_does_not_fit_is_refused():
    errors, inputs, _ = drawn(5, 1, (2, 2), (1, 1), (1, 1))
    with pytest.raises(TypeError, match=r"from dtype\('int32'\) to dtype\('int16'\)"):
        gradients.bias_gradients(errors.astype(np.int32), [0], 1)
    with pytest.raises(ValueError, match=r"shifts go from -31 to 31, not \[32\]"):
        gradients.weight_gradients(errors, inputs, (1, 1), (0, 0), (1, 1), [32], 1)
