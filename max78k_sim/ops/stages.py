"""The stages around a convolution: operands and pooling before, shift and activation after."""

from __future__ import annotations

import numpy as np

from .. import arithmetic
from ..layer_config import LayerConfig

# in the order of the register's code; each folds the next operand into the result so far
ELTWISE = (np.subtract, np.add, np.bitwise_or, np.bitwise_xor)


def combine(operands: np.ndarray, config: LayerConfig) -> np.ndarray:
    """int8 [operand, row, column, channel] -> the element-wise result, clipped at the end."""
    if not config.eltwise:
        return operands[0]
    function = ELTWISE[config.eltwise_function]
    result = operands[0].astype(np.int32)
    for operand in operands[1:]:
        result = function(result, operand)
    return arithmetic.saturate(result).astype(np.int8)


def reduce(operands: np.ndarray, config: LayerConfig, rounding: bool) -> np.ndarray:
    """Pool every operand and combine them, or combine and pool, as the registers say."""
    if not config.eltwise or config.pool_first or not config.pool:
        pooled = np.stack([pool(operand, config, rounding) for operand in operands])
        return combine(pooled, config)
    return pool(combine(operands, config), config, rounding)


def pool(data: np.ndarray, config: LayerConfig, rounding: bool) -> np.ndarray:
    """int8 [row, column, channel] -> pooled; a stride alone subsamples; 1-D: rows only."""
    stride = config.stride
    column_stride = 1 if config.conv1d else stride
    if not config.pool:
        return np.ascontiguousarray(data[::stride, ::column_stride]) if stride > 1 else data
    from ..engine import kernels as engine

    rows, columns, channels = data.shape
    window = config.pool_window
    size = (rows - window[0]) // stride + 1, (columns - window[1]) // column_stride + 1, channels
    strides = stride, column_stride
    if config.pool_max:
        pooled = np.empty(size, np.int8)
        engine.pool_maximum(data, *window, *strides, pooled)
        return pooled
    total = np.empty(size, np.int32)
    engine.pool_sum(data, *window, *strides, total)
    return arithmetic.average(total, window[0] * window[1], rounding).astype(np.int8)


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
