"""Which operation registers select, and which are not emulated."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from max78k_sim import ops
from max78k_sim.devices import MAX78000
from max78k_sim.errors import NotEmulated
from max78k_sim.layer_config import LayerConfig

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
