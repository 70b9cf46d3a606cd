"""Which operation registers select, and the stages before it, against numpy."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from fractions import Fraction

import numpy as np
import pytest

from max78k_sim import ops
from max78k_sim.devices import MAX78000
from max78k_sim.engine import steps
from max78k_sim.engine.steps import Assembly
from max78k_sim.errors import InputError, NotEmulated
from max78k_sim.layer_config import LayerConfig
from max78k_sim.ops import stages
from tests.assemblies import executed

SINGLE = {"kernels": 1, "kernel_width": 1}  # a 1x1 kernel, on one pixel


def config_of(**fields) -> LayerConfig:
    names = {field.name for row in MAX78000.layer_registers for field in row.fields}
    assert set(fields) <= names
    return LayerConfig(**dict.fromkeys(names, 0) | fields)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "passthrough"),
        ({"conv1d": 1, "transpose": 1}, "passthrough"),  # no kernels: nothing else counts
        ({"kernels": 1}, "conv2d"),
        ({"kernels": 3, "transpose": 1}, "convtranspose2d"),
        ({"kernels": 1, "conv1d": 1, "kernel_width": 4}, "conv1d"),
        ({"kernels": 1, "conv1d": 1, "kernel_width": 1}, "conv1d"),
        (SINGLE, "linear"),
        (SINGLE | {"row_count": 1}, "conv2d"),
        (SINGLE | {"column_count": 1}, "conv2d"),
        (SINGLE | {"column_pad": 1}, "conv2d"),  # not one column, but less than one
        (SINGLE | {"row_count": 2, "row_pad": 1, "column_pad": 1, "column_count": 2}, "conv2d"),
        (SINGLE | {"pool": 1}, "conv2d"),
        ({"kernels": 1, "kernel_width": 0}, "conv2d"),  # 3x3 on one pixel
    ],
)
def test_registers_select_an_operation(fields, name):
    assert ops.select(config_of(**fields)).name == name


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"slave": 1}, "slave mode (register field slave) is not emulated yet"),
        ({"column_pad_only": 1}, "column-only padding (register field column_pad_only) is not em"),
        ({"kernels": 1, "kernel_width": 2}, "no known operation has these registers: LayerConfig("),
    ],
)
def test_what_is_not_emulated(fields, message):
    with pytest.raises(NotEmulated) as caught:
        ops.select(config_of(**fields))
    assert message in str(caught.value)


def test_the_table_is_constant():
    with pytest.raises(FrozenInstanceError):
        ops.OPS[0].name = "another"


TWO = {"pool": 1, "pool_row_count": 1, "pool_column_count": 1}  # a window of 2x2
WIDE_PAD = {"row_pad": 2, "column_pad": 2}
TRANSPOSE = {"kernels": 1, "transpose": 1}
LINE = {"kernels": 1, "conv1d": 1, "kernel_width": 4}


@pytest.mark.parametrize(
    ("fields", "size", "result"),  # (rows, columns) of the input, of the output
    [
        ({}, (4, 5), (4, 5)),  # without kernels nothing but the pooling counts
        (TWO, (4, 5), (3, 4)),
        (TWO | {"stride_count": 1}, (4, 5), (2, 2)),
        ({"kernels": 1}, (4, 5), (2, 3)),
        ({"kernels": 1}, (3, 3), (1, 1)),
        ({"kernels": 1} | WIDE_PAD, (4, 5), (6, 7)),
        ({"kernels": 1} | WIDE_PAD | TWO, (2, 2), (3, 3)),
        (TRANSPOSE | {"row_pad": 1, "column_pad": 1}, (4, 5), (8, 10)),
        (LINE, (9, 1), (6, 1)),
        (LINE | {"stride_count": 2}, (12, 3), (1, 3)),  # 1-D: strides go down, not across
    ],
)
def test_size_of_an_output(fields, size, result):
    config = config_of(**fields)
    assert stages.output_size(config, ops.select(config), *size) == result


@pytest.mark.parametrize(
    ("fields", "size", "message"),
    [
        ({"kernels": 1}, (2, 3), "2 pixels, pooled by 1 and padded by 0, are fewer than the k"),
        ({"kernels": 1}, (3, 2), "2 pixels, pooled by 1 and padded by 0, are fewer than the k"),
        ({"kernels": 1}, (1, 3), "1 pixels, pooled by 1 and padded by 0, are fewer than the k"),
        ({"kernels": 1} | WIDE_PAD | TWO, (1, 2), "1 pixels, pooled by 2 and padded by 2, are"),
        ({"kernels": 1} | WIDE_PAD | TWO, (2, 1), "1 pixels, pooled by 2 and padded by 2, are"),
        (TWO, (1, 2), "1 pixels, pooled by 2 and padded by 0, are fewer than the kernel's 1"),
        (TWO | {"kernels": 1}, (3, 3), "3 pixels, pooled by 2 and padded by 0, are fewer than "),
    ],
)
def test_nothing_is_left(fields, size, message):
    config = config_of(**fields)
    with pytest.raises(InputError) as caught:
        stages.output_size(config, ops.select(config), *size)
    assert str(caught.value).startswith(message)


def mean(total: int, count: int, rounding: bool) -> int:
    """Toward zero, or half away from it."""
    size = Fraction(abs(total), count) + Fraction(rounding, 2)
    return math.floor(size) * (-1 if total < 0 else 1)


@pytest.mark.parametrize("count", [1, 4, 6])
@pytest.mark.parametrize("rounding", [False, True])
def test_the_table_of_averages_has_a_row_for_every_sum(count, rounding):
    expected = [mean(total, count, rounding) for total in range(-128 * count, 127 * count + 1)]
    assert stages.averages(count, rounding).tolist() == expected


DATA = np.arange(-30, 30, dtype=np.int8).reshape(5, 6, 2)


def reduced(operands, rounding=False, **fields):
    """What a layer with these register fields convolves: int8 [row, column, channel]."""
    config, assembly = config_of(**fields), Assembly()
    index = np.arange(operands.size).reshape(operands.shape)
    views = [assembly.gathered(steps.READ, each) for each in index]
    size = stages.pooled_size(config, *operands.shape[1:3])
    target = assembly.map(*size, operands.shape[3]).inner
    stages.reduce(assembly, views, config, rounding, target)
    return executed(assembly, target, operands).view(np.int8)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_stride_alone_subsamples(stride):
    flat = reduced(DATA[None], stride_count=stride - 1)
    np.testing.assert_array_equal(flat, DATA[::stride, ::stride], strict=True)
    line = reduced(np.ascontiguousarray(DATA[None, :, :1]), stride_count=stride - 1, conv1d=1)
    np.testing.assert_array_equal(line, DATA[::stride, :1], strict=True)


@pytest.mark.parametrize("rounding", [False, True])
def test_average_of_each_window(rounding):
    windows = np.lib.stride_tricks.sliding_window_view(DATA.astype(int), (2, 3), (0, 1))
    sums = windows.sum(axis=(-2, -1))
    expected = [mean(total, 6, rounding) for total in sums.ravel().tolist()]
    actual = reduced(DATA[None], rounding, pool=1, pool_row_count=1, pool_column_count=2)
    assert actual.shape == sums.shape and actual.ravel().tolist() == expected


@pytest.mark.parametrize(("fields", "result"), [({"pool_first": 1}, 4 - 9), ({}, 4 - 0)])
def test_operands_are_combined_after_pooling_or_before(fields, result):
    operands = np.array([[[1, 2], [3, 4]], [[9, 0], [0, 0]]], np.int8)[..., None]
    fields |= {"eltwise": 1, "operand_count": 1, "eltwise_function": 0}
    assert reduced(operands, **TWO, pool_max=1, **fields).tolist() == [[[result]]]
