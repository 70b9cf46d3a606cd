"""Inner loops, compiled by numba.  Integers only; layouts are chosen for contiguous inner loops."""

import numpy as np
from numba import njit


@njit("void(int8[:,:,::1], int32[:,:,:,::1], int32[:,:,::1])", cache=True, nogil=True)
def accumulate_convolution(data, kernels, accumulator):
    """accumulator[r, c, n] += sum over taps and channels; a cross-correlation.

    data: int8 [row, column, channel], padded; kernels: int32 [row tap, column tap, channel,
    output]; accumulator: int32 [row, column, output].  Four columns at a time share each weight.
    """
    out_rows, out_columns, outputs = accumulator.shape
    kernel_rows, kernel_columns, channels, _ = kernels.shape
    fours = out_columns // 4 * 4
    for row in range(out_rows):
        for column in range(0, fours, 4):
            total0, total1 = accumulator[row, column], accumulator[row, column + 1]
            total2, total3 = accumulator[row, column + 2], accumulator[row, column + 3]
            for row_tap in range(kernel_rows):
                line = data[row + row_tap]
                for column_tap in range(kernel_columns):
                    first = column + column_tap
                    for channel in range(channels):
                        value0, value1 = (
                            np.int32(line[first, channel]),
                            np.int32(line[first + 1, channel]),
                        )
                        value2, value3 = (
                            np.int32(line[first + 2, channel]),
                            np.int32(line[first + 3, channel]),
                        )
                        if value0 | value1 | value2 | value3:
                            weights = kernels[row_tap, column_tap, channel]
                            for output in range(outputs):
                                weight = weights[output]
                                total0[output] += value0 * weight
                                total1[output] += value1 * weight
                                total2[output] += value2 * weight
                                total3[output] += value3 * weight
        for column in range(fours, out_columns):
            total = accumulator[row, column]
            for row_tap in range(kernel_rows):
                for column_tap in range(kernel_columns):
                    for channel in range(channels):
                        value = np.int32(data[row + row_tap, column + column_tap, channel])
                        weights = kernels[row_tap, column_tap, channel]
                        for output in range(outputs):
                            total[output] += value * weights[output]


@njit("void(int8[:,:,::1], int64, int64, int64, int8[:,:,::1])", cache=True, nogil=True)
def pool_maximum(data, window_rows, window_columns, stride, pooled):
    """Largest value of each window; data and pooled are int8 [row, column, channel]."""
    out_rows, out_columns, channels = pooled.shape
    for row in range(out_rows):
        for column in range(out_columns):
            best = pooled[row, column]
            best[:] = data[row * stride, column * stride]
            for row_tap in range(window_rows):
                for column_tap in range(window_columns):
                    line = data[row * stride + row_tap, column * stride + column_tap]
                    for channel in range(channels):
                        best[channel] = max(best[channel], line[channel])


@njit("void(int8[:,:,::1], int64, int64, int64, int32[:,:,::1])", cache=True, nogil=True)
def pool_sum(data, window_rows, window_columns, stride, total):
    """Sum of each window, as int32; the caller divides (see arithmetic.average)."""
    out_rows, out_columns, channels = total.shape
    for row in range(out_rows):
        for column in range(out_columns):
            line_total = total[row, column]
            line_total[:] = 0
            for row_tap in range(window_rows):
                for column_tap in range(window_columns):
                    line = data[row * stride + row_tap, column * stride + column_tap]
                    for channel in range(channels):
                        line_total[channel] += line[channel]
