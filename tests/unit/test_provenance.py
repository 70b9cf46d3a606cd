"""Which networks are warned of what, once each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from max78k_sim import provenance
from max78k_sim.allocation import allocate
from max78k_sim.devices import MAX78000
from max78k_sim.network import Network, Parameters
from tests.builders import FIRST, network_of

AVERAGE = {"pool": (2, 2), "pool_average": True}
SECOND = replace(FIRST, in_channels=3, processors=7, in_offset=0x2000, out_offset=0x4000)
ADD = replace(
    SECOND, op="passthrough", padding=0, kernel_shape=(1, 1), in_channels=1, processors=1,
    out_channels=1, output_processors=1, operands=2, eltwise="add", in_size=(4, 5),
)  # fmt: skip
ONE = replace(FIRST, in_channels=1, processors=1)

ROWS = [  # row, layers, switches
    ("negative-averages", [replace(FIRST, **AVERAGE)], {}),
    ("negative-averages", [FIRST, replace(SECOND, **AVERAGE)], {}),
    ("rounded-1d", [replace(ONE, op="conv1d", kernel_shape=(3, 1), in_size=(9, 1), padding=1,
                            pool=(2, 1), pool_average=True)], {"average_rounding": True}),
    ("spread-bias", [replace(FIRST, output_processors=0b1011)], {}),
    ("short-pass", [replace(FIRST, in_channels=65, processors=(1 << 36) - 1, weight_bits=4)], {}),
    ("spread-kernels", [replace(FIRST, kernel_shape=(1, 1), padding=0, output_processors=0b1011)],
     {"bias": False}),
    ("one-input", [FIRST, ADD], {"bias": False}),
    ("streamed-bias", [replace(FIRST, streaming=True)], {"fifo": True}),
    ("fed-quadrants", [replace(FIRST, processors=0x10001)], {"fifo": True, "fast_fifo": True}),
]  # fmt: skip


def statement(name: str) -> str:
    (row,) = [row for row in provenance.ROWS if row.name == name]
    return f"{row.label}: {row.statement}"


@pytest.mark.parametrize(("name", "layers", "switches"), ROWS, ids=[row[0] for row in ROWS])
def test_a_network_is_warned_once(name, layers, switches):
    warnings = allocate(network_of(*layers, **switches)).warnings
    assert sum(statement(name) in text for text in warnings) == 1


def test_layers_are_named_together():
    chain = (replace(FIRST, **AVERAGE), replace(SECOND, in_size=(3, 4), **AVERAGE))
    (warning,) = allocate(network_of(*chain)).warnings
    assert warning.startswith(
        "layers 0 (first), 1 (first): vendor's sources disagree: average pooling of means that may "
        "be negative: the Limitations chapter has floor"
    )


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ({}, True),
        ({"activation": "relu"}, False),
        ({"activation": "abs"}, False),
    ],
)
def test_what_may_be_negative(before, expected):
    layers = (replace(FIRST, **before), replace(SECOND, **AVERAGE))
    assert bool(allocate(network_of(*layers)).warnings) is expected
    assert provenance.can_be_negative(network_of(*layers), 0) is expected
    through = replace(SECOND, op="passthrough", padding=0, kernel_shape=(1, 1))
    assert provenance.can_be_negative(network_of(layers[0], through), 1) is expected


def test_weights_that_may_leave_the_accumulator():
    layer = replace(FIRST, in_channels=1024, processors=(1 << 64) - 1, in_size=(2, 2))
    kernel = np.full(layer.kernel_tensor_shape, -128, np.int8)
    wide = Network("wide", MAX78000, (layer,), (Parameters(kernel),))
    (warning,) = allocate(wide).warnings
    assert statement("wide-sum") in warning and warning.endswith("refuses a run that leaves them")
    small = Network("small", MAX78000, (layer,), (Parameters(kernel // 64),))
    assert not allocate(small).warnings


def test_every_row_is_tried():
    assert {row.name for row in provenance.ROWS} == {row[0] for row in ROWS} | {"wide-sum"}
    assert {row.label for row in provenance.ROWS} <= {label for label, _ in provenance.LABELS}
