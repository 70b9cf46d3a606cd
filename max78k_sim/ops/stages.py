"""The stages around a convolution: pooling before it; shift, clip and activation after it."""

from __future__ import annotations

import numpy as np

from .. import arithmetic
from ..layer_config import LayerConfig


def pool(data: np.ndarray, config: LayerConfig, rounding: bool) -> np.ndarray:
    """int8 [row, column, channel] -> pooled; a stride without pooling subsamples."""
    stride = config.stride
    if not config.pool:
        return np.ascontiguousarray(data[::stride, ::stride]) if stride > 1 else data
    from ..engine import kernels as engine

    rows, columns, channels = data.shape
    window_rows, window_columns = config.pool_window
    size = (rows - window_rows) // stride + 1, (columns - window_columns) // stride + 1, channels
    if config.pool_max:
        pooled = np.empty(size, np.int8)
        engine.pool_maximum(data, window_rows, window_columns, stride, pooled)
        return pooled
    total = np.empty(size, np.int32)
    engine.pool_sum(data, window_rows, window_columns, stride, total)
    return arithmetic.average(total, window_rows * window_columns, rounding).astype(np.int8)


def pad(data: np.ndarray, config: LayerConfig) -> np.ndarray:
    """Zeros around every side, after pooling."""
    if not config.row_pad and not config.column_pad:
        return data
    rows, columns, channels = data.shape
    row_pad, column_pad = config.row_pad, config.column_pad
    padded = np.zeros((rows + 2 * row_pad, columns + 2 * column_pad, channels), np.int8)
    padded[row_pad : row_pad + rows, column_pad : column_pad + columns] = data
    return padded


def finish(accumulator: np.ndarray, config: LayerConfig) -> np.ndarray:
    """int32 accumulator -> int8 output: shift, round, clip, then activation; abs wins over ReLU."""
    from ..engine import kernels as engine

    output = np.empty(accumulator.shape, np.int8)
    shift, absolute, relu = config.signed_shift, bool(config.absolute), bool(config.relu)
    engine.finish(accumulator.reshape(-1), shift, absolute, relu, output.reshape(-1))
    return output
