"""What torch does to every value of a layer in many passes, in one or two: compiled by numba.

Arrays are float32 [row, channel], a row being a pixel of a sample; channels lie side by side.
"""

from __future__ import annotations

import numba
import numpy as np

BLOCK = 64  # rows whose float32 sums stay exact enough; their totals are float64


@numba.njit(nogil=True, cache=True)
def products(values, others, sums, weighted):
    """Add to float64 ``sums`` [channel] those of the values, to ``weighted`` of value * other."""
    rows, channels = values.shape
    one, two = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    for first in range(0, rows, BLOCK):
        one[:], two[:] = 0, 0
        for row in range(first, min(rows, first + BLOCK)):
            value, other = values[row], others[row]
            for channel in range(channels):
                one[channel] += value[channel]
                two[channel] += value[channel] * other[channel]
        for channel in range(channels):
            sums[channel] += one[channel]
            weighted[channel] += two[channel]


@numba.njit(nogil=True, cache=True)
def finish(values, scale, offset, low, high, unit, absolute, out):
    """``out`` = values * scale + offset [channel], clipped, on the grid of ``unit`` (0: none), and
    made positive if ``absolute``; all of it as the chip does, so that -1 becomes ``high``."""
    for row in range(len(values)):
        source, target = values[row], out[row]
        for channel in range(len(scale)):
            value = source[channel] * scale[channel] + offset[channel]
            value = min(max(value, low), high)
            if unit:
                value = np.floor(value * unit + np.float32(0.5)) / unit
            if absolute:
                value = min(abs(value), high)
            target[channel] = value


@numba.njit(nogil=True, cache=True)
def unfinish(values, scale, offset, low, high, unit, absolute, gradient):
    """Turn ``gradient``, of what ``finish`` gave, into that of what it clipped, in place."""
    half = np.float32(0.5) / unit if unit else np.float32(0)
    for row in range(len(values)):
        source, target = values[row], gradient[row]
        for channel in range(len(scale)):
            value = source[channel] * scale[channel] + offset[channel]
            passed = target[channel] if low < value < high else np.float32(0)
            if absolute:
                sign = np.float32(1) if value >= half else np.float32(0)
                sign -= np.float32(1) if value < -half else np.float32(0)
                passed = passed * sign if value >= -half - high else np.float32(0)
            target[channel] = passed


@numba.njit(nogil=True, cache=True)
def combined(values, gradient, by_gradient, by_value, constant):
    """gradient = gradient * by_gradient + value * by_value + constant [channel], in place."""
    for row in range(len(values)):
        value, slope = values[row], gradient[row]
        for channel in range(len(constant)):
            slope[channel] = (slope[channel] * by_gradient[channel]
                              + value[channel] * by_value[channel] + constant[channel])  # fmt: skip


@numba.njit(nogil=True, cache=True)
def largest(data, high, wide, out, winner):
    """The largest of each window, high x wide, of data [sample, row, column, channel], and which
    of the window's it was."""
    for sample in range(out.shape[0]):
        for row in range(out.shape[1]):
            for column in range(out.shape[2]):
                best, which = out[sample, row, column], winner[sample, row, column]
                best[:] = data[sample, row * high, column * wide]
                which[:] = 0
                for place in range(1, high * wide):
                    other = data[sample, row * high + place // wide, column * wide + place % wide]
                    for channel in range(len(best)):
                        if other[channel] > best[channel]:
                            best[channel] = other[channel]
                            which[channel] = place


@numba.njit(nogil=True, cache=True)
def spread(gradient, winner, high, wide, out):
    """The gradient of ``largest`` [sample, row, column, channel], where the largest was."""
    for sample in range(gradient.shape[0]):
        for row in range(gradient.shape[1]):
            for column in range(gradient.shape[2]):
                slope, which = gradient[sample, row, column], winner[sample, row, column]
                for place in range(high * wide):
                    target = out[sample, row * high + place // wide, column * wide + place % wide]
                    for channel in range(len(slope)):
                        here = which[channel] == place
                        target[channel] = slope[channel] if here else np.float32(0)
