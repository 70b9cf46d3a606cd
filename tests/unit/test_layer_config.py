"""What the fields of a layer's registers say together; values by hand from registers.md."""

from __future__ import annotations

import pytest

from max78k_sim.devices import MAX78000
from max78k_sim.layer_config import LayerConfig, decode, encode


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"row_count": 9, "row_pad": 2}, "rows", 6),
        ({"column_count": 9, "column_pad": 1}, "columns", 8),
        ({"pool": 1, "pool_row_count": 3, "pool_column_count": 5}, "pool_window", (4, 6)),
        ({"pool_row_count": 1, "pool_column_count": 2}, "pool_window", (1, 1)),
        ({"stride_count": 3}, "stride", 4),
        ({"pass_count": 15, "pass_high": 1}, "passes", 16),
        ({"pass_count": 15, "pass_high": 1, "flatten": 1}, "passes", 32),  # 5 bits: a carry
        ({"pass_count": 3, "pass_high": 2, "flatten": 1}, "passes", 36),
        ({"kernel_first": 8, "kernel_last": 24}, "kernel_count", 3),
        ({"kernel_first": 8, "kernel_last": 24, "weight_size": 3}, "kernel_count", 5),
        ({"span_bits": 24, "weight_size": 2}, "span", 13),
        ({"span_bits": 25}, "span", 4),  # a rest is no position
        ({"shift": 3}, "signed_shift", 3),
        ({"shift": 3, "shift_right": 1}, "signed_shift", -3),
        ({"kernel_width": 1}, "kernel_size", (1, 1)),
        ({"kernel_width": 5, "conv1d": 1}, "kernel_size", (5, 1)),
        ({}, "kernel_size", (3, 3)),
    ],
)
def test_what_fields_say(fields, name, value):
    config = decode(MAX78000, list(encode(MAX78000, fields).values()))
    assert repr(getattr(config, name)) == repr(value)  # integers, not fractions


def test_a_config_has_the_fields_of_every_register():
    names = {field.name for register in MAX78000.layer_registers for field in register.fields}
    config = decode(MAX78000, list(encode(MAX78000, {}).values()))
    assert config == LayerConfig(**dict.fromkeys(names, 0))
