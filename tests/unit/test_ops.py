"""Which operation registers select, and the stages before it, against numpy."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from max78k_sim import ops
from max78k_sim.devices import MAX78000
from max78k_sim.engine import steps
from max78k_sim.engine.steps import Assembly
from max78k_sim.errors import NotEmulated
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


@pytest.mark.parametrize(("fields", "result"), [({"pool_first": 1}, 4 - 9), ({}, 4 - 0)])
def test_operands_are_combined_after_pooling_or_before(fields, result):
    operands = np.array([[[1, 2], [3, 4]], [[9, 0], [0, 0]]], np.int8)[..., None]
    window = {"pool": 1, "pool_max": 1, "pool_row_count": 1, "pool_column_count": 1}
    fields |= {"eltwise": 1, "operand_count": 1, "eltwise_function": 0}
    assert reduced(operands, **window, **fields).tolist() == [[[result]]]
