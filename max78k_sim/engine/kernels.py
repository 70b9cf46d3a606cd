"""Inner loops, compiled by numba.  Integers only; layouts are chosen for contiguous inner loops."""

import numpy as np
from numba import njit

from .. import arithmetic

_requantise = njit(arithmetic.requantise)  # the arithmetic is written once, for arrays and here


@njit("void(int8[::1], int32[::1], int8[::1])", cache=True, nogil=True)
def gather(store, index, data):
    """data[n] = store[index[n]]: what a layer reads from data memory."""
    for n in range(index.size):
        data[n] = store[index[n]]


@njit("void(int8[::1], int32[::1], int8[::1])", cache=True, nogil=True)
def scatter(data, index, store):
    """store[index[n]] = data[n]: what a layer writes to data memory."""
    for n in range(index.size):
        store[index[n]] = data[n]


@njit("void(int32[::1], int64, boolean, boolean, int8[::1])", cache=True, nogil=True)
def finish(accumulator, shift, absolute, relu, output):
    """Shift, round, clip to 8 bits, then activation; the absolute value wins over ReLU."""
    for n in range(accumulator.size):
        value = _requantise(np.int64(accumulator[n]), shift)
        value = min(max(value, arithmetic.ACTIVATION_MIN), arithmetic.ACTIVATION_MAX)
        if absolute:
            value = min(abs(value), arithmetic.ACTIVATION_MAX)
        elif relu:
            value = max(value, 0)
        output[n] = value


@njit("void(int8[:,:,::1], int16[:,:,:,::1], int32[:,:,::1])", cache=True, nogil=True)
def accumulate_convolution(data, kernels, accumulator):
    """accumulator[r, c, n] += sum over taps and channels; a cross-correlation.

    data: int8 [row, column, channel], padded; kernels: int16 [output, row tap, column tap,
    channel]; accumulator: int32 [row, column, output].  The pixels under a kernel are gathered
    once, so that every output is one contiguous dot product of 16-bit numbers.
    """
    out_rows, out_columns, outputs = accumulator.shape
    _, kernel_rows, kernel_columns, channels = kernels.shape
    length = kernel_rows * kernel_columns * channels
    weights = kernels.reshape(outputs, length)
    patch = np.empty(length, np.int16)
    for row in range(out_rows):
        for column in range(out_columns):
            place = 0
            for row_tap in range(kernel_rows):
                for column_tap in range(kernel_columns):
                    pixel = data[row + row_tap, column + column_tap]
                    for channel in range(channels):
                        patch[place + channel] = pixel[channel]
                    place += channels
            total = accumulator[row, column]
            for output in range(outputs):
                weight = weights[output]
                dot = np.int32(0)
                for n in range(length):
                    dot += np.int32(patch[n]) * np.int32(weight[n])
                total[output] += dot


@njit("void(int8[:,:,::1], int64, int64, int64, int64, int8[:,:,::1])", cache=True, nogil=True)
def pool_maximum(data, window_rows, window_columns, row_stride, column_stride, pooled):
    """Largest value of each window; data and pooled are int8 [row, column, channel]."""
    out_rows, out_columns, channels = pooled.shape
    for row in range(out_rows):
        for column in range(out_columns):
            best = pooled[row, column]
            best[:] = data[row * row_stride, column * column_stride]
            for row_tap in range(window_rows):
                for column_tap in range(window_columns):
                    row_place, column_place = row * row_stride, column * column_stride
                    line = data[row_place + row_tap, column_place + column_tap]
                    for channel in range(channels):
                        best[channel] = max(best[channel], line[channel])


@njit("void(int8[:,:,::1], int64, int64, int64, int64, int32[:,:,::1])", cache=True, nogil=True)
def pool_sum(data, window_rows, window_columns, row_stride, column_stride, total):
    """Sum of each window, as int32; the caller divides (see arithmetic.average)."""
    out_rows, out_columns, channels = total.shape
    for row in range(out_rows):
        for column in range(out_columns):
            line_total = total[row, column]
            line_total[:] = 0
            for row_tap in range(window_rows):
                for column_tap in range(window_columns):
                    row_place, column_place = row * row_stride, column * column_stride
                    line = data[row_place + row_tap, column_place + column_tap]
                    for channel in range(channels):
                        line_total[channel] += line[channel]
