"""The stages of a layer as steps of the engine: pool and combine, convolve, shift and activate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import arithmetic
from ..engine import steps
from ..engine.steps import Assembly, Map, View
from ..errors import InputError
from ..layer_config import LayerConfig
from . import Operation


def strides(config: LayerConfig) -> tuple[int, int]:
    """(rows, columns) from one window, or pixel that is read, to the next; 1-D: rows only."""
    return config.stride, 1 if config.conv1d else config.stride


def pooled_size(config: LayerConfig, rows: int, columns: int) -> tuple[int, int]:
    """(rows, columns) that are left of a map after pooling; a stride alone subsamples."""
    window = config.pool_window
    down, across = strides(config)
    return (rows - window[0]) // down + 1, (columns - window[1]) // across + 1


def output_size(
    config: LayerConfig, operation: Operation, rows: int, columns: int
) -> tuple[int, int]:
    """(rows, columns) of the output of a map; InputError where nothing is left of it."""
    sizes = []
    pooled = pooled_size(config, rows, columns)
    for length, left, padding, kernel, window in zip(
        (rows, columns),
        pooled,
        (config.row_pad, config.column_pad),
        config.kernel_size if operation.convolves else (1, 1),
        config.pool_window,
        strict=True,
    ):
        sizes.append(left * operation.spread + 2 * padding - kernel + 1)
        if left < 1 or sizes[-1] < 1:
            raise InputError(
                f"{length} pixels, pooled by {window} and padded by {padding}, are fewer than "
                f"the kernel's {kernel}"
            )
    return sizes[0], sizes[1]


def frame(
    assembly: Assembly,
    config: LayerConfig,
    operation: Operation,
    size: tuple[int, int, int],
    zero: int,
    dense: bool = False,
) -> Map:
    """A map for the data of a convolution (rows, columns, channels), padded and spread."""
    padding = config.row_pad, config.column_pad
    return assembly.map(*size, frame=padding, spread=operation.spread, zero=zero, dense=dense)


def reduce(
    assembly: Assembly,
    operands: Sequence[View],
    config: LayerConfig,
    rounding: bool,
    target: View,
    flip: int = 0,
) -> None:
    """Pool every operand and combine them, or combine and pool, as the registers say."""
    first, *others = operands
    if not others:
        pool(assembly, first, config, rounding, target, flip)
    elif not config.pool:
        parts = [operand.stepped(*strides(config)) for operand in operands]
        assembly.combine(parts, target, config.eltwise_function, flip)
    elif config.pool_first:
        size = target.rows, target.columns, target.channels
        parts = []
        for operand in operands:
            part = assembly.map(*size).inner
            pool(assembly, operand, config, rounding, part)
            parts.append(part)
        assembly.combine(parts, target, config.eltwise_function, flip)
    else:
        combined = assembly.map(first.rows, first.columns, first.channels).inner
        assembly.combine(operands, combined, config.eltwise_function, 0)
        pool(assembly, combined, config, rounding, target, flip)


def pool(
    assembly: Assembly,
    source: View,
    config: LayerConfig,
    rounding: bool,
    target: View,
    flip: int = 0,
) -> None:
    """Largest or average value of each window; a stride alone subsamples."""
    if not config.pool:
        assembly.copy(source.stepped(*strides(config)), target, flip)
        return
    window = config.pool_window
    table = None if config.pool_max else averages(window[0] * window[1], rounding)
    assembly.pool(source, target, window, strides(config), flip, table)


def averages(count: int, rounding: bool) -> np.ndarray:
    """int32: the average of ``count`` values, by their sum, from the least sum that there is."""
    least, most = arithmetic.ACTIVATION_MIN * count, arithmetic.ACTIVATION_MAX * count
    return arithmetic.average(np.arange(least, most + 1), count, rounding).astype(np.int32)


def convolve(
    assembly: Assembly,
    config: LayerConfig,
    source: View,
    target: View,
    operation: int = steps.CONVOLVE,
    **fields,
) -> None:
    """Sums of products, ``raw`` as they are, else finished; other ``fields``: where kernels are."""
    assembly.add(operation, target, source, **finishing(config), **fields)


def finish(assembly: Assembly, config: LayerConfig, sums: View, target: View, **fields) -> None:
    """Check sums; unless ``raw``, shift, round and clip them, then activate."""
    assembly.add(steps.FINISH, target, sums, **finishing(config), **fields)


def finishing(config: LayerConfig) -> dict[str, int]:
    """Fields of a step: shift, then activation; the absolute value wins over ReLU."""
    return {"shift": config.signed_shift, "absolute": config.absolute, "relu": config.relu}
