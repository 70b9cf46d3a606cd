"""Correlations for the tests and the bench of products in C: shapes, numbers, what is expected."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np

from max78k_sim.engine import gradients

LIMIT = (1 << 31) - 1  # no limit


class Correlation(ctypes.Structure):
    """cnn_correlation."""

    _fields_ = [
        (f"{tensor}_{axis}", ctypes.c_uint16)
        for tensor in ("in", "out")
        for axis in ("rows", "columns", "channels")
    ] + [
        (f"{part}_{axis}", ctypes.c_uint8)
        for part in ("kernel", "pad", "dilation")
        for axis in ("rows", "columns")
    ]


@dataclass(frozen=True)
class Shape:
    """A correlation; ``size``, ``kernel``, ``pad``, ``dilation``: (rows, columns)."""

    size: tuple[int, int]  # of the data
    channels: int  # of the data
    outputs: int
    kernel: tuple[int, int]
    pad: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)

    @property
    def out_size(self) -> tuple[int, int]:
        """Rows and columns of the output."""
        rows, columns = (
            size + 2 * pad - step * (taps - 1)
            for size, pad, step, taps in zip(
                self.size, self.pad, self.dilation, self.kernel, strict=True
            )
        )
        return rows, columns

    @property
    def macs(self) -> int:
        """Products of weight gradients, padding included."""
        rows, columns = self.out_size
        return rows * columns * self.outputs * self.channels * self.kernel[0] * self.kernel[1]

    @property
    def data_macs(self) -> int:
        """Products of data gradients, padding included."""
        rows, columns = self.size
        return rows * columns * self.outputs * self.channels * self.kernel[0] * self.kernel[1]

    def as_c(self) -> Correlation:
        """For C."""
        sizes = (*self.size, self.channels, *self.out_size, self.outputs)
        return Correlation(*sizes, *self.kernel, *self.pad, *self.dilation)

    def weight_scratch(self, count: int) -> int:
        """CNN_WEIGHT_SCRATCH: int16."""
        (rows, columns), reach = self.out_size, (self.kernel[1] - 1) * self.dilation[1]
        steps = (columns + 1) // 2
        errors = (count + 1) // 2 * rows * steps * 2
        return 2 + (errors + 4 * self.size[0] * (2 * steps + reach)) * 2

    def data_scratch(self) -> int:
        """CNN_DATA_SCRATCH: int16."""
        pairs, reach = (self.outputs + 1) // 2, (self.kernel[1] - 1) * self.dilation[1]
        errors = pairs * 2 * self.out_size[0] * ((self.size[1] + 1) // 2 + reach)
        return 2 + (errors + self.kernel[0] * self.kernel[1] * pairs * 4) * 2


def numbers(shape: Shape, seed: int, bits: int = 15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """error: int16 [row, column, out]; data: int8 [row, column, in]; weights: int8 [out, in, ...].

    ``bits``: of the errors' magnitudes; with 15, int32 sums may wrap.
    """
    random = np.random.default_rng(seed)
    error = random.integers(-(1 << bits), 1 << bits, (*shape.out_size, shape.outputs))
    data = random.integers(-128, 128, (*shape.size, shape.channels))
    weights = random.integers(-128, 128, (shape.outputs, shape.channels, *shape.kernel))
    return error.astype(np.int16), data.astype(np.int8), weights.astype(np.int8)


def expected_weights(shape: Shape, error: np.ndarray, data: np.ndarray) -> np.ndarray:
    """int32 [out, in, kernel row, kernel column], by the engine."""
    return gradients.weight_gradients(
        error[None],
        data[None],
        shape.kernel,
        shape.pad,
        shape.dilation,
        np.zeros(1, np.int64),
        LIMIT,
    )


def expected_data(shape: Shape, error: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """int32 [row, column, in], by the engine."""
    return gradients.input_gradients(error[None], weights, shape.pad, shape.dilation)[0]
