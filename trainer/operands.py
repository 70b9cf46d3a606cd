"""What a layer does before it multiplies, and its way back: pooling, sums and differences.

Maps are [sample, row, column, channel]; pooled and combined data are recomputed from the stored
operands, since the accelerator keeps neither.
"""

from __future__ import annotations

import numpy as np

from max78k_sim import arithmetic
from max78k_sim.engine import mantissas
from max78k_sim.errors import InputError
from max78k_sim.layer import Layer

from .blocks import MANTISSA_BITS, Block, normalised

SHARE_BITS = 15  # 1 / count of a window counts 2**-15


def strides(layer: Layer) -> tuple[int, int]:
    """(rows, columns) from one window to the next."""
    return layer.stride, 1 if layer.op == "conv1d" else layer.stride


def views(data: np.ndarray, layer: Layer) -> list[np.ndarray]:
    """For each place of a window, row major, what lies there in all windows: [s, row, column, c].

    Views of ``data``, so that what is written there is written to the map.
    """
    down, across = strides(layer)
    rows, columns = layer.pooled_size
    return [
        data[:, row : row + down * rows : down, column : column + across * columns : across]
        for row in range(layer.pool[0])
        for column in range(layer.pool[1])
    ]


def pool(data: np.ndarray, layer: Layer, rounding: bool) -> np.ndarray:
    """int8 [s, row, column, c], pooled as the accelerator does it."""
    parts = views(data, layer)
    if len(parts) == 1:
        return parts[0]
    if not layer.pool_average:
        return np.maximum.reduce(parts)
    total = np.zeros(parts[0].shape, np.int32)
    for part in parts:
        total += part
    return arithmetic.average(total, len(parts), rounding).astype(np.int8)


def spread_error(error: Block, data: np.ndarray, layer: Layer) -> Block:
    """The error of what was pooled: int32 sums [s, row, column, c].

    ``data``: the int8 map before pooling.  The largest value of a window gets all (the first, row
    by row, if there are several); of an average, every value gets its share.
    """
    count = layer.pool[0] * layer.pool[1]
    if count == 1 and layer.stride == 1:
        return error
    if layer.pool_average and count > 1:
        return average_error(error, data, layer, count)
    down, across = strides(layer)
    overlap = -(-layer.pool[0] // down) * -(-layer.pool[1] // across)  # windows over a pixel
    shift = (overlap - 1).bit_length()
    spread = mantissas.spread(error.values, data, layer.pool, (down, across), shift)
    return Block(spread, error.exponent + shift)


def average_error(error: Block, data: np.ndarray, layer: Layer, count: int) -> Block:
    """Mantissas times 2**15 / count, rounded: no sum of overlapping windows leaves 31 bits."""
    mantissas = normalised(error, MANTISSA_BITS)
    share = np.int32(((1 << SHARE_BITS) + count // 2) // count)
    values = mantissas.values.astype(np.int32) * share
    spread = np.zeros(data.shape, np.int32)
    for target in views(spread, layer):
        target += values
    return Block(spread, mantissas.exponent - SHARE_BITS)


# ---- element-wise -------------------------------------------------------------------------------

SIGNS = {"add": 1, "sub": -1}  # of every operand but the first


def combine(operands: list[np.ndarray], layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """The sum or difference of operands, int8, and where the error passes: bool.

    What is at the end of its range was clipped, or may have been: nothing passes.
    """
    if layer.eltwise not in SIGNS:
        raise InputError(
            f"{layer.name}: {layer.eltwise} of bits has no gradient; add and sub have one"
        )
    total = operands[0].astype(np.int32)
    for operand in operands[1:]:
        total += SIGNS[layer.eltwise] * operand.astype(np.int32)
    passes = (total > arithmetic.ACTIVATION_MIN) & (total < arithmetic.ACTIVATION_MAX)
    return arithmetic.saturate(total).astype(np.int8), passes


def reduced(operands: list[np.ndarray], layer: Layer, rounding: bool) -> np.ndarray:
    """int8: what a layer convolves (or, passing through, gives) of its operands."""
    if len(operands) == 1:
        return pool(operands[0], layer, rounding)
    if layer.pool_first:
        return combine([pool(each, layer, rounding) for each in operands], layer)[0]
    return pool(combine(operands, layer)[0], layer, rounding)


def error_of_operands(
    error: Block, operands: list[np.ndarray], layer: Layer, rounding: bool
) -> list[Block]:
    """From the error of what ``reduced`` gives to that of each operand."""
    if len(operands) == 1:
        return [spread_error(error, operands[0], layer)]
    if layer.pool_first:
        _, passes = combine([pool(each, layer, rounding) for each in operands], layer)
        shares = signed(Block(error.values * passes, error.exponent), len(operands), layer)
        pairs = zip(shares, operands, strict=True)
        return [spread_error(share, operand, layer) for share, operand in pairs]
    whole, passes = combine(operands, layer)
    spread = spread_error(error, whole, layer)
    return signed(Block(spread.values * passes, spread.exponent), len(operands), layer)


def signed(error: Block, count: int, layer: Layer) -> list[Block]:
    """The same error for every operand, turned for what is subtracted."""
    assert layer.eltwise is not None
    turned = Block(SIGNS[layer.eltwise] * error.values, error.exponent)
    return [error, *[turned] * (count - 1)]
